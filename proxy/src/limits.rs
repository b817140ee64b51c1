//! Limits on calls, per replica: requests and tokens per minute, concurrency, input length. Deciding is pure maths in
//! [`rate`], [`effective`] and [`registry`]; this file has the types that the request path holds.
//!
//! One mutex guards all counters: a call must be checked against three scopes and then counted in all of them or in
//! none, and the work under the lock is a few additions.
//!
//! **Tokens** are known only when a call has ended. Until then it holds a reservation: what its prompt is estimated to be,
//! and the longest answer that it allows. So calls that run at once cannot take together what none could take alone. At the
//! end the provider's own count takes the place of the reservation.

pub mod effective;
mod permit;
pub mod rate;
mod refused;
pub mod registry;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use self::permit::Permit;
pub use self::refused::{LimitKind, Refused, Scope};
use crate::caller::Caller;
use crate::limits::effective::Effective;
use crate::limits::permit::Slot;
use crate::limits::registry::Registry;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// Characters of all fragments together.
    pub input_length: usize,
    /// Tokens of the longest answer that is wanted; `None` when the request does not say.
    pub output_cap: Option<u64>,
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
        let places = self.lock().admit(limits, caller, demand, self.since_origin(now))?;
        let stream = demand.stream.then(|| Slot::take(&self.streams));
        Ok(Permit::new(places, Slot::take(&self.calls), stream))
    }

    /// Counts the tokens that the call took, in every scope that limits them.
    pub fn settle(&self, permit: &Permit, caller: &Caller, tokens: u64, now: Instant) {
        if permit.is_metered() && tokens > 0 {
            self.lock().settle(permit, caller, tokens, self.since_origin(now));
        }
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
        self.lock().remembered()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_origin(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.origin)
    }
}

#[cfg(test)]
mod tests {
    use vibectl_token::Limits;

    use super::*;

    const UNARY: Demand = Demand { input_length: 1, output_cap: None, stream: false };

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

        let demand = Demand { input_length: 11, ..UNARY };
        let refused = limiter.admit(&limits, &Caller::anonymous(), demand, start).expect_err("too long");

        assert_eq!((refused.kind, refused.scope, refused.maximum), (LimitKind::Input, Scope::Caller, 10));
        assert_eq!(refused.to_string(), "Input length limit exceeded: 10 characters for this token");
    }

    fn tpm(limit: u32) -> Effective {
        caller_may(Limits { max_tokens_per_minute: Some(limit), ..Limits::default() })
    }

    /// A prompt of a hundred tokens and an answer of at most this many.
    fn answer_of(tokens: u64) -> Demand {
        Demand { input_length: 400, output_cap: Some(tokens), stream: false }
    }

    #[test]
    fn calls_that_run_at_once_cannot_take_together_what_none_could_take_alone() {
        let start = Instant::now();
        let (limiter, caller, limits) = (Limiter::new(start), Caller::anonymous(), tpm(1_000));

        let first = limiter.admit(&limits, &caller, answer_of(500), start).expect("600 of 1000");
        let refused = limiter.admit(&limits, &caller, answer_of(500), start).expect_err("1200 of 1000");

        assert_eq!((refused.kind, refused.retry_after), (LimitKind::Tokens, Duration::ZERO));
        assert_eq!(refused.to_string(), "Token limit (TPM) exceeded: 1000 tokens per minute for this token");
        drop(first);
        assert!(limiter.admit(&limits, &caller, answer_of(500), start).is_ok(), "nothing was taken");
    }

    #[test]
    fn what_a_call_took_counts_for_a_minute_and_what_it_did_not_take_is_given_back() {
        let start = Instant::now();
        let (limiter, caller, limits) = (Limiter::new(start), Caller::anonymous(), tpm(1_000));

        let first = limiter.admit(&limits, &caller, answer_of(900), start).expect("1000 of 1000");
        limiter.settle(&first, &caller, 300, start);
        drop(first);

        assert!(limiter.admit(&limits, &caller, answer_of(600), start).is_ok(), "300 + 700");
        let refused = limiter.admit(&limits, &caller, answer_of(601), start).expect_err("300 + 701");
        assert!(refused.retry_after > Duration::from_secs(59), "{:?}", refused.retry_after);
        assert!(limiter.admit(&limits, &caller, answer_of(601), start + refused.retry_after).is_ok());
    }

    #[test]
    fn a_call_that_took_more_than_it_reserved_holds_the_next_ones_back() {
        let start = Instant::now();
        let (limiter, caller, limits) = (Limiter::new(start), Caller::anonymous(), tpm(2_000));
        let uncapped = Demand { output_cap: None, ..answer_of(0) };

        let first = limiter.admit(&limits, &caller, uncapped, start).expect("100 + 1024");
        limiter.settle(&first, &caller, 5_000, start);
        drop(first);

        assert!(limiter.admit(&limits, &caller, answer_of(1), start).is_err());
        assert!(limiter.admit(&limits, &caller, answer_of(1), start + Duration::from_secs(61)).is_ok());
    }

    #[test]
    fn a_call_that_may_take_more_than_the_limit_is_told_so_and_one_that_does_not_say_fits() {
        let start = Instant::now();
        let (limiter, caller, limits) = (Limiter::new(start), Caller::anonymous(), tpm(500));

        let refused = limiter.admit(&limits, &caller, answer_of(401), start).expect_err("501 of 500");
        let unsaid = Demand { output_cap: None, ..answer_of(0) };

        assert_eq!((refused.kind, refused.retry_after_ms()), (LimitKind::CallTokens, 0));
        assert!(refused.to_string().contains("max_tokens"), "{refused}");
        assert!(limiter.admit(&limits, &caller, unsaid, start).is_ok());
    }

    #[test]
    fn without_a_limit_on_tokens_none_are_remembered() {
        let start = Instant::now();
        let (limiter, caller) = (Limiter::new(start), Caller::anonymous());

        let permit = limiter.admit(&caller_may(rpm(5)), &caller, UNARY, start).expect("the first");

        assert!(!permit.is_metered());
        limiter.settle(&permit, &caller, 1_000_000, start);
        assert!(limiter.admit(&tpm(2_000), &caller, UNARY, start).is_ok());
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
