//! The process is killed at every single thing that it does, before and after it takes effect.

use std::time::Duration;

use vibectl_pki::acme::Step;

use super::world::Handle;

/// Works as restarted processes do, until there is a certificate.
async fn finish(world: &Handle) {
    for _ in 0..10 {
        match world.step().await {
            Step::Issued { .. } => return,
            Step::Wait(until) | Step::Failed { until, .. } => {
                let now = world.world().now;
                world.pass(Duration::try_from(until.duration_since(now)).unwrap_or_default());
            }
            Step::Busy => {}
        }
    }
    panic!("there is no certificate after ten steps");
}

/// Everything that a process does for a first certificate.
async fn acts() -> usize {
    let world = Handle::new();
    world.step().await;
    world.world().acts
}

#[tokio::test]
async fn h02_killed_anywhere_it_resumes_with_the_same_account_and_at_most_one_more_order() {
    let acts = acts().await;
    assert!(acts > 20, "an order is more than {acts} acts");
    for act in 1..=acts {
        for effective in [false, true] {
            let world = Handle::new();
            world.world().dies_at = Some((act, effective));

            // Whatever it says last: it is dead.
            let _ = world.engine(Handle::settings(&["a.example"])).step().await;
            world.world().dead = false;
            if world.certificate().is_none() {
                finish(&world).await;
            }
            let _ = world.step().await;

            let state = world.world();
            let place = format!("killed {} act {act}", if effective { "after" } else { "before" });
            assert!(state.server.orders() <= 2, "{place}: {} orders", state.server.orders());
            assert_eq!(state.server.accounts(), 1, "{place}");
            assert!(state.published.is_empty(), "{place}: an answer was left behind");
        }
    }
}

#[tokio::test]
async fn h13_killed_anywhere_in_a_change_of_the_account_key_the_account_is_not_lost() {
    let engine = |world: &Handle| world.engine(Handle::settings(&["a.example"]));
    for act in 1..=8 {
        for effective in [false, true] {
            let world = Handle::new();
            world.step().await;
            {
                let mut state = world.world();
                state.dies_at = Some((state.acts + act, effective));
            }
            let _ = engine(&world).change_account_key().await;
            world.world().dead = false;
            world.world().dies_at = None;
            world.pass(Duration::from_hours(61 * 24));

            let step = world.step().await;

            let state = world.world();
            assert!(matches!(step, Step::Issued { renewed: true, .. }), "act {act} {effective}: {step:?}");
            assert_eq!(state.server.accounts(), 1, "act {act} {effective}");
        }
    }
}

#[tokio::test]
async fn h02_only_the_answer_to_the_order_itself_can_cost_a_second_one() {
    let acts = acts().await;
    let mut second = 0;
    for act in 1..=acts {
        let world = Handle::new();
        world.world().dies_at = Some((act, true));
        let _ = world.engine(Handle::settings(&["a.example"])).step().await;
        world.world().dead = false;
        if world.certificate().is_none() {
            finish(&world).await;
        }
        second += world.world().server.orders() - 1;
    }

    assert_eq!(second, 1);
}

#[tokio::test]
async fn h04_fifty_restarts_that_die_as_soon_as_the_order_was_asked_for_make_two_and_then_wait() {
    let world = Handle::new();
    for _ in 0..50 {
        let next_answer = {
            let state = world.world();
            state.server.asked("POST /new-order")
        };
        // Dies right after the server has made the order.
        for act in 1.. {
            let before = world.world().acts;
            world.world().dies_at = Some((before + act, true));
            let engine = world.engine(Handle::settings(&["a.example"]));
            let _ = engine.step().await;
            let mut state = world.world();
            let asked = state.server.asked("POST /new-order") > next_answer;
            let (dead, was_dead) = (state.dead, std::mem::take(&mut state.dead));
            if asked || !dead || !was_dead || act > 40 {
                break;
            }
        }
    }

    assert!(world.world().server.orders() <= 2, "{} orders", world.world().server.orders());
}

#[tokio::test]
async fn h04_fifty_restarts_with_a_certificate_ask_for_nothing() {
    let world = Handle::new();
    world.step().await;

    for _ in 0..50 {
        assert!(matches!(world.step().await, Step::Wait(_)));
        world.pass(Duration::from_secs(12));
    }

    assert_eq!(world.world().server.orders(), 1);
}
