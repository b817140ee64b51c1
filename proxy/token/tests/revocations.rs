//! The revocation list at its largest.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case fails")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use vibectl_token::standalone::revocation::{Identity, MAX_ENTRIES, RevocationError, Revocations};

const NOW: i64 = 1_790_000_000;

/// Identifiers as long as those that `generate-token` makes.
fn jti(number: usize) -> String {
    format!("0f8fad5b-d9cb-469f-a165-{number:012}")
}

fn list(entries: usize) -> String {
    let mut text = String::new();
    for number in 0..entries {
        let line =
            format!("{{\"jti\":\"{}\",\"sub\":\"user-{number}\",\"exp\":1800000000,\"at\":1}}", jti(number));
        writeln!(text, "{line}").unwrap();
    }
    text
}

fn contains(revocations: &Revocations, jti: &str) -> bool {
    revocations.contains(Identity { subject: "user", jti: Some(jti), issued_at: Some(NOW) })
}

#[test]
fn a17_every_entry_of_a_long_list_is_found_and_nothing_else() {
    let revocations = Revocations::parse(list(10_000).as_bytes(), NOW).unwrap();

    assert!((0..10_000).all(|number| contains(&revocations, &jti(number))));
    assert!(!(10_000..20_000).any(|number| contains(&revocations, &jti(number))));
    assert_eq!(revocations.len(), 10_000);
}

#[test]
fn a17_a_list_beyond_its_bound_is_refused_whole() {
    let text = "{\"jti\":\"1\",\"at\":1}\n".repeat(MAX_ENTRIES + 1);

    assert!(matches!(Revocations::parse(text.as_bytes(), NOW), Err(RevocationError::TooMany)));
}

/// `cargo test --release -p vibectl-token --test revocations -- --ignored --nocapture`
#[test]
#[ignore = "measures; the figures are in docs/security.md"]
fn a17_a_million_entries_start_within_seconds_and_are_looked_up_within_a_microsecond() {
    let text = list(MAX_ENTRIES);

    let start = Instant::now();
    let revocations = Revocations::parse(text.as_bytes(), NOW).unwrap();
    let parsed = start.elapsed();
    let mut lookups: Vec<Duration> = (0..200_000)
        .map(|number| {
            // Far apart, so that no cache helps; every second one is not on the list.
            let jti = jti(number * 7_919 % (2 * MAX_ENTRIES));
            let start = Instant::now();
            black_box(contains(&revocations, black_box(&jti)));
            start.elapsed()
        })
        .collect();
    lookups.sort_unstable();

    println!(
        "{} bytes read in {parsed:?}; look-up median {:?}, p99 {:?}",
        text.len(),
        lookups[100_000],
        lookups[198_000]
    );
    assert!(parsed < Duration::from_secs(5) && lookups[100_000] < Duration::from_micros(1));
}
