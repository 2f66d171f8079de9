//! HTTP/2 by hand, frame by frame (RFC 9113), for clients that no library would be.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

const HEAD_BYTES: usize = 9;
/// The cheapest call there is; every gRPC server that is asked for its health has it.
const CALL: &str = "/grpc.health.v1.Health/Check";

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The fields of a call, as literals without an index (RFC 7541, 6.2.2).
pub fn fields() -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", CALL),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [&[0][..], &text(name), &text(value)].concat()).collect()
}

/// A call whose message does not come.
pub fn begun(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &fields())
}

/// A whole call with an empty message.
pub fn call(stream: u32) -> Vec<u8> {
    [begun(stream), frame(DATA, END_STREAM, stream, &[0; 5])].concat()
}

/// What every client says first, with its settings.
pub fn greeting(settings: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()
}

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection that is spoken on byte by byte.
pub struct Wire {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects from an address of this machine and says something.
    ///
    /// # Errors
    /// Nobody takes the connection.
    pub async fn open(address: SocketAddr, source: IpAddr, first: &[u8]) -> std::io::Result<Wire> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let mut stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(first).await?;
        Ok(Wire { stream, unread: Vec::new() })
    }

    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame; `None` when the connection was closed.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.first() {
                return Some(frame);
            }
            let mut part = [0; 4_096];
            let count = self.stream.read(&mut part).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.unread.extend_from_slice(&part[..count]);
        }
    }

    fn first(&mut self) -> Option<Frame> {
        let &[a, b, c, kind, flags, ref stream @ ..] = self.unread.first_chunk::<HEAD_BYTES>()?;
        let stream = u32::from_be_bytes(*stream);
        let end = HEAD_BYTES + u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.unread.get(HEAD_BYTES..end)?.to_vec();
        self.unread.drain(..end);
        Some(Frame { kind, flags, stream, payload })
    }

    /// Whether a call is answered to its end within a time.
    pub async fn is_answered(&mut self, stream: u32, within: Duration) -> bool {
        let answered = async {
            while let Some(frame) = self.frame().await {
                if (frame.kind, frame.stream) == (HEADERS, stream) && frame.flags & END_STREAM != 0 {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(within, answered).await.unwrap_or(false)
    }

    /// Waits for the end of an HTTP/2 connection; code and text of its GOAWAY, where it had one.
    ///
    /// # Errors
    /// It is open still after this time.
    pub async fn goodbye(&mut self, within: Duration) -> anyhow::Result<Option<(u32, String)>> {
        let ended = async {
            let mut goodbye = None;
            while let Some(frame) = self.frame().await {
                // The last stream, the code and the text.
                if let (GOAWAY, &[_, _, _, _, a, b, c, d, ref text @ ..]) = (frame.kind, frame.payload.as_slice()) {
                    goodbye = Some((u32::from_be_bytes([a, b, c, d]), String::from_utf8_lossy(text).into_owned()));
                }
            }
            goodbye
        };
        tokio::time::timeout(within, ended).await.map_err(|_| anyhow::anyhow!("it was not closed within {within:?}"))
    }

    /// Waits for the end, whatever comes before it.
    ///
    /// # Errors
    /// It is open still after this time.
    pub async fn end(&mut self, within: Duration) -> anyhow::Result<()> {
        let ended = async { while self.stream.read(&mut [0; 4_096]).await.is_ok_and(|count| count > 0) {} };
        tokio::time::timeout(within, ended).await.map_err(|_| anyhow::anyhow!("it was not closed within {within:?}"))
    }
}
