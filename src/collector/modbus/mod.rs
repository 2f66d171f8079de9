//! Modbus collector.
