//! The access token of a service account: kept, and renewed before it ends.
//!
//! However many calls want one, one request asks for it, and it goes on as long as one of those calls does. While the token
//! in hand is good, nobody but the call that began the renewal waits for it. No lock is held while anybody waits.

use std::{
    fmt,
    future::Future,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use http::HeaderValue;

use super::super::ProviderError;

/// How long before its end a token is renewed, unless it lives less than ten times as long.
const RENEW_AHEAD: Duration = Duration::from_secs(300);

/// A token is not used in its last seconds: it has to be good when the provider reads it.
const UNUSABLE: Duration = Duration::from_secs(10);

/// How long a renewal that failed is not tried again while the token in hand is good.
const PAUSE: Duration = Duration::from_secs(10);

/// A token that was got.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// The value of `authorization`.
    pub(super) header: HeaderValue,
    /// How long it is good.
    pub(super) lifetime: Duration,
}

type Fetched = Result<Held, ProviderError>;
type Flight = Shared<BoxFuture<'static, Fetched>>;

/// Keeps the token.
#[derive(Default)]
pub(super) struct TokenKeeper {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The request that is under way, for as long as a call waits for it.
    flight: Option<WeakShared<BoxFuture<'static, Fetched>>>,
    /// Not to be renewed before.
    pause: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Held {
    header: HeaderValue,
    renew: Instant,
    end: Instant,
}

enum Next {
    Use(HeaderValue),
    Wait(Flight),
}

impl fmt::Debug for TokenKeeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenKeeper").finish_non_exhaustive()
    }
}

impl TokenKeeper {
    /// The value of `authorization`. `fetch` asks for a token; it is called when there is none in hand, or one near its end.
    pub(super) async fn header<F>(
        &self,
        fetch: impl FnOnce() -> F,
        clock: impl Fn() -> Instant,
    ) -> Result<HeaderValue, ProviderError>
    where
        F: Future<Output = Result<Token, ProviderError>> + Send + 'static,
    {
        let flight = match self.next(fetch, clock()) {
            Next::Use(header) => return Ok(header),
            Next::Wait(flight) => flight,
        };
        let fetched = flight.await;
        self.take(fetched, clock())
    }

    fn next<F>(&self, fetch: impl FnOnce() -> F, now: Instant) -> Next
    where
        F: Future<Output = Result<Token, ProviderError>> + Send + 'static,
    {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = state.flight.as_ref().and_then(WeakShared::upgrade);
        if let Some(held) = state.held.as_ref().filter(|held| now < held.end) {
            let paused = state.pause.is_some_and(|pause| now < pause);
            if now < held.renew || flight.is_some() || paused {
                return Next::Use(held.header.clone());
            }
        }
        let flight = flight.unwrap_or_else(|| {
            let fetched = fetch();
            let flight = async move { fetched.await.map(|token| Held::new(token, now)) }.boxed().shared();
            state.flight = flight.downgrade();
            flight
        });
        Next::Wait(flight)
    }

    /// Puts what was got in force. A renewal that failed is no failure while the token in hand is good.
    fn take(&self, fetched: Fetched, now: Instant) -> Result<HeaderValue, ProviderError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(new) => {
                let header = new.header.clone();
                if state.held.as_ref().is_none_or(|held| held.end < new.end) {
                    state.held = Some(new);
                    state.pause = None;
                }
                Ok(header)
            }
            Err(error) => {
                state.pause = Some(now + PAUSE);
                let held = state.held.as_ref().filter(|held| now < held.end);
                held.map(|held| held.header.clone()).ok_or(error)
            }
        }
    }
}

impl Held {
    /// `asked`: when the request for it began, so that the time on the way is part of its life.
    fn new(token: Token, asked: Instant) -> Self {
        let Token { header, lifetime } = token;
        let ahead = RENEW_AHEAD.min(lifetime / 10).max(UNUSABLE);
        Self {
            header,
            renew: asked + lifetime.saturating_sub(ahead),
            end: asked + lifetime.saturating_sub(UNUSABLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
    };

    use tokio::sync::Notify;

    use super::*;

    /// Tokens with the numbers of their requests, each when it is allowed.
    #[derive(Clone, Default)]
    struct Source {
        asked: Arc<AtomicUsize>,
        allowed: Arc<Notify>,
        fails: bool,
    }

    impl Source {
        fn fetch(&self) -> impl Future<Output = Result<Token, ProviderError>> + Send + use<> {
            let number = self.asked.fetch_add(1, Relaxed) + 1;
            let (allowed, fails) = (Arc::clone(&self.allowed), self.fails);
            async move {
                allowed.notified().await;
                if fails {
                    return Err(ProviderError::bad_answer("no token"));
                }
                let header = HeaderValue::from_str(&format!("Bearer {number}")).expect("a value");
                Ok(Token { header, lifetime: Duration::from_secs(3600) })
            }
        }

        fn asked(&self) -> usize {
            self.asked.load(Relaxed)
        }
    }

    /// A keeper, a clock that is set by hand, and what a call gets.
    struct World {
        keeper: TokenKeeper,
        start: Instant,
        seconds: Cell<u64>,
    }

    impl World {
        fn new() -> Self {
            Self { keeper: TokenKeeper::default(), start: Instant::now(), seconds: Cell::new(0) }
        }

        async fn call(&self, source: &Source) -> Result<String, ProviderError> {
            let clock = || self.start + Duration::from_secs(self.seconds.get());
            let header = self.keeper.header(|| source.fetch(), clock).await?;
            Ok(header.to_str().expect("text").to_owned())
        }
    }

    #[tokio::test]
    async fn many_calls_ask_once_and_a_token_is_kept_until_shortly_before_its_end() {
        let (world, source) = (World::new(), Source::default());
        source.allowed.notify_one();

        let both = tokio::join!(world.call(&source), world.call(&source));
        assert_eq!(both, (Ok("Bearer 1".into()), Ok("Bearer 1".into())));
        world.seconds.set(3299);
        assert_eq!(world.call(&source).await, Ok("Bearer 1".into()));
        assert_eq!(source.asked(), 1);

        world.seconds.set(3300);
        source.allowed.notify_one();
        assert_eq!(world.call(&source).await, Ok("Bearer 2".into()));
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test]
    async fn while_a_token_is_renewed_others_go_on_with_the_one_in_hand() {
        let (world, source) = (World::new(), Source::default());
        source.allowed.notify_one();
        assert_eq!(world.call(&source).await, Ok("Bearer 1".into()));
        world.seconds.set(3400);

        let renewing = world.call(&source);
        let other = async {
            let other = world.call(&source).await;
            source.allowed.notify_one();
            other
        };

        assert_eq!(tokio::join!(renewing, other), (Ok("Bearer 2".into()), Ok("Bearer 1".into())));
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test]
    async fn a_renewal_that_fails_fails_nobody_while_the_token_is_good_and_is_not_tried_at_once() {
        let (world, source) = (World::new(), Source::default());
        source.allowed.notify_one();
        assert_eq!(world.call(&source).await, Ok("Bearer 1".into()));
        let failing = Source { fails: true, ..source.clone() };

        world.seconds.set(3400);
        failing.allowed.notify_one();
        assert_eq!(world.call(&failing).await, Ok("Bearer 1".into()));
        world.seconds.set(3409);
        assert_eq!(world.call(&failing).await, Ok("Bearer 1".into()));
        assert_eq!(source.asked(), 2);

        world.seconds.set(3590);
        failing.allowed.notify_one();
        assert!(world.call(&failing).await.is_err(), "it has ended");
    }

    #[tokio::test]
    async fn a_request_whose_call_is_gone_is_asked_anew() {
        let (world, source) = (World::new(), Source::default());

        let mut first = Box::pin(world.call(&source));
        assert!(futures::poll!(first.as_mut()).is_pending());
        drop(first);
        source.allowed.notify_one();

        assert_eq!(world.call(&source).await, Ok("Bearer 2".into()));
    }

    #[tokio::test]
    async fn a_request_goes_on_for_another_call_when_the_one_that_began_it_is_gone() {
        let (world, source) = (World::new(), Source::default());

        let (mut first, mut second) = (Box::pin(world.call(&source)), Box::pin(world.call(&source)));
        assert!(futures::poll!(first.as_mut()).is_pending());
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        source.allowed.notify_one();

        assert_eq!(second.await, Ok("Bearer 1".into()));
        assert_eq!(source.asked(), 1);
    }
}
