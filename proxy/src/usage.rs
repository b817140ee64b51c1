//! What each token has used since the process started. Counters only grow, so that a reader can add up differences
//! between two reports of one instance; a restart is a new instance.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::cost::Cost;

/// Tokens of one finished call, as the provider reported or as we estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// True when the provider told nothing (or was cut short) and we counted characters instead.
    pub estimated: bool,
}

/// A credential that a call came with late in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Late {
    /// Unix time in seconds.
    pub issued_at: i64,
    /// Unix time in seconds.
    pub expires_at: i64,
    /// When it came last, Unix time in seconds.
    pub last_used: i64,
}

/// Totals of one token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenTotals {
    /// Key of the token (see [`crate::caller::Caller::uid`]).
    pub uid: String,
    /// Calls admitted.
    pub requests: u64,
    /// Calls refused by a limit.
    pub limited: u64,
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// Of those of its calls whose price is known; `None` when there was none.
    pub cost: Option<Cost>,
    /// Unix time in seconds of the last admitted call; 0 when there was none.
    pub last_used: i64,
    /// The newest credential that came late.
    pub late: Option<Late>,
}

/// Counters of every token that called. It holds one small entry for each authenticated token for the life of the
/// process: forgetting one would make its totals shrink.
#[derive(Debug, Default)]
pub struct UsageBook {
    tokens: RwLock<HashMap<String, Arc<Counters>>>,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    limited: AtomicU64,
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
    /// Whether there was a call with a price, and millionths of millionths of a dollar.
    has_cost: AtomicBool,
    cost: AtomicU64,
    last_used: AtomicI64,
    /// Touched by calls that come late, and by reports.
    late: Mutex<Option<Late>>,
}

impl UsageBook {
    /// Counts a call that was let through. `now` is Unix time in seconds.
    pub fn admitted(&self, uid: &str, now: i64) {
        let counters = self.counters(uid);
        counters.requests.fetch_add(1, Relaxed);
        counters.last_used.fetch_max(now, Relaxed);
    }

    /// Counts a call that a limit refused.
    pub fn limited(&self, uid: &str) {
        self.counters(uid).limited.fetch_add(1, Relaxed);
    }

    /// Adds the tokens of a call that ended, was cut or was cancelled.
    pub fn settled(&self, uid: &str, usage: Usage) {
        let counters = self.counters(uid);
        counters.input_tokens.fetch_add(usage.input_tokens, Relaxed);
        counters.output_tokens.fetch_add(usage.output_tokens, Relaxed);
    }

    /// Adds what a call cost.
    pub fn charged(&self, uid: &str, cost: Cost) {
        let counters = self.counters(uid);
        counters.has_cost.store(true, Relaxed);
        let more = |so_far| Some(Cost::from_picos(so_far).plus(cost).picos());
        // It always has a new value.
        let _ = counters.cost.fetch_update(Relaxed, Relaxed, more);
    }

    /// Notes that a call came late with this credential.
    pub fn came_late(&self, uid: &str, late: Late) {
        let counters = self.counters(uid);
        let mut newest = counters.late.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = (*newest).max(Some(late));
    }

    /// Totals of all tokens, sorted by uid.
    pub fn totals(&self) -> Vec<TokenTotals> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let mut totals: Vec<_> = tokens.iter().map(|(uid, counters)| counters.read(uid)).collect();
        totals.sort_by(|a, b| a.uid.cmp(&b.uid));
        totals
    }

    fn counters(&self, uid: &str) -> Arc<Counters> {
        let known = self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(uid).cloned();
        known.unwrap_or_else(|| {
            let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tokens.entry(uid.to_owned()).or_default())
        })
    }
}

impl Counters {
    fn read(&self, uid: &str) -> TokenTotals {
        TokenTotals {
            uid: uid.to_owned(),
            requests: self.requests.load(Relaxed),
            limited: self.limited.load(Relaxed),
            input_tokens: self.input_tokens.load(Relaxed),
            output_tokens: self.output_tokens.load(Relaxed),
            cost: self.has_cost.load(Relaxed).then(|| Cost::from_picos(self.cost.load(Relaxed))),
            last_used: self.last_used.load(Relaxed),
            late: *self.late.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_per_token_and_are_listed_by_uid() {
        let book = UsageBook::default();

        book.admitted("b", 100);
        book.admitted("b", 90);
        book.settled("b", Usage { input_tokens: 3, output_tokens: 5, estimated: false });
        book.settled("b", Usage { input_tokens: 1, output_tokens: 1, estimated: true });
        book.charged("b", Cost::from_picos(3));
        book.charged("b", Cost::from_picos(4));
        book.limited("a");

        assert_eq!(
            book.totals(),
            [
                TokenTotals { uid: "a".into(), limited: 1, ..TokenTotals::default() },
                TokenTotals {
                    uid: "b".into(),
                    requests: 2,
                    limited: 0,
                    input_tokens: 4,
                    output_tokens: 6,
                    cost: Some(Cost::from_picos(7)),
                    last_used: 100,
                    late: None,
                },
            ]
        );
    }

    #[test]
    fn of_credentials_that_came_late_the_newest_is_told() {
        let book = UsageBook::default();
        let late = |issued_at, last_used| Late { issued_at, expires_at: issued_at + 60, last_used };

        for (issued_at, last_used) in [(1, 50), (3, 51), (3, 52), (2, 53)] {
            book.came_late("a", late(issued_at, last_used));
        }

        assert_eq!(book.totals()[0].late, Some(late(3, 52)));
        assert_eq!(book.totals()[0].requests, 0, "who was let in has not called yet");
    }

    #[test]
    fn counts_made_at_once_by_many_threads_are_all_kept() {
        let book = UsageBook::default();

        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| book.admitted("a", 1)));
            }
        });

        assert_eq!(book.totals()[0].requests, 8_000);
    }
}
