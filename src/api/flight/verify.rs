//! What arrow-ipc takes on trust, checked before it reads: it panics on values that its format does not know, and it allocates and computes by
//! what a message says of itself.

use std::io::Read;

use arrow::{
    datatypes::{DECIMAL32_MAX_PRECISION, DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType},
    ipc::{self, CompressionType, Type},
};
use flatbuffers::{VectorIter, VerifierOptions};
use lz4_flex::frame::FrameDecoder;
use tonic::Status;

use super::lz4;
use crate::{DecodeAllowance, status};

/// Longest header of a message. That of a batch has 16 bytes for each buffer and each column.
const HEADER_BYTES_MAX: usize = 4 << 20;
/// Most tables in a header: some for each column of a schema.
const TABLES_MAX: usize = 100_000;
/// Most bytes of a header when what stands there once and is named often is counted each time, as it becomes when it is read.
const APPARENT_BYTES_MAX: usize = 16 << 20;

/// `INVALID_ARGUMENT` for a message that is not what Arrow says.
pub fn malformed(reason: &str) -> Status {
    status::invalid("batch", format!("a message of the stream is malformed: {reason}"))
}

/// The header of a message, whose offsets are sound.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is none, or larger than any that a sound client sends.
pub fn header(bytes: &[u8]) -> Result<ipc::Message<'_>, Status> {
    if bytes.len() > HEADER_BYTES_MAX {
        return Err(malformed(&format!("its header has {} bytes, at most {HEADER_BYTES_MAX} are taken", bytes.len())));
    }
    let options = VerifierOptions { max_tables: TABLES_MAX, max_apparent_size: APPARENT_BYTES_MAX, ..VerifierOptions::default() };
    ipc::root_as_message_with_opts(&options, bytes).map_err(|error| malformed(&format!("its header cannot be read: {error}")))
}

/// That a schema has only what has a type here.
///
/// # Errors
/// `INVALID_ARGUMENT` with what has none.
pub fn schema(schema: &ipc::Schema) -> Result<(), Status> {
    if schema.endianness() != ipc::Endianness::Little {
        return Err(malformed("its numbers are not little-endian"));
    }
    let fields = schema.fields().ok_or_else(|| malformed("a schema without a list of columns"))?;
    fields.iter().try_for_each(|column| field(&column)).map_err(|reason| malformed(&format!("the schema has {reason}")))
}

fn field(field: &ipc::Field) -> Result<(), &'static str> {
    if let Some(dictionary) = field.dictionary() {
        int(dictionary.indexType())?;
    }
    let children = field.children().map_or(0, |children| children.len());
    let sound = match field.type_type() {
        Type::Null
        | Type::Bool
        | Type::Binary
        | Type::BinaryView
        | Type::LargeBinary
        | Type::Utf8
        | Type::Utf8View
        | Type::LargeUtf8
        | Type::Struct_ => true,
        Type::Int => return int(field.type_as_int()),
        Type::FixedSizeBinary => field.type_as_fixed_size_binary().is_some_and(|binary| binary.byteWidth() > 0),
        Type::FloatingPoint => field.type_as_floating_point().is_some_and(|float| float.precision().variant_name().is_some()),
        Type::Date => field.type_as_date().is_some_and(|date| date.unit().variant_name().is_some()),
        Type::Time => field.type_as_time().is_some_and(|time| {
            use ipc::TimeUnit as Unit;
            matches!((time.bitWidth(), time.unit()), (32, Unit::SECOND | Unit::MILLISECOND) | (64, Unit::MICROSECOND | Unit::NANOSECOND))
        }),
        Type::Timestamp => field.type_as_timestamp().is_some_and(|time| time.unit().variant_name().is_some()),
        Type::Duration => field.type_as_duration().is_some_and(|duration| duration.unit().variant_name().is_some()),
        Type::Interval => field.type_as_interval().is_some_and(|interval| interval.unit().variant_name().is_some()),
        Type::Decimal => field.type_as_decimal().is_some_and(|decimal| {
            let digits_max = match decimal.bitWidth() {
                32 => DECIMAL32_MAX_PRECISION,
                64 => DECIMAL64_MAX_PRECISION,
                128 => DECIMAL128_MAX_PRECISION,
                256 => DECIMAL256_MAX_PRECISION,
                _ => 0,
            };
            (1..=i32::from(digits_max)).contains(&decimal.precision()) && i8::try_from(decimal.scale()).is_ok()
        }),
        Type::List | Type::LargeList | Type::ListView | Type::LargeListView => children == 1,
        Type::FixedSizeList => children == 1 && field.type_as_fixed_size_list().is_some_and(|list| list.listSize() > 0),
        Type::Map => children == 1 && field.type_as_map().is_some(),
        _ => return Err("a column of a type that is not taken"),
    };
    if !sound {
        return Err("a column whose type is incomplete or not known");
    }
    field.children().into_iter().flatten().try_for_each(|child| self::field(&child))
}

fn int(int: Option<ipc::Int>) -> Result<(), &'static str> {
    match int.map(|int| int.bitWidth()) {
        Some(8 | 16 | 32 | 64) => Ok(()),
        _ => Err("whole numbers of a width that is not known"),
    }
}

/// One buffer of a batch as it lies in the body.
struct Stored<'a> {
    bytes: &'a [u8],
    /// Bytes when it is decompressed.
    plain: usize,
}

/// Checks every length of a batch against its body and `allowance`, before anything is allocated by them: an allocation by a hostile length
/// aborts the process, which no handler catches. `types` are those of its columns. `null_rows_max` rows may have no body.
///
/// # Errors
/// `INVALID_ARGUMENT` for lengths that contradict each other or the body; `RESOURCE_EXHAUSTED` for more than is allowed.
pub fn batch<'a>(
    batch: &ipc::RecordBatch,
    types: impl IntoIterator<Item = &'a DataType>,
    body: &[u8],
    null_rows_max: usize,
    allowance: &mut DecodeAllowance,
) -> Result<(), Status> {
    let compression = batch.compression().map(|compression| compression.codec());
    if compression.is_some_and(|codec| codec.variant_name().is_none()) {
        return Err(malformed("it is compressed in a way that is not known"));
    }
    let listed = batch.buffers().ok_or_else(|| malformed("a batch without a list of buffers"))?;
    let mut buffers = Vec::with_capacity(listed.len());
    for buffer in listed {
        let stored = stored(buffer, compression, body)?;
        allowance.take(stored.plain, "the message, when it is decompressed,")?;
        buffers.push(stored);
    }
    for buffer in &buffers {
        // A reader of LZ4 goes on to the end of the frame; that of zstd stops where it was told.
        if compression == Some(CompressionType::LZ4_FRAME)
            && let Some(frame) = buffer.compressed()
            && lz4::exceeds(frame, buffer.plain).map_err(|error| malformed(&format!("a buffer cannot be decompressed: {error}")))?
        {
            return Err(malformed("a compressed buffer holds more bytes than it says"));
        }
    }
    let nodes = batch.nodes().ok_or_else(|| malformed("a batch without a list of columns"))?;
    // Each row has at least one bit in some buffer, but for columns of the type Null.
    let rows_max = allowance.taken().saturating_mul(8).max(null_rows_max) as i64;
    if nodes.iter().map(ipc::FieldNode::length).chain([batch.length()]).any(|length| !(0..=rows_max).contains(&length)) {
        return Err(malformed("it names more rows than its body holds"));
    }
    if nodes.iter().any(|node| !(0..=node.length()).contains(&node.null_count())) {
        return Err(malformed("it names more nulls than rows"));
    }
    let mut columns = Columns {
        nodes: nodes.iter(),
        buffers: buffers.iter(),
        views: batch.variadicBufferCounts().into_iter().flatten().collect::<Vec<_>>().into_iter(),
        compression,
        texts: allowance.anew(),
    };
    types.into_iter().try_for_each(|data_type| columns.column(data_type))?;
    if columns.views.next().is_some() {
        return Err(malformed("it has buffers for more columns of views than there are"));
    }
    Ok(())
}

fn stored<'a>(buffer: &ipc::Buffer, compression: Option<CompressionType>, body: &'a [u8]) -> Result<Stored<'a>, Status> {
    let bytes = usize::try_from(buffer.offset())
        .ok()
        .zip(usize::try_from(buffer.length()).ok())
        .and_then(|(start, length)| body.get(start..start.checked_add(length)?))
        .ok_or_else(|| malformed("a buffer reaches beyond the body"))?;
    let plain = match (compression, bytes.first_chunk::<8>()) {
        (Some(_), Some(prefix)) => match i64::from_le_bytes(*prefix) {
            -1 => bytes.len() - 8,
            length => usize::try_from(length).map_err(|_| malformed("a compressed buffer with a negative length"))?,
        },
        (Some(_), None) if !bytes.is_empty() => return Err(malformed("a compressed buffer without its length")),
        _ => bytes.len(),
    };
    Ok(Stored { bytes, plain })
}

impl<'a> Stored<'a> {
    /// What is to be decompressed; `None` where nothing is. Asked of buffers of a compressed batch.
    fn compressed(&self) -> Option<&'a [u8]> {
        let (prefix, frame) = self.bytes.split_first_chunk::<8>()?;
        (!matches!(i64::from_le_bytes(*prefix), -1 | 0)).then_some(frame)
    }
}

/// Walks through nodes and buffers of a batch as arrow-ipc does.
struct Columns<'a> {
    nodes: VectorIter<'a, ipc::FieldNode>,
    buffers: std::slice::Iter<'a, Stored<'a>>,
    /// Number of buffers beside the usual two, for each column of views.
    views: std::vec::IntoIter<i64>,
    compression: Option<CompressionType>,
    /// What all texts of views may have together, each counted as often as it is named.
    texts: DecodeAllowance,
}

impl<'a> Columns<'a> {
    fn column(&mut self, data_type: &DataType) -> Result<(), Status> {
        let (rows, nulls) = self.node()?;
        match data_type {
            // The only column without a buffer.
            DataType::Null => return Ok(()),
            // Refused with the schema.
            DataType::RunEndEncoded(..) | DataType::Union(..) => return Err(malformed("a column of a type that is not taken")),
            _ => {}
        }
        if self.buffer()?.plain < rows.div_ceil(8) && nulls > 0 {
            return Err(malformed("it names more rows than it has bits for their nulls"));
        }
        match data_type {
            DataType::Utf8 | DataType::Binary => {
                self.whole(4)?;
                self.skip(1)
            }
            DataType::LargeUtf8 | DataType::LargeBinary => {
                self.whole(8)?;
                self.skip(1)
            }
            DataType::Utf8View | DataType::BinaryView => {
                let more = self.views.next().ok_or_else(|| malformed("a column of views without the number of its buffers"))?;
                let views = self.whole(16)?;
                self.count_texts(views, rows)?;
                self.skip(usize::try_from(more).map_err(|_| malformed("a column of views with less than no buffer"))?)
            }
            DataType::List(item) | DataType::Map(item, _) => {
                self.whole(4)?;
                self.column(item.data_type())
            }
            DataType::LargeList(item) => {
                self.whole(8)?;
                self.column(item.data_type())
            }
            DataType::FixedSizeList(item, _) => self.column(item.data_type()),
            DataType::ListView(item) | DataType::LargeListView(item) => {
                let width = if matches!(data_type, DataType::ListView(_)) { 4 } else { 8 };
                self.whole(width)?;
                self.whole(width)?;
                self.column(item.data_type())
            }
            DataType::Struct(fields) => fields.iter().try_for_each(|field| self.column(field.data_type())),
            DataType::Dictionary(key, _) => self.whole(key.primitive_width().unwrap_or(1)).map(drop),
            _ => self.skip(1),
        }
    }

    /// The next buffer, which is read as values of so many bytes, all of it.
    fn whole(&mut self, width: usize) -> Result<&'a Stored<'a>, Status> {
        let buffer = self.buffer()?;
        if buffer.plain.is_multiple_of(width) { Ok(buffer) } else { Err(malformed("a buffer ends within one of its values")) }
    }

    /// The rows of the next column, and how many of them are null.
    fn node(&mut self) -> Result<(usize, i64), Status> {
        let node = self.nodes.next().ok_or_else(|| malformed("it has fewer columns than the schema"))?;
        let rows = usize::try_from(node.length()).map_err(|_| malformed("a column of less than no row"))?;
        Ok((rows, node.null_count()))
    }

    fn buffer(&mut self) -> Result<&'a Stored<'a>, Status> {
        self.buffers.next().ok_or_else(|| malformed("it has fewer buffers than its columns need"))
    }

    fn skip(&mut self, buffers: usize) -> Result<(), Status> {
        (0..buffers).try_for_each(|_| self.buffer().map(drop))
    }

    /// Counts what views name. A text may stand there once and be named by every row: whoever checks or copies the rows works with all of them.
    fn count_texts(&mut self, views: &Stored, rows: usize) -> Result<(), Status> {
        let unpacked;
        let views = match self.compression.and(views.compressed()) {
            Some(frame) => {
                unpacked = self.unpacked(frame, views.plain)?;
                &unpacked[..]
            }
            None if self.compression.is_some() => views.bytes.get(8..).unwrap_or_default(),
            None => views.bytes,
        };
        let (views, _) = views.as_chunks::<16>();
        let bytes: u64 = views.iter().take(rows).map(|&[a, b, c, d, ..]| u64::from(u32::from_le_bytes([a, b, c, d]))).sum();
        self.texts.take(usize::try_from(bytes).unwrap_or(usize::MAX), "the texts of a column of views, each as often as it is named,")
    }

    /// A buffer whose length is within what is allowed, decompressed.
    fn unpacked(&self, frame: &[u8], plain: usize) -> Result<Vec<u8>, Status> {
        let mut bytes = Vec::with_capacity(plain);
        let read = match self.compression {
            Some(CompressionType::LZ4_FRAME) => FrameDecoder::new(frame).take(plain as u64).read_to_end(&mut bytes).map(drop),
            _ => zstd::bulk::decompress(frame, plain).map(|read| bytes = read),
        };
        read.map_err(|error| malformed(&format!("a buffer cannot be decompressed: {error}")))?;
        Ok(bytes)
    }
}
