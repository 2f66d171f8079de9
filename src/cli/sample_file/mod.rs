//! Files of samples, for `historian import` and `historian replace`: rows of CSV, Parquet and Arrow files by tag, each value in the type of
//! its tag.
//!
//! A file is read twice. The first time every row is understood, or is a mistake with its line, and nothing is written while there is one;
//! the second time the rows are sent.

mod columnar;
mod csv;
pub mod fuzz;
mod header;
mod local;
mod mistake;
mod portion;
mod quality;
mod settings;
mod source;
mod value;

pub use self::{
    local::LocalTimes,
    mistake::{Mistakes, SampleFileFormat},
    portion::{FileRow, FileValue, RowsByTag, TagRows},
    settings::{FileArgs, Settings},
    source::{SampleFile, read_whole, refuse},
    value::number,
};
