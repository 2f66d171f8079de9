//! Keeps the tokens and grants as the file in the data directory has them, and tells what of them an operator has to know.

use std::{sync::Arc, time::Duration};

use historian_access::AccessBook;
use tokio_util::sync::CancellationToken;

/// How long a change of the file takes to hold, at most.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the tokens and grants again whenever they have changed, until the shutdown. What cannot be read changes nothing, and is told once.
pub async fn refreshed(book: Arc<AccessBook>, has_provider: bool, shutdown: CancellationToken) {
    tell(&book, has_provider);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let refreshing = book.clone();
        match tokio::task::spawn_blocking(move || refreshing.refresh()).await {
            Ok(Ok(true)) => tell(&book, has_provider),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!("tokens and grants cannot be read again, those that were read before hold on: {error}"),
            Err(error) => tracing::error!("reading tokens and grants again was cut short: {error}"),
        }
    }
}

fn tell(book: &AccessBook, has_provider: bool) {
    match (book.is_empty(), has_provider) {
        (true, false) => tracing::info!(
            "there are no tokens, so whoever reaches the ports may do everything; `historian token create --data-dir DIR NAME --role admin` \
             makes the first one, from which on tokens are asked for"
        ),
        (true, true) => tracing::info!(
            "there are no tokens and no grants, so nobody may do anything; `historian grant add --data-dir DIR oidc:SUBJECT --role admin` makes the \
             first grant"
        ),
        (false, _) => tracing::info!("callers are known by their tokens, certificates, or tokens of the identity provider"),
    }
}
