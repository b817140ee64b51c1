//! Whether an endpoint is worth a call: outlier ejection by consecutive failures. Pure: verdicts and the time go in.
//!
//! ```text
//!              5 failures in a row                   the time is up, one call goes
//!   in use ───────────────────────────▶ ejected ─────────────────────────────────▶ probing
//!      ▲                                   ▲                                          │
//!      │                                   └──────────── it failed: twice as long ────┤
//!      └────────────────────────────────────────────────────────── it was answered ───┘
//! ```
//!
//! Five in a row is Envoy's rule; one probe at a time, and a pause that doubles until one succeeds, are linkerd's. Who has no other
//! endpoint to go to is let through in any case (Envoy's panic mode; see `call/attempt.rs`): an ejection is a guess about the next
//! call, good for choosing between endpoints and too weak to turn a caller away. Otherwise one caller whose requests bring a model
//! down could take it from all others.
//!
//! A rate limit is no failure. It lets the endpoint rest for as long as the provider asks, and nobody is let through.

use std::time::{Duration, Instant};

/// Failures in a row after which an endpoint is ejected.
const MAX_FAILURES: u32 = 5;
/// How long for the first time.
const FIRST_EJECTION: Duration = Duration::from_secs(10);
/// How long at most.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);
/// How long a rate limit keeps us away at most: one odd header must not take a model out of use for a day.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What a call tells of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, be it with a refusal of that request.
    Answered,
    /// It did not, or not with what it should.
    Failed,
    /// It has had too many requests from us, and said when to come back.
    Limited(Duration),
    /// Nothing: the call never got there, or its caller went away.
    Nothing,
}

/// Whether a call may go to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    InUse,
    /// It may, and decides whether the endpoint is in use again.
    Probe,
    /// It had better not.
    Ejected,
    /// It must not before so much time has passed.
    Resting(Duration),
}

/// What a verdict changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Ejected for so long.
    Ejected(Duration),
    /// In use again.
    Recovered,
}

/// The state of one endpoint.
#[derive(Debug, Default)]
pub struct Health {
    /// In a row.
    failures: u32,
    /// In a row.
    ejections: u32,
    ejected_until: Option<Instant>,
    probing: bool,
    resting_until: Option<Instant>,
}

impl Health {
    /// Whether a call may go there now. A probe has to be followed by its verdict.
    pub fn admit(&mut self, now: Instant) -> Admission {
        if let Some(rest) = self.rest(now) {
            return Admission::Resting(rest);
        }
        match self.ejected_until {
            None => Admission::InUse,
            Some(until) if now >= until && !self.probing => {
                self.probing = true;
                Admission::Probe
            }
            Some(_) => Admission::Ejected,
        }
    }

    /// Takes the verdict of a call that was let through, in use, as a probe or for want of anything better.
    pub fn note(&mut self, verdict: Verdict, was_probe: bool, now: Instant) -> Option<Change> {
        if was_probe {
            self.probing = false;
        }
        match verdict {
            Verdict::Nothing => None,
            Verdict::Limited(rest) => {
                self.resting_until = self.resting_until.max(Some(now + rest.min(LONGEST_REST)));
                None
            }
            Verdict::Answered => {
                self.failures = 0;
                self.ejections = 0;
                self.ejected_until.take().map(|_| Change::Recovered)
            }
            Verdict::Failed => self.failed(was_probe, now),
        }
    }

    /// For how much longer it is ejected at least; zero while a probe is due or on its way.
    pub fn ejected_for(&self, now: Instant) -> Option<Duration> {
        self.ejected_until.map(|until| until.saturating_duration_since(now))
    }

    /// Whether nothing at all is held against it.
    pub fn is_spotless(&self, now: Instant) -> bool {
        self.failures == 0 && self.ejected_until.is_none() && self.rest(now).is_none()
    }

    /// For how much longer it rests.
    pub fn rest(&self, now: Instant) -> Option<Duration> {
        let rest = self.resting_until?.saturating_duration_since(now);
        Some(rest).filter(|rest| !rest.is_zero())
    }

    /// While it is ejected, failures of calls that were under way or had nowhere else to go say nothing new.
    fn failed(&mut self, was_probe: bool, now: Instant) -> Option<Change> {
        self.failures = self.failures.saturating_add(1);
        let ejects = match self.ejected_until {
            Some(_) => was_probe,
            None => self.failures >= MAX_FAILURES,
        };
        ejects.then(|| {
            let factor = 2_u32.saturating_pow(self.ejections);
            let time = FIRST_EJECTION.saturating_mul(factor).min(LONGEST_EJECTION);
            self.ejections = self.ejections.saturating_add(1);
            self.ejected_until = Some(now + time);
            Change::Ejected(time)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An endpoint and a clock that only the test moves.
    struct World {
        health: Health,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { health: Health::default(), now: Instant::now() }
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn admit(&mut self) -> Admission {
            self.health.admit(self.now)
        }

        fn note(&mut self, verdict: Verdict, was_probe: bool) -> Option<Change> {
            self.health.note(verdict, was_probe, self.now)
        }

        fn ejected() -> Self {
            let mut world = Self::new();
            for _ in 0..MAX_FAILURES {
                world.note(Verdict::Failed, false);
            }
            world
        }
    }

    fn ejected_for(seconds: u64) -> Change {
        Change::Ejected(Duration::from_secs(seconds))
    }

    #[test]
    fn e15_the_fifth_failure_in_a_row_ejects_and_an_answer_in_between_starts_the_count_anew() {
        let mut world = World::new();
        for verdict in [Verdict::Failed; 4].into_iter().chain([Verdict::Answered]).chain([Verdict::Failed; 4])
        {
            assert_eq!(world.note(verdict, false), None);
        }
        assert_eq!(world.admit(), Admission::InUse);

        assert_eq!(world.note(Verdict::Failed, false), Some(ejected_for(10)));
        assert_eq!(world.admit(), Admission::Ejected);
    }

    #[test]
    fn e15_after_the_pause_one_call_probes_while_all_others_stay_away() {
        let mut world = World::ejected();
        world.pass(9);
        assert_eq!(world.admit(), Admission::Ejected);

        world.pass(1);

        assert_eq!(world.admit(), Admission::Probe);
        assert_eq!((world.admit(), world.admit()), (Admission::Ejected, Admission::Ejected));
        assert_eq!(world.note(Verdict::Answered, true), Some(Change::Recovered));
        assert_eq!((world.admit(), world.admit()), (Admission::InUse, Admission::InUse));
    }

    #[test]
    fn e15_each_failed_probe_doubles_the_pause_up_to_five_minutes_and_a_good_one_resets_it() {
        let mut world = World::ejected();
        for seconds in [20, 40, 80, 160, 300, 300] {
            world.pass(300);
            assert_eq!(world.admit(), Admission::Probe);
            assert_eq!(world.note(Verdict::Failed, true), Some(ejected_for(seconds)));
        }

        world.pass(300);
        world.admit();
        world.note(Verdict::Answered, true);
        for _ in 1..MAX_FAILURES {
            world.note(Verdict::Failed, false);
        }

        assert_eq!(world.note(Verdict::Failed, false), Some(ejected_for(10)));
    }

    #[test]
    fn a_probe_whose_caller_goes_away_leaves_its_place_to_the_next_one() {
        let mut world = World::ejected();
        world.pass(10);
        assert_eq!(world.admit(), Admission::Probe);

        world.note(Verdict::Nothing, true);

        assert_eq!(world.admit(), Admission::Probe);
    }

    #[test]
    fn of_calls_that_are_no_probe_an_answer_ends_an_ejection_and_a_failure_does_not_prolong_it() {
        let mut world = World::ejected();
        world.pass(5);

        assert_eq!(world.note(Verdict::Failed, false), None);
        assert_eq!(world.health.ejected_for(world.now), Some(Duration::from_secs(5)));
        assert_eq!(world.note(Verdict::Answered, false), Some(Change::Recovered));
        assert_eq!(world.admit(), Admission::InUse);
    }

    #[test]
    fn e05_a_rate_limit_is_a_rest_of_at_most_a_minute_and_no_failure() {
        let mut world = World::new();
        for _ in 0..2 * MAX_FAILURES {
            assert_eq!(world.note(Verdict::Limited(Duration::from_secs(3)), false), None);
        }
        assert_eq!(world.admit(), Admission::Resting(Duration::from_secs(3)));
        world.pass(3);
        assert_eq!(world.admit(), Admission::InUse);

        world.note(Verdict::Limited(Duration::from_secs(86_400)), false);
        world.note(Verdict::Limited(Duration::ZERO), false);

        assert_eq!(world.admit(), Admission::Resting(LONGEST_REST));
    }

    #[test]
    fn a_probe_that_meets_a_rate_limit_is_followed_by_another_after_the_rest() {
        let mut world = World::ejected();
        world.pass(10);
        assert_eq!(world.admit(), Admission::Probe);

        world.note(Verdict::Limited(Duration::from_secs(7)), true);

        assert_eq!(world.admit(), Admission::Resting(Duration::from_secs(7)));
        world.pass(7);
        assert_eq!(world.admit(), Admission::Probe);
    }
}
