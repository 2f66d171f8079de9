//! Keeps the tokens as the file in the data directory has them, and tells what of them an operator has to know.

use std::{sync::Arc, time::Duration};

use historian_access::AccessBook;
use tokio_util::sync::CancellationToken;

/// How long a change of the file takes to hold, at most.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the tokens again whenever they have changed, until the shutdown. What cannot be read changes nothing, and is told once.
pub async fn refreshed(book: Arc<AccessBook>, shutdown: CancellationToken) {
    tell(&book);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let refreshing = book.clone();
        match tokio::task::spawn_blocking(move || refreshing.refresh()).await {
            Ok(Ok(true)) => tell(&book),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!("the tokens cannot be read again, those that were read before hold on: {error}"),
            Err(error) => tracing::error!("reading the tokens again was cut short: {error}"),
        }
    }
}

fn tell(book: &AccessBook) {
    if book.is_empty() {
        tracing::info!(
            "there are no tokens, so whoever reaches the ports may do everything; `historian token create --data-dir DIR NAME --role admin` \
             makes the first one, from which on tokens are asked for"
        );
    } else {
        tracing::info!("callers are known by their tokens");
    }
}
