//! Who asks, for the audit log.

/// Who is asking. There are no identities yet.
pub fn principal() -> String {
    "anonymous".to_owned()
}
