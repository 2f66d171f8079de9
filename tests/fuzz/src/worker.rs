//! Runs the inputs of one target in this process: each is held to its bounds, and a thread beside it sees when one does not end.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use cpu_time::ProcessTime;
use historian_fuzz::{Target, input::Inputs};
use parking_lot::Mutex;

use crate::{ALLOCATOR, outcome::Outcome};

/// Most memory that one input may take.
const TAKEN_BYTES_MAX: usize = 64 << 20;
/// Most work that one input may cause, of the processor and not by the clock: other programs may run, too.
const WORK_MAX: Duration = Duration::from_secs(1);
/// Work after which an input is not waited for any more; and the time, where it waits for something itself.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));
/// As the threads of the server that decode have it.
const STACK_BYTES: usize = 2 << 20;
const LOOK: Duration = Duration::from_millis(100);

/// What a worker runs.
pub struct Plan {
    pub target: &'static Target,
    pub inputs: Inputs,
    pub count: u64,
    pub duration: Option<Duration>,
    pub directory: PathBuf,
}

impl Plan {
    /// Holds the number of the input that is run, for whoever is left when the process has ended.
    pub fn progress_file(&self) -> PathBuf {
        self.directory.join(format!("{}.number", self.target.name))
    }
}

/// The input that is run now.
#[derive(Default)]
struct Now {
    number: AtomicU64,
    /// Work of the process until it began.
    work_ns: AtomicU64,
    outcome: Mutex<Outcome>,
}

/// The first panic of the input that is run, on whatever thread.
static PANICKED: Mutex<Option<String>> = Mutex::new(None);

fn note_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICKED.lock().get_or_insert_with(|| panic.to_string().replace('\n', " "));
    }));
}

/// Runs all inputs, or as many as there are until one fails.
///
/// # Errors
/// The directory cannot be written.
pub fn run(plan: Plan) -> anyhow::Result<Outcome> {
    note_panics();
    let directory = plan.directory.display().to_string();
    fs::create_dir_all(&plan.directory).with_context(|| directory.clone())?;
    let progress = File::create(plan.progress_file()).context(directory)?;
    let now = Arc::new(Now::default());
    now.outcome.lock().target = plan.target.name;
    let plan = Arc::new(plan);
    let (done, ended) = mpsc::channel();
    let begun = Instant::now();
    thread::Builder::new().stack_size(STACK_BYTES).spawn({
        let (plan, now) = (plan.clone(), now.clone());
        move || {
            all(&plan, &now, &progress);
            let _ = done.send(());
        }
    })?;
    let (mut before, mut since) = (u64::MAX, Instant::now());
    loop {
        match ended.recv_timeout(LOOK) {
            Ok(()) => break,
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the thread that runs the inputs has ended"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let number = now.number.load(Ordering::Acquire);
        if number != before {
            (before, since) = (number, Instant::now());
            continue;
        }
        let work = ProcessTime::now().as_duration().saturating_sub(Duration::from_nanos(now.work_ns.load(Ordering::Acquire)));
        if work > PATIENCE.0 || since.elapsed() > PATIENCE.1 {
            let what = format!("it has not ended after {work:.1?} of work and {:.1?}", since.elapsed());
            now.outcome.lock().fail(&what, number, &plan.inputs.input(number), &plan.directory);
            break;
        }
    }
    let mut outcome = std::mem::take(&mut *now.outcome.lock());
    outcome.seconds = (begun.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
    Ok(outcome)
}

fn all(plan: &Plan, now: &Now, progress: &File) {
    // What is made once, tables and engines, is no input's. What is wrong with the seed is found below.
    let _ = catch_unwind(|| (plan.target.run)(&plan.inputs.input(0)));
    PANICKED.lock().take();
    let begun = Instant::now();
    for number in 0..plan.count {
        if plan.duration.is_some_and(|duration| begun.elapsed() > duration) {
            return;
        }
        let input = plan.inputs.input(number);
        let work = ProcessTime::now();
        now.work_ns.store(u64::try_from(work.as_duration().as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
        now.number.store(number, Ordering::Release);
        let _ = progress.write_all_at(&number.to_le_bytes(), 0);
        let seen = one(plan.target, &input, work);
        let mut outcome = now.outcome.lock();
        outcome.inputs = number + 1;
        outcome.taken += u64::from(seen.taken);
        outcome.peak_kb = outcome.peak_kb.max(seen.bytes >> 10);
        outcome.slowest_ms = outcome.slowest_ms.max((seen.work.as_secs_f64() * 100_000.0).round() / 100.0);
        if let Some(what) = seen.failure {
            outcome.fail(&what, number, &input, &plan.directory);
            return;
        }
    }
}

/// What one input did.
struct Seen {
    taken: bool,
    bytes: usize,
    work: Duration,
    failure: Option<String>,
}

fn one(target: &Target, input: &[u8], before: ProcessTime) -> Seen {
    ALLOCATOR.reset_peak_usage();
    let held = ALLOCATOR.current_usage();
    let taken = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).unwrap_or(false);
    let bytes = ALLOCATOR.peak_usage().saturating_sub(held);
    let work = before.elapsed();
    let failure = match PANICKED.lock().take() {
        Some(panic) => Some(panic),
        None if bytes > TAKEN_BYTES_MAX => {
            Some(format!("it takes {} MiB of memory, at most {} are right", bytes >> 20, TAKEN_BYTES_MAX >> 20))
        }
        None if work > WORK_MAX => Some(format!("it takes {work:.1?} of work")),
        None => None,
    };
    Seen { taken, bytes, work, failure }
}

/// Runs one input and tells what it did.
pub fn once(target: &'static Target, input: Vec<u8>) -> bool {
    note_panics();
    let running = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let _ = catch_unwind(|| (target.run)(&(target.seeds)().swap_remove(0)));
        PANICKED.lock().take();
        one(target, &input, ProcessTime::now())
    });
    let Some(seen) = running.ok().and_then(|running| running.join().ok()) else { return false };
    println!("{}: {}, {} KiB, {:.1?} of work", target.name, if seen.taken { "taken" } else { "refused" }, seen.bytes >> 10, seen.work);
    if let Some(what) = &seen.failure {
        println!("{}: {what}", target.name);
    }
    seen.failure.is_none()
}
