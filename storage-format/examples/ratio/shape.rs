//! The shapes of `benches/shape.rs`, and one of each value type that they lack.

use historian_format::{Samples, StringColumn, ValueType, Values};

use crate::random::Random;

const START: i64 = 1_760_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// Name and samples of each.
pub fn all(count: usize) -> Vec<(&'static str, Samples)> {
    let mut random = Random::new(42);
    let exact = |_: &mut Random| 0;
    let early_or_late = |random: &mut Random| random.below(7) as i64 - 3;
    let wave = |index: usize| (index as f64 / 500.0).sin() * 10.0 + 50.0;
    let mut level = 20.0;
    let mut shapes = Vec::new();
    let mut add = |name, values, jitter: &dyn Fn(&mut Random) -> i64, random: &mut Random| {
        let mut samples = Samples::new(ValueType::F64);
        samples.timestamps = (0..count as i64).map(|index| START + index * SECOND + jitter(random) * 1_000_000).collect();
        samples.values = values;
        samples.qualities = vec![0; count];
        shapes.push((name, samples));
    };
    add("steady", Values::F64(vec![20.0; count]), &exact, &mut random);
    let drift = (0..count).map(|_| {
        level += random.normal() * 0.01;
        level
    });
    let drift = Values::F64(drift.collect());
    add("drift", drift, &exact, &mut random);
    let decimals = (0..count).map(|index| ((wave(index) + random.normal() * 0.1) * 100.0).round() / 100.0);
    let decimals = Values::F64(decimals.collect());
    add("jitter", decimals, &early_or_late, &mut random);
    let noisy = Values::F64((0..count).map(|index| wave(index) + random.normal()).collect());
    add("noisy", noisy, &exact, &mut random);
    let stepped = (0..count).map(|_| {
        level += if random.below(200) == 0 { 1.5 } else { 0.0 };
        level
    });
    let stepped = Values::F64(stepped.collect());
    add("stepped", stepped, &exact, &mut random);
    let mut total = 0;
    let counter = (0..count).map(|_| {
        total += random.below(5) as i64;
        total
    });
    let counter = Values::I64(counter.collect());
    add("counter", counter, &early_or_late, &mut random);
    let mut on = false;
    let switch = (0..count).map(|_| {
        on ^= random.below(60) == 0;
        on
    });
    let switch = Values::Bool(switch.collect());
    add("boolean", switch, &exact, &mut random);
    let floats = Values::F32((0..count).map(|index| (wave(index) + random.normal() * 0.1) as f32).collect());
    add("f32, full mantissa", floats, &early_or_late, &mut random);
    let widened = Values::F64((0..count).map(|index| f64::from((wave(index) + random.normal() * 0.1) as f32)).collect());
    add("f32 stored as f64", widened, &early_or_late, &mut random);
    let states = Values::State((0..count).map(|_| random.below(4) as u32).collect());
    add("state, any of 4", states, &exact, &mut random);
    let total = Values::U64((0..count as u64).map(|index| (1 << 40) + index * 25 + random.below(3)).collect());
    add("u64 total", total, &exact, &mut random);
    let words = ["running", "stopped", "starting up", "fault: over-temperature"];
    let mut texts = StringColumn::new();
    (0..count).for_each(|_| texts.push(words[random.below(4) as usize]).expect("there is room"));
    add("string, any of 4", Values::String(texts), &exact, &mut random);
    let mut messages = StringColumn::new();
    for index in 0..count {
        let text = format!("batch {} of recipe {} released by operator {}", 70_000 + index, random.below(30), random.below(5));
        messages.push(&text).expect("there is room");
    }
    add("string, messages", Values::String(messages), &early_or_late, &mut random);
    shapes
}
