//! One configured tag: its definition for the catalog, its place in the device and its decoder, checked on the way in.

use super::{
    address::{Address, RegisterArea},
    bit_field::BitField,
    decode::{MissingValue, RegisterDecoder},
    factor::{FactorKind, ScaleFactor},
    format::{self, RegisterFormat},
    frame::Framing,
    scaling::Scaling,
    unstored,
    word_order::WordOrder,
};
use historian_collector::{
    ConfigProblem, TagConfig, TagKey,
    not_available::Sentinel,
    tag_key::{NOT_AVAILABLE, STORED},
};
use historian_model::{TagDefinition, TagName, Value, ValueType, tag::TagSource};

/// Keys of `[[modbus.tag]]` beside the common ones.
pub const TAG_KEYS: &[TagKey] = &[
    // Of the registers (`u16`, `i32`, `f32`, …); by default that of the value type.
    TagKey::text("format"),
    // `ABCD` (default), `CDAB`, `BADC` or `DCBA`.
    TagKey::text("word_order"),
    // value = raw × scale + offset, as decimal numbers, rounded once to f64.
    TagKey::number("scale"),
    TagKey::number("offset"),
    // Register of a factor that the device tells, and what it holds.
    TagKey::text("scale_from"),
    TagKey::text("scale_from_kind"),
    // These instead of the device's.
    TagKey::whole("scan_ms"),
    TagKey::flag("read_single"),
    NOT_AVAILABLE,
    // False for what only formulas take.
    STORED,
];

/// A tag that can be read.
#[derive(Clone, Debug)]
pub struct ModbusTag {
    pub definition: TagDefinition,
    pub unit: u8,
    pub area: RegisterArea,
    /// First register or bit of the value.
    pub start: u16,
    pub decoder: RegisterDecoder,
    /// Read in the same request.
    pub factor: Option<ScaleFactor>,
    pub scan_ms: u64,
    /// Read in a request of its own.
    pub read_single: bool,
    /// False where only formulas take the value.
    pub stored: bool,
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
    pub read_single: bool,
    pub not_available: &'device [Sentinel],
}

/// Scan periods that make sense, in milliseconds.
pub const SCAN_MS: std::ops::RangeInclusive<u64> = 10..=86_400_000;

/// A key, and why what it says cannot be.
type RefusedKey = (&'static str, String);

impl ModbusTag {
    /// Registers or bits that the value takes.
    pub fn count(&self) -> u16 {
        self.decoder.format.registers()
    }

    /// First address and number of addresses that are read for the tag: those of its value, and of its factor.
    pub fn span(&self) -> (u16, u16) {
        span(self.start, self.count(), self.factor)
    }

    /// Value of the registers of [`ModbusTag::span`].
    pub fn decode(&self, words: &[u16]) -> Result<Value, MissingValue> {
        let Some(factor) = self.factor else { return self.decoder.registers(words) };
        let (first, _) = self.span();
        let scaling = self.decoder.scaling.unwrap_or(Scaling::new(1.0, 0.0));
        let words_of_value = self.own_words(words);
        // A raw value that means "no value" says more than a factor that is none.
        self.decoder.registers(words_of_value)?;
        let word = words[usize::from(factor.address - first)];
        let factor = factor.kind.of(if self.decoder.order.bytes_swapped() { word.swap_bytes() } else { word })?;
        self.decoder.scaled_by(words_of_value, Some(&scaling.times(factor)))
    }

    /// The registers of the value among those that are read for the tag.
    pub fn own_words<'words>(&self, words: &'words [u16]) -> &'words [u16] {
        let (first, _) = self.span();
        let value = usize::from(self.start - first);
        &words[value..value + usize::from(self.count())]
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
        if let Some(message) = unstored::contradiction(config) {
            refuse(STORED.name, message.to_owned());
        }
        let (scale, offset) = (own.number("scale"), own.number("offset"));
        let scaled = scale.is_some() || offset.is_some() || own.has("scale_from");
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
        let asked_type = config.value_type_with_states(&prefix).unwrap_or_else(|problem| {
            refuse(problem.key.rsplit('.').next().unwrap_or("type"), problem.message.clone());
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

        let read_single = own.flag("read_single").unwrap_or(device.read_single);
        let read = address.and_then(|address| {
            if own.has("format") && format.is_none() {
                return None; // refused above
            }
            let format = match format_at(address, format, asked_type, scaled) {
                Ok(format) => format,
                Err((key, message)) => {
                    refuse(key, message);
                    return None;
                }
            };
            if explicit_order.is_some() && format == RegisterFormat::Bool {
                refuse("word_order", "a single bit has no word order".into());
            }
            let order = explicit_order.unwrap_or(match (device.word_order, format.is_text()) {
                // The registers of texts are in order on devices that reverse those of numbers.
                (WordOrder::Cdab, true) => WordOrder::Abcd,
                (WordOrder::Dcba, true) => WordOrder::Badc,
                (order, _) => order,
            });
            if own.has("scale_from") && read_single {
                let reason = "read_single is for devices that answer only the first register of a request right, and scale_from needs two";
                refuse("scale_from", format!("{reason}; set read_single = false at this tag if the device answers both"));
            }
            let factor = match factor_of(config, address, unit, device) {
                Ok(factor) => factor,
                Err((key, message)) => {
                    refuse(key, message);
                    None
                }
            };
            if !address.area.is_bits()
                && let Err((key, message)) = check_place(config, address.start, format, factor, device.max_registers)
            {
                refuse(key, message);
            }
            if scaled && !format.is_number() {
                refuse("scale", format!("scale and offset need a number, {format} is none"));
            }
            let scaling = scaled.then(|| Scaling::new(scale.unwrap_or(1.0), offset.unwrap_or(0.0)));
            let natural = if scaled { ValueType::F64 } else { format.natural_type() };
            let value_type = asked_type.unwrap_or(natural);
            let stays_whole = format.is_integer() && !own.has("scale_from") && scaling.is_some_and(|scaling| scaling.is_whole());
            if scaled && format.is_number() && value_type != ValueType::F64 {
                if !matches!(value_type, ValueType::I64 | ValueType::U64) || !stays_whole {
                    refuse("type", refused_scaled_type(format, value_type));
                }
            } else if !scaled && !format.fits(value_type) {
                refuse("type", format!("{format} does not fit into {value_type} without loss; it is {natural} by default, f64 on demand"));
            }
            let not_available = listed(config, format, device.not_available).unwrap_or_else(|message| {
                refuse("not_available", message);
                Vec::new()
            });
            Some((RegisterDecoder { format, order, scaling, value_type, not_available }, factor))
        });

        match (name, address, read) {
            (Some(name), Some(address), Some((decoder, factor))) if problems.is_empty() => {
                let source = TagSource { device: device.name.to_owned(), address: config.address.clone() };
                let definition = config.definition(&prefix, name, decoder.value_type, source).map_err(|problem| vec![problem])?;
                let (area, start, stored) = (address.area, address.start, config.is_stored());
                Ok(ModbusTag { definition, unit, area, start, decoder, factor, scan_ms, read_single, stored })
            }
            _ => Err(problems),
        }
    }
}

fn span(start: u16, count: u16, factor: Option<ScaleFactor>) -> (u16, u16) {
    let Some(ScaleFactor { address, .. }) = factor else { return (start, count) };
    let first = start.min(address);
    let end = (u32::from(start) + u32::from(count)).max(u32::from(address) + 1);
    (first, u16::try_from(end - u32::from(first)).unwrap_or(u16::MAX))
}

/// Format of a tag from its address, its `format` and its `type`; otherwise the key at fault and why.
fn format_at(
    address: Address,
    format: Option<RegisterFormat>,
    asked: Option<ValueType>,
    scaled: bool,
) -> Result<RegisterFormat, RefusedKey> {
    if address.area.is_bits() {
        return match format {
            None | Some(RegisterFormat::Bool) => Ok(RegisterFormat::Bool),
            Some(other) => Err(("format", format!("a {} is a bool, not {other}", address.area))),
        };
    }
    if let Some((first, last)) = address.bits {
        let registers = match format {
            None | Some(RegisterFormat::Bool) => 1,
            Some(number @ (RegisterFormat::U16 | RegisterFormat::U32 | RegisterFormat::U48 | RegisterFormat::U64)) => number.registers(),
            Some(other) => {
                let bits = if first == last { format!("bit {first}") } else { format!("bits {first}-{last}") };
                return Err((
                    "format",
                    format!("the address names {bits} of a number, which are taken from u16, u32, u48 or u64, not {other}"),
                ));
            }
        };
        return BitField::new(registers, first, last).map(RegisterFormat::Bits).ok_or_else(|| {
            let most = registers * 16 - 1;
            let numbers = if registers == 1 { "a register has" } else { "this number has" };
            (
                "address",
                format!("bit {last} does not exist, {numbers} bits 0 to {most}; format = \"u32\" takes two registers as one number"),
            )
        });
    }
    match (format, asked) {
        (Some(RegisterFormat::Bool), _) => Err(("format", "a bool in a register needs its bit in the address, as in holding:100.3".into())),
        (Some(format), _) => Ok(format),
        (None, None) => Ok(RegisterFormat::U16),
        (None, Some(_)) if scaled => {
            Err(("format", format!("say how the raw value lies in its registers; known are {}", format::names().join(", "))))
        }
        (None, Some(ValueType::Bool)) => Err(("address", "a bool in a register needs its bit in the address, as in holding:100.3".into())),
        (None, Some(value_type)) => RegisterFormat::of_type(value_type)
            .ok_or_else(|| ("format", "a string needs its length in registers, as in format = \"string:8\"".into())),
    }
}

/// Register of the scale factor, if the tag has one.
fn factor_of(config: &TagConfig, address: Address, unit: u8, device: &ModbusDefaults<'_>) -> Result<Option<ScaleFactor>, RefusedKey> {
    let kind = match config.own.text("scale_from_kind") {
        None => FactorKind::default(),
        Some(text) => text.parse().map_err(|message| ("scale_from_kind", message))?,
    };
    let Some(text) = config.own.text("scale_from") else {
        if config.own.has("scale_from_kind") {
            return Err(("scale_from_kind", "says what the register of scale_from holds, and there is no scale_from".into()));
        }
        return Ok(None);
    };
    let place = Address::parse(text, device.zero_based).map_err(|message| ("scale_from", message))?;
    if place.area.is_bits() || place.bits.is_some() {
        return Err(("scale_from", "a scale factor is a whole register, as in holding:40071".into()));
    }
    if place.area != address.area || place.unit.unwrap_or(unit) != unit {
        let reason = "is read in one request with its value, and so it lies in the same area of the same unit";
        return Err(("scale_from", format!("the scale factor {reason}")));
    }
    Ok(Some(ScaleFactor { address: place.start, kind }))
}

/// Refuses what one request cannot read.
fn check_place(config: &TagConfig, start: u16, format: RegisterFormat, factor: Option<ScaleFactor>, most: u16) -> Result<(), RefusedKey> {
    let registers = format.registers();
    if registers > most {
        return Err(("format", format!("{format} has {registers} registers, the device's max_registers allows {most} in one request")));
    }
    let end = u32::from(start) + u32::from(registers);
    if end > 65_536 {
        return Err(("address", format!("{format} at {} reaches to register {}, the last is 65535", config.address, end - 1)));
    }
    let Some(factor) = factor else { return Ok(()) };
    if (start..=(end - 1) as u16).contains(&factor.address) {
        return Err(("scale_from", "the scale factor is one of the registers of its value".into()));
    }
    let (_, count) = span(start, registers, Some(factor));
    if count > most {
        let reason = format!("value and scale factor are read in one request, and lie {count} registers apart");
        return Err(("scale_from", format!("{reason}; the device's max_registers allows {most}")));
    }
    Ok(())
}

fn refused_scaled_type(format: RegisterFormat, value_type: ValueType) -> String {
    match value_type {
        ValueType::I64 | ValueType::U64 if format.is_integer() => {
            format!("scaled values are f64; they are {value_type} where scale and offset are whole numbers and there is no scale_from")
        }
        _ => format!("scaled values are f64, not {value_type}; leave scale and offset out to keep {format} as it is"),
    }
}

/// Raw values that mean "no value": those of the tag, otherwise those of the device that its format can have.
fn listed(config: &TagConfig, format: RegisterFormat, of_device: &[Sentinel]) -> Result<Vec<Sentinel>, String> {
    let kind = format.raw_kind();
    let is_text = format.natural_type() == ValueType::String;
    let fits = |sentinel: &Sentinel| kind.is_some_and(|kind| sentinel.fits(kind)) || is_text && sentinel.is_empty_text();
    let Some(own) = config.own.not_available() else {
        // That all bits are set means "no value" to SunSpec devices; of others it is not known.
        let holds = |sentinel: &&Sentinel| fits(sentinel) && (sentinel.is_preset() || !format.is_bits());
        return Ok(of_device.iter().filter(holds).cloned().collect());
    };
    let mut listed = Vec::with_capacity(own.0.len());
    for sentinel in &own.0 {
        let beyond = match (format, sentinel.integer()) {
            (RegisterFormat::Bcd(registers), Some(number)) if !sentinel.is_hexadecimal() => number >= 10_i128.pow(4 * u32::from(registers)),
            _ => false,
        };
        if beyond {
            return Err(format!("no {format} can be {sentinel}; bits are written in quotes, as in \"0x9999\""));
        }
        match kind {
            _ if fits(sentinel) => listed.push(sentinel.clone()),
            _ if sentinel.is_preset() => {}
            Some(kind) => return Err(format!("no raw value of {} can be {sentinel}", kind.as_str())),
            None if is_text => return Err(format!("{format} is a text: of texts only \"empty\" can mean no value")),
            None => return Err(format!("not_available needs a number or a text, {format} is neither")),
        }
    }
    Ok(listed)
}
