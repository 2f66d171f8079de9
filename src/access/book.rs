//! The tokens and grants of a data directory as a running historian knows them: read often, replaced as a whole when the file changed.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{
    AccessError, Grant, KnownBy, NamedKind, NamedPrincipal, Principal, Right,
    disk::{self, FileState},
    format::AccessRecord,
    grant::{Scopes, Selections},
    principal::Proof,
    secret::SecretHash,
};
use historian_model::{TagScope, Timestamp};

/// The tokens and grants of one data directory. Requests take the version of the moment without a lock.
pub struct AccessBook {
    path: PathBuf,
    entries: ArcSwap<Entries>,
    read: Mutex<LastRead>,
}

/// Tokens that are not revoked, by the hash of their secrets, and what names are granted.
///
/// The search in a hash table takes a time that depends on the hash of the secret. That tells nothing: who guesses does not choose the SHA-256
/// of the guess, and to know how a hash of ours begins helps nobody to find a secret of 256 random bits.
#[derive(Default)]
struct Entries {
    tokens: HashMap<SecretHash, KnownToken>,
    named: HashMap<String, Granted>,
    /// True where there is no file.
    none: bool,
}

/// What one name is granted.
struct Granted {
    grants: Arc<Vec<Grant>>,
    scopes: Scopes,
}

struct KnownToken {
    principal: Principal,
    expires: Option<Timestamp>,
}

/// What is known of the file.
#[derive(Default)]
struct LastRead {
    /// Of the file that the tokens are from.
    state: Option<FileState>,
    /// What was wrong when it was read last, if that was told.
    told: Option<String>,
}

impl AccessBook {
    /// Reads the file at `path`. Where there is none, there are no tokens.
    ///
    /// # Errors
    /// The file cannot be read, may be read by others, or is damaged.
    pub fn open(path: &Path) -> Result<Arc<AccessBook>, AccessError> {
        let (state, entries) = load(path)?;
        let read = Mutex::new(LastRead { state, told: None });
        Ok(Arc::new(AccessBook { path: path.to_owned(), entries: ArcSwap::from_pointee(entries), read }))
    }

    /// Who shows this secret. `None` when it is of no token, or the token has expired or was revoked: nobody is told which.
    pub fn authenticate(&self, secret: &str, now: Timestamp) -> Option<Principal> {
        let hash = SecretHash::of(secret)?;
        let entries = self.entries.load();
        entries.valid(&hash, now).map(|known| known.principal.clone())
    }

    /// Whoever has shown a client certificate with this identity. Without a grant it may do nothing. `None` where no principal can be called so.
    pub fn certificate(&self, identity: &str) -> Option<Principal> {
        let name = NamedPrincipal::new(NamedKind::Certificate, identity).ok()?;
        Some(self.named(vec![name], KnownBy::Certificate, None))
    }

    /// Whoever has shown a token of the identity provider, with the grants of the subject and of all its roles. The first name is the subject's.
    pub fn oidc(&self, subject: NamedPrincipal, roles: impl IntoIterator<Item = NamedPrincipal>, expires: Timestamp) -> Principal {
        let names = std::iter::once(subject).chain(roles).collect();
        self.named(names, KnownBy::Oidc, Some(expires))
    }

    /// Whoever goes by these names, of which the first is its own, with what all of them are granted together.
    fn named(&self, names: Vec<NamedPrincipal>, known_by: KnownBy, expires: Option<Timestamp>) -> Principal {
        let entries = self.entries.load();
        let own = names.first().map(ToString::to_string).unwrap_or_default();
        let found: Vec<&Granted> = names.iter().filter_map(|name| entries.named.get(name.as_str())).collect();
        let scopes = Right::ALL.map(|right| TagScope::union(found.iter().map(|granted| &granted.scopes[right as usize])));
        let held = |name: NamedPrincipal| {
            let grants = entries.named.get(name.as_str()).map(|granted| granted.grants.clone());
            (name.to_string(), grants)
        };
        Principal::new(own, scopes, Proof::Names { names: names.into_iter().map(held).collect(), known_by }, expires)
    }

    /// True while what the principal has shown gives it the rights that it has: its token is valid, its names are granted what they were; of one
    /// that has shown nothing, while nothing is asked for. For what goes on for long, as subscriptions do: a token may be revoked meanwhile, a grant
    /// be taken back, and the first one be made.
    pub fn is_valid(&self, principal: &Principal, now: Timestamp) -> bool {
        let entries = self.entries.load();
        match principal.proof() {
            Proof::None => entries.none,
            Proof::Token(hash) => entries.valid(hash, now).is_some(),
            Proof::Names { names, .. } => {
                let is_granted = |(name, grants): &(String, Option<Arc<Vec<Grant>>>)| {
                    entries.named.get(name).map(|granted| &granted.grants) == grants.as_ref()
                };
                principal.expires().is_none_or(|expires| now < expires) && names.iter().all(is_granted)
            }
            Proof::Local => true,
        }
    }

    /// How many tokens that are valid and granted names have rights on exactly this name of a tag, beside those by globs.
    pub fn naming(&self, tag: &str, now: Timestamp) -> usize {
        let entries = self.entries.load();
        let is_in = |scope: &TagScope| scope.patterns().any(|pattern| pattern == tag);
        let valid = entries.tokens.values().filter(|known| known.is_valid(now));
        let tokens = valid.filter(|known| Right::ALL.into_iter().any(|right| is_in(known.principal.scope(right))));
        let named = entries.named.values().filter(|granted| granted.scopes.iter().any(is_in));
        tokens.count() + named.count()
    }

    /// True where no token and no grant was ever made: there is no file. When the last token expires or is revoked, nothing opens.
    pub fn is_empty(&self) -> bool {
        self.entries.load().none
    }

    /// Reads the file again if it changed. True when there are other tokens now.
    ///
    /// # Errors
    /// What is wrong with the file, or that it is gone; the tokens stay as they were. It is told once, and again only after the file was good,
    /// or when something else is wrong with it.
    pub fn refresh(&self) -> Result<bool, AccessError> {
        let mut read = self.read.lock();
        match self.read_again(&mut read) {
            Ok(changed) => {
                read.told = None;
                Ok(changed)
            }
            Err(error) => {
                let text = error.to_string();
                if read.told.as_ref() == Some(&text) {
                    return Ok(false);
                }
                read.told = Some(text);
                Err(error)
            }
        }
    }

    fn read_again(&self, read: &mut LastRead) -> Result<bool, AccessError> {
        if disk::state(&self.path)? == read.state {
            return Ok(false);
        }
        let (state, entries) = load(&self.path)?;
        // Whoever removes the file does not say that everybody may do everything.
        if state.is_none() && !self.is_empty() {
            return Err(AccessError::Gone { path: self.path.clone() });
        }
        read.state = state;
        self.entries.store(Arc::new(entries));
        Ok(true)
    }
}

impl Entries {
    fn valid(&self, hash: &SecretHash, now: Timestamp) -> Option<&KnownToken> {
        self.tokens.get(hash).filter(|known| known.is_valid(now))
    }
}

impl KnownToken {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// What the file holds, with what each may do worked out once for all requests.
fn load(path: &Path) -> Result<(Option<FileState>, Entries), AccessError> {
    let Some((state, text)) = disk::read(path)? else {
        return Ok((None, Entries { none: true, ..Entries::default() }));
    };
    let record = AccessRecord::parse(path, &text)?;
    let mut selections = Selections::default();
    let damaged = |of: String, error| AccessError::Damaged { path: path.to_owned(), reason: format!("{of}: {error}") };
    let mut tokens = HashMap::new();
    for token in record.tokens.iter().filter(|token| token.revoked.is_none()) {
        let scopes = selections.scopes(&token.grants).map_err(|error| damaged(format!("token {} ({})", token.id, token.name), error))?;
        let principal = Principal::new(format!("token:{}", token.name), scopes, Proof::Token(token.hash), token.expires);
        tokens.insert(token.hash, KnownToken { principal, expires: token.expires });
    }
    let mut named = HashMap::new();
    for entry in &record.grants {
        let scopes = selections.scopes(&entry.grants).map_err(|error| damaged(entry.principal.to_string(), error))?;
        named.insert(entry.principal.to_string(), Granted { grants: Arc::new(entry.grants.clone()), scopes });
    }
    Ok((Some(state), Entries { tokens, named, none: false }))
}

/// How many tokens and grants, and of which file.
impl fmt::Debug for AccessBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.load();
        let (tokens, named) = (entries.tokens.len(), entries.named.len());
        f.debug_struct("AccessBook").field("path", &self.path).field("tokens", &tokens).field("named", &named).finish_non_exhaustive()
    }
}
