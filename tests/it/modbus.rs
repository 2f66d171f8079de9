//! modbus tests.
