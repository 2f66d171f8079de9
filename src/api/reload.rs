//! What is told of a configuration that was read again while the historian runs.

/// What a configuration that was read again changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadReport {
    pub devices_added: Vec<String>,
    pub devices_removed: Vec<String>,
    /// Connected anew.
    pub devices_changed: Vec<String>,
    /// Not touched.
    pub devices_unchanged: u64,
    pub tags_added: u64,
    pub tags_changed: u64,
    pub tags_removed: u64,
    /// Keys whose new values hold.
    pub applied: Vec<String>,
    /// Keys whose new values hold after the next start.
    pub not_applied: Vec<String>,
    /// Of tags that were renamed, who names the old name still, in a sentence each.
    pub left_behind: Vec<String>,
}

/// Why a configuration was not applied. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("this historian was started without a configuration that could be read again")]
    NotReloadable,
    #[error("the configuration has {} {} and was not applied: {}", .0.len(), if .0.len() == 1 { "problem" } else { "problems" }, .0.join("; "))]
    Refused(Vec<String>),
    #[error("the configuration could not be applied: {0}")]
    Failed(String),
}

/// How often the configuration was read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReloadCounts {
    pub applied: u64,
    pub refused: u64,
    /// Whether the last one was refused.
    pub last_refused: bool,
}
