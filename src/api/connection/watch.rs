//! One connection, watched: it ends when its client keeps it without asking anything, takes nothing of what it asked for, or sends what
//! serves nothing.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use historian_tls::ShownCertificate;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tonic::transport::server::Connected;

use super::{
    gate::{ConnectionSeat, Port},
    http2::{self, Http2Session},
    reason::CutReason,
    stream::FIRST_BYTE,
};
use crate::limits::ApiLimits;

/// The least a client must take of an answer that waits for it, in bytes a second.
const TAKEN_PER_SECOND_MIN: u64 = 1_024;

/// How long a connection may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimes {
    /// For its first request, from the beginning on.
    pub first_request: Duration,
    /// Without an open request.
    pub idle: Duration,
    /// For its client to take what was written, or more than next to nothing of an answer.
    pub unread: Duration,
}

impl From<&ApiLimits> for ConnectionTimes {
    fn from(limits: &ApiLimits) -> ConnectionTimes {
        ConnectionTimes {
            first_request: limits.first_request_timeout,
            idle: limits.connection_idle_timeout,
            unread: limits.unread_answer_timeout,
        }
    }
}

/// A connection that ends by itself when its client keeps it for nothing.
pub struct WatchedConnection<IO> {
    inner: IO,
    peer: IpAddr,
    seat: ConnectionSeat,
    times: ConnectionTimes,
    /// Of HTTP/2; the HTTP/1 library has the times of its own requests.
    session: Option<Http2Session>,
    begun: Instant,
    /// What its client has shown, and why that is not taken any more.
    certificate: Option<ShownCertificate>,
    not_taken: String,
    /// Since when no request has been open.
    idle_since: Instant,
    /// Since when the client has taken nothing of what was written.
    blocked_since: Option<Instant>,
    /// Whether that was seen by a flush: TLS takes a record more than the socket does, and only a flush tells that it has not gone.
    is_flushing: bool,
    /// Whether its first bytes are awaited.
    is_new: bool,
    /// When requests were last looked at whose clients take nothing.
    looked: Instant,
    /// Frames of ours that the server is to see as the client's.
    inserted: Vec<u8>,
    /// Frames of ours to the client, and whether a part of them has gone.
    added: Vec<u8>,
    is_adding: bool,
    alarm: Pin<Box<Sleep>>,
}

impl<IO> WatchedConnection<IO> {
    /// One whose time began at `begun`.
    pub(super) fn new(inner: IO, peer: IpAddr, seat: ConnectionSeat, times: ConnectionTimes, begun: Instant) -> WatchedConnection<IO> {
        let now = Instant::now();
        WatchedConnection {
            inner,
            peer,
            session: (seat.gate().port() == Port::Grpc).then(|| Http2Session::new(now)),
            seat,
            times,
            begun,
            certificate: None,
            not_taken: String::new(),
            idle_since: now,
            blocked_since: None,
            is_flushing: false,
            is_new: true,
            looked: now,
            inserted: Vec::new(),
            added: Vec::new(),
            is_adding: false,
            alarm: Box::pin(tokio::time::sleep_until((begun + times.first_request).into())),
        }
    }

    /// The same connection, which lasts no longer than this certificate is taken.
    pub(super) fn with_certificate(mut self, certificate: Option<ShownCertificate>) -> WatchedConnection<IO> {
        self.certificate = certificate;
        self
    }

    /// Judges what the client has shown, if that is due.
    fn look_at_certificate(&mut self, now: Instant) -> Option<CutReason> {
        self.not_taken = self.certificate.as_mut()?.look(now).err()?;
        Some(CutReason::Certificate)
    }

    /// When something is next to be looked at, and what becomes of the connection then if nothing has changed; `None` where a look is all.
    fn due(&self) -> Option<(Instant, Option<CutReason>)> {
        let blocked = self.blocked_since.map(|since| (since + self.times.unread, Some(CutReason::Stalled)));
        let session = self.session.as_ref().map(|session| match session.was_asked() {
            false => (self.begun + self.times.first_request, Some(CutReason::NoRequest)),
            true if session.is_idle() && self.inserted.is_empty() => (self.idle_since + self.times.idle, Some(CutReason::Idle)),
            // Ended requests that the server does not hear of: the client stops within its frames.
            true => (self.looked + self.times.unread, (!self.inserted.is_empty()).then_some(CutReason::Stalled)),
        });
        let certificate = self.certificate.as_ref().map(|certificate| (certificate.due(), None));
        [blocked, session, certificate].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Looks at the time. Ready when there is something to do: the connection is to be cut, or requests were ended.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<Option<CutReason>> {
        if self.seat.is_asked_to_leave(context) {
            return Poll::Ready(Some(CutReason::GaveWay));
        }
        loop {
            let now = Instant::now();
            if let Some(refused) = self.look_at_certificate(now) {
                return Poll::Ready(Some(refused));
            }
            let Some((at, reason)) = self.due() else { return Poll::Pending };
            if now >= at {
                if reason.is_some() {
                    return Poll::Ready(reason);
                }
                self.looked = now;
                if self.end_stalled_requests() {
                    return Poll::Ready(None);
                }
                continue;
            }
            // What is due may have come nearer. Further away it goes with every request: the alarm is set anew when it rings.
            if self.alarm.deadline().into_std() > at || self.alarm.is_elapsed() {
                self.alarm.as_mut().reset(at.into());
            }
            ready!(self.alarm.as_mut().poll(context));
        }
    }

    /// Ends requests whose clients take nothing: for the server as if the client had taken them back.
    fn end_stalled_requests(&mut self) -> bool {
        let Some(session) = &mut self.session else { return false };
        let bytes_min = TAKEN_PER_SECOND_MIN * self.times.unread.as_secs();
        for stream in session.take_stalled(bytes_min.max(1)) {
            tracing::debug!(peer = %self.peer, stream, "a request was ended: its client takes nothing of the answer");
            let reset = http2::reset(stream);
            self.inserted.extend_from_slice(&reset);
            self.added.extend_from_slice(&reset);
        }
        if session.is_idle() {
            self.idle_since = Instant::now();
        }
        !self.inserted.is_empty()
    }

    /// Hands the server what was inserted, where it may stand.
    fn insert(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.inserted.is_empty() || !self.session.as_ref().is_some_and(Http2Session::may_insert) {
            return false;
        }
        let count = self.inserted.len().min(buffer.remaining());
        buffer.put_slice(&self.inserted[..count]);
        self.inserted.drain(..count);
        count > 0
    }

    /// Tells the client what of its requests were served, as far as that goes without waiting.
    fn cut(&mut self, context: &mut Context<'_>, reason: CutReason) -> io::Error
    where
        IO: AsyncWrite + Unpin,
    {
        self.seat.gate().was_cut(self.peer, reason);
        if reason == CutReason::Certificate {
            self.seat.gate().was_not_taken_on(self.peer, &self.not_taken);
        }
        if let Some(session) = self.session.as_ref().filter(|session| session.may_add() && !self.is_adding) {
            let goodbye = session.goodbye(reason);
            let _ = Pin::new(&mut self.inner).poll_write(context, &goodbye);
        }
        io::Error::new(io::ErrorKind::ConnectionAborted, reason.text())
    }

    /// Sends what was added, where it may stand; ready when the server may send.
    fn poll_added(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        IO: AsyncWrite + Unpin,
    {
        while !self.added.is_empty() && (self.is_adding || self.session.as_ref().is_some_and(Http2Session::may_add)) {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.added))?;
            self.added.drain(..written);
            self.is_adding = !self.added.is_empty();
            // It goes with what the server writes next, at the latest.
            let _ = Pin::new(&mut self.inner).poll_flush(context)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sees what came of a write.
    fn wrote(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>>
    where
        IO: AsyncWrite + Unpin,
    {
        let Poll::Ready(written) = written else {
            self.blocked_since.get_or_insert_with(Instant::now);
            if let Some(reason) = ready!(self.poll_time(context)) {
                return Poll::Ready(Err(self.cut(context, reason)));
            }
            // What was inserted is to be read.
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        let mut left = written?;
        let count = left;
        self.blocked_since = None;
        if self.session.is_none() {
            self.seat.waits_anew();
        }
        if let Some(session) = &mut self.session {
            let was_idle = session.is_idle();
            for part in parts {
                let part = &part[..left.min(part.len())];
                session.sent(part);
                left -= part.len();
            }
            if session.is_idle() && !was_idle {
                self.idle_since = Instant::now();
                // Nothing may be read or written from now on: the alarm is set here, and rings for the next read.
                if self.poll_time(context).is_ready() {
                    context.waker().wake_by_ref();
                }
            }
        }
        Poll::Ready(Ok(count))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for WatchedConnection<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.insert(buffer) {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let is_new = std::mem::take(&mut this.is_new);
        if Pin::new(&mut this.inner).poll_read(context, buffer)?.is_pending() {
            this.is_new = is_new;
            loop {
                let _ = this.poll_added(context)?;
                if let Some(reason) = ready!(this.poll_time(context)) {
                    return Poll::Ready(Err(this.cut(context, reason)));
                }
                if this.insert(buffer) {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        // Of a connection with TLS these are decrypted, and no protocol begins so.
        if is_new && buffer.filled().get(before) == Some(&FIRST_BYTE) {
            return Poll::Ready(Err(this.cut(context, CutReason::Tls)));
        }
        let now = Instant::now();
        // A client that sends without a pause must not go on for it.
        if let Some(refused) = this.look_at_certificate(now) {
            return Poll::Ready(Err(this.cut(context, refused)));
        }
        let Some(session) = &mut this.session else {
            // The end of a head; requests of this port have no bodies.
            if buffer.filled()[before..].ends_with(b"\r\n\r\n") {
                this.seat.is_used();
            }
            return Poll::Ready(Ok(()));
        };
        let was_idle = session.is_idle();
        if let Err(reason) = session.received(&buffer.filled()[before..], now) {
            return Poll::Ready(Err(this.cut(context, reason)));
        }
        if session.was_asked() {
            this.seat.is_used();
        }
        match (was_idle, session.is_idle()) {
            (true, false) => this.looked = now,
            (false, true) => this.idle_since = now,
            // Perhaps a request that came and was taken back at once.
            (true, true) | (false, false) => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for WatchedConnection<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match this.poll_added(context)? {
            Poll::Ready(()) => Pin::new(&mut this.inner).poll_write_vectored(context, parts),
            Poll::Pending => Poll::Pending,
        };
        this.wrote(context, written, parts)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(flushed) = Pin::new(&mut this.inner).poll_flush(context) {
            if std::mem::take(&mut this.is_flushing) {
                this.blocked_since = None;
            }
            return Poll::Ready(flushed);
        }
        this.is_flushing = true;
        this.blocked_since.get_or_insert_with(Instant::now);
        if let Some(reason) = ready!(this.poll_time(context)) {
            return Poll::Ready(Err(this.cut(context, reason)));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
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
