//! Replacing what clients trust (a CA, or a self-signed certificate) without a moment in which one of them trusts the wrong one.
//!
//! ```text
//! stable ──Prepare──▶ bundle has both ──Switch──▶ new one issues ──Drop──▶ stable
//!  active              active, next                active, previous         active
//! ```
//!
//! Each arrow but the first waits for the longest time that a client takes to read the published bundle again. The machine is
//! pure: [`next_step`] says which step is due, the transitions of [`AnchorState`] carry it out, the caller stores the result and
//! asks again.

mod anchor;
mod state;

use std::time::Duration;

use jiff::Timestamp;

pub use self::{
    anchor::Anchor,
    state::{AnchorState, CaState, Next, PairState, Previous, StateError},
};
use crate::names::Names;

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time.
    Wait {
        /// When to ask again.
        until: Timestamp,
    },
    /// Make one for the wanted names and hand it to [`AnchorState::prepare`]: it joins the bundle, and replaces one that was
    /// prepared before.
    Prepare,
    /// [`AnchorState::switch`]: every client knows the new one, it is used from now on.
    Switch,
    /// [`AnchorState::drop_previous`]: nobody needs the old one any longer.
    Drop,
}

/// Which step is due, of one that is replaced in time.
///
/// A new one is wanted when the newest has passed two thirds of its life, or does not allow one of the names. One that allows
/// more than is wanted is narrowed by the next regular roll-over, not by one of its own.
pub fn next_step<A: Anchor>(
    state: &AnchorState<A>,
    wanted_names: &Names,
    now: Timestamp,
    longest_client_refresh: Duration,
) -> Step {
    let step = overlap_step(state, now, longest_client_refresh);
    let newest = state.newest();
    match step {
        Step::Drop => step,
        _ if !newest.permits(wanted_names) || now >= newest.facts().lifetime.renew_at() => Step::Prepare,
        Step::Wait { until } if state.next().is_none() => {
            Step::Wait { until: until.min(newest.facts().lifetime.renew_at()) }
        }
        Step::Wait { .. } | Step::Switch | Step::Prepare => step,
    }
}

/// Which step of a roll-over that has begun is due. Never [`Step::Prepare`]: for what is replaced by somebody else.
///
/// The wait before the switch is cut short at nine tenths of the active one's life: a client that is slow to refresh then fails
/// until it does, but all clients would fail once it has expired.
pub fn overlap_step<A: Anchor>(
    state: &AnchorState<A>,
    now: Timestamp,
    longest_client_refresh: Duration,
) -> Step {
    let after_refresh =
        |since: Timestamp| since.checked_add(longest_client_refresh).unwrap_or(Timestamp::MAX);
    let drop_at = state.previous().map(|previous| after_refresh(previous.since));
    if drop_at.is_some_and(|due| now >= due) {
        return Step::Drop;
    }
    let active = state.active().facts().lifetime;
    let switch_at = state.next().map(|next| after_refresh(next.since).min(active.at(9, 10)));
    if switch_at.is_some_and(|due| now >= due) {
        return Step::Switch;
    }
    Step::Wait { until: [drop_at, switch_at].into_iter().flatten().min().unwrap_or(Timestamp::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Ca;

    const DAY: u64 = 24 * 60 * 60;
    const REFRESH: Duration = Duration::from_secs(2 * DAY);

    fn day(day: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(day * DAY).expect("small")).expect("in range")
    }

    fn names(names: &[&str]) -> Names {
        Names::parse(names).expect("names")
    }

    /// A CA of ninety days: due for renewal at day 60, forced at day 81.
    fn ca(names: &Names, from: u64) -> Ca {
        Ca::constrained("test", names, Duration::from_secs(90 * DAY), day(from)).expect("a CA")
    }

    fn step(state: &CaState, names: &Names, now: u64) -> Step {
        next_step(state, names, day(now), REFRESH)
    }

    #[test]
    fn a_young_ca_for_the_wanted_names_is_left_alone_until_two_thirds_of_its_life() {
        let names = names(&["a.example.org"]);
        let state = CaState::new(ca(&names, 0));

        let Step::Wait { until } = step(&state, &names, 1) else { panic!("not left alone") };

        assert!(day(59) < until && until <= day(60), "{until}");
        assert_eq!(step(&state, &names, 60), Step::Prepare);
    }

    #[test]
    fn renewal_publishes_then_switches_then_drops_with_a_client_refresh_between() {
        let names = names(&["a.example.org"]);
        let state = CaState::new(ca(&names, 0)).prepare(ca(&names, 60), day(60));
        assert_eq!(state.bundle().certificates().len(), 2);
        assert_eq!(step(&state, &names, 61), Step::Wait { until: day(62) });
        assert_eq!(step(&state, &names, 62), Step::Switch);

        let old = state.active().facts().clone();
        let state = state.switch(day(62));
        assert_ne!(state.active().facts().subject_key_id, old.subject_key_id);
        assert_eq!(state.bundle().certificates().len(), 2);
        assert_eq!(step(&state, &names, 63), Step::Wait { until: day(64) });
        assert_eq!(step(&state, &names, 64), Step::Drop);

        let state = state.drop_previous();
        assert_eq!(state.bundle().certificates().len(), 1);
        assert!(matches!(step(&state, &names, 64), Step::Wait { until } if until > day(100)));
    }

    #[test]
    fn a_name_that_the_ca_may_not_issue_for_starts_a_rollover_at_once() {
        let state = CaState::new(ca(&names(&["a.example.org"]), 0));

        assert_eq!(step(&state, &names(&["a.example.org", "b.example.org"]), 1), Step::Prepare);
        assert_eq!(step(&state, &names(&["a.example.org", "10.0.0.1"]), 1), Step::Prepare);
    }

    #[test]
    fn a_name_that_is_no_longer_wanted_waits_for_the_regular_rollover() {
        let state = CaState::new(ca(&names(&["a.example.org", "b.example.org"]), 0));

        assert!(matches!(step(&state, &names(&["b.example.org"]), 1), Step::Wait { .. }));
    }

    #[test]
    fn a_further_name_during_the_overlap_replaces_the_prepared_ca_and_waits_anew() {
        let (one, two) = (names(&["a.example.org"]), names(&["a.example.org", "b.example.org"]));
        let three = names(&["a.example.org", "b.example.org", "c.example.org"]);
        let state = CaState::new(ca(&one, 0)).prepare(ca(&two, 1), day(1));

        assert_eq!(step(&state, &three, 2), Step::Prepare);
        let state = state.prepare(ca(&three, 2), day(2));

        assert_eq!(state.bundle().certificates().len(), 2);
        assert_eq!(step(&state, &three, 3), Step::Wait { until: day(4) });
    }

    #[test]
    fn the_switch_does_not_wait_for_slow_clients_until_the_old_ca_has_expired() {
        let names = names(&["a.example.org"]);
        let state = CaState::new(ca(&names, 0)).prepare(ca(&names, 80), day(80));

        assert_eq!(step(&state, &names, 81), Step::Switch);
    }

    #[test]
    fn a_ca_that_expired_unattended_is_replaced_in_two_steps_without_waiting() {
        let names = names(&["a.example.org"]);
        let state = CaState::new(ca(&names, 0));
        assert_eq!(step(&state, &names, 200), Step::Prepare);

        let state = state.prepare(ca(&names, 200), day(200));

        assert_eq!(step(&state, &names, 200), Step::Switch);
    }

    #[test]
    fn a_second_rollover_before_the_first_is_over_drops_and_switches_in_turn() {
        let (one, two) = (names(&["a.example.org"]), names(&["a.example.org", "b.example.org"]));
        let state = CaState::new(ca(&one, 0)).prepare(ca(&one, 60), day(60)).switch(day(62));
        assert_eq!(step(&state, &two, 63), Step::Prepare);
        let state = state.prepare(ca(&two, 63), day(63));

        assert_eq!(state.bundle().certificates().len(), 3);
        assert_eq!(step(&state, &two, 63), Step::Wait { until: day(64) });
        assert_eq!(step(&state, &two, 64), Step::Drop);
        let state = state.drop_previous();
        assert_eq!(step(&state, &two, 64), Step::Wait { until: day(65) });
        assert_eq!(step(&state, &two, 65), Step::Switch);
    }
}
