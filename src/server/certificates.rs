//! Certificates of the ports while the server runs: files that change are taken without a restart, and what is wrong with them is told, once,
//! and again each day while a certificate is about to expire.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use historian_model::{Clock, Timestamp};
use historian_tls::{Look, ServerTls, TlsFiles};
use tokio_util::sync::CancellationToken;

/// How often the files are looked at. They are small, and read whole: neither the time of a file nor a message of the system tells of every way
/// in which it is replaced.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often is said again what is wrong.
const TELL_EVERY: Duration = Duration::from_hours(24);

/// TLS with what the files hold at the start.
///
/// # Errors
/// They cannot be served with.
pub fn open(files: TlsFiles, now: Timestamp) -> anyhow::Result<Arc<ServerTls>> {
    let problems = |problems: Vec<_>| anyhow!("TLS: {}", problems.iter().map(ToString::to_string).collect::<Vec<String>>().join("; "));
    let tls = ServerTls::open(files).map_err(|found: Vec<historian_tls::TlsProblem>| problems(found))?;
    tell(&tls, "TLS", now);
    Ok(Arc::new(tls))
}

/// Follows the files until `stop`.
pub async fn follow(tls: Option<Arc<ServerTls>>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let Some(tls) = tls else { return };
    let mut told = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let looking = tls.clone();
        match tokio::task::spawn_blocking(move || looking.look()).await {
            Ok(Look::Same) => {}
            Ok(Look::Taken) => tell(&tls, "new connections are made with the new certificate", clock.now()),
            Ok(Look::Restored) => tracing::info!("TLS: the files of the certificate are again those in use"),
            Ok(Look::Refused(problem)) => {
                tracing::error!("TLS: the new files cannot be used, and new connections are made with the old certificate: {problem}");
            }
            Err(error) => tracing::error!(%error, "TLS: looking at the files ended by a panic"),
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            warn(&tls, clock.now());
        }
    }
}

fn tell(tls: &ServerTls, what: &str, now: Timestamp) {
    if let Some(own) = tls.state().certificate {
        tracing::info!(subject = own.subject, names = own.names.join(" "), expires = %own.not_after, fingerprint = own.fingerprint, "{what}");
    }
    warn(tls, now);
}

fn warn(tls: &ServerTls, now: Timestamp) {
    for warning in tls.warnings(now) {
        tracing::warn!("TLS: {warning}");
    }
}
