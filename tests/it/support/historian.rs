//! The built program, `historian serve` of it as a process, and a Flight client.

use std::{
    path::Path,
    process::{Command, Output},
};

use arrow::record_batch::RecordBatch;
use arrow_flight::{Ticket, error::FlightError, flight_service_client::FlightServiceClient};
use bytes::Bytes;
use futures::TryStreamExt;
use historian_test_support::program;
pub use historian_test_support::program::{Historian, Launcher, Log, Started, free_addresses};
use tonic::{Status, transport::Channel};

/// A command of the program.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = program::command(env!("CARGO_BIN_EXE_historian"));
    command.args(arguments);
    command
}

/// Runs a command to its end: exit code, standard output, standard error.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(arguments).output().expect("the program starts");
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How to start `historian serve` on a data directory, with further arguments.
pub fn launcher(data_dir: &Path, arguments: &[&str]) -> Launcher {
    let arguments = arguments.iter().map(Into::into).collect();
    Launcher { arguments, ..Launcher::new(env!("CARGO_BIN_EXE_historian"), data_dir) }
}

/// A `historian serve` that answers.
pub fn serve(data_dir: &Path, arguments: &[&str]) -> Historian {
    launcher(data_dir, arguments).start().unwrap_or_else(|error| panic!("{error}"))
}

pub async fn client(historian: &Historian) -> FlightServiceClient<Channel> {
    FlightServiceClient::new(historian.channel().await.expect("the server listens")).max_decoding_message_size(usize::MAX)
}

/// Batches of a DoGet by JSON ticket.
pub async fn get(client: &mut FlightServiceClient<Channel>, ticket: &str) -> Result<Vec<RecordBatch>, Status> {
    let answer = client.do_get(Ticket { ticket: Bytes::copy_from_slice(ticket.as_bytes()) }).await?.into_inner();
    let data = answer.map_err(|status| FlightError::Tonic(Box::new(status)));
    let decoded: Result<Vec<RecordBatch>, FlightError> =
        arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(data).try_collect().await;
    decoded.map_err(|error| match error {
        FlightError::Tonic(status) => *status,
        other => Status::internal(format!("the answer could not be decoded: {other}")),
    })
}
