//! The audit log of a running historian: what it is told, kept in the store beside what it tells of, and its heads signed.

use std::sync::Arc;

use historian_audit::{AuditHash, HeadKey, SignedHead};
use historian_model::{Clock, sink::Actor};

use super::{AuditEntry, AuditHead, ChainedEntry, Store, StoreError};

/// Records and reads the audit log. Calls block.
pub struct AuditLog {
    store: Arc<dyn Store>,
    key: HeadKey,
    clock: Arc<dyn Clock>,
}

impl AuditLog {
    pub fn new(store: Arc<dyn Store>, key: HeadKey, clock: Arc<dyn Clock>) -> AuditLog {
        AuditLog { store, key, clock }
    }

    /// With a key that is in no file, for those whose heads nobody keeps.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn with_new_key(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<AuditLog, StoreError> {
        Ok(AuditLog::new(store, HeadKey::generate()?, clock))
    }

    /// An entry of something that is done now.
    pub fn entry(&self, actor: Actor, action: &str, detail: impl Into<String>) -> AuditEntry {
        let Actor { principal, client } = actor;
        AuditEntry { time: self.clock.now(), action: action.to_owned(), principal, client, detail: detail.into(), ..AuditEntry::default() }
    }

    /// Puts entries behind the last one, durably, all or none.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn record(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        self.store.append_audit(entries)
    }

    /// Entries from the number `from` on, as [`Store::audit_log`] has them.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn entries(&self, from: u64, limit: usize) -> Result<Vec<ChainedEntry>, StoreError> {
        self.store.audit_log(from, limit)
    }

    /// How far the log goes.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn head(&self) -> Result<AuditHead, StoreError> {
        self.store.audit_head()
    }

    /// The hash of an entry; of number 0 what the first entry follows, of one that there is not `None`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn hash_of(&self, number: u64) -> Result<Option<AuditHash>, StoreError> {
        if number == 0 {
            return Ok(Some(AuditHash::START));
        }
        let page = self.store.audit_log(number, 1)?;
        Ok(page.first().filter(|entry| entry.number == number).map(|entry| entry.hash))
    }

    /// A head, signed now by the key of this historian.
    pub fn signed(&self, head: AuditHead) -> SignedHead {
        self.key.sign(head, self.clock.now())
    }
}
