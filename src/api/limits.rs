//! Bounds of the interface, and what they are unless configured.

use std::time::Duration;

use super::DecodeAllowance;

/// Bounds of the interface. Every one has a clear status when it is reached.
#[derive(Clone, Debug)]
pub struct ApiLimits {
    /// Longest message taken, in bytes.
    pub message_bytes_max: usize,
    /// Longest Flight command or ticket, in bytes.
    pub ticket_bytes_max: usize,
    /// Most names and globs in one request.
    pub patterns_max: usize,
    /// Most tags one query may select.
    pub query_tags_max: usize,
    /// Most rows one query may answer.
    pub query_rows_max: u64,
    /// Most bytes one query may answer, as messages.
    pub query_bytes_max: u64,
    /// Threads that work on one query beside the one that answers it; 0 for one per core.
    pub query_threads: usize,
    /// Memory of one query for what it gathers.
    pub query_memory_bytes_max: usize,
    /// Queries at the same time.
    pub queries_max: usize,
    /// Of these, queries of one client; 0 for three quarters of them.
    pub queries_per_client_max: usize,
    /// Requests of one client each second, twice as many at once; 0 for any number.
    pub requests_per_client_s_max: u32,
    /// Memory of all queries, statements and messages of clients together.
    pub memory_bytes_max: u64,
    /// Deadline of a query whose client sets none (`grpc-timeout`).
    pub query_deadline_default: Duration,
    /// Longest deadline a client may set.
    pub query_deadline_max: Duration,
    /// How long a query waits for a client that does not read.
    pub stalled_reader_timeout: Duration,
    /// Bytes per second that a client reads at least of an answer; 0 for any.
    pub reader_bytes_per_s_min: u64,
    /// How long a query waits for its client in all before the client must have read that.
    pub reader_patience: Duration,
    /// Messages between a query and the wire.
    pub query_messages_in_flight: usize,
    /// Batches of one write stream that wait for the journal at the same time, so that one fsync serves many.
    pub write_batches_in_flight: usize,
    /// Bytes of those batches together.
    pub write_bytes_in_flight: usize,
    /// Acknowledgements kept for a writer that does not read them.
    pub acknowledgements_unread_max: usize,
    /// Subscriptions at the same time.
    pub subscriptions_max: usize,
    /// Endpoints into which one `GetFlightInfo` splits a query.
    pub endpoints_max: usize,
    /// Streams at the same time on one connection.
    pub connection_streams_max: u32,
    /// Connections of the gRPC port at the same time. The HTTP port takes a quarter of it, 4 to 1,024, in addition.
    pub connections_max: usize,
    /// Of these, connections of one address (IPv6: of one network).
    pub connections_per_address_max: usize,
    /// How long a connection may be open before its first request, and a request before what it says is whole.
    pub first_request_timeout: Duration,
    /// How long a connection may be open without a request.
    pub connection_idle_timeout: Duration,
    /// How long an answer may wait for a client that takes next to nothing of it.
    pub unread_answer_timeout: Duration,
    /// How long a write stream may be open without a message.
    pub write_stream_idle_timeout: Duration,
    /// Threads that work on SQL statements; 0 for one per core.
    pub sql_threads: usize,
    /// Memory of one SQL statement for sorting, grouping and joining.
    pub sql_memory_bytes_max: usize,
    /// Memory of all SQL statements together.
    pub sql_memory_total_bytes_max: usize,
    /// SQL statements at the same time.
    pub sql_statements_max: usize,
    /// Longest text of an SQL statement, in bytes.
    pub sql_text_bytes_max: usize,
    /// Prepared statements that are kept.
    pub prepared_statements_max: usize,
    /// How long a prepared statement is kept that is not used.
    pub prepared_statement_idle: Duration,
    /// How long open requests may run after shutdown was asked.
    pub shutdown_grace: Duration,
}

impl ApiLimits {
    /// What decoding one message of a client may take.
    pub fn decode_allowance(&self) -> DecodeAllowance {
        DecodeAllowance::new("message_bytes_max", self.message_bytes_max)
    }
}

impl Default for ApiLimits {
    fn default() -> ApiLimits {
        ApiLimits {
            message_bytes_max: 64 << 20,
            ticket_bytes_max: 64 << 10,
            patterns_max: 10_000,
            query_tags_max: 1_000_000,
            query_rows_max: 10_000_000_000,
            query_bytes_max: 1 << 40,
            query_threads: 0,
            query_memory_bytes_max: 512 << 20,
            queries_max: 128,
            queries_per_client_max: 0,
            requests_per_client_s_max: 10_000,
            memory_bytes_max: 4 << 30,
            query_deadline_default: Duration::from_mins(10),
            query_deadline_max: Duration::from_hours(24),
            stalled_reader_timeout: Duration::from_secs(30),
            reader_bytes_per_s_min: 256 << 10,
            reader_patience: Duration::from_mins(1),
            query_messages_in_flight: 4,
            write_batches_in_flight: 64,
            write_bytes_in_flight: 24 << 20,
            acknowledgements_unread_max: 16_384,
            subscriptions_max: 256,
            endpoints_max: 16,
            connection_streams_max: 256,
            connections_max: 5_000,
            connections_per_address_max: 5_000,
            first_request_timeout: Duration::from_secs(10),
            connection_idle_timeout: Duration::from_mins(30),
            unread_answer_timeout: Duration::from_mins(5),
            write_stream_idle_timeout: Duration::from_hours(1),
            sql_threads: 0,
            sql_memory_bytes_max: 512 << 20,
            sql_memory_total_bytes_max: 1 << 30,
            sql_statements_max: 32,
            sql_text_bytes_max: 1 << 20,
            prepared_statements_max: 1_000,
            prepared_statement_idle: Duration::from_mins(30),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
