//! What is done when the server says no, or nothing that makes sense.

use std::time::Duration;

use jiff::Timestamp;
use vibectl_pki::acme::{Record, Step};

use super::server::Trouble;
use super::world::Handle;

const MINUTE: Duration = Duration::from_mins(1);

/// The step fails; the error, and how many seconds until the next attempt.
async fn failure(world: &Handle) -> (String, i64) {
    let now = world.world().now;
    match world.step().await {
        Step::Failed { error, until } => (error, until.duration_since(now).as_secs()),
        other => panic!("it did not fail: {other:?}"),
    }
}

fn limited(retry_after: Option<&str>) -> Trouble {
    let retry_after = retry_after.map(str::to_owned);
    Trouble { retry_after, ..Trouble::new("/new-order", 429, "rateLimited") }
}

#[tokio::test]
async fn h05_retry_after_is_obeyed_clamped_and_survives_a_restart() {
    for (asked, seconds) in [("1", 1), ("86400", 86400), ("99999999", 86400), ("soon", 60)] {
        let world = Handle::new();
        world.world().server.trouble.push_back(limited(Some(asked)));

        let (error, wait) = failure(&world).await;

        assert!(error.contains("rateLimited"), "{error}");
        assert_eq!(wait, seconds, "{asked}");
        assert_eq!(world.world().server.orders(), 0);
        // Another process knows of it, too.
        let asked_before = world.world().server.log.len();
        assert!(matches!(world.step().await, Step::Wait(_)));
        assert_eq!(world.world().server.log.len(), asked_before, "nothing is asked of the server meanwhile");
    }
}

#[tokio::test]
async fn h05_without_retry_after_the_waits_grow_to_a_day() {
    let world = Handle::new();
    let mut waits = Vec::new();
    for _ in 0..5 {
        world.world().server.trouble.push_back(Trouble::new("/dir", 503, "serverInternal"));
        let (_, wait) = failure(&world).await;
        waits.push(wait / 60);
        world.pass(Duration::from_secs(wait.unsigned_abs()));
    }

    assert_eq!(waits, [1, 10, 100, 1440, 1440]);
}

#[tokio::test]
async fn h05_a_503_with_a_page_of_html_names_the_status() {
    let world = Handle::new();
    let page = Trouble { body: "<html>".to_owned(), ..Trouble::new("/new-order", 503, "x") };
    world.world().server.trouble.push_back(page);

    let (error, _) = failure(&world).await;

    assert!(error.contains("503"), "{error}");
}

#[tokio::test]
async fn h06_a_proof_that_is_never_accepted_is_tried_five_times_an_hour_at_most() {
    let world = Handle::new();
    world.world().server.accepts_proofs = false;
    let start = world.world().now;
    let mut failed: Vec<Timestamp> = Vec::new();
    while world.world().now < start + Duration::from_hours(24) {
        match world.step().await {
            Step::Failed { error, .. } => {
                assert!(error.contains("a.example: API error: not seen"), "{error}");
                failed.push(world.world().now);
            }
            Step::Wait(_) => {}
            other => panic!("{other:?}"),
        }
        world.pass(MINUTE);
    }

    let most =
        failed.iter().map(|at| failed.iter().filter(|it| **it >= *at && **it < *at + MINUTE * 60).count());
    assert!(most.max().is_some_and(|most| most <= 5), "{failed:?}");
    assert!(failed.len() < 10, "{failed:?}");
    assert!(world.world().published.is_empty());
}

#[tokio::test]
async fn h06_the_last_good_certificate_is_kept_while_renewal_fails() {
    let world = Handle::new();
    world.step().await;
    let first = world.certificate().expect("a certificate");
    world.world().server.accepts_proofs = false;
    world.pass(Duration::from_hours(61 * 24));

    assert!(matches!(world.step().await, Step::Failed { .. }));

    assert_eq!(world.certificate().expect("the same").chain, first.chain);
    assert!(world.engine(Handle::settings(&["a.example"])).current().await.expect("a store").is_some());
}

#[tokio::test]
async fn h11_wrong_names_are_refused_and_the_last_good_certificate_stays() {
    let world = Handle::new();
    world.step().await;
    let first = world.certificate().expect("a certificate");
    world.world().server.names = Some(vec!["evil.example".to_owned()]);
    world.pass(Duration::from_hours(61 * 24));

    let (error, _) = failure(&world).await;

    assert!(error.contains("is for evil.example, not for a.example"), "{error}");
    assert_eq!(world.certificate().expect("the same").chain, first.chain);
    assert!(!world.world().records.contains_key(&Record::Order), "the order is of no use any more");
}

#[tokio::test]
async fn an_order_survives_trouble_of_the_server_and_is_resumed() {
    let world = Handle::new();
    world.world().server.trouble.push_back(Trouble::new("/finalize", 500, "serverInternal"));

    let (_, wait) = failure(&world).await;
    world.pass(Duration::from_secs(wait.unsigned_abs()));
    let step = world.step().await;

    assert!(matches!(step, Step::Issued { .. }), "{step:?}");
    assert_eq!(world.world().server.orders(), 1);
}

#[tokio::test]
async fn a_server_that_lost_the_account_gets_the_same_key_again() {
    let world = Handle::new();
    world.step().await;
    world.world().server.forget_accounts();
    world.pass(Duration::from_hours(61 * 24));

    let (error, wait) = failure(&world).await;
    world.pass(Duration::from_secs(wait.unsigned_abs()));
    let step = world.step().await;

    assert!(error.contains("accountDoesNotExist"), "{error}");
    assert!(matches!(step, Step::Issued { .. }), "{step:?}");
}

#[tokio::test]
async fn h12_terms_that_were_not_accepted_are_named_and_nothing_is_registered() {
    let world = Handle::new();
    let mut settings = Handle::settings(&["a.example"]);
    settings.terms_agreed = false;

    let step = world.engine(settings).step().await.expect("a store");

    let Step::Failed { error, .. } = step else { panic!("{step:?}") };
    assert!(error.contains("https://ca.example/terms") && error.contains("--agree-tos"), "{error}");
    assert_eq!(world.world().server.accounts(), 0);
}

#[tokio::test]
async fn h12_a_redirect_and_another_host_are_not_followed() {
    let redirect = Trouble { body: String::new(), ..Trouble::new("/dir", 307, "x") };
    let mixed = r#"{"newNonce": "https://ca.example/nonce", "newAccount": "https://evil.example/account", "newOrder": "https://ca.example/o"}"#;
    let mixed = Trouble { body: mixed.to_owned(), ..Trouble::new("/dir", 200, "x") };
    for (trouble, expected) in [(redirect, "redirects"), (mixed, "evil.example")] {
        let world = Handle::new();
        world.world().server.trouble.push_back(trouble);

        let (error, _) = failure(&world).await;

        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn h01_a_server_that_refuses_every_nonce_is_given_up_after_a_bounded_number() {
    let world = Handle::new();
    for _ in 0..1000 {
        world.world().server.trouble.push_back(Trouble::new("/new-order", 400, "badNonce"));
    }

    let (error, wait) = failure(&world).await;

    assert!(error.contains("badNonce"), "{error}");
    assert_eq!(wait, 60);
    let asked = world.world().server.asked("POST /new-order");
    assert!((30..60).contains(&asked), "{asked} requests");
}

#[tokio::test]
async fn a_damaged_record_stops_everything_and_says_what_to_do() {
    let world = Handle::new();
    world.world().records.insert(Record::History, b"{not json".to_vec());

    let error = world.engine(Handle::settings(&["a.example"])).step().await.expect_err("damaged");

    assert!(
        error.to_string().contains("stored history") && error.to_string().contains("move it away"),
        "{error}"
    );
    assert!(world.world().server.log.is_empty());
}
