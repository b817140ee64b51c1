//! What an ACME server handed out is judged before it replaces anything.

use jiff::Timestamp;

use super::state::same_names;
use crate::certificate::Chain;
use crate::key::PrivateKey;
use crate::leaf::{Leaf, PairError};
use crate::names::Names;

/// The longest chain that is taken, in bytes of PEM. Real ones have about five thousand.
pub const MAX_CHAIN_BYTES: usize = 128 * 1024;
/// The most certificates in it.
pub const MAX_CHAIN: usize = 10;

/// Why a certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is too long to be true.
    #[error("the chain is longer than {MAX_CHAIN_BYTES} bytes or {MAX_CHAIN} certificates")]
    TooLong,
    /// It is not a pair with our key, not in order, or not valid now.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// It is for other names.
    #[error("the certificate is for {found}, not for {wanted}")]
    Names {
        /// Its names.
        found: String,
        /// Ours.
        wanted: String,
    },
    /// It could issue certificates itself.
    #[error("the certificate is one of a certificate authority")]
    Authority,
}

/// Takes the chain for our key, or says why not: size, order and signatures of the chain, the key, the names, the time.
pub fn check(chain: &str, key: PrivateKey, names: &Names, now: Timestamp) -> Result<Leaf, Refused> {
    if chain.len() > MAX_CHAIN_BYTES {
        return Err(Refused::TooLong);
    }
    let chain = Chain::from_pem(chain).map_err(PairError::from)?;
    if chain.certificates().len() > MAX_CHAIN {
        return Err(Refused::TooLong);
    }
    chain.check_order().map_err(PairError::from)?;
    let leaf = Leaf::new(chain, key)?;
    leaf.check_time(now)?;
    let facts = leaf.facts();
    if facts.is_authority {
        return Err(Refused::Authority);
    }
    if !same_names(&facts.names, names) {
        let wanted = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(Refused::Names { found: facts.names.join(", "), wanted });
    }
    Ok(leaf)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;
    use crate::{Ca, IssueRequest, Subject, Usage};

    const YEAR: Duration = Duration::from_hours(365 * 24);

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().expect("a time")
    }

    fn names() -> Names {
        Names::parse(["a.example"]).expect("names")
    }

    fn issuer() -> Ca {
        let subject =
            |name: &str| Subject { common_name: name.to_owned(), organization: None, country: None };
        let root = Ca::root(&subject("root"), YEAR, now()).expect("a root");
        root.intermediate(&subject("intermediate"), YEAR, now()).expect("an intermediate")
    }

    fn issue(names: &Names) -> Leaf {
        let validity = Duration::from_hours(24);
        let request = IssueRequest { names, usage: Usage::Server, validity, now: now() };
        issuer().issue(&request).expect("a leaf")
    }

    fn key_of(leaf: &Leaf) -> PrivateKey {
        PrivateKey::from_pem(&leaf.key_pem()).expect("a key")
    }

    fn judge(leaf: &Leaf, chain: &str, now: Timestamp) -> Refused {
        check(chain, key_of(leaf), &names(), now).expect_err("refused")
    }

    #[test]
    fn a_good_certificate_is_taken() {
        let leaf = issue(&names());

        let taken = check(&leaf.chain_pem(), key_of(&leaf), &names(), now()).expect("taken");

        assert_eq!(taken.facts(), leaf.facts());
    }

    #[test]
    fn h11_wrong_names_are_refused() {
        let wrong = issue(&Names::parse(["b.example"]).expect("names"));
        let more = issue(&Names::parse(["a.example", "b.example"]).expect("names"));

        assert!(matches!(judge(&wrong, &wrong.chain_pem(), now()), Refused::Names { .. }));
        let text = judge(&more, &more.chain_pem(), now()).to_string();
        assert_eq!(text, "the certificate is for a.example, b.example, not for a.example");
    }

    #[test]
    fn h11_another_key_is_refused() {
        let (leaf, other) = (issue(&names()), issue(&names()));

        assert_eq!(judge(&other, &leaf.chain_pem(), now()), PairError::KeyMismatch.into());
    }

    #[test]
    fn h11_expired_and_not_yet_valid_are_refused() {
        let leaf = issue(&names());
        let chain = leaf.chain_pem();
        let days = |days: i64| now() + SignedDuration::from_hours(24 * days);

        assert!(matches!(judge(&leaf, &chain, days(2)), Refused::Pair(PairError::Expired(_))));
        assert!(matches!(judge(&leaf, &chain, days(-2)), Refused::Pair(PairError::NotYetValid(_))));
    }

    #[test]
    fn h11_a_chain_out_of_order_or_of_somebody_else_is_refused() {
        let leaf = issue(&names());
        let pem = leaf.chain_pem();
        let mut blocks: Vec<_> = pem.split_inclusive("-----END CERTIFICATE-----\n").collect();
        let other = issue(&names()).chain_pem();
        let others: Vec<_> = other.split_inclusive("-----END CERTIFICATE-----\n").collect();
        let mixed = [blocks[0], others[1]].concat();
        blocks.reverse();

        assert!(check(&blocks.concat(), key_of(&leaf), &names(), now()).is_err());
        assert!(check(&mixed, key_of(&leaf), &names(), now()).is_err());
    }

    #[test]
    fn h11_ten_megabytes_are_refused_unread() {
        let leaf = issue(&names());

        assert_eq!(judge(&leaf, &"x".repeat(10_000_000), now()), Refused::TooLong);
        assert_eq!(judge(&leaf, &leaf.chain_pem().repeat(40), now()), Refused::TooLong);
    }

    #[test]
    fn h11_what_is_no_certificate_is_refused() {
        let leaf = issue(&names());

        for text in ["", "<html>", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(check(text, key_of(&leaf), &names(), now()).is_err(), "{text}");
        }
    }
}
