//! Who asks, and what they may do: what authentication makes of a request, and what each answer is limited to.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use crate::{Right, grant::Scopes, secret::SecretHash};
use historian_model::TagScope;

/// Somebody with rights. A clone is cheap.
#[derive(Clone)]
pub struct Principal(Arc<Identity>);

struct Identity {
    name: String,
    scopes: Scopes,
    /// Of the token that it has shown, if it has.
    token: Option<SecretHash>,
}

static ANONYMOUS: LazyLock<Principal> =
    LazyLock::new(|| Principal::new("anonymous".to_owned(), Right::ALL.map(|_| TagScope::Everything), None));
static NOBODY: LazyLock<Principal> = LazyLock::new(|| Principal::new("nobody".to_owned(), Scopes::default(), None));

impl Principal {
    /// Everybody where no access control is configured: every right on everything.
    pub fn anonymous() -> Principal {
        ANONYMOUS.clone()
    }

    /// Somebody without any right.
    pub fn nobody() -> Principal {
        NOBODY.clone()
    }

    pub(crate) fn new(name: String, scopes: Scopes, token: Option<SecretHash>) -> Principal {
        Principal(Arc::new(Identity { name, scopes, token }))
    }

    pub(crate) fn token(&self) -> Option<&SecretHash> {
        self.0.token.as_ref()
    }

    /// As the audit log names it: `token:ana`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// True when it has the right, on some tag at least.
    pub fn may(&self, right: Right) -> bool {
        !matches!(self.scope(right), TagScope::Nothing)
    }

    /// The tags on which it has the right. Of rights on the server: everything or nothing.
    pub fn scope(&self, right: Right) -> &TagScope {
        &self.0.scopes[right as usize]
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
        f.debug_struct("Principal").field("name", &self.0.name).field("rights", &rights).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_may_everything_and_nobody_nothing() {
        for right in Right::ALL {
            assert!(Principal::anonymous().may_on(right, "any/tag") && Principal::anonymous().scope(right).is_everything(), "{right}");
            assert!(!Principal::nobody().may(right) && !Principal::nobody().may_on(right, "any/tag"), "{right}");
        }
        assert_eq!(Principal::anonymous().name(), "anonymous");
        assert_eq!(format!("{:?}", Principal::nobody()), "Principal { name: \"nobody\", rights: [], .. }");
    }
}
