//! Benches of the layers, from the codec to the wire. Ids are `layer/operation/shape/size`; `README.md` beside this file says what they
//! mean and holds measured figures.

mod catalog;
mod codec;
mod door;
mod flight;
mod ingest;
mod plant;
mod query;
mod shape;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

/// Few samples and short runs: one pass over everything takes minutes, and a regression worth looking at is larger than the noise.
fn settings() -> Criterion {
    Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3))
}

criterion_group! {
    name = layers;
    config = settings();
    targets = codec::benches, catalog::benches, ingest::benches, query::benches, flight::benches, door::benches
}
criterion_main!(layers);
