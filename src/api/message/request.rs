//! The body of a request: its messages are scanned as they come, and handed on as they came. Compressed ones are decompressed on the way.

use std::{
    collections::VecDeque,
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use flate2::write::GzDecoder;
use historian_proto::shape::{Scan, Shape};
use http_body::Frame;
use tonic::{Status, body::Body};

use super::{
    answer::unreadable,
    incoming::IncomingMemory,
    shapes::{refused, scan},
};
use crate::DecodeAllowance;

/// A flag, and the length of the message that follows.
const HEAD_BYTES: usize = 5;
/// Decompressed bytes are handed on in pieces of this length.
const PIECE_BYTES: usize = 64 << 10;

pub struct RequestBody {
    inner: Body,
    shape: Option<Shape>,
    /// The client compresses messages, if not each.
    gzip: bool,
    allowance: DecodeAllowance,
    memory: IncomingMemory,
    /// Of a message whose length is not known yet.
    head: Vec<u8>,
    message: Option<Incoming>,
    /// What is to be handed on. Never more than came at once, or one message that was decompressed.
    ready: VecDeque<Bytes>,
    /// How what follows is seen.
    sight: Sight,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    Checked,
    /// The next message is longer than any that is taken; the library says so when it sees the length, and reads no further.
    TooLong,
    Refused,
}

/// A message of which some bytes have come.
struct Incoming {
    left: usize,
    content: Content,
}

enum Content {
    Plain(Option<Scan<'static>>),
    Compressed(Box<GzDecoder<Unpacked>>),
}

/// Takes what is decompressed.
struct Unpacked {
    scan: Option<Scan<'static>>,
    pieces: Vec<Bytes>,
    last: BytesMut,
    bytes: usize,
    allowance: DecodeAllowance,
    refused: Option<Status>,
}

impl RequestBody {
    pub fn new(inner: Body, shape: Option<Shape>, gzip: bool, allowance: DecodeAllowance, memory: IncomingMemory) -> RequestBody {
        let (head, ready) = (Vec::with_capacity(HEAD_BYTES), VecDeque::new());
        RequestBody { inner, shape, gzip, allowance, memory, head, message: None, ready, sight: Sight::Checked }
    }

    fn take(&mut self, bytes: Bytes) -> Result<(), Status> {
        let mut rest = bytes.clone();
        while self.sight == Sight::Checked && !rest.is_empty() {
            match &mut self.message {
                None => {
                    let head = rest.split_to(rest.len().min(HEAD_BYTES - self.head.len()));
                    self.head.extend_from_slice(&head);
                    if let Ok(head) = <[u8; HEAD_BYTES]>::try_from(self.head.as_slice()) {
                        self.head.clear();
                        self.begin(head)?;
                    }
                }
                Some(message) => {
                    let part = rest.split_to(rest.len().min(message.left));
                    message.left -= part.len();
                    self.memory.take(part.len())?;
                    message.content.push(&part, &self.allowance, &self.memory)?;
                    if self.gzip && matches!(message.content, Content::Plain(_)) {
                        self.ready.push_back(part);
                    }
                }
            }
            if let Some(Incoming { content, .. }) = self.message.take_if(|message| message.left == 0) {
                content.end(&self.allowance, &mut self.ready)?;
            }
        }
        // Where nothing was decompressed, all is handed on as it came; and so is what is not looked at.
        if !self.gzip {
            self.ready.push_back(bytes);
        } else if !rest.is_empty() {
            self.ready.push_back(rest);
        }
        Ok(())
    }

    /// A message begins.
    fn begin(&mut self, head: [u8; HEAD_BYTES]) -> Result<(), Status> {
        // Who reads on has decoded the messages before, but for short ones that came in the same piece.
        self.memory.give_back();
        let [flag, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        let bytes_max = self.allowance.bytes_max();
        let content = match flag {
            _ if length > bytes_max => {
                self.sight = Sight::TooLong;
                Content::Plain(None)
            }
            0 => Content::Plain(self.shape.map(|shape| scan(shape, Some(length), bytes_max))),
            1 if self.gzip => {
                let scan = self.shape.map(|shape| scan(shape, None, bytes_max));
                let unpacked = Unpacked::new(scan, self.allowance.clone());
                Content::Compressed(Box::new(GzDecoder::new(unpacked)))
            }
            1 => return Err(unreadable("a message is compressed, and grpc-encoding does not say how")),
            _ => return Err(unreadable("a message is marked neither as compressed nor as not")),
        };
        if self.gzip && matches!(content, Content::Plain(_)) {
            self.ready.push_back(Bytes::copy_from_slice(&head));
        }
        self.message = Some(Incoming { left: length, content });
        Ok(())
    }
}

impl Content {
    fn push(&mut self, bytes: &[u8], allowance: &DecodeAllowance, memory: &IncomingMemory) -> Result<(), Status> {
        match self {
            Content::Plain(None) => Ok(()),
            Content::Plain(Some(scan)) => scan.push(bytes).map_err(|error| refused(error, allowance)),
            Content::Compressed(decoder) => {
                let before = decoder.get_ref().bytes;
                decoder.write_all(bytes).map_err(|error| not_unpacked(decoder.get_mut(), &error))?;
                memory.take(decoder.get_ref().bytes - before)
            }
        }
    }

    /// The message has come whole.
    fn end(self, allowance: &DecodeAllowance, ready: &mut VecDeque<Bytes>) -> Result<(), Status> {
        match self {
            Content::Plain(None) => Ok(()),
            Content::Plain(Some(scan)) => scan.finish().map(drop).map_err(|error| refused(error, allowance)),
            Content::Compressed(mut decoder) => {
                decoder.try_finish().map_err(|error| not_unpacked(decoder.get_mut(), &error))?;
                let Unpacked { scan, pieces, last, bytes, .. } = decoder.finish().map_err(|error| unreadable(&error.to_string()))?;
                if let Some(scan) = scan {
                    scan.finish().map_err(|error| refused(error, allowance))?;
                }
                let mut head = vec![0];
                head.extend_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes());
                ready.push_back(head.into());
                ready.extend(pieces);
                ready.push_back(last.freeze());
                Ok(())
            }
        }
    }
}

fn not_unpacked(unpacked: &mut Unpacked, error: &io::Error) -> Status {
    unpacked.refused.take().unwrap_or_else(|| unreadable(&format!("a message cannot be decompressed: {error}")))
}

impl Unpacked {
    fn new(scan: Option<Scan<'static>>, allowance: DecodeAllowance) -> Unpacked {
        Unpacked { scan, pieces: Vec::new(), last: BytesMut::new(), bytes: 0, allowance, refused: None }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Status> {
        self.allowance.take(bytes.len(), "the message, when it is decompressed,")?;
        if let Some(scan) = &mut self.scan {
            scan.push(bytes).map_err(|error| refused(error, &self.allowance))?;
        }
        self.bytes += bytes.len();
        self.last.extend_from_slice(bytes);
        if self.last.len() >= PIECE_BYTES {
            self.pieces.push(std::mem::take(&mut self.last).freeze());
        }
        Ok(())
    }
}

impl Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.push(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(status) => {
                self.refused = Some(status);
                Err(io::Error::other("refused"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if self.sight == Sight::Refused {
                return Poll::Ready(None);
            }
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let polled = Pin::new(&mut self.inner).poll_frame(context);
            if polled.is_pending() && self.message.is_none() {
                // Who waits for the next message has read those before.
                self.memory.give_back();
            }
            match ready!(polled) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => {
                        if let Err(status) = self.take(bytes) {
                            // What came before in the same piece is handed on no more: the stream ends here.
                            self.sight = Sight::Refused;
                            self.ready.clear();
                            self.message = None;
                            return Poll::Ready(Some(Err(status)));
                        }
                    }
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sight == Sight::Refused || self.ready.is_empty() && self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use futures::executor::block_on;
    use http_body::Body as _;
    use tonic::Code;

    use super::*;
    use crate::message::shapes::input;
    use historian_query::MemoryPool;

    const BYTES_MAX: usize = 10_000;

    /// A body that comes in these pieces.
    struct Pieces(VecDeque<Bytes>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat()
    }

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    /// What is handed on of a request to `WriteSamples` that comes in pieces.
    fn handed_on(sent: &[u8], piece: usize, gzip: bool) -> Result<Vec<u8>, Status> {
        let pieces = Pieces(sent.chunks(piece).map(Bytes::copy_from_slice).collect());
        let shape = input("/historian.v1.WriteService/WriteSamples");
        assert!(shape.is_some());
        let memory = IncomingMemory::of(&MemoryPool::default());
        let mut body = RequestBody::new(Body::new(pieces), shape, gzip, DecodeAllowance::new("message_bytes_max", BYTES_MAX), memory);
        let mut bytes = Vec::new();
        block_on(async {
            while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                bytes.extend(frame?.into_data().unwrap());
            }
            Ok(bytes)
        })
    }

    #[test]
    fn sound_messages_are_handed_on_whatever_the_pieces_in_which_they_come() {
        let message = [0x12, 3, 0x0A, 1, b'a'].repeat(5);
        let sent = [framed(0, &message), framed(0, &[]), framed(0, &message)].concat();
        for piece in 1..=sent.len() {
            assert_eq!(handed_on(&sent, piece, false).unwrap(), sent);
            assert_eq!(handed_on(&sent, piece, true).unwrap(), sent);
            let compressed = [framed(1, &gzip(&message)), framed(0, &[]), framed(1, &gzip(&message))].concat();
            assert_eq!(handed_on(&compressed, piece, true).unwrap(), sent);
        }
        // What is longer than a message may be is the library's to refuse.
        let long = framed(0, &vec![0; BYTES_MAX + 1]);
        assert_eq!(handed_on(&long, 100, false).unwrap(), long);
        assert_eq!(handed_on(&long, 100, true).unwrap(), long);
    }

    #[test]
    fn what_would_take_too_much_or_is_wrong_is_refused_before_it_is_whole() {
        let empty = [0x12, 0].repeat(200);
        for (sent, is_gzip) in [(framed(0, &empty), false), (framed(0, &empty), true), (framed(1, &gzip(&empty)), true)] {
            for piece in [1, 7, 100, 10_000] {
                let refused = handed_on(&sent, piece, is_gzip).unwrap_err();
                assert_eq!(refused.code(), Code::ResourceExhausted);
                assert!(refused.message().contains("10000 bytes"), "{}", refused.message());
            }
        }
        let refused = handed_on(&framed(1, &gzip(&vec![0x7A; BYTES_MAX + 1])), 100, true).unwrap_err();
        assert!(matches!(refused.code(), Code::InvalidArgument | Code::ResourceExhausted), "{refused}");
        for (sent, is_gzip) in [
            (framed(2, &[]), false),
            (framed(1, &gzip(&[])), false),
            (framed(1, b"no gzip at all"), true),
            (framed(1, &gzip(&empty)[..20]), true),
            (framed(0, &[0x12, 5, 0]), false),
            (framed(0, &[0x13]), false),
        ] {
            for piece in [1, 1_000] {
                assert_eq!(handed_on(&sent, piece, is_gzip).unwrap_err().code(), Code::InvalidArgument, "{sent:?}");
            }
        }
    }
}
