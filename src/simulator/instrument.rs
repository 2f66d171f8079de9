//! The instruments: what each one shows of the process, with its lag, noise and resolution, and how it fails now and then.

use rand::{Rng, rngs::StdRng};

use super::{
    process::{Process, normal},
    signal::{SIGNALS, Sensor, SensorFault, Truth},
};

/// How far off an instrument is that has lost its calibration, in standard deviations of its noise.
const BIAS: f64 = 30.0;

/// What an instrument shows at one scan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InstrumentReading {
    pub value: Truth,
    /// Set while the instrument is broken.
    pub fault: Option<SensorFault>,
}

/// All instruments of the plant, in the order of [`SIGNALS`].
pub(super) struct Instruments(Vec<Instrument>);

struct Instrument {
    sensor: Sensor,
    /// It shows nothing beyond.
    range: (f64, f64),
    /// Output of the sensor's lag; none before the first scan.
    filtered: Option<f64>,
    /// Seconds to the next failure, or, while broken, to its end.
    changes_in_s: f64,
    broken: bool,
    failures: Failures,
}

/// How often instruments fail, and for how long, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failures {
    first: (f64, f64),
    apart: (f64, f64),
    lasting: (f64, f64),
}

impl Failures {
    /// Often enough that who looks at a demo sees one.
    pub const OF_A_DEMO: Failures = Failures { first: (4.0, 20.0), apart: (120.0, 480.0), lasting: (8.0, 20.0) };
    /// As rare as in a plant in which much is wrong.
    pub const OF_A_WEEK: Failures = Failures { first: (3600.0, 21_600.0), apart: (7200.0, 36_000.0), lasting: (60.0, 600.0) };
}

impl Instruments {
    pub fn new(failures: Failures, random: &mut StdRng) -> Instruments {
        let instrument = |signal: &super::Signal| Instrument {
            sensor: signal.sensor,
            range: signal.range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY)),
            filtered: None,
            changes_in_s: within(failures.first, random),
            broken: false,
            failures,
        };
        Instruments(SIGNALS.iter().map(instrument).collect())
    }

    /// From now on whole, until they fail in another way.
    pub fn fail(&mut self, failures: Failures, random: &mut StdRng) {
        for instrument in &mut self.0 {
            (instrument.broken, instrument.failures) = (false, failures);
            instrument.changes_in_s = within(failures.first, random);
        }
    }

    /// One scan of all signals.
    pub fn read(&mut self, process: &Process, dt: f64, random: &mut StdRng) -> Vec<InstrumentReading> {
        SIGNALS.iter().zip(&mut self.0).map(|(signal, instrument)| instrument.read((signal.truth)(process), dt, random)).collect()
    }
}

impl Instrument {
    fn read(&mut self, truth: Truth, dt: f64, random: &mut StdRng) -> InstrumentReading {
        self.age(dt, random);
        let fault = self.sensor.fault.filter(|_| self.broken);
        let Truth::Number(number) = truth else { return InstrumentReading { value: truth, fault } };
        let Sensor { noise, lag_s, resolution, .. } = self.sensor;
        let before = self.filtered.unwrap_or(number);
        let filtered = if lag_s > 0.0 { before + (number - before) * (1.0 - (-dt / lag_s).exp()) } else { number };
        self.filtered = Some(filtered);
        let noisy = if noise > 0.0 { filtered + noise * normal(random) } else { filtered };
        let biased = if fault == Some(SensorFault::NotAccurate) { noisy + BIAS * noise } else { noisy };
        let shown = if resolution > 0.0 { rounded(biased, resolution) } else { biased };
        let shown = shown.clamp(self.range.0, self.range.1);
        InstrumentReading { value: Truth::Number(shown), fault }
    }

    fn age(&mut self, dt: f64, random: &mut StdRng) {
        if self.sensor.fault.is_none() {
            return;
        }
        self.changes_in_s -= dt;
        if self.changes_in_s <= 0.0 {
            self.broken = !self.broken;
            self.changes_in_s = within(if self.broken { self.failures.lasting } else { self.failures.apart }, random);
        }
    }
}

fn within((least, most): (f64, f64), random: &mut StdRng) -> f64 {
    random.random_range(least..most)
}

/// Nearest multiple of a decimal resolution, as the nearest double to that decimal.
pub(super) fn rounded(value: f64, resolution: f64) -> f64 {
    let per_unit = (1.0 / resolution).round();
    (value * per_unit).round() / per_unit
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_instrument_that_can_fail_does_and_recovers() {
        let mut random = StdRng::seed_from_u64(3);
        let (process, mut instruments) = (Process::new(), Instruments::new(Failures::OF_A_DEMO, &mut random));
        let scans: Vec<Vec<InstrumentReading>> = (0..5000).map(|_| instruments.read(&process, 0.2, &mut random)).collect();
        for (index, signal) in SIGNALS.iter().enumerate() {
            let broken = scans.iter().filter(|scan| scan[index].fault.is_some()).count();
            match signal.sensor.fault {
                None => assert_eq!(broken, 0, "{}", signal.tag),
                Some(_) => assert!((40..1000).contains(&broken), "{} is broken in {broken} of 5000 scans", signal.tag),
            }
        }
        assert!(scans[0].iter().all(|reading| reading.fault.is_none()), "a plant starts whole");
    }

    #[test]
    fn numbers_are_decimals_of_their_resolution() {
        let mut random = StdRng::seed_from_u64(4);
        let (process, mut instruments) = (Process::new(), Instruments::new(Failures::OF_A_DEMO, &mut random));
        for reading in instruments.read(&process, 0.2, &mut random).iter().zip(SIGNALS).filter_map(|(reading, signal)| {
            let Truth::Number(number) = reading.value else { return None };
            (signal.sensor.resolution > 0.0).then_some((signal.tag, number, signal.sensor.resolution))
        }) {
            let (tag, number, resolution) = reading;
            assert!(format!("{number}").len() <= format!("{}", number.trunc()).len() + format!("{resolution}").len(), "{tag}: {number}");
        }
    }
}
