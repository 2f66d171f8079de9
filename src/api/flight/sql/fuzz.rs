//! Tickets and handles of Flight SQL, and the values in them, for the fuzz targets.

use arrow_flight::FlightData;
use prost::{Message, bytes::Bytes};

use super::{
    prepared::{self, Handle},
    put,
    statement::{Executions, StatementTicket},
};

/// The ticket of a statement.
pub fn statement_ticket(bytes: &[u8]) -> bool {
    let Ok(ticket) = StatementTicket::read(bytes) else { return false };
    let again = StatementTicket::read(&ticket.encode_to_vec());
    assert!(again.is_ok_and(|again| again == ticket), "a ticket is read as it was written");
    Executions::of(ticket).is_ok()
}

/// The handle of a prepared statement, with the values that were bound to it.
pub fn statement_handle(bytes: &[u8]) -> bool {
    match prepared::read(&Bytes::copy_from_slice(bytes)) {
        Ok(Handle::Kept(_)) => true,
        Ok(Handle::Whole(bound)) => put::rows(&bound.parameters).is_ok(),
        Err(_) => false,
    }
}

/// Values that are bound to a statement.
pub fn parameters(messages: &[FlightData]) -> bool {
    put::rows(messages).is_ok()
}
