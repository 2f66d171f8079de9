//! Connections of the gRPC port, watched for one thing: how many requests their clients take back.
//!
//! A client that is honest takes back what it no longer wants: a dashboard that is left cancels hundreds of calls at once, and the
//! connection goes on, with the subscriptions on it. A client that begins requests only to take them back costs the server work for nothing
//! (CVE-2023-44487). The HTTP/2 library tells them apart by how many wait to be looked at when they are taken back, which an honest client
//! exceeds as easily. So it is left wide ([`PENDING_RESETS_MAX`]), and what goes on and on is cut here: each connection may take back
//! [`RESETS_AT_ONCE`] requests, and [`RESETS_PER_SECOND`] from then on.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// Requests taken back before they were looked at that one connection may have waiting. Bounds memory: each keeps its headers until then.
pub const PENDING_RESETS_MAX: usize = 4_096;
/// Requests that a client may take back at once.
const RESETS_AT_ONCE: f64 = 10_000.0;
const RESETS_PER_SECOND: f64 = 1_000.0;

/// A connection that ends when its client takes back requests without end.
pub struct WatchedConnection<IO> {
    inner: IO,
    frames: FrameFollower,
    allowance: Allowance,
}

impl<IO> WatchedConnection<IO> {
    pub fn new(inner: IO) -> WatchedConnection<IO> {
        WatchedConnection { inner, frames: FrameFollower::default(), allowance: Allowance { left: RESETS_AT_ONCE, at: Instant::now() } }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for WatchedConnection<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
        let resets = this.frames.resets(&buffer.filled()[before..]);
        if resets > 0 && !this.allowance.take(resets, Instant::now()) {
            tracing::warn!("a connection was cut: its client took back {RESETS_PER_SECOND} requests a second and more without end");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "too many requests were taken back")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for WatchedConnection<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl<IO: Connected> Connected for WatchedConnection<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> IO::ConnectInfo {
        self.inner.connect_info()
    }
}

/// How many more requests may be taken back.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    /// Takes so many; false when there are no more.
    fn take(&mut self, count: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * RESETS_PER_SECOND).min(RESETS_AT_ONCE) - count as f64;
        self.at = now;
        self.left >= 0.0
    }
}

/// What a client says before its first frame (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;
/// Length of three bytes, type, flags, stream (RFC 9113, 4.1).
const HEADER_BYTES: usize = 9;
const RST_STREAM: u8 = 3;

/// Follows the frames of a connection as its bytes come, whole or in pieces.
struct FrameFollower {
    /// Bytes of preface or payload to pass over.
    skip: usize,
    header: [u8; HEADER_BYTES],
    header_held: usize,
}

impl Default for FrameFollower {
    fn default() -> FrameFollower {
        FrameFollower { skip: PREFACE_BYTES, header: [0; HEADER_BYTES], header_held: 0 }
    }
}

impl FrameFollower {
    /// How many frames that take back a request begin in these bytes.
    fn resets(&mut self, mut bytes: &[u8]) -> usize {
        let mut resets = 0;
        while !bytes.is_empty() {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = &bytes[passed..];
            let taken = (HEADER_BYTES - self.header_held).min(bytes.len());
            self.header[self.header_held..self.header_held + taken].copy_from_slice(&bytes[..taken]);
            self.header_held += taken;
            bytes = &bytes[taken..];
            if self.header_held == HEADER_BYTES {
                let [a, b, c, kind, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.header_held = 0;
                resets += usize::from(kind == RST_STREAM);
            }
        }
        resets
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES + payload];
        frame[..3].copy_from_slice(&(payload as u32).to_be_bytes()[1..]);
        frame[3] = kind;
        // A payload of what looks like headers of resets.
        frame[HEADER_BYTES..].fill(RST_STREAM);
        frame
    }

    #[test]
    fn resets_are_counted_wherever_the_bytes_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, payload) in [(4, 0), (1, 70), (RST_STREAM, 4), (0, 16_384), (RST_STREAM, 4), (RST_STREAM, 4), (8, 4), (1, 9)] {
            bytes.extend(frame(kind, payload));
        }
        for piece in [1, 2, 3, 7, 9, 10, 100, bytes.len()] {
            let mut frames = FrameFollower::default();
            assert_eq!(bytes.chunks(piece).map(|piece| frames.resets(piece)).sum::<usize>(), 3, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_comes_at_once_is_let_pass_and_what_goes_on_is_not() {
        let start = Instant::now();
        let mut allowance = Allowance { left: RESETS_AT_ONCE, at: start };
        assert!(allowance.take(2_000, start) && allowance.take(8_000, start));
        assert!(!allowance.take(1, start));
        // A dashboard of 900 calls that is left and opened each second, for an hour.
        let mut allowance = Allowance { left: RESETS_AT_ONCE, at: start };
        assert!((0..3_600).all(|second| allowance.take(900, start + Duration::from_secs(second))));
        // Twice of what is let pass ends within the time that the burst lasts.
        let mut allowance = Allowance { left: RESETS_AT_ONCE, at: start };
        assert_eq!((0..3_600).position(|second| !allowance.take(2_000, start + Duration::from_secs(second))), Some(9));
    }
}
