//! The frames of an HTTP/2 connection, followed as its bytes come, whole or in pieces (RFC 9113, 4.1).

/// What a client says before its first frame (RFC 9113, 3.4).
pub(super) const PREFACE_BYTES: usize = 24;
/// Length of three bytes, type, flags, stream.
const HEADER_BYTES: usize = 9;
/// Most bytes of a payload that are kept: 40 settings.
const KEPT_MAX: usize = 240;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;

/// What stands before the payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    /// Bytes of the payload.
    pub length: usize,
}

impl FrameHead {
    fn parse(header: [u8; HEADER_BYTES]) -> FrameHead {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        FrameHead { kind, flags, stream: u32::from_be_bytes(stream) & 0x7FFF_FFFF, length }
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether its payload is kept.
    fn is_kept(self) -> bool {
        matches!(self.kind, SETTINGS | WINDOW_UPDATE)
    }
}

/// A whole frame of ours.
pub(super) fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
}

/// Finds the frames in one direction of a connection.
pub(super) struct FrameFollower {
    /// Bytes of preface or payload that are still to come.
    left: usize,
    /// The frame whose payload comes.
    frame: Option<FrameHead>,
    header: [u8; HEADER_BYTES],
    header_held: usize,
    kept: Vec<u8>,
}

impl FrameFollower {
    /// Of what comes behind so many other bytes.
    pub fn after(bytes: usize) -> FrameFollower {
        FrameFollower { left: bytes, frame: None, header: [0; HEADER_BYTES], header_held: 0, kept: Vec::new() }
    }

    /// Whether a frame ended with the last byte, so that another one may begin here.
    pub fn is_between_frames(&self) -> bool {
        self.left == 0 && self.frame.is_none() && self.header_held == 0
    }

    /// Tells of each frame that ends in these bytes: its head and, of settings and window updates, its payload.
    ///
    /// # Errors
    /// What `each` answers.
    pub fn follow<E>(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead, &[u8]) -> Result<(), E>) -> Result<(), E> {
        loop {
            let (passed, rest) = bytes.split_at(self.left.min(bytes.len()));
            if self.frame.is_some_and(FrameHead::is_kept) {
                self.kept.extend_from_slice(&passed[..passed.len().min(KEPT_MAX - self.kept.len())]);
            }
            self.left -= passed.len();
            bytes = rest;
            if self.left > 0 {
                return Ok(());
            }
            if let Some(frame) = self.frame.take() {
                let ended = each(frame, &self.kept);
                self.kept.clear();
                ended?;
            }
            let (taken, rest) = bytes.split_at((HEADER_BYTES - self.header_held).min(bytes.len()));
            self.header[self.header_held..self.header_held + taken.len()].copy_from_slice(taken);
            self.header_held += taken.len();
            bytes = rest;
            if self.header_held < HEADER_BYTES {
                return Ok(());
            }
            let head = FrameHead::parse(self.header);
            (self.header_held, self.left, self.frame) = (0, head.length, Some(head));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn frames_and_what_is_kept_of_them_are_found_wherever_the_bytes_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let settings: Vec<u8> = (0..600_usize).map(|byte| byte as u8).collect();
        let sent: [(u8, u32, &[u8]); 8] = [
            (SETTINGS, 0, &[]),
            // A payload of what looks like headers of resets.
            (HEADERS, 1, &[RST_STREAM; 70]),
            (RST_STREAM, 1, &[0; 4]),
            (DATA, 3, &[RST_STREAM; 16_384]),
            (SETTINGS, 0, &settings),
            (WINDOW_UPDATE, 7, &[1, 2, 3, 4]),
            (99, 0x7FFF_FFFF, &[]),
            (CONTINUATION, 9, &[1]),
        ];
        for (kind, stream, payload) in sent {
            bytes.extend(frame(kind, stream, payload));
        }
        let expected: Vec<(FrameHead, Vec<u8>)> = sent
            .iter()
            .map(|&(kind, stream, payload)| {
                let head = FrameHead { kind, flags: 0, stream, length: payload.len() };
                (head, if head.is_kept() { payload[..payload.len().min(KEPT_MAX)].to_vec() } else { Vec::new() })
            })
            .collect();
        for piece in [1, 2, 3, 7, 9, 10, 100, bytes.len()] {
            let mut frames = FrameFollower::after(PREFACE_BYTES);
            let mut found = Vec::new();
            for piece in bytes.chunks(piece) {
                let followed = frames.follow(piece, |frame, kept| {
                    found.push((frame, kept.to_vec()));
                    Ok::<(), Infallible>(())
                });
                assert!(followed.is_ok());
            }
            assert_eq!(found, expected, "in pieces of {piece}");
            assert!(frames.is_between_frames());
            assert!(frames.follow(&[0], |_, _| Ok::<(), Infallible>(())).is_ok() && !frames.is_between_frames());
        }
    }
}
