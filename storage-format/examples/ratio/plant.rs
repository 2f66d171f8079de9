//! A plant's samples as `shared/tools/peers/gen.py` makes them: 60 % readings of 12-bit converters, 15 %
//! noise with a full mantissa, 10 % set points, 10 % states, 5 % counters; 1 Hz with 8 ms of jitter, and
//! a burst of Bad qualities now and then. Other random numbers, the same distributions.

use std::{fs, io, path::Path};

use historian_format::{Samples, ValueType, Values};

use crate::random::Random;

/// Of 20 tags, which kind each one is.
const PATTERN: [usize; 20] = [0, 0, 1, 0, 0, 2, 0, 3, 0, 0, 1, 0, 4, 0, 2, 0, 0, 3, 1, 0];

pub const KINDS: [&str; 5] = ["12-bit converter", "noise", "set point", "state", "counter"];

/// The tags of a kind, of which there are as many per 20 as in the plant.
pub fn tags(kind: usize, count: usize, samples: usize) -> Vec<Samples> {
    let chosen = (0..count).filter(|tag| PATTERN[tag % PATTERN.len()] == kind);
    chosen.map(|tag| run(kind, samples, Random::new(tag as u64 * 7_919 + 42))).collect()
}

fn run(kind: usize, count: usize, mut random: Random) -> Samples {
    let mut samples = Samples::new(ValueType::F64);
    for index in 0..count as i64 {
        let jitter = (random.normal() * 8.0).round().clamp(-400.0, 400.0) as i64;
        samples.timestamps.push((1_750_000_000_000 + index * 1_000 + jitter) * 1_000_000);
    }
    samples.values = Values::F64(values(kind, count, &mut random));
    samples.qualities = vec![0; count];
    for index in 0..count {
        if random.below(20_000) == 0 {
            let end = (index + 1 + random.below(39) as usize).min(count);
            samples.qualities[index..end].fill(0x8000_0000);
        }
    }
    samples
}

fn values(kind: usize, count: usize, random: &mut Random) -> Vec<f64> {
    match kind {
        0 => converter(count, random),
        1 => {
            let (level, deviation) = (random.between(-100.0, 1_000.0), random.between(0.1, 20.0));
            (0..count).map(|_| level + random.normal() * deviation).collect()
        }
        2 => held(count, 900, random, |random| random.between(0.0, 200.0).round() * 0.5),
        3 => {
            let states = [2, 2, 2, 5][random.below(4) as usize];
            held(count, 300, random, |random| random.below(states) as f64)
        }
        _ => {
            let rate = random.between(0.5, 8.0);
            let mut total = random.below(1_000_000) as f64;
            (0..count)
                .map(|_| {
                    total += random.poisson(rate) as f64;
                    total
                })
                .collect()
        }
    }
}

fn converter(count: usize, random: &mut Random) -> Vec<f64> {
    let low = random.below(100) as f64 - 50.0;
    let span = [10.0, 25.0, 100.0, 160.0, 400.0, 1_000.0][random.below(6) as usize];
    let noise = [0.0, 0.3, 0.8, 1.5][random.below(4) as usize];
    let (amplitude, period, phase) =
        (random.between(100.0, 1_200.0), random.between(1_800.0, 86_400.0), random.between(0.0, std::f64::consts::TAU));
    let wander = [0.05, 0.2, 0.5][random.below(3) as usize];
    let mut drift = 0.0;
    (0..count)
        .map(|index| {
            drift += random.normal() * wander;
            let wave = (std::f64::consts::TAU * index as f64 / period + phase).sin() * amplitude;
            let raw = (2_048.0 + wave + drift + random.normal() * noise).round().clamp(0.0, 4_095.0);
            low + raw * (span / 4_095.0)
        })
        .collect()
}

/// A level that changes once in `mean` samples.
fn held(count: usize, mean: u64, random: &mut Random, mut level: impl FnMut(&mut Random) -> f64) -> Vec<f64> {
    let mut current = level(random);
    (0..count)
        .map(|_| {
            if random.below(mean) == 0 {
                current = level(random);
            }
            current
        })
        .collect()
}

/// The very samples of `gen.py`, from the folder that it wrote: tags by kind.
pub fn generated(folder: &Path) -> io::Result<Vec<(String, Vec<Samples>)>> {
    let kinds = array(&folder.join("kind.npy"))?;
    let (timestamps, values, qualities) = (array(&folder.join("ts.npy"))?, array(&folder.join("v.npy"))?, array(&folder.join("q.npy"))?);
    let count = qualities.len() / kinds.len();
    let words = |bytes: &[u8], tag: usize| -> Vec<[u8; 8]> { bytes.as_chunks::<8>().0[tag * count..(tag + 1) * count].to_vec() };
    let mut tags: Vec<Vec<Samples>> = vec![Vec::new(); KINDS.len()];
    for (tag, kind) in kinds.iter().enumerate() {
        let mut samples = Samples::new(ValueType::F64);
        samples.timestamps = words(&timestamps, tag).into_iter().map(|word| i64::from_le_bytes(word) * 1_000_000).collect();
        samples.values = Values::F64(words(&values, tag).into_iter().map(f64::from_le_bytes).collect());
        samples.qualities = qualities[tag * count..(tag + 1) * count].iter().map(|bad| u32::from(*bad) << 31).collect();
        samples.sort_and_dedup();
        tags[usize::from(*kind)].push(samples);
    }
    Ok(KINDS.iter().map(|kind| format!("{kind} (gen.py)")).zip(tags).collect())
}

/// The numbers of a `NumPy` file, as they lie behind its header.
fn array(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    let header = bytes.get(8..10).map_or(0, |length| usize::from(u16::from_le_bytes([length[0], length[1]])));
    Ok(bytes.get(10 + header..).unwrap_or_default().to_vec())
}
