//! Who comes in: what clients show, and what says who they are.

use std::{fs, path::Path};

use historian_access::{AccessFile, Grant, NewToken, Role};
use historian_audit::{AuditEntry, AuditHash, AuditHead, AuditVerifier, ChainedEntry, HeadKey, entry_line, head_line};
use historian_model::Timestamp;
use historian_tls::{Authority, CertificateFacts, ClientIdentity, authority};

use super::Target;

pub const TOKEN: Target = Target {
    name: "oidc_token",
    about: "tokens of an identity provider; none is taken but the one that was signed",
    inputs: 2_000,
    run: historian_oidc::fuzz::token,
    seeds: || historian_oidc::fuzz::seeds().0,
};

pub const KEYS: Target = Target {
    name: "oidc_keys",
    about: "keys of an identity provider",
    inputs: 10_000,
    run: historian_oidc::fuzz::keys,
    seeds: || historian_oidc::fuzz::seeds().1,
};

pub const SECRET: Target = Target {
    name: "secret",
    about: "API tokens as clients show them",
    inputs: 20_000,
    run: historian_access::fuzz::secret,
    seeds: || in_a_directory(|directory| Some(vec![token_of(directory)?.into_bytes()])),
};

pub const ACCESS: Target = Target {
    name: "access_file",
    about: "the file of tokens and grants",
    inputs: 5_000,
    run: historian_access::fuzz::file,
    seeds: || {
        in_a_directory(|directory| {
            token_of(directory)?;
            Some(vec![fs::read(AccessFile::in_directory(directory)).ok()?])
        })
    },
};

pub const CERTIFICATE: Target = Target {
    name: "certificate",
    about: "certificates in DER, and whom they name",
    inputs: 10_000,
    run: |bytes| CertificateFacts::of(bytes).is_ok() & ClientIdentity::of(bytes).is_some(),
    seeds: || {
        in_a_directory(|directory| {
            // Certificates begin some time before they are made, and not before 1970.
            let now = Timestamp(1_790_000_000_000_000_000);
            let made = Authority::make(directory, "fuzz", now, false).ok()?;
            let server = made.server(&["plant.example".to_owned(), "192.0.2.1".to_owned()], 10, now, false).ok()?;
            let client = made.client("erp", 10, now, false).ok()?;
            let files = [server.certificate, client.certificate];
            files.iter().map(|file| authority::certificate(file).ok()).collect()
        })
    },
};

pub const EXPORT: Target = Target {
    name: "audit_export",
    about: "exported audit logs, checked with the head at their end",
    inputs: 2_000,
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let mut verifier = AuditVerifier::new(Vec::new(), None);
        text.lines().for_each(|line| verifier.line(line));
        let report = verifier.report();
        report.is_whole() && report.heads == 1
    },
    seeds: || {
        in_a_directory(|directory| {
            let mut previous = AuditHash::START;
            let mut text = String::new();
            for number in 1..=3 {
                let told = AuditEntry { action: "delete_range".into(), tags: vec!["a".into()], samples: number, ..AuditEntry::default() };
                let entry = ChainedEntry::after(&previous, number, &told).ok()?;
                text += &entry_line(&previous, &entry);
                previous = entry.hash;
            }
            let head = AuditHead { number: 3, hash: previous };
            text += &head_line(&HeadKey::of_directory(directory).ok()?.sign(head, Timestamp(1))).ok()?;
            Some(vec![text.into_bytes()])
        })
    },
};

/// The secret of a token that is made in a directory.
fn token_of(directory: &Path) -> Option<String> {
    let grants = vec![Grant { role: Role::Reader, tags: vec!["a/**".to_owned()] }, Grant { role: Role::Auditor, tags: Vec::new() }];
    let new = NewToken { name: "ana".to_owned(), grants, expires: Some(Timestamp(1_800_000_000_000_000_000)) };
    Some(AccessFile::create_token(&AccessFile::in_directory(directory), new, Timestamp(1)).ok()?.secret)
}

/// What is made with files; nothing where that fails, which is a target without seeds.
fn in_a_directory(make: impl FnOnce(&Path) -> Option<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    tempfile::tempdir().ok().and_then(|directory| make(directory.path())).unwrap_or_default()
}
