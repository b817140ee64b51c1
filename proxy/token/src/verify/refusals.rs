//! What [`super::verify`] must refuse, each signed by the right key where the signature is not the point.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::algorithm::Algorithm;
use crate::claims::{LEEWAY_SECONDS, audience_of, issuer_of};
use crate::mint::mint;
use crate::signing_key::SigningKey;

const UID: &str = "0a5e9b7c";
const NOW: i64 = 1_790_000_000;

struct Signer {
    key: SigningKey,
    keys: KeySet,
}

impl Signer {
    fn new(algorithm: Algorithm) -> Self {
        let key = SigningKey::generate(algorithm).unwrap();
        let keys = KeySet::from_keys([key.public_jwk().clone()]).unwrap();
        Self { key, keys }
    }

    fn header(&self) -> Value {
        json!({"alg": self.key.algorithm().name(), "kid": self.key.kid(), "typ": "at+jwt"})
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn verify(&self, token: &str) -> Result<Claims, Rejection> {
        let (issuer, audience) = (issuer_of(UID), audience_of(UID));
        let expected = Expectation { issuer: &issuer, audience: &audience };
        verify(&self.keys, &expected, token, NOW).map(|verified| verified.claims)
    }

    fn verify_claims(&self, claims: &Value) -> Result<Claims, Rejection> {
        self.verify(&self.sign(&self.header().to_string(), &claims.to_string()))
    }
}

fn claims() -> Claims {
    Claims {
        iss: issuer_of(UID),
        aud: audience_of(UID),
        sub: "ai/alice".to_owned(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 600,
        jti: "1".to_owned(),
        uid: "row".to_owned(),
    }
}

fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = serde_json::to_value(claims()).unwrap();
    claims[name] = value;
    claims
}

#[test]
fn what_is_minted_verifies_with_every_algorithm() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let signer = Signer::new(algorithm);

        let token = mint(&signer.key, &claims()).unwrap();

        assert_eq!(signer.verify(token.expose()), Ok(claims()), "{algorithm}");
    }
}

#[test]
fn a02_the_header_never_chooses_the_algorithm() {
    let signer = Signer::new(Algorithm::Es256);
    let claims = serde_json::to_string(&claims()).unwrap();

    for name in ["none", "None", "nOnE", "", "HS256", "RS256", "EdDSA", "ES384", "es256"] {
        let header = json!({"alg": name, "kid": signer.key.kid(), "typ": "at+jwt"}).to_string();

        assert_eq!(signer.verify(&signer.sign(&header, &claims)), Err(Rejection::Algorithm), "{name}");
    }
}

#[test]
fn a03_a_public_key_is_no_shared_secret() {
    let signer = Signer::new(Algorithm::Rs256);
    let header = json!({"alg": "HS256", "kid": signer.key.kid(), "typ": "at+jwt"}).to_string();
    let claims = serde_json::to_string(&claims()).unwrap();
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let secret = hmac::Key::new(hmac::HMAC_SHA256, signer.keys.render().as_bytes());
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&secret, input.as_bytes())));

    assert_eq!(signer.verify(&token), Err(Rejection::Algorithm));
}

#[test]
fn a02_an_empty_or_missing_signature_is_refused() {
    let signer = Signer::new(Algorithm::Es256);
    let token = mint(&signer.key, &claims()).unwrap();
    let (input, signature) = token.expose().rsplit_once('.').unwrap();

    assert_eq!(signer.verify(&format!("{input}.")), Err(Rejection::Signature));
    assert_eq!(signer.verify(input), Err(Rejection::Malformed));
    assert_eq!(signer.verify(&format!("{input}.{signature}.")), Err(Rejection::Malformed));
    assert_eq!(signer.verify(&format!("{input}.{signature}=")), Err(Rejection::Malformed));
    assert_eq!(signer.verify(&format!("{input}.{signature}\n")), Err(Rejection::Malformed));
    assert_eq!(signer.verify(""), Err(Rejection::Malformed));
}

#[test]
fn a04_times_are_whole_numbers_from_1970_on_and_all_there() {
    let signer = Signer::new(Algorithm::EdDsa);
    let bad = [
        json!("1790000000"),
        json!(1_790_000_000.0),
        json!(-1),
        json!(9_223_372_036_854_775_808_u64),
        json!(1e300),
        Value::Null,
        json!(true),
        json!([NOW]),
    ];

    for name in ["exp", "nbf", "iat"] {
        for value in &bad {
            let result = signer.verify_claims(&claims_with(name, value.clone()));

            assert_eq!(result, Err(Rejection::Claims), "{name} = {value}");
        }
    }
}

#[test]
fn a04_a07_every_claim_is_required_and_not_empty() {
    let signer = Signer::new(Algorithm::EdDsa);
    let all = serde_json::to_value(claims()).unwrap();

    for name in ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "vibectl.dev/uid"] {
        let mut without = all.clone();
        without.as_object_mut().unwrap().remove(name);

        assert_eq!(signer.verify_claims(&without), Err(Rejection::Claims), "without {name}");
        assert_eq!(
            signer.verify_claims(&claims_with(name, json!(""))),
            Err(Rejection::Claims),
            "empty {name}"
        );
    }
}

#[test]
fn a05_time_is_judged_with_the_leeway_and_no_more() {
    let signer = Signer::new(Algorithm::EdDsa);
    let times = |iat: i64, nbf: i64, exp: i64| {
        signer.verify_claims(&serde_json::to_value(Claims { iat, nbf, exp, ..claims() }).unwrap()).map(|_| ())
    };
    let ago = NOW - 1000;

    assert_eq!(times(ago, ago, NOW - LEEWAY_SECONDS + 1), Ok(()));
    assert_eq!(times(ago, ago, NOW - LEEWAY_SECONDS), Err(Rejection::Expired));
    assert_eq!(times(NOW + LEEWAY_SECONDS, NOW, NOW + 600), Ok(()));
    assert_eq!(times(NOW + LEEWAY_SECONDS + 1, NOW, NOW + 600), Err(Rejection::NotYetValid));
    assert_eq!(times(NOW, NOW + LEEWAY_SECONDS + 1, NOW + 600), Err(Rejection::NotYetValid));
    assert_eq!(times(NOW, NOW, i64::MAX), Ok(()));
    assert_eq!(times(NOW, NOW, NOW), Err(Rejection::Claims));
}

#[test]
fn a05_a_clock_that_steps_by_an_hour_and_back_changes_the_answer_and_nothing_else() {
    let signer = Signer::new(Algorithm::EdDsa);
    let token = mint(&signer.key, &claims()).unwrap();
    let at = |now: i64| {
        let (issuer, audience) = (issuer_of(UID), audience_of(UID));
        let expected = Expectation { issuer: &issuer, audience: &audience };
        verify(&signer.keys, &expected, token.expose(), now).map(drop)
    };

    assert_eq!(
        [at(NOW), at(NOW + 3600), at(NOW), at(NOW - 3600), at(NOW)],
        [Ok(()), Err(Rejection::Expired), Ok(()), Err(Rejection::NotYetValid), Ok(())]
    );
    assert_eq!([at(i64::MIN), at(i64::MAX)], [Err(Rejection::NotYetValid), Err(Rejection::Expired)]);
}

#[test]
fn a06_a_list_of_ten_thousand_audiences_is_too_long_to_be_read() {
    let signer = Signer::new(Algorithm::EdDsa);

    let result = signer.verify_claims(&claims_with("aud", json!(vec![UID; 10_000])));

    assert_eq!(result, Err(Rejection::TooLong));
}

#[test]
fn a06_a07_only_the_exact_issuer_and_audience_are_accepted() {
    let signer = Signer::new(Algorithm::EdDsa);
    let issuer = issuer_of(UID);

    for other in
        [format!("{issuer}/"), issuer.to_uppercase(), issuer.replace('a', "\u{430}"), issuer_of("other")]
    {
        assert_eq!(signer.verify_claims(&claims_with("iss", json!(other))), Err(Rejection::Issuer));
    }
    assert_eq!(signer.verify_claims(&claims_with("aud", json!("other"))), Err(Rejection::Audience));
    for list in [json!([UID]), json!(["other", UID])] {
        assert_eq!(signer.verify_claims(&claims_with("aud", list)), Err(Rejection::Claims));
    }
}

#[test]
fn a08_another_type_of_token_is_refused() {
    let signer = Signer::new(Algorithm::EdDsa);
    let claims = serde_json::to_string(&claims()).unwrap();

    for typ in
        [json!("JWT"), json!("id_token"), json!("AT+JWT"), json!("application/at+jwt"), Value::Null, json!(1)]
    {
        let header = json!({"alg": "EdDSA", "kid": signer.key.kid(), "typ": typ}).to_string();

        assert_eq!(signer.verify(&signer.sign(&header, &claims)), Err(Rejection::Header), "{typ}");
    }
}

#[test]
fn a09_a11_a_header_member_that_we_do_not_write_is_refused() {
    let signer = Signer::new(Algorithm::EdDsa);
    let claims = serde_json::to_string(&claims()).unwrap();

    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", Value::Null),
        ("b64", json!(false)),
        ("jku", json!("http://127.0.0.1/keys")),
        ("x5u", json!("http://127.0.0.1/chain")),
        ("x5c", json!([])),
        ("jwk", json!(signer.key.public_jwk())),
        ("cty", json!("JWT")),
        ("enc", json!("A256GCM")),
    ] {
        let mut header = signer.header();
        header[name] = value;

        assert_eq!(
            signer.verify(&signer.sign(&header.to_string(), &claims)),
            Err(Rejection::Header),
            "{name}"
        );
    }
}

#[test]
fn a09_other_forms_of_signed_or_encrypted_tokens_are_refused() {
    let signer = Signer::new(Algorithm::EdDsa);
    let token = mint(&signer.key, &claims()).unwrap();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let [header, claims, signature] = token.expose().split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let nested =
        part(&json!({"alg": "EdDSA", "kid": signer.key.kid(), "typ": "at+jwt", "cty": "JWT"}).to_string());

    for other in [
        format!("{}.a.b.c.d", part(r#"{"alg":"dir","enc":"A256GCM"}"#)),
        json!({"payload": claims, "protected": header, "signature": signature}).to_string(),
        json!({"payload": claims, "signatures": [{"protected": header, "signature": signature}]}).to_string(),
        format!("{nested}.{}.{signature}", part(token.expose())),
        format!("{header}..{signature}"),
        format!(" {}", token.expose()),
    ] {
        assert!(signer.verify(&other).is_err(), "{other}");
    }
}

#[test]
fn a09_a_member_that_is_there_twice_is_refused() {
    let signer = Signer::new(Algorithm::EdDsa);
    let (header, claims) = (signer.header().to_string(), serde_json::to_string(&claims()).unwrap());
    let twice_kid = header.replacen('{', r#"{"kid":"other","#, 1);
    let twice_aud = claims.replacen('{', r#"{"aud":"other","#, 1);

    assert_eq!(signer.verify(&signer.sign(&twice_kid, &claims)), Err(Rejection::Header));
    assert_eq!(signer.verify(&signer.sign(&header, &twice_aud)), Err(Rejection::Claims));
}

#[test]
fn a09_a_list_is_not_read_as_an_object() {
    let signer = Signer::new(Algorithm::EdDsa);
    let header = json!(["EdDSA", signer.key.kid(), "at+jwt"]).to_string();
    let list = json!([issuer_of(UID), UID, "ai/alice", NOW, NOW, NOW + 600, "1", "row"]).to_string();

    let claims = serde_json::to_string(&claims()).unwrap();
    assert_eq!(signer.verify(&signer.sign(&header, &claims)), Err(Rejection::Header));
    assert_eq!(signer.verify(&signer.sign(&signer.header().to_string(), &list)), Err(Rejection::Claims));
}

#[test]
fn a10_a_key_is_found_by_its_exact_name_or_not_at_all() {
    let signer = Signer::new(Algorithm::EdDsa);
    let claims = serde_json::to_string(&claims()).unwrap();

    let long = "k".repeat(4096);
    for kid in ["", "unknown", "../../etc/passwd", "' OR 1=1", "\0", &long, &signer.key.kid().to_uppercase()]
    {
        let header = json!({"alg": "EdDSA", "kid": kid, "typ": "at+jwt"}).to_string();

        assert_eq!(signer.verify(&signer.sign(&header, &claims)), Err(Rejection::UnknownKey), "{kid:?}");
    }
    let nameless = json!({"alg": "EdDSA", "typ": "at+jwt"}).to_string();
    assert_eq!(signer.verify(&signer.sign(&nameless, &claims)), Err(Rejection::Header));
}

#[test]
fn a15_a_token_longer_than_ours_is_refused_before_it_is_read() {
    let signer = Signer::new(Algorithm::EdDsa);

    assert_eq!(signer.verify(&"a".repeat(MAX_TOKEN_BYTES + 1)), Err(Rejection::TooLong));
    let long = Claims { sub: "s".repeat(MAX_TOKEN_BYTES), ..claims() };
    assert!(matches!(mint(&signer.key, &long), Err(crate::mint::MintError::TooLong)));
}

#[test]
fn a_key_of_another_proxy_does_not_verify() {
    let (ours, theirs) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Es256));
    let token = mint(&theirs.key, &claims()).unwrap();

    assert_eq!(ours.verify(token.expose()), Err(Rejection::UnknownKey));
    let forged = ours.header().to_string();
    let claims = serde_json::to_string(&claims()).unwrap();
    assert_eq!(ours.verify(&theirs.sign(&forged, &claims)), Err(Rejection::Signature));
}

#[test]
fn claims_that_no_verifier_accepts_are_not_minted() {
    let signer = Signer::new(Algorithm::Es256);

    for bad in [
        Claims { uid: String::new(), ..claims() },
        Claims { exp: NOW, ..claims() },
        Claims { iat: -1, ..claims() },
    ] {
        assert!(matches!(mint(&signer.key, &bad), Err(crate::mint::MintError::Claims)));
    }
}
