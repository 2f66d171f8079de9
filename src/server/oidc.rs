//! Keeps the keys of the identity provider, and tells what of them an operator has to know.

use std::sync::Arc;

use historian_model::Clock;
use historian_oidc::{Issuer, Reading};
use tokio_util::sync::CancellationToken;

/// Reads the keys from time to time until `stop`.
pub async fn follow(issuer: Option<Arc<Issuer>>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let Some(issuer) = issuer else { return };
    let followed = async {
        loop {
            tell(&issuer, &issuer.read(clock.now()).await);
            issuer.rest().await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = followed => {}
    }
}

fn tell(issuer: &Issuer, reading: &Reading) {
    let (provider, keys) = (&issuer.settings().issuer, issuer.state().keys);
    match reading {
        Reading::Same | Reading::FailedAgain => {}
        Reading::Changed => tracing::info!(provider, keys, "the keys of the identity provider are read"),
        Reading::Restored => tracing::info!(provider, keys, "the keys of the identity provider can be read again, and are the same"),
        Reading::Failed(problem) if keys == 0 => {
            tracing::error!(provider, "the keys of the identity provider cannot be read, and none of its tokens is taken: {problem}");
        }
        Reading::Failed(problem) => {
            tracing::error!(provider, keys, "the keys of the identity provider cannot be read again, and the old ones stay: {problem}");
        }
    }
}
