//! What an answer is shown on: how wide a terminal is, and whether it has colours. A pipe or a file has neither.

use std::{
    env,
    io::{self, IsTerminal},
};

/// Narrower than this no table is of use; a terminal that says so is taken to be so wide.
const WIDTH_MIN: usize = 20;
/// Of a terminal that does not say how wide it is.
const WIDTH_USUAL: usize = 80;

/// Where lines end, and whether they may have colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// Columns of the terminal; `None` where nothing is shortened.
    pub width: Option<usize>,
    pub colours: bool,
}

impl Screen {
    /// That of standard output. The variable `COLUMNS` says how wide a terminal is to be taken; with `NO_COLOR` it has no colours.
    pub fn of_stdout() -> Screen {
        if !io::stdout().is_terminal() {
            return Screen::default();
        }
        let said = env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok()).filter(|columns| *columns > 0);
        let real = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        let width = said.or_else(real).unwrap_or(WIDTH_USUAL).max(WIDTH_MIN);
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let colours = !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|kind| kind != "dumb");
        Screen { width: Some(width), colours }
    }
}
