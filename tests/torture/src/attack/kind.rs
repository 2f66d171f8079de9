//! The kinds of attack. Each call of them is permitted, or nearly; together they ask for more than there is.

use std::{ops::Range, time::Duration};

use arrow_flight::{FlightDescriptor, Ticket};
use historian_proto::v1::{
    AggregateRequest, AnomaliesRequest, CurrentValuesRequest, ListTagsRequest, RangeRequest, SupersededRequest, anomalies_request,
};
use prost::Message;
use serde_json::{Value, json};

use super::{
    call::Sent,
    message::Messages,
    outcome::{Call, Patience},
};
use crate::{
    oracle::Dice,
    stock::{ALL_GLOB, NUMBERS_GLOB, VERSIONS_GLOB},
};

const DO_GET: &str = "/arrow.flight.protocol.FlightService/DoGet";
const DO_PUT: &str = "/arrow.flight.protocol.FlightService/DoPut";
const GET_FLIGHT_INFO: &str = "/arrow.flight.protocol.FlightService/GetFlightInfo";
const WRITE_SAMPLES: &str = "/historian.v1.WriteService/WriteSamples";

const QUERY: Patience = Patience::Deadline(Duration::from_secs(3));
const STATEMENT: Duration = Duration::from_secs(2);
const GLOBS: Patience = Patience::Gone(Duration::from_secs(1));
const HELD: Patience = Patience::Gone(Duration::from_secs(2));

/// What attacks are made of.
pub struct Material {
    pub messages: Messages,
    /// From the first sample that is stored to the last.
    pub times: Range<i64>,
}

/// A kind of attack.
pub struct Kind {
    pub name: &'static str,
    /// Its calls, all of which are made at once.
    pub calls: fn(&Material, &mut Dice) -> Vec<Call>,
}

pub static KINDS: [Kind; 5] = [
    Kind { name: "aggregates", calls: aggregates },
    Kind { name: "readers", calls: readers },
    Kind { name: "statements", calls: statements },
    Kind { name: "globs", calls: globs },
    Kind { name: "messages", calls: messages },
];

impl Material {
    fn start(&self) -> String {
        format!("{}ns", self.times.start)
    }

    fn end(&self) -> String {
        format!("{}ns", self.times.end)
    }

    fn aggregate(&self, interval: &str) -> AggregateRequest {
        AggregateRequest {
            tags: vec![NUMBERS_GLOB.into()],
            start: self.start(),
            end: self.end(),
            interval: interval.into(),
            functions: ["average", "time_average", "minimum", "maximum", "count"].map(str::to_owned).to_vec(),
            ..AggregateRequest::default()
        }
    }

    /// A `DoGet` of a command, whose times are those of everything that is stored.
    fn get(&self, what: &'static str, kind: &str, mut command: Value) -> Call {
        command["start"] = json!(self.start());
        command["end"] = json!(self.end());
        let ticket = Ticket { ticket: json!({ kind: command }).to_string().into() };
        Call::new(what, DO_GET, Sent::message(&ticket), QUERY)
    }
}

fn grpc(what: &'static str, path: &'static str, request: &impl Message) -> Call {
    Call::new(what, path, Sent::message(request), QUERY)
}

/// 300 aggregates over everything, of intervals so short that the answers are as large as what is stored.
fn aggregates(material: &Material, dice: &mut Dice) -> Vec<Call> {
    let request = material.aggregate(&format!("{}ms", dice.between(5, 20)));
    (0..300).map(|_| grpc("an aggregate", "/historian.v1.QueryService/Aggregate", &request)).collect()
}

/// 64 readers of everything, of eight kinds.
fn readers(material: &Material, dice: &mut Dice) -> Vec<Call> {
    let (start, end) = (material.start(), material.end());
    let reader = |kind| match kind {
        0 => material.get("a range, long", "range", json!({ "tags": [ALL_GLOB] })),
        1 => material.get("a range, wide", "range", json!({ "tags": [NUMBERS_GLOB], "layout": "WIDE" })),
        2 => material.get("a range, filled", "range", json!({ "tags": [NUMBERS_GLOB], "layout": "WIDE", "fill": "LINEAR" })),
        3 => material.get("anomalies", "anomalies", json!({ "tags": [NUMBERS_GLOB], "detector": "sigma", "output": "SCORES" })),
        4 => {
            let request = RangeRequest { tags: vec![ALL_GLOB.into()], start: start.clone(), end: end.clone(), ..RangeRequest::default() };
            grpc("a range of gRPC", "/historian.v1.QueryService/Range", &request)
        }
        5 => grpc("an aggregate", "/historian.v1.QueryService/Aggregate", &material.aggregate("1s")),
        6 => {
            let request = AnomaliesRequest {
                tags: vec![NUMBERS_GLOB.into()],
                start: start.clone(),
                end: end.clone(),
                detector: "spike".into(),
                output: anomalies_request::Output::Findings.into(),
                ..AnomaliesRequest::default()
            };
            grpc("anomalies of gRPC", "/historian.v1.QueryService/Anomalies", &request)
        }
        _ => {
            let (start, end) = (start.clone(), end.clone());
            let request = SupersededRequest { tags: vec![VERSIONS_GLOB.into()], start, end, limit: 10, ..SupersededRequest::default() };
            grpc("superseded", "/historian.v1.QueryService/Superseded", &request)
        }
    };
    let first = dice.below(8);
    (0..64).map(|number| reader((first + number) % 8)).collect()
}

/// SQL that gathers, that joins for ever, and that makes much of a few words.
fn statements(_: &Material, dice: &mut Dice) -> Vec<Call> {
    let gaps: Vec<String> = (0..120).map(|number| format!("gaps g{number}")).collect();
    let gathering = [
        ("a sort", "SELECT * FROM samples ORDER BY value, timestamp"),
        ("a sort of texts", "SELECT tag, text, timestamp FROM samples ORDER BY tag DESC, timestamp DESC"),
        ("a distinct", "SELECT DISTINCT timestamp, value FROM samples"),
        ("a count of distinct values", "SELECT count(DISTINCT value), count(DISTINCT timestamp) FROM samples"),
        ("groups", "SELECT timestamp, tag, max(value) FROM samples GROUP BY timestamp, tag"),
        ("a join", "SELECT count(*) FROM samples a JOIN samples b ON a.timestamp = b.timestamp AND a.tag = b.tag"),
        ("a cross join", "SELECT count(*) FROM samples a CROSS JOIN samples b WHERE a.value + b.value < -1"),
        ("a cross join of three", "SELECT count(*) FROM samples a, samples b, samples c WHERE a.value + b.value * c.value < -1"),
    ];
    let growing = [
        ("a window over all", "SELECT avg(value) OVER () FROM samples".to_owned()),
        (
            "a window of each tag",
            "SELECT lag(value, 1) OVER (PARTITION BY tag ORDER BY timestamp), rank() OVER (ORDER BY value) FROM samples".into(),
        ),
        ("a long text", "SELECT length(repeat('x', 2000000000))".into()),
        ("padded texts", "SELECT sum(length(lpad(tag, 60000000, 'y'))) FROM samples".into()),
        ("repeated texts", "SELECT repeat(tag, 10000) FROM samples".into()),
        ("gathered texts", "SELECT string_agg(repeat(tag, 1000), ',') FROM samples".into()),
        ("replaced texts", "SELECT max(replace(repeat(tag, 1000), 't', repeat('z', 1000))) FROM samples".into()),
        ("very many tables", format!("SELECT count(*) FROM {}", gaps.join(", "))),
        ("a recursion", "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t".into()),
    ];
    let gathering = gathering.into_iter().map(|(what, text)| Call::statement(what, text, STATEMENT));
    // Functions that are not known to be bounded are not there.
    let growing = growing.into_iter().map(|(what, text)| Call::statement(what, text, STATEMENT).or_invalid());
    let mut calls: Vec<Call> = gathering.chain(growing).collect();
    for last in (1..calls.len()).rev() {
        calls.swap(last, dice.below(last as u64 + 1) as usize);
    }
    calls
}

/// Globs that are held against all tags, by many at once and by some with thousands of them.
fn globs(_: &Material, dice: &mut Dice) -> Vec<Call> {
    let all = CurrentValuesRequest { tags: vec!["**".into()], ..CurrentValuesRequest::default() };
    let first = dice.below(1_000);
    let many =
        ListTagsRequest { tags: (0..9_999).map(|number| format!("**/*{}*t*x", first + number)).collect(), ..ListTagsRequest::default() };
    let infos = FlightDescriptor::new_cmd(json!({ "current": { "tags": ["**"] } }).to_string());
    let mut calls: Vec<Call> = Vec::new();
    for number in 0..100 {
        calls.push(grpc("current values", "/historian.v1.QueryService/CurrentValues", &all));
        if number % 2 == 0 {
            calls.push(Call::new("a plan of current values", GET_FLIGHT_INFO, Sent::message(&infos), QUERY));
        }
        if number % 10 == 0 {
            calls.push(Call::new("thousands of globs", "/historian.v1.TagService/ListTags", Sent::message(&many), GLOBS));
        }
    }
    calls
}

/// Messages that are large, never finished, or become large when they are read.
fn messages(material: &Material, _: &mut Dice) -> Vec<Call> {
    let messages = &material.messages;
    let mut calls: Vec<Call> = Vec::new();
    for number in 0..40 {
        let path = if number % 2 == 0 { WRITE_SAMPLES } else { DO_PUT };
        calls.push(Call::new("an unfinished message", path, messages.unfinished(), HELD).or_invalid());
        if number % 5 == 0 {
            calls.push(Call::new("empty samples", WRITE_SAMPLES, messages.empties(), QUERY).or_invalid());
            calls.push(Call::new("a message in gzip", WRITE_SAMPLES, messages.gzip(), QUERY).or_invalid());
        }
        if number % 3 == 0 {
            calls.push(Call::new("a batch in LZ4", DO_PUT, messages.batch(), QUERY).or_invalid());
        }
    }
    calls
}
