//! When to ask the pods of which LlmProxy. Pure: instants and random fractions are passed in.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// At rest.
const REST: Duration = Duration::from_secs(15);
/// After a change: the first wait, doubled up to the second.
const FIRST: Duration = Duration::from_millis(100);
const EAGER: Duration = Duration::from_secs(1);
/// After so many eager attempts the change is not coming by itself (refused content, unreachable pods): slow down.
const EAGER_ATTEMPTS: u32 = 60;
const PATIENT: Duration = Duration::from_secs(5);

/// The next visit to each LlmProxy, by UID.
#[derive(Debug, Default)]
pub struct Schedule {
    visits: HashMap<String, Visit>,
}

#[derive(Debug, Clone, Copy)]
struct Visit {
    at: Instant,
    attempt: u32,
}

impl Schedule {
    /// Something changed: visit now, and eagerly until it is settled.
    pub fn attend(&mut self, uid: &str, now: Instant) {
        self.visits.insert(uid.to_owned(), Visit { at: now, attempt: 0 });
    }

    /// Sees to it that this LlmProxy is visited at rest; `fraction` spreads the first visits.
    pub fn know(&mut self, uid: &str, now: Instant, fraction: f64) {
        self.visits.entry(uid.to_owned()).or_insert(Visit { at: now + REST.mul_f64(fraction), attempt: 0 });
    }

    /// Takes those that are due. Each must be answered by [`Self::settled`] or [`Self::pending`].
    pub fn take_due(&mut self, now: Instant) -> Vec<String> {
        let due: Vec<_> =
            self.visits.iter().filter(|(_, visit)| visit.at <= now).map(|(uid, _)| uid.clone()).collect();
        for visit in self.visits.values_mut().filter(|visit| visit.at <= now) {
            // Not again while the visit is on its way; both answers set the true time.
            visit.at = now + REST;
        }
        due
    }

    /// All is as expected: rest, give or take a fifth.
    pub fn settled(&mut self, uid: &str, now: Instant, fraction: f64) {
        if let Some(visit) = self.visits.get_mut(uid) {
            *visit = Visit { at: now + REST.mul_f64(0.8 + 0.4 * fraction), attempt: 0 };
        }
    }

    /// Something is still on its way.
    pub fn pending(&mut self, uid: &str, now: Instant) {
        if let Some(visit) = self.visits.get_mut(uid) {
            let eager = FIRST.saturating_mul(2_u32.saturating_pow(visit.attempt)).min(EAGER);
            let wait = if visit.attempt < EAGER_ATTEMPTS { eager } else { PATIENT };
            *visit = Visit { at: now + wait, attempt: visit.attempt.saturating_add(1) };
        }
    }

    /// When the next visit is due.
    pub fn next(&self) -> Option<Instant> {
        self.visits.values().map(|visit| visit.at).min()
    }

    /// Forgets those for which `keep` is false.
    pub fn keep(&mut self, keep: impl Fn(&str) -> bool) {
        self.visits.retain(|uid, _| keep(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_change_visits_are_quick_at_first_and_never_stop() {
        let mut schedule = Schedule::default();
        let start = Instant::now();
        schedule.attend("a", start);

        let mut waits = Vec::new();
        let mut now = start;
        for _ in 0..62 {
            assert_eq!(schedule.take_due(now), ["a"]);
            schedule.pending("a", now);
            let next = schedule.next().unwrap();
            waits.push(next.duration_since(now).as_millis());
            now = next;
        }

        assert_eq!(waits[..6], [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(waits[61], 5000);
    }

    #[test]
    fn at_rest_visits_are_spread_around_fifteen_seconds() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        schedule.attend("a", now);

        for (fraction, millis) in [(0.0, 12_000), (0.5, 15_000), (1.0, 18_000)] {
            schedule.settled("a", now, fraction);
            assert_eq!(schedule.next(), Some(now + Duration::from_millis(millis)));
        }
    }

    #[test]
    fn a_visit_on_its_way_is_not_taken_again() {
        let mut schedule = Schedule::default();
        let now = Instant::now();
        schedule.know("a", now, 0.0);

        assert_eq!(schedule.take_due(now), ["a"]);
        assert!(schedule.take_due(now).is_empty());
        schedule.keep(|_| false);
        assert_eq!(schedule.next(), None);
    }
}
