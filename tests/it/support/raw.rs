//! Calls of gRPC whose messages are bytes of the test, whatever they mean.

use bytes::{Buf, BufMut, Bytes};
use futures::TryStreamExt;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    metadata::MetadataMap,
    transport::Channel,
};

#[derive(Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Sends messages to the method with this path; all messages of the answer. It is called as a stream, which any method takes on the wire.
pub async fn call(channel: &Channel, path: &'static str, messages: Vec<Bytes>, gzip: bool) -> Result<Vec<Bytes>, Status> {
    let mut client = Grpc::new(channel.clone()).max_encoding_message_size(usize::MAX).max_decoding_message_size(usize::MAX);
    if gzip {
        client = client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    }
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let request = Request::new(futures::stream::iter(messages));
    let path = PathAndQuery::from_static(path);
    client.streaming(request, path, RawCodec).await?.into_inner().try_collect().await
}

/// What a call was answered with.
#[derive(Debug)]
pub struct RawAnswer {
    pub headers: MetadataMap,
    pub messages: Vec<Bytes>,
    /// How it ended, where it was not left before.
    pub ended: Result<(), Status>,
}

/// Sends messages and headers to the method with this path, and reads the answer to its end, or until a message is enough. What the client sends
/// ends behind them.
pub async fn call_as(
    channel: &Channel,
    path: String,
    headers: MetadataMap,
    messages: Vec<Bytes>,
    enough: impl Fn(&Bytes) -> bool,
) -> RawAnswer {
    let mut answer = RawAnswer { headers: MetadataMap::new(), messages: Vec::new(), ended: Ok(()) };
    answer.ended = read(channel, path, headers, messages, enough, &mut answer).await;
    answer
}

async fn read(
    channel: &Channel,
    path: String,
    headers: MetadataMap,
    messages: Vec<Bytes>,
    enough: impl Fn(&Bytes) -> bool,
    answer: &mut RawAnswer,
) -> Result<(), Status> {
    let mut client = Grpc::new(channel.clone()).max_encoding_message_size(usize::MAX).max_decoding_message_size(usize::MAX);
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let mut request = Request::new(futures::stream::iter(messages));
    *request.metadata_mut() = headers;
    let path = PathAndQuery::try_from(path).map_err(|error| Status::unknown(format!("no path: {error}")))?;
    let response = client.streaming(request, path, RawCodec).await?;
    answer.headers = response.metadata().clone();
    let mut stream = response.into_inner();
    while let Some(message) = stream.try_next().await? {
        let is_enough = enough(&message);
        answer.messages.push(message);
        if is_enough {
            return Ok(());
        }
    }
    Ok(())
}
