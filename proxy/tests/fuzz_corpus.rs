//! What fuzzers are fed, with a stable compiler: the corpora of `fuzz/corpus` as they are, and mutations of them. The mutations
//! are the same in every run, unless `VIBECTL_FUZZ_SEED` says otherwise; `VIBECTL_FUZZ_ROUNDS` asks for more of them.
//!
//! This is no coverage-guided fuzzing: that is `make fuzz`, with a nightly compiler.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot set up its case fails")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use vibectl_server::fuzz::{run, targets};

/// Mutations of each target.
const ROUNDS: u64 = 3_000;
/// No mutation is longer.
const LONGEST: usize = 8 * 1024;
/// Bytes that parsers treat in a special way.
const TELLING: &[u8] = b"\0\n\r\t \"'\\:,.-&*{}[]<>|#@!%0123456789eE\x7f\x80\xc0\xff";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = root().join("corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.into_iter().map(|path| fs::read(path).expect("readable")).collect()
}

#[track_caller]
fn feed(target: &'static str, bytes: &[u8]) {
    let fed = catch_unwind(|| run(target, bytes));
    assert!(fed.is_ok_and(|known| known), "{target} did not survive: b\"{}\"", bytes.escape_ascii());
}

/// Numbers that look drawn and are the same in every run (xorshift64*).
struct Drawn(u64);

impl Drawn {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below the bound; 0 when that is 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("small");
        usize::try_from(self.next().checked_rem(bound).unwrap_or(0)).expect("below the bound")
    }
}

/// One to four changes of one seed.
fn mutated(corpus: &[Vec<u8>], drawn: &mut Drawn) -> Vec<u8> {
    let mut bytes = corpus[drawn.below(corpus.len())].clone();
    for _ in 0..=drawn.below(4) {
        let at = drawn.below(bytes.len() + 1);
        let end = at + drawn.below(bytes.len() + 1 - at);
        match drawn.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.insert(at, TELLING[drawn.below(TELLING.len())]),
            3 if at < bytes.len() => bytes[at] ^= 1 << drawn.below(8),
            4 => {
                let again = bytes[at..end].repeat(1 + drawn.below(8));
                drop(bytes.splice(at..at, again));
            }
            _ => {
                let other = &corpus[drawn.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[drawn.below(other.len() + 1)..]);
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn c18_every_target_survives_its_corpus() {
    for (target, _) in targets() {
        for bytes in corpus(target) {
            feed(target, &bytes);
        }
    }
}

#[test]
fn c18_every_target_survives_mutations_of_its_corpus() {
    let (rounds, seed) = (number("VIBECTL_FUZZ_ROUNDS", ROUNDS), number("VIBECTL_FUZZ_SEED", 1));
    for (target, _) in targets() {
        let (corpus, mut drawn) = (corpus(target), Drawn(seed.max(1)));
        for _ in 0..rounds {
            feed(target, &mutated(&corpus, &mut drawn));
        }
    }
}

#[test]
fn every_target_has_a_fuzzer_and_a_corpus_and_there_are_no_others() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(folder)).expect("a folder");
        let name = |path: PathBuf| path.file_stem().expect("a name").to_str().expect("text").to_owned();
        entries.map(|entry| name(entry.expect("an entry").path())).collect()
    };
    let known: BTreeSet<_> = targets().map(|(name, _)| name.to_owned()).collect();

    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
}
