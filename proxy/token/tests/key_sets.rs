//! Which key sets are refused, and that a set is the same bytes whenever it holds the same keys.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case fails")]

use serde_json::{Value, json};
use vibectl_token::{Algorithm, KeySet, KeySetError, SigningKey};

fn key(algorithm: Algorithm) -> Value {
    serde_json::to_value(SigningKey::generate(algorithm).unwrap().public_jwk()).unwrap()
}

fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes())
}

fn with(key: &Value, name: &str, value: Value) -> Value {
    let mut key = key.clone();
    key[name] = value;
    key
}

#[test]
fn a_set_is_the_same_bytes_in_any_order_and_comes_back() {
    let keys = [key(Algorithm::Es256), key(Algorithm::EdDsa), key(Algorithm::Rs256)];

    let one = parse(&keys).unwrap().render();
    let other = parse(&[keys[2].clone(), keys[0].clone(), keys[1].clone()]).unwrap().render();

    assert_eq!(one, other);
    assert_eq!(KeySet::parse(one.as_bytes()).unwrap().render(), one);
}

#[test]
fn an_empty_set_is_read_and_trusts_nobody() {
    assert!(parse(&[]).unwrap().is_empty());
}

#[test]
fn two_keys_of_one_name_refuse_the_set() {
    let (one, other) = (key(Algorithm::Es256), key(Algorithm::EdDsa));
    let same = with(&other, "kid", one["kid"].clone());

    assert!(matches!(parse(&[one.clone(), one.clone()]), Err(KeySetError::DuplicateKid)));
    assert!(matches!(parse(&[one, same]), Err(KeySetError::DuplicateKid)));
}

#[test]
fn a_private_or_shared_key_refuses_the_set() {
    let key = key(Algorithm::Es256);

    assert!(matches!(parse(&[with(&key, "d", json!("AAAA"))]), Err(KeySetError::Json(_))));
    let shared = json!({"kty": "oct", "alg": "HS256", "kid": "1", "use": "sig", "k": "AAAA"});
    assert!(matches!(parse(&[shared]), Err(KeySetError::Json(_))));
}

#[test]
fn a_key_with_wrong_members_refuses_the_set() {
    let (ec, ed, rsa) = (key(Algorithm::Es256), key(Algorithm::EdDsa), key(Algorithm::Rs256));
    let small = SMALL_RSA_MODULUS;
    let huge = "u".repeat(1368);

    for bad in [
        with(&ec, "use", json!("enc")),
        with(&ec, "kid", json!("")),
        with(&ec, "kid", json!("k".repeat(1000))),
        with(&ec, "crv", json!("P-384")),
        with(&ec, "alg", json!("EdDSA")),
        with(&ec, "kty", json!("OKP")),
        with(&ec, "y", ec["x"].clone()),
        with(&ec, "n", json!("AQAB")),
        with(&ed, "alg", json!("RS256")),
        with(&ed, "x", json!("AAAA")),
        with(&rsa, "alg", json!("ES256")),
        with(&rsa, "n", json!(small)),
        with(&rsa, "n", json!(huge)),
        with(&rsa, "n", json!("not base64")),
    ] {
        assert!(
            matches!(parse(&[key(Algorithm::Es256), bad.clone()]), Err(KeySetError::Key { index: 1 })),
            "{bad}"
        );
    }
    assert!(matches!(parse(&[with(&rsa, "alg", json!("none"))]), Err(KeySetError::Json(_))));
}

/// 512 bits.
const SMALL_RSA_MODULUS: &str =
    "vS5tWq1zX0b0Yd0uQm9m1yq1v0k8g1mC4n3o6Z7bJ8bq2r5c7y9u1w3e5r7t9y1u3i5o7p9a1s3d5f7g9h1j3w";

#[test]
fn a_page_or_a_flood_is_no_key_set() {
    for text in ["", "<html></html>", "[]", "{}", "null", r#"{"keys": {}}"#] {
        assert!(matches!(KeySet::parse(text.as_bytes()), Err(KeySetError::Json(_))), "{text}");
    }
    assert!(matches!(KeySet::parse(&vec![b' '; 1_000_000]), Err(KeySetError::TooLarge)));
    let many: Vec<Value> = (0..40).map(|_| key(Algorithm::EdDsa)).collect();
    assert!(matches!(parse(&many), Err(KeySetError::TooLarge)));
}
