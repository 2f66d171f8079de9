//! What a file does not say of itself, from flags.

use anyhow::{Context, anyhow};
use clap::Args;
use jiff::tz::TimeZone;

use super::quality::{self, Scale, StateWord};
use crate::client::UnitArgs;
use historian_model::{Clock, Quality, SystemClock, Timestamp, time::NumericTimeUnit};

/// What a file does not say of itself.
#[derive(Clone, Debug, Args)]
pub struct FileArgs {
    /// Tag of all rows, for a file without a column tag.
    #[arg(long)]
    pub tag: Option<String>,
    /// The column with the tag of each row, if its name is not tag.
    #[arg(long, value_name = "COLUMN", conflicts_with = "tag")]
    pub(super) tag_column: Option<String>,
    /// A column that may hold different texts although all rows are of --tag.
    #[arg(long, value_name = "COLUMN", requires = "tag")]
    pub(super) ignore: Vec<String>,
    #[command(flatten)]
    pub unit: UnitArgs,
    /// How to read the numbers or words of the quality column.
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
    quality: Scale,
    /// Words in place of values, and the quality that each one means: 'I/O Timeout=BadNoCommunication,Bad Input=BadSensorFailure'.
    #[arg(long, value_name = "WORD=CODE,…", value_delimiter = ',')]
    states: Vec<String>,
}

/// [`FileArgs`], checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub tag: Option<String>,
    pub(super) tag_column: Option<String>,
    pub(super) ignore: Vec<String>,
    pub(super) unit: Option<NumericTimeUnit>,
    pub(super) scale: Scale,
    pub(super) states: Vec<StateWord>,
    pub(super) zone: TimeZone,
    /// One moment for all relative times.
    pub(super) now: Timestamp,
}

impl FileArgs {
    /// # Errors
    /// Names the flag.
    pub fn settings(&self, zone: &str) -> anyhow::Result<Settings> {
        let zone = TimeZone::get(zone).map_err(|_| anyhow!("--zone: {zone:?} is no IANA time zone such as Europe/Berlin"))?;
        let states = self.states.iter().map(|text| quality::state_word(text)).collect::<Result<_, _>>().context("--states")?;
        Ok(Settings {
            tag: self.tag.clone(),
            tag_column: self.tag_column.clone(),
            ignore: self.ignore.clone(),
            unit: self.unit.unit(),
            scale: self.quality,
            states,
            zone,
            now: SystemClock.now(),
        })
    }
}

impl Settings {
    /// The quality that a word stands for in place of a value.
    pub(super) fn state(&self, text: &str) -> Option<Quality> {
        if self.states.is_empty() {
            return None;
        }
        let text = text.trim();
        let exact = self.states.iter().find(|state| state.word == text);
        exact.or_else(|| self.states.iter().find(|state| state.word.eq_ignore_ascii_case(text))).map(|state| state.quality)
    }
}
