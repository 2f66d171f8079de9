//! Commands and tickets of Arrow Flight: a protobuf `Any` of a `historian.v1` request, or its proto3-JSON text, into one typed command.

use historian_proto::v1::{
    AggregateRequest, AnomaliesRequest, AsOfRequest, CurrentRequest, DownsampleRequest, MeasureRequest, RangeRequest, SubscribeRequest,
    SupersededRequest, WriteRequest,
};
use prost::{Message, Name};
use serde_json::Value;
use tonic::Status;

use super::{ApiLimits, status};
use crate::model::{Timestamp, time::Unit};

/// What a command or ticket asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Range(RangeRequest),
    Current(CurrentRequest),
    Superseded(SupersededRequest),
    Aggregate(AggregateRequest),
    Downsample(DownsampleRequest),
    Anomalies(AnomaliesRequest),
    Measure(MeasureRequest),
    AsOf(AsOfRequest),
    Subscribe(SubscribeRequest),
    Write(WriteRequest),
}

/// In which form the command came; answers with metadata use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Protobuf,
}

/// `google.protobuf.Any` as it is on the wire. Own two fields instead of a crate's type: only these bytes matter here.
#[derive(Clone, PartialEq, Message)]
pub struct AnyMessage {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

const TYPE_PREFIX: &str = "type.googleapis.com/";

impl Command {
    /// Reads a command in either form.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the field and what is known instead; UNIMPLEMENTED for commands this version does not answer.
    pub fn parse(bytes: &[u8], limits: &ApiLimits) -> Result<(Command, Form), Status> {
        if bytes.is_empty() {
            return Err(status::invalid("", format!("the command is empty; {EXPECTED}")));
        }
        if bytes.len() > limits.ticket_bytes_max {
            let message = format!("the command has {} bytes, at most {} are taken", bytes.len(), limits.ticket_bytes_max);
            return Err(status::invalid("", message));
        }
        // A protobuf Any starts with its first field's key 0x0A, which JSON would have to follow with '{' after white space.
        let text = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if text == Some(&b'{') {
            json(bytes).map(|command| (command, Form::Json))
        } else {
            protobuf(bytes).map(|command| (command, Form::Protobuf))
        }
    }

    /// The command as a self-contained protobuf ticket.
    pub fn to_ticket(&self) -> Vec<u8> {
        match self {
            Command::Range(request) => any(request),
            Command::Current(request) => any(request),
            Command::Superseded(request) => any(request),
            Command::Aggregate(request) => any(request),
            Command::Downsample(request) => any(request),
            Command::Anomalies(request) => any(request),
            Command::Measure(request) => any(request),
            Command::AsOf(request) => any(request),
            Command::Subscribe(request) => any(request),
            Command::Write(request) => any(request),
        }
    }
}

const EXPECTED: &str = "expected JSON such as {\"range\": {\"tags\": [\"area1/**\"], \"start\": \"*-8h\", \"end\": \"*\"}} or {\"current\": \
                        {\"tags\": [\"**\"]}}, or a protobuf Any of historian.v1.RangeRequest or CurrentRequest";

fn any<M: Message + Name>(message: &M) -> Vec<u8> {
    AnyMessage { type_url: format!("{TYPE_PREFIX}{}", M::full_name()), value: message.encode_to_vec() }.encode_to_vec()
}

fn protobuf(bytes: &[u8]) -> Result<Command, Status> {
    let any = AnyMessage::decode(bytes).map_err(|error| status::invalid("", format!("neither JSON nor protobuf ({error}); {EXPECTED}")))?;
    // Any's own rule: what counts is the part after the last slash.
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    match name {
        "historian.v1.RangeRequest" => decode(&any.value).map(Command::Range),
        "historian.v1.CurrentRequest" => decode(&any.value).map(Command::Current),
        "historian.v1.SupersededRequest" => decode(&any.value).map(Command::Superseded),
        "historian.v1.WriteRequest" => decode(&any.value).map(Command::Write),
        "historian.v1.AggregateRequest" => decode(&any.value).map(Command::Aggregate),
        "historian.v1.DownsampleRequest" => decode(&any.value).map(Command::Downsample),
        "historian.v1.AnomaliesRequest" => decode(&any.value).map(Command::Anomalies),
        "historian.v1.MeasureRequest" => decode(&any.value).map(Command::Measure),
        "historian.v1.AsOfRequest" => decode(&any.value).map(Command::AsOf),
        "historian.v1.SubscribeRequest" => decode(&any.value).map(Command::Subscribe),
        _ if name.starts_with("arrow.flight.protocol.sql.") => Err(status::unimplemented(
            "this Flight SQL command is not answered here; statements and the catalog are read by GetFlightInfo and DoGet",
        )),
        "" => Err(status::invalid("", format!("neither JSON nor a protobuf Any with a type_url; {EXPECTED}"))),
        _ => Err(status::invalid("type_url", format!("{:?} is no known command; {EXPECTED}", shown(name)))),
    }
}

fn decode<M: Message + Name + Default>(value: &[u8]) -> Result<M, Status> {
    M::decode(value).map_err(|error| status::invalid("", format!("the Any holds no valid {}: {error}", M::full_name())))
}

fn json(bytes: &[u8]) -> Result<Command, Status> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| status::invalid("", format!("the JSON cannot be read: {error}")))?;
    let Value::Object(object) = value else {
        return Err(status::invalid("", format!("the JSON is no object; {EXPECTED}")));
    };
    let mut fields = object.into_iter();
    let (Some((name, body)), None) = (fields.next(), fields.next()) else {
        return Err(status::invalid("", format!("the JSON must name exactly one command; {EXPECTED}")));
    };
    match name.as_str() {
        "range" => Ok(Command::Range(message(&name, times_as_text(&name, body)?)?)),
        "superseded" => Ok(Command::Superseded(message(&name, times_as_text(&name, body)?)?)),
        "aggregate" => Ok(Command::Aggregate(message(&name, duration_as_text(&name, "interval", times_as_text(&name, body)?)?)?)),
        "downsample" => Ok(Command::Downsample(message(&name, times_as_text(&name, body)?)?)),
        "anomalies" => Ok(Command::Anomalies(message(&name, times_as_text(&name, body)?)?)),
        "measure" => {
            let body = duration_as_text(&name, "interval", times_as_text(&name, body)?)?;
            Ok(Command::Measure(message(&name, states_as_text(duration_as_text(&name, "dwell_min", body)?))?))
        }
        "asof" => Ok(Command::AsOf(message(&name, duration_as_text(&name, "tolerance", body)?)?)),
        "subscribe" => Ok(Command::Subscribe(message(&name, body)?)),
        "current" => Ok(Command::Current(message(&name, body)?)),
        "write" => Ok(Command::Write(message(&name, body)?)),
        other => Err(status::unimplemented(format!(
            "the command {:?} is not known; this version answers range, current, aggregate, downsample, anomalies, measure, subscribe and \
             superseded, and takes write by DoPut and asof by DoExchange",
            shown(other)
        ))),
    }
}

fn message<T: serde::de::DeserializeOwned>(command: &str, body: Value) -> Result<T, Status> {
    if !body.is_object() {
        return Err(status::invalid(command, "must be an object"));
    }
    serde_json::from_value(body).map_err(|error| status::invalid(command, error.to_string()))
}

/// JSON may write a time as a number, of nanoseconds or of its `time_unit`. It becomes text here, digit by digit: a float would round it.
fn times_as_text(command: &str, mut body: Value) -> Result<Value, Status> {
    let unit = match body.as_object_mut().and_then(|body| body.remove("time_unit")) {
        None | Some(Value::Null) => None,
        Some(unit) => Some(unit.as_str().and_then(Unit::named).ok_or_else(|| {
            status::invalid(
                &format!("{command}.time_unit"),
                format!("{} is none of \"s\", \"ms\", \"us\", \"ns\"", shown(&unit.to_string())),
            )
        })?),
    };
    for field in ["start", "end"] {
        let text = match body.get(field) {
            Some(Value::Number(number)) => number.as_i64().map(|number| number.to_string()).ok_or_else(|| {
                let message = format!(
                    "{number} is not an integer of 64 bits; write a number as an integer or a string, never as a float, or RFC 3339, or a \
                     relative time"
                );
                status::invalid(&format!("{command}.{field}"), message)
            })?,
            Some(Value::String(text)) => text.clone(),
            _ => continue,
        };
        // The unit is of numbers; any other form says itself what it means.
        let is_number = unit.is_some_and(|unit| Timestamp::parse_number(&text, unit).is_some());
        body[field] = Value::String(match unit {
            Some(unit) if is_number => format!("{}{}", text.trim(), unit.name()),
            _ => text,
        });
    }
    Ok(body)
}

/// As times, for lengths of time.
fn duration_as_text(command: &str, field: &str, mut body: Value) -> Result<Value, Status> {
    if let Some(Value::Number(number)) = body.get(field) {
        let nanoseconds = number.as_i64().ok_or_else(|| {
            status::invalid(
                &format!("{command}.{field}"),
                format!("{number} is no whole number of nanoseconds; write it as text, such as \"5s\""),
            )
        })?;
        body[field] = Value::String(nanoseconds.to_string());
    }
    Ok(body)
}

/// States are texts, of which some look like numbers or truth values: JSON may write them so.
fn states_as_text(mut body: Value) -> Value {
    let plain = |value: &mut Value| {
        if value.is_number() || value.is_boolean() {
            *value = Value::String(value.to_string());
        }
    };
    ["from_state", "to_state"].into_iter().filter_map(|field| body.get_mut(field).map(plain)).for_each(drop);
    if let Some(states) = body.get_mut("states").and_then(Value::as_array_mut) {
        states.iter_mut().for_each(plain);
    }
    body
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use historian_proto::v1::{range_request, write_request};
    use tonic::Code;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Command, Status> {
        Command::parse(bytes, &ApiLimits::default()).map(|(command, _)| command)
    }

    fn range(json: &str) -> RangeRequest {
        match parse(json.as_bytes()) {
            Ok(Command::Range(request)) => request,
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn the_json_of_the_contract_is_read() {
        let request = range(
            r#"{"range": {"tags": ["area1/**"], "start": "2026-01-01T00:00:00Z", "end": "*", "boundary": "INTERPOLATED", "limit": 7, "layout": "WIDE"}}"#,
        );
        assert_eq!(request.tags, ["area1/**"]);
        assert_eq!((request.start.as_str(), request.end.as_str()), ("2026-01-01T00:00:00Z", "*"));
        assert_eq!(request.boundary(), range_request::Boundary::Interpolated);
        assert_eq!(request.layout(), range_request::Layout::Wide);
        assert_eq!(request.limit, 7);
        assert_eq!(parse(br#"{"current": {"tags": ["**"]}}"#).unwrap(), Command::Current(CurrentRequest { tags: vec!["**".into()] }));
        let write = parse(br#" {"write": {"mode": "INSERT", "durability": "INTERVAL", "create_tags": true}}"#).unwrap();
        assert_eq!(
            write,
            Command::Write(WriteRequest {
                mode: write_request::Mode::Insert.into(),
                durability: write_request::Durability::Interval.into(),
                create_tags: true
            })
        );
        assert_eq!(parse(br#"{"write": {}}"#).unwrap(), Command::Write(WriteRequest::default()));
    }

    #[test]
    fn integer_times_are_exact() {
        let superseded = parse(br#"{"superseded": {"tags": ["a"], "start": 1767225600000000001, "end": "*", "limit": 5}}"#).unwrap();
        let Command::Superseded(request) = &superseded else { panic!("{superseded:?}") };
        assert_eq!((request.start.as_str(), request.end.as_str(), request.limit), ("1767225600000000001", "*", 5));
        assert_eq!(parse(&superseded.to_ticket()).unwrap(), superseded);
        let request = range(r#"{"range": {"tags": [], "start": 1767225600000000001, "end": -9223372036854775808}}"#);
        assert_eq!((request.start.as_str(), request.end.as_str()), ("1767225600000000001", "-9223372036854775808"));
    }

    #[test]
    fn the_unit_of_numbers_may_be_said() {
        for (start, unit, expected) in [
            ("1767225600", "s", "1767225600s"),
            (r#""1767225600.5""#, "s", "1767225600.5s"),
            ("1767225600000", "ms", "1767225600000ms"),
            (r#""*-8h""#, "ms", "*-8h"),
            (r#""2026-01-01""#, "s", "2026-01-01"),
            ("5", "ns", "5ns"),
        ] {
            for command in ["range", "superseded", "aggregate", "downsample", "anomalies", "measure"] {
                let parsed = parse(format!(r#"{{"{command}": {{"start": {start}, "time_unit": "{unit}"}}}}"#).as_bytes()).unwrap();
                let read = match parsed {
                    Command::Range(request) => request.start,
                    Command::Superseded(request) => request.start,
                    Command::Aggregate(request) => request.start,
                    Command::Downsample(request) => request.start,
                    Command::Anomalies(request) => request.start,
                    Command::Measure(request) => request.start,
                    other => panic!("{other:?}"),
                };
                assert_eq!(read, expected, "{command}");
            }
        }
    }

    #[test]
    fn states_may_be_written_as_they_are() {
        let json = br#"{"measure": {"measure": "TIME_IN_STATE", "states": ["running", 2, true], "from_state": 0, "dwell_min": 5}}"#;
        let measure = parse(json).unwrap();
        let Command::Measure(request) = &measure else { panic!("{measure:?}") };
        assert_eq!(request.states, ["running", "2", "true"]);
        assert_eq!((request.from_state.as_deref(), request.to_state.as_deref(), request.dwell_min.as_str()), (Some("0"), None, "5"));
        assert_eq!(parse(&measure.to_ticket()).unwrap(), measure);
        let joined = parse(br#"{"asof": {"tags": ["a"], "tolerance": "1h", "quality": "GOOD"}}"#).unwrap();
        assert_eq!(parse(&joined.to_ticket()).unwrap(), joined);
    }

    #[test]
    fn bad_commands_are_refused_with_the_field() {
        for (json, code, fragment) in [
            (r#"{"range": {"tags": [], "start": 1.5}}"#, Code::InvalidArgument, "range.start"),
            (r#"{"range": {"tags": [], "start": 1e18}}"#, Code::InvalidArgument, "never as a float"),
            (r#"{"range": {"tags": [], "end": 9223372036854775808}}"#, Code::InvalidArgument, "range.end"),
            (r#"{"range": {"tags": [], "end": 99999999999999999999999}}"#, Code::InvalidArgument, "range.end"),
            (r#"{"range": {"start": 1, "time_unit": "h"}}"#, Code::InvalidArgument, "range.time_unit"),
            (r#"{"range": {"start": 1, "time_unit": 1}}"#, Code::InvalidArgument, "range.time_unit"),
            (r#"{"range": {"start": 1.5, "time_unit": "s"}}"#, Code::InvalidArgument, "never as a float"),
            (r#"{"superseded": {"start": 1.5}}"#, Code::InvalidArgument, "superseded.start"),
            (r#"{"range": {"tagz": []}}"#, Code::InvalidArgument, "tagz"),
            (r#"{"range": {"tags": "a"}}"#, Code::InvalidArgument, "range"),
            (r#"{"range": {"tags": [1]}}"#, Code::InvalidArgument, "range"),
            (r#"{"range": {"boundary": "AROUND"}}"#, Code::InvalidArgument, "AROUND"),
            (r#"{"range": {"limit": 1.5}}"#, Code::InvalidArgument, "range"),
            (r#"{"range": []}"#, Code::InvalidArgument, "object"),
            (r#"{"range": {}, "current": {}}"#, Code::InvalidArgument, "exactly one"),
            ("{}", Code::InvalidArgument, "exactly one"),
            ("{", Code::InvalidArgument, "JSON"),
            ("", Code::InvalidArgument, "empty"),
            ("tags", Code::InvalidArgument, "neither JSON nor"),
            (r#"{"aggregate": {"interval": 1.5}}"#, Code::InvalidArgument, "aggregate.interval"),
            (r#"{"measure": {"interval": 1.5}}"#, Code::InvalidArgument, "measure.interval"),
            (r#"{"measure": {"measure": "OEE"}}"#, Code::InvalidArgument, "OEE"),
            (r#"{"asof": {"tolerance": 0.5}}"#, Code::InvalidArgument, "asof.tolerance"),
            (r#"{"downsample": {"method": "NONE"}}"#, Code::InvalidArgument, "NONE"),
            (r#"{"anomalies": {"output": 7.5}}"#, Code::InvalidArgument, "anomalies"),
            (r#"{"frobnicate": {}}"#, Code::Unimplemented, "frobnicate"),
        ] {
            let error = parse(json.as_bytes()).expect_err(json);
            assert_eq!(error.code(), code, "{json}: {error}");
            assert!(error.message().contains(fragment), "{json}: {}", error.message());
        }
        let oversized = vec![b'{'; ApiLimits::default().ticket_bytes_max + 1];
        assert_eq!(parse(&oversized).unwrap_err().code(), Code::InvalidArgument);
        // Deep nesting ends in an error, not in an overflow of the stack.
        assert_eq!(parse("{\"range\":".repeat(5000).as_bytes()).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn tickets_round_trip_and_foreign_ones_are_refused() {
        let command =
            Command::Range(RangeRequest { tags: vec!["a/b".into()], start: "1".into(), end: "2".into(), ..RangeRequest::default() });
        assert_eq!(parse(&command.to_ticket()).unwrap(), command);
        assert!(String::from_utf8_lossy(&command.to_ticket()).contains("type.googleapis.com/historian.v1.RangeRequest"));
        for (type_url, code) in [
            ("type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery", Code::Unimplemented),
            ("type.googleapis.com/google.protobuf.Empty", Code::InvalidArgument),
            ("", Code::InvalidArgument),
        ] {
            let ticket = AnyMessage { type_url: type_url.into(), value: vec![] }.encode_to_vec();
            // An Any without content is no byte at all.
            assert_eq!(parse(&ticket).unwrap_err().code(), code, "{type_url}");
        }
        let broken = AnyMessage { type_url: "x/historian.v1.RangeRequest".into(), value: vec![0xFF; 9] }.encode_to_vec();
        assert_eq!(parse(&broken).unwrap_err().code(), Code::InvalidArgument);
    }
}
