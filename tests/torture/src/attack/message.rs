//! Messages that are large, or become large: made once, sent often.

use std::{io::Write, sync::Arc};

use anyhow::Context;
use arrow::{
    array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array},
    datatypes::Int32Type,
    ipc::{CompressionType, writer::IpcWriteOptions},
};
use arrow_flight::{
    FlightData, FlightDescriptor,
    encode::{DictionaryHandling, FlightDataEncoderBuilder},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{TryStreamExt, stream};

use super::call::Sent;
use crate::driver;

const PIECE_BYTES: usize = 1 << 20;
/// What an unfinished message says it has, and what comes of it, in pieces.
const UNFINISHED_PIECES: usize = 60;
/// One that is just short enough to be taken.
const WHOLE_PIECES: usize = 62;
const GZIP_PIECES: usize = 200;
/// Of 24 bytes each, more than a message may become.
const ROWS: usize = 4_000_000;

/// What messages are made of.
pub struct Messages {
    zeros: Bytes,
    /// Empty `TagSamples`, of two bytes each.
    empties: Bytes,
    gzip: Bytes,
    batch: Vec<FlightData>,
}

impl Messages {
    /// # Errors
    /// Something cannot be encoded.
    pub async fn new() -> anyhow::Result<Messages> {
        let zeros = vec![0; PIECE_BYTES];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        for _ in 0..GZIP_PIECES {
            gzip.write_all(&zeros)?;
        }
        let batch = batch().await?;
        Ok(Messages { zeros: zeros.into(), empties: [0x12, 0].repeat(PIECE_BYTES / 2).into(), gzip: gzip.finish()?.into(), batch })
    }

    /// All of a message of 60 MiB but its last piece.
    pub fn unfinished(&self) -> Sent {
        Sent::pieces(UNFINISHED_PIECES * PIECE_BYTES, vec![self.zeros.clone(); UNFINISHED_PIECES - 1]).unfinished()
    }

    /// Some thirty million `TagSamples` in which there is nothing.
    pub fn empties(&self) -> Sent {
        Sent::pieces(WHOLE_PIECES * PIECE_BYTES, vec![self.empties.clone(); WHOLE_PIECES])
    }

    /// 200 MiB of nothing, in the 200 KiB that gzip makes of them.
    pub fn gzip(&self) -> Sent {
        Sent::gzip(self.gzip.clone())
    }

    /// A `DoPut` of a batch whose buffers LZ4 has made small.
    pub fn batch(&self) -> Sent {
        Sent::messages(&self.batch)
    }
}

async fn batch() -> anyhow::Result<Vec<FlightData>> {
    let name = Arc::new(StringArray::from(vec!["torture/attack"]));
    let tags = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; ROWS]), name);
    let rows = RecordBatch::try_from_iter([
        ("tag", Arc::new(tags) as ArrayRef),
        ("timestamp", Arc::new(TimestampNanosecondArray::from(vec![0; ROWS]).with_timezone("UTC")) as ArrayRef),
        ("value", Arc::new(Float64Array::from(vec![0.0; ROWS])) as ArrayRef),
        ("quality", Arc::new(UInt32Array::from(vec![0; ROWS])) as ArrayRef),
    ])?;
    let lz4 = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(driver::COMMAND.as_bytes().to_vec())))
        .with_max_flight_data_size(usize::MAX)
        .with_dictionary_handling(DictionaryHandling::Resend)
        .with_options(lz4)
        .build(stream::iter([Ok(rows)]))
        .try_collect()
        .await
        .context("a batch cannot be encoded")
}
