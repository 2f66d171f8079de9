//! Where a device is, in our keys, and what a value in its registers is: what all three programs say in words of their own.

use toml::Value;

use super::draft::{ConfigDraft, DraftDevice, DraftKey, number, text};

/// Bounds of our `scan_ms`.
const SCAN_MS: (u64, u64) = (10, 86_400_000);

/// What carries Modbus to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignCarrier {
    Tcp,
    RtuOverTcp,
    Serial,
}

/// Where a Modbus device is, as another program has it.
#[derive(Debug)]
pub struct ForeignLine {
    pub carrier: ForeignCarrier,
    /// `host:port` or a serial port; or why it is not known.
    pub endpoint: Result<String, String>,
    /// Keys beside it.
    pub keys: Vec<DraftKey>,
    pub remarks: Vec<String>,
}

impl ForeignLine {
    /// The device there, under this name where there is none yet.
    pub fn device(mut self, name: &str, draft: &mut ConfigDraft) -> usize {
        let place = match &self.endpoint {
            Ok(endpoint) => format!("{:?} {endpoint}", self.carrier),
            // What is not known is one place where it is not known in the same words, and by the same name.
            Err(reason) => format!("{:?} {name} {reason}", self.carrier),
        };
        let endpoint = match self.endpoint {
            Ok(endpoint) => endpoint,
            Err(reason) => {
                self.remarks.push(format!("the endpoint is a placeholder: {reason}"));
                if self.carrier == ForeignCarrier::Serial { "/dev/ttyUSB0".to_owned() } else { draft.placeholder(502) }
            }
        };
        let mut keys = vec![("endpoint", text(endpoint))];
        match self.carrier {
            ForeignCarrier::Tcp => {}
            ForeignCarrier::RtuOverTcp => keys.push(("transport", text("rtu-over-tcp"))),
            ForeignCarrier::Serial => keys.push(("transport", text("rtu"))),
        }
        keys.extend(self.keys);
        draft.device(DraftDevice::new("modbus", name, place, keys, self.remarks))
    }
}

/// Parity as others write it: `N`, `even`, `O`.
///
/// # Errors
/// It is none.
pub fn parity(word: &str) -> Result<Value, String> {
    match word.to_lowercase().as_str() {
        "n" | "none" => Ok(text("none")),
        "e" | "even" => Ok(text("even")),
        "o" | "odd" => Ok(text("odd")),
        _ => Err(format!("{word:?} is no parity")),
    }
}

/// A period within the bounds of `scan_ms`.
pub fn scan_ms(wished: u64) -> u64 {
    wished.clamp(SCAN_MS.0, SCAN_MS.1)
}

/// An address in our notation.
///
/// # Errors
/// It is beyond the last one.
pub fn address(area: &str, start: i64) -> Result<String, String> {
    if (0..=65_535).contains(&start) { Ok(format!("{area}:{start}")) } else { Err(format!("the address {start} is not from 0 to 65535")) }
}

/// How the bytes of a value are turned around: our word order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForeignOrder {
    pub words_reversed: bool,
    pub bytes_swapped: bool,
}

impl ForeignOrder {
    /// Of our own words.
    pub fn named(order: &str) -> Option<ForeignOrder> {
        let (words_reversed, bytes_swapped) = match order {
            "ABCD" => (false, false),
            "CDAB" => (true, false),
            "BADC" => (false, true),
            "DCBA" => (true, true),
            _ => return None,
        };
        Some(ForeignOrder { words_reversed, bytes_swapped })
    }

    /// The key for a value of so many registers; none where it is the usual one.
    pub fn key(self, registers: u16) -> Option<DraftKey> {
        let order = match (self.words_reversed && registers > 1, self.bytes_swapped) {
            (false, false) => return None,
            (true, false) => "CDAB",
            (false, true) => "BADC",
            (true, true) => "DCBA",
        };
        Some(("word_order", text(order)))
    }
}

/// `scale` and `offset`, where they change something.
///
/// # Errors
/// The scale is 0: every value would be.
pub fn scaling(scale: Option<f64>, offset: Option<f64>) -> Result<Vec<DraftKey>, String> {
    if scale == Some(0.0) {
        return Err("`scale` is 0".to_owned());
    }
    let scale = scale.map(number).filter(|scale| *scale != Value::Integer(1)).map(|scale| ("scale", scale));
    let offset = offset.filter(|offset| *offset != 0.0).map(|offset| ("offset", number(offset)));
    Ok(scale.into_iter().chain(offset).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_something_is_written() {
        assert_eq!(scaling(Some(1.0), Some(0.0)), Ok(Vec::new()));
        assert_eq!(scaling(Some(0.1), Some(-40.0)).unwrap(), [("scale", Value::Float(0.1)), ("offset", Value::Integer(-40))]);
        assert!(scaling(Some(0.0), None).is_err());
        assert_eq!(ForeignOrder::named("DCBA").unwrap().key(1), Some(("word_order", text("BADC"))));
        assert_eq!(ForeignOrder::named("CDAB").unwrap().key(1), None);
        assert!(address("holding", 65_536).is_err() && address("coil", -1).is_err());
    }
}
