//! The scan against the decoder, whose memory it tells, of sound messages and of changed ones.

use std::sync::OnceLock;

use prost::Message;
use prost_types::{ListValue, Struct, Value, value::Kind};

use super::*;
use crate::v1::{self, DoubleColumn, SignedColumn, StringColumn, TagSamples, Values, WriteSamplesRequest, values::Column, write_request};

const WRITE: &str = "historian.v1.WriteSamplesRequest";
const PLENTY: usize = 1 << 40;

/// Scans in pieces, as a network would bring them.
fn scan(name: &str, bytes: &[u8], piece: usize, bytes_max: usize) -> Result<usize, ScanError> {
    static SHAPES: OnceLock<Shapes> = OnceLock::new();
    let shapes = SHAPES.get_or_init(Shapes::of_package);
    let shape = shapes.find(name).unwrap_or_else(|| panic!("{name} is not known"));
    let mut taken = Vec::new();
    for length in [Some(bytes.len()), None] {
        let mut scan = Scan::new(shapes, shape, length, bytes_max);
        let pushed = bytes.chunks(piece).try_for_each(|piece| scan.push(piece));
        taken.push(pushed.and_then(|()| scan.finish()));
    }
    if taken[0].is_ok() {
        assert_eq!(taken[0], taken[1], "whether the length is known beforehand makes no difference");
    }
    taken[0]
}

fn samples(tag: &str, column: Column, count: usize) -> TagSamples {
    let nulls = (0..count as u32).step_by(7).collect();
    let timestamps = (0..count as i64).map(|at| at * 1_000_000_007).collect();
    TagSamples { tag: tag.into(), timestamps, values: Some(Values { column: Some(column) }), qualities: vec![0; count], nulls }
}

fn request() -> WriteSamplesRequest {
    let texts = ["", "on", "a longer text than others", "ü"].map(str::to_owned).to_vec();
    WriteSamplesRequest {
        options: Some(v1::WriteRequest { mode: write_request::Mode::Insert.into(), durability: 0, create_tags: true }),
        samples: vec![
            samples("area/double", Column::F64(DoubleColumn { values: vec![1.5, -0.0, f64::NAN] }), 3),
            samples("area/signed", Column::I64(SignedColumn { values: vec![-1, 1 << 40, i64::MIN, 0, 5] }), 5),
            samples("area/text", Column::String(StringColumn { values: texts }), 4),
            TagSamples::default(),
        ],
    }
}

#[test]
fn what_a_message_takes_is_known_before_it_is_decoded() {
    let empty = WriteSamplesRequest { samples: vec![TagSamples::default(); 1_000], ..WriteSamplesRequest::default() };
    let taken = scan(WRITE, &empty.encode_to_vec(), 100, PLENTY).unwrap();
    let real = 1_000 * size_of::<TagSamples>();
    assert!((real..real * 2).contains(&taken), "{taken} for {real}");

    let numbers = vec![samples("a", Column::I64(SignedColumn { values: vec![0; 10_000] }), 10_000)];
    let numbers = WriteSamplesRequest { samples: numbers, ..WriteSamplesRequest::default() }.encode_to_vec();
    let taken = scan(WRITE, &numbers, 1_000, PLENTY).unwrap();
    let real = 10_000 * (8 + 8 + 4) + 10_000_usize.div_ceil(7) * 4 + size_of::<TagSamples>();
    assert!((real..real + 1_000).contains(&taken), "{taken} for {real}");

    let texts = vec![samples("a", Column::String(StringColumn { values: vec!["ab".into(); 1_000] }), 0)];
    let texts = WriteSamplesRequest { samples: texts, ..WriteSamplesRequest::default() }.encode_to_vec();
    let taken = scan(WRITE, &texts, 1_000, PLENTY).unwrap();
    assert!((1_000 * 26..1_000 * 40).contains(&taken), "{taken}");

    for bytes in [empty.encode_to_vec(), numbers, texts] {
        let taken = scan(WRITE, &bytes, 64, PLENTY).unwrap();
        assert_eq!(scan(WRITE, &bytes, 64, taken), Ok(taken));
        assert_eq!(scan(WRITE, &bytes, 64, taken - 1), Err(ScanError::TooMuch));
    }
}

#[test]
fn the_pieces_in_which_it_comes_make_no_difference() {
    let bytes = request().encode_to_vec();
    let whole = scan(WRITE, &bytes, bytes.len(), PLENTY);
    assert!(whole.is_ok());
    for piece in 1..20 {
        assert_eq!(scan(WRITE, &bytes, piece, PLENTY), whole);
    }
}

#[test]
fn messages_deep_in_each_other_are_refused_before_they_are_built() {
    let nested = |depth: usize| {
        let mut value = Value { kind: Some(Kind::NumberValue(1.0)) };
        for _ in 0..depth {
            value = Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) };
        }
        let parameters = Struct { fields: [("window".to_owned(), value)].into() };
        // Field 5 of the request: parameters.
        let parameters = parameters.encode_to_vec();
        let mut bytes = Vec::new();
        prost::encoding::encode_key(5, prost::encoding::WireType::LengthDelimited, &mut bytes);
        prost::encoding::encode_varint(parameters.len() as u64, &mut bytes);
        bytes.extend(parameters);
        scan("historian.v1.AnomaliesRequest", &bytes, 10, PLENTY)
    };
    assert!(nested(20).is_ok());
    assert_eq!(nested(40), Err(ScanError::Malformed("messages lie too deep within each other")));
}

/// What the scan lets pass of changed messages is either what the decoder takes, or wrong within a text or a number, which takes no more.
#[test]
fn what_a_decoder_takes_passes_and_lengths_that_lie_do_not() {
    let sound = request().encode_to_vec();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..=random(3) {
            if bytes.is_empty() {
                break;
            }
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random(5)],
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let decoded = WriteSamplesRequest::decode(bytes.as_slice());
        match (scan(WRITE, &bytes, 16, PLENTY), decoded) {
            (Ok(_), Ok(_)) => taken += 1,
            (Ok(_), Err(error)) => {
                let known = ["UTF-8", "varint"].iter().any(|known| error.to_string().contains(known));
                assert!(known, "{error}: {bytes:?}");
            }
            // Groups, which no client has sent since proto2.
            (Err(ScanError::Malformed(reason)), Ok(_)) => assert!(reason.contains("none can have"), "{reason}: {bytes:?}"),
            (Err(_), Err(_)) => refused += 1,
            (Err(ScanError::TooMuch), Ok(_)) => panic!("nothing is too much here"),
        }
    }
    assert!(taken > 1_000 && refused > 1_000, "{taken} taken, {refused} refused");
}

#[test]
fn every_method_has_a_message_and_foreign_ones_can_be_added() {
    let mut shapes = Shapes::of_package();
    assert!(shapes.inputs.len() > 20, "{}", shapes.inputs.len());
    assert_eq!(shapes.input("/historian.v1.WriteService/WriteSamples"), shapes.find(WRITE));
    // What is imported is known, too, or it would pass unseen.
    assert!(shapes.messages.iter().filter(|message| message.parts.is_empty()).count() < 12);
    assert!(!shapes.messages[shapes.find("google.protobuf.Value").unwrap().0].parts.is_empty());
    shapes.add("outer", &[(1, Foreign::Messages("inner")), (3, Foreign::Texts)]);
    shapes.add("inner", &[(1, Foreign::Bytes), (2, Foreign::Text), (4, Foreign::Varint), (5, Foreign::Fixed64)]);
    let bytes = [&[0x0A, 0][..]; 50].concat();
    let mut scan = Scan::new(&shapes, shapes.find("outer").unwrap(), Some(bytes.len()), PLENTY);
    scan.push(&bytes).unwrap();
    assert_eq!(scan.finish(), Ok(50 * (32 + 24 + 8 + 8)));
}
