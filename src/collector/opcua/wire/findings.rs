//! What was replaced in notifications, for whoever subscribes.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::sieve::ReplacedValue;

/// Findings kept until somebody looks.
const FINDINGS_MAX: usize = 10_000;
/// What was replaced in the notifications of one connection.
#[derive(Default)]
pub struct ReplacedValues {
    found: Mutex<Vec<ReplacedValue>>,
    /// Told when a notification could not be decoded to its end.
    broken: Notify,
}

impl ReplacedValues {
    pub(super) fn add(&self, found: Vec<ReplacedValue>) {
        let broken = found.iter().any(|finding| finding.broken);
        let mut all = self.found.lock();
        let room = FINDINGS_MAX.saturating_sub(all.len());
        // What broke a notification is never left out: its item must be.
        all.extend(found.into_iter().enumerate().filter(|(at, finding)| *at < room || finding.broken).map(|(_, finding)| finding));
        drop(all);
        if broken {
            self.broken.notify_one();
        }
    }

    /// Ends when a notification could not be decoded to its end.
    pub async fn broken(&self) {
        self.broken.notified().await;
    }

    pub fn take(&self) -> Vec<ReplacedValue> {
        std::mem::take(&mut *self.found.lock())
    }
}
