//! The certificate: which one clients meet, and the condition and the Event that speak of it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use vibectl_pki::{CertificateFacts, Lifetime};

use super::{News, Seen};
use crate::{
    acme,
    api::{
        LlmProxyStatus,
        conditions::{self, ConditionType, Finding, Reason},
        llm_proxy::CertificateStatus,
    },
    cert_manager::Progress,
    context::cache::NoAccess,
    llm_proxy::{
        authority::Trouble,
        gather::Order,
        validate::{AcmeOrder, TlsMode, Unresolved, ValidatedProxy},
    },
};

const KIND: ConditionType = ConditionType::CertificateReady;

/// A certificate that clients meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// For the status.
    pub status: CertificateStatus,
    /// From when it should have been renewed; unknown of one that only an earlier status tells of.
    pub overdue_at: Option<Timestamp>,
}

impl Served {
    fn of(facts: &CertificateFacts) -> Self {
        let Lifetime { not_after, .. } = facts.lifetime;
        let status = CertificateStatus {
            fingerprint: facts.fingerprint_sha256.clone(),
            pin: facts.public_key_pin.clone(),
            not_after: Time(not_after),
        };
        Self { status, overdue_at: Some(facts.lifetime.overdue_at()) }
    }
}

/// What clients meet: from the Secret where we can read it, else from the pods, else as it was known last.
pub(super) fn served(
    validated: &ValidatedProxy,
    seen: &Seen,
    previous: Option<CertificateStatus>,
) -> Option<Served> {
    if !validated.tls.is_encrypted() {
        return None;
    }
    match validated.tls.kept().map(|kept| &kept.pair).filter(|_| seen.hold.is_none()) {
        Some(Ok(pair)) => Some(Served::of(&pair.facts)),
        // What the pods hold on to.
        Some(Err(_)) => seen.certificate.clone(),
        None => {
            let before = previous.map(|status| Served { status, overdue_at: None });
            seen.certificate.clone().or(before)
        }
    }
}

/// Absent without TLS: there is no certificate to be ready.
pub(super) fn finding(
    validated: &ValidatedProxy,
    seen: &Seen,
    served: Option<&Served>,
    now: Timestamp,
) -> Option<Finding> {
    if !validated.tls.is_encrypted() {
        return None;
    }
    // While the pods are secured by something else, that is what clients meet.
    let trouble = trouble(validated, seen).filter(|_| seen.hold.is_none());
    let ended = served.filter(|served| served.status.not_after.0 <= now);
    Some(match (trouble, served) {
        (Some((_, why)), Some(served)) if ended.is_some() => Finding::no(
            KIND,
            Reason::Expired,
            format!("the certificate ended at {}; {why}", served.status.not_after.0),
        ),
        (Some((reason, why)), None) => Finding::no(KIND, reason, why),
        (Some((reason, why)), Some(served)) => {
            let until = served.status.not_after.0;
            Finding::no(
                KIND,
                reason,
                format!("{why}; the pods go on with the certificate that is good until {until}"),
            )
        }
        (None, Some(served)) => judged(served, seen, now),
        (None, None) => Finding::no(KIND, Reason::Pending, "no pod has told its certificate yet"),
    })
}

/// Why there is no usable pair, if so.
pub(super) fn trouble(validated: &ValidatedProxy, seen: &Seen) -> Option<(Reason, String)> {
    let missing = validated.tls.kept()?.pair.as_ref().err()?;
    Some(cause(validated, seen, missing))
}

/// With cert-manager it knows best, unless it has written something that cannot be used.
fn cause(validated: &ValidatedProxy, seen: &Seen, missing: &Unresolved) -> (Reason, String) {
    if let TlsMode::Acme(order, _) = &validated.tls {
        return acme_cause(validated, order, seen);
    }
    let unusable = missing.reason == Reason::SecretInvalid;
    match (&validated.tls, &seen.order) {
        (TlsMode::CertManager(..), Some(Order::NoApi(why))) => (Reason::CertManagerNotFound, no_api(*why)),
        (TlsMode::CertManager(..), Some(Order::Placed(progress))) if !unusable => {
            let reason = if progress.failed { Reason::IssuanceFailed } else { Reason::Pending };
            (reason, words(validated, progress))
        }
        (TlsMode::CertManager(..), _) if !unusable => {
            (Reason::Pending, "cert-manager is being asked for a certificate".to_owned())
        }
        _ => (missing.reason, missing.message.clone()),
    }
}

/// The ACME server's own words, where it said something.
fn acme_cause(validated: &ValidatedProxy, order: &AcmeOrder, seen: &Seen) -> (Reason, String) {
    if let Err(missing) = &order.access {
        return (missing.reason, missing.message.clone());
    }
    if validated.replicas == 0 {
        return (
            Reason::Pending,
            "nothing is ordered while spec.replicas is 0: pods answer the challenge".to_owned(),
        );
    }
    let server = &order.directory_url;
    let Some(Order::Acme(progress)) = &seen.order else {
        return (Reason::Pending, format!("a certificate is about to be ordered from {server}"));
    };
    if let Some(error) = &progress.error {
        return (Reason::IssuanceFailed, format!("{server}: {}", failure(error, progress)));
    }
    let challenge = order.challenge;
    let message = match &progress.ordering {
        Some(names) => format!("{server} is being asked for a certificate for {names}, by {challenge}"),
        None => format!("a certificate is about to be ordered from {server}"),
    };
    (Reason::Pending, message)
}

fn failure(error: &str, progress: &acme::state::Progress) -> String {
    let again = progress.again.map(|again| format!("; next attempt at {again}"));
    format!("{error}{}", again.unwrap_or_default())
}

/// A certificate that is there: past its end, about to be, or good; and whether a next one can be had.
fn judged(served: &Served, seen: &Seen, now: Timestamp) -> Finding {
    let order = seen.order.as_ref().filter(|_| seen.hold.is_none());
    let until = served.status.not_after.0;
    if until <= now {
        return Finding::no(KIND, Reason::Expired, format!("the certificate ended at {until}"));
    }
    let renewal = match order {
        Some(Order::Placed(progress)) => progress.renewal,
        Some(Order::Acme(progress)) => progress.renewal,
        Some(Order::NoApi(_) | Order::Placing) | None => None,
    };
    let overdue_at = renewal.map(|renewal| between(renewal, until)).or(served.overdue_at);
    let good = format!("the certificate is good until {until}");
    if let Some(Trouble { reason, message }) = &seen.trouble {
        return Finding::yes(KIND, *reason, format!("{good}; {message}"));
    }
    match order {
        Some(Order::NoApi(why)) => Finding::yes(
            KIND,
            Reason::CertManagerNotFound,
            format!("{good} and is not renewed: {}", no_api(*why)),
        ),
        Some(Order::Placed(progress)) if progress.failed => Finding::yes(
            KIND,
            Reason::IssuanceFailed,
            format!("{good}, but its renewal fails: {}", progress.message),
        ),
        Some(Order::Acme(progress)) if progress.error.is_some() => {
            let error = failure(progress.error.as_deref().unwrap_or_default(), progress);
            Finding::yes(
                KIND,
                Reason::IssuanceFailed,
                format!("{good}, but the order of another fails: {error}"),
            )
        }
        _ if overdue_at.is_some_and(|overdue| overdue <= now) => {
            Finding::yes(KIND, Reason::Expiring, format!("{good} and should have been renewed by now"))
        }
        _ => Finding::yes(KIND, Reason::Issued, good),
    }
}

fn between(one: Timestamp, other: Timestamp) -> Timestamp {
    one.checked_add(other.duration_since(one) / 2).unwrap_or(other)
}

fn words(validated: &ValidatedProxy, progress: &Progress) -> String {
    format!("Certificate {}: {}", validated.names.serving(), progress.message)
}

fn no_api(why: NoAccess) -> String {
    match why {
        NoAccess::NotServed => {
            "cert-manager is not installed: the API server does not know cert-manager.io/v1; install it, or choose another mode"
        }
        NoAccess::Forbidden => {
            "the operator may not read Certificates of cert-manager.io here: install the chart of this version"
        }
    }
    .to_owned()
}

/// What is worth an Event: a trouble that is new, and its end.
pub(super) fn news(before: Option<&LlmProxyStatus>, after: &LlmProxyStatus) -> Option<News> {
    let now = conditions::find(&after.conditions, KIND)?;
    let then = before.and_then(|before| conditions::find(&before.conditions, KIND));
    let good = !is_trouble(now);
    let changed = match then {
        Some(then) if good => is_trouble(then),
        Some(then) => then.reason != now.reason,
        None => !good,
    };
    changed.then(|| News { good, reason: now.reason.clone(), message: now.message.clone() })
}

/// Whether a person should look after the certificate.
pub fn has_trouble(status: &LlmProxyStatus) -> bool {
    conditions::find(&status.conditions, KIND).is_some_and(is_trouble)
}

fn is_trouble(condition: &Condition) -> bool {
    ![Reason::Issued, Reason::Pending].iter().any(|reason| condition.reason == reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cert_manager::Progress,
        llm_proxy::{dereference::Referenced, fixtures, validate::validate},
    };

    fn reason(order: Option<Order>, at: Timestamp) -> (Reason, String) {
        let validated = fixtures::validated("cert_manager");
        let seen = Seen { order, ..Seen::default() };
        let served = served(&validated, &seen, None);
        let finding = finding(&validated.at(at), &seen, served.as_ref(), at).unwrap();
        (finding.reason, finding.message)
    }

    /// Of the pair in the fixtures, which lives for thirty days.
    fn day(day: i64) -> Timestamp {
        fixtures::now() + jiff::SignedDuration::from_hours(24 * day)
    }

    #[test]
    fn a_certificate_that_was_not_renewed_in_time_is_told_before_it_ends() {
        let placed = |renewal| Some(Order::Placed(Progress { ready: true, renewal, ..Progress::default() }));

        assert_eq!(reason(placed(None), day(24)).0, Reason::Issued);
        assert_eq!(reason(placed(None), day(26)).0, Reason::Expiring);
        assert_eq!(reason(placed(Some(day(28))), day(26)).0, Reason::Issued);
        assert_eq!(reason(placed(None), day(31)).0, Reason::Expired);
    }

    #[test]
    fn proof_7_a_pair_outside_its_time_is_told_and_what_pods_hold_on_to_is_still_ready() {
        let validated = fixtures::validated("own_certificate");
        let in_pods = Served::of(&validated.tls.kept().unwrap().pair.as_ref().unwrap().facts);
        let finding = |replaced_at: Timestamp, held: &Served, now| {
            let seen = Seen { certificate: Some(held.clone()), ..Seen::default() };
            let at = validated.clone().at(replaced_at);
            let served = served(&at, &seen, None);
            finding(&at, &seen, served.as_ref(), now).unwrap()
        };

        let replaced = finding(day(40), &in_pods, day(1));
        let ended = finding(day(40), &in_pods, day(40));

        assert_eq!(replaced.reason, Reason::SecretInvalid);
        assert!(
            replaced.message.contains("ended at") && replaced.message.contains("the pods go on"),
            "{}",
            replaced.message
        );
        assert_eq!(ended.reason, Reason::Expired);
        assert_eq!(validated.clone().at(day(1)).unresolved().len(), 0);
    }

    #[test]
    fn trouble_of_cert_manager_is_told_while_the_certificate_is_still_good() {
        let failed = Order::Placed(Progress {
            failed: true,
            message: "the issuer is away".into(),
            ..Progress::default()
        });

        let (failing, message) = reason(Some(failed), day(1));

        assert_eq!(failing, Reason::IssuanceFailed);
        assert!(message.contains("renewal fails: the issuer is away"), "{message}");
        assert_eq!(reason(Some(Order::NoApi(NoAccess::NotServed)), day(1)).0, Reason::CertManagerNotFound);
    }

    #[test]
    fn without_a_pair_cert_manager_is_asked_why() {
        let proxy = fixtures::proxy("cert_manager");
        let validated = validate(&proxy, &Referenced::default()).unwrap();
        let reason = |order| {
            let seen = Seen { order: Some(order), ..Seen::default() };
            finding(&validated, &seen, None, day(0)).unwrap()
        };

        let waiting = reason(Order::Placed(Progress {
            message: "Secret does not exist".into(),
            ..Progress::default()
        }));
        let missing = reason(Order::NoApi(NoAccess::NotServed));

        assert_eq!(waiting.reason, Reason::Pending);
        assert_eq!(waiting.message, "Certificate team-serving: Secret does not exist");
        assert_eq!(missing.reason, Reason::CertManagerNotFound);
        assert!(missing.message.contains("cert-manager is not installed"), "{}", missing.message);
        assert_eq!(reason(Order::Placing).reason, Reason::Pending);
    }

    #[test]
    fn how_an_order_with_an_acme_server_is_doing_is_told_with_its_words_and_the_next_attempt() {
        use crate::acme::state::Progress;
        let (proxy, ordered) = (fixtures::proxy("acme"), fixtures::validated("acme"));
        let referenced: Referenced = fixtures::complete(&proxy).without("team-acme");
        let waiting = validate(&proxy, &referenced).unwrap();
        let told = |validated: &ValidatedProxy, progress: &Progress| {
            let seen = Seen { order: Some(Order::Acme(progress.clone())), ..Seen::default() };
            let served = served(validated, &seen, None);
            let finding = finding(&validated.clone().at(day(1)), &seen, served.as_ref(), day(1)).unwrap();
            (finding.reason, finding.message)
        };
        let ordering = Progress { ordering: Some("llm.example.org".into()), ..Progress::default() };
        let failed = Progress { error: Some("no such name".into()), again: Some(day(2)), ..ordering.clone() };

        let (pending, message) = told(&waiting, &ordering);
        assert_eq!(pending, Reason::Pending);
        assert!(
            message.ends_with("is being asked for a certificate for llm.example.org, by http-01"),
            "{message}"
        );
        let (failing, message) = told(&waiting, &failed);
        assert_eq!(failing, Reason::IssuanceFailed);
        assert!(message.contains(&format!("no such name; next attempt at {}", day(2))), "{message}");
        let (renewing, message) = told(&ordered, &failed);
        assert_eq!(renewing, Reason::IssuanceFailed);
        assert!(message.contains("good until") && message.contains("no such name"), "{message}");
        assert_eq!(told(&ordered, &ordering).0, Reason::Issued);
    }

    #[test]
    fn a_trouble_is_news_once_and_so_is_its_end() {
        let status = |reason| {
            let found = vec![Finding::yes(KIND, reason, "")];
            let conditions = conditions::merge(&[], found, None, day(0));
            LlmProxyStatus { conditions, ..LlmProxyStatus::default() }
        };
        let [issued, expiring] = [Reason::Issued, Reason::Expiring].map(status);

        assert!(!news(Some(&issued), &expiring).unwrap().good);
        assert!(news(Some(&expiring), &issued).unwrap().good);
        assert_eq!(news(Some(&expiring), &expiring), None);
        assert_eq!(news(None, &issued), None);
    }
}
