//! The transport of one connection: requests out, answers in, in one task, without a state that a dropped poll could tear.

use std::{
    collections::HashMap,
    io::{self, Cursor},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use opcua::{
    client::transport::{OutgoingMessage, RequestRecv, SecureChannelState, Transport, TransportConfiguration, TransportPollResult},
    core::{
        Message, RequestMessage, ResponseMessage,
        comms::{
            buffer::SendBuffer,
            message_chunk::{MessageChunk, MessageIsFinalType},
            message_chunk_info::ChunkInfo,
            secure_channel::SecureChannel,
            sequence_number::SequenceNumberHandle,
            tcp_types::{AcknowledgeMessage, HelloMessage, MIN_CHUNK_SIZE},
        },
    },
    crypto::PrivateKey,
    types::{
        BinaryDecodable, ContextOwned, DecodingOptions, Error, NamespaceMap, NodeId, OpenSecureChannelResponse, SimpleBinaryDecodable,
        SimpleBinaryEncodable, StatusCode,
    },
};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
    time::Instant,
};
use tokio_util::codec::FramedRead;

use super::{
    channel,
    findings::ReplacedValues,
    frame::{self, FrameCodec},
    sieve::{self, SieveLimits},
};
use crate::pki::SharedStore;
use historian_collector::guard;
use historian_model::Clock;

/// Lifetime of a channel that we ask for; the server may grant less.
pub const CHANNEL_LIFETIME_MS: u32 = 600_000;
/// How long a renewal may take before it is asked for again.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(10);

type ResponseSender = oneshot::Sender<Result<ResponseMessage, Error>>;

/// A request without an answer yet.
struct PendingRequest {
    /// None for the transport's own renewals.
    answer: Option<ResponseSender>,
    chunks: Vec<Bytes>,
    bytes: usize,
    sent: Instant,
    deadline: Instant,
}

impl PendingRequest {
    fn end(self, ended: Result<ResponseMessage, Error>) {
        if let Some(answer) = self.answer {
            let _ = answer.send(ended);
        }
    }
}

/// An answer to open or renew the channel, which takes effect between two messages.
struct ChannelOpened {
    pending: PendingRequest,
    answer: Box<OpenSecureChannelResponse>,
}

/// Makes the transport to one server.
#[derive(Clone)]
pub struct WireConnector {
    pub url: String,
    pub limits: SieveLimits,
    /// Holds our own key; chains of certificates are read with it.
    pub store: SharedStore,
    pub clock: Arc<dyn Clock>,
    pub findings: Arc<ReplacedValues>,
}

pub struct WireTransport {
    wire: WireConnector,
    key: Option<PrivateKey>,
    channel: Arc<SecureChannelState>,
    outgoing: RequestRecv,
    pending: HashMap<u32, PendingRequest>,
    sequence: SequenceNumberHandle,
    read: FramedRead<OwnedReadHalf, FrameCodec>,
    write: OwnedWriteHalf,
    buffer: SendBuffer,
    message_bytes_max: usize,
    chunks_max: usize,
    renew_at: Option<Instant>,
    /// Request id of our own renewal under way.
    renewing: Option<u32>,
    opened: Option<ChannelOpened>,
    closing: bool,
    closed: Option<StatusCode>,
}

impl WireTransport {
    pub async fn open(
        stream: TcpStream,
        wire: WireConnector,
        channel: Arc<SecureChannelState>,
        outgoing: RequestRecv,
        config: TransportConfiguration,
    ) -> Result<WireTransport, Error> {
        let (read, mut write) = stream.into_split();
        let mut read = FramedRead::new(read, FrameCodec { bytes_max: config.max_message_size });
        let hello =
            HelloMessage::new(&wire.url, config.send_buffer_size, config.recv_buffer_size, config.max_message_size, config.max_chunk_count);
        let lost = |error: io::Error| Error::new(StatusCode::BadConnectionClosed, error);
        write.write_all(&hello.encode_to_vec()).await.map_err(lost)?;
        let answer = read.next().await.ok_or_else(|| Error::new(StatusCode::BadConnectionClosed, "the server closed the connection"))?;
        let acknowledged = acknowledged(&answer.map_err(lost)?)?;
        let legacy = channel.secure_channel().read().security_policy().legacy_sequence_numbers();
        let mut buffer = SendBuffer::new(config.send_buffer_size, config.max_message_size, config.max_chunk_count, legacy);
        buffer.revise(
            acknowledged.receive_buffer_size as usize,
            acknowledged.max_message_size as usize,
            acknowledged.max_chunk_count as usize,
        );
        let key = wire.store.read().read_own_pkey().ok();
        Ok(WireTransport {
            wire,
            key,
            channel,
            outgoing,
            pending: HashMap::new(),
            sequence: SequenceNumberHandle::new(legacy),
            read,
            write,
            buffer,
            message_bytes_max: config.max_message_size,
            chunks_max: config.max_chunk_count,
            renew_at: None,
            renewing: None,
            opened: None,
            closing: false,
            closed: None,
        })
    }

    /// One step. Whatever is awaited here may be dropped at any time: all that was read or written is in `self`.
    async fn step(&mut self) -> Result<TransportPollResult, Error> {
        loop {
            let idle = !self.buffer.can_read() && !self.buffer.should_encode_chunks();
            if idle && let Some(opened) = self.opened.take() {
                self.adopt(opened)?;
                return Ok(TransportPollResult::IncomingMessage);
            }
            if self.buffer.should_encode_chunks() {
                let channel = self.channel.secure_channel().read();
                guard::call(|| self.buffer.encode_next_chunk(&channel))
                    .map_err(internal)?
                    .map_err(|status| Error::new(status, "sending"))?;
            }
            let wake = self.expire();
            let wake = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            if self.buffer.can_read() {
                // The rest of a message goes out with the keys that it began with: no answer is read that could change them.
                let reading = self.opened.is_none();
                tokio::select! {
                    sent = self.buffer.read_into_async(&mut self.write) => {
                        sent.map_err(|error| Error::new(StatusCode::BadConnectionClosed, error))?;
                        return Ok(TransportPollResult::OutgoingMessageSent);
                    }
                    frame = self.read.next(), if reading => return self.incoming(frame),
                    () = wake => {}
                }
            } else if self.closing {
                return Ok(TransportPollResult::Closed(StatusCode::Good));
            } else {
                tokio::select! {
                    message = self.outgoing.recv() => {
                        let Some(message) = message else { return Ok(TransportPollResult::Closed(StatusCode::Good)) };
                        return self.send(message);
                    }
                    frame = self.read.next() => return self.incoming(frame),
                    () = wake => self.renew()?,
                }
            }
        }
    }

    /// Ends the requests whose time is over; returns when to look again.
    fn expire(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let over: Vec<u32> = self.pending.iter().filter(|(_, pending)| pending.deadline <= now).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(pending) = self.pending.remove(&id) {
                pending.end(Err(Error::new(StatusCode::BadTimeout, "no answer in time").with_request_id(id)));
            }
            if self.renewing == Some(id) {
                self.renewing = None;
                self.renew_at = Some(now);
            }
        }
        let renewal = self.renew_at.filter(|_| self.renewing.is_none());
        self.pending.values().map(|pending| pending.deadline).chain(renewal).min()
    }

    fn send(&mut self, message: OutgoingMessage) -> Result<TransportPollResult, Error> {
        self.closing |= matches!(message.request, RequestMessage::CloseSecureChannel(_));
        let id = self.buffer.next_request_id();
        let refused = self.put(id, message.request)?;
        let pending = PendingRequest {
            answer: message.callback,
            chunks: Vec::new(),
            bytes: 0,
            sent: Instant::now(),
            deadline: message.deadline.into(),
        };
        match refused {
            None => {
                if pending.answer.is_some() {
                    self.pending.insert(id, pending);
                }
                Ok(TransportPollResult::OutgoingMessage)
            }
            Some(error) => {
                let status = error.status();
                pending.end(Err(error));
                Ok(TransportPollResult::RecoverableError(status))
            }
        }
    }

    /// Encodes a request into the buffer; an error that concerns only this request is returned as a value.
    fn put(&mut self, id: u32, request: RequestMessage) -> Result<Option<Error>, Error> {
        let channel = self.channel.secure_channel().read();
        match guard::call(|| self.buffer.write(id, request, &channel)).map_err(internal)? {
            Ok(_) => Ok(None),
            Err(error) if error.full_context().is_some() => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Asks for new keys when it is time.
    fn renew(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if self.renewing.is_some() || self.renew_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let id = self.buffer.next_request_id();
        let request = guard::call(|| channel::renewal(&self.channel, &self.wire.clock, CHANNEL_LIFETIME_MS, id)).map_err(internal)?;
        if let Some(error) = self.put(id, request.into())? {
            return Err(error);
        }
        self.renewing = Some(id);
        self.pending.insert(id, PendingRequest { answer: None, chunks: Vec::new(), bytes: 0, sent: now, deadline: now + RENEWAL_PATIENCE });
        Ok(())
    }

    fn incoming(&mut self, frame: Option<io::Result<Bytes>>) -> Result<TransportPollResult, Error> {
        let frame = frame.ok_or_else(|| Error::new(StatusCode::BadConnectionClosed, "the server closed the connection"))?;
        let frame = frame.map_err(|error| Error::new(StatusCode::BadConnectionClosed, error))?;
        match &frame[..3] {
            b"MSG" | b"OPN" => self.chunk(frame)?,
            b"ERR" => return Err(frame::error_of(&frame)),
            _ => return Err(Error::new(StatusCode::BadTcpMessageTypeInvalid, "the server sent a frame that is none of OPC UA")),
        }
        Ok(TransportPollResult::IncomingMessage)
    }

    fn chunk(&mut self, frame: Bytes) -> Result<(), Error> {
        let (chunk, info) = {
            let channel = self.channel.secure_channel().read();
            guard::call(|| open_chunk(&channel, self.key.as_ref(), frame)).map_err(internal)??
        };
        self.sequence.validate_and_increment(info.sequence_header.sequence_number)?;
        let id = info.sequence_header.request_id;
        // Answers that nobody waits for any more are passed over.
        let Some(pending) = self.pending.get_mut(&id) else { return Ok(()) };
        let body = chunk.data.slice(info.body_offset.min(chunk.data.len())..);
        pending.bytes += body.len();
        let too_large = pending.bytes > self.message_bytes_max || (self.chunks_max > 0 && pending.chunks.len() >= self.chunks_max);
        let aborted = info.message_header.is_final == MessageIsFinalType::FinalError;
        if !too_large && !aborted {
            pending.chunks.push(body);
            if info.message_header.is_final == MessageIsFinalType::Intermediate {
                return Ok(());
            }
        }
        let Some(mut pending) = self.pending.remove(&id) else { return Ok(()) };
        if aborted || too_large {
            let error = if aborted {
                // The body of an abort is that of an error frame.
                frame::error_of(&[&[0; frame::HEADER_BYTES][..], &chunk.data[info.body_offset.min(chunk.data.len())..]].concat())
            } else {
                Error::new(StatusCode::BadEncodingLimitsExceeded, "the answer is larger than message_bytes_max allows")
            };
            pending.end(Err(error.with_request_id(id)));
            return Ok(());
        }
        let body = match &*pending.chunks {
            [one] => one.clone(),
            several => Bytes::from(several.concat()),
        };
        pending.chunks = Vec::new();
        self.message(id, pending, &body)
    }

    fn message(&mut self, id: u32, pending: PendingRequest, body: &[u8]) -> Result<(), Error> {
        let (body, findings) = sieve::clean(body, &self.wire.limits);
        let decoded = {
            let channel = self.channel.secure_channel().read();
            guard::call(|| decode(channel.decoding_options(), &body)).unwrap_or_else(|panicked| Err(internal(panicked)))
        };
        match decoded {
            Ok(ResponseMessage::OpenSecureChannel(answer)) => {
                let result = answer.response_header.service_result;
                if !result.is_good() {
                    return Err(Error::new(result, "the server does not open the secure channel"));
                }
                self.opened = Some(ChannelOpened { pending, answer });
                if self.renewing == Some(id) {
                    self.renewing = None;
                }
            }
            Ok(message) => {
                let notifications = matches!(message, ResponseMessage::Publish(_) | ResponseMessage::Republish(_));
                pending.end(Ok(message));
                if notifications && !findings.is_empty() {
                    self.wire.findings.add(findings);
                }
            }
            // One answer that cannot be decoded is one request that failed, no reason to lose the others.
            Err(error) => pending.end(Err(error.with_request_id(id))),
        }
        Ok(())
    }

    fn adopt(&mut self, opened: ChannelOpened) -> Result<(), Error> {
        let ChannelOpened { pending, answer } = opened;
        let now = self.wire.clock.now();
        let renew = guard::call(|| channel::adopt(&self.channel, &answer, now)).map_err(internal)??;
        self.renew_at = renew.map(|after| pending.sent + after);
        pending.end(Ok(ResponseMessage::OpenSecureChannel(answer)));
        Ok(())
    }

    /// Fails everything that waits.
    fn close(&mut self, error: &Error) {
        let status = if error.status().is_good() { StatusCode::BadConnectionClosed } else { error.status() };
        let fail = || Err(Error::new(status, error.to_string()));
        self.pending.drain().for_each(|(_, pending)| pending.end(fail()));
        self.opened.take().into_iter().for_each(|opened| opened.pending.end(fail()));
        self.outgoing.close();
        while let Ok(message) = self.outgoing.try_recv() {
            if let Some(answer) = message.callback {
                let _ = answer.send(fail());
            }
        }
        self.closed = Some(error.status());
    }
}

impl Transport for WireTransport {
    async fn poll(&mut self) -> TransportPollResult {
        if let Some(status) = self.closed {
            return TransportPollResult::Closed(status);
        }
        let error = match self.step().await {
            Ok(TransportPollResult::Closed(status)) => Error::new(status, "the connection is closed"),
            Ok(result) => return result,
            Err(error) => error,
        };
        tracing::debug!(endpoint = self.wire.url, %error, "connection ended");
        self.close(&error);
        TransportPollResult::Closed(error.status())
    }

    fn connected_url(&self) -> &str {
        &self.wire.url
    }
}

fn internal(panicked: guard::Panicked) -> Error {
    Error::new(StatusCode::BadInternalError, panicked)
}

pub fn acknowledged(frame: &Bytes) -> Result<AcknowledgeMessage, Error> {
    if frame.starts_with(b"ERR") {
        return Err(frame::error_of(frame));
    }
    if !frame.starts_with(b"ACK") {
        return Err(Error::new(StatusCode::BadTcpMessageTypeInvalid, "what listens there does not speak OPC UA"));
    }
    let acknowledged = <AcknowledgeMessage as SimpleBinaryDecodable>::decode(&mut &**frame, &DecodingOptions::default())?;
    let least = MIN_CHUNK_SIZE as u32;
    if acknowledged.receive_buffer_size < least || acknowledged.send_buffer_size < least {
        return Err(Error::new(StatusCode::BadTcpInternalError, "the server's buffers are smaller than the standard allows"));
    }
    Ok(acknowledged)
}

fn open_chunk(channel: &SecureChannel, key: Option<&PrivateKey>, frame: Bytes) -> Result<(MessageChunk, ChunkInfo), Error> {
    let chunk = channel::unseal(channel, key, frame)?;
    let info = chunk.chunk_info(channel)?;
    let known = channel.secure_channel_id();
    if known != 0 && info.message_header.secure_channel_id != known {
        return Err(Error::new(StatusCode::BadSecureChannelIdInvalid, "the server sent a message of another channel"));
    }
    Ok((chunk, info))
}

/// A message decoded by the library. Nothing in it can be longer than the message, so no room is made for more.
pub fn decode(mut options: DecodingOptions, body: &[u8]) -> Result<ResponseMessage, Error> {
    for length_max in [&mut options.max_array_length, &mut options.max_string_length, &mut options.max_byte_string_length] {
        *length_max = body.len().min(*length_max);
    }
    // Types of servers are not read, so those of the standard are all that are known.
    let context = ContextOwned::new_default(NamespaceMap::default(), options);
    let context = context.context();
    let mut stream = Cursor::new(body);
    let kind = NodeId::decode(&mut stream, &context)?;
    let object = kind.as_object_id().map_err(|_| Error::decoding(format!("{kind} is no message")))?;
    ResponseMessage::decode_by_object_id(&mut stream, object, &context)
}
