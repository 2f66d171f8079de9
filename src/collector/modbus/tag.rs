//! One configured tag: its definition for the catalog, its place in the device and its decoder, checked on the way in.

use super::{
    address::{Address, RegisterArea},
    decode::RegisterDecoder,
    format::{FORMATS, RegisterFormat, WordOrder},
    frame::Framing,
    scaling::Scaling,
};
use historian_collector::{ConfigProblem, TagConfig, TagKey, not_available::Sentinel, tag_key::NOT_AVAILABLE};
use historian_model::{TagDefinition, TagName, ValueType, tag::TagSource};

/// Keys of `[[modbus.tag]]` beside the common ones.
pub const TAG_KEYS: &[TagKey] = &[
    // Of the registers (`u16`, `i32`, `f32`, …); by default that of the value type.
    TagKey::text("format"),
    // `ABCD` (default), `CDAB`, `BADC` or `DCBA`.
    TagKey::text("word_order"),
    // value = raw × scale + offset, as decimal numbers, rounded once to f64.
    TagKey::number("scale"),
    TagKey::number("offset"),
    // These instead of the device's.
    TagKey::whole("scan_ms"),
    NOT_AVAILABLE,
];

/// A tag that can be read.
#[derive(Clone, Debug)]
pub struct ModbusTag {
    pub definition: TagDefinition,
    pub unit: u8,
    pub area: RegisterArea,
    pub start: u16,
    pub decoder: RegisterDecoder,
    pub scan_ms: u64,
}

/// What a tag takes from its device.
pub struct ModbusDefaults<'device> {
    pub name: &'device str,
    pub framing: Framing,
    pub unit: u8,
    pub scan_ms: u64,
    pub zero_based: bool,
    pub word_order: WordOrder,
    pub max_registers: u16,
    pub not_available: &'device [Sentinel],
}

/// Scan periods that make sense, in milliseconds.
pub const SCAN_MS: std::ops::RangeInclusive<u64> = 10..=86_400_000;

impl ModbusTag {
    /// Registers or bits that the tag takes.
    pub fn count(&self) -> u16 {
        self.decoder.format.registers()
    }

    /// Checks one tag's configuration.
    ///
    /// # Errors
    /// Every problem found, each with the key it concerns.
    pub fn build(config: &TagConfig, device: &ModbusDefaults<'_>) -> Result<ModbusTag, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let prefix = format!("modbus.{}", device.name);
        let mut refuse = |key: &str, message: String| problems.push(config.problem(&prefix, key, message));

        let name = TagName::new(&config.name).map_err(|error| refuse("name", error.to_string())).ok();
        let own = &config.own;
        let (scale, offset) = (own.number("scale"), own.number("offset"));
        let scaled = scale.is_some() || offset.is_some();
        let scan_ms = own.whole("scan_ms").unwrap_or(device.scan_ms);
        if own.has("scan_ms") && !SCAN_MS.contains(&scan_ms) {
            refuse("scan_ms", format!("scan_ms is {scan_ms}, it can be {} to {} (10 ms to a day)", SCAN_MS.start(), SCAN_MS.end()));
        }
        for (key, value) in [("scale", scale), ("offset", offset), ("range_low", config.range_low), ("range_high", config.range_high)] {
            if value.is_some_and(|value| !value.is_finite()) {
                refuse(key, format!("{key} is not a finite number"));
            }
        }
        if scale == Some(0.0) {
            refuse("scale", "scale 0 would make every value the offset; leave scale out for raw values".into());
        }
        if let (Some(low), Some(high)) = (config.range_low, config.range_high)
            && low > high
        {
            refuse("range_low", format!("range_low {low} is above range_high {high}"));
        }
        let asked_type = config.parsed_value_type(&prefix).unwrap_or_else(|problem| {
            refuse("type", problem.message);
            None
        });
        let format = own.text("format").map(str::parse::<RegisterFormat>).transpose().unwrap_or_else(|message| {
            refuse("format", message);
            None
        });
        let explicit_order = own.text("word_order").map(str::parse::<WordOrder>).transpose().unwrap_or_else(|message| {
            refuse("word_order", message);
            None
        });
        let address = Address::parse(&config.address, device.zero_based).map_err(|message| refuse("address", message)).ok();
        let unit = address.as_ref().and_then(|address| address.unit).unwrap_or(device.unit);
        if let Some(reason) = device.framing.refused_unit(unit)
            && address.is_some_and(|address| address.unit.is_some())
        {
            refuse("address", reason);
        }

        let decoder = address.and_then(|address| {
            let format = if own.has("format") && format.is_none() {
                return None; // refused above
            } else {
                match format_at(address, format, asked_type, scaled) {
                    Ok(format) => format,
                    Err((key, message)) => {
                        refuse(key, message);
                        return None;
                    }
                }
            };
            let order = match (explicit_order, format) {
                (Some(_), RegisterFormat::Bool) => {
                    refuse("word_order", "a single bit has no word order".into());
                    WordOrder::Abcd
                }
                (Some(order), format) if format.is_text() && order.words_reversed() => {
                    refuse("word_order", "the registers of a string are in order; only ABCD and BADC (bytes swapped) apply".into());
                    order
                }
                (None, format) if format.is_text() && device.word_order.words_reversed() => {
                    if device.word_order.bytes_swapped() {
                        WordOrder::Badc
                    } else {
                        WordOrder::Abcd
                    }
                }
                (order, _) => order.unwrap_or(device.word_order),
            };
            if !address.area.is_bits() {
                if format.registers() > device.max_registers {
                    let (registers, most) = (format.registers(), device.max_registers);
                    refuse(
                        "format",
                        format!("{format} has {registers} registers, the device's max_registers allows {most} in one request"),
                    );
                }
                let end = u32::from(address.start) + u32::from(format.registers());
                if end > 65_536 {
                    refuse("address", format!("{format} at {} reaches to register {}, the last is 65535", config.address, end - 1));
                }
            }
            if scaled && !format.is_number() {
                refuse("scale", format!("scale and offset need a number, {format} is none"));
            }
            let natural = if scaled { ValueType::F64 } else { format.natural_type() };
            let value_type = asked_type.unwrap_or(natural);
            if scaled && format.is_number() && value_type != ValueType::F64 {
                refuse("type", format!("scaled values are f64, not {value_type}; leave scale and offset out to keep {format} as it is"));
            } else if !scaled && !format.fits(value_type) {
                refuse("type", format!("{format} does not fit into {value_type} without loss; it is {natural} by default, f64 on demand"));
            }
            let scaling = scaled.then(|| Scaling::new(scale.unwrap_or(1.0), offset.unwrap_or(0.0)));
            let listed = match (own.not_available(), format.raw_kind()) {
                (None, None) => Vec::new(),
                (None, Some(kind)) => device.not_available.iter().filter(|sentinel| sentinel.fits(kind)).cloned().collect(),
                (Some(_), None) => {
                    refuse("not_available", format!("not_available needs a number, {format} is none"));
                    Vec::new()
                }
                (Some(own), Some(kind)) => {
                    if let Some(sentinel) = own.0.iter().find(|sentinel| !sentinel.fits(kind)) {
                        refuse("not_available", format!("no raw value of {} can be {sentinel}", kind.as_str()));
                    }
                    own.0.clone()
                }
            };
            Some(RegisterDecoder { format, order, scaling, value_type, not_available: listed })
        });

        match (name, address, decoder) {
            (Some(name), Some(address), Some(decoder)) if problems.is_empty() => {
                let mut definition = TagDefinition::new(name, decoder.value_type);
                definition.unit.clone_from(&config.unit);
                definition.description.clone_from(&config.description);
                definition.stepped = config.stepped.unwrap_or(definition.stepped);
                definition.range_low = config.range_low;
                definition.range_high = config.range_high;
                definition.state_set.clone_from(&config.state_set);
                if let Err(refused) = definition.check() {
                    return Err(vec![config.problem(&prefix, refused.field, refused.reason)]);
                }
                definition.source = Some(TagSource { device: device.name.to_owned(), address: config.address.clone() });
                Ok(ModbusTag { definition, unit, area: address.area, start: address.start, decoder, scan_ms })
            }
            _ => Err(problems),
        }
    }
}

/// Format of a tag from its address, its `format` and its `type`; otherwise the key at fault and why.
fn format_at(
    address: Address,
    format: Option<RegisterFormat>,
    asked: Option<ValueType>,
    scaled: bool,
) -> Result<RegisterFormat, (&'static str, String)> {
    if let Some(bit) = address.bit {
        return match format {
            None | Some(RegisterFormat::Bool) => Ok(RegisterFormat::Bit(bit)),
            Some(other) => Err(("format", format!("the address names bit {bit} of a register, which is a bool, not {other}"))),
        };
    }
    if address.area.is_bits() {
        return match format {
            None | Some(RegisterFormat::Bool) => Ok(RegisterFormat::Bool),
            Some(other) => Err(("format", format!("a {} is a bool, not {other}", address.area))),
        };
    }
    match (format, asked) {
        (Some(RegisterFormat::Bool), _) => Err(("format", "a bool in a register needs its bit in the address, as in holding:100.3".into())),
        (Some(format), _) => Ok(format),
        (None, None) => Ok(RegisterFormat::U16),
        (None, Some(_)) if scaled => Err(("format", format!("say how the raw value lies in its registers; known are {FORMATS}"))),
        (None, Some(ValueType::Bool)) => Err(("address", "a bool in a register needs its bit in the address, as in holding:100.3".into())),
        (None, Some(value_type)) => RegisterFormat::of_type(value_type)
            .ok_or_else(|| ("format", "a string needs its length in registers, as in format = \"string:8\"".into())),
    }
}
