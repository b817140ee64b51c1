//! Tokens, keys and key sets are the ones that other implementations write and read. `fixtures/pyjwt.json` was
//! written by that Python library through `fixtures/make.py`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case fails")]

use serde_json::Value;
use vibectl_token::{Claims, Expectation, KeySet, SigningKey, mint, standalone, verify};

const NOW: i64 = 1_790_000_000;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/pyjwt.json")).unwrap()
}

fn claims(fixture: &Value) -> Claims {
    serde_json::from_value(fixture["claims"].clone()).unwrap()
}

fn expectation(claims: &Claims) -> Expectation<'_> {
    Expectation { issuer: &claims.iss, audience: &claims.aud }
}

#[test]
fn tokens_of_pyjwt_verify() {
    let fixture = fixture();
    let claims = claims(&fixture);
    let jwks = serde_json::json!({"keys": [fixture["keys"][0]["jwk"], fixture["keys"][1]["jwk"], fixture["keys"][2]["jwk"]]});
    let keys = KeySet::parse(jwks.to_string().as_bytes()).unwrap();

    for key in fixture["keys"].as_array().unwrap() {
        let token = key["token"].as_str().unwrap();

        let verified = verify(&keys, &expectation(&claims), token, NOW).unwrap();

        assert_eq!(verified.claims, claims, "{}", key["algorithm"]);
    }
}

#[test]
fn private_keys_of_openssl_are_read_and_have_the_same_public_half_and_name() {
    for key in fixture()["keys"].as_array().unwrap() {
        let signing_key = SigningKey::from_pkcs8_pem(key["pem"].as_str().unwrap()).unwrap();

        assert_eq!(serde_json::to_value(signing_key.public_jwk()).unwrap(), key["jwk"]);
        let again = SigningKey::from_pkcs8_pem(&signing_key.to_pkcs8_pem().unwrap()).unwrap();
        assert_eq!(again.public_jwk(), signing_key.public_jwk());
    }
}

#[test]
fn tokens_are_the_same_bytes_as_those_of_pyjwt_where_the_signature_has_no_randomness() {
    let fixture = fixture();
    let claims = claims(&fixture);

    for key in fixture["keys"].as_array().unwrap() {
        let signing_key = SigningKey::from_pkcs8_pem(key["pem"].as_str().unwrap()).unwrap();
        let (ours, theirs) = (mint(&signing_key, &claims).unwrap(), key["token"].as_str().unwrap());

        if key["algorithm"] == "ES256" {
            assert_eq!(ours.expose().rsplit_once('.').unwrap().0, theirs.rsplit_once('.').unwrap().0);
        } else {
            assert_eq!(ours.expose(), theirs);
        }
    }
}

#[test]
fn a_second_implementation_verifies_our_tokens_by_our_key_set() {
    let fixture = fixture();
    let claims = Claims { exp: 32_503_680_000, nbf: 0, iat: 0, ..claims(&fixture) };

    for key in fixture["keys"].as_array().unwrap() {
        let signing_key = SigningKey::from_pkcs8_pem(key["pem"].as_str().unwrap()).unwrap();
        let keys = KeySet::from_keys([signing_key.public_jwk().clone()]).unwrap();
        let token = mint(&signing_key, &claims).unwrap();

        let theirs: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&keys.render()).unwrap();
        let public = jsonwebtoken::DecodingKey::from_jwk(theirs.find(signing_key.kid()).unwrap()).unwrap();
        let mut validation =
            jsonwebtoken::Validation::new(key["algorithm"].as_str().unwrap().parse().unwrap());
        validation.set_audience(&[&claims.aud]);
        validation.set_issuer(&[&claims.iss]);
        let decoded = jsonwebtoken::decode::<Claims>(token.expose(), &public, &validation).unwrap();

        assert_eq!(decoded.claims, claims);
    }
}

#[test]
fn a_standalone_token_is_the_same_bytes_as_the_originals() {
    let standalone = &fixture()["standalone"];
    let theirs = standalone["token"].as_str().unwrap();
    let secret = standalone::Secret::new(standalone["secret"].as_str().unwrap().as_bytes()).unwrap();
    let text = |name: &str| standalone["claims"][name].as_str().unwrap().to_owned();
    let time = |name: &str| standalone["claims"][name].as_i64().unwrap();
    let claims = standalone::Claims {
        sub: text("sub"),
        iss: text("iss"),
        iat: time("iat"),
        exp: time("exp"),
        jti: text("jti"),
        cnf: None,
    };

    let ours = standalone::generate(&secret, &claims).unwrap();
    let verified = standalone::verify(&secret, "vibectl-server", theirs, NOW).unwrap();

    assert_eq!(ours.expose(), theirs);
    assert_eq!(verified.subject, "dev-user");
    assert_eq!(verified.expires_at, claims.exp);
    assert_eq!(verified.jti.as_deref(), Some(claims.jti.as_str()));
}
