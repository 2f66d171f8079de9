//! `historian.v1`: generated messages, gRPC clients and services, the proto3-JSON forms of the messages, and what they take when they are
//! decoded.
//!
//! Users of the API depend on this crate alone:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use historian_proto::v1::{CurrentValuesRequest, query_service_client::QueryServiceClient};
//!
//! let mut client = QueryServiceClient::connect("http://127.0.0.1:8815").await?;
//! let answer = client.current_values(CurrentValuesRequest { tags: vec!["**".into()], ..Default::default() }).await?.into_inner();
//! println!("{} tags", answer.samples.len());
//! # Ok(())
//! # }
//! ```

pub mod json;
pub mod shape;

/// Messages, clients and services of package `historian.v1`.
#[expect(clippy::all, clippy::pedantic, missing_docs, reason = "generated code; the comments are in the .proto files")]
pub mod v1 {
    tonic::include_proto!("historian.v1");
    include!(concat!(env!("OUT_DIR"), "/historian.v1.serde.rs"));
}

/// Google's well-known types, as the messages hold them.
pub mod types {
    pub use pbjson_types::{ListValue, NullValue, Struct, Value, value};
}

/// Encoded `FileDescriptorSet` of the package, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
