//! How much of a server's history is read, and how fast.

use std::{str::FromStr, time::Duration};

/// Which of the times that are missing is read first, and from which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryOrder {
    #[default]
    Oldest,
    Newest,
}

/// Of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// What is older is not asked for.
    pub back: Duration,
    pub order: HistoryOrder,
    /// Nodes of one request at most.
    pub nodes_per_request: usize,
    /// Values that one node is asked for in one request.
    pub values_per_request: u32,
    /// Between two requests.
    pub pause: Duration,
}

impl FromStr for HistoryOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<HistoryOrder, String> {
        match text {
            "oldest" => Ok(HistoryOrder::Oldest),
            "newest" => Ok(HistoryOrder::Newest),
            other => Err(format!("{other:?} is not known; known are oldest, newest")),
        }
    }
}
