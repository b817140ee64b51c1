//! Keys that are fetched: kept fresh by a task of their own, asked for sooner when a token names an unknown key.
//!
//! An issuer that cannot be reached changes nothing for a day. Whoever makes tokens up makes us ask once in a few seconds,
//! and no more.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use vibectl_token::foreign::Issuer;

use super::KeysInForce;
use super::fetch::Fetcher;
use crate::cli::outcome::chain;
use crate::metrics::family::Family;
use crate::outgoing::backoff::{Backoff, lot};
use crate::provider::address::AddressRule;

/// At rest. Keys are published long before they sign.
const REFRESH: Duration = Duration::from_mins(10);
/// After a failure, beside [`COOLDOWN`]. By lot, so that replicas which lost an issuer together do not come back together.
const RETRIES: Backoff = Backoff { base: Duration::from_secs(5), cap: REFRESH };
/// Between two requests, whatever callers send.
const COOLDOWN: Duration = Duration::from_secs(5);
/// Keys that could not be refreshed for so long are not trusted any more.
const STALE: Duration = Duration::from_hours(24);
/// How long a call waits for newer keys.
const WAIT: Duration = Duration::from_millis(1500);
/// How many calls wait at once for one issuer.
const MAX_WAITING: usize = 64;

/// The fetched keys of one issuer. Clones share them; with the last one the task ends.
#[derive(Clone, Debug)]
pub(super) struct Source {
    state: Arc<State>,
    _task: Arc<AbortOnDropHandle<()>>,
}

/// Asks for newer keys.
#[derive(Clone, Debug)]
pub(in crate::auth) struct Refresh(Arc<State>);

#[derive(Debug)]
struct State {
    issuer: String,
    keys: ArcSwapOption<Fetched>,
    /// When the last request began.
    asked: Mutex<Option<Instant>>,
    asking: AtomicBool,
    /// Marked at the end of each request.
    answers: watch::Sender<()>,
    demand: Notify,
    waiting: Semaphore,
    outcomes: Arc<Family<1>>,
}

#[derive(Debug)]
struct Fetched {
    keys: Arc<KeysInForce>,
    body: Vec<u8>,
    at: Instant,
}

impl Source {
    /// Begins to fetch. Needs a runtime.
    pub(super) fn start(
        issuer: &Issuer,
        rule: AddressRule,
        outcomes: &Arc<Family<1>>,
    ) -> Result<Self, String> {
        let fetcher = Fetcher::new(issuer, rule).map_err(|error| chain(&error))?;
        let state = Arc::new(State {
            issuer: issuer.issuer.clone(),
            keys: ArcSwapOption::empty(),
            asked: Mutex::default(),
            asking: AtomicBool::default(),
            answers: watch::Sender::default(),
            demand: Notify::new(),
            waiting: Semaphore::new(MAX_WAITING),
            outcomes: Arc::clone(outcomes),
        });
        let task = tokio::spawn(Arc::clone(&state).keep_fresh(fetcher));
        Ok(Self { state, _task: Arc::new(AbortOnDropHandle::new(task)) })
    }

    /// The keys, if they were fetched lately enough.
    pub(super) fn keys(&self) -> Option<Arc<KeysInForce>> {
        self.keys_at(Instant::now())
    }

    fn keys_at(&self, now: Instant) -> Option<Arc<KeysInForce>> {
        let fetched = self.state.keys.load();
        let fresh = fetched.as_ref().filter(|fetched| now.duration_since(fetched.at) < STALE);
        fresh.map(|fetched| Arc::clone(&fetched.keys))
    }

    pub(super) fn refresh(&self) -> Refresh {
        Refresh(Arc::clone(&self.state))
    }
}

impl Refresh {
    /// Waits until the issuer was asked once more, for a moment. False: it was asked just now, or others wait already.
    pub(in crate::auth) async fn happened(&self) -> bool {
        let Self(state) = self;
        let Ok(_waits) = state.waiting.try_acquire() else { return false };
        let mut answers = state.answers.subscribe();
        if !state.asking.load(Relaxed) {
            if !state.may_ask() {
                return false;
            }
            state.demand.notify_one();
        }
        timeout(WAIT, answers.changed()).await.is_ok_and(|answered| answered.is_ok())
    }
}

impl State {
    async fn keep_fresh(self: Arc<Self>, fetcher: Fetcher) {
        let mut failures = 0;
        loop {
            let wait = if self.ask(&fetcher).await {
                failures = 0;
                REFRESH
            } else {
                failures += 1;
                COOLDOWN + RETRIES.pause(failures - 1, lot())
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.demand.notified() => {}
            }
        }
    }

    fn may_ask(&self) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_none_or(|asked| asked.elapsed() >= COOLDOWN)
    }

    /// One request; false when it brought no keys.
    async fn ask(&self, fetcher: &Fetcher) -> bool {
        self.asking.store(true, Relaxed);
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let answer = fetcher.fetch().await.map_err(|error| chain(&error)).and_then(|body| self.take(body));
        self.asking.store(false, Relaxed);
        self.answers.send_replace(());
        let outcome = if answer.is_ok() { "ok" } else { "failed" };
        self.outcomes.with([outcome]).add(1);
        if let Err(reason) = &answer {
            let has_keys = self.keys.load().is_some();
            tracing::warn!(issuer = self.issuer, reason, has_keys, "failed to refresh the keys of an issuer");
        }
        answer.is_ok()
    }

    /// The same body again keeps the tokens that were verified.
    fn take(&self, body: Vec<u8>) -> Result<(), String> {
        let before = self.keys.load();
        let same = before.as_ref().filter(|before| before.body == body);
        let keys = if let Some(before) = same {
            Arc::clone(&before.keys)
        } else {
            let keys = Arc::new(KeysInForce::parse(&body)?);
            tracing::info!(issuer = self.issuer, kids = ?keys.set, "put the keys of an issuer in force");
            keys
        };
        self.keys.store(Some(Arc::new(Fetched { keys, body, at: Instant::now() })));
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
