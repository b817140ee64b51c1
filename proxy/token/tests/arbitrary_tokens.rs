//! Whatever comes in place of a token: no panic, and nothing passes that we did not sign.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case fails")]

use std::sync::LazyLock;

use proptest::prelude::*;
use vibectl_token::{Algorithm, Claims, Expectation, KeySet, SigningKey, Token, mint, standalone, verify};

const NOW: i64 = 1_790_000_000;
const EXPECTED: Expectation<'static> = Expectation { issuer: "https://vibectl.dev/proxies/1", audience: "1" };

struct Signed {
    keys: KeySet,
    token: Token,
}

static SIGNED: LazyLock<Vec<Signed>> =
    LazyLock::new(|| [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256].map(sign).into());
static SECRET: LazyLock<standalone::Secret> = LazyLock::new(|| standalone::Secret::new(&[7; 32]).unwrap());

fn sign(algorithm: Algorithm) -> Signed {
    let key = SigningKey::generate(algorithm).unwrap();
    let claims = Claims {
        iss: EXPECTED.issuer.to_owned(),
        aud: EXPECTED.audience.to_owned(),
        sub: "ai/alice".to_owned(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 600,
        jti: "1".to_owned(),
        uid: "row".to_owned(),
    };
    let token = mint(&key, &claims).unwrap();
    Signed { keys: KeySet::from_keys([key.public_jwk().clone()]).unwrap(), token }
}

fn standalone_token() -> Token {
    let (sub, iss, jti) = ("dev".to_owned(), "vibectl-server".to_owned(), "1".to_owned());
    standalone::generate(&SECRET, &standalone::Claims { sub, iss, iat: NOW, exp: NOW + 600, jti, cnf: None })
        .unwrap()
}

/// `text` with one character replaced by another.
fn flipped(text: &str, at: prop::sample::Index, by: char) -> Option<String> {
    let at = at.index(text.len());
    let (before, rest) = text.split_at(at);
    (!rest.starts_with(by)).then(|| format!("{before}{by}{}", &rest[1..]))
}

fn token_character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => prop::sample::select("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic_or_passes(text in ".{0,400}") {
        for signed in SIGNED.iter() {
            prop_assert!(verify(&signed.keys, &EXPECTED, &text, NOW).is_err());
        }
        prop_assert!(standalone::verify(&SECRET, "vibectl-server", &text, NOW).is_err());
    }

    #[test]
    fn no_text_of_three_parts_makes_the_verifier_panic_or_passes(text in r"[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,90}") {
        prop_assert!(verify(&SIGNED[0].keys, &EXPECTED, &text, NOW).is_err());
        prop_assert!(standalone::verify(&SECRET, "vibectl-server", &text, NOW).is_err());
    }

    #[test]
    fn one_other_character_anywhere_fails(which in 0_usize..3, at in any::<prop::sample::Index>(), by in token_character()) {
        let signed = &SIGNED[which];
        if let Some(text) = flipped(signed.token.expose(), at, by) {
            prop_assert!(verify(&signed.keys, &EXPECTED, &text, NOW).is_err(), "{}", text);
        }
    }

    #[test]
    fn one_other_character_anywhere_in_a_standalone_token_fails(at in any::<prop::sample::Index>(), by in token_character()) {
        if let Some(text) = flipped(standalone_token().expose(), at, by) {
            prop_assert!(standalone::verify(&SECRET, "vibectl-server", &text, NOW).is_err(), "{}", text);
        }
    }

    #[test]
    fn a_token_cut_short_fails(which in 0_usize..3, at in any::<prop::sample::Index>()) {
        let signed = &SIGNED[which];
        let text = signed.token.expose();
        let cut = &text[..at.index(text.len())];

        prop_assert!(verify(&signed.keys, &EXPECTED, cut, NOW).is_err());
    }

    #[test]
    fn no_time_makes_the_verifier_panic(now in any::<i64>()) {
        let signed = &SIGNED[0];
        let in_time = (NOW - 30..NOW + 630).contains(&now);

        prop_assert_eq!(verify(&signed.keys, &EXPECTED, signed.token.expose(), now).is_ok(), in_time);
    }

    #[test]
    fn no_bytes_make_the_reader_of_key_sets_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(KeySet::parse(&bytes).is_err());
    }

    #[test]
    fn no_text_makes_the_reader_of_private_keys_panic(text in "(-----BEGIN PRIVATE KEY-----\n)?[A-Za-z0-9+/=\n]{0,200}(\n-----END PRIVATE KEY-----\n)?") {
        prop_assert!(SigningKey::from_pkcs8_pem(&text).is_err());
    }
}
