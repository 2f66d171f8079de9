//! The list of kinds against what it feeds: the messages, the commands, the methods of gRPC, the functions of SQL, the manual.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorSet;

use super::*;
use crate::{ApiLimits, command::Command, request::AnyMessage};

/// Rows of the table of kinds in `docs/api.md`, as cells.
fn manual() -> Vec<Vec<String>> {
    let manual = include_str!("../../../docs/api.md");
    let (_, below) = manual.split_once("\n| Command | Request | gRPC | Flight | SQL |").expect("docs/api.md has the table of kinds");
    let rows = below.lines().skip(2).take_while(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn every_kind_has_a_name_a_message_and_a_method_of_its_own() {
    let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let messages: BTreeSet<String> = KINDS.iter().map(|kind| (kind.message)()).collect();
    let methods: BTreeSet<&str> = KINDS.iter().map(|kind| kind.method).collect();
    assert_eq!((names.len(), messages.len(), methods.len()), (KINDS.len(), KINDS.len(), KINDS.len()));
}

#[test]
fn every_kind_is_read_in_both_forms_and_refused_where_its_field_is_unknown() {
    let limits = ApiLimits::default();
    for kind in KINDS {
        let read = |bytes: &[u8]| match Command::parse(bytes, &limits) {
            Ok((Command::Query(asked), _)) => asked.to_ticket(),
            other => panic!("{}: {other:?}", kind.name),
        };
        let ticket = read(format!(r#"{{"{}": {{"tags": ["area1/**"]}}}}"#, kind.name).as_bytes());
        let any = AnyMessage::decode(&*ticket).unwrap();
        assert_eq!(any.type_url, format!("type.googleapis.com/{}", (kind.message)()));
        assert_eq!(read(&ticket), ticket, "{}", kind.name);
        let error = Command::parse(format!(r#"{{"{}": {{"tagz": []}}}}"#, kind.name).as_bytes(), &limits).unwrap_err();
        assert!(error.message().starts_with(&format!("{}.tagz", kind.name)), "{}", error.message());
    }
}

#[test]
fn every_method_of_the_query_service_takes_the_request_of_a_kind() {
    let set = FileDescriptorSet::decode(historian_proto::DESCRIPTORS).unwrap();
    let service = set.file.iter().flat_map(|file| &file.service).find(|service| service.name() == "QueryService").unwrap();
    let methods: BTreeSet<(String, String)> = service
        .method
        .iter()
        .filter(|method| method.name() != "ListDetectors")
        .map(|method| (method.name().to_owned(), method.input_type().trim_start_matches('.').to_owned()))
        .collect();
    let kinds: BTreeSet<(String, String)> = KINDS.iter().map(|kind| (kind.method.to_owned(), (kind.message)())).collect();
    assert_eq!(kinds, methods);
}

/// `Command` says in the words of protobuf what the JSON form is; the program itself reads that form by the list.
#[test]
fn every_command_of_the_protos_is_that_of_a_kind_but_write() {
    let set = FileDescriptorSet::decode(historian_proto::DESCRIPTORS).unwrap();
    let mut messages = set.file.iter().filter(|file| file.package() == "historian.v1").flat_map(|file| &file.message_type);
    let command = messages.find(|message| message.name() == "Command").unwrap();
    let mut fields: BTreeSet<(String, String)> =
        command.field.iter().map(|field| (field.name().to_owned(), field.type_name().trim_start_matches('.').to_owned())).collect();
    assert!(fields.remove(&("write".to_owned(), "historian.v1.WriteRequest".to_owned())));
    let kinds: BTreeSet<(String, String)> = KINDS.iter().map(|kind| (kind.name.to_owned(), (kind.message)())).collect();
    assert_eq!(kinds, fields);
}

#[test]
fn every_table_function_of_a_query_is_that_of_a_kind() {
    let functions: BTreeSet<&str> = historian_sql::SqlEngine::table_functions().iter().map(|function| function.name).collect();
    let kinds: BTreeSet<&str> = KINDS.iter().filter_map(|kind| kind.sql).collect();
    assert_eq!(kinds, functions);
}

#[test]
fn the_manual_has_a_row_for_every_kind() {
    let quoted = |text: &str| format!("`{text}`");
    let expected: Vec<Vec<String>> = KINDS
        .iter()
        .map(|kind| {
            let message = (kind.message)();
            let flight = match kind.door {
                Door::Get => "`DoGet`, `GetFlightInfo`, `GetSchema`",
                Door::Follow => "`DoGet`",
                Door::Exchange => "`DoExchange`",
            };
            vec![
                quoted(kind.name),
                quoted(message.trim_start_matches("historian.v1.")),
                quoted(kind.method),
                flight.to_owned(),
                kind.sql.map(|function| format!("`{function}(…)`")).unwrap_or_default(),
            ]
        })
        .collect();
    assert_eq!(manual().iter().map(|row| row[..5].to_vec()).collect::<Vec<_>>(), expected);
}

#[test]
fn who_asks_for_something_else_is_told_what_there_is() {
    let two = listed(vec!["range", "current", "subscribe"], &["asof", "nearest"]);
    assert_eq!(two, "range, current and subscribe, and takes write by DoPut and asof and nearest by DoExchange");

    let told = answered();
    let (read, taken) = told.split_once(", and takes write by DoPut and ").unwrap();
    let words = |text: &str| text.replace(" and ", ", ").split(", ").map(str::to_owned).collect::<Vec<_>>();
    let of_doors = |doors: &[Door]| KINDS.iter().filter(|kind| doors.contains(&kind.door)).map(|kind| kind.name).collect::<Vec<_>>();
    assert_eq!(words(read), of_doors(&[Door::Get, Door::Follow]));
    assert_eq!(words(taken.strip_suffix(" by DoExchange").unwrap()), of_doors(&[Door::Exchange]));
}
