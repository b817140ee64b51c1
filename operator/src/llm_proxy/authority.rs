//! The proxy's own certificate authority: reads what the Secret holds, makes one where there is none, takes the step of a
//! roll-over that is due. Draws randomness for keys; does no I/O, and the clock is passed in.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use vibectl_pki::{Ca, CaError, CaState, Names, Step, ca_rollover, rollover::StateError};

use crate::api::conditions::Reason;

/// How long a CA lives. Its successor takes over at two thirds.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long clients may take to read the published bundle again: a Secret volume is refreshed within two minutes, and whoever
/// reads the bundle once at its start should be started once a day.
const LONGEST_CLIENT_REFRESH: Duration = Duration::from_secs(24 * 3600);
/// The same when a new name waits for the roll-over: somebody wants to use it today.
const CLIENT_REFRESH_FOR_NEW_NAMES: Duration = Duration::from_secs(3600);
/// A roll-over takes three steps; one more means that it does not come to rest.
const MAX_STEPS: usize = 4;

/// The CA that should be in force.
#[derive(Debug)]
pub struct Authority {
    /// The active CA and its overlap.
    pub state: CaState,
    /// When something is to be done next.
    pub due: Option<Timestamp>,
}

impl Authority {
    /// The content of its Secret.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        self.state
            .to_data()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), ByteString(value.to_vec())))
            .collect()
    }
}

/// Why there is no CA.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// What the Secret holds is no CA. It is not replaced: clients may trust it, and a person may still mend it.
    #[error("Secret {secret:?} holds no usable certificate authority; mend or delete it: {source}")]
    Stored {
        /// Its name.
        secret: String,
        /// What is the matter.
        source: StateError,
    },
    /// A CA could not be made.
    #[error("failed to make a certificate authority")]
    Generate(#[from] CaError),
}

impl AuthorityError {
    /// The reason of the condition.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Stored { .. } => Reason::SecretInvalid,
            Self::Generate(_) => Reason::OperatorError,
        }
    }
}

/// The CA that should be in force now, from what the Secret holds.
pub fn authority(
    name: &str,
    stored: Option<&Secret>,
    wanted: &Names,
    now: Timestamp,
) -> Result<Authority, AuthorityError> {
    let generate = || Ca::constrained(&format!("vibectl {name}"), wanted, VALIDITY, now);
    let mut state = match stored {
        Some(secret) => read(secret)?,
        None => CaState::new(generate()?),
    };
    for _ in 0..MAX_STEPS {
        let known = state.active().permits(wanted);
        let refresh = if known { LONGEST_CLIENT_REFRESH } else { CLIENT_REFRESH_FOR_NEW_NAMES };
        state = match ca_rollover(&state, wanted, now, refresh) {
            Step::Wait { until } => return Ok(Authority { state, due: Some(until) }),
            Step::Prepare => state.prepare(generate()?, now),
            Step::Switch => state.switch(now),
            Step::Drop => state.drop_previous(),
        };
    }
    Ok(Authority { state, due: None })
}

fn read(secret: &Secret) -> Result<CaState, AuthorityError> {
    let data = secret.data.as_ref();
    CaState::from_data(|key| data.and_then(|data| data.get(key)).map(|value| value.0.as_slice())).map_err(
        |source| AuthorityError::Stored { secret: secret.metadata.name.clone().unwrap_or_default(), source },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn stored(authority: &Authority) -> Secret {
        Secret { data: Some(authority.data()), ..Secret::default() }
    }

    #[test]
    fn what_is_stored_is_kept() {
        let names = Names::parse(["team", "team.ai.svc"]).unwrap();
        let first = authority("team", None, &names, at(0)).unwrap();

        let again = authority("team", Some(&stored(&first)), &names, at(60)).unwrap();

        assert_eq!(first.data(), again.data());
    }

    #[test]
    fn a_new_host_is_issued_for_only_after_clients_know_the_ca_that_may() {
        let (few, more) =
            (Names::parse(["team"]).unwrap(), Names::parse(["team", "llm.example.org"]).unwrap());
        let first = authority("team", None, &few, at(0)).unwrap();

        let prepared = authority("team", Some(&stored(&first)), &more, at(1)).unwrap();
        let switched = authority("team", Some(&stored(&prepared)), &more, at(1 + 3600)).unwrap();

        assert!(!prepared.state.active().permits(&more));
        assert_eq!(prepared.state.bundle().certificates().len(), 2);
        assert!(switched.state.active().permits(&more));
    }

    #[test]
    fn a_damaged_secret_is_an_error_and_not_a_new_ca() {
        let names = Names::parse(["team"]).unwrap();
        let secret = Secret { data: Some(BTreeMap::new()), ..Secret::default() };

        let error = authority("team", Some(&secret), &names, at(0)).unwrap_err();

        assert_eq!(error.reason(), Reason::SecretInvalid);
    }
}
