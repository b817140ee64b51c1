//! Keys are rotated without a moment in which a good token is refused, and old keys do go.

use std::collections::BTreeSet;

use proptest::prelude::*;
use vibectl_token::rotation::{MAX_KEYS, Observed, Policy, Ring, Stage, Step};
use vibectl_token::{Algorithm, LEEWAY_SECONDS};

const POLICY: Policy = Policy { algorithm: Algorithm::Es256, rotate_every: 1000, longest_ttl: 300 };

/// One operator, some verifiers, and the tokens that are about.
struct World {
    now: i64,
    ring: Ring,
    policy: Policy,
    made: u32,
    verifiers: Vec<BTreeSet<String>>,
    tokens: Vec<(String, i64)>,
    informed: bool,
}

#[derive(Clone, Debug)]
enum Event {
    Operator,
    Verifier(usize),
    Time(i64),
    Mint,
    Ttl(i64),
    RotateEvery(i64),
    Algorithm(Algorithm),
    Informed(bool),
    Forget,
}

impl World {
    /// With the first key in force everywhere.
    fn settled(verifiers: usize) -> Self {
        let verifiers = vec![BTreeSet::new(); verifiers];
        let mut world = Self {
            now: 0,
            ring: Ring::default(),
            policy: POLICY,
            made: 0,
            verifiers,
            tokens: Vec::new(),
            informed: false,
        };
        for _ in 0..4 {
            world.operator();
        }
        for index in 0..world.verifiers.len() {
            world.refresh(index);
        }
        world
    }

    fn published(&self) -> BTreeSet<String> {
        self.ring.published().map(str::to_owned).collect()
    }

    fn step(&self) -> Step {
        let acknowledged = self.verifiers.iter().all(|keys| *keys == self.published());
        let covered_until = self.informed.then(|| self.covered_until());
        self.ring.advance(&self.policy, Observed { now: self.now, acknowledged, covered_until })
    }

    fn covered_until(&self) -> i64 {
        let last = self.tokens.iter().map(|(_, end)| *end).max().unwrap_or_default();
        last.max(self.now + self.policy.longest_ttl)
    }

    fn operator(&mut self) -> bool {
        match self.step() {
            Step::Generate(algorithm) => {
                self.made += 1;
                self.ring = self.ring.prepare(&format!("key-{}", self.made), algorithm);
            }
            Step::Write(ring) => {
                assert_ne!(ring, self.ring, "a step changes something");
                self.ring = ring;
            }
            Step::Wait { until } => {
                assert!(until.is_none_or(|until| until > self.now), "waiting for the past would never end");
                return false;
            }
        }
        true
    }

    fn refresh(&mut self, index: usize) {
        self.verifiers[index] = self.published();
    }

    fn mint(&mut self) {
        if let Some(key) = self.ring.signer(self.policy.longest_ttl) {
            self.tokens.push((key.kid.clone(), self.now + self.policy.longest_ttl));
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Operator => _ = self.operator(),
            Event::Verifier(index) => self.refresh(index % self.verifiers.len()),
            Event::Time(seconds) => self.now += seconds,
            Event::Mint => self.mint(),
            Event::Ttl(ttl) => self.policy.longest_ttl = *ttl,
            Event::RotateEvery(seconds) => self.policy.rotate_every = *seconds,
            Event::Algorithm(algorithm) => self.policy.algorithm = *algorithm,
            Event::Informed(informed) => self.informed = *informed,
            Event::Forget => self.tokens.clear(),
        }
    }

    fn refused(&self) -> Option<&(String, i64)> {
        let good = |token: &&(String, i64)| token.1 + LEEWAY_SECONDS > self.now;
        let known = |token: &&(String, i64)| self.verifiers.iter().all(|keys| keys.contains(&token.0));
        self.tokens.iter().filter(good).find(|token| !known(token))
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Operator),
        4 => any::<usize>().prop_map(Event::Verifier),
        4 => (1_i64..400).prop_map(Event::Time),
        4 => Just(Event::Mint),
        1 => (10_i64..3000).prop_map(Event::Ttl),
        1 => (10_i64..2000).prop_map(Event::RotateEvery),
        1 => any::<bool>().prop_map(Event::Informed),
        1 => Just(Event::Forget),
        1 => prop::sample::select(vec![Algorithm::Es256, Algorithm::EdDsa]).prop_map(Event::Algorithm),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_the_order_of_events_no_good_token_is_refused(
        verifiers in 1_usize..4,
        events in prop::collection::vec(event(), 0..300),
    ) {
        let mut world = World::settled(verifiers);

        for event in &events {
            world.happen(event);

            prop_assert_eq!(world.refused(), None);
            prop_assert!(world.ring.active().is_some());
            prop_assert!(world.ring.keys().len() <= MAX_KEYS);
        }
    }

    #[test]
    fn when_nothing_more_happens_one_key_is_left(events in prop::collection::vec(event(), 0..200)) {
        let mut world = World::settled(2);
        for event in &events {
            world.happen(event);
        }

        world.policy.rotate_every = i64::MAX;
        for _ in 0..100 {
            while world.operator() {}
            world.refresh(0);
            world.refresh(1);
            world.now += 1000;
        }

        prop_assert_eq!(world.ring.keys().len(), 1);
        prop_assert_eq!(world.ring.active().unwrap().algorithm, world.policy.algorithm);
    }
}

#[test]
fn the_first_key_signs_at_once() {
    let world = World::settled(2);

    assert_eq!(world.ring.keys().len(), 1);
    assert_eq!(world.ring.active().unwrap().stage, Stage::Active { since: 0 });
    assert_eq!(world.step(), Step::Wait { until: Some(1000) });
}

#[test]
fn a_later_key_signs_only_when_every_verifier_has_it() {
    let mut world = World::settled(2);
    world.now = 1000;
    while world.operator() {}

    world.refresh(0);
    assert_eq!(world.step(), Step::Wait { until: None });
    assert_eq!(world.ring.active().unwrap().kid, "key-1");
    world.refresh(1);
    assert!(world.operator());

    assert_eq!(world.ring.active().unwrap().kid, "key-2");
    assert_eq!(world.ring.keys()[0].stage, Stage::Retiring { until: 1000 + 300 + LEEWAY_SECONDS });
}

#[test]
fn a_shorter_ttl_does_not_shorten_the_life_of_a_retiring_key() {
    let mut world = World::settled(1);
    world.policy.longest_ttl = 5000;
    while world.operator() {}
    world.policy.longest_ttl = 60;
    world.now = 1000;
    while world.operator() {}
    world.refresh(0);
    while world.operator() {}

    assert_eq!(world.ring.keys()[0].stage, Stage::Retiring { until: 1000 + 5000 + LEEWAY_SECONDS });
}

#[test]
fn a_retiring_key_goes_with_the_last_token_that_may_need_it() {
    let mut world = World::settled(1);
    world.informed = true;
    world.policy.longest_ttl = 5000;
    while world.operator() {}
    world.mint();
    world.policy.longest_ttl = 60;
    world.now = 1000;
    while world.operator() {}
    world.refresh(0);
    while world.operator() {}
    assert_eq!(world.ring.keys()[0].stage, Stage::Retiring { until: 5000 + LEEWAY_SECONDS });

    // Deleted: nothing accepts it any more.
    world.tokens.clear();
    while world.operator() {}

    assert_eq!(world.ring.keys()[0].stage, Stage::Retiring { until: 1060 + LEEWAY_SECONDS });
    assert!(!world.operator(), "at rest nothing is written");
}

#[test]
fn keys_that_change_faster_than_their_tokens_end_wait_for_the_oldest_to_go() {
    let mut world = World::settled(1);
    world.policy = Policy { rotate_every: 10, longest_ttl: 1000, ..POLICY };

    for _ in 0..200 {
        while world.operator() {
            world.refresh(0);
        }
        assert!(world.ring.keys().len() <= MAX_KEYS);
        world.now += 10;
    }

    assert!(world.made > 2 * 10);
}

#[test]
fn a_key_revoked_in_an_emergency_is_gone_at_once_and_another_takes_its_place() {
    let mut world = World::settled(1);

    world.ring = world.ring.revoke("key-1");
    assert_eq!(world.published(), BTreeSet::new());
    while world.operator() {}

    assert_eq!(world.ring.active().unwrap().kid, "key-2");
    assert_eq!(world.ring.keys().len(), 1);
}

#[test]
fn a_key_for_another_algorithm_is_made_without_waiting_for_the_rotation() {
    let mut world = World::settled(1);
    world.policy.algorithm = Algorithm::EdDsa;

    assert_eq!(world.step(), Step::Generate(Algorithm::EdDsa));
}

#[test]
fn a_ring_is_kept_as_json() {
    let world = World::settled(1);

    let text = serde_json::to_string(&world.ring).unwrap();

    assert_eq!(
        text,
        r#"{"keys":[{"kid":"key-1","algorithm":"ES256","stage":{"active":{"since":0}},"longest_ttl":300}]}"#
    );
    assert_eq!(serde_json::from_str::<Ring>(&text).unwrap(), world.ring);
}
