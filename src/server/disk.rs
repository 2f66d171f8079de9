//! When the disk will be full, told from how its free space went during the last hours: a straight line through what was measured, which compactions
//! that come and go do not bend much.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use historian_store::Maintenance;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the free space is measured, and for how long that is remembered.
const INTERVAL: Duration = Duration::from_mins(1);
const WINDOW: Duration = Duration::from_hours(6);
/// Nothing is told of the future before so long was measured.
const MEASURED_MIN: Duration = Duration::from_mins(15);
/// What is further away than this is not told: it means nothing.
const FORECAST_MAX: Duration = Duration::from_hours(24 * 365 * 5);

/// What was measured. Clones are the same one.
#[derive(Clone, Default)]
pub struct DiskTrend(Arc<Mutex<VecDeque<(Duration, u64)>>>);

impl DiskTrend {
    /// Adds the free space at a time since the start.
    fn add(&self, at: Duration, free: u64) {
        let mut measured = self.0.lock();
        measured.push_back((at, free));
        while measured.front().is_some_and(|(first, _)| at.saturating_sub(*first) > WINDOW) {
            measured.pop_front();
        }
    }

    /// How long until no more than the reserve is free; `None` while too little was measured, or the free space does not shrink.
    pub fn full_in(&self, free: u64, reserve: u64) -> Option<Duration> {
        let measured = self.0.lock();
        let (&(first, _), &(last, _)) = measured.front().zip(measured.back())?;
        if last.saturating_sub(first) < MEASURED_MIN {
            return None;
        }
        let count = measured.len() as f64;
        let (mut time, mut bytes) = (0.0, 0.0);
        for (at, free) in measured.iter() {
            time += at.as_secs_f64() / count;
            bytes += *free as f64 / count;
        }
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (at, free) in measured.iter() {
            let from_mean = at.as_secs_f64() - time;
            covariance += from_mean * (*free as f64 - bytes);
            variance += from_mean * from_mean;
        }
        // Bytes per second that go.
        let rate = -covariance / variance;
        if !(rate.is_finite() && rate > 0.0) {
            return None;
        }
        let seconds = free.saturating_sub(reserve) as f64 / rate;
        (seconds <= FORECAST_MAX.as_secs_f64()).then(|| Duration::from_secs_f64(seconds))
    }
}

/// Measures from now on, until `stop`.
pub async fn measure(trend: DiskTrend, maintenance: Arc<Maintenance>, stop: CancellationToken) {
    let begun = Instant::now();
    loop {
        let asked = maintenance.clone();
        if let Ok(Ok(figures)) = tokio::task::spawn_blocking(move || asked.figures()).await {
            trend.add(begun.elapsed(), figures.disk_free);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    #[test]
    fn a_disk_that_fills_by_a_gibibyte_an_hour_is_full_when_that_many_hours_have_passed() {
        let trend = DiskTrend::default();
        let free = |minute: u64| 100 * GIB - minute * GIB / 60;
        for minute in 0..15 {
            trend.add(minutes(minute), free(minute));
            assert_eq!(trend.full_in(free(minute), GIB), None, "after {minute} minutes nothing is known");
        }
        for minute in 15..=300 {
            // Compactions take a gibibyte for some minutes, and give it back.
            trend.add(minutes(minute), free(minute) - if minute % 20 < 5 { GIB } else { 0 });
        }
        let hours = trend.full_in(free(300), GIB).unwrap().as_secs_f64() / 3_600.0;
        assert!((85.0..105.0).contains(&hours), "{hours}");
    }

    #[test]
    fn a_disk_that_does_not_fill_is_never_full_and_what_is_long_ago_is_forgotten() {
        let trend = DiskTrend::default();
        for minute in 0..60 {
            trend.add(minutes(minute), 50 * GIB - minute * GIB / 2);
        }
        assert!(trend.full_in(20 * GIB, GIB).is_some());
        for minute in 60..500 {
            trend.add(minutes(minute), 20 * GIB);
        }
        assert_eq!(trend.full_in(20 * GIB, GIB), None, "it stopped six hours ago");
        for minute in 500..900 {
            trend.add(minutes(minute), 20 * GIB + minute * GIB / 100);
        }
        assert_eq!(trend.full_in(30 * GIB, GIB), None, "it gives room back");
        assert!(trend.0.lock().len() <= 361);
    }
}
