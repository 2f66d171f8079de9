//! The certificate that a client has shown, judged again while its connection lasts: one that is revoked, that has expired or whose authority is
//! trusted no more serves no request from then on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{Error, pki_types::CertificateDer};

use crate::{handshake::judged_client, watch::ServerTls};

/// How often it is asked whether new files were taken.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is judged although none were: certificates and lists expire.
const JUDGE_EVERY: Duration = Duration::from_mins(1);

/// The certificates that a client has shown in its handshake, its own first.
pub struct ShownCertificate {
    tls: Arc<ServerTls>,
    chain: Vec<CertificateDer<'static>>,
    /// How often files had been taken when it was judged last.
    taken: u64,
    look_at: Instant,
    judge_at: Instant,
}

impl ShownCertificate {
    /// What a client has shown when `taken` new files had been taken; `None` where it has shown nothing.
    pub fn of(tls: &Arc<ServerTls>, taken: u64, chain: Option<&[CertificateDer<'_>]>) -> Option<ShownCertificate> {
        let chain: Vec<_> = chain?.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let now = Instant::now();
        (!chain.is_empty()).then(|| ShownCertificate {
            tls: tls.clone(),
            chain,
            taken,
            look_at: now + LOOK_EVERY,
            judge_at: now + JUDGE_EVERY,
        })
    }

    /// When it is to be looked at next.
    pub fn due(&self) -> Instant {
        self.look_at
    }

    /// Judges it if that is due.
    ///
    /// # Errors
    /// Why its client would not be let in any more, as the end of a sentence; then it stays due.
    pub fn look(&mut self, now: Instant) -> Result<(), String> {
        if now < self.look_at {
            return Ok(());
        }
        let taken = self.tls.taken();
        if taken != self.taken || now >= self.judge_at {
            self.tls.judge(&self.chain).map_err(|error| match error {
                Error::InvalidCertificate(error) => judged_client(&error),
                other => format!("is not taken any more: {other}"),
            })?;
            (self.taken, self.judge_at) = (taken, now + JUDGE_EVERY);
        }
        self.look_at = now + LOOK_EVERY;
        Ok(())
    }
}
