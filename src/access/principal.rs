//! Who asks, and what they may do: what authentication makes of a request, and what each answer is limited to.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use crate::{Grant, Right, RightSet, grant::Scopes, secret::SecretHash};
use historian_model::{TagScope, Timestamp};

/// Somebody with rights. A clone is cheap.
#[derive(Clone)]
pub struct Principal {
    identity: Arc<Identity>,
    /// What it may do at most, by the way on which it has come.
    through: RightSet,
}

struct Identity {
    name: String,
    scopes: Scopes,
    proof: Proof,
    expires: Option<Timestamp>,
}

/// What its rights stand on, for who asks later whether they still do.
pub(crate) enum Proof {
    /// That nobody is asked for anything.
    None,
    /// A token that it has shown.
    Token(SecretHash),
    /// What its names were granted when it was made. A name without a grant is among them: it may get one.
    Names { names: Vec<(String, Option<Arc<Vec<Grant>>>)>, known_by: KnownBy },
    /// Its place on the machine of the historian.
    Local,
}

/// How it is known who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// It is not known, and nobody asks.
    Nothing,
    /// An API token.
    Token,
    /// A client certificate.
    Certificate,
    /// A token of an identity provider.
    Oidc,
    /// The local socket: the system says which user it is.
    LocalSocket,
}

impl KnownBy {
    pub const ALL: [KnownBy; 5] = [KnownBy::Nothing, KnownBy::Token, KnownBy::Certificate, KnownBy::Oidc, KnownBy::LocalSocket];

    /// As answers tell it.
    pub fn name(self) -> &'static str {
        match self {
            KnownBy::Nothing => "nothing",
            KnownBy::Token => "token",
            KnownBy::Certificate => "certificate",
            KnownBy::Oidc => "oidc",
            KnownBy::LocalSocket => "local_socket",
        }
    }
}

static ANONYMOUS: LazyLock<Principal> = LazyLock::new(|| Principal::new("anonymous".to_owned(), everything(), Proof::None, None));
static NOBODY: LazyLock<Principal> = LazyLock::new(|| Principal::new("nobody".to_owned(), Scopes::default(), Proof::None, None));

fn everything() -> Scopes {
    Right::ALL.map(|_| TagScope::Everything)
}

impl Principal {
    /// Everybody where no access control is configured: every right on everything.
    pub fn anonymous() -> Principal {
        ANONYMOUS.clone()
    }

    /// Somebody without any right.
    pub fn nobody() -> Principal {
        NOBODY.clone()
    }

    /// A user of the machine who may administer the historian: whoever can write to its data directory can do everything anyway.
    pub fn local(user: u32) -> Principal {
        Principal::new(format!("local:{user}"), everything(), Proof::Local, None)
    }

    pub(crate) fn new(name: String, scopes: Scopes, proof: Proof, expires: Option<Timestamp>) -> Principal {
        Principal { identity: Arc::new(Identity { name, scopes, proof, expires }), through: RightSet::ALL }
    }

    pub(crate) fn proof(&self) -> &Proof {
        &self.identity.proof
    }

    /// How it is known who this is.
    pub fn known_by(&self) -> KnownBy {
        match &self.identity.proof {
            Proof::None => KnownBy::Nothing,
            Proof::Token(_) => KnownBy::Token,
            Proof::Names { known_by, .. } => *known_by,
            Proof::Local => KnownBy::LocalSocket,
        }
    }

    /// From then on it has no rights. None: no time ends them.
    pub fn expires(&self) -> Option<Timestamp> {
        self.identity.expires
    }

    /// As the audit log names it: `token:ana`, `certificate:erp`, `oidc:ana`, `local:0`, or `anonymous`.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// True when it has the right, on some tag at least.
    pub fn may(&self, right: Right) -> bool {
        !matches!(self.scope(right), TagScope::Nothing)
    }

    /// The tags on which it has the right. Of rights on the server: everything or nothing.
    pub fn scope(&self, right: Right) -> &TagScope {
        static NOTHING: TagScope = TagScope::Nothing;
        if self.through.has(right) { &self.identity.scopes[right as usize] } else { &NOTHING }
    }

    /// The same one, who may do no more than these: for what comes by a way that lets only some rights through.
    #[must_use]
    pub fn through(&self, rights: RightSet) -> Principal {
        Principal { identity: self.identity.clone(), through: self.through.and(rights) }
    }

    /// True when it is somebody by a name: not anonymous and not nobody.
    pub fn is_named(&self) -> bool {
        self.known_by() != KnownBy::Nothing
    }

    /// True when it has the right on a tag of this name.
    pub fn may_on(&self, right: Right, tag: &str) -> bool {
        self.scope(right).has(tag)
    }
}

/// Its name and rights; nothing that a log must not hold.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights: Vec<Right> = Right::ALL.into_iter().filter(|right| self.may(*right)).collect();
        f.debug_struct("Principal").field("name", &self.identity.name).field("rights", &rights).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_lets_some_rights_through_and_adds_none() {
        let reader = Principal::anonymous().through(RightSet::of(&[Right::Read, Right::Audit]));
        let may = |principal: &Principal| Right::ALL.into_iter().filter(|right| principal.may(*right)).collect::<Vec<_>>();
        assert_eq!(may(&reader), [Right::Read, Right::Audit]);
        assert_eq!(may(&reader.through(RightSet::of(&[Right::Read, Right::Write]))), [Right::Read]);
        assert_eq!(may(&reader.through(RightSet::ALL)), [Right::Read, Right::Audit]);
        assert_eq!(may(&Principal::nobody().through(RightSet::ALL)), []);
    }

    #[test]
    fn anonymous_may_everything_and_nobody_nothing() {
        for right in Right::ALL {
            assert!(Principal::anonymous().may_on(right, "any/tag") && Principal::anonymous().scope(right).is_everything(), "{right}");
            assert!(!Principal::nobody().may(right) && !Principal::nobody().may_on(right, "any/tag"), "{right}");
        }
        assert_eq!(Principal::anonymous().name(), "anonymous");
        assert_eq!((Principal::local(0).name(), Principal::local(0).known_by()), ("local:0", KnownBy::LocalSocket));
        assert!(Right::ALL.into_iter().all(|right| Principal::local(7).scope(right).is_everything()));
        assert_eq!(format!("{:?}", Principal::nobody()), "Principal { name: \"nobody\", rights: [], .. }");
    }
}
