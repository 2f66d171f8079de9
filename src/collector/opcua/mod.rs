//! OPC UA collector.
