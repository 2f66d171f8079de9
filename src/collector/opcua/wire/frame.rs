//! The stream of bytes cut into frames: type, size, content (OPC 10000-6, 7.1.2).

use std::io;

use bytes::{Bytes, BytesMut};
use opcua::types::{Error, StatusCode};
use tokio_util::codec::Decoder;

pub const HEADER_BYTES: usize = 8;

/// Cuts frames of at most so many bytes.
pub struct FrameCodec {
    pub bytes_max: usize,
}

impl Decoder for FrameCodec {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let Some(size) = buffer.get(4..HEADER_BYTES) else { return Ok(None) };
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize;
        if !(HEADER_BYTES..=self.bytes_max).contains(&size) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {size} bytes is none of OPC UA")));
        }
        Ok((buffer.len() >= size).then(|| buffer.split_to(size).freeze()))
    }
}

/// What the server says in an error frame, before it closes the connection.
pub fn error_of(frame: &[u8]) -> Error {
    let content = &frame[HEADER_BYTES.min(frame.len())..];
    let status = content.get(..4).map_or(StatusCode::BadCommunicationError, |status| {
        StatusCode::from(u32::from_le_bytes([status[0], status[1], status[2], status[3]]))
    });
    let reason = content.get(8..).map(String::from_utf8_lossy).unwrap_or_default();
    Error::new(status, format!("the server says {status} {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_wherever_the_stream_is_and_impossible_sizes_are_refused() {
        let stream = [b"MSGF\x0a\0\0\0ab".as_slice(), b"ERRF\x16\0\0\0\0\0\x7f\x80\x06\0\0\0K\xe4lte!"].concat();
        for cut in 0..stream.len() {
            let mut frames = FrameCodec { bytes_max: 64 };
            let mut buffer = BytesMut::from(&stream[..cut]);
            let mut found = Vec::new();
            while let Some(frame) = frames.decode(&mut buffer).unwrap() {
                found.push(frame);
            }
            buffer.extend_from_slice(&stream[cut..]);
            while let Some(frame) = frames.decode(&mut buffer).unwrap() {
                found.push(frame);
            }
            assert_eq!(found.len(), 2, "{cut}");
            assert_eq!(&found[0][..], b"MSGF\x0a\0\0\0ab");
            let error = error_of(&found[1]);
            assert_eq!(error.status().bits(), 0x807f_0000);
            assert!(error.to_string().contains("K\u{fffd}lte"), "{error}");
        }
        for size in [0_u32, 7, 65, u32::MAX] {
            let mut buffer = BytesMut::from(&b"MSGF"[..]);
            buffer.extend_from_slice(&size.to_le_bytes());
            assert!(FrameCodec { bytes_max: 64 }.decode(&mut buffer).is_err(), "{size}");
        }
        assert_eq!(error_of(b"ERR").status(), StatusCode::BadCommunicationError);
    }
}
