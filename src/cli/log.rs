//! The log's way to standard error: a queue and a thread of its own, so that a reader that stalls (a pipe that nobody empties, a terminal on
//! hold) holds up no one who logs. What the queue has no room for is dropped, and counted in the log itself. And which lines are written, in which
//! form: both are of the configuration, and the first can be changed while the historian runs.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    reload,
    util::SubscriberInitExt as _,
};

use super::Misuse;
use historian_model::{Clock, SystemClock};
use historian_server::config::{Configuration, LogFormat};
use historian_trace::CallTraces;

/// Lines that wait for the reader.
const LINES_MAX: usize = 8_192;
/// Longest wait for what is left of the log when the program ends.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(1);

/// Longest wait for the collector to take the last traces.
const TRACES_END_WITHIN: Duration = Duration::from_secs(3);

/// Libraries that would tell what is on the wire, and with it tokens, or what is in a statement; a filter that names them still has its way.
const QUIET: &str = "h2=info,hyper=info,hyper_util=info,tower=info,tonic=info,rustls=info,datafusion=info,sqlparser=info,hex=off";

static STANDARD_ERROR: OnceLock<LogQueue> = OnceLock::new();
/// The lines about lost lines are JSON, too.
static JSON: AtomicBool = AtomicBool::new(false);
static FILTER: OnceLock<LogFilter> = OnceLock::new();

/// The filter in use, and what stands before what the configuration says.
struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
    before: &'static str,
}

/// Logs from now on as the settings say, and traces calls where a collector is configured; where the program needs other levels for some parts,
/// `before` has them. A second call in one process (the tests) changes nothing.
///
/// # Errors
/// [`Misuse`] when `HISTORIAN_LOG` holds no filter; when traces cannot be sent.
pub fn start<W>(configuration: &Configuration, before: &'static str, writer: W, colours: bool) -> anyhow::Result<Traces>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let settings = &configuration.log;
    let (filter, handle) = reload::Layer::new(filter(&settings.level, before)?);
    // Errors inside would go to standard error as well, and a panic where that is gone.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours).log_internal_errors(false);
    let lines: Box<dyn Layer<_> + Send + Sync> = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    let lines = lines.with_filter(filter.and(filter_fn(|metadata| metadata.target() != historian_trace::STAGE)));
    let (traces, spans) = configuration.trace.as_ref().map(historian_trace::layer).transpose()?.unzip();
    let is_first = tracing_subscriber::registry().with(lines).with(spans).try_init().is_ok();
    if is_first {
        let _ = FILTER.set(LogFilter { handle, before });
        if settings.format == LogFormat::Json {
            JSON.store(true, Ordering::Relaxed);
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        }
    }
    Ok(Traces(traces.filter(|_| is_first)))
}

/// Traces of calls, where there are any.
pub struct Traces(Option<CallTraces>);

impl Traces {
    /// Sends what waits, at the end of the program.
    pub async fn end(self) {
        let Some(traces) = self.0 else { return };
        match tokio::task::spawn_blocking(move || traces.end(TRACES_END_WITHIN)).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => tracing::warn!("the last traces were not sent: {reason}"),
            Err(error) => tracing::warn!("the last traces were not sent: {error}"),
        }
    }
}

/// Writes the lines that this filter lets through from now on. `HISTORIAN_LOG` wins over it, as at the start.
///
/// # Errors
/// It is no filter, or nothing is logged.
pub fn set_level(level: &str) -> Result<(), String> {
    let Some(LogFilter { handle, before }) = FILTER.get() else { return Err("there is no log to change".to_owned()) };
    let filter = filter(level, before).map_err(|error| error.to_string())?;
    handle.reload(filter).map_err(|error| error.to_string())
}

/// The filter of `HISTORIAN_LOG`, or else of this text.
fn filter(level: &str, before: &str) -> anyhow::Result<EnvFilter> {
    let parsed = |text: &str| EnvFilter::try_new(format!("{QUIET},{before},{text}"));
    match std::env::var("HISTORIAN_LOG") {
        Ok(text) if !text.trim().is_empty() => {
            parsed(&text).map_err(|error| Misuse(format!("HISTORIAN_LOG={text} is no log filter: {error}")).into())
        }
        _ => parsed(level).map_err(|error| Misuse(format!("log.level: {level:?} is no log filter: {error}")).into()),
    }
}

/// Whether `HISTORIAN_LOG` says what is logged, whatever the configuration says.
pub fn is_set_outside() -> bool {
    std::env::var("HISTORIAN_LOG").is_ok_and(|text| !text.trim().is_empty())
}

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
                    let _ = writeln!(target, "{}", dropped_line(lost, JSON.load(Ordering::Relaxed)));
                }
            }
            LogEntry::Flush(done) => {
                let _ = target.flush();
                let _ = done.try_send(());
            }
        }
    }
}

/// Tells of lines that found no room.
fn dropped_line(lost: u64, json: bool) -> String {
    let message = format!("{lost} lines of the log were dropped about here: its reader did not keep up");
    if !json {
        return message;
    }
    let line = serde_json::json!({
        "timestamp": SystemClock.now().to_string(),
        "level": "WARN",
        "message": message,
        "target": module_path!(),
    });
    line.to_string()
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
