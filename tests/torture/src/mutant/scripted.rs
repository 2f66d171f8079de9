//! A clock that a test sets: it ticks like the machine's, and how far it is off stands in a file beside the data directory.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use historian::model::{Clock, SystemClock, Timestamp};

/// Name of the file: nanoseconds to add to the machine's clock, in decimal.
pub const CLOCK_FILE: &str = "clock";
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

struct Scripted {
    off_ns: Arc<AtomicI64>,
}

impl Clock for Scripted {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0.saturating_add(self.off_ns.load(Ordering::SeqCst)))
    }
}

/// A clock that follows the file for as long as the process lives.
///
/// # Errors
/// The file cannot be read, or no thread started.
pub fn follow(path: &Path) -> anyhow::Result<Arc<dyn Clock>> {
    let read = |path: &Path| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<i64>().ok());
    let off_ns = Arc::new(AtomicI64::new(read(path).with_context(|| format!("{}: no number", path.display()))?));
    let (path, followed) = (path.to_owned(), off_ns.clone());
    std::thread::Builder::new().name("clock".into()).spawn(move || {
        loop {
            std::thread::sleep(LOOK_INTERVAL);
            if let Some(off) = read(&path) {
                followed.store(off, Ordering::SeqCst);
            }
        }
    })?;
    Ok(Arc::new(Scripted { off_ns }))
}
