//! The audit log: who changed or removed what, when, from where and why, in a form that shows whether somebody changed it afterwards.
//!
//! Entries are numbered from 1 in the order of writing. Each has a hash that covers its text, its number and the hash before it, so no entry
//! can be changed, taken out, put in or moved without a break behind it. What the chain alone does not show, a cut at its end or a log that was
//! written anew from some entry on, a *head* shows: number and hash of an entry, signed by the historian, kept where others cannot change it.
//!
//! Written by the store beside the change that an entry tells of; read by the API; checked by `historian audit verify`, which needs nothing but
//! an export.

mod chain;
mod entry;
mod error;
mod export;
mod fault;
mod hash;
mod head;
mod key;
mod verify;

pub use chain::{ChainCheck, ChainedEntry};
pub use entry::AuditEntry;
pub use error::AuditError;
pub use export::{ExportLine, entry_line, head_line};
pub use fault::FaultKind;
pub use hash::AuditHash;
pub use head::{AuditHead, SignedHead};
pub use key::HeadKey;
pub use verify::{AuditFault, AuditReport, AuditVerifier};
