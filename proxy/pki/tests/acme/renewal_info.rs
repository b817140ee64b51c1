//! Renewal information of the server (RFC 9773), asked for and followed.

use std::time::Duration;

use jiff::SignedDuration;
use vibectl_pki::acme::Step;

use super::server::Trouble;
use super::world::Handle;

const HOUR: Duration = Duration::from_hours(1);

fn window(world: &Handle, from_hours: i64, until_hours: i64) {
    let mut state = world.world();
    let (now, hours) = (state.now, SignedDuration::from_hours);
    state.server.window = Some((now + hours(from_hours), now + hours(until_hours)));
}

#[tokio::test]
async fn h07_the_server_is_asked_and_its_window_followed() {
    let world = Handle::new();
    world.step().await;
    window(&world, 240, 250);

    assert!(matches!(world.step().await, Step::Wait(_)));
    world.pass(HOUR * 230);
    assert!(matches!(world.step().await, Step::Wait(_)));
    world.pass(HOUR * 11);
    let step = world.step().await;

    assert!(matches!(step, Step::Issued { renewed: true, .. }), "{step:?}");
}

#[tokio::test]
async fn h07_a_window_in_the_past_means_now() {
    let world = Handle::new();
    world.step().await;
    window(&world, -20, -10);

    let step = world.step().await;

    assert!(matches!(step, Step::Issued { renewed: true, .. }), "{step:?}");
}

#[tokio::test]
async fn h07_a_server_that_always_says_now_is_not_asked_for_more_than_four_certificates_a_week() {
    let world = Handle::new();
    world.step().await;
    for _ in 0..7 * 24 {
        window(&world, -20, -10);
        world.step().await;
        world.pass(HOUR);
    }

    assert!(world.world().server.orders() <= 5, "{} orders", world.world().server.orders());
}

#[tokio::test]
async fn h07_nonsense_errors_and_absurd_windows_leave_our_own_reckoning() {
    for (from, until) in [(10, 5), (24 * 365 * 70, 24 * 365 * 71)] {
        let world = Handle::new();
        world.step().await;
        window(&world, from, until);

        assert!(matches!(world.step().await, Step::Wait(_)));
        world.pass(HOUR * 24 * 59);
        assert!(matches!(world.step().await, Step::Wait(_)), "{from} {until}");
        world.pass(HOUR * 48);

        assert!(matches!(world.step().await, Step::Issued { .. }), "{from} {until}");
    }
    for status in [404, 500] {
        let world = Handle::new();
        world.step().await;
        world.world().server.trouble.push_back(Trouble::new("/ari", status, "serverInternal"));

        assert!(matches!(world.step().await, Step::Wait(_)));

        assert_eq!(world.history().failures, 0, "not being told is no failure");
    }
}

#[tokio::test]
async fn h07_the_server_is_asked_at_least_twice_a_day_and_not_all_the_time() {
    let world = Handle::new();
    world.step().await;
    window(&world, 1000, 1010);
    for _ in 0..24 * 60 {
        world.step().await;
        world.pass(Duration::from_mins(1));
    }

    let asked = world.world().server.asked("GET /ari");
    assert!((2..=6).contains(&asked), "{asked}");
}

#[tokio::test]
async fn h07_already_replaced_is_ordered_without_it() {
    let world = Handle::new();
    world.step().await;
    window(&world, -20, -10);
    world.world().server.trouble.push_back(Trouble::new("/new-order", 409, "alreadyReplaced"));

    let step = world.step().await;

    assert!(matches!(step, Step::Issued { renewed: true, .. }), "{step:?}");
    assert_eq!(world.world().server.replaces_seen, [None, None]);
}
