//! One candidate's view of the lease: what it saw, what it may write next, and whether it leads. Pure.
//!
//! Why two can never lead at once: a leader stops [`Timing::renew_deadline`] after it *sent* its last successful
//! write. Another candidate writes only [`Timing::duration`] after it *saw* that write's version for the first time,
//! which is later than it was sent. The deadline is shorter than the duration, only local monotonic clocks are
//! compared, and each write names the version it replaces, so of two writers one gets a conflict.

use std::time::{Duration, Instant};

/// How long things take. The defaults are those of Kubernetes' own controllers.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a lease is good without renewal.
    pub duration: Duration,
    /// How long a leader goes on without a successful renewal. Shorter than `duration`.
    pub renew_deadline: Duration,
    /// Pause between two looks at the lease.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What the lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The object's resource version.
    pub version: String,
    /// Who holds it; `None` when it was released.
    pub holder: Option<String>,
    /// For how long the holder asked.
    pub duration: Duration,
}

/// What a candidate should do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Create the lease: there is none.
    Create,
    /// Replace exactly this version with a lease of our own.
    Replace {
        /// The version that the write must name.
        version: String,
        /// False when we hold the lease already and only renew it.
        transition: bool,
    },
    /// Someone else holds it.
    Wait,
}

/// One candidate.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    timing: Timing,
    seen: Option<(Record, Instant)>,
    leads_until: Option<Instant>,
}

impl Candidate {
    /// A candidate that has seen nothing yet. The identity must differ from that of every other process.
    pub fn new(identity: impl Into<String>, timing: Timing) -> Self {
        Self { identity: identity.into(), timing, seen: None, leads_until: None }
    }

    /// The name it writes into the lease.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Takes note of a lease read at `now`; `None` when there is none.
    pub fn saw(&mut self, record: Option<Record>, now: Instant) {
        let lost = record.as_ref().is_none_or(|record| !self.holds(record));
        if lost {
            self.leads_until = None;
        }
        self.seen = record.map(|record| match self.seen.take() {
            Some((earlier, since)) if earlier.version == record.version => (record, since),
            _ => (record, now),
        });
    }

    /// What to write now.
    pub fn next(&self, now: Instant) -> Step {
        let Some((record, since)) = &self.seen else { return Step::Create };
        let held = self.holds(record);
        let lasts = record.duration.max(self.timing.duration);
        if held || record.holder.is_none() || now.duration_since(*since) >= lasts {
            return Step::Replace { version: record.version.clone(), transition: !held };
        }
        Step::Wait
    }

    /// Our write, sent at `sent`, was accepted and gave `record`; the answer came at `now`.
    pub fn wrote(&mut self, record: Record, sent: Instant, now: Instant) {
        self.leads_until = Some(sent + self.timing.renew_deadline);
        self.seen = Some((record, now));
    }

    /// Whether this candidate may act as leader at `now`.
    pub fn leads(&self, now: Instant) -> bool {
        self.leads_until.is_some_and(|until| now < until)
    }

    /// Until when it may act as leader without another renewal.
    pub fn leads_until(&self) -> Option<Instant> {
        self.leads_until
    }

    /// The version to name when the lease is given back; `None` when there is nothing to give back.
    pub fn release(&mut self) -> Option<String> {
        self.leads_until.take()?;
        let (record, _) = self.seen.take()?;
        self.holds(&record).then_some(record.version)
    }

    fn holds(&self, record: &Record) -> bool {
        record.holder.as_deref() == Some(self.identity.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(version: &str, holder: Option<&str>) -> Record {
        Record {
            version: version.to_owned(),
            holder: holder.map(str::to_owned),
            duration: Duration::from_secs(15),
        }
    }

    fn replace(version: &str, transition: bool) -> Step {
        Step::Replace { version: version.to_owned(), transition }
    }

    #[test]
    fn an_absent_lease_is_created_and_a_released_one_is_taken_at_once() {
        let now = Instant::now();
        let mut candidate = Candidate::new("a", Timing::default());
        assert_eq!(candidate.next(now), Step::Create);

        candidate.saw(Some(record("1", None)), now);

        assert_eq!(candidate.next(now), replace("1", true));
    }

    #[test]
    fn a_held_lease_expires_only_after_its_version_stood_still_for_the_whole_duration() {
        let start = Instant::now();
        let mut candidate = Candidate::new("a", Timing::default());
        candidate.saw(Some(record("1", Some("b"))), start);
        candidate.saw(Some(record("1", Some("b"))), start + Duration::from_secs(14));
        assert_eq!(candidate.next(start + Duration::from_secs(14)), Step::Wait);

        candidate.saw(Some(record("2", Some("b"))), start + Duration::from_secs(15));
        assert_eq!(candidate.next(start + Duration::from_secs(29)), Step::Wait);

        assert_eq!(candidate.next(start + Duration::from_secs(30)), replace("2", true));
    }

    #[test]
    fn a_leader_that_reads_another_holder_or_no_lease_stops_at_once() {
        for found in [Some(record("9", Some("b"))), None] {
            let now = Instant::now();
            let mut candidate = Candidate::new("a", Timing::default());
            candidate.wrote(record("1", Some("a")), now, now);
            assert!(candidate.leads(now));

            candidate.saw(found, now);

            assert!(!candidate.leads(now));
        }
    }

    #[test]
    fn a_leader_counts_its_deadline_from_when_it_sent_the_renewal() {
        let sent = Instant::now();
        let mut candidate = Candidate::new("a", Timing::default());

        candidate.wrote(record("1", Some("a")), sent, sent + Duration::from_secs(9));

        assert!(candidate.leads(sent + Duration::from_millis(9_999)));
        assert!(!candidate.leads(sent + Duration::from_secs(10)));
    }

    /// The API server: one lease, versions that only grow.
    #[derive(Default)]
    struct Server {
        lease: Option<Record>,
        writes: u64,
    }

    impl Server {
        fn write(&mut self, step: &Step, identity: &str) -> Option<Record> {
            let accepted = match (step, &self.lease) {
                (Step::Create, None) => true,
                (Step::Replace { version, .. }, Some(lease)) => *version == lease.version,
                _ => false,
            };
            accepted.then(|| {
                self.writes += 1;
                self.lease = Some(record(&self.writes.to_string(), Some(identity)));
                self.lease.clone().unwrap()
            })
        }
    }

    /// A write on its way: it reaches the server at `commits`, its answer (if any) comes back at `answers`.
    struct InFlight {
        step: Step,
        sent: Instant,
        commits: Instant,
        answers: Option<Instant>,
        result: Reply,
    }

    /// What the server made of it.
    enum Reply {
        NotThereYet,
        Refused,
        Accepted(Record),
    }

    struct Actor {
        candidate: Candidate,
        flight: Option<InFlight>,
    }

    #[derive(Debug, Clone)]
    struct Move {
        who: usize,
        advance_ms: u64,
        read: bool,
        commit_ms: u64,
        answer_ms: Option<u64>,
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = (0..2_usize, 0..8_000_u64, any::<bool>(), 0..20_000_u64, prop::option::of(0..20_000_u64))
            .prop_map(|(who, advance_ms, read, commit_ms, answer_ms)| Move {
                who,
                advance_ms,
                read,
                commit_ms,
                answer_ms,
            });
        prop::collection::vec(one, 1..120)
    }

    /// Lets everything happen that is due until `now`, in the order in which it is due.
    fn settle(actors: &mut [Actor], server: &mut Server, now: Instant) {
        let mut due: Vec<(Instant, usize)> = actors
            .iter()
            .enumerate()
            .filter_map(|(index, actor)| actor.flight.as_ref().map(|flight| (flight.commits, index)))
            .filter(|(at, _)| *at <= now)
            .collect();
        due.sort();
        for (_, index) in due {
            let actor = &mut actors[index];
            let identity = actor.candidate.identity().to_owned();
            let flight = actor.flight.as_mut().unwrap();
            if matches!(flight.result, Reply::NotThereYet) {
                flight.result = server.write(&flight.step, &identity).map_or(Reply::Refused, Reply::Accepted);
            }
        }
        for actor in actors {
            let Some(flight) = actor.flight.take_if(|flight| flight.answers.unwrap_or(flight.commits) <= now)
            else {
                continue;
            };
            if let (Some(at), Reply::Accepted(record)) = (flight.answers, flight.result) {
                actor.candidate.wrote(record, flight.sent, at);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn two_candidates_never_lead_at_once(moves in moves()) {
            let mut now = Instant::now();
            let mut server = Server::default();
            let mut actors = ["a", "b"]
                .map(|name| Actor { candidate: Candidate::new(name, Timing::default()), flight: None });

            for step in moves {
                now += Duration::from_millis(step.advance_ms);
                settle(&mut actors, &mut server, now);
                let leaders = actors.iter().filter(|actor| actor.candidate.leads(now)).count();
                prop_assert!(leaders <= 1, "two leaders");

                let actor = &mut actors[step.who];
                if step.read {
                    actor.candidate.saw(server.lease.clone(), now);
                } else if actor.flight.is_none() && actor.candidate.next(now) != Step::Wait {
                    let commits = now + Duration::from_millis(step.commit_ms);
                    actor.flight = Some(InFlight {
                        step: actor.candidate.next(now),
                        sent: now,
                        commits,
                        answers: step.answer_ms.map(|ms| commits + Duration::from_millis(ms)),
                        result: Reply::NotThereYet,
                    });
                }
            }
        }
    }
}
