//! What became of a request, and the quality that follows from it. The one home of the table:
//!
//! | Outcome | Quality | What the collector does |
//! |---|---|---|
//! | answer | Good | |
//! | exception 01, 02, 03 | `BadConfigurationError` | halves the block down to the refused addresses, asks these again slowly |
//! | exception 04, 08 | `BadDeviceFailure` | keeps polling |
//! | exception 05, 06 | `UncertainLastUsableValue` with the last value, `BadOutOfService` after three polls | keeps polling |
//! | exception 0A, 0B | `BadNoCommunication` | leaves the unit alone for a while |
//! | any other exception | `BadUnexpectedError` | keeps polling |
//! | no answer in time | `BadTimeout` | drops the connection, leaves the unit alone for a while |
//! | not connected, reset, closed | `BadNoCommunication` | drops the connection, tries again with growing delays |
//! | answer to another request, short, garbled | `BadCommunicationError` | drops the connection, leaves the unit alone for a while |
//!
//! Exceptions 01 to 03 are `BadConfigurationError` and not `BadNodeIdUnknown` because it is the configured address, count or area that has to
//! be mended; the device is well.

use std::time::Duration;

use super::transport::TransportError;
use crate::model::Quality;

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

/// Why there is no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    #[error("no connection to {endpoint}: {reason}")]
    Connect { endpoint: String, reason: String },
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("connection lost: {0}")]
    Closed(String),
    #[error("wrong answer: {0}; connection dropped")]
    Protocol(String),
}

impl Failure {
    pub fn quality(&self) -> Quality {
        match self {
            Failure::Connect { .. } | Failure::Closed(_) => Quality::BAD_NO_COMMUNICATION,
            Failure::Timeout(_) => Quality::BAD_TIMEOUT,
            Failure::Protocol(_) => Quality::BAD_COMMUNICATION_ERROR,
        }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Failure {
        match error {
            TransportError::Closed(reason) => Failure::Closed(reason),
            TransportError::Protocol(reason) => Failure::Protocol(reason),
        }
    }
}
