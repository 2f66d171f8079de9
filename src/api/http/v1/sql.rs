//! `sql`: a statement, by the calls of Flight SQL.

use arrow_flight::{
    FlightDescriptor,
    sql::{CommandStatementQuery, ProstMessageExt as _},
};
use prost::Message as _;

use super::{inside::InsideCalls, problem::Problem};
use crate::status;

/// The field that has the statement.
pub const QUERY: &str = "query";

/// The ticket of the answer to a statement.
///
/// # Errors
/// Of the statement.
pub async fn ticket(calls: &InsideCalls, query: String) -> Result<Vec<u8>, Problem> {
    let command = CommandStatementQuery { query, transaction_id: None }.as_any().encode_to_vec();
    let info = calls.flight().get_flight_info(calls.request(FlightDescriptor::new_cmd(command))).await?.into_inner();
    let mut endpoints = info.endpoint.into_iter();
    match (endpoints.next().and_then(|endpoint| endpoint.ticket), endpoints.next()) {
        (Some(ticket), None) => Ok(ticket.ticket.to_vec()),
        _ => Err(Problem::from(status::internal("a statement is answered at one endpoint"))),
    }
}
