//! `source: modbus` of evcc: where the device is, and what its register holds.

use toml::Value;

use super::super::{
    draft::{ConfigDraft, DraftKey, DraftTag, text, unused},
    place::{ForeignCarrier, ForeignLine, ForeignOrder, address, parity, scaling},
    source::{ForeignTable, hexadecimal, or_remark},
};

/// Where a value is read from.
pub struct Connection {
    line: ForeignLine,
    pub unit: u8,
}

impl Connection {
    /// What the table of a source says of it. The place of a template is nobody's.
    pub fn of(table: &ForeignTable<'_>, is_template: bool) -> Connection {
        let mut remarks = Vec::new();
        let unit = or_remark(table.within("id", 0, 255), &mut remarks).unwrap_or(1) as u8;
        let mut keys: Vec<DraftKey> = Vec::new();
        for (theirs, ours, low) in
            [("timeout", "timeout_ms", 10), ("delay", "pause_between_requests_ms", 0), ("connectdelay", "pause_after_connect_ms", 0)]
        {
            if let Some(span_ms) = or_remark(table.milliseconds(theirs), &mut remarks).filter(|span_ms| *span_ms > 0) {
                keys.push((ours, Value::Integer(span_ms.clamp(low, 60_000) as i64)));
            }
        }
        let (uri, device) = (table.text("uri"), table.text("device"));
        let (baud_rate, comset) = (table.whole("baudrate"), table.text("comset"));
        let is_rtu = table.truth("rtu").unwrap_or_default();
        let (carrier, endpoint) = match device {
            Ok(Some(port)) => {
                keys.extend(or_remark(baud_rate, &mut remarks).map(|baud_rate| ("baud_rate", Value::Integer(baud_rate))));
                if let Some(comset) = or_remark(comset, &mut remarks) {
                    keys.extend(line_settings(&comset, &mut remarks));
                }
                (ForeignCarrier::Serial, Ok(port))
            }
            Err(reason) => (ForeignCarrier::Serial, Err(reason)),
            Ok(None) => {
                let carrier = if is_rtu { ForeignCarrier::RtuOverTcp } else { ForeignCarrier::Tcp };
                let endpoint = uri.and_then(|uri| uri.ok_or_else(|| "it has neither uri nor device".to_owned())).map(|uri| {
                    let has_port = uri.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                    if has_port { uri } else { format!("{uri}:502") }
                });
                (carrier, endpoint)
            }
        };
        if is_template {
            remarks.push("the endpoint is a placeholder, as the template is of no device".to_owned());
        }
        if table.has("udp") {
            remarks.push("udp is not spoken: TCP".to_owned());
        }
        Connection { line: ForeignLine { carrier, endpoint, keys, remarks }, unit }
    }

    /// The device, named after the one of evcc that is the first at its place.
    pub fn device(&self, name: &str, draft: &mut ConfigDraft) -> usize {
        let ForeignLine { carrier, endpoint, keys, remarks } = &self.line;
        ForeignLine { carrier: *carrier, endpoint: endpoint.clone(), keys: keys.clone(), remarks: remarks.clone() }.device(name, draft)
    }
}

/// `8E1`: data bits, parity, stop bits.
fn line_settings(comset: &str, remarks: &mut Vec<String>) -> Vec<DraftKey> {
    // To YAML `8E1` without quotes is a number.
    let comset = if matches!(comset, "80" | "80.0") { "8E1" } else { comset };
    let letters: Vec<char> = comset.chars().collect();
    let ['8', word, stop @ ('1' | '2')] = letters[..] else {
        remarks.push(format!("comset {comset} not carried over: 8 data bits, a parity, 1 or 2 stop bits"));
        return Vec::new();
    };
    match parity(&word.to_string()) {
        Ok(parity) => vec![("parity", parity), ("stop_bits", Value::Integer(i64::from(stop == '2') + 1))],
        Err(reason) => {
            remarks.push(format!("comset not carried over: {reason}"));
            Vec::new()
        }
    }
}

/// The value in the registers, without name, unit and period; `None` where it is written.
///
/// # Errors
/// Why it cannot be read.
pub fn read(table: &ForeignTable<'_>) -> Result<Option<DraftTag>, String> {
    let register = table.get("register").and_then(ForeignTable::of).ok_or("its register is no table")?;
    let kind = register.text("type")?.unwrap_or_default().to_lowercase();
    let area = match kind.as_str() {
        "holding" => "holding",
        "input" => "input",
        "coil" | "coils" => "coil",
        "discrete" | "discreteinput" | "discreteinputs" => "discrete",
        written if written.starts_with("write") => return Ok(None),
        "" => return Err("its register has no type".to_owned()),
        other => return Err(format!("the type of register {other:?} is not known")),
    };
    let start = register.whole("address")?.ok_or("its register has no address")?;
    let place = address(area, start)?;
    let mask = register.text("bitmask")?;
    let decode = register.text("decode")?.or(register.text("encoding")?).unwrap_or_default().to_lowercase();
    let scaled = scaling(table.number("scale")?, None)?;
    let mut tag = DraftTag { address: place.clone(), ..DraftTag::default() };
    let rest = unused(&register.rest());
    if matches!(area, "coil" | "discrete") {
        if !scaled.is_empty() {
            tag.remarks.push("scale not carried over: a bit is true or false".to_owned());
        }
        tag.remarks.extend(rest);
        return Ok(Some(tag));
    }
    if decode == "bool16" {
        let (first, last) = mask.as_deref().map_or(Ok((0, 15)), bits)?;
        tag.address = if first == last { format!("{place}.{first}") } else { format!("{place}.{first}-{last}") };
        if first != last {
            tag.keys.push(("type", text("bool")));
        }
        if !scaled.is_empty() {
            tag.remarks.push("scale not carried over: a bit is true or false".to_owned());
        }
        tag.remarks.extend(rest);
        return Ok(Some(tag));
    }
    let (format, registers, order, missing) = number(&decode)?;
    tag.keys.push(("format", text(format)));
    tag.keys.extend(order.key(registers));
    tag.keys.extend(scaled);
    if !missing.is_empty() {
        tag.keys.push(("not_available", Value::Array(missing.into_iter().map(text).collect())));
    }
    tag.remarks.extend(rest);
    Ok(Some(tag))
}

/// The first and the last bit of a mask without gaps.
fn bits(mask: &str) -> Result<(u32, u32), String> {
    let value = hexadecimal(mask).or_else(|| mask.parse().ok()).and_then(|value| u16::try_from(value).ok()).filter(|value| *value != 0);
    let value = value.ok_or_else(|| format!("the bitmask {mask:?} is none of 16 bits"))?;
    let (first, last) = (value.trailing_zeros(), value.ilog2());
    if value.count_ones() == last - first + 1 {
        Ok((first, last))
    } else {
        Err(format!("the bits of the mask {mask} do not lie side by side"))
    }
}

/// A number by its name: `uint32nans` is unsigned, of 32 bits, with a value that means none, the low word first.
fn number(decode: &str) -> Result<(String, u16, ForeignOrder, Vec<String>), String> {
    let unknown = || format!("decode {decode:?} is not known");
    let plain = decode.replace("ieee754", "float32");
    let (kind, rest) = ["uint", "int", "float"].into_iter().find_map(|kind| Some((kind, plain.strip_prefix(kind)?))).ok_or_else(unknown)?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (bits, ending) = rest.split_at(digits);
    let registers = match bits {
        "16" => 1,
        "32" => 2,
        "64" => 4,
        _ => return Err(unknown()),
    };
    let (has_none, is_swapped) = match ending {
        "" => (false, false),
        "s" => (false, true),
        "nan" => (true, false),
        "nans" | "snan" => (true, true),
        _ => return Err(unknown()),
    };
    let all = "F".repeat(usize::from(registers) * 4 - 1);
    let missing = match kind {
        _ if !has_none => Vec::new(),
        "uint" => vec![format!("0xF{all}")],
        "int" => vec![format!("0x8{}", "0".repeat(all.len())), format!("0x7{all}")],
        _ => return Err(unknown()),
    };
    let letter = match kind {
        "uint" => 'u',
        "int" => 'i',
        _ if registers == 1 => return Err(unknown()),
        _ => 'f',
    };
    Ok((format!("{letter}{bits}"), registers, ForeignOrder { words_reversed: is_swapped, bytes_swapped: false }, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_encodings_are_our_formats() {
        let told = |decode: &str| {
            number(decode)
                .map(|(format, registers, order, missing)| format!("{format} {registers} {} {}", order.words_reversed, missing.join(" ")))
        };
        for (decode, expected) in [
            ("int16", "i16 1 false "),
            ("int32s", "i32 2 true "),
            ("uint32nan", "u32 2 false 0xFFFFFFFF"),
            ("int16nan", "i16 1 false 0x8000 0x7FFF"),
            ("float32s", "f32 2 true "),
            ("ieee754", "f32 2 false "),
            ("uint64nan", "u64 4 false 0xFFFFFFFFFFFFFFFF"),
        ] {
            assert_eq!(told(decode).as_deref(), Ok(expected), "{decode}");
        }
        for decode in ["", "int24", "float16", "float32nan", "bool8", "int32x"] {
            assert!(number(decode).is_err(), "{decode}");
        }
        assert_eq!((bits("2"), bits("0x0F"), bits("0x8000")), (Ok((1, 1)), Ok((0, 3)), Ok((15, 15))));
        assert!(bits("5").is_err() && bits("0").is_err() && bits("65536").is_err());
    }
}
