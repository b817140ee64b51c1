//! Limits on calls, per replica: requests per minute, concurrency, input length. Deciding is pure maths in
//! [`rate`], [`effective`] and [`registry`]; this file has the types that the request path holds.
//!
//! One mutex guards all counters: a call must be checked against three scopes and then counted in all of them or in
//! none, and the work under the lock is a few additions.

pub mod effective;
pub mod rate;
pub mod registry;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::caller::Caller;
use crate::limits::effective::Effective;
use crate::limits::registry::Registry;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// Requests per minute.
    Rate,
    /// Calls at the same time.
    Concurrency,
    /// Characters of the input.
    Input,
}

impl LimitKind {
    /// Value of the `limit-type` trailer and of the metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rpm",
            Self::Concurrency => "concurrency",
            Self::Input => "input",
        }
    }
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole replica.
    Total,
    /// The consuming namespace.
    Namespace,
    /// The caller alone.
    Caller,
}

/// A call that a limit refused. It was counted nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct Refused {
    /// What was exceeded.
    pub kind: LimitKind,
    /// Whose limit it was.
    pub scope: Scope,
    /// The limit.
    pub maximum: u32,
    /// Time after which a call of this caller is admitted; zero when that depends on calls that still run, or never helps.
    pub retry_after: Duration,
}

impl Refused {
    /// Value of the `retry-after-ms` trailer, rounded up.
    pub fn retry_after_ms(&self) -> u64 {
        u64::try_from(self.retry_after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// The first words are those of the original server.
    fn message(&self) -> String {
        let Self { kind, scope, maximum, .. } = self;
        let whose = match scope {
            Scope::Total => "this server",
            Scope::Namespace => "your namespace",
            Scope::Caller => "this token",
        };
        match kind {
            LimitKind::Rate => {
                format!("Rate limit (RPM) exceeded: {maximum} requests per minute for {whose}")
            }
            LimitKind::Concurrency => {
                format!("Concurrent request limit exceeded: {maximum} at the same time for {whose}")
            }
            LimitKind::Input => format!("Input length limit exceeded: {maximum} characters for {whose}"),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Characters of all fragments together.
    pub input_length: usize,
    /// True for a streamed answer.
    pub stream: bool,
}

/// Counts calls and refuses those that exceed a limit.
#[derive(Debug)]
pub struct Limiter {
    origin: Instant,
    registry: Mutex<Registry>,
    streams: Arc<AtomicU32>,
    calls: Arc<AtomicU32>,
}

impl Limiter {
    /// Nothing counted yet.
    pub fn new(now: Instant) -> Self {
        Self { origin: now, registry: Mutex::default(), streams: Arc::default(), calls: Arc::default() }
    }

    /// Admits the call and counts it in every scope, or refuses it and counts nothing.
    pub fn admit(
        &self,
        limits: &Effective,
        caller: &Caller,
        demand: Demand,
        now: Instant,
    ) -> Result<Permit, Refused> {
        registry::check_input(limits, demand.input_length)?;
        let now = now.saturating_duration_since(self.origin);
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = registry.admit(limits, caller, now)?;
        drop(registry);
        let mut held = slots;
        held.push(Slot::take(&self.calls));
        if demand.stream {
            held.push(Slot::take(&self.streams));
        }
        Ok(Permit { _held: held })
    }

    /// Calls that hold a permit now.
    pub fn calls_in_flight(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// Of these, streams.
    pub fn open_streams(&self) -> u32 {
        self.streams.load(Relaxed)
    }

    /// Callers and namespaces that are remembered now.
    pub fn remembered(&self) -> usize {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).remembered()
    }
}

/// The right to one upstream call. Dropping it frees the places that it holds.
#[derive(Debug)]
#[must_use = "the call is over for the limits as soon as the permit is dropped"]
pub struct Permit {
    _held: Vec<Slot>,
}

/// One place in a count of running calls.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicU32>);

impl Slot {
    fn take(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use vibectl_token::Limits;

    use super::*;

    const UNARY: Demand = Demand { input_length: 1, stream: false };

    fn caller_may(limits: Limits) -> Effective {
        Effective { caller: limits, ..Effective::default() }
    }

    fn concurrency(limit: u32) -> Limits {
        Limits { max_concurrent_requests: Some(limit), ..Limits::default() }
    }

    fn rpm(limit: u32) -> Limits {
        Limits { max_requests_per_minute: Some(limit), ..Limits::default() }
    }

    #[test]
    fn dropping_a_permit_frees_its_place() {
        let start = Instant::now();
        let (limiter, caller, limits) =
            (Limiter::new(start), Caller::anonymous(), caller_may(concurrency(1)));

        let first = limiter.admit(&limits, &caller, UNARY, start).expect("the first fits");
        let refused = limiter.admit(&limits, &caller, UNARY, start).expect_err("the second does not");
        drop(first);

        assert_eq!((refused.kind, refused.retry_after_ms()), (LimitKind::Concurrency, 0));
        assert!(limiter.admit(&limits, &caller, UNARY, start).is_ok());
        assert_eq!(limiter.calls_in_flight(), 0);
    }

    #[test]
    fn streams_are_counted_while_they_are_open() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let demand = Demand { stream: true, ..UNARY };

        let permit = limiter
            .admit(&Effective::default(), &Caller::anonymous(), demand, start)
            .expect("nothing is limited");
        assert_eq!((limiter.calls_in_flight(), limiter.open_streams()), (1, 1));
        drop(permit);

        assert_eq!((limiter.calls_in_flight(), limiter.open_streams()), (0, 0));
    }

    #[test]
    fn a_call_refused_for_concurrency_does_not_use_up_the_rate() {
        let start = Instant::now();
        let (limiter, caller) = (Limiter::new(start), Caller::anonymous());
        let limits = caller_may(rpm(2).smallest(&concurrency(1)));

        let first = limiter.admit(&limits, &caller, UNARY, start).expect("the first fits");
        for _ in 0..10 {
            assert!(limiter.admit(&limits, &caller, UNARY, start).is_err());
        }
        drop(first);

        assert!(limiter.admit(&limits, &caller, UNARY, start).is_ok(), "one of two was used");
    }

    #[test]
    fn a_call_refused_by_one_scope_is_counted_in_no_other() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let (a, b) = (Caller::anonymous(), Caller { uid: "b".to_owned(), ..Caller::anonymous() });
        let limits = Effective { total: rpm(2), caller: rpm(1), ..Effective::default() };

        assert!(limiter.admit(&limits, &a, UNARY, start).is_ok());
        assert_eq!(limiter.admit(&limits, &a, UNARY, start).expect_err("used up").scope, Scope::Caller);
        assert!(limiter.admit(&limits, &b, UNARY, start).is_ok());
        assert_eq!(limiter.admit(&limits, &b, UNARY, start).expect_err("used up").kind, LimitKind::Rate);
    }

    #[test]
    fn the_time_told_is_that_of_the_scope_that_opens_last() {
        let start = Instant::now();
        let (limiter, caller) = (Limiter::new(start), Caller::anonymous());
        let limits = Effective { total: rpm(2), caller: rpm(1), ..Effective::default() };
        let later = start + Duration::from_secs(30);

        let other = Caller { uid: "other".to_owned(), ..Caller::anonymous() };
        assert!(limiter.admit(&limits, &other, UNARY, start).is_ok());
        assert!(limiter.admit(&limits, &caller, UNARY, later).is_ok());
        let refused = limiter.admit(&limits, &caller, UNARY, later).expect_err("both scopes are full");

        assert_eq!(refused.scope, Scope::Caller);
        assert!(limiter.admit(&limits, &caller, UNARY, later + refused.retry_after).is_ok());
    }

    #[test]
    fn members_of_a_namespace_share_its_limit() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let limits = Effective { namespace: rpm(1), ..Effective::default() };
        let member = |uid: &str, namespace: &str| Caller {
            uid: uid.to_owned(),
            namespace: Some(namespace.to_owned()),
            ..Caller::anonymous()
        };

        assert!(limiter.admit(&limits, &member("a", "ai"), UNARY, start).is_ok());
        assert!(limiter.admit(&limits, &member("b", "ai"), UNARY, start).is_err());
        assert!(limiter.admit(&limits, &member("b", "web"), UNARY, start).is_ok());
    }

    #[test]
    fn too_long_an_input_is_refused_with_the_smallest_limit() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let length = |limit| Limits { max_input_length: Some(limit), ..Limits::default() };
        let limits = Effective { total: length(100), caller: length(10), ..Effective::default() };

        let demand = Demand { input_length: 11, stream: false };
        let refused = limiter.admit(&limits, &Caller::anonymous(), demand, start).expect_err("too long");

        assert_eq!((refused.kind, refused.scope, refused.maximum), (LimitKind::Input, Scope::Caller, 10));
        assert_eq!(refused.to_string(), "Input length limit exceeded: 10 characters for this token");
    }

    #[test]
    fn callers_that_went_away_are_forgotten() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let limits = caller_may(rpm(5));

        for number in 0..1_000 {
            let caller = Caller { uid: number.to_string(), ..Caller::anonymous() };
            assert!(limiter.admit(&limits, &caller, UNARY, start).is_ok());
        }
        let late = start + Duration::from_secs(200);
        let running = limiter.admit(&limits, &Caller::anonymous(), UNARY, late);

        assert!(running.is_ok());
        assert_eq!(limiter.remembered(), 1);
    }

    #[test]
    fn many_threads_get_exactly_the_limit() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let limits = caller_may(rpm(100));
        let admitted = AtomicU32::new(0);

        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if limiter.admit(&limits, &Caller::anonymous(), UNARY, start).is_ok() {
                            admitted.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });

        assert_eq!(admitted.load(Relaxed), 100);
    }
}
