//! What can be asked of a Modbus device and what can come back: one read at a time. Only the four read functions can be expressed, so that
//! nothing in this collector can change anything in a device.

use super::address::RegisterArea;

/// One read request: function 01 to 04 by its area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    pub unit: u8,
    pub area: RegisterArea,
    pub start: u16,
    /// At most 125 registers or 2,000 bits: the protocol's limits, kept by configuration.
    pub count: u16,
}

/// An answer that belongs to its request, with exactly the count asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModbusReply {
    Registers(Vec<u16>),
    Bits(Vec<bool>),
    /// Exception code.
    Exception(u8),
}

/// Why there was no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// Closed or reset by the other side.
    Closed(String),
    /// What arrived cannot be an answer to the request; the connection must not be used again.
    Protocol(String),
    /// The device answered this request, and what it answered cannot be used: too few values, or another function.
    Unusable(String),
}

/// What a device or gateway is forgiven, because it cannot do better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leniency {
    /// Answers may name another unit than was asked.
    pub any_unit: bool,
    /// Answers may carry another transaction id than was asked. Late answers cannot be told apart then, as over RTU.
    pub any_transaction: bool,
}
