//! Prints, as the Markdown tables of `benches/README.md`, what the format makes of real and of generated
//! data: bytes by column and speed, hot and cold.
//!
//!     cargo run --release -p historian-format --example ratio
//!
//! Real data are looked for in `$HISTORIAN_DATA`, else in `shared/data` beside the checkout; without them
//! only generated ones are shown. With `$HISTORIAN_PLANT`, a folder that `gen.py` of the comparison with
//! other databases wrote, its plant is shown too; `$COLD_SAMPLES` sets the size of cold chunks. An argument
//! (`plant`, `shapes`, `data`) shows that table only. Speeds are of one thread and of the best round.

mod data;
mod plant;
mod random;
mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use historian_format::{CHUNK_HEADER_BYTES, Chunk, Effort, Samples, encode_chunk_with};

const HOT_SAMPLES: usize = 1_024;
const COLD_SAMPLES: usize = 8_192;

fn cold_samples() -> usize {
    std::env::var("COLD_SAMPLES").ok().and_then(|text| text.parse().ok()).unwrap_or(COLD_SAMPLES)
}

/// What a row of a table adds up.
#[derive(Default)]
struct Sum {
    series: usize,
    samples: usize,
    values: usize,
    bytes: usize,
    header_bytes: usize,
    timestamp_bytes: usize,
    value_bytes: usize,
    quality_bytes: usize,
    /// Per series, bytes per value: its mean does not weigh long series more.
    per_series: Vec<f64>,
    encode_s: f64,
    decode_s: f64,
    codecs: BTreeMap<&'static str, usize>,
}

impl Sum {
    fn add(&mut self, samples: &Samples, effort: Effort) {
        let per_chunk = if effort == Effort::Hot { HOT_SAMPLES } else { cold_samples() };
        let pieces: Vec<Samples> = (0..samples.len())
            .step_by(per_chunk)
            .map(|from| {
                let mut piece = Samples::new(samples.value_type());
                piece.extend_range(samples, from..samples.len().min(from + per_chunk)).expect("the type is the same");
                piece
            })
            .collect();
        let mut chunks = vec![Vec::new(); pieces.len()];
        self.encode_s += best(|| {
            for (piece, chunk) in pieces.iter().zip(&mut chunks) {
                chunk.clear();
                encode_chunk_with(1, 1, piece, effort, chunk).expect("the samples are in order");
            }
        });
        let mut target = Samples::new(samples.value_type());
        self.decode_s += best(|| {
            for chunk in &chunks {
                target.clear();
                Chunk::parse(chunk).and_then(|chunk| chunk.decode_into(&mut target)).expect("the chunk is ours");
            }
        });
        let (mut value_bytes, mut values) = (0, 0);
        for (bytes, piece) in chunks.iter().zip(&pieces) {
            let chunk = Chunk::parse(bytes).expect("the chunk is ours");
            assert_eq!(chunk.decode().expect("the chunk is ours"), *piece, "what is read is what was written");
            let header = chunk.header();
            self.bytes += bytes.len();
            self.header_bytes += CHUNK_HEADER_BYTES;
            self.timestamp_bytes += header.timestamps_bytes;
            self.quality_bytes += header.qualities_bytes + header.presence_bytes;
            value_bytes += header.values_bytes;
            values += piece.len() - piece.null_count();
            *self.codecs.entry(header.value_codec.as_str()).or_default() += piece.len();
        }
        self.series += 1;
        self.samples += samples.len();
        self.values += values;
        self.value_bytes += value_bytes;
        self.per_series.push(value_bytes as f64 / values.max(1) as f64);
    }

    fn mean_value_bytes(&self) -> f64 {
        self.per_series.iter().sum::<f64>() / self.per_series.len().max(1) as f64
    }

    fn per_sample(&self, bytes: usize) -> f64 {
        bytes as f64 / self.samples.max(1) as f64
    }

    fn codecs(&self) -> String {
        let mut codecs: Vec<_> = self.codecs.iter().collect();
        codecs.sort_by_key(|(_, samples)| std::cmp::Reverse(**samples));
        let share = |samples: usize| (samples as f64 / self.samples.max(1) as f64 * 100.0).round();
        codecs.iter().map(|(codec, samples)| format!("{codec} {}", share(**samples))).take(4).collect::<Vec<_>>().join(", ")
    }
}

/// Seconds of the best of several rounds, at least 5 and as many as a twentieth of a second takes: what
/// else the machine does only ever makes a round longer.
fn best(mut round: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    for rounds in 0.. {
        if rounds >= 5 && begin.elapsed().as_millis() >= 50 {
            break;
        }
        let start = Instant::now();
        round();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn table(title: &str, sets: &[(String, Vec<Samples>)]) {
    println!(
        "| {title} | series | samples | | B/value | B/timestamp | B/quality | B/sample, whole | encode | decode | codecs of the values, % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for effort in [Effort::Hot, Effort::Cold] {
        let mut whole = Sum::default();
        for (name, series) in sets {
            let mut sum = Sum::default();
            for samples in series {
                sum.add(samples, effort);
            }
            row(name, effort, &sum);
            whole.series += sum.series;
            whole.samples += sum.samples;
            whole.values += sum.values;
            whole.bytes += sum.bytes;
            whole.timestamp_bytes += sum.timestamp_bytes;
            whole.quality_bytes += sum.quality_bytes;
            whole.header_bytes += sum.header_bytes;
            whole.encode_s += sum.encode_s;
            whole.decode_s += sum.decode_s;
            whole.per_series.extend(sum.per_series);
            for (codec, samples) in sum.codecs {
                *whole.codecs.entry(codec).or_default() += samples;
            }
        }
        row("**all**", effort, &whole);
    }
}

fn row(name: &str, effort: Effort, sum: &Sum) {
    let speed = |seconds: f64| sum.samples as f64 / seconds / 1e6;
    println!(
        "| {name} | {} | {} | {} | {:.2} | {:.3} | {:.3} | {:.3} | {:.0} | {:.0} | {} |",
        sum.series,
        sum.samples,
        if effort == Effort::Hot { "hot" } else { "cold" },
        sum.mean_value_bytes(),
        sum.per_sample(sum.timestamp_bytes),
        sum.per_sample(sum.quality_bytes),
        sum.per_sample(sum.bytes),
        speed(sum.encode_s),
        speed(sum.decode_s),
        sum.codecs()
    );
}

fn main() -> std::io::Result<()> {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    println!(
        "Chunks of {HOT_SAMPLES} samples hot and {} cold. B/value: mean over the series; the others: over all samples.",
        cold_samples()
    );
    println!("Whole: with header and all columns. Encode, decode: M samples/s.\n");
    if wanted("plant") {
        let kinds: Vec<(String, Vec<Samples>)> =
            plant::KINDS.iter().enumerate().map(|(kind, name)| ((*name).to_owned(), plant::tags(kind, 100, COLD_SAMPLES))).collect();
        table("plant", &kinds);
        println!();
    }
    if let Some(folder) = std::env::var_os("HISTORIAN_PLANT") {
        table("plant of gen.py", &plant::generated(Path::new(&folder))?);
        println!();
    }
    if wanted("shapes") {
        let shapes: Vec<(String, Vec<Samples>)> =
            shape::all(COLD_SAMPLES * 4).into_iter().map(|(name, samples)| (name.to_owned(), vec![samples])).collect();
        table("shape", &shapes);
        println!();
    }
    if wanted("data") {
        let folder = std::env::var_os("HISTORIAN_DATA")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
        let sets = data::sets(&folder)?;
        if sets.is_empty() {
            println!("No real data: there is nothing in {}. Set HISTORIAN_DATA to a folder with the data sets.", folder.display());
        } else {
            table("real data", &sets);
        }
    }
    Ok(())
}
