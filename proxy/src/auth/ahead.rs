//! What the operator has told to refuse, ahead of the table that says the same: the kubelet takes half a second to bring it.

use std::collections::{HashMap, HashSet};

use vibectl_proto::fleet::v1::{RefuseRequest, RefusedToken};

use crate::auth::principal::{Credential, Principal};

/// Refusals that hold until the table of one revision is in force.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    revision: String,
    /// By UID of the ProxyToken: what was issued before this second.
    tokens: HashMap<String, i64>,
    keys: HashSet<String>,
}

impl Ahead {
    pub(super) fn of(request: RefuseRequest) -> Self {
        let RefuseRequest { revision, tokens, keys } = request;
        let second = |issued_before| if issued_before == 0 { i64::MAX } else { issued_before };
        let token = |RefusedToken { token_uid, issued_before }| (token_uid, second(issued_before));
        Self { revision, tokens: tokens.into_iter().map(token).collect(), keys: keys.into_iter().collect() }
    }

    /// Whether the table of this revision makes it superfluous.
    pub(super) fn is_covered_by(&self, revision: &str) -> bool {
        self.revision == revision
    }

    pub(super) fn refuses(&self, principal: &Principal) -> bool {
        let (issued_at, kid) = match &principal.credential {
            Credential::NotAsked | Credential::Alone(_) | Credential::Former(_) => return false,
            Credential::Issued(verified) => (verified.claims.iat, Some(&verified.kid)),
            Credential::Foreign(_, issued_at) => (issued_at.unwrap_or_default(), None),
        };
        let before = self.tokens.get(&principal.caller.uid);
        before.is_some_and(|before| issued_at < *before) || kid.is_some_and(|kid| self.keys.contains(kid))
    }
}
