//! One call as bytes on the wire. A library would end it at its deadline, and would not leave a message unfinished: here nobody ends a call
//! but the server, so that what is measured is the server.

use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use prost::Message;
use tonic::{
    Code, Status,
    codegen::http::{Request, Response},
};

/// Windows in which answers come: small beside them, so that the server is held back and not we.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Of an answer so much is kept for who wants to read it.
const KEPT_MAX: usize = 256 << 10;

/// What a call sends.
pub struct Sent {
    pieces: VecDeque<Bytes>,
    /// Nothing comes after the pieces, also no end.
    is_unfinished: bool,
    is_gzip: bool,
}

impl Sent {
    pub fn message(message: &impl Message) -> Sent {
        Sent::pieces(message.encoded_len(), [Bytes::from(message.encode_to_vec())])
    }

    /// Several messages, one after another.
    pub fn messages<'a, M: Message + 'a>(messages: impl IntoIterator<Item = &'a M>) -> Sent {
        let pieces = messages.into_iter().flat_map(|message| Sent::message(message).pieces).collect();
        Sent { pieces, is_unfinished: false, is_gzip: false }
    }

    /// One message that says it has so many bytes, in pieces.
    pub fn pieces(length: usize, pieces: impl IntoIterator<Item = Bytes>) -> Sent {
        Sent { pieces: [head(length, false)].into_iter().chain(pieces).collect(), is_unfinished: false, is_gzip: false }
    }

    /// One message, compressed with gzip.
    pub fn gzip(message: Bytes) -> Sent {
        Sent { pieces: [head(message.len(), true), message].into(), is_unfinished: false, is_gzip: true }
    }

    /// Without its end.
    #[must_use]
    pub fn unfinished(self) -> Sent {
        Sent { is_unfinished: true, ..self }
    }
}

/// What stands before each message of gRPC.
fn head(length: usize, is_compressed: bool) -> Bytes {
    let mut head = BytesMut::with_capacity(5);
    head.put_u8(is_compressed.into());
    head.put_u32(length as u32);
    head.freeze()
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            // Nobody is woken: whoever gives up drops the call.
            None if self.is_unfinished => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

/// An answer that came to its end.
#[derive(Debug, Default)]
pub struct Answer {
    pub bytes: u64,
    /// How it begins, with what stands before its messages.
    kept: BytesMut,
}

impl Answer {
    /// Its first message.
    ///
    /// # Errors
    /// It is not whole, or of another type.
    pub fn first<M: Message + Default>(&self) -> Result<M, Status> {
        let message = self.kept.get(5..).unwrap_or_default();
        M::decode(message).map_err(|error| Status::data_loss(format!("an answer cannot be read: {error}")))
    }
}

/// One connection of one client, made with its first call.
#[derive(Clone)]
pub struct Caller {
    client: Client<HttpConnector, Sent>,
    server: SocketAddr,
    /// What it says of itself with each call.
    headers: Vec<(&'static str, String)>,
}

impl Caller {
    pub fn new(server: SocketAddr, source: IpAddr) -> Caller {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(source));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            // A connection that the server closed is to be seen.
            .retry_canceled_requests(false)
            .build(connector);
        Caller { client, server, headers: Vec::new() }
    }

    /// The same client on the same connection, which says this with each call.
    #[must_use]
    pub fn saying(&self, headers: &[(&'static str, String)]) -> Caller {
        Caller { headers: headers.to_vec(), ..self.clone() }
    }

    /// Calls a method and reads its answer to the end, however long that takes.
    ///
    /// # Errors
    /// The status with which the call ended.
    pub async fn call(&self, path: &str, sent: Sent, deadline: Option<Duration>) -> Result<Answer, Status> {
        let mut request = Request::post(format!("http://{}{path}", self.server));
        request = request.header("content-type", "application/grpc").header("te", "trailers");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if sent.is_gzip {
            request = request.header("grpc-encoding", "gzip");
        }
        if let Some(deadline) = deadline {
            request = request.header("grpc-timeout", format!("{}m", deadline.as_millis()));
        }
        let request = request.body(sent).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| lost(error.into()))?;
        read(response).await
    }
}

async fn read<B>(response: Response<B>) -> Result<Answer, Status>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut answer = Answer::default();
    if let Some(status) = Status::from_header_map(response.headers()) {
        return ended(answer, status);
    }
    let mut body = response.into_body();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.map_err(|error| lost(error.into()))?.into_data() {
            Ok(data) => {
                answer.bytes += data.len() as u64;
                let room = KEPT_MAX.saturating_sub(answer.kept.len());
                answer.kept.extend_from_slice(&data[..data.len().min(room)]);
            }
            Err(frame) => {
                if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map) {
                    return ended(answer, status);
                }
            }
        }
    }
    Err(Status::unknown("the answer ended without a status"))
}

fn ended(answer: Answer, status: Status) -> Result<Answer, Status> {
    if status.code() == Code::Ok { Ok(answer) } else { Err(status) }
}

/// An error of the connection, and no answer of the server.
fn lost(error: Box<dyn Error + Send + Sync>) -> Status {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    let code = Status::from_error(error).code();
    // A single stream may be reset, with a code that says why.
    if matches!(code, Code::Cancelled | Code::ResourceExhausted) && words.contains("stream error") {
        Status::new(code, words)
    } else {
        Status::unavailable(format!("lost: {words}"))
    }
}
