//! The memory allocator of the program, and how soon it gives memory back to the system.
//!
//! Left to itself, it keeps what was freed for a second, and what a thread has freed until that thread allocates again. Threads of queries wait when
//! they have answered, and a burst of queries would leave the process as large as it made it. Ingest in turn needs again what it has just freed, so
//! that giving everything back at once costs it a half more processor time. So it is given back between queries, and not more often than that pays.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

pub use mimalloc::MiMalloc as Allocator;

/// Memory is given back so often at most.
const INTERVAL_MS: u64 = 20;

#[expect(unsafe_code, reason = "the library has no other way in")]
mod library {
    unsafe extern "C" {
        // Gives back what the calling thread has freed and, where it is forced, what all have. From any thread, at any time.
        pub safe fn mi_collect(force: bool);
    }
}

/// Gives back what is free to the system, of the calling thread and of those that have given it back before, unless that was just done.
pub fn give_back() {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    static NEXT_MS: AtomicU64 = AtomicU64::new(0);
    let now = u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX - INTERVAL_MS);
    let next = NEXT_MS.load(Ordering::Relaxed);
    let is_due = now >= next && NEXT_MS.compare_exchange(next, now + INTERVAL_MS, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    // What this thread has freed is others' to use and to give back at once, and not only when it works again.
    library::mi_collect(is_due);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Allocator = Allocator;

    #[cfg(target_os = "linux")]
    fn resident_bytes() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse::<usize>().unwrap();
        pages * 4_096
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_thread_has_freed_goes_back_though_the_thread_waits() {
        const BYTES: usize = 64 << 20;
        let before = resident_bytes();
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let parts: Vec<Vec<u8>> = (0..BYTES / 65_536).map(|number| vec![u8::from(number % 2 == 0) | 2; 65_536]).collect();
            let taken = resident_bytes();
            drop(parts);
            give_back();
            tell.send(taken).unwrap();
            let _ = ended.recv();
        });
        let taken = told.recv().unwrap();
        let kept = resident_bytes().saturating_sub(before);
        drop(end);
        thread.join().unwrap();
        assert!(taken - before > BYTES / 2, "{taken} bytes were there, {before} before");
        assert!(kept < BYTES / 4, "{kept} bytes are kept");
    }
}
