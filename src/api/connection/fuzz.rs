//! The frames of a connection, for the fuzz targets.

use std::time::Instant;

use super::{http2::Http2Session, reason::CutReason};

/// Pieces of a connection in both directions, each behind a byte with its length; the lowest bit is set where it goes to the client.
pub fn connection(bytes: &[u8]) -> bool {
    let now = Instant::now();
    let mut session = Http2Session::new(now);
    let mut rest = bytes;
    while let Some((head, behind)) = rest.split_first() {
        let (piece, behind) = behind.split_at(usize::from(head >> 1).min(behind.len()));
        if head & 1 == 1 {
            session.sent(piece);
        } else if let Err(reason) = session.received(piece, now) {
            return session.goodbye(reason).is_empty();
        }
        rest = behind;
    }
    session.take_stalled(1);
    session.take_stalled(u64::MAX);
    session.was_asked() && !session.goodbye(CutReason::Frames).is_empty()
}
