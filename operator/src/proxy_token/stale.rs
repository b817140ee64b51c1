//! Whoever still calls with an earlier credential that ends soon, although the Secret has had a newer one for long: when that
//! ends, the calls fail. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use vibectl_proto::fleet::v1::{LateCredential, ReportResponse};
use vibectl_token::renewal::TIME_TO_FOLLOW;

use super::rotate::Issuance;
use crate::api::proxy_token::StaleCredential;

/// Reason of the Event.
pub const REASON: &str = "StaleCredential";

/// The newest one that any pod was shown late in its life, when the newest there is had been there for as long as following
/// it takes. What was told stays until it has ended: pods that have forgotten say nothing of it.
pub fn stale(
    before: Option<&StaleCredential>,
    token_uid: &str,
    newest: &Issuance,
    reports: &[&ReportResponse],
    now: Timestamp,
) -> Option<StaleCredential> {
    let used = reports.iter().flat_map(|report| &report.usage).filter(|used| used.token_uid == token_uid);
    let followable = newest.iat.saturating_add(TIME_TO_FOLLOW);
    let late = used.filter_map(|used| used.late.as_ref()).filter(|late| late.last_used >= followable);
    let candidates = late.filter_map(told).chain(before.cloned());
    candidates
        .filter(|stale| stale.issued_at.0.as_second() < newest.iat && stale.expires_at.0 > now)
        .max_by_key(|stale| stale.issued_at.0)
}

/// What the Event says, where there is something new to say.
pub fn news(
    before: Option<&StaleCredential>,
    after: Option<&StaleCredential>,
    secret: &str,
) -> Option<String> {
    let after = after.filter(|after| Some(*after) != before)?;
    Some(format!(
        "still used with the credential that ends at {}, although Secret {secret} has a newer one: its client does not follow \
         the Secret",
        after.expires_at.0
    ))
}

fn told(late: &LateCredential) -> Option<StaleCredential> {
    let LateCredential { issued_at, expires_at, last_used: _ } = late;
    let [issued_at, expires_at] = [*issued_at, *expires_at].map(Timestamp::from_second);
    Some(StaleCredential { issued_at: Time(issued_at.ok()?), expires_at: Time(expires_at.ok()?) })
}

#[cfg(test)]
mod tests {
    use vibectl_proto::fleet::v1::TokenUsage;

    use super::*;

    fn report(token: &str, late: Option<(i64, i64)>) -> ReportResponse {
        let late =
            late.map(|(issued_at, expires_at)| LateCredential { issued_at, expires_at, last_used: 320 });
        let used = TokenUsage { token_uid: token.to_owned(), late, ..TokenUsage::default() };
        ReportResponse { usage: vec![used], ..ReportResponse::default() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn found(
        before: Option<&StaleCredential>,
        reports: &[ReportResponse],
        now: i64,
    ) -> Option<StaleCredential> {
        let newest = Issuance { kid: "k".to_owned(), iat: 200, exp: 1200 };
        stale(before, "t", &newest, &reports.iter().collect::<Vec<_>>(), at(now))
    }

    fn credential(issued_at: i64, expires_at: i64) -> StaleCredential {
        StaleCredential { issued_at: Time(at(issued_at)), expires_at: Time(at(expires_at)) }
    }

    #[test]
    fn an_earlier_one_in_late_use_is_told_and_the_newest_or_anothers_is_not() {
        let late = |token: &str, issued_at| found(None, &[report(token, Some((issued_at, 900)))], 800);

        assert_eq!(late("t", 100), Some(credential(100, 900)));
        assert_eq!(late("t", 200), None, "there is no newer one: nothing that a client could follow");
        assert_eq!(late("other", 100), None);
        assert_eq!(found(None, &[report("t", None)], 800), None);
        let newest = Issuance { kid: "k".to_owned(), iat: 201, exp: 1200 };
        let soon = stale(None, "t", &newest, &[&report("t", Some((100, 900)))], at(800));
        assert_eq!(soon, None, "nobody could have followed it by then");
    }

    #[test]
    fn it_is_told_once_for_each_issuance_whichever_pods_say_so_and_forgotten_when_it_has_ended() {
        let first = found(None, &[report("t", Some((50, 850)))], 800);
        let both = found(first.as_ref(), &[report("t", Some((100, 900))), report("t", Some((50, 850)))], 800);
        let again = found(both.as_ref(), &[report("t", Some((50, 850)))], 800);
        let restarted = found(both.as_ref(), &[], 899);
        let ended = found(both.as_ref(), &[report("t", Some((100, 900)))], 900);

        assert_eq!(both, Some(credential(100, 900)));
        assert_eq!((again.clone(), restarted, ended), (both.clone(), both.clone(), None));
        assert!(news(first.as_ref(), both.as_ref(), "alice").unwrap().contains("Secret alice"));
        assert_eq!(news(both.as_ref(), again.as_ref(), "alice"), None);
        assert_eq!(news(both.as_ref(), None, "alice"), None);
    }
}
