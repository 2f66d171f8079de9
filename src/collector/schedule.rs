//! Scan classes: tags that share period and phase, and the fixed grid of times on which they are polled.
//!
//! The grid is anchored once per process and never shifts: a late poll does not move the ones after it, and a poll that could not be made
//! is counted and not made up. Phases come from the device's name, so that devices with the same period do not all knock at once.

use std::{sync::OnceLock, time::Duration};

use tokio::time::Instant;

/// Period and phase shared by some tags of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanClass {
    pub period: Duration,
    /// Offset on the grid, below `period`.
    pub phase: Duration,
}

impl ScanClass {
    /// The class of a device with a period; devices are spread evenly over it by their name. A period of zero is taken as a millisecond.
    pub fn of(device: &str, period: Duration) -> ScanClass {
        let period = period.max(Duration::from_millis(1));
        // FNV-1a: the phase of a device must not change between runs, which the standard library's hasher does not promise.
        let hash = device.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // Names that differ in their last letter alone differ in the low bits alone until these are spread.
        let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let hash = hash ^ hash >> 33;
        let phase = period.mul_f64((hash >> 11) as f64 / (1_u64 << 53) as f64);
        ScanClass { period, phase: phase.min(period.saturating_sub(Duration::from_nanos(1))) }
    }
}

/// When each scan class of a device is due next.
#[derive(Clone, Debug)]
pub struct Schedule {
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    period: Duration,
    due: Instant,
}

impl Schedule {
    /// A schedule for a device that is read for the first time at `start`: the first slot of a class lies half a period to one and a half
    /// periods later, so that it does not follow on the heels of that first reading.
    pub fn new(classes: &[ScanClass], start: Instant) -> Schedule {
        Schedule::anchored(classes, start, origin())
    }

    fn anchored(classes: &[ScanClass], start: Instant, origin: Instant) -> Schedule {
        let slots = classes.iter().map(|class| {
            let not_before = (start + class.period / 2).saturating_duration_since(origin + class.phase);
            let periods = not_before.as_nanos().div_ceil(class.period.as_nanos());
            Slot { period: class.period, due: origin + class.phase + times(class.period, periods) }
        });
        Schedule { slots: slots.collect() }
    }

    /// Class that is due first, and when. `None` without classes.
    pub fn next(&self) -> Option<(usize, Instant)> {
        self.slots.iter().enumerate().map(|(class, slot)| (class, slot.due)).min_by_key(|&(_, due)| due)
    }

    /// Takes the slot of `class` that is due at `now` and moves on to the first slot after `now`. Returns how many slots were passed over
    /// because their whole period went by.
    pub fn take(&mut self, class: usize, now: Instant) -> u64 {
        let slot = &mut self.slots[class];
        let missed = now.saturating_duration_since(slot.due).as_nanos() / slot.period.as_nanos();
        slot.due += times(slot.period, missed + 1);
        u64::try_from(missed).unwrap_or(u64::MAX)
    }
}

/// Zero of every grid: the first time it was asked for in this process.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// `period × count`, which fits: the product is a time since the process started, or a period further.
fn times(period: Duration, count: u128) -> Duration {
    Duration::from_nanos(u64::try_from(period.as_nanos().saturating_mul(count)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_grid_does_not_drift_and_missed_slots_are_counted_not_made_up() {
        let origin = Instant::now();
        let class = ScanClass { period: ms(100), phase: ms(30) };
        let mut schedule = Schedule::anchored(&[class], origin, origin);
        assert_eq!(schedule.next(), Some((0, origin + ms(130))), "half a period after the first reading at the earliest");
        assert_eq!(schedule.take(0, origin + ms(137)), 0, "late within its period is made");
        assert_eq!(schedule.next(), Some((0, origin + ms(230))), "and does not move the grid");
        assert_eq!(schedule.take(0, origin + ms(555)), 3, "slots 330, 430 and 530 went by");
        assert_eq!(schedule.next(), Some((0, origin + ms(630))));
        assert_eq!(schedule.take(0, origin + ms(629)), 0, "taken early counts nothing");
    }

    #[test]
    fn the_class_that_is_due_first_comes_first() {
        let origin = Instant::now();
        let classes = [ScanClass { period: ms(1000), phase: ms(0) }, ScanClass { period: ms(300), phase: ms(0) }];
        let mut schedule = Schedule::anchored(&classes, origin, origin);
        let mut order = Vec::new();
        for _ in 0..7 {
            let (class, due) = schedule.next().unwrap();
            order.push((class, (due - origin).as_millis()));
            schedule.take(class, due);
        }
        assert_eq!(order, [(1, 300), (1, 600), (1, 900), (0, 1000), (1, 1200), (1, 1500), (1, 1800)]);
    }

    #[test]
    fn phases_are_spread_over_devices_and_stay() {
        let period = ms(1000);
        let mut buckets = [0; 4];
        for device in 0..400 {
            let class = ScanClass::of(&format!("device{device}"), period);
            assert!(class.phase < period);
            assert_eq!(class, ScanClass::of(&format!("device{device}"), period));
            buckets[(class.phase.as_millis() / 250) as usize] += 1;
        }
        assert!(buckets.iter().all(|&count| count > 50), "{buckets:?}");
    }
}
