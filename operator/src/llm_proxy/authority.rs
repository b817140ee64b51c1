//! What clients trust where the operator keeps it: a CA, or a self-signed certificate. Reads what the Secret holds, makes what is
//! missing, takes the step of a roll-over that is due. Draws randomness for keys; does no I/O, and the clock is passed in.

mod roll;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use vibectl_pki::{
    AnchorState, Ca, CaError, CaState, CertificateFacts, IssueError, KeyError, Leaf, Names, PairState,
    PrivateKey, TrustBundle,
    rollover::{Anchor, StateError},
};

use self::roll::{Rolled, Rules, roll};
use crate::{
    api::{conditions::Reason, tls::RotationPolicy},
    llm_proxy::validate::{Supplied, Terms},
};

/// In the Secret of a CA: the fingerprint of the newest that a user supplied.
const SUPPLIED: &str = "supplied";

/// What should be in force.
#[derive(Debug)]
pub struct Authority {
    /// It, and its overlap.
    pub state: Kind,
    /// When something is to be done next.
    pub due: Option<Timestamp>,
    /// Why a step is not taken, or what a person has to do.
    pub trouble: Option<Trouble>,
    supplied: Option<String>,
}

/// Of which kind it is.
#[derive(Debug)]
pub enum Kind {
    /// It issues certificates in the pods.
    Ca(CaState),
    /// It is served as it is.
    Pair(PairState),
}

/// Something for the condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// Its reason.
    pub reason: Reason,
    /// Its message.
    pub message: String,
}

impl Authority {
    /// The content of its Secret.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        let data = match &self.state {
            Kind::Ca(state) => state.to_data(),
            Kind::Pair(state) => state.to_data(),
        };
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.to_vec())));
        let supplied =
            self.supplied.iter().map(|it| (SUPPLIED.to_owned(), ByteString(it.clone().into_bytes())));
        data.chain(supplied).collect()
    }

    /// What clients should trust.
    pub fn bundle(&self) -> TrustBundle {
        match &self.state {
            Kind::Ca(state) => state.bundle(),
            Kind::Pair(state) => state.bundle(),
        }
    }

    /// Facts about the active one.
    pub fn facts(&self) -> &CertificateFacts {
        match &self.state {
            Kind::Ca(state) => state.active().facts(),
            Kind::Pair(state) => state.active().facts(),
        }
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// What the Secret holds cannot be used. It is not replaced: clients may trust it, and a person may still mend it.
    #[error("Secret {secret:?} holds nothing that can be used; mend or delete it: {source}")]
    Stored {
        /// Its name.
        secret: String,
        /// What is the matter.
        source: StateError,
    },
    /// There is none yet, and the one that a user supplies cannot be used.
    #[error("{}", .0.message)]
    Supplied(Trouble),
    /// A CA could not be made.
    #[error("failed to make a certificate authority")]
    Ca(#[from] CaError),
    /// A certificate could not be made.
    #[error("failed to make a self-signed certificate")]
    Pair(#[from] IssueError),
    /// A key could not be used again.
    #[error("failed to keep the key")]
    Key(#[from] KeyError),
}

impl AuthorityError {
    /// The reason of the condition.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Stored { .. } => Reason::SecretInvalid,
            Self::Supplied(trouble) => trouble.reason,
            Self::Ca(_) | Self::Pair(_) | Self::Key(_) => Reason::OperatorError,
        }
    }
}

/// What is wanted, and what is known on the way.
pub struct Wanted<'a> {
    /// Of the LlmProxy.
    pub name: &'a str,
    /// What certificates are for.
    pub names: &'a Names,
    /// Lifetime and overlap.
    pub terms: Terms,
    /// Fingerprint of one that must go at once.
    pub distrusted: Option<&'a str>,
    /// Who may still need one that was replaced; names of pods and what they serve.
    pub users: &'a dyn Fn(&CertificateFacts) -> Vec<String>,
    /// The time.
    pub now: Timestamp,
}

/// The CA that should be in force, from what the Secret holds and what a user supplies.
pub fn authority(
    stored: Option<&Secret>,
    supplied: Option<Result<&Supplied, Trouble>>,
    wanted: &Wanted<'_>,
) -> Result<Authority, AuthorityError> {
    let Wanted { name, names, terms, now, .. } = *wanted;
    let theirs =
        supplied.map(|supplied| supplied.and_then(|supplied| usable(supplied, wanted).map(|()| supplied)));
    let make = |_: Option<&Ca>| -> Result<Ca, AuthorityError> {
        match &theirs {
            None => Ok(Ca::constrained(&format!("vibectl {name}"), names, terms.validity, now)?),
            Some(Ok(supplied)) => Ok(supplied.ca()?),
            Some(Err(trouble)) => Err(AuthorityError::Supplied(trouble.clone())),
        }
    };
    let known = stored.and_then(|secret| text(secret, SUPPLIED));
    let unwanted = |newest: &CertificateFacts| match &theirs {
        None => known.as_ref() == Some(&newest.fingerprint_sha256),
        Some(Ok(supplied)) => supplied.facts.fingerprint_sha256 != newest.fingerprint_sha256,
        Some(Err(_)) => false,
    };
    let state = match stored {
        Some(secret) => read(secret)?,
        None => CaState::new(make(None)?),
    };
    let rules = Rules { make: &make, unwanted: &unwanted, renews: theirs.is_none() };
    let Rolled { state, due, trouble } = roll(state, wanted, &rules)?;
    let trouble = match &theirs {
        Some(Err(trouble)) => Some(trouble.clone()),
        Some(Ok(supplied)) => trouble.or_else(|| ends_soon(supplied, now)),
        None => trouble,
    };
    let supplied = match &theirs {
        Some(Ok(supplied)) => Some(supplied.facts.fingerprint_sha256.clone()),
        Some(Err(_)) => known,
        None => known.filter(|known| *known == state.active().facts().fingerprint_sha256),
    };
    Ok(Authority { state: Kind::Ca(state), due, trouble, supplied })
}

/// The self-signed certificate that should be in force, from what the Secret holds.
pub fn self_signed(
    stored: Option<&Secret>,
    policy: RotationPolicy,
    wanted: &Wanted<'_>,
) -> Result<Authority, AuthorityError> {
    let Wanted { names, terms, now, .. } = *wanted;
    let make = |before: Option<&Leaf>| -> Result<Leaf, AuthorityError> {
        let key = match before {
            Some(before) if policy == RotationPolicy::Never => PrivateKey::from_pem(&before.key_pem())?,
            _ => PrivateKey::generate()?,
        };
        Ok(Leaf::self_signed_for(names, terms.validity, now, key)?)
    };
    let state = match stored {
        Some(secret) => read(secret)?,
        None => PairState::new(make(None)?),
    };
    let rules = Rules { make: &make, unwanted: &|_| false, renews: true };
    let Rolled { state, due, trouble } = roll(state, wanted, &rules)?;
    Ok(Authority { state: Kind::Pair(state), due, trouble, supplied: None })
}

/// Whether what a user supplies may come into force now.
fn usable(supplied: &Supplied, wanted: &Wanted<'_>) -> Result<(), Trouble> {
    let Supplied { secret, facts, .. } = supplied;
    let trouble = |reason, what: String| Trouble {
        reason,
        message: format!("spec.tls.privateCa.secret: the CA in Secret {secret:?} {what}"),
    };
    if wanted.distrusted == Some(facts.fingerprint_sha256.as_str()) {
        return Err(trouble(
            Reason::SecretInvalid,
            "is the one that must not be trusted: put another in".to_owned(),
        ));
    }
    if facts.lifetime.not_after <= wanted.now {
        return Err(trouble(
            Reason::Expired,
            format!("ended at {}: put another in", facts.lifetime.not_after),
        ));
    }
    if wanted.now < facts.lifetime.not_before {
        return Err(trouble(
            Reason::SecretInvalid,
            format!("is not valid before {}", facts.lifetime.not_before),
        ));
    }
    let ca = supplied.ca().map_err(|error| trouble(Reason::SecretInvalid, error.to_string()))?;
    let refused: Vec<String> = ca.not_permitted(wanted.names).map(ToString::to_string).collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(trouble(Reason::SecretInvalid, format!("is not permitted to issue for {}", refused.join(", "))))
}

fn ends_soon(supplied: &Supplied, now: Timestamp) -> Option<Trouble> {
    let Supplied { secret, facts, .. } = supplied;
    (now >= facts.lifetime.overdue_at()).then(|| Trouble {
        reason: Reason::Expiring,
        message: format!("the CA in Secret {secret:?} ends at {}: put another in", facts.lifetime.not_after),
    })
}

fn read<A: Anchor>(secret: &Secret) -> Result<AnchorState<A>, AuthorityError> {
    let data = secret.data.as_ref();
    AnchorState::from_data(|key| data.and_then(|data| data.get(key)).map(|value| value.0.as_slice())).map_err(
        |source| AuthorityError::Stored { secret: secret.metadata.name.clone().unwrap_or_default(), source },
    )
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let value = secret.data.as_ref()?.get(key)?;
    String::from_utf8(value.0.clone()).ok()
}

/// How long somebody waits who has asked for something new (a host, another CA): they want to use it today.
const CLIENT_REFRESH_FOR_WHAT_IS_ASKED: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
