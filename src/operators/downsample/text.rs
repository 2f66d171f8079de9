//! Text has no extremes and no line. Its drawing is a band that changes where the text does, and so the changes are all that is needed.

use historian_format::{Samples, ValueType, Values};

use super::{DownsampleError, Sample, answer, breaks, output::is_drawn};

/// The changes of a text tag, and where its Bad runs start.
#[derive(Debug)]
pub(super) struct Changes {
    kept: Samples,
    rows_max: usize,
    /// The text that holds; `None` in a Bad run, and before the first sample.
    text: Option<String>,
    open: bool,
}

impl Changes {
    /// None yet; `before` is what holds at the start.
    pub fn new(before: Option<&Sample>, rows_max: usize) -> Changes {
        let text = before.filter(|before| is_drawn(before)).and_then(|before| match &before.value {
            Some(historian_format::Value::String(text)) => Some(text.clone()),
            _ => None,
        });
        let open = before.is_some_and(|before| !is_drawn(before));
        Changes { kept: answer(ValueType::String, 0), rows_max, text, open }
    }

    /// Looks at the rows.
    pub fn add(&mut self, samples: &Samples, rows: std::ops::Range<usize>) -> Result<(), DownsampleError> {
        let Values::String(column) = &samples.values else { return Ok(()) };
        for row in rows {
            let (timestamp, quality) = (samples.timestamps[row], samples.qualities[row]);
            if breaks(quality) || !samples.is_valid(row) {
                self.start_break(timestamp, quality)?;
                continue;
            }
            self.open = false;
            if self.text.as_deref() != Some(column.get(row)) {
                self.text = Some(column.get(row).to_owned());
                self.check_room()?;
                self.kept.extend_range(samples, row..row + 1).map_err(|_| DownsampleError::TextBytes)?;
            }
        }
        Ok(())
    }

    /// Notes a Bad sample or a gap.
    pub fn start_break(&mut self, timestamp: i64, quality: u32) -> Result<(), DownsampleError> {
        self.text = None;
        if std::mem::replace(&mut self.open, true) {
            return Ok(());
        }
        self.check_room()?;
        // A gap may start with the last sample before it.
        let timestamp = match self.kept.timestamps.last() {
            Some(last) if *last >= timestamp => last.saturating_add(1),
            _ => timestamp,
        };
        self.kept.push(timestamp, None, quality).map_err(|_| DownsampleError::TextBytes)
    }

    /// What was kept.
    pub fn into_samples(self) -> Samples {
        self.kept
    }

    fn check_room(&self) -> Result<(), DownsampleError> {
        if self.kept.len() < self.rows_max { Ok(()) } else { Err(DownsampleError::TextChanges(self.rows_max)) }
    }
}
