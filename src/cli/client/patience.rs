//! Calls that are made again when the historian has no room for them now and says when it will have.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// So often a call is made again, each time after what the historian says.
const AGAIN_MAX: usize = 120;

/// Makes a call, and makes it again where it is refused for now. What helps nobody who waits is refused at once.
///
/// # Errors
/// The refusal of the last one.
pub async fn patiently<T, F: Future<Output = Result<T, Status>>>(mut call: impl FnMut() -> F) -> Result<T, Status> {
    for _ in 0..AGAIN_MAX {
        match call().await {
            Err(refused) => match wait(&refused) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(refused),
            },
            answered => return answered,
        }
    }
    call().await
}

/// How long to wait before a call is made again; `None` where that does not help.
fn wait(refused: &Status) -> Option<Duration> {
    if refused.code() != Code::ResourceExhausted {
        return None;
    }
    refused.get_error_details().retry_info().and_then(|info| info.retry_delay)
}
