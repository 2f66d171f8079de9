//! The frames of a stream, for the fuzz targets.

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::{frame, transport};
use historian_collector::guard;

/// A stream: its frames, each taken for an answer to the greeting.
pub fn frames(bytes: &[u8]) -> bool {
    let mut codec = frame::FrameCodec { bytes_max: 64 << 10 };
    let (mut stream, mut acknowledged) = (BytesMut::from(bytes), false);
    while let Ok(Some(frame)) = codec.decode(&mut stream) {
        assert!(frame.len() >= frame::HEADER_BYTES, "a frame makes the stream shorter");
        acknowledged |= guard::call(|| transport::acknowledged(&frame)).is_ok_and(|answer| answer.is_ok());
    }
    acknowledged
}
