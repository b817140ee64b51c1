//! What a server that runs alone lets in, by its secret, its keys and its list.

use vibectl_token::standalone::{SignedClaims, sign};
use vibectl_token::{Algorithm, PublicJwk, SigningKey};

use super::*;

const NOW: i64 = 1_790_000_000;

fn standalone() -> Standalone {
    Standalone::with_secret(Secret::new(&[7; 32]).expect("a secret"), "vibectl-server")
}

fn fetches() -> Arc<Family<1>> {
    Arc::new(Family::counter("fetches", "Fetches.", ["outcome"]))
}

fn files(list: &str) -> Files {
    Files::from([(REVOCATION_FILE.to_owned(), list.as_bytes().to_vec())])
}

fn token(jti: &str) -> Verified {
    Verified {
        subject: "dev".to_owned(),
        jti: Some(jti.to_owned()),
        issued_at: Some(NOW),
        expires_at: NOW + 60,
        confirmation: None,
        kid: None,
    }
}

#[test]
fn a_list_that_is_bad_or_gone_leaves_the_one_in_force() {
    let (state, accepted) =
        standalone().follow(&Jwt::default(), &files("{\"jti\":\"1\",\"at\":1}"), NOW, &fetches());
    assert_eq!(accepted.problems, Vec::<String>::new());

    for newest in [files("{\"jti\":\"2\""), Files::new()] {
        let (state, accepted) = state.follow(&Jwt::default(), &newest, NOW, &fetches());

        assert!(accepted.problems[0].starts_with("revoked.jsonl: "), "{:?}", accepted.problems);
        assert!(!state.still_accepts(&token("1")) && state.still_accepts(&token("2")));
    }
}

#[test]
fn an_empty_list_takes_back_what_was_revoked() {
    let (state, _) =
        standalone().follow(&Jwt::default(), &files("{\"jti\":\"1\",\"at\":1}"), NOW, &fetches());

    let (state, accepted) = state.follow(&Jwt::default(), &files(""), NOW, &fetches());

    assert!(accepted.problems.is_empty() && state.still_accepts(&token("1")));
}

#[test]
fn a_list_that_the_config_names_has_to_be_there_and_another_one_need_not() {
    let named = Jwt { revocation_file: Some("/list".into()), ..Jwt::default() };

    let (_, accepted) = standalone().follow(&named, &Files::new(), NOW, &fetches());

    assert!(accepted.problems[0].starts_with("/list: no such file"), "{:?}", accepted.problems);
    assert!(standalone().follow(&Jwt::default(), &Files::new(), NOW, &fetches()).1.problems.is_empty());
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).expect("a key")
}

fn published(keys: &[&SigningKey]) -> Files {
    let keys = KeySet::from_keys(keys.iter().map(|key| PublicJwk::clone(key.public_jwk())));
    Files::from([(JWKS_FILE.to_owned(), keys.expect("a key set").render().into_bytes())])
}

fn claims() -> SignedClaims {
    let text = str::to_owned;
    SignedClaims {
        iss: text("vibectl-server"),
        aud: text("vibectl-server"),
        sub: text("dev"),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 600,
        jti: text("1"),
        cnf: None,
    }
}

fn signed(key: &SigningKey) -> String {
    sign(key, &claims()).expect("a token").expose().to_owned()
}

fn with_keys(keys: &[&SigningKey]) -> Standalone {
    with_keys_and(keys, None)
}

fn with_keys_and(keys: &[&SigningKey], former: Option<Former>) -> Standalone {
    let start = Standalone::with_keys("vibectl-server", "vibectl-server", former);
    let (state, accepted) = start.follow(&Jwt::default(), &published(keys), NOW, &fetches());
    assert_eq!(accepted.problems, Vec::<String>::new());
    state
}

fn cause(state: &Standalone, token: &str) -> Option<Cause> {
    state.principal(token, None, NOW).err().map(|denied| denied.cause)
}

#[test]
fn a_token_goes_with_its_key_also_when_it_was_verified_before_and_calls_notice() {
    let (old, new) = (key(), key());
    let state = with_keys(&[&old]);
    let (token, next) = (signed(&old), signed(&new));
    let Credential::Alone(held) = state.principal(&token, None, NOW).expect("let in").credential else {
        panic!("a token of a server that runs alone")
    };

    let (both, _) = state.follow(&Jwt::default(), &published(&[&old, &new]), NOW, &fetches());
    assert_eq!((cause(&both, &token), cause(&both, &next), both.still_accepts(&held)), (None, None, true));
    let (after, _) = both.follow(&Jwt::default(), &published(&[&new]), NOW, &fetches());

    assert!(cause(&after, &token).is_some() && !after.still_accepts(&held));
    assert_eq!(cause(&after, &next), None);
}

#[test]
fn public_keys_that_cannot_be_read_leave_those_in_force_and_none_at_the_start_lets_nobody_in() {
    let (old, token) = (key(), String::new());
    let state = with_keys(&[&old]);
    let damaged = Files::from([(JWKS_FILE.to_owned(), b"{".to_vec())]);

    for newest in [damaged.clone(), Files::new()] {
        let (state, accepted) = state.follow(&Jwt::default(), &newest, NOW, &fetches());

        assert!(accepted.problems[0].starts_with("signing-keys/jwks.json: "), "{:?}", accepted.problems);
        assert_eq!(cause(&state, &signed(&old)), None);
    }
    let start = Standalone::with_keys("i", "a", None);
    let (state, accepted) = start.follow(&Jwt::default(), &published(&[]), NOW, &fetches());
    assert!(accepted.problems[0].contains("token rotate-key") && !state.is_ready());
    assert_eq!(cause(&start, &token), Some(Cause::Unavailable));
}

#[test]
fn when_the_last_key_is_revoked_nobody_is_let_in() {
    let lost = key();

    let (state, accepted) = with_keys(&[&lost]).follow(&Jwt::default(), &published(&[]), NOW, &fetches());

    assert_eq!(accepted.problems, Vec::<String>::new());
    assert!(cause(&state, &signed(&lost)).is_some() && !state.is_ready());
}

#[test]
fn a_bound_token_of_a_key_needs_its_certificate_also_when_it_was_verified_before() {
    let key = key();
    let (state, mine) = (with_keys(&[&key]), b"mine");
    let claims = SignedClaims { cnf: Some(Confirmation::of_certificate(mine)), ..claims() };
    let token = sign(&key, &claims).expect("a token");
    let with = |der: Option<&[u8]>| {
        let principal = state.principal(token.expose(), der.map(ClientCertificate::of), NOW);
        principal.err().map(|denied| denied.cause)
    };

    assert_eq!(with(Some(mine)), None);
    assert_eq!((with(Some(b"another")), with(None)), (Some(Cause::NotBound), Some(Cause::NotBound)));
}

#[test]
fn a_server_takes_tokens_of_its_secret_or_of_its_keys_and_never_of_both() {
    let (key, of_secret) = (key(), of_secret(&[7; 32]));

    let (keys, alone) = (with_keys(&[&key]), standalone());

    assert_eq!((cause(&alone, &of_secret), cause(&keys, &signed(&key))), (None, None));
    assert!(cause(&keys, &of_secret).is_some() && cause(&alone, &signed(&key)).is_some());
}

fn of_secret(secret: &[u8]) -> String {
    let text = str::to_owned;
    let (sub, iss, jti) = (text("dev"), text("vibectl-server"), text("1"));
    let claims = vibectl_token::standalone::Claims { sub, iss, iat: NOW, exp: NOW + 60, jti, cnf: None };
    let secret = Secret::new(secret).expect("a secret");
    vibectl_token::standalone::generate(&secret, &claims).expect("a token").expose().to_owned()
}

#[test]
fn a06_a08_while_a_server_migrates_it_takes_both_and_from_that_day_on_those_of_keys_alone() {
    let key = key();
    let until = |second| {
        let secret = Secret::new(&[7; 32]).expect("a secret");
        with_keys_and(&[&key], Some(Former::new(secret, second)))
    };
    let (before, after) = (until(NOW + 1), until(NOW));

    assert_eq!((cause(&before, &of_secret(&[7; 32])), cause(&before, &signed(&key))), (None, None));
    assert_eq!(cause(&after, &of_secret(&[7; 32])), Some(Cause::MigrationEnded));
    assert_eq!(cause(&after, &signed(&key)), None);
    assert_eq!(
        cause(&before, &of_secret(&[8; 32])),
        Some(Cause::Token(Rejection::Signature)),
        "another secret"
    );
    let stranger = SigningKey::generate(Algorithm::Es256).expect("a key");
    assert_eq!(cause(&before, &signed(&stranger)), Some(Cause::Token(Rejection::UnknownKey)));
}

#[test]
fn a_former_token_is_revoked_like_any_other() {
    let former = Former::new(Secret::new(&[7; 32]).expect("a secret"), NOW + 60);
    let mut list = published(&[&key()]);
    list.extend(files("{\"sub\":\"dev\",\"before\":1790000001,\"at\":1}"));

    let (state, accepted) = Standalone::with_keys("vibectl-server", "v", Some(former)).follow(
        &Jwt::default(),
        &list,
        NOW,
        &fetches(),
    );

    assert_eq!(accepted.problems, Vec::<String>::new());
    assert_eq!(cause(&state, &of_secret(&[7; 32])), Some(Cause::Revoked));
}
