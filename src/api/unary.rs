//! Calls of one answer, and the first part of streamed ones: what a request means is found on a blocking thread, within the client's deadline, and
//! not after the client has gone.

use tonic::{Status, metadata::MetadataMap};

use super::{Api, blocking, resolve};
use historian_query::QueryLimits;

impl Api {
    /// Runs `work` on a blocking thread. The call being dropped, because the client is gone or its deadline is over, cancels the limits that the
    /// work gets: it is to ask them wherever it takes long.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) async fn bounded<T: Send + 'static>(
        &self,
        headers: &MetadataMap,
        work: impl FnOnce(&QueryLimits) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let limits = self.query_limits(headers);
        let _cancel_on_drop = limits.cancel.clone().drop_guard();
        blocking(move || {
            // Nothing is begun for who left while it waited for a thread.
            resolve::go_on(&limits)?;
            work(&limits)
        })
        .await
    }
}
