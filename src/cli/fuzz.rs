//! Files that people bring, for the fuzz targets (`tests/fuzz`): any bytes in, whether they were taken out.

pub use super::sample_file::fuzz::{SampleFileFormat, columnar, csv};
