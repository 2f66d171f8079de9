//! The door to a Modbus device: one read at a time over one connection. Only the four read functions can be expressed, so that nothing in
//! this collector can change anything in a device.

use async_trait::async_trait;

use super::address::Area;

/// One read request: function 01 to 04 by its area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    pub unit: u8,
    pub area: Area,
    pub start: u16,
    /// At most 125 registers or 2,000 bits: the protocol's limits, kept by configuration.
    pub count: u16,
}

/// An answer that belongs to its request, with exactly the count asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Registers(Vec<u16>),
    Bits(Vec<bool>),
    /// Exception code.
    Exception(u8),
}

/// Why a connection gave no reply. In either case it must not be used again: what arrives on it later may belong to any request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// Closed or reset by the other side.
    Closed(String),
    /// An answer that does not belong to the request, is short, or cannot be read.
    Protocol(String),
}

/// A connection to a device or gateway.
#[async_trait]
pub trait Transport: Send {
    /// Sends one request and waits, without limit, for its reply. A call that is dropped half-way leaves the connection unusable.
    async fn read(&mut self, request: ReadRequest) -> Result<Reply, TransportError>;
}

/// Makes connections to one endpoint.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Connects, without a limit of time.
    ///
    /// # Errors
    /// The reason in words.
    async fn connect(&self) -> Result<Box<dyn Transport>, String>;
}
