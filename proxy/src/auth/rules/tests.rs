//! An issuer whose keys are fetched, as a server that runs alone has it.

use serde_json::json;
use vibectl_config::JwtCaller;
use vibectl_token::{Algorithm, SigningKey};

use super::*;
use crate::auth::foreign::Provider;

const NOW: i64 = 1_790_000_000;

fn jwt(provider: &Provider, jwks_url: Option<String>) -> Jwt {
    let caller = JwtCaller { value: "alice".to_owned(), subject: "alice".to_owned(), ..JwtCaller::default() };
    let issuer = JwtIssuer {
        name: "corp".to_owned(),
        issuer: provider.url(""),
        audiences: vec!["llm".to_owned()],
        jwks_file: None,
        jwks_url,
        ca_file: Some("/corp-ca.crt".into()),
        callers: vec![caller],
    };
    Jwt { issuers: vec![issuer], ..Jwt::default() }
}

fn rules(jwt: &Jwt, provider: &Provider, last: Option<&Rules>) -> (Rules, Vec<String>) {
    let ca = ("issuers/corp/ca.crt".to_owned(), provider.ca().as_bytes().to_vec());
    let fetches = Arc::new(Family::counter("fetches", "Fetches.", ["outcome"]));
    Rules::of(jwt, &Files::from([ca]), last, &fetches)
}

fn token(key: &SigningKey, issuer: &str) -> String {
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.kid = Some(key.kid().to_owned());
    let claims = json!({"iss": issuer, "sub": "alice", "aud": "llm", "exp": NOW + 60});
    let pem = key.to_pkcs8_pem().unwrap();
    let signer = jsonwebtoken::EncodingKey::from_ec_pem(pem.as_bytes()).unwrap();
    jsonwebtoken::encode(&header, &claims, &signer).unwrap()
}

/// As a call does: once more, when newer keys have come.
async fn subject(rules: &Rules, token: &str) -> Result<String, Denied> {
    let verify = || rules.verify(rules.issuer_of(token).unwrap(), token, NOW);
    let verified = match verify() {
        Err(Denied { refresh: Some(refresh), .. }) if refresh.happened().await => verify(),
        first => first,
    };
    verified.map(|verified| verified.subject)
}

#[tokio::test]
async fn keys_come_from_an_address_or_from_where_the_issuer_says_they_are() {
    let provider = Provider::start().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    provider.publish(&[&key]);

    for jwks_url in [Some(provider.url("/keys")), None] {
        let (rules, problems) = rules(&jwt(&provider, jwks_url), &provider, None);

        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(subject(&rules, &token(&key, &provider.url(""))).await.unwrap(), "alice");
    }
}

#[tokio::test]
async fn what_was_fetched_stays_while_other_files_change() {
    let provider = Provider::start().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    provider.publish(&[&key]);
    let jwt = jwt(&provider, None);
    let (first, _) = rules(&jwt, &provider, None);
    let token = token(&key, &provider.url(""));
    subject(&first, &token).await.unwrap();
    let asked = provider.asked();

    let (second, _) = rules(&jwt, &provider, Some(&first));
    drop(first);

    assert_eq!(second.verify(second.issuer_of(&token).unwrap(), &token, NOW).unwrap().subject, "alice");
    assert_eq!(provider.asked(), asked, "nobody was asked again");
}
