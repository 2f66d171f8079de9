//! Sound messages, and what becomes of them when they are changed or grow.

use arrow::{
    array::{
        BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int8Array, Int32Array, ListArray, NullArray, StringArray,
        StringViewArray, StringViewBuilder, StructArray, TimestampNanosecondArray, UInt32Array,
    },
    buffer::Buffer,
    datatypes::Int32Type,
    ipc::{CompressionType, writer::IpcWriteOptions},
};
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use futures::{TryStreamExt, executor::block_on};
use tonic::Code;

use super::*;
use crate::kind;

const BYTES_MAX: usize = 1 << 20;

fn decoder(check: fn(&Schema) -> Result<(), Status>) -> FlightDecoder {
    FlightDecoder::checked(DecodeAllowance::new("message_bytes_max", BYTES_MAX), check)
}

/// A batch with columns of all forms that the format knows and a door takes.
fn all_forms() -> RecordBatch {
    let long = "a text that is too long to lie within its view";
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("timestamp", Arc::new(TimestampNanosecondArray::from(vec![1, 2, 3]).with_timezone("UTC"))),
        ("number", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(-0.0)]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("text", Arc::new(StringArray::from(vec![Some("a"), None, Some(long)]))),
        ("view", Arc::new(StringViewArray::from(vec![Some(long), None, Some("b")]))),
        (
            "tag",
            Arc::new(DictionaryArray::new(Int32Array::from(vec![Some(1), None, Some(0)]), Arc::new(StringArray::from(vec!["x", "y"])))),
        ),
        ("short", Arc::new(DictionaryArray::new(Int8Array::from(vec![0, 0, 1]), Arc::new(StringViewArray::from(vec![long, "z"]))))),
        ("digits", Arc::new(Decimal128Array::from(vec![1, 2, 3]).with_precision_and_scale(20, 2).unwrap())),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]))),
        (
            "group",
            Arc::new(
                StructArray::try_new(
                    vec![Field::new("inner", DataType::UInt32, true)].into(),
                    vec![Arc::new(UInt32Array::from(vec![1, 2, 3]))],
                    Some(vec![true, false, true].into()),
                )
                .unwrap(),
            ),
        ),
        ("nothing", Arc::new(NullArray::new(3))),
    ];
    batch(columns)
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect()).unwrap()
}

fn messages(batch: RecordBatch, compression: Option<CompressionType>) -> Vec<FlightData> {
    let encoder = FlightDataEncoderBuilder::new()
        .with_max_flight_data_size(usize::MAX)
        .with_dictionary_handling(DictionaryHandling::Resend)
        .with_options(IpcWriteOptions::default().try_with_compression(compression).unwrap())
        .build(futures::stream::iter([Ok(batch)]));
    block_on(encoder.try_collect()).unwrap()
}

/// Whatever is changed in sound messages, the answer is a batch or says what is wrong with them: nothing panics on the way.
#[test]
fn changed_messages_are_refused_and_no_reader_panics() {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut refused, mut taken) = (0, 0);
    for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        let sound = messages(all_forms(), compression);
        let mut unchanged = decoder(kind::check_schema);
        let decoded: Vec<_> = sound.iter().filter_map(|message| unchanged.message(message).unwrap()).collect();
        assert_eq!(decoded, [all_forms()]);
        for round in 0..30_000 {
            let mut sent = sound.clone();
            for _ in 0..=random(3) {
                let chosen = random(sent.len());
                let message = &mut sent[chosen];
                let part = if random(4) == 0 { &mut message.data_body } else { &mut message.data_header };
                let mut bytes = part.to_vec();
                if bytes.is_empty() {
                    continue;
                }
                let at = random(bytes.len());
                match random(6) {
                    0 => bytes[at] ^= 1 << random(8),
                    1 => bytes[at] = [0, 1, 2, 0x7F, 0x80, 0xFF][random(6)],
                    2 => bytes[at] = random(32) as u8,
                    3 => bytes.truncate(at),
                    4 => {
                        let at = at / 8 * 8;
                        let wild = [0_i64, -1, 1, 8, 1 << 31, i64::MAX, i64::MIN][random(7)];
                        bytes.truncate(bytes.len().max(at));
                        let end = (at + 8).min(bytes.len());
                        bytes[at..end].copy_from_slice(&wild.to_le_bytes()[..end - at]);
                    }
                    _ => bytes[at] = bytes[at].wrapping_add(4),
                }
                *part = bytes.into();
            }
            let mut decoder = decoder(kind::check_schema);
            let ended = sent.iter().try_for_each(|message| decoder.message(message).map(drop));
            match ended {
                Ok(()) => taken += 1,
                Err(status) => {
                    refused += 1;
                    assert!(matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted), "{round}: {status}");
                    assert!(!status.message().contains("does not follow"), "{compression:?} {round}: a reader panicked");
                }
            }
        }
    }
    assert!(refused > 20_000 && taken > 1_000, "{refused} refused, {taken} taken");
}

#[test]
fn what_views_name_is_counted_as_often_as_they_name_it() {
    let of = |count: usize, bytes: u32, compression| {
        let mut views = StringViewBuilder::new();
        let text = views.append_block(Buffer::from(vec![b'x'; bytes as usize]));
        for _ in 0..count {
            views.try_append_view(text, 0, bytes).unwrap();
        }
        let times = TimestampNanosecondArray::from(vec![1; count]);
        let views: ArrayRef = Arc::new(views.finish());
        let sent = messages(batch(vec![("timestamp", Arc::new(times)), ("view", views)]), compression);
        let mut decoder = decoder(kind::check_schema);
        sent.iter().try_for_each(|message| decoder.message(message).map(drop))
    };
    for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        assert!(of(10, 100_000, compression).is_ok());
        let refused = of(11, 100_000, compression).unwrap_err();
        assert!(refused.code() == Code::ResourceExhausted && refused.message().contains("1048576 bytes"), "{}", refused.message());
    }
}

#[test]
fn dictionaries_are_counted_together_and_keep_nothing_of_their_messages() {
    let names: ArrayRef = Arc::new(StringArray::from(vec!["n".repeat(300_000)]));
    let one = || DictionaryArray::new(Int32Array::from(vec![0]), names.clone());
    let times = TimestampNanosecondArray::from(vec![1]);
    let sent = messages(batch(vec![("timestamp", Arc::new(times)), ("a", Arc::new(one())), ("b", Arc::new(one()))]), None);
    let mut decoder = decoder(kind::check_schema);
    let (schema, dictionaries) = (&sent[0], &sent[1..sent.len() - 1]);
    decoder.message(schema).unwrap();
    for (dictionary, fits) in dictionaries.iter().cycle().take(4).zip([true, true, true, false]) {
        let taken = decoder.message(dictionary);
        assert_eq!(taken.is_ok(), fits, "{taken:?}");
    }
    let body = &dictionaries[0].data_body;
    let kept = decoder.dictionaries.values().flat_map(|values| values.to_data().buffers().to_vec()).collect::<Vec<_>>();
    assert!(kept.iter().all(|buffer| !body.as_ptr_range().contains(&buffer.as_ptr())));
}
