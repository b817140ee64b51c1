//! What was taken in the last minute, requests or tokens: an exact sliding window with bounded memory. Pure; the clock is passed in.
//!
//! Amounts are counted in slots of 100 ms and a slot is forgotten a minute after its **end**. So no interval of a
//! minute ever holds more than the limit (a fixed window would let through twice as much across its edge), at most 601
//! slots exist whatever the limit is, and the waiting time told to a refused caller is exact: at that moment a call is
//! admitted, unless somebody else took the place.

use std::collections::VecDeque;
use std::time::Duration;

/// Length of the window.
pub const WINDOW: Duration = Duration::from_mins(1);
const SLOT_MILLIS: u128 = 100;
const WINDOW_SLOTS: u32 = 600;

/// What one scope took in the last minute. Times are monotonic, from an origin of the owner's choice.
#[derive(Debug, Default)]
pub struct Window {
    slots: VecDeque<Slot>,
    taken: u64,
}

#[derive(Debug)]
struct Slot {
    index: u32,
    amount: u64,
}

impl Window {
    /// Tells whether this amount more fits; if not, how long until it does. More than the limit never fits.
    pub fn check(&mut self, limit: u64, amount: u64, now: Duration) -> Result<(), Duration> {
        self.forget(now);
        let Some(room) = limit.checked_sub(amount) else { return Err(WINDOW) };
        if self.taken <= room { Ok(()) } else { Err(self.wait(room, now)) }
    }

    /// Counts an amount, whether it fits or not.
    pub fn take(&mut self, amount: u64, now: Duration) {
        let index = slot_of(now);
        self.taken = self.taken.saturating_add(amount);
        match self.slots.back_mut() {
            // `>=`: a clock reading taken before another thread's may arrive after it.
            Some(last) if last.index >= index => last.amount = last.amount.saturating_add(amount),
            _ => self.slots.push_back(Slot { index, amount }),
        }
    }

    /// True when nothing is remembered any more.
    pub fn is_idle(&mut self, now: Duration) -> bool {
        self.forget(now);
        self.slots.is_empty()
    }

    fn forget(&mut self, now: Duration) {
        let current = slot_of(now);
        while let Some(oldest) = self.slots.front()
            && forgotten_at(oldest.index) <= current
        {
            self.taken = self.taken.saturating_sub(oldest.amount);
            self.slots.pop_front();
        }
    }

    /// Time until enough of the oldest slots are forgotten.
    fn wait(&self, room: u64, now: Duration) -> Duration {
        let mut left = self.taken;
        for slot in &self.slots {
            left = left.saturating_sub(slot.amount);
            if left <= room {
                return start_of(forgotten_at(slot.index)).saturating_sub(now);
            }
        }
        WINDOW
    }
}

/// First slot in which the amount of this one no longer counts.
fn forgotten_at(index: u32) -> u32 {
    index.saturating_add(WINDOW_SLOTS + 1)
}

fn slot_of(now: Duration) -> u32 {
    u32::try_from(now.as_millis() / SLOT_MILLIS).unwrap_or(u32::MAX)
}

fn start_of(index: u32) -> Duration {
    Duration::from_millis(u64::from(index) * 100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_limit_of_zero_admits_nothing() {
        let mut window = Window::default();

        assert_eq!(window.check(0, 1, Duration::ZERO), Err(WINDOW));
    }

    #[test]
    fn twice_the_limit_does_not_fit_across_a_minute_boundary() {
        let mut window = Window::default();
        (0..10).for_each(|_| window.take(1, Duration::from_millis(59_900)));

        assert!(window.check(10, 1, Duration::from_millis(60_100)).is_err());
    }

    #[test]
    fn lowering_the_limit_applies_to_what_was_already_used() {
        let mut window = Window::default();
        for second in 0..5 {
            window.take(1, Duration::from_secs(second));
        }

        let wait = window.check(2, 1, Duration::from_secs(5)).expect_err("five used, two allowed");

        assert_eq!(wait, Duration::from_millis(63_100 - 5_000), "four of the five must be forgotten");
    }

    #[test]
    fn memory_does_not_grow_with_the_limit() {
        let mut window = Window::default();
        for millisecond in 0..200_000 {
            let now = Duration::from_millis(millisecond);
            if window.check(u64::MAX, 1, now).is_ok() {
                window.take(1, now);
            }
        }

        assert!(window.slots.len() <= 601, "{} slots", window.slots.len());
    }

    #[test]
    fn amounts_are_forgotten_one_after_the_other_until_there_is_room() {
        let mut window = Window::default();
        window.take(600, Duration::ZERO);
        window.take(300, Duration::from_secs(10));
        let now = Duration::from_secs(20);

        assert_eq!(window.check(1_000, 100, now), Ok(()));
        assert_eq!(window.check(1_000, 101, now), Err(Duration::from_millis(60_100 - 20_000)));
        assert_eq!(window.check(1_000, 701, now), Err(Duration::from_millis(70_100 - 20_000)));
        assert_eq!(window.check(1_000, 1_001, now), Err(WINDOW), "never");
    }

    /// Remembers the time of every admission, as anybody would write it first.
    #[derive(Default)]
    struct Naive {
        admissions: Vec<Duration>,
    }

    impl Naive {
        fn check(&self, limit: u32, now: Duration) -> bool {
            let end_of_slot = |at: Duration| start_of(slot_of(at) + 1);
            let counted = self.admissions.iter().filter(|&&at| end_of_slot(at) + WINDOW > now).count();
            counted < limit as usize
        }
    }

    proptest! {
        #[test]
        fn decides_like_a_naive_counter(limit in 1_u32..20, steps in proptest::collection::vec(0_u64..9_000, 1..300)) {
            let (mut window, mut naive, mut now) = (Window::default(), Naive::default(), Duration::ZERO);

            for step in steps {
                now += Duration::from_millis(step);
                let admitted = window.check(limit.into(), 1, now).is_ok();
                prop_assert_eq!(admitted, naive.check(limit, now), "at {:?}", now);
                if admitted {
                    window.take(1, now);
                    naive.admissions.push(now);
                }
            }
        }

        #[test]
        fn no_minute_holds_more_than_the_limit(limit in 1_u32..20, steps in proptest::collection::vec(0_u64..5_000, 1..300)) {
            let (mut window, mut admitted, mut now) = (Window::default(), Vec::new(), Duration::ZERO);

            for step in steps {
                now += Duration::from_millis(step);
                if window.check(limit.into(), 1, now).is_ok() {
                    window.take(1, now);
                    admitted.push(now);
                }
            }

            for (first, start) in admitted.iter().enumerate() {
                let within = admitted[first..].iter().take_while(|&&at| at < *start + WINDOW).count();
                prop_assert!(within <= limit as usize, "{within} admitted in the minute from {start:?}");
            }
        }

        #[test]
        fn the_waiting_time_is_true(limit in 1_u32..20, steps in proptest::collection::vec(0_u64..2_000, 20..200)) {
            let (mut window, mut now) = (Window::default(), Duration::ZERO);

            for step in steps {
                now += Duration::from_millis(step);
                match window.check(limit.into(), 1, now) {
                    Ok(()) => window.take(1, now),
                    Err(wait) => {
                        prop_assert!(wait > Duration::ZERO);
                        prop_assert!(window.check(limit.into(), 1, now + wait.saturating_sub(MILLISECOND)).is_err(), "admitted before the time told");
                        prop_assert!(window.check(limit.into(), 1, now + wait).is_ok(), "refused after the time told");
                        now += wait;
                        window.take(1, now);
                    }
                }
            }
        }
    }
}
