//! Tags that are calculated from others of their device: `formula:{pv/voltage} * {pv/current}` in place of an address.
//!
//! A result comes of one reading: it is made each time the unit has been read for the fastest of its inputs. Slower ones count with the
//! value of their last poll, as long as none of their polls is overdue. The result is as bad as the worst input, and an input without a
//! value makes it one.

use std::collections::{HashMap, HashSet};

use super::{
    tag::{ModbusDefaults, ModbusTag},
    unstored,
};
use historian_collector::{
    ConfigProblem, TagConfig,
    decimal::{NoNumber, Number},
    formula::TagFormula,
    tag_key::STORED,
};
use historian_model::{Quality, TagDefinition, TagName, Timestamp, Value, ValueType, tag::TagSource};

/// What the address of a calculated tag begins with.
const PREFIX: &str = "formula:";
/// Formulas that build on each other.
const LEVELS_MAX: usize = 16;
/// Intervals after which the value of a slower input is too old, and how long it counts at least.
const OVERDUE_INTERVALS: i64 = 2;
const OVERDUE_MIN_MS: i64 = 1000;

/// A calculated tag.
#[derive(Clone, Debug)]
pub struct CalculatedTag {
    pub definition: TagDefinition,
    /// Unit of all its inputs.
    pub unit: u8,
    /// Period of the fastest input.
    pub scan_ms: u64,
    /// False where only other formulas take the result.
    pub stored: bool,
    formula: TagFormula,
    /// In the order of the inputs of the formula.
    inputs: Vec<CalculationInput>,
}

#[derive(Clone, Debug)]
struct CalculationInput {
    /// Number of the tag in its collector.
    tag: usize,
    scan_ms: u64,
    /// Read from the device, and not calculated itself.
    is_read: bool,
}

/// What a tag delivers at the moment.
#[derive(Clone, Copy, Debug)]
pub struct InputState<'a> {
    pub quality: Quality,
    /// `None` where it is Bad.
    pub value: Option<&'a Value>,
    /// When the device answered.
    pub at: Timestamp,
}

/// A value that was calculated.
#[derive(Clone, Debug, PartialEq)]
pub struct CalculationResult {
    pub value: Value,
    /// Good, or Uncertain as an input is.
    pub quality: Quality,
    /// That of the newest input.
    pub at: Timestamp,
    /// Why it is Uncertain, in words; empty where it is Good.
    pub doubt: String,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoResult {
    pub quality: Quality,
    pub reason: String,
}

/// True for the address of a calculated tag.
pub fn is_calculated(config: &TagConfig) -> bool {
    config.address.starts_with(PREFIX)
}

/// Definition of a calculated tag whose inputs are not at hand.
///
/// # Errors
/// See [`build`].
pub fn definition(config: &TagConfig, device: &str) -> Result<TagDefinition, Vec<ConfigProblem>> {
    CalculationDraft::read(config, device).map(|draft| draft.definition)
}

/// The calculated tags of a device, each behind those it is calculated from.
///
/// `tags` are the others; the numbers of inputs count on behind them. `taken` is true for a name that the configuration of the device has.
///
/// # Errors
/// Every problem found, each with the key it concerns.
pub fn build(
    configs: &[&TagConfig],
    tags: &[ModbusTag],
    taken: &dyn Fn(&str) -> bool,
    device: &ModbusDefaults<'_>,
) -> Result<Vec<CalculatedTag>, Vec<ConfigProblem>> {
    let mut problems = Vec::new();
    let mut pending = Vec::new();
    for config in configs {
        match CalculationDraft::read(config, device.name) {
            Ok(draft) => pending.push(draft),
            Err(found) => problems.extend(found),
        }
    }
    let of_register = |(number, tag): (usize, &ModbusTag)| {
        let value_type = tag.definition.value_type;
        (tag.definition.name.to_string(), KnownInput { tag: number, unit: tag.unit, scan_ms: tag.scan_ms, value_type, is_read: true })
    };
    let mut known: HashMap<String, KnownInput> = tags.iter().enumerate().map(of_register).collect();
    let mut calculated = Vec::new();
    for _ in 0..LEVELS_MAX {
        let (ready, waiting): (Vec<_>, Vec<_>) = pending
            .into_iter()
            .partition(|draft: &CalculationDraft<'_>| draft.formula.inputs().iter().all(|name| known.contains_key(name)));
        pending = waiting;
        if ready.is_empty() {
            break;
        }
        for draft in ready {
            match draft.finish(&known, device.name) {
                Ok(tag) => {
                    let (unit, scan_ms, value_type) = (tag.unit, tag.scan_ms, tag.definition.value_type);
                    let input = KnownInput { tag: tags.len() + calculated.len(), unit, scan_ms, value_type, is_read: false };
                    known.insert(tag.definition.name.to_string(), input);
                    calculated.push(tag);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    problems.extend(pending.iter().filter_map(|draft| draft.unresolved(&pending, &known, taken, device.name)));
    if problems.is_empty() { Ok(calculated) } else { Err(problems) }
}

/// Tags of which nothing is stored and that no formula takes, so that they would be read for nothing.
pub fn unused<'a>(tags: &'a [ModbusTag], calculated: &'a [CalculatedTag]) -> Vec<&'a TagName> {
    let taken: HashSet<usize> = calculated.iter().flat_map(|tag| &tag.inputs).map(|input| input.tag).collect();
    let read = tags.iter().map(|tag| (tag.stored, &tag.definition.name));
    let all = read.chain(calculated.iter().map(|tag| (tag.stored, &tag.definition.name))).enumerate();
    all.filter(|(number, (stored, _))| !stored && !taken.contains(number)).map(|(_, (_, name))| name).collect()
}

/// A tag that a formula can take.
struct KnownInput {
    tag: usize,
    unit: u8,
    scan_ms: u64,
    value_type: ValueType,
    is_read: bool,
}

/// A calculated tag before its inputs are known.
struct CalculationDraft<'config> {
    config: &'config TagConfig,
    definition: TagDefinition,
    formula: TagFormula,
}

impl CalculationDraft<'_> {
    fn read<'config>(config: &'config TagConfig, device: &str) -> Result<CalculationDraft<'config>, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let prefix = format!("modbus.{device}");
        let mut refuse = |key: &str, message: String| problems.push(config.problem(&prefix, key, message));
        let name = TagName::new(&config.name).map_err(|error| refuse("name", error.to_string())).ok();
        for key in config.own.names() {
            let message = match key {
                _ if key == STORED.name => continue,
                "scale" | "offset" => "a calculated tag has no raw value; write the number into its formula, as in {area1/flow} * 3.6",
                "scan_ms" => "a calculated tag has no period of its own; it is calculated at each poll of its fastest input",
                _ => "a calculated tag is not read from registers, and this key is about them",
            };
            refuse(key, message.to_owned());
        }
        if let Some(message) = unstored::contradiction(config) {
            refuse(STORED.name, message.to_owned());
        }
        let value_type = match config.parsed_value_type(&prefix) {
            Ok(asked @ (None | Some(ValueType::F64 | ValueType::I64 | ValueType::U64))) => Some(asked.unwrap_or(ValueType::F64)),
            Ok(Some(other)) => {
                refuse("type", format!("calculated values are f64, or i64 or u64 of whole numbers, not {other}"));
                None
            }
            Err(problem) => {
                refuse("type", problem.message);
                None
            }
        };
        if !config.state_set.is_empty() {
            refuse("state_set", "belongs to tags of type state, which a calculated tag is not".to_owned());
        }
        let formula = TagFormula::parse(&config.address[PREFIX.len()..]).map_err(|message| refuse("address", message)).ok();
        match (name, value_type, formula) {
            (Some(name), Some(value_type), Some(formula)) if problems.is_empty() => {
                let source = TagSource { device: device.to_owned(), address: config.address.clone() };
                let definition = config.definition(&prefix, name, value_type, source).map_err(|problem| vec![problem])?;
                Ok(CalculationDraft { config, definition, formula })
            }
            _ => Err(problems),
        }
    }

    /// Takes the inputs, which are all known.
    fn finish(self, known: &HashMap<String, KnownInput>, device: &str) -> Result<CalculatedTag, ConfigProblem> {
        let refuse = |key: &str, message: String| self.config.problem(&format!("modbus.{device}"), key, message);
        let named: Vec<(&str, &KnownInput)> =
            self.formula.inputs().iter().filter_map(|name| Some((name.as_str(), known.get(name)?))).collect();
        let Some((first_name, first)) = named.first() else { return Err(refuse("address", "the formula names no tag".to_owned())) };
        for (name, input) in &named {
            if input.value_type == ValueType::String {
                return Err(refuse("address", format!("{{{name}}} is a text, and a formula takes numbers")));
            }
            if input.unit != first.unit {
                let message = format!(
                    "{{{first_name}}} is of unit {}, and {{{name}}} of unit {}: a formula takes tags of one unit, which are polled together",
                    first.unit, input.unit
                );
                return Err(refuse("address", message));
            }
        }
        let is_integer = |number: usize| !matches!(named[number].1.value_type, ValueType::F64 | ValueType::F32 | ValueType::String);
        let value_type = self.definition.value_type;
        if value_type != ValueType::F64 && !self.formula.is_whole(&is_integer) {
            let message = format!(
                "calculated values are f64; they are {value_type} where all tags and numbers of the formula are whole and it does not divide"
            );
            return Err(refuse("type", message));
        }
        let scan_ms = named.iter().map(|(_, input)| input.scan_ms).min().unwrap_or(first.scan_ms);
        let unit = first.unit;
        let of_known = |input: &KnownInput| CalculationInput { tag: input.tag, scan_ms: input.scan_ms, is_read: input.is_read };
        let inputs = named.iter().map(|(_, input)| of_known(input)).collect();
        let stored = self.config.is_stored();
        Ok(CalculatedTag { definition: self.definition, unit, scan_ms, stored, formula: self.formula, inputs })
    }

    /// Why the inputs could not be found; `None` where that is told at another tag.
    fn unresolved(
        &self,
        pending: &[CalculationDraft<'_>],
        known: &HashMap<String, KnownInput>,
        taken: &dyn Fn(&str) -> bool,
        device: &str,
    ) -> Option<ConfigProblem> {
        let refuse = |message: String| Some(self.config.problem(&format!("modbus.{device}"), "address", message));
        let missing: Vec<&str> = self.formula.inputs().iter().map(String::as_str).filter(|name| !known.contains_key(*name)).collect();
        if missing.is_empty() {
            return refuse(format!("formulas build on each other at most {LEVELS_MAX} deep"));
        }
        if let Some(name) = missing.iter().find(|name| !taken(name)) {
            return refuse(format!("the device has no tag {name:?}; a formula takes tags of its own device"));
        }
        // Each of those that are left waits for another one of them, or for a tag that is refused itself.
        let waits_for = |name: &str| {
            let draft = pending.iter().find(|draft| draft.config.name == name)?;
            draft.formula.inputs().iter().find(|input| pending.iter().any(|other| other.config.name == **input))
        };
        let mut path = vec![self.config.name.as_str()];
        while let Some(next) = path.last().and_then(|last| waits_for(last)) {
            if next == path[0] {
                path.push(next);
                return refuse(format!("the tag is calculated from itself: {}", path.join(" from ")));
            }
            if path.contains(&next.as_str()) {
                // It waits for tags that are calculated from themselves, which is told there.
                return None;
            }
            path.push(next);
        }
        None
    }
}

impl CalculatedTag {
    /// The result of what its inputs deliver; `state` knows them by their numbers.
    ///
    /// # Errors
    /// An input has no value, or there is no result for these.
    pub fn calculate<'a>(&self, state: impl Fn(usize) -> InputState<'a>) -> Result<CalculationResult, NoResult> {
        let states: Vec<InputState<'a>> = self.inputs.iter().map(|input| state(input.tag)).collect();
        // That communication failed says more than that one value of several is none.
        let is_bad = |state: &InputState<'_>| state.quality.is_bad() || state.value.is_none();
        // That the device was asked and says that there is none: only for this there are defaults. A calculated input says the same when
        // one of its own is too old.
        let is_none = |place: usize| self.inputs[place].is_read && states[place].quality == Quality::BAD_NO_DATA;
        let worst = states.iter().position(|state| state.quality.is_outage());
        let worst = worst.or_else(|| (0..states.len()).find(|place| is_bad(&states[*place]) && !is_none(*place)));
        let without_value = |place: usize| {
            let quality = if states[place].quality.is_bad() { states[place].quality } else { Quality::BAD_NO_DATA };
            NoResult { quality, reason: format!("{} has no value ({quality})", self.input(place)) }
        };
        if let Some(worst) = worst {
            return Err(without_value(worst));
        }
        let at = states.iter().map(|state| state.at).max().unwrap_or(Timestamp(0));
        for (number, (input, state)) in self.inputs.iter().zip(&states).enumerate() {
            let lasts_ms = i64::try_from(input.scan_ms).unwrap_or(i64::MAX).saturating_mul(OVERDUE_INTERVALS).max(OVERDUE_MIN_MS);
            let age_ms = at.0.saturating_sub(state.at.0) / 1_000_000;
            if age_ms > lasts_ms {
                let reason =
                    format!("{} was last read {age_ms} ms before the others, its interval is {} ms", self.input(number), input.scan_ms);
                return Err(NoResult { quality: Quality::BAD_NO_DATA, reason });
            }
        }
        let mut numbers = Vec::with_capacity(states.len());
        for (place, state) in states.iter().enumerate() {
            let number = state.value.and_then(number_of);
            if number.is_none() && !is_none(place) {
                return Err(NoResult { quality: Quality::BAD_OUT_OF_RANGE, reason: format!("{} is no finite number", self.input(place)) });
            }
            numbers.push(number);
        }
        let out_of_range = |reason: String| NoResult { quality: Quality::BAD_OUT_OF_RANGE, reason };
        let number = self.formula.of(&numbers).map_err(|none| match none {
            NoNumber::DivisionByZero => out_of_range("it divides by 0".to_owned()),
            NoNumber::TooLarge => out_of_range("a number on the way is beyond what an f64 holds".to_owned()),
            NoNumber::NoValue(place) => without_value(place),
        })?;
        let value = self.value(number).map_err(out_of_range)?;
        let doubtful = states.iter().position(|state| !state.quality.is_good() && !state.quality.is_bad());
        let quality = doubtful.map_or(Quality::GOOD, |place| states[place].quality);
        let doubt = doubtful.map(|place| format!("{} is not Good ({quality})", self.input(place))).unwrap_or_default();
        Ok(CalculationResult { value, quality, at, doubt })
    }

    /// Whether the formula takes this tag, by its number in the collector.
    pub fn takes(&self, tag: usize) -> bool {
        self.inputs.iter().any(|input| input.tag == tag)
    }

    /// The formula, for messages.
    pub fn address(&self) -> &str {
        self.definition.source.as_ref().map_or("", |source| &source.address)
    }

    fn input(&self, number: usize) -> String {
        format!("{{{}}}", self.formula.inputs()[number])
    }

    fn value(&self, number: Number) -> Result<Value, String> {
        let value_type = self.definition.value_type;
        let value = match value_type {
            ValueType::I64 => number.whole().and_then(|whole| i64::try_from(whole).ok()).map(Value::I64),
            ValueType::U64 => number.whole().and_then(|whole| u64::try_from(whole).ok()).map(Value::U64),
            _ => Some(number.as_f64()).filter(|number| number.is_finite()).map(Value::F64),
        };
        value.ok_or_else(|| format!("the result, {}, is beyond the {value_type}", number.as_f64()))
    }
}

fn number_of(value: &Value) -> Option<Number> {
    match value {
        Value::F64(number) => Number::of_f64(*number),
        Value::F32(number) => Number::of_f32(*number),
        Value::I64(number) => Some(Number::from(i128::from(*number))),
        Value::U64(number) => Some(Number::from(i128::from(*number))),
        Value::Bool(bit) => Some(Number::from(i128::from(*bit))),
        Value::State(state) => Some(Number::from(i128::from(*state))),
        Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{frame::Framing, word_order::WordOrder};

    const DEFAULTS: ModbusDefaults<'static> = ModbusDefaults {
        name: "d",
        framing: Framing::Tcp,
        unit: 1,
        scan_ms: 1000,
        zero_based: true,
        word_order: WordOrder::Abcd,
        max_registers: 125,
        read_single: false,
        not_available: &[],
    };

    fn config(name: &str, address: &str) -> TagConfig {
        TagConfig { name: name.into(), address: address.into(), ..TagConfig::default() }
    }

    /// Calculated tags beside registers a, b and c.
    fn built(formulas: &[(&str, &str)]) -> Result<Vec<CalculatedTag>, Vec<String>> {
        let registers: Vec<ModbusTag> = ["a", "b", "c"]
            .into_iter()
            .enumerate()
            .map(|(number, name)| ModbusTag::build(&config(name, &format!("holding:{number}")), &DEFAULTS).unwrap())
            .collect();
        let configs: Vec<TagConfig> = formulas.iter().map(|(name, formula)| config(name, &format!("formula:{formula}"))).collect();
        let taken = |name: &str| ["a", "b", "c"].contains(&name) || formulas.iter().any(|(known, _)| *known == name);
        build(&configs.iter().collect::<Vec<_>>(), &registers, &taken, &DEFAULTS)
            .map_err(|problems| problems.into_iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect())
    }

    fn good(value: &Value, at_ms: i64) -> InputState<'_> {
        InputState { quality: Quality::GOOD, value: Some(value), at: Timestamp(at_ms * 1_000_000) }
    }

    #[test]
    fn formulas_stand_behind_those_they_build_on_whatever_their_order() {
        let tags = built(&[("y", "{x} + {z}"), ("x", "{a} * 2"), ("z", "{x} - {b}")]).unwrap();
        let names: Vec<String> = tags.iter().map(|tag| tag.definition.name.to_string()).collect();
        assert_eq!(names, ["x", "z", "y"]);
        assert_eq!(tags[2].inputs.iter().map(|input| input.tag).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(tags[0].definition.source.as_ref().map(|source| source.address.as_str()), Some("formula:{a} * 2"));
    }

    #[test]
    fn what_cannot_be_calculated_is_told_once_at_its_tag() {
        for (formulas, expected) in [
            (&[("x", "{x} + 1")][..], "modbus.d.tag.x.address: the tag is calculated from itself: x from x"),
            (&[("x", "{nobody} + {a}")], "modbus.d.tag.x.address: the device has no tag \"nobody\""),
            (&[("x", "{a} + ")], "modbus.d.tag.x.address: the formula ends where a value was expected"),
        ] {
            let told = built(formulas).unwrap_err();
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(expected), "{told:?}");
        }
        let circle = built(&[("x", "{y}"), ("y", "{z} + {a}"), ("z", "{x}"), ("w", "{x}")]).unwrap_err();
        assert_eq!(circle.len(), 3, "{circle:?}");
        assert_eq!(circle[0], "modbus.d.tag.x.address: the tag is calculated from itself: x from y from z from x");
        let names: Vec<String> = (0..=LEVELS_MAX).map(|level| format!("l{level}")).collect();
        let formulas: Vec<String> =
            (0..=LEVELS_MAX).map(|level| if level == 0 { "{a}".into() } else { format!("{{l{}}}", level - 1) }).collect();
        let levels: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(formulas.iter().map(String::as_str)).collect();
        assert!(built(&levels[..LEVELS_MAX]).is_ok());
        assert!(built(&levels).unwrap_err()[0].contains("at most 16 deep"));
    }

    #[test]
    fn a_result_is_as_bad_as_the_worst_input() {
        let tag = &built(&[("x", "{a} / {b} + {c}")]).unwrap()[0];
        let (four, two, zero) = (Value::U64(4), Value::U64(2), Value::U64(0));
        let result = |states: [InputState<'_>; 3]| {
            let outcome = tag.calculate(|number| states[number]);
            outcome.map(|result| (result.value, result.quality, result.at.0 / 1_000_000)).map_err(|none| (none.quality, none.reason))
        };
        let bad = |quality| InputState { quality, value: None, at: Timestamp(0) };
        let busy = InputState { quality: Quality::UNCERTAIN_LAST_USABLE_VALUE, ..good(&two, 10) };
        assert_eq!(result([good(&four, 10), good(&two, 12), good(&zero, 11)]), Ok((Value::F64(2.0), Quality::GOOD, 12)));
        assert_eq!(result([good(&four, 10), busy, good(&zero, 11)]), Ok((Value::F64(2.0), Quality::UNCERTAIN_LAST_USABLE_VALUE, 11)));
        let (quality, reason) = result([good(&four, 10), good(&zero, 10), good(&four, 10)]).unwrap_err();
        assert_eq!((quality, reason.as_str()), (Quality::BAD_OUT_OF_RANGE, "it divides by 0"));
        let (quality, reason) = result([bad(Quality::BAD_NO_DATA), good(&zero, 10), busy]).unwrap_err();
        assert_eq!((quality, reason.as_str()), (Quality::BAD_NO_DATA, "{a} has no value (BadNoData)"));
        let both = result([bad(Quality::BAD_NO_DATA), bad(Quality::BAD_TIMEOUT), busy]).unwrap_err();
        assert_eq!(both.0, Quality::BAD_TIMEOUT);
        let infinite = Value::F32(f32::INFINITY);
        assert_eq!(result([good(&infinite, 1), good(&two, 1), good(&two, 1)]).unwrap_err().0, Quality::BAD_OUT_OF_RANGE);
    }

    #[test]
    fn a_default_is_for_what_the_device_has_not_and_for_no_failure() {
        let tags = built(&[("half", "{a} / 2"), ("x", "default({a}, 0) + {b} + default({half}, 0)")]).unwrap();
        let (four, two) = (Value::U64(4), Value::U64(2));
        let bad = |quality| InputState { quality, value: None, at: Timestamp(10_000_000) };
        // Of a, b and half, which is number 3 of the collector.
        let result = |states: [InputState<'_>; 3]| {
            let outcome = tags[1].calculate(|number| states[number.min(2)]);
            outcome.map(|result| (result.value, result.quality)).map_err(|none| (none.quality, none.reason))
        };
        let none = bad(Quality::BAD_NO_DATA);
        assert_eq!(result([none, good(&four, 10), good(&two, 10)]), Ok((Value::F64(6.0), Quality::GOOD)));
        let busy = InputState { quality: Quality::UNCERTAIN_LAST_USABLE_VALUE, ..good(&four, 10) };
        assert_eq!(result([none, busy, good(&two, 10)]), Ok((Value::F64(6.0), Quality::UNCERTAIN_LAST_USABLE_VALUE)));
        // Where there is no default, it is missing as before.
        assert_eq!(result([good(&four, 10), none, good(&two, 10)]), Err((Quality::BAD_NO_DATA, "{b} has no value (BadNoData)".into())));
        // The one that is missed is told, and not one that has a default.
        assert_eq!(result([none, none, good(&two, 10)]), Err((Quality::BAD_NO_DATA, "{b} has no value (BadNoData)".into())));
        // Perhaps because its input is too old, which is no word of the device.
        assert_eq!(result([none, good(&four, 10), none]), Err((Quality::BAD_NO_DATA, "{half} has no value (BadNoData)".into())));
        for failure in [
            Quality::BAD_TIMEOUT,
            Quality::BAD_CONFIGURATION_ERROR,
            Quality::BAD_OUT_OF_RANGE,
            Quality::BAD_DECODING_ERROR,
            Quality::BAD_WAITING_FOR_INITIAL_DATA,
        ] {
            assert_eq!(result([bad(failure), good(&four, 10), good(&two, 10)]).unwrap_err().0, failure);
            assert_eq!(result([bad(failure), none, good(&two, 10)]).unwrap_err().0, failure, "it says more than that there is none");
        }
        // An answer of long ago is too old, whatever it said.
        let long_ago = InputState { at: Timestamp(0), ..none };
        let (quality, reason) = result([long_ago, good(&four, 60_000), good(&two, 60_000)]).unwrap_err();
        assert!(quality == Quality::BAD_NO_DATA && reason.contains("{a} was last read"), "{reason}");
    }

    #[test]
    fn a_slower_input_counts_until_its_next_poll_is_overdue() {
        let tag = &built(&[("x", "{a} + {b}")]).unwrap()[0];
        let one = Value::U64(1);
        let result = |a, b| tag.calculate(|number| good(&one, [a, b][number])).map_err(|none| none.reason);
        assert!(result(0, 1999).is_ok() && result(2000, 0).is_ok());
        assert_eq!(result(0, 2500).unwrap_err(), "{a} was last read 2500 ms before the others, its interval is 1000 ms");
    }

    #[test]
    fn whole_results_are_exact_or_none() {
        let mut whole = config("x", "formula:{a} * {b} - 1");
        whole.value_type = Some("u64".into());
        let registers = [config("a", "holding:0"), config("b", "holding:1")].map(|config| ModbusTag::build(&config, &DEFAULTS).unwrap());
        let built = build(&[&whole], &registers, &|_| true, &DEFAULTS).unwrap();
        let result = |a: u64, b: u64| {
            let values = [Value::U64(a), Value::U64(b)];
            built[0].calculate(|number| good(&values[number], 0)).map(|result| result.value).map_err(|none| none.reason)
        };
        assert_eq!(result(u64::MAX, 1), Ok(Value::U64(u64::MAX - 1)));
        assert_eq!(result(0, 1).unwrap_err(), "the result, -1, is beyond the u64");
        assert!(result(u64::MAX, 2).unwrap_err().contains("beyond the u64"));
        whole.address = "formula:{a} / {b}".into();
        let refused = build(&[&whole], &registers, &|_| true, &DEFAULTS).unwrap_err();
        assert!(refused[0].message.contains("does not divide"), "{refused:?}");
    }
}
