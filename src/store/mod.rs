//! RocksDB lives here only: column families, catalog, chunks, journal records, recovery. `memory` is the twin that serves tests as model.

pub mod catalog;

pub use catalog::{Catalog, CatalogError};
