//! How long an attempt may take: the caller's deadline and the provider's, whichever is earlier.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::time::{self, Sleep, sleep_until, timeout_at};

/// A moment, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    at: Instant,
    is_providers: bool,
}

/// Time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// For the call.
    Call,
    /// For this provider.
    Provider,
}

impl Deadline {
    /// Of the call as a whole.
    pub(super) fn of_call(at: Instant) -> Self {
        Self { at, is_providers: false }
    }

    /// Of an attempt that begins now with a provider that may take so long.
    pub(super) fn of_attempt(self, total: Option<Duration>, now: Instant) -> Self {
        let providers = total.map(|total| now + total).filter(|at| *at < self.at);
        providers.map_or(self, |at| Self { at, is_providers: true })
    }

    /// Whether so much time is left.
    pub(super) fn has_room_for(self, wait: Duration, now: Instant) -> bool {
        now + wait < self.at
    }

    /// What comes of `work`, unless it takes too long.
    pub(super) async fn bound<F: Future>(self, work: F) -> Result<F::Output, Late> {
        timeout_at(time::Instant::from_std(self.at), work).await.map_err(|_| self.late())
    }

    /// For work in many pieces: armed once, and not anew for each of them.
    pub(super) fn timer(self) -> Timer {
        Timer { sleep: Box::pin(sleep_until(time::Instant::from_std(self.at))), late: self.late() }
    }

    fn late(self) -> Late {
        if self.is_providers { Late::Provider } else { Late::Call }
    }
}

/// Comes true when a deadline is over, and says whose it was. May be awaited again and again until then.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    late: Late,
}

impl Timer {
    /// Whose deadline is over, if it is: for work that always has something, next to which the timer is never looked at.
    pub(super) fn over(&self) -> Option<Late> {
        (time::Instant::now() >= self.sleep.deadline()).then_some(self.late)
    }
}

impl Future for Timer {
    type Output = Late;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Late> {
        ready!(self.sleep.as_mut().poll(context));
        Poll::Ready(self.late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_deadline_counts() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let call = Deadline::of_call(now + 5 * second);

        assert_eq!(call.of_attempt(None, now), call);
        assert_eq!(call.of_attempt(Some(6 * second), now), call);
        let shorter = call.of_attempt(Some(second), now);
        assert_eq!(shorter, Deadline { at: now + second, is_providers: true });
        assert!(call.has_room_for(4 * second, now) && !call.has_room_for(5 * second, now));
    }
}
