//! A point of a device as a tag: where it lies, what it holds, and what the definition of its model says of it.

use super::{
    model::{PointKind, SunSpecPoint},
    place::{PlacedFactor, PlacedPoint},
};
use crate::{
    address::RegisterArea, decode::RegisterDecoder, device::ModbusCollector, factor::FactorKind, format::RegisterFormat,
    word_order::WordOrder,
};
use historian_collector::{
    BrowsedVariable,
    not_available::{NotAvailable, Sentinel},
};
use historian_model::{TagDefinition, ValueType};

/// Period of texts and of what never changes.
const STATIC_SCAN_MS: &str = "3600000";
/// Largest number of a state that gets a name: the names before it are written, too.
const STATE_MAX: u32 = 255;
/// What an accumulator holds that is not implemented, and all other points.
const NO_ACCUMULATOR: &str = "0";
const NOT_IMPLEMENTED: &str = "sunspec";

/// A model found in a device.
pub struct FoundModel<'a> {
    pub device: &'a ModbusCollector,
    pub unit: u8,
    /// Address of the first register, which holds the id.
    pub start: u16,
    /// All of its registers.
    pub words: &'a [u16],
    /// Beginning of the paths: `inverter_three_phase/`.
    pub path: String,
}

impl FoundModel<'_> {
    /// The variables of a point, none for what only serves others: the number itself, and the bits of it that have names.
    pub fn variables(&self, placed: &PlacedPoint<'_>) -> Vec<BrowsedVariable> {
        let point = placed.point;
        let (format, value_type) = match point.kind {
            PointKind::ScaleFactor | PointKind::Padding => return Vec::new(),
            // The id and the length of the model.
            _ if placed.register < 2 => return Vec::new(),
            PointKind::Number(format) => (format.to_owned(), None),
            PointKind::Accumulator(format) | PointKind::Bits(format) => (format.to_owned(), Some(ValueType::U64)),
            PointKind::Text => (format!("string:{}", point.registers), Some(ValueType::String)),
            PointKind::Network(format) => (format.to_owned(), Some(ValueType::String)),
        };
        let Ok(decoder) = format.parse::<RegisterFormat>() else { return Vec::new() };
        let states = states(point);
        let mut variable = BrowsedVariable {
            path: format!("{}{}", self.path, placed.path),
            address: self.address(placed.register),
            data_type: point.type_name.to_owned(),
            unit: ucum(point.unit).to_owned(),
            description: description(point),
            state_set: states,
            writable: point.is_writable,
            ..BrowsedVariable::default()
        };
        let natural = if variable.state_set.is_empty() { decoder.natural_type() } else { ValueType::State };
        variable.value_type = Some(value_type.unwrap_or(natural));
        variable.keys.push(("format", format));
        if let Some(factor) = placed.factor {
            match self.scaled(placed, factor) {
                Ok(keys) => {
                    variable.value_type = Some(ValueType::F64);
                    variable.keys.extend(keys);
                }
                Err(why) => variable.left_out = why,
            }
        }
        let missing = if matches!(point.kind, PointKind::Accumulator(_)) { NO_ACCUMULATOR } else { NOT_IMPLEMENTED };
        variable.keys.push(("not_available", missing.to_owned()));
        // That of SunSpec, whatever the device has for others.
        if self.device.word_order != WordOrder::Abcd {
            variable.keys.push(("word_order", WordOrder::Abcd.as_str().to_owned()));
        }
        if point.is_static || matches!(point.kind, PointKind::Text) {
            variable.keys.push(("scan_ms", STATIC_SCAN_MS.to_owned()));
        }
        if variable.left_out.is_empty() && !point.is_mandatory {
            variable.left_out = self.absent(placed, decoder, missing).unwrap_or_default();
        }
        let bits = bits(point, &variable);
        std::iter::once(variable).chain(bits).collect()
    }

    /// Keys of the scale of a point, or why it has none.
    fn scaled(&self, placed: &PlacedPoint<'_>, factor: PlacedFactor) -> Result<Vec<(&'static str, String)>, String> {
        let register = match factor {
            PlacedFactor::Power(power) => return Ok(vec![("scale", format!("1e{power}"))]),
            PlacedFactor::Nowhere => return Err("the definition of its model names a scale factor that is not there".to_owned()),
            PlacedFactor::Register(register) => register,
        };
        let Some(word) = self.words.get(register) else {
            return Err("its scale factor lies behind the end of the model".to_owned());
        };
        FactorKind::PowerOfTen.of(*word).map_err(|missing| missing.to_string())?;
        let end = (placed.register + usize::from(placed.point.registers)).max(register + 1);
        let (span, most) = (end - placed.register.min(register), usize::from(self.device.register_limits.max_count));
        if span > most {
            let address = self.address(register);
            return Err(format!("its scale factor, {address}, lies {span} registers away, and one request reads {most} at most"));
        }
        Ok(vec![("scale_from", self.address(register))])
    }

    /// Why the device has no value of the point now, if so.
    fn absent(&self, placed: &PlacedPoint<'_>, format: RegisterFormat, missing: &str) -> Option<String> {
        let words = self.words.get(placed.register..placed.register + usize::from(placed.point.registers))?;
        // An accumulator that has counted nothing yet is there all the same.
        if matches!(placed.point.kind, PointKind::Accumulator(_)) {
            return None;
        }
        let not_available: Vec<Sentinel> = missing.parse::<NotAvailable>().ok()?.0;
        let decoder = RegisterDecoder { format, order: WordOrder::Abcd, scaling: None, value_type: format.natural_type(), not_available };
        decoder.registers(words).is_err().then(|| "the device says that it does not have it, at least not now".to_owned())
    }

    fn address(&self, register: usize) -> String {
        // All registers of a model were read, and so they have addresses.
        let register = u16::try_from(register).unwrap_or(u16::MAX);
        self.device.notation(self.unit, RegisterArea::Holding, self.start.saturating_add(register), 1)
    }
}

/// One variable for each bit that has a name.
fn bits(point: &SunSpecPoint, whole: &BrowsedVariable) -> Vec<BrowsedVariable> {
    if !matches!(point.kind, PointKind::Bits(_)) {
        return Vec::new();
    }
    let named = point.symbols.iter().filter(|(bit, name)| *bit < u32::from(point.registers) * 16 && !name.starts_with("RESERVED"));
    let bit = |(bit, name): &(u32, &'static str)| BrowsedVariable {
        path: format!("{}/{name}", whole.path),
        address: format!("{}.{bit}", whole.address),
        keys: whole.keys.clone(),
        value_type: Some(ValueType::Bool),
        unit: String::new(),
        description: point.label.to_owned(),
        ..whole.clone()
    };
    named.map(bit).collect()
}

/// Names of the states from 0; empty where there are none.
fn states(point: &SunSpecPoint) -> Vec<String> {
    let Some(last) = point.symbols.iter().map(|(value, _)| *value).max() else { return Vec::new() };
    if !matches!(point.kind, PointKind::Number(_)) || last > STATE_MAX {
        return Vec::new();
    }
    let name = |state: u32| {
        point.symbols.iter().find(|(value, _)| *value == state).map_or_else(|| state.to_string(), |(_, name)| (*name).to_owned())
    };
    (0..=last).map(name).collect()
}

fn description(point: &SunSpecPoint) -> String {
    if !matches!(point.kind, PointKind::Bits(_)) || point.symbols.is_empty() {
        return point.label.to_owned();
    }
    let bits: Vec<String> = point.symbols.iter().map(|(bit, name)| format!("{bit} {name}")).collect();
    let text = format!("{}, bits: {}", point.label, bits.join(", "));
    if text.len() <= TagDefinition::DESCRIPTION_BYTES_MAX { text } else { point.label.to_owned() }
}

/// Units of the definitions in UCUM where they have one.
fn ucum(unit: &str) -> &str {
    match unit {
        "C" => "Cel",
        "Pct" => "%",
        "Secs" | "Sec" => "s",
        "mSecs" => "ms",
        "Degrees" | "deg" => "deg",
        "VA" => "V.A",
        "VAh" => "V.A.h",
        "Wh" | "WH" => "W.h",
        "kWh" => "kW.h",
        "Ah" | "AH" => "A.h",
        "kAH" => "kA.h",
        "Var" => "var",
        "Varh" => "varh",
        "W/m^2" => "W/m2",
        "meters" => "m",
        "mps" => "m/s",
        "HPa" => "hPa",
        "ohms" => "Ohm",
        "kO" => "kOhm",
        "cos()" | "PF" | "SF" | "text" => "",
        other => other,
    }
}
