//! What to do about a credential now, and when to come back. Pure.

use std::time::Duration;

use kube::ResourceExt;
use vibectl_token::{Expectation, KeySet, audience_of, issuer_of, renewal::renew_at, verify};
use zeroize::Zeroizing;

use super::{dereference::Found, secret::TOKEN_KEY, validate::Accepted};
use crate::{api::ProxyToken, keys::signing::Signing};

/// A recorded issuance older than this is not completed but made anew: its Secret was there and is gone.
const COMPLETED_WITHIN: i64 = 300;

/// A credential that was, or is to be, handed out. Also what the status tells about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuance {
    /// The key that signs it.
    pub kid: String,
    /// From when, seconds since 1970.
    pub iat: i64,
    /// Until when.
    pub exp: i64,
}

/// What there is already.
pub struct Held {
    /// UID of the ProxyToken: spreads renewals.
    pub uid: String,
    /// What the status says was issued last.
    pub recorded: Option<Issuance>,
    /// When the token in the Secret was issued and when it ends, if the proxies accept it now.
    pub good: Option<(i64, i64)>,
    /// Its text.
    token: Option<Zeroizing<String>>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The Secret holds this one, and it stays.
    Keep(Issuance),
    /// Record this new one in the status; nothing else yet.
    Record(Issuance),
    /// This one is recorded: write it into the Secret.
    Write(Issuance),
    /// No key signs yet, or none for so long a life.
    WaitForKeys,
    /// Nothing that is issued before this second would be accepted.
    Revoked {
        /// The second.
        until: i64,
    },
}

impl Held {
    /// What status and Secret hold.
    pub fn of(token: &ProxyToken, found: &Found, now: i64) -> Self {
        let text = found.secret.as_ref().and_then(|secret| secret.data.as_ref()?.get(TOKEN_KEY).cloned());
        let text = text.and_then(|bytes| String::from_utf8(bytes.0).ok()).map(Zeroizing::new);
        let good = text.as_ref().and_then(|text| accepted(token, found, text, now));
        Self {
            uid: token.uid().unwrap_or_default(),
            recorded: recorded(token),
            token: text.filter(|_| good.is_some()),
            good,
        }
    }
}

impl Held {
    /// The text in the Secret, if it is that of this issuance and good.
    pub fn text_of(&self, issuance: &Issuance) -> Option<Zeroizing<String>> {
        self.token.clone().filter(|_| self.good == Some((issuance.iat, issuance.exp)))
    }
}

/// What the status says was issued last.
pub fn recorded(token: &ProxyToken) -> Option<Issuance> {
    let status = token.status.as_ref()?;
    Some(Issuance {
        kid: status.key_id.clone()?,
        iat: status.issued_at.as_ref()?.0.as_second(),
        exp: status.expires_at.as_ref()?.0.as_second(),
    })
}

/// Decides.
pub fn plan(held: &Held, accepted: &Accepted, signing: Option<&Signing>, now: i64) -> Plan {
    if now < accepted.min_iat {
        return Plan::Revoked { until: accepted.min_iat };
    }
    let good = held.good.filter(|(iat, _)| *iat >= accepted.min_iat);
    let Some((key, longest_ttl)) = signing.and_then(Signing::active) else { return Plan::WaitForKeys };
    let fits = |issuance: &Issuance| {
        issuance.iat >= accepted.min_iat && issuance.exp - issuance.iat == accepted.ttl && issuance.exp > now
    };
    let due = |issuance: &Issuance| now >= renew_at(issuance.iat, issuance.exp, &held.uid);
    match held.recorded.clone().filter(fits) {
        Some(recorded) if good == Some((recorded.iat, recorded.exp)) && !due(&recorded) => {
            return Plan::Keep(recorded);
        }
        Some(recorded)
            if recorded.kid == key.kid() && now - recorded.iat < COMPLETED_WITHIN && !due(&recorded) =>
        {
            return Plan::Write(recorded);
        }
        _ => {}
    }
    if longest_ttl < accepted.ttl {
        // The key's retirement must outlast the token; the LlmProxy's reconcile writes that down first.
        return Plan::WaitForKeys;
    }
    Plan::Record(Issuance { kid: key.kid().to_owned(), iat: now, exp: now.saturating_add(accepted.ttl) })
}

/// How long until this one is renewed.
pub fn until_renewal(issuance: &Issuance, uid: &str, now: i64) -> Duration {
    let due = renew_at(issuance.iat, issuance.exp, uid);
    Duration::from_secs(u64::try_from(due - now).unwrap_or_default().max(1))
}

/// Times of the token, if the proxies accept it now: signed by a published key, for this proxy, of this ProxyToken.
fn accepted(token: &ProxyToken, found: &Found, text: &str, now: i64) -> Option<(i64, i64)> {
    let proxy = found.proxy.as_ref()?.uid()?;
    let keys = KeySet::parse(found.signing.as_ref()?.jwks.as_bytes()).ok()?;
    let (issuer, audience) = (issuer_of(&proxy), audience_of(&proxy));
    let expected = Expectation { issuer: &issuer, audience: &audience };
    let claims = verify(&keys, &expected, text, now).ok()?.claims;
    (Some(claims.uid) == token.uid()).then_some((claims.iat, claims.exp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::signing::tests::signing;

    const TTL: i64 = 3600;

    fn accepted() -> Accepted {
        Accepted { ttl: TTL, min_iat: 0, issued: true, cut: Vec::new() }
    }

    fn issuance(signing: &Signing, iat: i64) -> Issuance {
        Issuance { kid: signing.active().unwrap().0.kid().to_owned(), iat, exp: iat + TTL }
    }

    fn held(recorded: Option<Issuance>, good: Option<i64>) -> Held {
        Held { uid: "uid".to_owned(), recorded, good: good.map(|iat| (iat, iat + TTL)), token: None }
    }

    #[test]
    fn a_new_credential_is_recorded_first_then_written_then_kept() {
        let signing = signing(TTL);
        let wanted = issuance(&signing, 1000);

        let first = plan(&held(None, None), &accepted(), Some(&signing), 1000);
        let second = plan(&held(Some(wanted.clone()), None), &accepted(), Some(&signing), 1003);
        let third = plan(&held(Some(wanted.clone()), Some(1000)), &accepted(), Some(&signing), 1004);

        assert_eq!(first, Plan::Record(wanted.clone()));
        assert_eq!(second, Plan::Write(wanted.clone()));
        assert_eq!(third, Plan::Keep(wanted));
    }

    #[test]
    fn it_is_renewed_at_two_thirds_and_the_old_one_stays_until_the_new_one_is_written() {
        let signing = signing(TTL);
        let old = issuance(&signing, 1000);
        let due = renew_at(1000, 1000 + TTL, "uid");
        assert!((1000 + TTL * 6 / 10..=1000 + TTL * 2 / 3).contains(&due));

        let before = plan(&held(Some(old.clone()), Some(1000)), &accepted(), Some(&signing), due - 1);
        let at = plan(&held(Some(old.clone()), Some(1000)), &accepted(), Some(&signing), due);
        let new = issuance(&signing, due);
        let recorded = plan(&held(Some(new.clone()), Some(1000)), &accepted(), Some(&signing), due + 1);

        assert_eq!(before, Plan::Keep(old));
        assert_eq!(at, Plan::Record(new.clone()));
        assert_eq!(recorded, Plan::Write(new));
    }

    #[test]
    fn a_secret_that_was_deleted_or_edited_gets_a_new_credential() {
        let signing = signing(TTL);
        let old = issuance(&signing, 1000);

        let plan = plan(&held(Some(old), None), &accepted(), Some(&signing), 1000 + COMPLETED_WITHIN);

        assert_eq!(plan, Plan::Record(issuance(&signing, 1000 + COMPLETED_WITHIN)));
    }

    #[test]
    fn revoking_makes_a_new_one_once_the_moment_has_come() {
        let signing = signing(TTL);
        let old = held(Some(issuance(&signing, 1000)), Some(1000));
        let revoked = Accepted { min_iat: 1500, ..accepted() };

        assert_eq!(plan(&old, &revoked, Some(&signing), 1400), Plan::Revoked { until: 1500 });
        assert_eq!(plan(&old, &revoked, Some(&signing), 1500), Plan::Record(issuance(&signing, 1500)));
    }

    #[test]
    fn a_credential_of_a_minute_is_renewed_too() {
        let signing = signing(60);
        let minute = Accepted { ttl: 60, ..accepted() };
        let old = Issuance { exp: 1060, ..issuance(&signing, 1000) };
        let held = Held { good: Some((1000, 1060)), ..held(Some(old), None) };

        let plan = plan(&held, &minute, Some(&signing), 1045);

        assert_eq!(plan, Plan::Record(Issuance { exp: 1105, ..issuance(&signing, 1045) }));
    }

    #[test]
    fn another_life_makes_a_new_one() {
        let signing = signing(2 * TTL);
        let old = held(Some(issuance(&signing, 1000)), Some(1000));
        let longer = Accepted { ttl: 2 * TTL, ..accepted() };

        let Plan::Record(new) = plan(&old, &longer, Some(&signing), 1100) else { panic!("not made anew") };

        assert_eq!(new.exp - new.iat, 2 * TTL);
    }

    #[test]
    fn nothing_is_signed_without_a_key_or_for_longer_than_the_key_will_be_kept() {
        let short = signing(TTL / 2);

        assert_eq!(plan(&held(None, None), &accepted(), None, 1000), Plan::WaitForKeys);
        assert_eq!(plan(&held(None, None), &accepted(), Some(&short), 1000), Plan::WaitForKeys);
    }

    #[test]
    fn a_recorded_issuance_of_a_key_that_signs_no_more_is_made_anew() {
        let signing = signing(TTL);
        let other = Issuance { kid: "former".to_owned(), iat: 1000, exp: 1000 + TTL };

        let plan = plan(&held(Some(other), None), &accepted(), Some(&signing), 1001);

        assert_eq!(plan, Plan::Record(issuance(&signing, 1001)));
    }
}
