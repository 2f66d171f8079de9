//! What clients send over gRPC, and what lies in it: requests, commands, tickets, tokens, filters.

use std::{io::Write, str, sync::OnceLock};

use flate2::{Compression, write::GzEncoder};
use historian_api::{
    ApiLimits,
    command::Command,
    filter::Filter,
    fuzz::{self, REQUESTS},
};
use historian_model::{Tag, TagDefinition, TagId, TagName, Timestamp, ValueType, tag::TagSource};

use super::Target;
use crate::message::{any, field, number};

pub const REQUEST: Target = Target {
    name: "request",
    about: "messages of all methods: looked at before they are decoded, then decoded",
    inputs: 30_000,
    run: fuzz::request,
    seeds: || {
        REQUESTS
            .iter()
            .enumerate()
            .flat_map(|(index, (name, _))| messages(name).map(move |message| [&[index as u8][..], &message].concat()))
            .collect()
    },
};

pub const BODY: Target = Target {
    name: "body",
    about: "bodies of requests in pieces: the frames of gRPC, gzip, the look at messages on the way",
    inputs: 2_000,
    run: fuzz::body,
    seeds: || {
        let message = write();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(&message.repeat(20)).and_then(|()| encoder.finish()).unwrap_or_default();
        let framed = |flag: u8, message: &[u8]| [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat();
        let plain = [framed(0, &message), framed(0, &[])].concat();
        let mixed = [framed(1, &packed), framed(0, &message)].concat();
        (0..4).flat_map(|form| [[&[form][..], &plain].concat(), [&[form | 4][..], &mixed].concat()]).collect()
    },
};

pub const CONNECTION: Target = Target {
    name: "connection",
    about: "frames of HTTP/2 in both directions, followed to tell who asks and who takes answers",
    inputs: 20_000,
    run: fuzz::connection,
    seeds: || {
        let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
            [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
        };
        let sent = |to_client: bool, bytes: &[u8]| -> Vec<u8> {
            bytes.chunks(127).flat_map(|piece| [&[(piece.len() as u8) << 1 | u8::from(to_client)][..], piece].concat()).collect()
        };
        let begin = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 0, &[0, 4, 0, 1, 0, 0, 0, 5, 0, 0, 64, 0]),
            frame(8, 0, 0, &[0, 1, 0, 0]),
            frame(1, 4, 1, &[0x82; 30]),
            frame(0, 1, 1, &[7; 200]),
        ];
        let more = [frame(1, 0, 3, &[0x82; 10]), frame(9, 4, 3, &[0x82; 10]), frame(3, 0, 3, &[0, 0, 0, 8]), frame(6, 0, 0, &[1; 8])];
        let answer = [frame(1, 4, 1, &[0x88]), frame(0, 0, 1, &[7; 500]), frame(1, 5, 1, &[0x88])];
        let [begin, more, answer] = [begin.concat(), more.concat(), answer.concat()];
        vec![sent(false, &begin), [sent(false, &begin), sent(true, &answer), sent(false, &more)].concat()]
    },
};

pub const COMMAND: Target = Target {
    name: "command",
    about: "commands of Flight, as JSON and as protobuf; each query comes back from its ticket",
    inputs: 10_000,
    run: |bytes| {
        let Ok((command, _)) = Command::parse(bytes, limits()) else { return false };
        if let Command::Query(asked) = command {
            let ticket = asked.to_ticket();
            let again = Command::parse_ticket(&ticket, limits());
            assert!(
                matches!(&again, Ok((Command::Query(again), None)) if again.to_ticket() == ticket),
                "{asked:?} comes back as {again:?}"
            );
        }
        true
    },
    seeds: || commands().chain(JSON.iter().map(|json| json.as_bytes().to_vec())).collect(),
};

pub const TICKET: Target = Target {
    name: "ticket",
    about: "tickets of Flight: those that mean a part of the tags, and any command",
    inputs: 10_000,
    run: |bytes| Command::parse_ticket(bytes, limits()).is_ok(),
    seeds: || {
        let part = [number(1, 900), field(2, b"area1/a"), field(3, b"area1/z")].concat();
        let pinned =
            |command: Vec<u8>| any("type.googleapis.com/historian.v1.PinnedCommand", &[field(1, &command), field(2, &part)].concat());
        commands().map(pinned).chain(commands()).collect()
    },
};

pub const PAGE_TOKEN: Target = Target {
    name: "page_token",
    about: "tokens of pages",
    inputs: 30_000,
    run: fuzz::page_token,
    seeds: || {
        vec![b"0d070000002a03612f62".to_vec(), b"0d07000000110100000000000000190200000000000000200131050000000000000038ac02".to_vec()]
    },
};

pub const FILTER: Target = Target {
    name: "filter",
    about: "the filter of ListTags, held against a tag",
    inputs: 20_000,
    run: |bytes| {
        static TAG: OnceLock<Option<Tag>> = OnceLock::new();
        let tag = TAG.get_or_init(|| {
            let mut definition = TagDefinition::new(TagName::new("area1/pressure").ok()?, ValueType::F64);
            definition.unit = "bar".into();
            definition.source = Some(TagSource { device: "plc".into(), address: "holding:1".into() });
            Some(Tag { id: TagId(1), definition, created: Timestamp(0), updated: Timestamp(0) })
        });
        let Some(Ok(filter)) = str::from_utf8(bytes).ok().map(Filter::parse) else { return false };
        let _ = tag.as_ref().map(|tag| filter.matches(tag));
        true
    },
    seeds: || {
        let seeds =
            ["unit=bar AND description~steam", "device=plc AND address~HOLDING AND type=f64 AND stepped=false AND name~/p", "unit = °C"];
        seeds.iter().map(|text| text.as_bytes().to_vec()).collect()
    },
};

/// Those of the product.
pub fn limits() -> &'static ApiLimits {
    static LIMITS: OnceLock<ApiLimits> = OnceLock::new();
    LIMITS.get_or_init(ApiLimits::default)
}

/// Each command in JSON.
const JSON: &[&str] = &[
    r#"{"range": {"tags": ["area1/**", "b"], "start": "*-8h", "end": "*", "boundary": "INSIDE", "limit": -10}}"#,
    r#"{"range": {"tags": ["a"], "start": 1767225600, "end": 1.7672256e9, "time_unit": "s", "layout": "LAYOUT_WIDE", "pageSize": "7"}}"#,
    r#"{"current": {"tags": ["**"]}}"#,
    r#"{"aggregate": {"tags": ["a"], "start": "t", "end": "*", "interval": "1h", "functions": ["AVERAGE"], "configuration": {"percent_data_bad": 100}}}"#,
    r#"{"downsample": {"tags": ["a"], "start": "*-1d", "points": 500, "method": "LTTB"}}"#,
    r#"{"anomalies": {"tags": ["a"], "detector": "spike", "parameters": {"threshold": 3.5}}}"#,
    r#"{"measure": {"measure": "TIME_IN_STATE", "tags": ["a"], "states": ["running", 2, true], "from_state": 0, "dwell_min": 5}}"#,
    r#"{"subscribe": {"tags": ["a"]}}"#,
    r#"{"superseded": {"tags": ["a"], "start": "-1"}}"#,
    r#"{"asof": {"tags": ["a"], "tolerance": "1h", "quality": "GOOD"}}"#,
    r#"{"write": {"mode": "UPSERT", "durability": "SYNC", "create_tags": true}}"#,
];

/// Commands as protobuf: what the JSON above becomes.
fn commands() -> impl Iterator<Item = Vec<u8>> {
    JSON.iter().filter_map(|json| match Command::parse(json.as_bytes(), limits()) {
        Ok((Command::Query(asked), _)) => Some(asked.to_ticket()),
        _ => None,
    })
}

/// Some messages of a name: with the fields of commands in them, and with a write where that is what it is.
fn messages(name: &str) -> impl Iterator<Item = Vec<u8>> {
    let texts = [field(1, b"area1/**"), field(1, b"b"), field(2, b"*-8h"), field(3, b"*")].concat();
    let nested = [field(1, &texts), number(4, 7), number(5, 300)].concat();
    let sent = if name.starts_with("WriteSamples") { write() } else { Vec::new() };
    // Each is taken by some of the messages, and the empty one by all.
    [Vec::new(), texts, nested, sent].into_iter().filter(move |message| message.is_empty() || is_taken(name, message))
}

fn is_taken(name: &str, message: &[u8]) -> bool {
    REQUESTS.iter().any(|(known, read)| *known == name && read(message))
}

/// A `WriteSamplesRequest`: one tag with numbers packed, its qualities and nulls.
fn write() -> Vec<u8> {
    let doubles: Vec<u8> = (0..20).flat_map(|row| (f64::from(row) / 3.0).to_le_bytes()).collect();
    let times: Vec<u8> = (0..20_i64).flat_map(|row| (1_700_000_000_000_000_000 + row).to_le_bytes()).collect();
    let values = field(1, &field(1, &doubles));
    let samples = [field(1, b"area1/pressure"), field(2, &times), field(3, &values), field(4, &[0; 20]), field(5, &[])].concat();
    [field(2, &samples), field(2, &samples)].concat()
}
