//! `codec/encode` and `codec/decode`: whole chunks (timestamps, values, qualities, statistics, checksums) per shape and chunk size, as
//! the sealing of a head makes them; `codec/encode_cold` and `codec/decode_cold`: as compaction does.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use historian::model::Samples;
use historian_format::{Chunk, Effort, encode_chunk_with};

use crate::shape::{Shape, Source};

/// Chunks of one iteration: of a single one the processor's branch prediction learns the data by heart.
const CHUNKS: usize = 16;

pub fn benches(criterion: &mut Criterion) {
    let operations = [("encode", Effort::Hot), ("decode", Effort::Hot), ("encode_cold", Effort::Cold), ("decode_cold", Effort::Cold)];
    for (operation, effort) in operations {
        let mut group = criterion.benchmark_group(format!("codec/{operation}"));
        for shape in Shape::ALL {
            let sizes: &[usize] = if effort == Effort::Hot { &[1024, 8192] } else { &[8192] };
            for &size in sizes {
                let mut source = Source::new(shape, 42);
                let samples: Vec<Samples> = (0..CHUNKS).map(|_| source.take(size)).collect();
                let mut chunks: Vec<Vec<u8>> = vec![Vec::new(); CHUNKS];
                encode(&samples, effort, &mut chunks);
                group.throughput(Throughput::Elements((CHUNKS * size) as u64));
                group.bench_function(BenchmarkId::new(shape.name(), size), |bencher| {
                    if operation.starts_with("encode") {
                        bencher.iter(|| encode(black_box(&samples), effort, &mut chunks));
                    } else {
                        let mut out = Samples::new(shape.value_type());
                        bencher.iter(|| decode(black_box(&chunks), &mut out));
                    }
                });
            }
        }
    }
}

fn encode(samples: &[Samples], effort: Effort, chunks: &mut [Vec<u8>]) {
    for (samples, chunk) in samples.iter().zip(chunks) {
        chunk.clear();
        encode_chunk_with(1, 1, samples, effort, chunk).expect("the samples are valid");
    }
}

fn decode(chunks: &[Vec<u8>], out: &mut Samples) {
    for chunk in chunks {
        out.clear();
        Chunk::parse(chunk).and_then(|chunk| chunk.decode_into(out)).expect("the chunk is ours");
    }
}
