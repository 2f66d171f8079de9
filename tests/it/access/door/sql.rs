//! SQL over Flight: every table, every table function, every message of Flight SQL, and prepared statements.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow_flight::{
    Action, FlightDescriptor, FlightInfo, Ticket,
    sql::{
        ActionCancelQueryRequest, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
        ActionCreatePreparedStatementResult, Any, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas,
        CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
        CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest,
        CommandStatementQuery, CommandStatementSubstraitPlan, CommandStatementUpdate, ProstMessageExt,
    },
};
use bytes::Bytes;
use prost::Message;

use super::{
    About, Door, Need, Same, bytes,
    flight::{DO_GET, DO_PUT, GET_FLIGHT_INFO, batch, messages},
};
use crate::access::{call::Client, call::Outcome};

const DO_ACTION: &str = "arrow.flight.protocol.FlightService/DoAction";
const FROM: &str = "'2026-01-01T00:00:00Z', '2026-01-01T00:02:00Z'";

pub fn doors() -> Vec<Door> {
    let mut doors = tables();
    doors.extend(functions());
    doors.extend(messages_of_sql());
    doors.extend(prepared());
    doors
}

/// The answer to a statement, in one call.
pub async fn statement(client: &Client, text: &str) -> Outcome {
    let command = CommandStatementQuery { query: text.to_owned(), transaction_id: None };
    client.ask(DO_GET, &Ticket::new(command.as_any().encode_to_vec())).await
}

/// What a statement would answer, and with which ticket.
pub async fn planned(client: &Client, text: &str) -> Outcome {
    let command = CommandStatementQuery { query: text.to_owned(), transaction_id: None };
    client.ask(GET_FLIGHT_INFO, &FlightDescriptor::new_cmd(command.as_any().encode_to_vec())).await
}

/// A door of statements about a tag; `**` are all.
fn statements(cell: &str, about: About, text: impl Fn(&str) -> String + Send + Sync + 'static) -> Door {
    Door::new(cell, Need::Read, about, move |client, tag| {
        let text = text(&tag);
        async move { statement(&client, &text).await }
    })
}

fn tables() -> Vec<Door> {
    let mut doors = Vec::new();
    let of_tags = [("current", "tag"), ("daily", "tag"), ("hourly", "tag"), ("samples", "tag"), ("tags", "name")];
    for (table, column) in of_tags {
        let text = move |tag: &str| match tag {
            "**" => format!("SELECT * FROM {table} ORDER BY {column}, 2"),
            tag => format!("SELECT * FROM {table} WHERE {column} = '{tag}' ORDER BY 2"),
        };
        // Tags have the times at which they were made.
        let same = if table == "tags" { Same::Lengths } else { Same::Bytes };
        let cell = format!("sql table public.{table}");
        doors.push(statements(&cell, About::Tag, text).absent("Ok").globs().same(same));
        let like = move |tag: &str| match tag {
            "**" => format!("SELECT count(*) AS n, min({column}) AS first, max({column}) AS last FROM {table}"),
            tag => format!("SELECT count(*) AS n FROM {table} WHERE {column} LIKE '{tag}%'"),
        };
        doors.push(statements(&cell, About::Tag, like).variant("counted").absent("Ok").globs());
        let explain = move |tag: &str| match tag {
            "**" => format!("EXPLAIN SELECT * FROM {table}"),
            tag => format!("EXPLAIN SELECT * FROM {table} WHERE {column} = '{tag}'"),
        };
        doors.push(statements(&cell, About::Tag, explain).variant("EXPLAIN").absent("Ok"));
        doors.push(
            Door::new(cell, Need::Read, About::Tag, move |client, tag| {
                let text = text(&tag);
                async move { planned(&client, &text).await }
            })
            .variant("planned")
            .absent("Ok")
            .same(Same::Lengths),
        );
    }
    let annotations = |tag: &str| match tag {
        "**" => "SELECT tag, start, text, author FROM annotations ORDER BY 1, 2".to_owned(),
        tag => format!("SELECT tag, start, text, author FROM annotations WHERE tag = '{tag}'"),
    };
    doors.push(statements("sql table public.annotations", About::Tag, annotations).absent("Ok").globs());
    let gaps = |tag: &str| match tag {
        "**" => "SELECT tag, reason, start, detail FROM gaps ORDER BY 1, 2".to_owned(),
        tag => format!("SELECT tag, reason, detail FROM gaps WHERE tag = '{}'", tag.replace("/here", "/device")),
    };
    doors.push(statements("sql table public.gaps", About::Tag, gaps).absent("Ok").globs().same(Same::Lengths));
    for view in ["all_hourly", "other_hourly", "named_hourly"] {
        let cell = format!("sql table public.{view}");
        // The last interval ends now.
        let whole = statements(&cell, About::Nothing, move |_| format!("SELECT * FROM {view}")).same(Same::Lengths);
        doors.push(if view == "other_hourly" { whole } else { whole.globs() });
        doors.push(statements(&cell, About::Nothing, move |_| format!("EXPLAIN SELECT * FROM {view}")).variant("EXPLAIN"));
        let column = |tag: &str| tag.replace('/', "_");
        if view == "all_hourly" {
            let of_column = move |tag: &str| format!("SELECT {} FROM {view}", column(tag));
            doors.push(statements(&cell, About::Tag, of_column).variant("a column").absent("InvalidArgument"));
        }
    }
    for table in ["columns", "df_settings", "parameters", "routines", "schemata", "tables", "views"] {
        let door = statements(&format!("sql table information_schema.{table}"), About::Nothing, move |_| {
            format!("SELECT * FROM information_schema.{table}")
        });
        // Functions come in any order.
        let same = if ["parameters", "routines"].contains(&table) { Same::Lengths } else { Same::Bytes };
        doors.push(if table == "columns" { door.globs() } else { door.same(same) });
    }
    doors.push(
        statements("sql table information_schema.columns", About::Nothing, |_| "SHOW COLUMNS FROM all_hourly".into())
            .variant("SHOW")
            .globs(),
    );
    doors
}

/// The statement about a tag.
type StatementOfTag = fn(&str) -> String;

fn functions() -> Vec<Door> {
    let texts: [(&str, StatementOfTag); 5] = [
        ("aggregate", |tag| format!("SELECT * FROM aggregate('{tag}', {FROM}, '30s', 'time_average') ORDER BY tag, 2")),
        ("anomalies", |tag| format!("SELECT * FROM anomalies('{tag}', {FROM}, 'spike') ORDER BY tag, 2")),
        ("current", |tag| format!("SELECT * FROM current('{tag}') ORDER BY tag")),
        ("downsample", |tag| format!("SELECT * FROM downsample('{tag}', {FROM}, 10) ORDER BY tag, 2")),
        ("range", |tag| format!("SELECT * FROM range('{tag}', {FROM}) ORDER BY tag, 2")),
    ];
    let mut doors = Vec::new();
    for (name, text) in texts {
        let door = statements(&format!("sql function {name}"), About::Tag, text).absent("InvalidArgument");
        doors.push(if name == "anomalies" { door } else { door.globs() });
        let explain = statements(&format!("sql function {name}"), About::Tag, move |tag| format!("EXPLAIN {}", text(tag)));
        doors.push(explain.variant("EXPLAIN").absent("InvalidArgument"));
    }
    doors
}

/// The messages of Flight SQL, planned and fetched.
fn messages_of_sql() -> Vec<Door> {
    let table = || "samples".to_owned();
    let tables = |include_schema: bool| CommandGetTables { include_schema, ..CommandGetTables::default() };
    let plan = CommandStatementSubstraitPlan { plan: None, transaction_id: None };
    let all: Vec<(&str, Any, &str)> = vec![
        ("CommandGetCatalogs", CommandGetCatalogs {}.as_any(), "Ok"),
        ("CommandGetDbSchemas", CommandGetDbSchemas::default().as_any(), "Ok"),
        ("CommandGetTables", tables(false).as_any(), "Ok"),
        ("CommandGetTables with schemas", tables(true).as_any(), "Ok"),
        ("CommandGetTableTypes", CommandGetTableTypes {}.as_any(), "Ok"),
        ("CommandGetSqlInfo", CommandGetSqlInfo::default().as_any(), "Ok"),
        ("CommandGetXdbcTypeInfo", CommandGetXdbcTypeInfo::default().as_any(), "Ok"),
        ("CommandGetPrimaryKeys", CommandGetPrimaryKeys { table: table(), ..CommandGetPrimaryKeys::default() }.as_any(), "Ok"),
        ("CommandGetExportedKeys", CommandGetExportedKeys { table: table(), ..CommandGetExportedKeys::default() }.as_any(), "Ok"),
        ("CommandGetImportedKeys", CommandGetImportedKeys { table: table(), ..CommandGetImportedKeys::default() }.as_any(), "Ok"),
        (
            "CommandGetCrossReference",
            CommandGetCrossReference { pk_table: table(), fk_table: table(), ..CommandGetCrossReference::default() }.as_any(),
            "Ok",
        ),
        (
            "CommandStatementUpdate",
            CommandStatementUpdate { query: "DELETE FROM samples".into(), transaction_id: None }.as_any(),
            "InvalidArgument",
        ),
        (
            "CommandPreparedStatementUpdate",
            CommandPreparedStatementUpdate { prepared_statement_handle: Bytes::new() }.as_any(),
            "InvalidArgument",
        ),
        ("CommandStatementIngest", CommandStatementIngest::default().as_any(), "InvalidArgument"),
        ("CommandStatementSubstraitPlan", plan.as_any(), "Unimplemented"),
    ];
    let mut doors = Vec::new();
    for (name, command, ok) in all {
        let command: Bytes = command.encode_to_vec().into();
        let cell = format!("flight sql {}", name.split(' ').next().unwrap_or_default());
        for (variant, method) in [("planned", GET_FLIGHT_INFO), ("fetched", DO_GET)] {
            let command = command.clone();
            let door = Door::new(&cell, Need::Read, About::Nothing, move |client, _| {
                let request = match method {
                    DO_GET => bytes(&Ticket::new(command.clone())),
                    _ => bytes(&FlightDescriptor::new_cmd(command.clone())),
                };
                async move { client.raw(method, vec![request], |_| false).await }
            });
            let door = door.ok(ok).variant(format!("{}{variant}", if name.contains(' ') { "with schemas, " } else { "" }));
            doors.push(if name.ends_with("schemas") && method == DO_GET { door.globs() } else { door });
        }
    }
    let text = |tag: &str| format!("SELECT * FROM samples WHERE tag = '{tag}' ORDER BY timestamp");
    doors.push(
        Door::new("flight sql CommandStatementQuery", Need::Read, About::Tag, move |client, tag| async move {
            statement(&client, &text(&tag)).await
        })
        .absent("Ok"),
    );
    doors.push(
        Door::new("flight sql TicketStatementQuery", Need::Read, About::Tag, move |client, tag| async move {
            let info = planned(&client, &text(&tag)).await;
            let Some(ticket) = ticket(&info) else { return info };
            client.ask(DO_GET, &ticket).await
        })
        .absent("Ok"),
    );
    doors
}

/// The first ticket of an info.
pub fn ticket(info: &Outcome) -> Option<Ticket> {
    let info = FlightInfo::decode(info.messages().first()?.clone()).ok()?;
    info.endpoint.into_iter().next()?.ticket
}

/// Prepares a statement; its handle, or why not.
pub async fn prepare(client: &Client, text: &str) -> Result<Bytes, Outcome> {
    let request = ActionCreatePreparedStatementRequest { query: text.to_owned(), transaction_id: None };
    let outcome = client.ask(DO_ACTION, &action("CreatePreparedStatement", &request.as_any())).await;
    let Some(made) = outcome.messages().first() else { return Err(outcome) };
    let made = arrow_flight::Result::decode(made.clone()).expect("a result of an action");
    let made: ActionCreatePreparedStatementResult =
        Any::decode(made.body).expect("an Any").unpack().expect("a result").expect("of preparing");
    Ok(made.prepared_statement_handle)
}

/// The answer to a prepared statement.
pub async fn execute(client: &Client, handle: Bytes) -> Outcome {
    client.ask(DO_GET, &Ticket::new(CommandPreparedStatementQuery { prepared_statement_handle: handle }.as_any().encode_to_vec())).await
}

/// Binds a text to the one parameter of a prepared statement.
pub async fn bind(client: &Client, handle: Bytes, text: &str) -> Outcome {
    let command = CommandPreparedStatementQuery { prepared_statement_handle: handle }.as_any().encode_to_vec();
    let rows = batch(vec![("$1", Arc::new(StringArray::from(vec![text])))]);
    client.raw(DO_PUT, messages(FlightDescriptor::new_cmd(command), rows).await, |_| false).await
}

pub async fn close(client: &Client, handle: Bytes) -> Outcome {
    let request = ActionClosePreparedStatementRequest { prepared_statement_handle: handle };
    client.ask(DO_ACTION, &action("ClosePreparedStatement", &request.as_any())).await
}

/// Asks to end what runs for an info.
pub async fn cancel_query(client: &Client, info: Bytes) -> Outcome {
    client.ask(DO_ACTION, &action("CancelQuery", &ActionCancelQueryRequest { info }.as_any())).await
}

fn action(name: &str, body: &Any) -> Action {
    Action { r#type: name.into(), body: body.encode_to_vec().into() }
}

fn prepared() -> Vec<Door> {
    const BY_PARAMETER: &str = "SELECT tag, value FROM samples WHERE tag = ? ORDER BY timestamp";
    let about = |tag: &str| format!("SELECT tag, value FROM samples WHERE tag = '{tag}' ORDER BY timestamp");
    let create = Door::new("action CreatePreparedStatement", Need::Read, About::Tag, move |client, tag| async move {
        match prepare(&client, &about(&tag)).await {
            Ok(_) => Outcome::nothing("Ok"),
            Err(refused) => refused,
        }
    });
    let query = Door::new("flight sql CommandPreparedStatementQuery", Need::Read, About::Tag, move |client, tag| async move {
        match prepare(&client, &about(&tag)).await {
            Ok(handle) => execute(&client, handle).await,
            Err(refused) => refused,
        }
    });
    let bound = Door::new("flight sql CommandPreparedStatementQuery", Need::Read, About::Tag, move |client, tag| async move {
        let handle = match prepare(&client, BY_PARAMETER).await {
            Ok(handle) => handle,
            Err(refused) => return refused,
        };
        let bound = bind(&client, handle.clone(), &tag).await;
        if bound.is_ok() { execute(&client, handle).await } else { bound }
    });
    let unknown = Door::new("flight sql CommandPreparedStatementQuery", Need::Read, About::Nothing, |client, _| async move {
        bind(&client, Bytes::from_static(b"0123456789abcdef"), "seen/here").await
    });
    let closed = Door::new("action ClosePreparedStatement", Need::Read, About::Nothing, |client, _| async move {
        close(&client, Bytes::from_static(b"0123456789abcdef")).await
    });
    let cancelled = Door::new("action CancelQuery", Need::Read, About::Nothing, |client, _| async move {
        cancel_query(&client, FlightInfo::new().encode_to_vec().into()).await
    });
    vec![
        create.absent("Ok"),
        query.absent("Ok").variant("executed"),
        bound.absent("Ok").variant("with a parameter"),
        unknown.variant("binding to none").ok("NotFound"),
        closed,
        cancelled,
    ]
}
