//! The historian as a child process, and a Flight client for it.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use arrow::record_batch::RecordBatch;
use arrow_flight::{Ticket, error::FlightError, flight_service_client::FlightServiceClient};
use bytes::Bytes;
use futures::TryStreamExt;
use tonic::{Status, transport::Channel};

/// A running `historian serve`, killed when dropped.
pub struct Historian {
    child: Child,
    pub flight: SocketAddr,
    pub http: SocketAddr,
}

/// An address on loopback that nobody listens on now.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback has free ports")
}

impl Historian {
    /// `historian serve` on a data directory, with further arguments.
    pub fn serve(data_dir: &Path, arguments: &[&str]) -> Historian {
        let mut command = Command::new(env!("CARGO_BIN_EXE_historian"));
        command.arg("serve").args(arguments);
        Historian::start(command, data_dir)
    }

    /// Any program that takes the environment of `historian serve`.
    pub fn start(mut command: Command, data_dir: &Path) -> Historian {
        let (flight, http) = (free_address(), free_address());
        command.env("HISTORIAN_DATA_DIR", data_dir).env("HISTORIAN_LISTEN", flight.to_string()).env("HISTORIAN_HTTP", http.to_string());
        // Standard error is the test's own: a failing run shows what the server said.
        command.env("HISTORIAN_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null());
        let begun = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        while TcpStream::connect(flight).is_err() {
            if let Some(status) = child.try_wait().expect("the child can be asked") {
                panic!("the historian ended at start: {status}");
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "the historian does not listen on {flight} within a minute");
            std::thread::sleep(Duration::from_millis(2));
        }
        Historian { child, flight, http }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the clean end.
    pub fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a running child has a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the child can be signalled");
        let ended = self.child.wait().expect("the child ends");
        assert!(ended.success(), "a clean stop: {ended}");
    }

    pub async fn client(&self) -> FlightServiceClient<Channel> {
        let channel = Channel::from_shared(format!("http://{}", self.flight))
            .expect("an address makes a URI")
            .connect()
            .await
            .expect("the server listens");
        FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX)
    }
}

impl Drop for Historian {
    fn drop(&mut self) {
        self.kill();
    }
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
