//! Record batches as a Parquet file, which goes out as its row groups are full.

use std::{
    io::{self, Write},
    mem,
    sync::Arc,
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use parking_lot::Mutex;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};

use super::problem::Problem;
use crate::status;

/// Rows of a row group: so many are held.
const GROUP_ROWS: usize = 128 << 10;

/// What was written and not yet sent.
#[derive(Clone, Default)]
struct Unsent(Arc<Mutex<Vec<u8>>>);

impl Write for Unsent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the rows of one answer; compressed with zstd, times in nanoseconds.
pub struct ParquetRows {
    writer: ArrowWriter<Unsent>,
    unsent: Unsent,
}

impl ParquetRows {
    /// # Errors
    /// When a column has a type that the format lacks.
    pub fn begin(schema: SchemaRef) -> Result<ParquetRows, Problem> {
        let compression = Compression::ZSTD(ZstdLevel::try_new(1).map_err(|error| failed(&error))?);
        let properties = WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(GROUP_ROWS)).build();
        let unsent = Unsent::default();
        let writer = ArrowWriter::try_new(unsent.clone(), schema, Some(properties)).map_err(|error| failed(&error))?;
        Ok(ParquetRows { writer, unsent })
    }

    /// Writes a batch; what can be sent of the file by now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, Problem> {
        self.writer.write(batch).map_err(|error| failed(&error))?;
        Ok(mem::take(&mut *self.unsent.0.lock()))
    }

    /// Bytes of the row group that is being written.
    pub fn held(&self) -> usize {
        self.writer.memory_size()
    }

    /// The end of the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(self) -> Result<Vec<u8>, Problem> {
        self.writer.close().map_err(|error| failed(&error))?;
        Ok(mem::take(&mut *self.unsent.0.lock()))
    }
}

fn failed(error: &ParquetError) -> Problem {
    Problem::from(status::internal(format!("no Parquet can be made of this answer: {error}")))
}
