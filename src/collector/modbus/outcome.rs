//! What became of a request, and the quality that follows from it. The one home of the table:
//!
//! | Outcome | Quality | What the collector does |
//! |---|---|---|
//! | answer | Good | |
//! | answer that says "no value" (NaN, `not_available`) | `BadNoData` | |
//! | exception 01, 02, 03 | `BadConfigurationError` | halves the block down to the refused addresses, asks these again slowly |
//! | exception 04, 08 | `BadDeviceFailure` | reads the block in parts if these answer, keeps polling |
//! | exception 05, 06 | `UncertainLastUsableValue` with the last value, `BadOutOfService` after three polls | keeps polling |
//! | exception 0A, 0B | `BadNoCommunication` | as no answer |
//! | any other exception | `BadUnexpectedError` | as 04 |
//! | no answer in time | `BadTimeout` | asks once more, then in parts if the unit answers elsewhere; otherwise leaves it alone for a while |
//! | not connected, reset, closed | `BadNoCommunication` | tries again with growing delays |
//! | too few values, another function | `BadCommunicationError` | as 04 |
//! | answer to another request, garbled | `BadCommunicationError` | as no answer |
//!
//! Exceptions 01 to 03 are `BadConfigurationError` and not `BadNodeIdUnknown` because it is the configured address, count or area that has to
//! be mended; the device is well.

use std::{fmt, time::Duration};

use historian_model::Quality;

/// An exception reply as the collector treats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// The addresses, or reading this area at all, are refused.
    Refused,
    /// The device works but cannot answer now.
    Busy,
    /// A gateway does not reach the unit.
    Unreachable,
    /// The device answered that it is broken, or something that the protocol does not define.
    Broken(Quality),
}

impl Exception {
    pub fn of(code: u8) -> Exception {
        match code {
            1..=3 => Exception::Refused,
            5 | 6 => Exception::Busy,
            0x0A | 0x0B => Exception::Unreachable,
            4 | 8 => Exception::Broken(Quality::BAD_DEVICE_FAILURE),
            _ => Exception::Broken(Quality::BAD_UNEXPECTED_ERROR),
        }
    }

    pub fn quality(self) -> Quality {
        match self {
            Exception::Refused => Quality::BAD_CONFIGURATION_ERROR,
            Exception::Busy => Quality::BAD_OUT_OF_SERVICE,
            Exception::Unreachable => Quality::BAD_NO_COMMUNICATION,
            Exception::Broken(quality) => quality,
        }
    }
}

/// Name of an exception code for messages.
pub fn exception_text(code: u8) -> String {
    let name = match code {
        1 => "illegal function: the device does not have this area",
        2 => "illegal data address: the device does not have this address",
        3 => "illegal data value: the device refuses this count of addresses",
        4 => "device failure",
        5 => "acknowledge: the device needs more time",
        6 => "device busy",
        8 => "memory parity error",
        0x0A => "gateway path unavailable: check the gateway's routing",
        0x0B => "gateway target does not respond: check unit number and wiring",
        _ => "not defined by the protocol",
    };
    format!("exception {code:02X}, {name}")
}

/// Why there is no usable reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    #[error("no connection to {endpoint}: {reason}")]
    Connect {
        endpoint: String,
        reason: String,
        /// The reason may name the endpoint as well, or others: serial ports, the host of a certificate.
        reason_names_endpoints: bool,
    },
    #[error("no answer within {timeout:?}{}", late(*seen))]
    Timeout {
        timeout: Duration,
        /// The latest answer that was seen, when that was too late.
        seen: Option<Duration>,
    },
    #[error("connection lost: {0}")]
    Closed(String),
    /// Nothing more can be understood on the connection.
    #[error("wrong answer: {0}; connection dropped")]
    Protocol(String),
    /// Something was heard, but no answer.
    #[error("wrong answer: {0}")]
    Garbled(String),
    /// The device answered the request, but not with what was asked for.
    #[error("wrong answer: {0}")]
    Unusable(String),
}

fn late(seen: Option<Duration>) -> String {
    seen.map_or_else(String::new, |seen| format!("; answers have taken {seen:.1?}, raise timeout_ms"))
}

impl Failure {
    pub fn quality(&self) -> Quality {
        match self {
            Failure::Connect { .. } | Failure::Closed(_) => Quality::BAD_NO_COMMUNICATION,
            Failure::Timeout { .. } => Quality::BAD_TIMEOUT,
            Failure::Protocol(_) | Failure::Garbled(_) | Failure::Unusable(_) => Quality::BAD_COMMUNICATION_ERROR,
        }
    }

    /// As it is told of a tag, in its state and in the ledger of gaps: whoever may read the tag reads it, and is not to learn where in the plant's
    /// network its device is.
    pub fn without_endpoint(&self) -> String {
        match self {
            Failure::Connect { reason_names_endpoints: true, .. } => "no connection to the device".to_owned(),
            Failure::Connect { reason, .. } => format!("no connection to the device: {reason}"),
            other => other.to_string(),
        }
    }
}

/// Why a request for some addresses brought no values.
#[derive(Clone, Debug)]
pub enum RequestTrouble {
    /// Exception code.
    Exception(u8),
    Failure(Failure),
}

impl RequestTrouble {
    pub fn quality(&self) -> Quality {
        match self {
            RequestTrouble::Exception(code) => Exception::of(*code).quality(),
            RequestTrouble::Failure(failure) => failure.quality(),
        }
    }

    /// True when it may just as well be that the unit is not there.
    pub fn is_silence(&self) -> bool {
        match self {
            RequestTrouble::Exception(code) => Exception::of(*code) == Exception::Unreachable,
            RequestTrouble::Failure(failure) => !matches!(failure, Failure::Unusable(_)),
        }
    }
}

impl fmt::Display for RequestTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestTrouble::Exception(code) => f.write_str(&exception_text(*code)),
            RequestTrouble::Failure(failure) => failure.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_tags_does_not_say_where_the_device_is() {
        let refused = |reason: &str, reason_names_endpoints| Failure::Connect {
            endpoint: "10.0.0.7:502".into(),
            reason: reason.into(),
            reason_names_endpoints,
        };
        for (failure, told) in [
            (refused("refused", false), "no connection to the device: refused"),
            (refused("the certificate is not of 10.0.0.7", true), "no connection to the device"),
            (Failure::Closed("reset".into()), "connection lost: reset"),
        ] {
            assert_eq!(failure.without_endpoint(), told);
        }
        assert_eq!(refused("refused", false).to_string(), "no connection to 10.0.0.7:502: refused");
    }
}
