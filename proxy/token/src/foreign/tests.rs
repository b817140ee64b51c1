//! Tokens of others: what is accepted, and everything that must not be.

use serde_json::{Value as Json, json};

use super::*;
use crate::algorithm::Algorithm;
use crate::jws::assemble;
use crate::signing_key::SigningKey;

const NOW: i64 = 1_790_000_000;
const ISSUER: &str = "https://kubernetes.default.svc";

struct World {
    key: SigningKey,
    keys: ForeignKeySet,
    audiences: Vec<String>,
}

impl World {
    fn new(algorithm: Algorithm) -> Self {
        let key = SigningKey::generate(algorithm).unwrap();
        let set = json!({"keys": [serde_json::to_value(key.public_jwk()).unwrap()]});
        let keys = ForeignKeySet::parse(set.to_string().as_bytes()).unwrap();
        Self { key, keys, audiences: vec!["llm".to_owned(), "other-name".to_owned()] }
    }

    fn header(&self) -> Json {
        json!({"alg": self.key.algorithm().name(), "kid": self.key.kid()})
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(input.as_bytes()).unwrap();
        assemble(input, &signature)
    }

    fn verify(&self, token: &str) -> Result<ForeignClaims, Rejection> {
        let expected = ForeignExpectation { issuer: ISSUER, audiences: &self.audiences };
        verify_foreign(&self.keys, &expected, token, NOW)
    }

    fn judge(&self, claims: &Json) -> Result<ForeignClaims, Rejection> {
        self.verify(&self.sign(&self.header().to_string(), &claims.to_string()))
    }

    fn judge_header(&self, header: &Json) -> Result<ForeignClaims, Rejection> {
        self.verify(&self.sign(&header.to_string(), &service_account().to_string()))
    }
}

/// As a Kubernetes API server issues it.
fn service_account() -> Json {
    json!({
        "aud": ["llm"], "exp": NOW + 600, "iat": NOW, "nbf": NOW, "iss": ISSUER,
        "jti": "0d1a", "sub": "system:serviceaccount:ai:builder",
        "kubernetes.io": {"namespace": "ai", "serviceaccount": {"name": "builder", "uid": "u"}},
    })
}

fn with(name: &str, value: Json) -> Json {
    let mut claims = service_account();
    claims[name] = value;
    claims
}

#[test]
fn tokens_of_every_algorithm_are_accepted_and_their_texts_can_be_asked_for() {
    for algorithm in Algorithm::ALL {
        let world = World::new(algorithm);
        let mut claims = with("groups", json!(["dev", 7, "ops"]));
        claims["email"] = json!("a@example.org");
        claims["email_verified"] = json!(true);

        let verified = world.judge(&claims).unwrap();

        assert_eq!(verified.subject, "system:serviceaccount:ai:builder", "{algorithm}");
        assert_eq!((verified.issued_at, verified.expires_at), (Some(NOW), NOW + 600));
        let values = |claim: &str| verified.values(claim).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(values("sub"), ["system:serviceaccount:ai:builder"]);
        assert_eq!(values("groups"), ["dev", "ops"]);
        assert_eq!(values("email"), ["a@example.org"]);
        assert_eq!(values("email_verified"), Vec::<String>::new());
        assert_eq!(values("kubernetes.io"), Vec::<String>::new());
    }
}

#[test]
fn a06_a_token_is_for_one_of_our_audiences() {
    let world = World::new(Algorithm::Es256);
    let many: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();

    for good in [json!("llm"), json!("other-name"), json!(["account", "llm"])] {
        assert!(world.judge(&with("aud", good.clone())).is_ok(), "{good}");
    }
    for bad in [json!("LLM"), json!(["x"]), json!([]), json!(7), json!({"llm": 1}), json!(["llm "])] {
        assert_eq!(world.judge(&with("aud", bad.clone())), Err(Rejection::Audience), "{bad}");
    }
    assert!(world.judge(&with("aud", json!(many))).is_err());
    let mut none = service_account();
    none.as_object_mut().unwrap().remove("aud");
    assert_eq!(world.judge(&none), Err(Rejection::Claims));
}

#[test]
fn a07_issuer_and_subject_are_exact() {
    let world = World::new(Algorithm::Es256);

    for issuer in [
        "https://kubernetes.default.svc/",
        "https://Kubernetes.default.svc",
        "",
        "https://kubernetes.defau1t.svc",
    ] {
        assert_eq!(world.judge(&with("iss", json!(issuer))), Err(Rejection::Issuer), "{issuer}");
    }
    assert_eq!(world.judge(&with("sub", json!(""))), Err(Rejection::Claims));
    assert_eq!(world.judge(&with("sub", json!(["x"]))), Err(Rejection::Claims));
}

#[test]
fn a04_times_are_whole_numbers_and_in_time() {
    let world = World::new(Algorithm::Es256);

    for bad in [json!("1790000600"), json!(1_790_000_600.5), json!(null), json!(-1), json!(1e30)] {
        for name in ["exp", "iat", "nbf"] {
            let absent = bad.is_null() && name != "exp";
            assert_eq!(world.judge(&with(name, bad.clone())).is_ok(), absent, "{name}: {bad}");
        }
    }
    assert_eq!(world.judge(&with("exp", json!(NOW - LEEWAY_SECONDS))), Err(Rejection::Expired));
    assert!(world.judge(&with("exp", json!(NOW - LEEWAY_SECONDS + 1))).is_ok());
    assert_eq!(world.judge(&with("nbf", json!(NOW + LEEWAY_SECONDS + 1))), Err(Rejection::NotYetValid));
    assert_eq!(world.judge(&with("iat", json!(NOW + LEEWAY_SECONDS + 1))), Err(Rejection::NotYetValid));
}

#[test]
fn a09_headers_that_change_the_meaning_of_the_rest_are_refused_and_others_are_not_looked_at() {
    let world = World::new(Algorithm::Es256);
    let with = |name: &str, value: Json| {
        let mut header = world.header();
        header[name] = value;
        header
    };

    for (name, value) in [("crit", json!(["exp"])), ("b64", json!(false)), ("typ", json!("secevent+jwt"))] {
        assert_eq!(world.judge_header(&with(name, value)), Err(Rejection::Header), "{name}");
    }
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!("at+JWT")),
        ("x5t", json!("abc")),
        ("jku", json!("http://127.0.0.1:1/keys")),
        ("jwk", json!({"kty": "oct", "k": "AA"})),
    ] {
        assert!(world.judge_header(&with(name, value)).is_ok(), "{name}");
    }
    let twice = service_account().to_string().replacen('{', r#"{"groups":["a"],"groups":["b"],"#, 1);
    assert_eq!(world.verify(&world.sign(&world.header().to_string(), &twice)), Err(Rejection::Claims));
}

#[test]
fn a03_the_key_brings_the_algorithm() {
    let world = World::new(Algorithm::Rs256);

    for alg in ["none", "HS256", "RS512", "ES256", "rs256", ""] {
        let header = json!({"alg": alg, "kid": world.key.kid()});
        assert_eq!(world.judge_header(&header), Err(Rejection::Algorithm), "{alg}");
    }
    let other = World::new(Algorithm::Rs256);
    let forged = json!({"alg": "RS256", "kid": world.key.kid()});
    let token = other.sign(&forged.to_string(), &service_account().to_string());
    assert_eq!(world.verify(&token), Err(Rejection::Signature));
    assert_eq!(world.judge_header(&json!({"alg": "RS256", "kid": "other"})), Err(Rejection::UnknownKey));
    assert_eq!(world.judge_header(&json!({"alg": "RS256"})), Err(Rejection::Header));
}

#[test]
fn the_issuer_that_a_token_claims_is_read_without_trusting_it() {
    let world = World::new(Algorithm::Es256);
    let token = world.sign(&world.header().to_string(), &service_account().to_string());

    assert_eq!(claimed_issuer(&token), Ok(ISSUER.to_owned()));
    assert_eq!(claimed_issuer("a.b"), Err(Rejection::Malformed));
    assert_eq!(claimed_issuer(&"a".repeat(MAX_TOKEN_BYTES + 1)), Err(Rejection::TooLong));
}

#[test]
fn a14_a_key_set_with_a_weak_damaged_or_doubled_key_is_refused_whole() {
    let good = serde_json::to_value(SigningKey::generate(Algorithm::Es256).unwrap().public_jwk()).unwrap();
    let changed = |name: &str, value: Json| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let parse = |keys: Json| ForeignKeySet::parse(json!({"keys": keys}).to_string().as_bytes());
    let weak = json!({"kty": "RSA", "kid": "w", "alg": "RS256", "n": "x".repeat(85), "e": "AQAB"});

    assert!(matches!(parse(json!([good, weak])), Err(ForeignKeySetError::Key { .. })));
    assert!(matches!(parse(json!([changed("x", json!("AA"))])), Err(ForeignKeySetError::Key { .. })));
    assert!(matches!(parse(json!([good, good])), Err(ForeignKeySetError::DuplicateKid { .. })));
    assert!(matches!(parse(json!([])), Err(ForeignKeySetError::NoKey)));
    assert!(matches!(ForeignKeySet::parse(b"<html>"), Err(ForeignKeySetError::Json(_))));
    let large = vec![b' '; 300 * 1024];
    assert!(matches!(ForeignKeySet::parse(&large), Err(ForeignKeySetError::TooLarge)));
}

#[test]
fn a14_keys_for_other_uses_are_left_out() {
    let good = serde_json::to_value(SigningKey::generate(Algorithm::Es256).unwrap().public_jwk()).unwrap();
    let set = json!({"keys": [
        good,
        {"kty": "RSA", "kid": "e", "use": "enc", "alg": "RSA-OAEP", "n": "AA", "e": "AQAB"},
        {"kty": "oct", "kid": "o", "k": "c2VjcmV0"},
        {"kty": "EC", "kid": "p", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "m", "crv": "P-256", "alg": "RS256", "x": "AA", "y": "AA"},
    ]});

    let keys = ForeignKeySet::parse(set.to_string().as_bytes()).unwrap();

    assert_eq!(keys.kids().collect::<Vec<_>>(), [good["kid"].as_str().unwrap()]);
}

#[test]
fn a_key_that_does_not_name_its_algorithm_has_the_one_of_its_kind() {
    for (algorithm, expected) in
        [(Algorithm::Rs256, true), (Algorithm::Rs512, false), (Algorithm::EdDsa, true)]
    {
        let key = SigningKey::generate(algorithm).unwrap();
        let mut jwk = serde_json::to_value(key.public_jwk()).unwrap();
        jwk.as_object_mut().unwrap().remove("alg");
        let keys = ForeignKeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        let world = World { key, keys, audiences: vec!["llm".to_owned()] };

        assert_eq!(world.judge(&service_account()).is_ok(), expected, "{algorithm}");
    }
}
