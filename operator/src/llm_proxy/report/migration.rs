//! The migration from a former server: the condition and the Event that speak of its end, ahead of it and at it.

use jiff::{SignedDuration, Timestamp};

use super::{News, Seen};
use crate::{
    api::{
        LlmProxyStatus,
        conditions::{self, ConditionType, Finding, Reason, State},
    },
    llm_proxy::validate::{Migration, ValidatedProxy},
};

const KIND: ConditionType = ConditionType::Migrating;

/// How long before its end it is told.
const AHEAD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// When the condition changes next by time alone.
pub fn due(migration: &Migration, now: Timestamp) -> Option<Timestamp> {
    [ahead_of(migration.until), migration.until].into_iter().find(|moment| *moment > now)
}

/// Absent where there is no migration.
pub(super) fn finding(validated: &ValidatedProxy, seen: &Seen, now: Timestamp) -> Option<Finding> {
    let migration = validated.migration.as_ref()?;
    let Migration { secret, issuer, until, subjects } = migration;
    if *until <= now {
        let message = format!(
            "ended at {until}: no token of the shared secret is accepted any longer; remove spec.access.migration, and \
             the Secret {:?} where nothing else needs it",
            secret.source.name
        );
        return Some(Finding::no(KIND, Reason::MigrationEnded, message));
    }
    if let Some(unresolved) = &secret.unresolved {
        return Some(Finding::no(KIND, unresolved.reason, unresolved.message.clone()));
    }
    let count = subjects.len();
    let without = match seen.without_row.as_slice() {
        [] => String::new(),
        without => format!("; their ProxyTokens have no access: {}", without.join(", ")),
    };
    let message =
        format!("tokens of issuer {issuer:?} are accepted until {until}, of {count} subjects{without}");
    let reason = if ahead_of(*until) <= now { Reason::MigrationEnding } else { Reason::MigrationOpen };
    Some(Finding::yes(KIND, reason, message))
}

/// That it ends soon, that it has ended, and trouble with the secret and its end.
pub(super) fn news(before: Option<&LlmProxyStatus>, after: &LlmProxyStatus) -> Option<News> {
    let now = conditions::find(&after.conditions, KIND)?;
    let then = before.and_then(|before| conditions::find(&before.conditions, KIND));
    let open = Reason::MigrationOpen.as_str();
    let changed = match then {
        Some(then) => then.reason != now.reason,
        None => now.reason != open,
    };
    let good = now.status == State::True.as_str() && now.reason == open;
    changed.then(|| News { good, reason: now.reason.clone(), message: now.message.clone() })
}

fn ahead_of(until: Timestamp) -> Timestamp {
    until.checked_sub(AHEAD).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm_proxy::{dereference::Referenced, fixtures, validate::validate};

    /// So many hours before the end.
    fn before_end(hours: i64) -> Timestamp {
        fixtures::validated("migration").migration.unwrap().until - SignedDuration::from_hours(hours)
    }

    fn told(seen: &Seen, at: Timestamp) -> (Reason, State, String) {
        let found = finding(&fixtures::validated("migration"), seen, at).unwrap();
        (found.reason, found.state, found.message)
    }

    #[test]
    fn its_end_is_told_a_week_ahead_and_at_that_moment() {
        let reason = |hours| told(&Seen::default(), before_end(hours)).0;
        let migration = fixtures::validated("migration").migration.unwrap();

        assert_eq!(reason(169), Reason::MigrationOpen);
        assert_eq!(reason(168), Reason::MigrationEnding);
        assert_eq!(reason(1), Reason::MigrationEnding);
        assert_eq!(reason(0), Reason::MigrationEnded);
        let next = |hours| due(&migration, before_end(hours));
        assert_eq!([next(169), next(168), next(0)], [Some(before_end(168)), Some(before_end(0)), None]);
    }

    #[test]
    fn subjects_whose_tokens_have_no_row_are_named() {
        let seen = Seen { without_row: vec!["old-bot (bot)".to_owned()], ..Seen::default() };

        let (_, state, message) = told(&seen, before_end(200));

        assert_eq!(state, State::True);
        assert!(message.contains("2 subjects") && message.ends_with("no access: old-bot (bot)"), "{message}");
    }

    #[test]
    fn a_secret_that_is_missing_or_short_is_told_and_nothing_of_it_is_usable() {
        let proxy = fixtures::proxy("migration");
        let missing = validate(&proxy, &Referenced::default()).unwrap();
        let short = validate(&proxy, &fixtures::with_content(&proxy, b"short")).unwrap();

        for (validated, reason) in [(missing, Reason::SecretNotFound), (short, Reason::SecretInvalid)] {
            let found = finding(&validated, &Seen::default(), before_end(200)).unwrap();

            assert_eq!((found.state, found.reason), (State::False, reason), "{}", found.message);
            assert!(found.message.starts_with("spec.access.migration.secret: "), "{}", found.message);
            assert!(!found.message.contains("short\""), "{}", found.message);
            assert_eq!(validated.migration.as_ref().unwrap().usable_secret(), None);
            assert_eq!(validated.unresolved().len(), 1);
        }
    }

    #[test]
    fn each_change_is_news_once_and_an_open_one_from_the_start_is_none() {
        let status = |hours| {
            let found =
                finding(&fixtures::validated("migration"), &Seen::default(), before_end(hours)).unwrap();
            let conditions = conditions::merge(&[], vec![found], None, before_end(hours));
            LlmProxyStatus { conditions, ..LlmProxyStatus::default() }
        };
        let [open, ending, ended] = [300, 100, 0].map(status);

        assert_eq!(news(None, &open), None);
        assert_eq!(news(Some(&ending), &ending), None);
        assert_eq!(news(Some(&open), &ending).map(|news| news.reason).as_deref(), Some("MigrationEnding"));
        assert_eq!(news(Some(&ending), &ended).map(|news| news.good), Some(false));
        assert!(news(None, &ending).is_some(), "a new operator has the status of the old one");
    }
}
