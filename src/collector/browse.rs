//! What a device offers to collect, for `historian browse`: its variables with what is known of each, and what was left out.

use std::time::Duration;

use historian_model::ValueType;

/// What to list.
#[derive(Clone, Debug)]
pub struct BrowseRequest {
    /// Glob over the paths of variables below the root of the device, such as `Boiler*/**`.
    pub paths: String,
    /// When to stop and answer with what was found.
    pub timeout: Duration,
    /// Variables at most.
    pub variables_max: usize,
}

/// A variable that becomes a tag, or one that does not.
#[derive(Clone, Debug, Default)]
pub struct BrowsedVariable {
    /// Names from the root of the device down, separated by `/`.
    pub path: String,
    pub address: String,
    /// Further keys of the tag, by their names in the configuration.
    pub keys: Vec<(&'static str, String)>,
    /// In the words of the device.
    pub data_type: String,
    /// Of the tag; `None` where there can be none.
    pub value_type: Option<ValueType>,
    /// Lengths of the array in its dimensions, 0 where they vary; empty for a single value.
    pub dimensions: Vec<u32>,
    pub unit: String,
    pub description: String,
    /// Low and high end of the expected range.
    pub range: Option<(f64, f64)>,
    /// Names of the digital states from 0.
    pub state_set: Vec<String>,
    /// The device lets clients change it.
    pub writable: bool,
    /// Why it can be no tag, in words for an engineer; empty where it can.
    pub left_out: String,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct BrowseAnswer {
    /// In the order of the device.
    pub variables: Vec<BrowsedVariable>,
    /// What was not looked at, and why.
    pub notes: Vec<String>,
}

/// What ends the path of an element of an array, behind that of its variable: `/3`, or `/1_2` of a matrix for the index `1,2`.
pub fn element_path(index: &str) -> String {
    format!("/{}", index.replace(',', "_"))
}

/// A text of a device in one line of at most so many bytes, as tags may have it.
pub fn plain(text: &str, bytes_max: usize) -> String {
    let mut line = String::new();
    for word in text.split(|letter: char| letter.is_whitespace() || letter.is_control()).filter(|word| !word.is_empty()) {
        let blank = usize::from(!line.is_empty());
        if line.len() + blank + word.len() > bytes_max {
            break;
        }
        if blank == 1 {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}
