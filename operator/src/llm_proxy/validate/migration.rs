//! The migration from a former server: a shared secret that verifies, and signs nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;
use vibectl_token::{issuer_of, migration, standalone::Secret};

use super::{
    Mistakes, Unresolved,
    providers::{Mounted, mounted},
};
use crate::{
    api::{
        access::{Access, Migration as Spec, MigrationSubject},
        conditions::Reason,
    },
    llm_proxy::dereference::Referenced,
};

const PATH: &str = "spec.access.migration";

/// Until when tokens of the secret are accepted, and of whom.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The secret. Where it cannot be used, no token of it is accepted.
    pub secret: Mounted,
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// When it ends.
    pub until: Timestamp,
    /// Subjects of its tokens, each with the name of its ProxyToken.
    pub subjects: Vec<(String, String)>,
}

impl Migration {
    /// As the server reads it.
    pub fn terms(&self) -> migration::Migration {
        // A part of the last second would be a second too much.
        migration::Migration { issuer: self.issuer.clone(), until: self.until.as_second() }
    }

    /// The secret, where it can be used.
    pub fn usable_secret(&self) -> Option<&[u8]> {
        let content = self.secret.content.as_ref().filter(|_| self.secret.unresolved.is_none());
        content.map(|content| content.as_slice())
    }
}

/// Checks the block, if there is one.
pub(super) fn validate(
    access: &Access,
    proxy_uid: &str,
    referenced: &Referenced,
    mistakes: &mut Mistakes,
) -> Option<Migration> {
    let Spec { secret, issuer, subjects, until } = access.migration.as_ref()?;
    let taken = access.issuers.iter().any(|other| other.issuer == *issuer);
    if taken || *issuer == issuer_of(proxy_uid) {
        mistakes.invalid(&format!("{PATH}.issuer"), format!("{issuer:?} issues other tokens of this proxy"));
    }
    let mut seen = BTreeSet::new();
    for (index, MigrationSubject { subject, .. }) in subjects.iter().enumerate() {
        if !seen.insert(subject) {
            let path = format!("{PATH}.subjects[{index}].subject");
            mistakes.invalid(&path, format!("{subject:?} is there twice"));
        }
    }
    let pair = |MigrationSubject { subject, token }: &MigrationSubject| (subject.clone(), token.clone());
    Some(Migration {
        secret: strong(mounted(&format!("{PATH}.secret"), secret, referenced)),
        issuer: issuer.clone(),
        until: until.0,
        subjects: subjects.iter().map(pair).collect(),
    })
}

/// The same, of no use if it might be guessed.
fn strong(mounted: Mounted) -> Mounted {
    let Mounted { source, content, unresolved } = mounted;
    let judged = content.as_deref().filter(|_| unresolved.is_none()).map(|content| Secret::strong(content));
    let weak = judged.and_then(Result::err).map(|error| Unresolved {
        reason: Reason::SecretInvalid,
        message: format!("{PATH}.secret: key {:?} of Secret {:?}: {error}", source.key, source.name),
    });
    Mounted { source, content, unresolved: unresolved.or(weak) }
}
