//! One row of the access table.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;

const MAX_UID_BYTES: usize = 128;

/// What the holder of a `ProxyToken` may do.
///
/// A member that this version does not know refuses the row: it could be a restriction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The UID of the `ProxyToken`; a new one of the same name is another row.
    pub uid: String,
    /// `namespace/name`, for people and logs.
    pub subject: String,
    /// The consuming namespace.
    pub namespace: String,
    /// The only models that it sees; absent: all that the proxy has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// What it may do at all.
    pub scopes: Vec<Scope>,
    /// The limits of this token alone.
    #[serde(default, skip_serializing_if = "Limits::is_unlimited")]
    pub limits: Limits,
    /// Tokens issued before this second are refused.
    pub min_iat: i64,
    /// Whether credentials that we issued for it are accepted.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub issued: bool,
    /// Who else is this caller, by the tokens of other issuers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<Identity>,
}

/// Somebody whom another issuer knows: a claim of its tokens with this value, or with a list that has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Name of the issuer in the list of issuers.
    pub issuer: String,
    /// Name of the claim.
    pub claim: String,
    /// Its value.
    pub value: String,
}

impl Row {
    pub(super) fn is_sound(&self) -> bool {
        let uid = !self.uid.is_empty() && self.uid.len() <= MAX_UID_BYTES;
        let identities = self.identities.iter();
        let named = identities.clone().all(|Identity { issuer, claim, value }| {
            !issuer.is_empty() && !claim.is_empty() && !value.is_empty()
        });
        let somebody = self.issued || identities.len() > 0;
        uid && named
            && somebody
            && !self.namespace.is_empty()
            && self.subject.split_once('/').is_some_and(|(namespace, name)| {
                namespace == self.namespace && !name.is_empty() && !name.contains('/')
            })
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_true(flag: &bool) -> bool {
    *flag
}

/// A kind of thing that a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Ask models.
    Execute,
    /// See which models there are.
    Models,
    /// See what is for those who run the proxy.
    Admin,
}

/// The scopes of a caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Every scope.
    pub fn all() -> Self {
        [Scope::Execute, Scope::Models, Scope::Admin].into_iter().collect()
    }

    /// Whether the caller has it.
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}
