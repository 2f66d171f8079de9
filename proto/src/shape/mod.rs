//! What messages take of memory when they are decoded, known before they are: a scan of their bytes that allocates nothing.
//!
//! A message of two bytes may become a hundred and more, and one of 64 MiB some gigabytes. The scan goes through keys and lengths as a decoder
//! does, with what the `.proto` files say of the fields, and counts what each would take.

mod scan;
mod shapes;
#[cfg(test)]
mod tests;

pub use scan::{Scan, ScanError};
pub use shapes::{Foreign, Shape, Shapes};
