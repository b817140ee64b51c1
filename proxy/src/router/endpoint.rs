//! One model of one provider: what is ejected as one. Not the provider as a whole, since a hoster whose one model is overloaded still
//! serves the others; not the route, since models of the config that lead to the same place fail together.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::health::{Admission, Change, Health, Verdict};

/// The health of an endpoint, shared by all calls. As long as all is well, a call costs two loads of an atomic.
#[derive(Debug, Default)]
pub struct Endpoint {
    /// Whether there is anything in `health` that a call has to look at.
    troubled: AtomicBool,
    health: Mutex<Health>,
}

/// A call that was let through. Dropped without a verdict it has told nothing, which frees the place of a probe.
#[derive(Debug)]
pub struct Trial<'a> {
    endpoint: &'a Endpoint,
    is_probe: bool,
    is_over: bool,
}

/// Why a call is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// It failed too often.
    Ejected,
    /// It asked to be left alone for so long.
    Resting(Duration),
}

impl Endpoint {
    /// Lets a call through if the endpoint is worth it.
    pub fn admit(&self, now: Instant) -> Result<Trial<'_>, Away> {
        let admission = if self.troubled.load(Relaxed) { self.lock().admit(now) } else { Admission::InUse };
        match admission {
            Admission::InUse => Ok(self.trial(false)),
            Admission::Probe => Ok(self.trial(true)),
            Admission::Ejected => Err(Away::Ejected),
            Admission::Resting(rest) => Err(Away::Resting(rest)),
        }
    }

    /// Lets a call through that has nowhere else to go, unless the provider asked to be left alone.
    pub fn admit_anyway(&self, now: Instant) -> Result<Trial<'_>, Away> {
        match self.lock().rest(now) {
            Some(rest) => Err(Away::Resting(rest)),
            None => Ok(self.trial(false)),
        }
    }

    /// For how much longer it is ejected at least, if it is.
    pub fn ejected_for(&self, now: Instant) -> Option<Duration> {
        self.lock().ejected_for(now)
    }

    fn trial(&self, is_probe: bool) -> Trial<'_> {
        Trial { endpoint: self, is_probe, is_over: false }
    }

    fn note(&self, verdict: Verdict, was_probe: bool, now: Instant) -> Option<Change> {
        if !self.troubled.load(Relaxed) && matches!(verdict, Verdict::Answered | Verdict::Nothing) {
            return None;
        }
        let mut health = self.lock();
        let change = health.note(verdict, was_probe, now);
        self.troubled.store(!health.is_spotless(now), Relaxed);
        change
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial<'_> {
    /// Ends the trial with what the call has told.
    pub fn conclude(mut self, verdict: Verdict, now: Instant) -> Option<Change> {
        self.is_over = true;
        self.endpoint.note(verdict, self.is_probe, now)
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.endpoint.note(Verdict::Nothing, self.is_probe, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e15_of_many_calls_at_once_exactly_one_probes() {
        let endpoint = Endpoint::default();
        let start = Instant::now();
        for _ in 0..5 {
            endpoint.admit(start).expect("in use").conclude(Verdict::Failed, start);
        }
        let later = start + Duration::from_secs(10);

        let trials: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| endpoint.admit(later))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });

        assert_eq!(trials.iter().filter(|trial| trial.is_ok()).count(), 1);
        drop(trials);
        let probe = endpoint.admit(later).expect("the place of the probe is free again");
        assert_eq!(probe.conclude(Verdict::Answered, later), Some(Change::Recovered));
        assert!(!endpoint.troubled.load(Relaxed), "all is well, so calls cost nothing again");
    }

    #[test]
    fn failures_that_an_answer_follows_are_forgotten() {
        let endpoint = Endpoint::default();
        let now = Instant::now();

        for verdict in [Verdict::Failed, Verdict::Failed, Verdict::Answered] {
            endpoint.admit(now).expect("in use").conclude(verdict, now);
        }

        assert!(!endpoint.troubled.load(Relaxed));
        assert_eq!(endpoint.ejected_for(now), None);
    }
}
