//! Texts of others on a terminal.

/// A text without control characters: what a device or a file says must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}
