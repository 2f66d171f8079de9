//! The process with its instruments and its chance, scan after scan, and the hours of those who run it.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};

use super::{
    instrument::{Failures, InstrumentReading, Instruments},
    process::{Conditions, Process},
};
use historian_model::Timestamp;

/// Simulated time that passes before anybody looks, so that nobody sees the plant find its balance.
const WARM_UP: Duration = Duration::from_mins(30);
const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;
/// Days from Saturday on: 1970-01-01 was a Thursday.
const DAYS_SINCE_SATURDAY: i64 = 5;

/// A plant at work.
pub struct Course {
    pub(super) process: Process,
    pub(super) instruments: Instruments,
    pub(super) random: StdRng,
}

/// A plant that was saved cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the state of the plant cannot be read: {0}")]
pub struct UnreadablePlant(String);

impl Course {
    /// A plant that has found its balance, with instruments that are whole. The same seed and step give the same course of the process, its
    /// noise and its faults.
    pub fn begin(seed: u64, step: Duration, at: Timestamp) -> Course {
        let mut course = Course::warm(seed, step.as_secs_f64(), at.0 / 1_000_000_000, Failures::OF_A_DEMO);
        course.instruments.fail(Failures::OF_A_DEMO, &mut course.random);
        course
    }

    pub(super) fn warm(seed: u64, step_s: f64, at_s: i64, failures: Failures) -> Course {
        let mut random = StdRng::seed_from_u64(seed);
        let instruments = Instruments::new(failures, &mut random);
        let mut course = Course { process: Process::new(), instruments, random };
        course.process.conditions.rate = rate(at_s);
        for _ in 0..(WARM_UP.as_secs_f64() / step_s) as usize {
            course.process.step(step_s, &mut course.random);
        }
        course
    }

    /// The plant as [`Course::saved`] has it, with another chance.
    ///
    /// # Errors
    /// When the text is another.
    pub fn restored(saved: &str, seed: u64) -> Result<Course, UnreadablePlant> {
        let process: Process = serde_json::from_str(saved).map_err(|error| UnreadablePlant(error.to_string()))?;
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(process.energy_wh as u64));
        Ok(Course { process, instruments: Instruments::new(Failures::OF_A_DEMO, &mut random), random })
    }

    /// Tanks, counters and controllers as text.
    pub fn saved(&self) -> String {
        saved(&self.process)
    }

    /// One step of the process, and a reading of each signal in the order of the list of signals.
    pub(super) fn scan(&mut self, step_s: f64, at: Timestamp) -> Vec<InstrumentReading> {
        self.process.conditions = Conditions { rate: rate(at.0 / 1_000_000_000), ..Conditions::default() };
        self.process.step(step_s, &mut self.random);
        self.instruments.read(&self.process, step_s, &mut self.random)
    }
}

pub(super) fn saved(process: &Process) -> String {
    serde_json::to_string(process).unwrap_or_default()
}

/// Speed of production by the shifts, which change at 06, 14 and 22 h UTC: full in the morning, less at night, less at the weekend.
pub(super) fn rate(at_s: i64) -> f64 {
    let of_shift = match at_s.rem_euclid(DAY_S) / HOUR_S {
        6..14 => 1.0,
        14..22 => 0.88,
        _ => 0.6,
    };
    let is_weekend = (at_s.div_euclid(DAY_S) + DAYS_SINCE_SATURDAY).rem_euclid(7) < 2;
    if is_weekend { 0.75 * of_shift } else { of_shift }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_course_and_another_seed_another() {
        let course = |seed| {
            let mut course = Course::begin(seed, Duration::from_millis(200), Timestamp(0));
            (0..500).map(|_| course.scan(0.2, Timestamp(0))).collect::<Vec<_>>()
        };
        // Debug text, because a NaN of a sensor fault is not equal to itself.
        assert_eq!(format!("{:?}", course(7)), format!("{:?}", course(7)));
        assert_ne!(format!("{:?}", course(7)), format!("{:?}", course(8)));
    }

    #[test]
    fn a_saved_plant_goes_on_where_it_was() {
        let course = Course::begin(3, Duration::from_secs(1), Timestamp(0));
        let restored = Course::restored(&course.saved(), 3).unwrap();
        assert!((restored.process.feed_total_l - course.process.feed_total_l).abs() < 1e-6);
        assert!((restored.process.tank201.litres - course.process.tank201.litres).abs() < 1e-9);
        assert!(Course::restored("{}", 3).is_err());
    }

    #[test]
    fn shifts_change_at_6_14_and_22_and_the_weekend_is_saturday_and_sunday() {
        // 2026-11-30 is a Monday.
        let monday = 1_795_996_800;
        let at = |hours: i64| rate(monday + hours * HOUR_S);
        let by_hour: Vec<f64> = (0..24).map(at).collect();
        assert_eq!(by_hour, [vec![0.6; 6], vec![1.0; 8], vec![0.88; 8], vec![0.6; 2]].concat());
        let by_day: Vec<f64> = (0..7).map(|day| at(24 * day + 8)).collect();
        assert_eq!(by_day, [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.75]);
    }
}
