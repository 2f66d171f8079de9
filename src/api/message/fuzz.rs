//! Requests as they come, for the fuzz targets: their bodies, and their messages.

use std::{convert::Infallible, pin::Pin};

use arrow_flight::{Action, CancelFlightInfoRequest, Criteria, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, Ticket};
use bytes::Bytes;
use futures::{executor::block_on, future::poll_fn, stream};
use historian_proto::v1;
use historian_query::MemoryPool;
use http_body::Body as _;
use prost::{Message, Name};
use tonic::{Status, body::Body};

use super::{check, incoming::IncomingMemory, request::RequestBody, shapes::input};
use crate::fuzz::allowance;

/// Reads a message.
pub type ReadMessage = fn(&[u8]) -> bool;

macro_rules! requests {
    ($($ours:ident)*; $($flight:ident)*) => {
        &[
            $((stringify!($ours), |bytes| read::<v1::$ours>(&v1::$ours::full_name(), bytes)),)*
            $((stringify!($flight), |bytes| read::<$flight>(stringify!($flight), bytes)),)*
        ]
    };
}

/// What clients send, by name: the requests of our methods, and the messages of Flight.
pub const REQUESTS: &[(&str, ReadMessage)] = requests! {
    WriteSamplesRequest WriteSamplesStreamRequest DeleteRangeRequest ReplaceRangeRequest
    CurrentValuesRequest RangeRequest SupersededRequest AggregateRequest DownsampleRequest AnomaliesRequest ListDetectorsRequest
    MeasureRequest AsOfRequest SubscribeRequest
    CreateTagRequest GetTagRequest ListTagsRequest UpdateTagRequest RenameTagRequest RetypeTagRequest DeleteTagRequest
    GetServerStatusRequest CompactRequest CreateBackupRequest ListBackupsRequest VerifyBackupRequest ScrubRequest InspectTagsRequest
    ListAuditEntriesRequest ListGapsRequest GetStatusRequest ListTagStatusRequest ExportAuditLogRequest GetAuditHeadRequest ReloadRequest WhoAmIRequest
    CreateAnnotationRequest UpdateAnnotationRequest DeleteAnnotationRequest ListAnnotationsRequest
    SaveViewRequest DeleteViewRequest ListViewsRequest;
    FlightData FlightDescriptor FlightInfo Ticket Action Criteria HandshakeRequest CancelFlightInfoRequest
};

/// A message: the first byte says which of [`REQUESTS`].
pub fn request(bytes: &[u8]) -> bool {
    let Some((which, message)) = bytes.split_first() else { return false };
    let (_, read) = REQUESTS[usize::from(*which) % REQUESTS.len()];
    read(message)
}

fn read<M: Message + Default>(name: &str, bytes: &[u8]) -> bool {
    if check(name, bytes, &allowance()).is_err() {
        return false;
    }
    let Ok(message) = M::decode(bytes) else { return false };
    let written = message.encode_to_vec();
    let again = M::decode(written.as_slice()).ok().map(|message| message.encoded_len());
    assert_eq!(again, Some(written.len()), "a {name} is read as it was written");
    true
}

/// The body of a request: the first byte says in pieces of which length it comes, and whether messages may be compressed.
pub fn body(bytes: &[u8]) -> bool {
    let Some((form, sent)) = bytes.split_first() else { return false };
    let piece = [1, 7, 100, 16_384][usize::from(*form) & 3];
    let gzip = form & 4 != 0;
    let pieces: Vec<_> = sent.chunks(piece).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    let inner = Body::new(axum::body::Body::from_stream(stream::iter(pieces)));
    let shape = input("/historian.v1.WriteService/WriteSamples");
    let mut body = RequestBody::new(inner, shape, gzip, allowance(), IncomingMemory::of(&MemoryPool::default()));
    let handed_on: Result<Vec<u8>, Status> = block_on(async {
        let mut bytes = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            bytes.extend(frame?.into_data().unwrap_or_default());
        }
        Ok(bytes)
    });
    if let (Ok(handed_on), false) = (&handed_on, gzip) {
        assert!(handed_on == sent, "what is not decompressed is handed on as it came");
    }
    handed_on.is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn the_request_of_every_method_is_in_the_list() {
        let files = FileDescriptorSet::decode(historian_proto::DESCRIPTORS).unwrap().file;
        let methods = files.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
        let asked: BTreeSet<String> = methods.map(|method| method.input_type().rsplit('.').next().unwrap().to_owned()).collect();
        let listed: BTreeSet<String> = REQUESTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(asked.len() > 20);
        assert_eq!(asked.difference(&listed).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn sound_requests_are_taken_whatever_the_pieces() {
        let message = [0x12, 3, 0x0A, 1, b'a'];
        for form in 0..8 {
            assert!(body(&[&[form, 0, 0, 0, 0, 5][..], &message].concat()));
            assert!(!body(&[&[form, 0, 0, 0, 0, 5][..], &[0x12, 9, 0x0A, 1, b'a']].concat()));
        }
        for (index, (name, _)) in REQUESTS.iter().enumerate() {
            assert!(request(&[u8::try_from(index).unwrap()]), "{name}");
        }
        assert!(!request(&[0, 0xFF]));
    }
}
