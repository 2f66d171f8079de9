//! opcua tests.
