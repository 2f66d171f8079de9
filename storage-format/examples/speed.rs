//! Prints encode and decode speed and size per data shape: a quick look, not a benchmark suite.
//!
//! `cargo run --release -p historian-format --example speed [samples per chunk [part of a shape's name]]`. Figures are the
//! best of many rounds on one thread; timestamps, values, qualities, statistics and checksums are
//! all included in "encode" and "decode".

use std::hint::black_box;
use std::time::Instant;

use historian_format::{Chunk, Samples, Values, encode_chunk, journal};

/// A fixed-seed generator (xorshift64*), so that every run sees the same data.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Roughly normal, mean 0, deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next() as f64 / u64::MAX as f64).sum::<f64>() - 6.0
    }
}

const CHUNKS: usize = 128;
const START: i64 = 1_760_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn shapes(per_chunk: usize) -> Vec<(&'static str, Vec<Samples>)> {
    let steady = |_: &mut Random, i: i64| START + i * SECOND;
    let jitter = |random: &mut Random, i: i64| START + i * SECOND + (random.next() % 7) as i64 * 1_000_000;
    let gaps = |_: &mut Random, i: i64| START + i * SECOND + i / 700 * 3_600 * SECOND;
    let f64s = |time: fn(&mut Random, i64) -> i64, value: fn(&mut Random, f64, i64) -> f64| -> Vec<Samples> {
        let mut random = Random(42);
        let mut level = 20.0;
        (0..CHUNKS)
            .map(|chunk| {
                let mut samples = Samples::new(historian_format::ValueType::F64);
                let mut values = Vec::new();
                for row in 0..per_chunk {
                    let i = (chunk * per_chunk + row) as i64;
                    samples.timestamps.push(time(&mut random, i));
                    samples.qualities.push(0);
                    level = value(&mut random, level, i);
                    values.push(level);
                }
                samples.values = Values::F64(values);
                samples
            })
            .collect()
    };
    let drift = |random: &mut Random, level: f64, _: i64| level + random.normal() * 0.01;
    let noisy = |random: &mut Random, _: f64, i: i64| (i as f64 / 500.0).sin() * 10.0 + 50.0 + random.normal();
    let decimal =
        |random: &mut Random, _: f64, i: i64| (((i as f64 / 500.0).sin() * 10.0 + 50.0 + random.normal() * 0.1) * 100.0).round() / 100.0;
    let adc = |random: &mut Random, _: f64, i: i64| {
        ((i as f64 / 900.0).sin() * 300.0 + 2_048.0 + random.normal() * 2.0).round() * 150.0 / 4_095.0
    };
    let stepped = |random: &mut Random, level: f64, _: i64| if random.next().is_multiple_of(200) { level + 1.5 } else { level };
    let mut shapes = vec![
        ("drift, steady 1 Hz", f64s(steady, drift)),
        ("drift, 1 Hz +-3 ms", f64s(jitter, drift)),
        ("noisy, steady", f64s(steady, noisy)),
        ("2 decimals, +-3 ms", f64s(jitter, decimal)),
        ("12-bit ADC, +-3 ms", f64s(jitter, adc)),
        ("12-bit ADC, gaps", f64s(gaps, adc)),
        ("setpoint, steady", f64s(steady, stepped)),
    ];
    let mut counters = f64s(jitter, |random, level, _| level + (random.next() % 5) as f64);
    for samples in &mut counters {
        if let Values::F64(values) = &samples.values {
            samples.values = Values::I64(values.iter().map(|value| *value as i64).collect());
        }
    }
    shapes.push(("i64 counter, +-3 ms", counters));
    shapes
}

/// Million samples per second of the best of several rounds.
fn best(samples: usize, mut round: impl FnMut()) -> f64 {
    let fastest = (0..40)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    samples as f64 / fastest / 1e6
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let per_chunk = std::env::args().nth(1).map_or(Ok(1_024), |text| text.parse())?;
    println!("{per_chunk} samples per chunk; M samples/s, bytes per sample with headers");
    println!(
        "{:22} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} codecs",
        "shape", "encode", "decode", "ts dec", "val dec", "bytes", "j encode", "j decode"
    );
    let wanted = std::env::args().nth(2).unwrap_or_default();
    for (name, chunks) in shapes(per_chunk).into_iter().filter(|(name, _)| name.contains(&wanted)) {
        let total = per_chunk * CHUNKS;
        let mut encoded = vec![Vec::new(); CHUNKS];
        let encode = best(total, || {
            for (samples, out) in chunks.iter().zip(&mut encoded) {
                out.clear();
                encode_chunk(1, 1, black_box(samples), out).expect("valid samples");
            }
        });
        let mut target = Samples::new(chunks[0].value_type());
        let parsed: Vec<Chunk<'_>> = encoded.iter().map(|bytes| Chunk::parse(bytes)).collect::<Result<_, _>>()?;
        let decode = best(total, || {
            for bytes in &encoded {
                target.clear();
                Chunk::parse(black_box(bytes)).and_then(|chunk| chunk.decode_into(&mut target)).expect("own chunk");
            }
        });
        let timestamps = best(total, || {
            for chunk in &parsed {
                target.clear();
                black_box(chunk).decode_timestamps_into(&mut target.timestamps).expect("own chunk");
            }
        });
        let values = best(total, || {
            for chunk in &parsed {
                target.clear();
                black_box(chunk).decode_values_into(&mut target.values, &mut target.validity).expect("own chunk");
            }
        });
        let mut record = Vec::new();
        let journal_encode = best(total, || {
            record.clear();
            journal::encode_record((0..).zip(black_box(&chunks)), &mut record).expect("valid runs");
        });
        let journal_decode = best(total, || {
            black_box(journal::decode_record(black_box(&record)).expect("own record"));
        });
        let bytes = encoded.iter().map(Vec::len).sum::<usize>() as f64 / total as f64;
        let header = parsed[0].header();
        println!(
            "{name:22} {encode:8.0} {decode:8.0} {timestamps:8.0} {values:8.0} {bytes:8.2} {journal_encode:9.0} {journal_decode:9.0} {} + {}",
            header.timestamp_codec.as_str(),
            header.value_codec.as_str()
        );
    }
    Ok(())
}
