//! The line between the historian and an OPC UA server. It understands chunks, and so makes a sound server bad in the ways that are known
//! of servers and of what stands before them.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use opcua::types::StatusCode;
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_util::sync::CancellationToken;

use super::{
    chunk::{self, SequenceNumbers},
    port::FieldPort,
};

/// How late publications of a slow server come: less than a watchdog waits, and many publishing intervals.
const LATE_BY: Duration = Duration::from_millis(700);

/// How a server is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineAilment {
    /// Nobody listens.
    Refuses,
    /// Connections are taken, and nothing is said on them.
    Silent,
    /// The connection of before stands, and nothing comes over it any more, in neither direction.
    HalfOpen,
    /// After the hello come bytes of no protocol, without end.
    Babbles,
    /// The session is forgotten, and there is no room for another: `BadTooManySessions`.
    Full,
    /// Publications come late.
    Slow,
    /// The server is started anew every second or so, and knows nothing of before.
    Restarts,
    /// Whatever is asked for in a session is refused as a whole, with `BadInternalError`.
    Faults,
}

impl LineAilment {
    pub const ALL: [LineAilment; 8] = [
        LineAilment::Refuses,
        LineAilment::Silent,
        LineAilment::HalfOpen,
        LineAilment::Babbles,
        LineAilment::Full,
        LineAilment::Slow,
        LineAilment::Restarts,
        LineAilment::Faults,
    ];

    /// Whether a connection stands when this begins.
    fn spares_connections(self) -> bool {
        matches!(self, LineAilment::HalfOpen | LineAilment::Slow | LineAilment::Faults)
    }

    /// Whether a connection of the time is of no use when this is over.
    fn spoils_connections(self) -> bool {
        matches!(self, LineAilment::Refuses | LineAilment::Silent | LineAilment::HalfOpen | LineAilment::Babbles)
    }

    /// Words of which the status of the device has one. Empty where the words are the system's.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            LineAilment::Silent => &["no answer within"],
            LineAilment::HalfOpen => &["no answer within", "neither data nor keep-alive"],
            LineAilment::Full => &["BadTooManySessions"],
            LineAilment::Faults => &["BadInternalError", "neither data nor keep-alive"],
            LineAilment::Refuses | LineAilment::Babbles | LineAilment::Slow | LineAilment::Restarts => &[],
        }
    }

    /// What a request is refused with, if it is.
    fn refuses(self, request: &[u8]) -> Option<StatusCode> {
        let service = chunk::service(request)?;
        match self {
            LineAilment::Full if service == chunk::CREATE_SESSION => Some(StatusCode::BadTooManySessions),
            LineAilment::Full if service == chunk::ACTIVATE_SESSION => Some(StatusCode::BadSessionIdInvalid),
            LineAilment::Faults => {
                let lets_in = [chunk::GET_ENDPOINTS, chunk::CREATE_SESSION, chunk::ACTIVATE_SESSION, chunk::CLOSE_SESSION];
                (!lets_in.contains(&service)).then_some(StatusCode::BadInternalError)
            }
            _ => None,
        }
    }
}

/// The way to one server.
pub struct Line {
    pub port: Arc<FieldPort>,
    ailment: Mutex<Option<LineAilment>>,
    /// Where the server listens now.
    server: Mutex<SocketAddr>,
}

impl Line {
    /// Listens on a free port until it is told to stop.
    ///
    /// # Errors
    /// There is none.
    pub async fn start(stop: &CancellationToken) -> io::Result<Arc<Line>> {
        let (listener, port) = FieldPort::open().await?;
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        let line = Arc::new(Line { port: port.clone(), ailment: Mutex::default(), server: Mutex::new(nobody) });
        let carrying = line.clone();
        tokio::spawn(port.serve(listener, stop.clone(), move |client| carry(client, carrying.clone())));
        Ok(line)
    }

    pub fn ailment(&self) -> Option<LineAilment> {
        *self.ailment.lock()
    }

    /// Makes the server bad, or good again.
    pub fn set(&self, ailment: Option<LineAilment>) {
        let before = std::mem::replace(&mut *self.ailment.lock(), ailment);
        let cuts = match ailment {
            Some(begins) => !begins.spares_connections(),
            None => before.is_some_and(LineAilment::spoils_connections),
        };
        if cuts {
            self.port.change(ailment == Some(LineAilment::Refuses));
        }
    }

    /// The server listens somewhere else from now on; what it had of connections is cut.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.server.lock() = server;
        self.port.change(false);
    }
}

/// Carries chunks both ways until one side goes.
async fn carry(client: TcpStream, line: Arc<Line>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let ailment = line.ailment();
    if ailment == Some(LineAilment::Silent) {
        return tokio::io::copy(&mut from_client, &mut tokio::io::sink()).await.map(|_bytes| ());
    }
    let address = *line.server.lock();
    let server = TcpStream::connect(address).await?;
    server.set_nodelay(true)?;
    let (mut from_server, mut to_server) = server.into_split();
    if ailment == Some(LineAilment::Babbles) {
        to_server.write_all(&chunk::read(&mut from_client).await?).await?;
        to_client.write_all(&chunk::read(&mut from_server).await?).await?;
        loop {
            to_client.write_all(&[0x5A; 256]).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (answers, outgoing) = unbounded_channel();
    let (late, waiting) = unbounded_channel();
    tokio::select! {
        ended = ask(&line, from_client, to_server, answers.clone()) => ended,
        ended = answer(&line, from_server, &answers, &late) => ended,
        ended = hold_back(waiting, &answers) => ended,
        ended = send(outgoing, to_client) => ended,
    }
}

/// Requests on their way to the server; those that it is to refuse are answered here.
async fn ask(line: &Line, mut client: OwnedReadHalf, mut server: OwnedWriteHalf, answers: UnboundedSender<Vec<u8>>) -> io::Result<()> {
    let mut numbers = SequenceNumbers::default();
    loop {
        let read = chunk::read(&mut client).await;
        let ailment = line.ailment();
        if ailment == Some(LineAilment::HalfOpen) {
            if read.is_err() {
                // The server is not told that the client has gone.
                std::future::pending::<()>().await;
            }
            continue;
        }
        let mut request = read?;
        if let Some(status) = ailment.and_then(|ailment| ailment.refuses(&request)) {
            answers.send(chunk::fault(&request, status)?).map_err(io::Error::other)?;
            continue;
        }
        numbers.stamp(&mut request);
        server.write_all(&request).await?;
    }
}

/// Answers on their way to the client. Publications keep their order, also where only some of them are late.
async fn answer(
    line: &Line,
    mut server: OwnedReadHalf,
    answers: &UnboundedSender<Vec<u8>>,
    late: &UnboundedSender<(Instant, Vec<u8>)>,
) -> io::Result<()> {
    loop {
        let answer = chunk::read(&mut server).await?;
        let ailment = line.ailment();
        if ailment == Some(LineAilment::HalfOpen) {
            continue;
        }
        if chunk::service(&answer) == Some(chunk::PUBLISH_RESPONSE) {
            let wait = if ailment == Some(LineAilment::Slow) { LATE_BY } else { Duration::ZERO };
            late.send((Instant::now() + wait, answer)).map_err(io::Error::other)?;
        } else {
            answers.send(answer).map_err(io::Error::other)?;
        }
    }
}

async fn hold_back(mut waiting: UnboundedReceiver<(Instant, Vec<u8>)>, answers: &UnboundedSender<Vec<u8>>) -> io::Result<()> {
    while let Some((due, answer)) = waiting.recv().await {
        tokio::time::sleep_until(due.into()).await;
        answers.send(answer).map_err(io::Error::other)?;
    }
    Ok(())
}

async fn send(mut outgoing: UnboundedReceiver<Vec<u8>>, mut client: OwnedWriteHalf) -> io::Result<()> {
    let mut numbers = SequenceNumbers::default();
    while let Some(mut answer) = outgoing.recv().await {
        numbers.stamp(&mut answer);
        client.write_all(&answer).await?;
    }
    Ok(())
}
