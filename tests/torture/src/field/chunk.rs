//! Chunks of OPC UA as bytes (OPC 10000-6, 7.1.2 and 6.7.2), of channels without security and of messages that are one chunk each.

use std::io;

use opcua::types::{BinaryDecodable, BinaryEncodable, ContextOwned, NodeId, ObjectId, RequestHeader, ServiceFault, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt};

pub const GET_ENDPOINTS: u16 = ObjectId::GetEndpointsRequest_Encoding_DefaultBinary as u16;
pub const CREATE_SESSION: u16 = ObjectId::CreateSessionRequest_Encoding_DefaultBinary as u16;
pub const ACTIVATE_SESSION: u16 = ObjectId::ActivateSessionRequest_Encoding_DefaultBinary as u16;
pub const CLOSE_SESSION: u16 = ObjectId::CloseSessionRequest_Encoding_DefaultBinary as u16;
pub const PUBLISH_RESPONSE: u16 = ObjectId::PublishResponse_Encoding_DefaultBinary as u16;

/// Type, whether it is the last of its message, size.
const HEADER_BYTES: usize = 8;
/// Where the sequence number of a message is, behind the numbers of the channel and of its token.
const SEQUENCE_AT: usize = 16;
/// Where the content of a message begins, behind sequence number and number of the request.
const BODY_AT: usize = 24;
const SIZE_MAX: usize = 1 << 24;

/// The next chunk of a stream.
///
/// # Errors
/// The stream ended, or it is none of OPC UA.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; HEADER_BYTES];
    stream.read_exact(&mut chunk).await?;
    let size = number(&chunk, 4) as usize;
    if !(HEADER_BYTES..=SIZE_MAX).contains(&size) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a chunk of {size} bytes")));
    }
    chunk.resize(size, 0);
    stream.read_exact(&mut chunk[HEADER_BYTES..]).await?;
    Ok(chunk)
}

/// What a message asks for or answers, as the number that its encoding has in namespace 0.
pub fn service(chunk: &[u8]) -> Option<u16> {
    // As all libraries write numbers of more than a byte: kind, namespace, number.
    match chunk.get(BODY_AT..BODY_AT + 4)? {
        [1, 0, low, high] if chunk.starts_with(b"MSG") => Some(u16::from_le_bytes([*low, *high])),
        _ => None,
    }
}

/// The answer to a request that does nothing but refuse it.
///
/// # Errors
/// The request cannot be read.
pub fn fault(request: &[u8], status: StatusCode) -> io::Result<Vec<u8>> {
    let owned = ContextOwned::default();
    let context = owned.context();
    let unreadable = |error: opcua::types::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let mut body = request.get(BODY_AT..).unwrap_or_default();
    NodeId::decode(&mut body, &context).map_err(unreadable)?;
    let header = RequestHeader::decode(&mut body, &context).map_err(unreadable)?;
    let mut answer = request[..BODY_AT].to_vec();
    answer.extend(NodeId::from(ObjectId::ServiceFault_Encoding_DefaultBinary).encode_to_vec(&context));
    answer.extend(ServiceFault::new(&header, status).encode_to_vec(&context));
    let size = u32::try_from(answer.len()).map_err(io::Error::other)?;
    answer[4..HEADER_BYTES].copy_from_slice(&size.to_le_bytes());
    Ok(answer)
}

/// Sequence numbers of one direction of a channel: without a gap, whatever was put in between and left out.
#[derive(Default)]
pub struct SequenceNumbers {
    next: Option<u32>,
}

impl SequenceNumbers {
    /// Gives a chunk the next number. The first keeps its own.
    pub fn stamp(&mut self, chunk: &mut [u8]) {
        let Some(at) = sequence_at(chunk).filter(|at| at + 4 <= chunk.len()) else { return };
        let next = self.next.unwrap_or_else(|| number(chunk, at));
        chunk[at..at + 4].copy_from_slice(&next.to_le_bytes());
        self.next = Some(next.wrapping_add(1));
    }
}

fn sequence_at(chunk: &[u8]) -> Option<usize> {
    match chunk.get(..3)? {
        b"MSG" | b"CLO" => Some(SEQUENCE_AT),
        // Behind the number of the channel: policy, certificate, thumbprint, each with its length before it, which is -1 for none.
        b"OPN" => (0..3).try_fold(HEADER_BYTES + 4, |at, _| {
            let length = chunk.get(at..at + 4).map(|_| number(chunk, at).cast_signed())?;
            Some(at + 4 + usize::try_from(length).unwrap_or(0))
        }),
        _ => None,
    }
}

/// Four bytes, the low one first; 0 where there are fewer.
fn number(chunk: &[u8], at: usize) -> u32 {
    chunk.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of this type whose sequence number is behind `before`.
    fn chunk(kind: &str, before: &[u8], sequence: u32, body: &[u8]) -> Vec<u8> {
        let size = (HEADER_BYTES + before.len() + 8 + body.len()) as u32;
        [kind.as_bytes(), b"F", &size.to_le_bytes(), before, &sequence.to_le_bytes(), &7_u32.to_le_bytes(), body].concat()
    }

    #[test]
    fn sequence_numbers_go_on_over_what_is_left_out_and_put_in() {
        let none = (-1_i32).to_le_bytes();
        let policy = [&[9_u8, 0, 0, 0][..], &5_u32.to_le_bytes(), b"a:b#c", &none, &none].concat();
        let mut numbers = SequenceNumbers::default();
        let mut chunks = [chunk("OPN", &policy, 51, b"x"), chunk("MSG", &[0; 8], 7, b"y"), chunk("CLO", &[0; 8], 90, b"")];
        for (written, at) in chunks.iter_mut().zip([HEADER_BYTES + policy.len(), SEQUENCE_AT, SEQUENCE_AT]) {
            let before = written.clone();
            numbers.stamp(written);
            assert_eq!((&written[..at], &written[at + 4..]), (&before[..at], &before[at + 4..]), "nothing else is changed");
        }
        assert_eq!([number(&chunks[0], HEADER_BYTES + policy.len()), number(&chunks[1], 16), number(&chunks[2], 16)], [51, 52, 53]);
        let mut hello = b"HELF\x20\0\0\0abcdefghijklmnopqrstuvwx".to_vec();
        let before = hello.clone();
        numbers.stamp(&mut hello);
        assert_eq!(hello, before);
    }

    #[tokio::test]
    async fn a_fault_answers_the_request_that_it_refuses() {
        let owned = ContextOwned::default();
        let context = owned.context();
        let header = RequestHeader { request_handle: 4_711, ..RequestHeader::default() };
        let body = [
            NodeId::from(ObjectId::CreateSessionRequest_Encoding_DefaultBinary).encode_to_vec(&context),
            header.encode_to_vec(&context),
            b"what is asked for".to_vec(),
        ]
        .concat();
        let request = chunk("MSG", &[3; 8], 12, &body);
        assert_eq!(service(&request), Some(CREATE_SESSION));
        let answer = fault(&request, StatusCode::BadTooManySessions).unwrap();
        assert_eq!(service(&answer), Some(ObjectId::ServiceFault_Encoding_DefaultBinary as u16));
        assert_eq!(answer[8..BODY_AT], request[8..BODY_AT], "channel, token and request");
        let mut stream = &answer[..];
        assert_eq!(read(&mut stream).await.unwrap(), answer, "its size is right");
        let told = ServiceFault::decode(&mut &answer[BODY_AT + 4..], &context).unwrap().response_header;
        assert_eq!((told.request_handle, told.service_result), (4_711, StatusCode::BadTooManySessions));
        assert!(fault(&request[..BODY_AT + 2], StatusCode::BadInternalError).is_err());
    }
}
