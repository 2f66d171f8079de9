//! How far a long run is, as one line on a terminal that is drawn over itself. Nothing is written where nobody looks.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Cells of the bar itself.
const CELLS: usize = 24;
/// How often the line is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(100);

/// A progress bar on standard error; silent when that is no terminal.
pub struct Bar {
    terminal: bool,
    amount: fn(u64) -> String,
    phase: String,
    begun: Instant,
    drawn: Option<Instant>,
}

impl Bar {
    /// A bar of bytes.
    pub fn new() -> Bar {
        Bar::of(bytes)
    }

    /// A bar of samples.
    pub fn of_samples() -> Bar {
        Bar::of(samples)
    }

    fn of(amount: fn(u64) -> String) -> Bar {
        Bar { terminal: std::io::stderr().is_terminal(), amount, phase: String::new(), begun: Instant::now(), drawn: None }
    }

    /// Shows how far a phase is; a total of 0 means unknown.
    pub fn show(&mut self, phase: &str, done: u64, total: u64) {
        if !self.terminal {
            return;
        }
        if self.phase != phase {
            phase.clone_into(&mut self.phase);
            self.begun = Instant::now();
            self.drawn = None;
        }
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= DRAWN_EVERY || done == total) {
            self.drawn = Some(Instant::now());
            let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col));
            let line: String =
                line(phase, done, total, self.begun.elapsed(), self.amount).chars().take(columns.saturating_sub(1)).collect();
            // A terminal that went away is no reason to stop the work.
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
    }

    /// Takes the line away, before something else is written.
    pub fn clear(&mut self) {
        if self.terminal && self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(phase: &str, done: u64, total: u64, elapsed: Duration, amount: fn(u64) -> String) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let per_second = if elapsed.as_secs_f64() < 0.2 { String::new() } else { format!(", {}/s", amount(rate as u64)) };
    if total == 0 {
        return if done == 0 { format!("{phase} …") } else { format!("{phase} {}{per_second}", amount(done)) };
    }
    let share = (done as f64 / total as f64).min(1.0);
    let filled = (share * CELLS as f64) as usize;
    let left = if rate > 0.0 && done < total && !per_second.is_empty() {
        format!(", {} left", duration(Duration::from_secs_f64(((total - done) as f64 / rate).min(1e9))))
    } else {
        String::new()
    };
    format!(
        "{phase:<8} [{}{}] {:>3} % of {}{per_second}{left}",
        "#".repeat(filled),
        "-".repeat(CELLS - filled),
        (share * 100.0) as u64,
        amount(total)
    )
}

fn samples(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} samples"),
        10_000..10_000_000 => format!("{} k samples", count / 1_000),
        _ => format!("{} M samples", count / 1_000_000),
    }
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    let mut scaled = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1024.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{scaled:.1} {unit}") };
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.1} TiB")
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_share_rate_and_rest() {
        let ten = Duration::from_secs(10);
        assert_eq!(line("copy", 0, 0, ten, bytes), "copy …");
        assert_eq!(
            line("copy", 50 << 20, 100 << 20, ten, bytes),
            "copy     [############------------]  50 % of 100.0 MiB, 5.0 MiB/s, 10 s left"
        );
        assert_eq!(line("verify", 100, 100, Duration::ZERO, bytes), format!("verify   [{}] 100 % of 100 B", "#".repeat(24)));
        // More than was announced, as when a file grows, is not more than all.
        assert!(line("verify", 300, 100, Duration::ZERO, bytes).contains("] 100 %"));
        assert!(line("export", 50_000, 0, ten, samples).ends_with("export 50 k samples, 5000 samples/s"));
        assert_eq!((bytes(0), bytes(1536), bytes(u64::MAX)), ("0 B".into(), "1.5 KiB".into(), "16777216.0 TiB".into()));
        assert_eq!((duration(Duration::from_secs(59)), duration(Duration::from_secs(3700))), ("59 s".into(), "1 h 1 min".into()));
    }
}
