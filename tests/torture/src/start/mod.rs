//! Starts of the program that must be refused, and those that must not: what it is given, what it then listens on, and how it ends.

pub mod attempt;
pub mod case;
pub mod file;
pub mod listener;
pub mod site;
