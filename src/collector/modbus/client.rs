//! One connection to a device: requests out, answers in, over Modbus TCP or RTU frames, whatever carries them.
//!
//! Own code and not a library's: an answer must be known again among late and doubled ones by its transaction id, and found between stray
//! bytes by its checksum, and waiting for it must be something that can be given up and taken up again.

use std::{collections::VecDeque, future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::Instant,
};

use super::{
    frame::{self, Framing, Heard, Stranger},
    transport::{Leniency, ModbusReply, ReadRequest, TransportError},
};

/// Requests whose transaction ids are remembered, to know late and doubled answers again.
const SENT_MAX: usize = 16;
/// Bytes kept of what is no answer; older ones go.
const RECEIVED_MAX: usize = 2048;

/// A stream of bytes to a device.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub struct ModbusConnection {
    stream: Box<dyn Stream>,
    framing: Framing,
    leniency: Leniency,
    /// Received and not yet understood.
    received: Vec<u8>,
    received_at: Option<Instant>,
    transaction: u16,
    sent: VecDeque<Sent>,
    /// What else was heard since the request was sent.
    stranger: Option<Stranger>,
    /// After the last answer there was more.
    untidy: bool,
    /// Longest time that an answer took which was not waited for any more; zero when that is not known.
    late: Option<Duration>,
}

/// A request on its way.
struct Sent {
    transaction: u16,
    at: Instant,
    answered: bool,
    /// Its answer is what is waited for now.
    current: bool,
}

impl ModbusConnection {
    pub fn new(stream: Box<dyn Stream>, framing: Framing, leniency: Leniency) -> ModbusConnection {
        ModbusConnection {
            stream,
            framing,
            leniency,
            received: Vec::with_capacity(RECEIVED_MAX),
            received_at: None,
            // Not 0 or 1, which devices that do not repeat the id like to answer with.
            transaction: 0x2F00,
            sent: VecDeque::with_capacity(SENT_MAX),
            stranger: None,
            untidy: false,
            late: None,
        }
    }

    /// Sends a request. `again` is for the same request another time: then the answer to either is as good.
    pub async fn send(&mut self, request: ReadRequest, again: bool) -> Result<(), TransportError> {
        self.take_waiting().await?;
        for sent in &mut self.sent {
            sent.current &= again;
        }
        if self.framing == Framing::Tcp && !self.leniency.any_transaction {
            // Answers that came while nobody listened: late, and how late is not known.
            self.next_answer(request, false)?;
        } else {
            self.received.clear();
        }
        self.stranger = None;
        self.untidy = false;
        self.transaction = self.transaction.checked_add(1).unwrap_or(1);
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { transaction: self.transaction, at: Instant::now(), answered: false, current: true });
        let frame = frame::encode(self.framing, self.transaction, request);
        self.stream.write_all(&frame).await.map_err(|error| TransportError::Closed(error.to_string()))?;
        self.stream.flush().await.map_err(|error| TransportError::Closed(error.to_string()))
    }

    /// Waits, without limit, for the answer to the request sent last. May be dropped and called again.
    pub async fn receive(&mut self, request: ReadRequest) -> Result<ModbusReply, TransportError> {
        loop {
            let answer = match self.framing {
                Framing::Tcp => self.next_answer(request, true)?,
                Framing::RtuOverTcp | Framing::Rtu => self.heard(request)?,
            };
            if let Some(reply) = answer {
                return Ok(reply);
            }
            self.read_some().await?;
        }
    }

    /// The answer among the Modbus TCP frames received.
    fn next_answer(&mut self, request: ReadRequest, learn: bool) -> Result<Option<ModbusReply>, TransportError> {
        while let Some(found) = frame::tcp_frame(&self.received).map_err(TransportError::Protocol)? {
            let frame: Vec<u8> = self.received.drain(..found.bytes).collect();
            if !self.leniency.any_transaction {
                let Some(sent) = self.sent.iter_mut().rev().find(|sent| sent.transaction == found.transaction) else {
                    return Err(TransportError::Protocol(format!(
                        "the answer carries transaction id {} where {} was sent; set accept_any_transaction = true if the gateway never \
                         repeats the id",
                        found.transaction, self.transaction
                    )));
                };
                if sent.answered || !sent.current {
                    if !sent.answered {
                        self.late = self.late.max(Some(if learn { sent.at.elapsed() } else { Duration::ZERO }));
                    }
                    sent.answered = true;
                    continue;
                }
                sent.answered = true;
            }
            if found.unit != request.unit && !self.leniency.any_unit {
                return Err(TransportError::Protocol(frame::other_unit(request.unit, found.unit)));
            }
            self.untidy = self.leniency.any_transaction && !self.received.is_empty();
            return frame::tcp_reply(request, &frame).map(Some).map_err(TransportError::Unusable);
        }
        Ok(None)
    }

    /// The answer on an RTU line.
    fn heard(&mut self, request: ReadRequest) -> Result<Option<ModbusReply>, TransportError> {
        match frame::listen(request, self.leniency, &self.received) {
            Heard::Answer(reply, end) => {
                self.untidy = frame::may_be_answer(&self.received[end..]);
                self.received.clear();
                Ok(Some(reply))
            }
            Heard::Nothing(Some(Stranger::Unusable(reason))) => {
                self.received.clear();
                self.untidy = true;
                Err(TransportError::Unusable(reason))
            }
            Heard::Nothing(stranger) => {
                self.stranger = self.stranger.take().or(stranger);
                Ok(None)
            }
        }
    }

    async fn read_some(&mut self) -> Result<(), TransportError> {
        if self.received.len() >= RECEIVED_MAX {
            self.received.drain(..RECEIVED_MAX / 2);
        }
        let count = self.stream.read_buf(&mut self.received).await.map_err(|error| TransportError::Closed(error.to_string()))?;
        if count == 0 {
            return Err(closed(self.framing));
        }
        self.received_at = Some(Instant::now());
        Ok(())
    }

    /// Takes the bytes that wait to be read, without waiting for any. Returns how many there were.
    async fn take_waiting(&mut self) -> Result<usize, TransportError> {
        let mut taken = 0;
        while self.received.len() < RECEIVED_MAX {
            let mut bytes = [0; 512];
            let mut buffer = ReadBuf::new(&mut bytes);
            let stream = &mut self.stream;
            let polled = poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_read(context, &mut buffer))).await;
            match polled {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Err(TransportError::Closed(error.to_string())),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Err(closed(self.framing)),
                Poll::Ready(Ok(())) => {
                    taken += buffer.filled().len();
                    self.received.extend_from_slice(buffer.filled());
                    self.received_at = Some(Instant::now());
                }
            }
        }
        Ok(taken)
    }

    /// Throws away what waits to be read. Returns whether an answer may have been among it, and not only noise.
    pub async fn tidy(&mut self) -> Result<bool, TransportError> {
        self.received.clear();
        self.take_waiting().await?;
        let answer = frame::may_be_answer(&self.received) || self.framing == Framing::Tcp && !self.received.is_empty();
        self.received.clear();
        Ok(answer)
    }

    /// Waits, without limit, for bytes, and throws them away. May be dropped and called again.
    pub async fn discard(&mut self) -> Result<(), TransportError> {
        self.received.clear();
        self.read_some().await?;
        self.received.clear();
        Ok(())
    }

    /// True when an answer was followed by bytes that may be another one; once.
    pub fn take_untidy(&mut self) -> bool {
        std::mem::take(&mut self.untidy)
    }

    /// The longest delay of an answer that came too late, zero when it is not known; once.
    pub fn take_late(&mut self) -> Option<Duration> {
        self.late.take()
    }

    /// When the last bytes arrived.
    pub fn received_at(&self) -> Option<Instant> {
        self.received_at
    }

    /// What was heard instead of an answer, if anything.
    pub fn heard_instead(&self) -> Option<String> {
        match &self.stranger {
            Some(Stranger::Other(reason) | Stranger::Unusable(reason)) => Some(reason.clone()),
            None if frame::may_be_answer(&self.received) => {
                Some(format!("{} bytes without a frame of the right checksum", self.received.len()))
            }
            None => None,
        }
    }
}

fn closed(framing: Framing) -> TransportError {
    TransportError::Closed(
        if framing == Framing::Rtu {
            "the serial port is gone; was the adapter unplugged?"
        } else {
            "the other side closed the connection"
        }
        .into(),
    )
}
