//! Locks of tags: who rewrites stored chunks learns whether another one has been at them.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use historian_model::TagId;

const STRIPES: usize = 256;

/// Keeps the rewriting of a tag's stored chunks to one at a time. Sealing, which only adds chunks, needs no lock.
pub struct TagLocks {
    stripes: Vec<Stripe>,
}

#[derive(Default)]
struct Stripe {
    lock: Mutex<()>,
    epoch: AtomicU64,
}

impl Default for TagLocks {
    fn default() -> TagLocks {
        TagLocks { stripes: (0..STRIPES).map(|_| Stripe::default()).collect() }
    }
}

impl TagLocks {
    fn stripe(&self, tag: TagId) -> &Stripe {
        &self.stripes[tag.0 as usize % STRIPES]
    }

    /// Locks a tag for a rewrite that nobody may overtake.
    pub fn lock(&self, tag: TagId) -> Rewriting<'_> {
        let stripe = self.stripe(tag);
        Rewriting { stripe, _guard: stripe.lock.lock() }
    }

    /// To be compared by [`TagLocks::unless_changed`] when a rewrite prepared without lock is ready.
    pub fn epoch(&self, tag: TagId) -> u64 {
        self.stripe(tag).epoch.load(Ordering::SeqCst)
    }

    /// A lock for the commit of a prepared rewrite; `None` when another one has been there since.
    pub fn unless_changed(&self, tag: TagId, epoch: u64) -> Option<MutexGuard<'_, ()>> {
        let stripe = self.stripe(tag);
        let guard = stripe.lock.lock();
        (stripe.epoch.load(Ordering::SeqCst) == epoch).then_some(guard)
    }
}

/// A rewrite under way. Whoever began to prepare another one before its end, be it before it or during it, learns of it.
pub struct Rewriting<'a> {
    stripe: &'a Stripe,
    _guard: MutexGuard<'a, ()>,
}

impl Drop for Rewriting<'_> {
    fn drop(&mut self) {
        // Still under the lock: fields drop after this.
        self.stripe.epoch.fetch_add(1, Ordering::SeqCst);
    }
}
