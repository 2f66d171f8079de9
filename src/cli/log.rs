//! The log's way to standard error: a queue and a thread of its own, so that a reader that stalls (a pipe that nobody empties, a terminal on
//! hold) holds up no one who logs. What the queue has no room for is dropped, and counted in the log itself.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};

/// Lines that wait for the reader.
const LINES_MAX: usize = 8_192;
/// Longest wait for what is left of the log when the program ends.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(1);

static STANDARD_ERROR: OnceLock<LogQueue> = OnceLock::new();

/// Takes one line per write.
#[derive(Clone)]
pub struct LogQueue {
    entries: Sender<LogEntry>,
    dropped: Arc<AtomicU64>,
}

enum LogEntry {
    Line(Vec<u8>),
    /// Answered when everything before was written.
    Flush(Sender<()>),
}

/// The queue to standard error.
pub fn standard_error() -> LogQueue {
    STANDARD_ERROR.get_or_init(|| LogQueue::to(io::stderr(), LINES_MAX)).clone()
}

/// Waits a moment for what was logged to be written.
pub fn flush() {
    if let Some(queue) = STANDARD_ERROR.get() {
        queue.flush_within(FLUSH_WAIT_MAX);
    }
}

impl LogQueue {
    fn to(mut target: impl Write + Send + 'static, lines_max: usize) -> LogQueue {
        let (entries, received) = bounded(lines_max);
        let dropped = Arc::new(AtomicU64::default());
        let counted = dropped.clone();
        let writer = move || write_all(&received, &counted, &mut target);
        // Without the thread lines are dropped: the historian runs on without its log rather than not at all.
        let _ = std::thread::Builder::new().name("log".into()).spawn(writer);
        LogQueue { entries, dropped }
    }

    fn flush_within(&self, wait: Duration) {
        let (done, written) = bounded(1);
        if self.entries.send_timeout(LogEntry::Flush(done), wait).is_ok() {
            let _ = written.recv_timeout(wait);
        }
    }
}

/// Writes lines as they come. The target may be gone: a terminal that was closed, a pipe whose reader has ended.
fn write_all(entries: &Receiver<LogEntry>, dropped: &AtomicU64, target: &mut impl Write) {
    for entry in entries {
        match entry {
            LogEntry::Line(line) => {
                let _ = target.write_all(&line);
                let lost = dropped.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let _ = writeln!(target, "{lost} lines of the log were dropped about here: its reader did not keep up");
                }
            }
            LogEntry::Flush(done) => {
                let _ = target.flush();
                let _ = done.try_send(());
            }
        }
    }
}

impl Write for LogQueue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.entries.try_send(LogEntry::Line(bytes.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use parking_lot::Mutex;

    use super::*;

    /// Takes nothing until it is let go.
    struct Stalled {
        go: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.go.recv();
            self.written.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_holds_up_nobody_and_what_is_dropped_is_told() {
        let ((go, held), written) = (bounded(0), Arc::new(Mutex::default()));
        let mut queue = LogQueue::to(Stalled { go: held, written: written.clone() }, 100);
        let since = Instant::now();
        for line in 0..1_000 {
            queue.write_all(format!("line {line}\n").as_bytes()).unwrap();
        }
        queue.flush_within(Duration::from_millis(50));
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
        drop(go);
        queue.flush_within(Duration::from_mins(1));
        let text = String::from_utf8(written.lock().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let told = lines.iter().position(|line| line.contains("lines of the log were dropped")).expect("it is told");
        let dropped: usize = lines[told].split(' ').next().unwrap().parse().unwrap();
        assert_eq!(lines.len() - 1 + dropped, 1_000, "each line is written or counted");
        assert!((100..=101).contains(&(lines.len() - 1)), "{}", lines.len());
        assert_eq!((lines[0], lines[2], told), ("line 0", "line 1", 1));
    }
}
