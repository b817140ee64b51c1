//! From nothing to a certificate, and from one to the next.

use std::time::Duration;

use vibectl_pki::acme::{Record, Step};

use super::world::Handle;

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_first_certificate_is_issued_and_kept_and_nothing_is_left_behind() {
    let world = Handle::new();

    let step = world.step().await;

    assert!(matches!(step, Step::Issued { renewed: false, .. }), "{step:?}");
    let leaf =
        world.engine(Handle::settings(&["a.example"])).current().await.expect("a store").expect("a leaf");
    assert_eq!(leaf.facts().names, ["a.example"]);
    assert!(world.world().published.is_empty());
    assert!(!world.world().records.contains_key(&Record::Order));
    assert_eq!(
        world.world().server.contact.as_ref().map(ToString::to_string).as_deref(),
        Some(r#"["mailto:a@b.example"]"#)
    );
}

#[tokio::test]
async fn the_account_key_and_the_key_of_the_certificate_differ() {
    let world = Handle::new();

    world.step().await;

    let records = world.world().records.clone();
    let account: serde_json::Value = serde_json::from_slice(&records[&Record::Account]).expect("JSON");
    let certificate = world.certificate().expect("a certificate");
    assert_ne!(account["key"].as_str().expect("PEM"), certificate.key.0.as_str());
}

#[tokio::test]
async fn a_certificate_is_renewed_once_it_is_due_with_the_same_account_and_another_key() {
    let world = Handle::new();
    world.step().await;
    let first = world.certificate().expect("a certificate");

    assert!(matches!(world.step().await, Step::Wait(_)));
    world.pass(59 * DAY);
    assert!(matches!(world.step().await, Step::Wait(_)));
    world.pass(2 * DAY);
    let renewed = world.step().await;

    assert!(matches!(renewed, Step::Issued { renewed: true, .. }), "{renewed:?}");
    assert_ne!(world.certificate().expect("a certificate").key, first.key);
    let state = world.world();
    assert_eq!((state.server.orders(), state.server.accounts()), (2, 1));
    assert!(state.server.replaces_seen[1].is_some(), "the renewal says what it replaces");
}

#[tokio::test]
async fn other_names_are_ordered_at_once_and_the_old_certificate_is_served_until_then() {
    let world = Handle::new();
    world.step().await;
    let engine = world.engine(Handle::settings(&["b.example"]));

    assert_eq!(engine.current().await.expect("a store").expect("the old one").facts().names, ["a.example"]);
    engine.step().await.expect("a store");

    assert_eq!(engine.current().await.expect("a store").expect("the new one").facts().names, ["b.example"]);
}

#[tokio::test]
async fn h08_an_hour_of_life_that_is_backdated_by_an_hour_makes_no_loop() {
    let world = Handle::new();
    world.world().server.lifetime = jiff::SignedDuration::from_hours(1);
    world.step().await;

    for _ in 0..29 {
        assert!(matches!(world.step().await, Step::Wait(_)));
        world.pass(Duration::from_mins(1));
    }
    world.pass(Duration::from_mins(2));

    assert!(matches!(world.step().await, Step::Issued { renewed: true, .. }));
    assert_eq!(world.world().server.orders(), 2);
}

#[tokio::test]
async fn h03_a_process_that_is_not_alone_leaves_the_network_alone() {
    let world = Handle::new();
    world.world().opened_elsewhere = true;

    assert!(matches!(world.step().await, Step::Busy));

    assert!(world.world().server.log.is_empty());
}

#[tokio::test]
async fn h13_the_account_gets_another_key_and_goes_on() {
    let world = Handle::new();
    world.step().await;
    let before = world.world().server.account_keys();

    world.engine(Handle::settings(&["a.example"])).change_account_key().await.expect("changed");

    assert_ne!(world.world().server.account_keys(), before);
    world.pass(61 * DAY);
    let step = world.step().await;
    assert!(matches!(step, Step::Issued { renewed: true, .. }), "{step:?}");
    assert_eq!(world.world().server.accounts(), 1);
}

#[tokio::test]
async fn h13_a_certificate_of_another_directory_is_not_used() {
    let world = Handle::new();
    world.step().await;
    let mut other = Handle::settings(&["a.example"]);
    other.directory_url = "https://ca.example/other".to_owned();

    assert!(world.engine(other).current().await.expect("a store").is_none());
}
