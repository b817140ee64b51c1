use jiff::SignedDuration;

use super::*;
use crate::{
    api::reference::SecretKey,
    llm_proxy::{
        dereference::{Lookup, Referenced},
        fixtures,
        validate::{Supplied, TlsMode, validate},
    },
};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(second: i64) -> Timestamp {
    fixtures::now() + SignedDuration::from_secs(second)
}

fn names(names: &[&str]) -> Names {
    Names::parse(names).unwrap()
}

/// A year, and a day for clients.
fn terms() -> Terms {
    Terms { validity: Duration::from_secs(365 * 24 * 3600), client_refresh: Duration::from_secs(24 * 3600) }
}

fn stored(authority: &Authority) -> Secret {
    Secret { data: Some(authority.data()), ..Secret::default() }
}

fn nobody(_: &CertificateFacts) -> Vec<String> {
    Vec::new()
}

fn wanted(names: &Names, second: i64) -> Wanted<'_> {
    Wanted { name: "team", names, terms: terms(), distrusted: None, users: &nobody, now: at(second) }
}

fn own(before: Option<&Authority>, wanted: &Wanted<'_>) -> Authority {
    authority(before.map(stored).as_ref(), None, wanted).unwrap()
}

fn with_theirs(before: &Authority, supplied: &Supplied, wanted: &Wanted<'_>) -> Authority {
    authority(Some(&stored(before)), Some(Ok(supplied)), wanted).unwrap()
}

fn ca(authority: &Authority) -> &CaState {
    match &authority.state {
        Kind::Ca(state) => state,
        Kind::Pair(_) => panic!("a pair"),
    }
}

fn active(authority: &Authority) -> String {
    authority.facts().fingerprint_sha256.clone()
}

fn bundled(authority: &Authority) -> usize {
    authority.bundle().certificates().len()
}

/// A CA that a user supplies, another at each call.
fn theirs() -> Supplied {
    let proxy = fixtures::proxy("own_ca");
    match validate(&proxy, &fixtures::complete(&proxy)).unwrap().tls {
        TlsMode::PrivateCa(_, Some(supplied)) => *supplied.unwrap(),
        _ => panic!("no CA of theirs"),
    }
}

#[test]
fn what_is_stored_is_kept() {
    let names = names(&["team", "team.ai.svc"]);
    let first = own(None, &wanted(&names, 0));

    let again = own(Some(&first), &wanted(&names, 60));

    assert_eq!(first.data(), again.data());
}

#[test]
fn a_new_host_is_issued_for_only_after_clients_know_the_ca_that_may() {
    let (few, more) = (names(&["team"]), names(&["team", "llm.example.org"]));
    let first = own(None, &wanted(&few, 0));

    let prepared = own(Some(&first), &wanted(&more, 1));
    let switched = own(Some(&prepared), &wanted(&more, 1 + HOUR));

    assert!(!ca(&prepared).active().permits(&more));
    assert_eq!(bundled(&prepared), 2);
    assert!(ca(&switched).active().permits(&more));
}

#[test]
fn a_damaged_secret_is_an_error_and_not_a_new_ca() {
    let names = names(&["team"]);
    let secret = Secret { data: Some(BTreeMap::new()), ..Secret::default() };

    let error = authority(Some(&secret), None, &wanted(&names, 0)).unwrap_err();

    assert_eq!(error.reason(), Reason::SecretInvalid);
}

#[test]
fn l04_a_supplied_ca_takes_over_only_when_clients_know_it() {
    let names = names(&["team"]);
    let (before, theirs) = (own(None, &wanted(&names, 0)), theirs());

    let prepared = with_theirs(&before, &theirs, &wanted(&names, 1));
    let waiting = with_theirs(&prepared, &theirs, &wanted(&names, HOUR));
    let switched = with_theirs(&waiting, &theirs, &wanted(&names, 1 + HOUR));
    let dropped = with_theirs(&switched, &theirs, &wanted(&names, 1 + HOUR + DAY));

    assert_eq!((active(&prepared), bundled(&prepared)), (active(&before), 3), "with the root above it");
    assert_eq!(active(&waiting), active(&before));
    assert_eq!((active(&switched), bundled(&switched)), (theirs.facts.fingerprint_sha256.clone(), 3));
    assert_eq!(bundled(&dropped), 2);
}

#[test]
fn l04_another_ca_in_the_secret_overlaps_too_and_so_does_the_way_back() {
    let names = names(&["team"]);
    let (one, other) = (theirs(), theirs());
    let first = authority(None, Some(Ok(&one)), &wanted(&names, 0)).unwrap();

    let prepared = with_theirs(&first, &other, &wanted(&names, 1));
    let switched = with_theirs(&prepared, &other, &wanted(&names, 1 + HOUR));
    let back = own(Some(&switched), &wanted(&names, 2 + HOUR));
    let ours = own(Some(&back), &wanted(&names, 2 + 2 * HOUR));

    assert_eq!(active(&prepared), one.facts.fingerprint_sha256);
    assert_eq!(active(&switched), other.facts.fingerprint_sha256);
    assert_eq!(active(&back), other.facts.fingerprint_sha256);
    assert_ne!(active(&ours), other.facts.fingerprint_sha256);
    let rest = own(Some(&ours), &wanted(&names, 3 + 2 * HOUR));
    assert_eq!(rest.data(), ours.data(), "it comes to rest");
}

#[test]
fn l04_only_a_ca_that_is_named_as_distrusted_goes_without_an_overlap() {
    let names = names(&["team"]);
    let before = own(None, &wanted(&names, 0));
    let leaked = active(&before);

    let after = own(Some(&before), &Wanted { distrusted: Some(&leaked), ..wanted(&names, 1) });
    let again = own(Some(&after), &Wanted { distrusted: Some(&leaked), ..wanted(&names, 2) });

    assert_ne!(active(&after), leaked);
    assert_eq!(bundled(&after), 1);
    assert_eq!(again.data(), after.data(), "an annotation that stays does nothing more");
}

#[test]
fn a_distrusted_ca_that_is_still_supplied_is_told_and_not_used_again() {
    let names = names(&["team"]);
    let (leaked, fresh) = (theirs(), theirs());
    let fingerprint = leaked.facts.fingerprint_sha256.clone();
    let before = authority(None, Some(Ok(&leaked)), &wanted(&names, 0)).unwrap();
    let distrusting = Wanted { distrusted: Some(&fingerprint), ..wanted(&names, 1) };

    let refused = authority(Some(&stored(&before)), Some(Ok(&leaked)), &distrusting).unwrap_err();
    let after = with_theirs(&before, &fresh, &distrusting);

    assert_eq!(refused.reason(), Reason::SecretInvalid);
    assert!(refused.to_string().contains("must not be trusted"), "{refused}");
    assert_eq!((active(&after), bundled(&after)), (fresh.facts.fingerprint_sha256.clone(), 2));
}

#[test]
fn l05_the_old_ca_stays_while_a_pod_serves_a_certificate_of_it() {
    let (few, more) = (names(&["team"]), names(&["team", "llm.example.org"]));
    let first = own(None, &wanted(&few, 0));
    let prepared = own(Some(&first), &wanted(&more, 0));
    let switched = own(Some(&prepared), &wanted(&more, HOUR));
    let old = active(&first);
    let users = |facts: &CertificateFacts| {
        let needed = facts.fingerprint_sha256 == old;
        needed.then(|| "pod team-1 serves certificate abc".to_owned()).into_iter().collect()
    };

    let held = own(Some(&switched), &Wanted { users: &users, ..wanted(&more, HOUR + DAY) });
    let dropped = own(Some(&held), &wanted(&more, HOUR + DAY + 15));

    assert_eq!(bundled(&held), 2);
    let trouble = held.trouble.unwrap();
    assert_eq!(trouble.reason, Reason::RolloverHeld);
    assert!(trouble.message.contains("pod team-1 serves certificate abc"), "{}", trouble.message);
    assert_eq!((bundled(&dropped), dropped.trouble), (1, None));
}

#[test]
fn l05_an_old_ca_that_has_ended_is_not_held() {
    let (few, more) = (names(&["team"]), names(&["team", "llm.example.org"]));
    let first = own(None, &wanted(&few, 0));
    let switched = own(Some(&own(Some(&first), &wanted(&more, 0))), &wanted(&more, HOUR));
    let users = |_: &CertificateFacts| vec!["pod team-1 has not told its certificate yet".to_owned()];

    let after = own(Some(&switched), &Wanted { users: &users, ..wanted(&more, 366 * DAY) });

    let bundle = after.bundle();
    let mut left = bundle.certificates().iter().map(|der| CertificateFacts::from_der(der).unwrap());
    assert!(left.all(|facts| facts.fingerprint_sha256 != active(&first)));
}

#[test]
fn l06_a_ca_that_ended_unattended_is_replaced_at_once() {
    let names = names(&["team"]);
    let first = own(None, &wanted(&names, 0));

    let after = own(Some(&first), &wanted(&names, 400 * DAY));

    assert_ne!(active(&after), active(&first));
    assert!(after.facts().lifetime.contains(at(400 * DAY)));
}

#[test]
fn l06_a_supplied_ca_near_its_end_is_told_and_replaced_at_once_when_there_is_another() {
    let names = names(&["team"]);
    let (old, new) = (theirs(), theirs());
    let first = authority(None, Some(Ok(&old)), &wanted(&names, 0)).unwrap();
    let late = wanted(&names, 3640 * DAY);
    let told = with_theirs(&first, &old, &late);

    let after = with_theirs(&told, &new, &late);

    assert_eq!(told.trouble.unwrap().reason, Reason::Expiring);
    assert_eq!(active(&after), new.facts.fingerprint_sha256, "nine tenths of the old one have passed");
}

#[test]
fn a_supplied_ca_outside_its_time_is_told_and_changes_nothing() {
    let (names, theirs) = (names(&["team"]), theirs());
    let before = own(None, &wanted(&names, 0));

    for (second, reason, expected) in
        [(3651 * DAY, Reason::Expired, "ended at"), (-10 * DAY, Reason::SecretInvalid, "is not valid before")]
    {
        let now = wanted(&names, second);
        let fresh = authority(None, Some(Ok(&theirs)), &now).unwrap_err();
        assert_eq!(fresh.reason(), reason);
        assert!(fresh.to_string().contains(expected), "{fresh}");
    }
    let trouble =
        Trouble { reason: Reason::SecretNotFound, message: "spec.tls.privateCa.secret: gone".into() };
    let kept = authority(Some(&stored(&before)), Some(Err(trouble.clone())), &wanted(&names, 1)).unwrap();
    assert_eq!(active(&kept), active(&before));
    assert_eq!(kept.trouble, Some(trouble));
}

#[test]
fn a_supplied_ca_for_other_names_is_told_with_the_names() {
    let theirs_only = names(&["elsewhere.example.org"]);
    let constrained =
        Ca::constrained("theirs", &theirs_only, Duration::from_secs(365 * 24 * 3600), fixtures::now())
            .unwrap();
    let (certificate, key) = (constrained.chain_pem(), constrained.key_pem());
    let message = resolved([("tls.crt", &certificate), ("tls.key", &key), ("ca.crt", "")]);
    assert_eq!(message, Ok(()), "the file itself is good");

    let ours = names(&["team.ai.svc"]);
    let supplied = supplied_of([("tls.crt", &certificate), ("tls.key", &key), ("ca.crt", "")]).unwrap();
    let error = authority(None, Some(Ok(&supplied)), &wanted(&ours, 0)).unwrap_err();

    assert!(error.to_string().contains("is not permitted to issue for team.ai.svc"), "{error}");
}

#[test]
fn a_self_signed_certificate_is_published_before_it_is_served_and_may_keep_its_key() {
    let names = names(&["team"]);
    let make = |before: Option<&Authority>, policy, second| {
        self_signed(before.map(stored).as_ref(), policy, &wanted(&names, second)).unwrap()
    };
    for policy in [RotationPolicy::Always, RotationPolicy::Never] {
        let first = make(None, policy, 0);
        let prepared = make(Some(&first), policy, 250 * DAY);
        let switched = make(Some(&prepared), policy, 251 * DAY);

        assert_eq!((active(&prepared), bundled(&prepared)), (active(&first), 2));
        assert_ne!(active(&switched), active(&first));
        let same_key = switched.facts().public_key_pin == first.facts().public_key_pin;
        assert_eq!(same_key, policy == RotationPolicy::Never);
        assert_eq!(bundled(&make(Some(&switched), policy, 253 * DAY)), 1);
    }
}

#[test]
fn a_secret_that_is_no_ca_is_named_with_its_key() {
    let (leaf, leaf_key, _) = fixtures::serving_pair();
    let (ca, key, root) = fixtures::supplied_ca();
    let (_, other_key, other_root) = fixtures::supplied_ca();
    let (alone, _) = ca.split_once("-----END CERTIFICATE-----").unwrap();
    let alone = format!("{alone}-----END CERTIFICATE-----\n");
    let files = |certificate: &str, key: &str, above: &str| {
        resolved([("tls.crt", certificate), ("tls.key", key), ("ca.crt", above)])
    };

    assert_eq!(files(&ca, &key, &root), Ok(()), "a root that is in both files");
    assert_eq!(files(&alone, &key, &root), Ok(()));
    for (found, expected) in [
        (
            files(&leaf, &leaf_key, ""),
            "tls.crt of Secret \"team-ca-of-the-company\": the certificate is not one of a CA",
        ),
        (files(&ca, &other_key, &root), "the private key does not belong to the CA certificate"),
        (files(&ca, "", &root), "has no key \"tls.key\""),
        (files(&ca, "garbage", &root), "tls.crt of Secret"),
        (files(&alone, &key, ""), "ca.crt of Secret \"team-ca-of-the-company\": the root above"),
        (files(&alone, &key, &other_root), "holds no issuer of tls.crt"),
    ] {
        let message = found.unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

fn supplied_of(files: [(&str, &str); 3]) -> Result<Supplied, String> {
    let entry = |(key, value): (&str, &str)| {
        let lookup = match value {
            "" => Lookup::NoKey,
            value => Lookup::Found(zeroize::Zeroizing::new(value.as_bytes().to_vec())),
        };
        (SecretKey { name: "team-ca-of-the-company".to_owned(), key: key.to_owned() }, lookup)
    };
    let referenced: Referenced = files.into_iter().map(entry).collect();
    match validate(&fixtures::proxy("own_ca"), &referenced).unwrap().tls {
        TlsMode::PrivateCa(_, Some(supplied)) => supplied.map(|it| *it).map_err(|missing| missing.message),
        _ => panic!("no CA of theirs"),
    }
}

fn resolved(files: [(&str, &str); 3]) -> Result<(), String> {
    supplied_of(files).map(drop)
}
