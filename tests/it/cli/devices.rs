//! Checks of real devices.
