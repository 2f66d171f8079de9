//! Client commands against a running historian.
