//! Word orders that may be wrong: what each order makes of the registers of a value, whether the value can be meant, and what all values of
//! a device together say. For `historian check`; what is collected never depends on it.
//!
//! A number in the wrong order is hardly ever a likely one. Read so, the exponent of a float is as good as random, and an integer has its
//! small part where the large one belongs. A range of the tag (`range_low`, `range_high`) says more than any such rule, and goes first.

use super::{decode::RegisterDecoder, tag::ModbusTag, word_order::WordOrder};
use historian_collector::{CheckRow, OtherReading, Readings};
use historian_model::{Quality, Value};

/// Floats of measurements, where no range is known: outside the first a value is in doubt, inside the second another one is believed.
const DOUBTED_BELOW: f64 = 1e-6;
const DOUBTED_FROM: f64 = 1e10;
const BELIEVED: std::ops::Range<f64> = 1e-3..1e7;
/// Parts of the range: a float that is nearer to 0 is in doubt, and another one is not believed.
const NOTHING_OF_RANGE: f64 = 1e-9;
const LITTLE_OF_RANGE: f64 = 1e-4;
/// Names in one sentence.
const NAMED_MAX: usize = 6;

/// What a tag's range says.
#[derive(Clone, Copy)]
struct MeasuringRange {
    low: Option<f64>,
    high: Option<f64>,
}

impl MeasuringRange {
    fn of(tag: &ModbusTag) -> Option<MeasuringRange> {
        let (low, high) = (tag.definition.range_low, tag.definition.range_high);
        (low.is_some() || high.is_some()).then_some(MeasuringRange { low, high })
    }

    fn hold(self, value: f64) -> bool {
        self.low.is_none_or(|low| value >= low) && self.high.is_none_or(|high| value <= high)
    }

    fn largest(self) -> f64 {
        self.low.unwrap_or_default().abs().max(self.high.unwrap_or_default().abs())
    }

    fn outside(self) -> String {
        match (self.low, self.high) {
            (Some(low), Some(high)) => format!("outside {low}..{high}"),
            (Some(low), None) => format!("below {low}"),
            (None, high) => format!("above {}", high.unwrap_or_default()),
        }
    }
}

/// One order's view of the registers.
struct Read {
    /// As the tag has it; `None` for what means "no value".
    value: Option<Value>,
    /// Before scaling.
    raw: RawNumber,
}

#[derive(Clone, Copy)]
enum RawNumber {
    /// NaN where it is none.
    Float(f64),
    Integer(i128),
}

/// Every reading of a tag's registers. Only numbers can be judged, and only those of several registers have readings.
pub fn readings(tag: &ModbusTag, words: &[u16]) -> Readings {
    if !tag.decoder.format.is_number() {
        return Readings::default();
    }
    let bounds = MeasuringRange::of(tag);
    let configured = tag.decoder.order;
    let own = read(tag, words, configured);
    let registers = tag.own_words(words).len();
    let doubt = doubt(&own, bounds, registers);
    let mut all = Vec::new();
    if registers > 1 {
        for order in WordOrder::ALL {
            let other = read(tag, words, order);
            let plausible = is_believed(&other, bounds, registers) || (order == configured && doubt.is_none());
            all.push(OtherReading { setting: order.as_str(), value: other.value, plausible });
        }
    }
    let mut readings = Readings { all, configured: configured.as_str(), doubt: doubt.unwrap_or_default() };
    // Without a range a doubt is only worth a word where there is something better.
    if bounds.is_none() && !readings.is_doubtful() {
        readings.doubt.clear();
    }
    readings
}

fn read(tag: &ModbusTag, words: &[u16], order: WordOrder) -> Read {
    let other = ModbusTag { decoder: RegisterDecoder { order, ..tag.decoder.clone() }, ..tag.clone() };
    let value = other.decode(words).ok();
    let decoder = other.decoder;
    let plain = RegisterDecoder { scaling: None, value_type: decoder.format.natural_type(), not_available: Vec::new(), ..decoder };
    let raw = match plain.registers(tag.own_words(words)) {
        Ok(Value::F32(number)) => RawNumber::Float(f64::from(number)),
        Ok(Value::F64(number)) => RawNumber::Float(number),
        Ok(Value::U64(number)) => RawNumber::Integer(i128::from(number)),
        Ok(Value::I64(number)) => RawNumber::Integer(i128::from(number)),
        _ => RawNumber::Float(f64::NAN),
    };
    Read { value, raw }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::F64(number) => Some(*number),
        Value::F32(number) => Some(f64::from(*number)),
        Value::I64(number) => Some(*number as f64),
        Value::U64(number) => Some(*number as f64),
        Value::State(number) => Some(f64::from(*number)),
        Value::Bool(_) | Value::String(_) => None,
    }
}

/// Why the value as configured is hardly meant.
fn doubt(read: &Read, bounds: Option<MeasuringRange>, registers: usize) -> Option<String> {
    let Some(value) = read.value.as_ref().and_then(number) else {
        // A raw value that the configuration lists is meant.
        return matches!(read.raw, RawNumber::Float(raw) if raw.is_nan()).then(|| "not a number".to_owned());
    };
    if let Some(bounds) = bounds {
        if !bounds.hold(value) {
            return Some(bounds.outside());
        }
        let is_nothing = matches!(read.raw, RawNumber::Float(raw) if raw != 0.0) && value.abs() < bounds.largest() * NOTHING_OF_RANGE;
        return (is_nothing && value != 0.0).then(|| "hardly a value of its range".to_owned());
    }
    let is_unlikely = match read.raw {
        RawNumber::Float(raw) => raw != 0.0 && !(DOUBTED_BELOW..DOUBTED_FROM).contains(&raw.abs()),
        RawNumber::Integer(raw) => registers > 1 && !is_small(raw, registers) && is_empty_below(raw),
    };
    is_unlikely.then(|| "hardly a measured value".to_owned())
}

/// True when a value is one that a device may well mean.
fn is_believed(read: &Read, bounds: Option<MeasuringRange>, registers: usize) -> bool {
    let Some(value) = read.value.as_ref().and_then(number) else { return false };
    match (bounds, read.raw) {
        (Some(bounds), RawNumber::Float(raw)) => {
            let raw_is_likely = raw == 0.0 || (DOUBTED_BELOW..DOUBTED_FROM).contains(&raw.abs());
            bounds.hold(value) && raw_is_likely && value.abs() >= bounds.largest() * LITTLE_OF_RANGE
        }
        (Some(bounds), RawNumber::Integer(_)) => bounds.hold(value),
        (None, RawNumber::Float(raw)) => BELIEVED.contains(&raw.abs()),
        (None, RawNumber::Integer(raw)) => is_small(raw, registers),
    }
}

/// True when the first register says no more than the sign.
fn is_small(raw: i128, registers: usize) -> bool {
    let bound = 1_i128 << (16 * (registers as u32 - 1));
    (-bound..bound).contains(&raw)
}

/// True when the last register says nothing: it is 0, or full below a negative number.
fn is_empty_below(raw: i128) -> bool {
    let last = raw & 0xFFFF;
    last == 0 || (raw < 0 && last == 0xFFFF)
}

/// What the rows of a check say of a device: its word order, and the addresses that it refused.
pub fn advice(device: &str, device_order: WordOrder, rows: &[CheckRow]) -> Vec<String> {
    let mut told: Vec<String> = word_order(device, device_order, rows).into_iter().collect();
    let mut refusals: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in rows.iter().filter(|row| row.quality == Quality::BAD_CONFIGURATION_ERROR && row.latency.is_some()) {
        match refusals.iter_mut().find(|(reason, _)| *reason == row.error) {
            Some((_, addresses)) => addresses.push(&row.address),
            None => refusals.push((&row.error, vec![&row.address])),
        }
    }
    told.extend(refusals.into_iter().map(|(reason, addresses)| format!("refused by the device: {} ({reason})", listed(&addresses))));
    told
}

fn word_order(device: &str, device_order: WordOrder, rows: &[CheckRow]) -> Option<String> {
    // Where all orders read the same, as of 0, nothing is learned.
    let tells = |row: &&CheckRow| row.readings.all.windows(2).any(|pair| pair[0].value != pair[1].value);
    let judged: Vec<&CheckRow> = rows.iter().filter(tells).collect();
    let better = |row: &CheckRow, order: WordOrder| row.readings.better().any(|reading| reading.setting == order.as_str());
    let fits = |order: WordOrder| judged.iter().filter(|row| better(row, order)).count();
    let most = WordOrder::ALL.into_iter().map(fits).max().filter(|most| *most > 0)?;
    let orders: Vec<WordOrder> = WordOrder::ALL.into_iter().filter(|order| fits(*order) == most).collect();
    let first = *orders.first()?;
    let suits = |row: &&CheckRow| row.readings.all.iter().any(|reading| reading.setting == first.as_str() && reading.plausible);
    let names: Vec<&str> = judged.iter().filter(|row| better(row, first)).map(|row| row.tag.as_str()).collect();
    let orders = orders.iter().map(|order| format!("{:?}", order.as_str())).collect::<Vec<_>>().join(" or ");
    let (count, total) = (names.len(), judged.len());
    let tags = |count: usize| if count == 1 { "1 tag".to_owned() } else { format!("{count} tags") };
    if !judged.iter().all(suits) {
        return Some(format!("{count} of {} of device {device}: set their word_order = {orders}: {}", tags(total), listed(&names)));
    }
    // A key of the device does not reach tags that have their own.
    let own = judged.iter().filter(|row| better(row, first) && row.readings.configured != device_order.as_str()).count();
    let place = if own > 0 { ", in place of that of the tags" } else { "" };
    Some(if count == total {
        format!("{}, all of device {device}: set word_order = {orders}{place}", tags(count))
    } else {
        format!("{count} of {} of device {device}, and it suits the others: set word_order = {orders}{place}", tags(total))
    })
}

fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{frame::Framing, tag::ModbusDefaults};
    use historian_collector::{TagConfig, tag_key::Setting};

    fn tag(name: &str, format: &str, range: (Option<f64>, Option<f64>)) -> ModbusTag {
        let device = ModbusDefaults {
            name: "dryer",
            framing: Framing::Tcp,
            unit: 1,
            scan_ms: 1000,
            zero_based: true,
            word_order: WordOrder::Abcd,
            max_registers: 125,
            read_single: false,
            not_available: &[],
        };
        let mut config = TagConfig { name: name.into(), address: "holding:0".into(), ..TagConfig::default() };
        (config.range_low, config.range_high) = range;
        config.own.set("format", Setting::Text(format.into()));
        ModbusTag::build(&config, &device).unwrap()
    }

    /// The registers of a value as a device lays them out that has the order.
    fn words(bytes: &[u8], order: WordOrder) -> Vec<u16> {
        let mut words: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        if order.words_reversed() {
            words.reverse();
        }
        words.iter().map(|word| if order.bytes_swapped() { word.swap_bytes() } else { *word }).collect()
    }

    const TWENTY_TO_95: (Option<f64>, Option<f64>) = (Some(20.0), Some(95.0));

    #[test]
    fn a_float_outside_its_range_is_found_in_the_order_that_the_device_has() {
        for order in [WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba] {
            let readings = readings(&tag("t", "f32", TWENTY_TO_95), &words(&57.2_f32.to_be_bytes(), order));
            assert_eq!(readings.told(), format!("outside 20..95; {order} gives 57.2"));
            assert_eq!(readings.all.iter().map(|reading| reading.setting).collect::<Vec<_>>(), ["ABCD", "CDAB", "BADC", "DCBA"]);
        }
        let well = readings(&tag("t", "f32", TWENTY_TO_95), &words(&57.2_f32.to_be_bytes(), WordOrder::Abcd));
        assert_eq!((well.told(), well.all.len()), (String::new(), 4));
        let cold = readings(&tag("t", "f32", TWENTY_TO_95), &words(&(-3.5_f32).to_be_bytes(), WordOrder::Abcd));
        assert_eq!(cold.told(), "outside 20..95, and so it is in every other order");
        let one = readings(&tag("t", "i16", TWENTY_TO_95), &[7]);
        assert_eq!((one.told().as_str(), one.all.len()), ("outside 20..95", 0));
        assert_eq!(readings(&tag("t", "i16", (None, Some(95.0))), &[96]).told(), "above 95");
    }

    #[test]
    fn numbers_without_a_range_are_doubted_only_where_another_order_gives_a_likely_one() {
        let none = (None, None);
        let float = |value: f32, order| readings(&tag("t", "f32", none), &words(&value.to_be_bytes(), order)).told();
        assert_eq!(float(21.5, WordOrder::Cdab), "hardly a measured value; CDAB gives 21.5");
        assert_eq!(float(21.5, WordOrder::Abcd), "");
        assert_eq!(float(0.0, WordOrder::Cdab), "");
        let integer = |value: i32, order| readings(&tag("t", "i32", none), &words(&value.to_be_bytes(), order)).told();
        assert_eq!(integer(1234, WordOrder::Cdab), "hardly a measured value; CDAB gives 1234, DCBA gives 53764");
        assert_eq!(integer(-5, WordOrder::Cdab), "hardly a measured value; CDAB gives -5, DCBA gives -1025");
        assert_eq!(integer(1234, WordOrder::Abcd), "");
        assert_eq!(integer(70_000, WordOrder::Abcd), "");
        assert_eq!(integer(0, WordOrder::Cdab), "");
        let long = readings(&tag("t", "u64", none), &words(&77_u64.to_be_bytes(), WordOrder::Cdab));
        assert!(long.told().contains("CDAB gives 77"), "{}", long.told());
        let text = readings(&tag("t", "string:2", none), &[0x4142, 0x4344]);
        assert_eq!(text, Readings::default());
    }

    /// Of all exponents and many fractions that a reading in the wrong order may have, few pass for a measurement.
    #[test]
    fn most_floats_in_the_wrong_order_are_found_and_right_ones_are_left_alone() {
        let (mut found, mut total) = (0, 0);
        for step in 1..=2000_u32 {
            let value = 20.0 + 75.0 * f32::from(step as u16) / 2001.0;
            let told = readings(&tag("t", "f32", TWENTY_TO_95), &words(&value.to_be_bytes(), WordOrder::Cdab));
            let best: Vec<&str> = told.better().map(|reading| reading.setting).collect();
            found += usize::from(best.contains(&"CDAB"));
            total += 1;
            let right = readings(&tag("t", "f32", TWENTY_TO_95), &words(&value.to_be_bytes(), WordOrder::Abcd));
            assert!(!right.is_doubtful(), "{value}");
        }
        assert!(found * 100 >= total * 95, "{found} of {total}");
    }

    fn row(tag: &ModbusTag, words: &[u16]) -> CheckRow {
        CheckRow {
            tag: tag.definition.name.to_string(),
            address: "holding:0".into(),
            value: None,
            quality: Quality::GOOD,
            latency: None,
            error: String::new(),
            note: String::new(),
            readings: readings(tag, words),
            excused: false,
        }
    }

    #[test]
    fn a_device_is_told_its_word_order_from_all_its_values() {
        let value = |index: u16| (30.0 + f32::from(index) * 7.3).to_be_bytes();
        let rows = |orders: &[WordOrder]| -> Vec<CheckRow> {
            let of = |(index, order): (usize, &WordOrder)| {
                row(&tag(&format!("t{index}"), "f32", TWENTY_TO_95), &words(&value(index as u16), *order))
            };
            orders.iter().enumerate().map(of).collect()
        };
        let told = |orders: &[WordOrder]| advice("dryer", WordOrder::Abcd, &rows(orders));
        assert_eq!(told(&[WordOrder::Cdab; 8]), ["8 tags, all of device dryer: set word_order = \"CDAB\""]);
        assert_eq!(told(&[WordOrder::Dcba; 1]), ["1 tag, all of device dryer: set word_order = \"DCBA\""]);
        assert_eq!(told(&[WordOrder::Abcd; 8]), Vec::<String>::new());
        assert_eq!(
            told(&[WordOrder::Abcd, WordOrder::Cdab, WordOrder::Cdab, WordOrder::Abcd]),
            ["2 of 4 tags of device dryer: set their word_order = \"CDAB\": t1, t2"]
        );
        // What reads the same in every order says nothing against it.
        let mut with_zero = rows(&[WordOrder::Cdab; 3]);
        with_zero.push(row(&tag("zero", "f32", (Some(0.0), Some(1.0))), &[0, 0]));
        assert_eq!(advice("dryer", WordOrder::Abcd, &with_zero), ["3 tags, all of device dryer: set word_order = \"CDAB\""]);
    }
}
