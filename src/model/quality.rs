//! Quality of a sample: an OPC UA `StatusCode`, kept whole.

use std::fmt;

/// OPC UA `StatusCode` (OPC 10000-4, 7.39): Good, Uncertain or Bad in its top two bits, the sub-code and info bits below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Quality(pub u32);

/// Severity, the top two bits of a [`Quality`]. `11` is reserved in the standard and read as Bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Good,
    Uncertain,
    Bad,
}

macro_rules! status_codes {
    ($($constant:ident = $code:literal, $name:literal;)*) => {
        impl Quality {
            $(#[doc = concat!("`", $name, "` of OPC 10000-6.")] pub const $constant: Quality = Quality($code);)*

            /// Standard symbol of the code without its info bits, where this table knows it.
            pub fn symbol(self) -> Option<&'static str> {
                match self.0 & 0xFFFF_0000 {
                    $($code => Some($name),)*
                    _ => None,
                }
            }

            /// The code of a standard symbol, in any case.
            pub fn named(symbol: &str) -> Option<Quality> {
                [$(($code, $name)),*].into_iter().find(|(_, name)| name.eq_ignore_ascii_case(symbol)).map(|(code, _)| Quality(code))
            }
        }
    };
}

status_codes! {
    GOOD = 0x0000_0000, "Good";
    UNCERTAIN = 0x4000_0000, "Uncertain";
    BAD = 0x8000_0000, "Bad";
    BAD_UNEXPECTED_ERROR = 0x8001_0000, "BadUnexpectedError";
    BAD_INTERNAL_ERROR = 0x8002_0000, "BadInternalError";
    BAD_COMMUNICATION_ERROR = 0x8005_0000, "BadCommunicationError";
    BAD_DECODING_ERROR = 0x8007_0000, "BadDecodingError";
    BAD_ENCODING_LIMITS_EXCEEDED = 0x8008_0000, "BadEncodingLimitsExceeded";
    BAD_TIMEOUT = 0x800A_0000, "BadTimeout";
    BAD_WAITING_FOR_INITIAL_DATA = 0x8032_0000, "BadWaitingForInitialData";
    BAD_NODE_ID_UNKNOWN = 0x8034_0000, "BadNodeIdUnknown";
    BAD_ATTRIBUTE_ID_INVALID = 0x8035_0000, "BadAttributeIdInvalid";
    BAD_NOT_SUPPORTED = 0x803D_0000, "BadNotSupported";
    BAD_OUT_OF_RANGE = 0x803C_0000, "BadOutOfRange";
    BAD_TYPE_MISMATCH = 0x8074_0000, "BadTypeMismatch";
    BAD_CONFIGURATION_ERROR = 0x8089_0000, "BadConfigurationError";
    BAD_NOT_CONNECTED = 0x808A_0000, "BadNotConnected";
    BAD_DEVICE_FAILURE = 0x808B_0000, "BadDeviceFailure";
    BAD_SENSOR_FAILURE = 0x808C_0000, "BadSensorFailure";
    BAD_OUT_OF_SERVICE = 0x808D_0000, "BadOutOfService";
    UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE = 0x408F_0000, "UncertainNoCommunicationLastUsableValue";
    UNCERTAIN_LAST_USABLE_VALUE = 0x4090_0000, "UncertainLastUsableValue";
    UNCERTAIN_INITIAL_VALUE = 0x4092_0000, "UncertainInitialValue";
    UNCERTAIN_SENSOR_NOT_ACCURATE = 0x4093_0000, "UncertainSensorNotAccurate";
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED = 0x4094_0000, "UncertainEngineeringUnitsExceeded";
    UNCERTAIN_SUB_NORMAL = 0x4095_0000, "UncertainSubNormal";
    UNCERTAIN_DATA_SUB_NORMAL = 0x40A4_0000, "UncertainDataSubNormal";
    BAD_NO_COMMUNICATION = 0x8031_0000, "BadNoCommunication";
    BAD_NO_DATA = 0x809B_0000, "BadNoData";
    BAD_CONNECTION_CLOSED = 0x80AE_0000, "BadConnectionClosed";
    GOOD_LOCAL_OVERRIDE = 0x0096_0000, "GoodLocalOverride";
    UNCERTAIN_SUBSTITUTE_VALUE = 0x4091_0000, "UncertainSubstituteValue";
    BAD_SHUTDOWN = 0x800C_0000, "BadShutdown";
    BAD_SERVER_NOT_CONNECTED = 0x800D_0000, "BadServerNotConnected";
    BAD_USER_ACCESS_DENIED = 0x801F_0000, "BadUserAccessDenied";
    BAD_NOT_READABLE = 0x803A_0000, "BadNotReadable";
    BAD_NOT_FOUND = 0x803E_0000, "BadNotFound";
    BAD_DATA_LOST = 0x809D_0000, "BadDataLost";
    BAD_DATA_UNAVAILABLE = 0x809E_0000, "BadDataUnavailable";
    BAD_BOUND_NOT_FOUND = 0x80D7_0000, "BadBoundNotFound";
}

impl Quality {
    /// Info bits of a value that an interpolation made (OPC 10000-13, historian bits: `Interpolated` with info type `DataValue`).
    pub const INTERPOLATED_BITS: u32 = 0x0000_0402;

    /// Severity of the code.
    pub fn severity(self) -> Severity {
        match self.0 >> 30 {
            0 => Severity::Good,
            1 => Severity::Uncertain,
            _ => Severity::Bad,
        }
    }

    /// True when the top two bits are 00.
    pub fn is_good(self) -> bool {
        self.severity() == Severity::Good
    }

    /// True when the top two bits are 10 or 11.
    pub fn is_bad(self) -> bool {
        self.severity() == Severity::Bad
    }

    /// The ways in which communication with a whole device fails: one outage, however its symptoms change.
    pub fn is_outage(self) -> bool {
        [Quality::BAD_TIMEOUT, Quality::BAD_NO_COMMUNICATION, Quality::BAD_COMMUNICATION_ERROR].contains(&self)
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) if self.0.trailing_zeros() >= 16 => f.write_str(symbol),
            Some(symbol) => write!(f, "{symbol}+0x{:04X}", self.0 & 0xFFFF),
            None => write!(f, "0x{:08X}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_is_the_top_two_bits() {
        assert_eq!(Quality(0x3FFF_FFFF).severity(), Severity::Good);
        assert_eq!(Quality(0x4000_0000).severity(), Severity::Uncertain);
        assert_eq!(Quality(0x8000_0000).severity(), Severity::Bad);
        assert_eq!(Quality(0xC000_0000).severity(), Severity::Bad);
    }

    #[test]
    fn codes_show_their_standard_symbol_and_keep_info_bits_visible() {
        assert_eq!(Quality::BAD_NO_COMMUNICATION.to_string(), "BadNoCommunication");
        assert_eq!(Quality(0x0000_0480).to_string(), "Good+0x0480");
        assert_eq!(Quality(0x80FF_0000).to_string(), "0x80FF0000");
        assert_eq!(Quality::named("badNoCommunication"), Some(Quality::BAD_NO_COMMUNICATION));
        assert_eq!(Quality::named("BadLuck"), None);
    }
}
