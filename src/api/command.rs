//! Commands and tickets of Arrow Flight: a protobuf `Any` of a `historian.v1` request, or its proto3-JSON text, into one typed command.

use historian_proto::{
    json,
    v1::{
        AggregateRequest, AnomaliesRequest, AsOfRequest, CurrentValuesRequest, DownsampleRequest, MeasureRequest, RangeRequest,
        SubscribeRequest, SupersededRequest, WriteRequest,
    },
};
use prost::{Message, Name};
use serde_json::Value;
use tonic::Status;

use super::{ApiLimits, status};
use historian_model::{Timestamp, time::Unit};

/// What a command or ticket asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Range(RangeRequest),
    Current(CurrentValuesRequest),
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

/// Before the name of a message in its type URL.
pub const TYPE_PREFIX: &str = "type.googleapis.com/";

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
                        {\"tags\": [\"**\"]}}, or a protobuf Any of historian.v1.RangeRequest or CurrentValuesRequest";

fn any<M: Message + Name>(message: &M) -> Vec<u8> {
    AnyMessage { type_url: format!("{TYPE_PREFIX}{}", M::full_name()), value: message.encode_to_vec() }.encode_to_vec()
}

fn protobuf(bytes: &[u8]) -> Result<Command, Status> {
    let any = AnyMessage::decode(bytes).map_err(|error| status::invalid("", format!("neither JSON nor protobuf ({error}); {EXPECTED}")))?;
    // Any's own rule: what counts is the part after the last slash.
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    match name {
        "historian.v1.RangeRequest" => decode(&any.value).map(Command::Range),
        "historian.v1.CurrentValuesRequest" => decode(&any.value).map(Command::Current),
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
    let value = json::parse(bytes).map_err(|mistake| status::invalid("", format!("the JSON cannot be read: {mistake}")))?;
    let Value::Object(object) = value else {
        return Err(status::invalid("", format!("the JSON is no object; {EXPECTED}")));
    };
    let mut fields = object.into_iter();
    let (Some((name, body)), None) = (fields.next(), fields.next()) else {
        return Err(status::invalid("", format!("the JSON must name exactly one command; {EXPECTED}")));
    };
    match name.as_str() {
        "range" => message(&name, body).map(Command::Range),
        "superseded" => message(&name, body).map(Command::Superseded),
        "aggregate" => message(&name, body).map(Command::Aggregate),
        "downsample" => message(&name, body).map(Command::Downsample),
        "anomalies" => message(&name, body).map(Command::Anomalies),
        "measure" => message(&name, body).map(Command::Measure),
        "asof" => message(&name, body).map(Command::AsOf),
        "subscribe" => message(&name, body).map(Command::Subscribe),
        "current" => message(&name, body).map(Command::Current),
        "write" => message(&name, body).map(Command::Write),
        other => Err(status::unimplemented(format!(
            "the command {:?} is not known; this version answers range, current, aggregate, downsample, anomalies, measure, subscribe and \
             superseded, and takes write by DoPut and asof by DoExchange",
            shown(other)
        ))),
    }
}

/// A request of its proto3 JSON form. Beyond that form, texts that stand for numbers may be written as numbers, and their unit beside them.
fn message<M: Message + Name + Default>(command: &str, mut body: Value) -> Result<M, Status> {
    let unit = match body.as_object_mut().and_then(|body| body.remove("time_unit").or_else(|| body.remove("timeUnit"))) {
        None | Some(Value::Null) => None,
        Some(unit) => Some(unit.as_str().and_then(Unit::named).ok_or_else(|| {
            status::invalid(
                &format!("{command}.time_unit"),
                format!("{} is none of \"s\", \"ms\", \"us\", \"ns\"", shown(&unit.to_string())),
            )
        })?),
    };
    json::read(&body, &|field, value| text_of(field, value, unit)).map_err(|mistake| {
        let field = if mistake.field.is_empty() { command.to_owned() } else { format!("{command}.{}", mistake.field) };
        status::invalid(&field, mistake.message)
    })
}

/// The text of a number or truth value where a field has texts that mean such: times, lengths of time, states.
fn text_of(field: &str, value: &Value, unit: Option<Unit>) -> Option<Result<String, String>> {
    match (field, value) {
        ("start" | "end", Value::Number(number)) => Some(whole(number, TIME_FORMS).map(|text| with_unit(text, unit))),
        ("start" | "end", Value::String(text)) => Some(Ok(with_unit(text.clone(), unit))),
        ("interval" | "dwell_min" | "tolerance" | "step", Value::Number(number)) => Some(whole(number, LENGTH_FORMS)),
        ("states" | "from_state" | "to_state", Value::Number(_) | Value::Bool(_)) => Some(Ok(value.to_string())),
        _ => None,
    }
}

const TIME_FORMS: &str =
    "is not an integer of 64 bits; write a number as an integer or a string, never as a float, or RFC 3339, or a relative time";
const LENGTH_FORMS: &str = "is no whole number of nanoseconds; write it as text, such as \"5s\"";

/// Digit by digit: a float is taken only where it cannot have rounded what was meant.
fn whole(number: &serde_json::Number, forms: &str) -> Result<String, String> {
    json::whole_exactly(number).map(|whole| whole.to_string()).ok_or_else(|| format!("{number} {forms}"))
}

/// The unit is of numbers; any other form says itself what it means.
fn with_unit(text: String, unit: Option<Unit>) -> String {
    match unit {
        Some(unit) if Timestamp::parse_number(&text, unit).is_some() => format!("{}{}", text.trim(), unit.name()),
        _ => text,
    }
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
        assert_eq!(
            parse(br#"{"current": {"tags": ["**"]}}"#).unwrap(),
            Command::Current(CurrentValuesRequest { tags: vec!["**".into()], ..CurrentValuesRequest::default() })
        );
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
    fn json_is_read_to_the_letter_of_proto3() {
        let long = range(
            r#"{"range": {"boundary": "BOUNDARY_OUTSIDE", "layout": "LAYOUT_LONG", "limit": "7", "page_size": 5, "among": ["STATE"]}}"#,
        );
        let short = range(
            r#"{"range": {"boundary": 2, "layout": "LONG", "limit": 7.0, "pageSize": 5e0, "zone": null, "among": ["VALUE_TYPE_STATE"]}}"#,
        );
        assert_eq!((long.limit, long.page_size, long.boundary()), (7, 5, range_request::Boundary::Outside));
        assert_eq!(long, short);
        let named =
            parse(br#"{"measure": {"dwellMin": 6e10, "fromState": 1, "toState": true, "shiftStarts": ["06:00"], "maxStep": "Infinity"}}"#);
        let Ok(Command::Measure(request)) = &named else { panic!("{named:?}") };
        assert_eq!(
            (request.dwell_min.as_str(), request.from_state.as_deref(), request.to_state.as_deref()),
            ("60000000000", Some("1"), Some("true"))
        );
        assert_eq!((request.shift_starts.as_slice(), request.max_step), (["06:00".to_owned()].as_slice(), Some(f64::INFINITY)));
        let request = range(r#"{"range": {"start": 1767225600, "timeUnit": "s"}}"#);
        assert_eq!(request.start, "1767225600s");
    }

    #[test]
    fn integer_times_are_exact() {
        let superseded = parse(br#"{"superseded": {"tags": ["a"], "start": 1767225600000000001, "end": "*", "limit": 5}}"#).unwrap();
        let Command::Superseded(request) = &superseded else { panic!("{superseded:?}") };
        assert_eq!((request.start.as_str(), request.end.as_str(), request.limit), ("1767225600000000001", "*", 5));
        assert_eq!(parse(&superseded.to_ticket()).unwrap(), superseded);
        // What R and others write for 60000000000; no other integer becomes this float.
        let request = range(r#"{"range": {"start": 6e10, "end": 60000000001.0, "step": 6e10}}"#);
        assert_eq!((request.start.as_str(), request.end.as_str(), request.step.as_str()), ("60000000000", "60000000001", "60000000000"));
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
            (r#"{"range": {"start": "1", "start": "2"}}"#, Code::InvalidArgument, "twice"),
            (r#"{"range": {"pageSize": 1, "page_size": 1}}"#, Code::InvalidArgument, "range.page_size"),
            (r#"{"range": {"tags": [null]}}"#, Code::InvalidArgument, "range.tags[0]"),
            (
                r#"{"aggregate": {"configuration": {"percent_data_bad": 0.5}}}"#,
                Code::InvalidArgument,
                "aggregate.configuration.percent_data_bad",
            ),
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
