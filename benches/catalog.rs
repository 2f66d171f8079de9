//! `catalog/…`: looking tags up and selecting them, among 100,000 in memory.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use historian::model::{TagScope, TagSelection, ValueType};
use historian_test_support::engine::{TestHistorian, tag};

const TAGS: usize = 100_000;
const NAMED: usize = 100;

fn name(number: usize) -> String {
    format!("area{}/unit{:03}/tag {number:06}", number % 10, number / 10 % 100)
}

pub fn benches(criterion: &mut Criterion) {
    let historian = TestHistorian::in_memory().open();
    historian.tags((0..TAGS).map(|number| tag(&name(number), ValueType::F64)));
    let catalog = &historian.catalog;
    let names: Vec<String> = (0..NAMED).map(|number| name(number * 7_919 % TAGS)).collect();

    let mut group = criterion.benchmark_group("catalog");
    group.throughput(Throughput::Elements(NAMED as u64));
    group.bench_function(BenchmarkId::new("get", TAGS), |bencher| {
        bencher.iter(|| names.iter().filter(|name| catalog.within(&TagScope::Everything).get(black_box(name)).is_some()).count());
    });
    let globs: Vec<String> = (0..9_999).map(|number| format!("**/*{:02}*{number:04}*g*z", number % 100)).collect();
    let shapes: [(&str, &[String]); 4] =
        [("all", &["**".to_owned()]), ("named", &names), ("ends", &["**/tag *7".to_owned()]), ("9999_globs", &globs)];
    for (shape, patterns) in shapes {
        let selection = TagSelection::parse(patterns).expect("the patterns are valid");
        group.throughput(Throughput::Elements(if shape == "named" { NAMED } else { TAGS } as u64));
        group.bench_function(BenchmarkId::new(format!("select/{shape}"), TAGS), |bencher| {
            bencher.iter(|| catalog.within(&TagScope::Everything).select(black_box(&selection)).0.len());
        });
    }
    group.finish();
}
