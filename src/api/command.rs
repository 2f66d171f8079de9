//! Commands and tickets of Arrow Flight into one typed command: a query of some kind, or a write.

use historian_proto::{json, v1::WriteRequest};
use prost::{Message, Name};
use serde_json::Value;
use tonic::Status;

use super::{
    ApiLimits,
    kind::{self, Asked, KINDS},
    request::{self, AnyMessage, shown},
    status,
    ticket::{self, TicketTags},
};

/// What a command or ticket asks for.
#[derive(Debug)]
pub enum Command {
    /// Of one of the [`KINDS`].
    Query(Box<dyn Asked>),
    Write(WriteRequest),
}

/// In which form the command came; answers with metadata use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Protobuf,
}

/// Name of the command of `DoPut`.
const WRITE: &str = "write";

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

    /// Reads a ticket: one of ours, which may mean a part of the tags, or any command.
    ///
    /// # Errors
    /// As [`Command::parse`].
    pub fn parse_ticket(bytes: &[u8], limits: &ApiLimits) -> Result<(Command, Option<TicketTags>), Status> {
        let limits = ticket::limits(bytes, limits)?;
        match ticket::pinned(bytes)? {
            Some(pinned) => Command::parse(&pinned.command, &limits).map(|(command, _)| (command, pinned.part)),
            None => Command::parse(bytes, &limits).map(|(command, _)| (command, None)),
        }
    }

    /// What is asked for, as calls are told and counted.
    pub fn kind(&self) -> &'static str {
        match self {
            Command::Query(asked) => asked.kind(),
            Command::Write(_) => kind::WRITE,
        }
    }

    /// The request, if it is this one.
    pub fn request<M: 'static>(&self) -> Option<&M> {
        match self {
            Command::Query(asked) => asked.request().downcast_ref(),
            Command::Write(request) => (request as &dyn std::any::Any).downcast_ref(),
        }
    }
}

const EXPECTED: &str = "expected JSON such as {\"range\": {\"tags\": [\"area1/**\"], \"start\": \"*-8h\", \"end\": \"*\"}} or {\"current\": \
                        {\"tags\": [\"**\"]}}, or a protobuf Any of historian.v1.RangeRequest or CurrentValuesRequest";

fn protobuf(bytes: &[u8]) -> Result<Command, Status> {
    let any = AnyMessage::decode(bytes).map_err(|error| status::invalid("", format!("neither JSON nor protobuf ({error}); {EXPECTED}")))?;
    // Any's own rule: what counts is the part after the last slash.
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    if let Some(kind) = KINDS.iter().find(|kind| (kind.message)() == name) {
        return (kind.from_protobuf)(&any.value).map(Command::Query);
    }
    match name {
        name if name == WriteRequest::full_name() => request::from_protobuf(&any.value).map(Command::Write),
        _ if name.starts_with("arrow.flight.protocol.sql.") => Err(status::unimplemented(
            "this Flight SQL command is not answered here; statements and the catalog are read by GetFlightInfo and DoGet",
        )),
        "" => Err(status::invalid("", format!("neither JSON nor a protobuf Any with a type_url; {EXPECTED}"))),
        _ => Err(status::invalid("type_url", format!("{:?} is no known command; {EXPECTED}", shown(name)))),
    }
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
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
        return (kind.from_json)(body).map(Command::Query);
    }
    if name == WRITE {
        return request::from_json(WRITE, body).map(Command::Write);
    }
    let message = format!("the command {:?} is not known; this version answers {}", shown(&name), kind::answered());
    Err(status::unimplemented(message))
}

#[cfg(test)]
mod tests {
    use historian_proto::v1::{
        AggregateRequest, AnomaliesRequest, AsOfRequest, CurrentValuesRequest, DownsampleRequest, MeasureRequest, RangeRequest,
        SupersededRequest, range_request, write_request,
    };
    use tonic::Code;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Command, Status> {
        Command::parse(bytes, &ApiLimits::default()).map(|(command, _)| command)
    }

    /// A request of the kind that is expected.
    fn read<M: Clone + 'static>(bytes: &[u8]) -> M {
        let command = parse(bytes).unwrap();
        command.request::<M>().unwrap_or_else(|| panic!("another kind: {command:?}")).clone()
    }

    /// The ticket that a query becomes.
    fn ticket(json: &[u8]) -> Vec<u8> {
        match parse(json) {
            Ok(Command::Query(asked)) => asked.to_ticket(),
            other => panic!("no query: {other:?}"),
        }
    }

    fn range(json: &str) -> RangeRequest {
        read(json.as_bytes())
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
            read::<CurrentValuesRequest>(br#"{"current": {"tags": ["**"]}}"#),
            CurrentValuesRequest { tags: vec!["**".into()], ..CurrentValuesRequest::default() }
        );
        let write: WriteRequest = read(br#" {"write": {"mode": "INSERT", "durability": "INTERVAL", "create_tags": true}}"#);
        assert_eq!(
            write,
            WriteRequest {
                mode: write_request::Mode::Insert.into(),
                durability: write_request::Durability::Interval.into(),
                create_tags: true
            }
        );
        assert_eq!(read::<WriteRequest>(br#"{"write": {}}"#), WriteRequest::default());
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
        let request: MeasureRequest =
            read(br#"{"measure": {"dwellMin": 6e10, "fromState": 1, "toState": true, "shiftStarts": ["06:00"], "maxStep": "Infinity"}}"#);
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
        let superseded: SupersededRequest =
            read(br#"{"superseded": {"tags": ["a"], "start": 1767225600000000001, "end": "*", "limit": 5}}"#);
        assert_eq!((superseded.start.as_str(), superseded.end.as_str(), superseded.limit), ("1767225600000000001", "*", 5));
        assert_eq!(read::<SupersededRequest>(&super::request::any(&superseded)), superseded);
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
                let json = format!(r#"{{"{command}": {{"start": {start}, "time_unit": "{unit}"}}}}"#);
                let read = match command {
                    "range" => read::<RangeRequest>(json.as_bytes()).start,
                    "superseded" => read::<SupersededRequest>(json.as_bytes()).start,
                    "aggregate" => read::<AggregateRequest>(json.as_bytes()).start,
                    "downsample" => read::<DownsampleRequest>(json.as_bytes()).start,
                    "anomalies" => read::<AnomaliesRequest>(json.as_bytes()).start,
                    _ => read::<MeasureRequest>(json.as_bytes()).start,
                };
                assert_eq!(read, expected, "{command}");
            }
        }
    }

    #[test]
    fn states_may_be_written_as_they_are() {
        let json = br#"{"measure": {"measure": "TIME_IN_STATE", "states": ["running", 2, true], "from_state": 0, "dwell_min": 5}}"#;
        let measure: MeasureRequest = read(json);
        assert_eq!(measure.states, ["running", "2", "true"]);
        assert_eq!((measure.from_state.as_deref(), measure.to_state.as_deref(), measure.dwell_min.as_str()), (Some("0"), None, "5"));
        assert_eq!(read::<MeasureRequest>(&ticket(json)), measure);
        let json = br#"{"asof": {"tags": ["a"], "tolerance": "1h", "quality": "GOOD"}}"#;
        assert_eq!(read::<AsOfRequest>(&ticket(json)), read::<AsOfRequest>(json));
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
        let json = br#"{"range": {"tags": ["a/b"], "start": "1", "end": "2"}}"#;
        let range = RangeRequest { tags: vec!["a/b".into()], start: "1".into(), end: "2".into(), ..RangeRequest::default() };
        assert_eq!(read::<RangeRequest>(&ticket(json)), range);
        assert!(String::from_utf8_lossy(&ticket(json)).contains("type.googleapis.com/historian.v1.RangeRequest"));
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
