//! Calls of one answer, and the first part of streamed ones: what a request means is found on a thread of work, within the client's deadline, and
//! not after the client has gone.

use tonic::Status;

use super::{Api, Caller, resolve, status};
use historian_query::QueryLimits;

impl Api {
    /// Runs `work` on a thread of work, when there is a place for the caller. The call being dropped, because the client is gone or its deadline is
    /// over, cancels the limits that the work gets: it is to ask them wherever it takes long.
    ///
    /// # Errors
    /// Those of the work, and `RESOURCE_EXHAUSTED` when too many such calls run already, of all or of the client.
    pub(crate) async fn bounded<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&QueryLimits) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let limits = self.query_limits(caller);
        let _cancel_on_drop = limits.cancel.clone().drop_guard();
        let place = self.calls.enter(caller.client, limits.deadline).await?;
        let held = (place, self.services.memory.for_answer());
        let ended = self.services.work.spawn(move || {
            let _held = held;
            let _turn = limits.begin().map_err(|error| status::from_query(&error))?;
            // Nothing is begun for who left while it waited for its turn.
            resolve::go_on(&limits)?;
            work(&limits)
        });
        ended.await.map_err(|error| status::from_join(&error))?
    }
}
