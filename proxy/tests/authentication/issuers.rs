//! Callers of a server that runs alone whom another issuer knows: by the rules of its config, and nobody without one.

use std::sync::Arc;

use http::StatusCode;
use vibectl_config::locate::REVOCATION_FILE;
use vibectl_config::{Config, Jwt};
use vibectl_server::parts::Files;
use vibectl_server::state::{Shared, unix_now};
use vibectl_token::{Algorithm, SigningKey};

use super::{ask, shared, text};

const FILE: &str = "issuers/corp/jwks.json";
const SECRET: &str = "a-secret-of-more-than-32-characters-for-tests";
const RULES: &str = "
  issuers:
    - name: corp
      issuer: https://login.example.org
      audiences: [llm]
      jwks_file: /corp.json
      callers:
        - {value: alice}
        - {claim: groups, value: dev, subject: developers}
";

/// A server that trusts another issuer.
struct Alone {
    shared: Arc<Shared>,
    jwt: Jwt,
    key: SigningKey,
    files: Files,
}

impl Alone {
    fn new(own: &str) -> Self {
        let parsed = Config::parse(&format!("jwt:\n{own}{RULES}"), "c.yaml").expect("a config");
        let (shared, key) = (shared(), SigningKey::generate(Algorithm::Rs256).expect("a key"));
        shared.auth.start(&parsed.config, false).expect("started");
        let mut alone = Self { shared, jwt: parsed.config.jwt, files: Files::new(), key };
        alone.publish(&[&alone.key.public_jwk().clone()]);
        assert_eq!(alone.follow(), Vec::<String>::new());
        alone
    }

    fn publish(&mut self, keys: &[&vibectl_token::PublicJwk]) {
        let keys = serde_json::json!({ "keys": keys });
        self.files.insert(FILE.to_owned(), keys.to_string().into_bytes());
    }

    fn follow(&self) -> Vec<String> {
        self.shared.auth.follow(&self.jwt, &self.files, unix_now()).problems
    }

    fn token(&self, changes: &serde_json::Value) -> String {
        token(&self.key, changes)
    }

    async fn ask(&self, token: &str) -> (StatusCode, String) {
        let answer = ask(&self.shared, &[("authorization", &format!("Bearer {token}"))]).await;
        (answer.status(), text(answer).await)
    }

    async fn status(&self, changes: &serde_json::Value) -> StatusCode {
        self.ask(&self.token(changes)).await.0
    }
}

/// With jsonwebtoken, as somebody else would.
fn token(key: &SigningKey, changes: &serde_json::Value) -> String {
    let now = unix_now();
    let mut claims = serde_json::json!({
        "iss": "https://login.example.org", "sub": "alice", "aud": "llm", "iat": now, "exp": now + 600, "jti": "1",
    });
    changes.as_object().expect("changes").iter().for_each(|(name, value)| claims[name] = value.clone());
    let pem = key.to_pkcs8_pem().expect("a key");
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    header.kid = Some(key.kid().to_owned());
    let signer = jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key");
    jsonwebtoken::encode(&header, &claims, &signer).expect("a token")
}

fn of_secret(claims: &serde_json::Value) -> String {
    let secret = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    jsonwebtoken::encode(&header, claims, &secret).expect("a token")
}

#[tokio::test]
async fn whom_a_rule_names_is_let_in_under_the_name_that_it_gives_and_nobody_else() {
    let alone = Alone::new("");
    let with = |changes: serde_json::Value| alone.token(&changes);

    assert_eq!(alone.ask(&with(serde_json::json!({}))).await, (StatusCode::OK, "alice []".to_owned()));
    let developer = with(serde_json::json!({"sub": "dave", "groups": ["ops", "dev"]}));
    assert_eq!(alone.ask(&developer).await, (StatusCode::OK, "developers []".to_owned()));
    for changes in [
        serde_json::json!({"sub": "mallory"}),
        serde_json::json!({"sub": "dave", "groups": "developers"}),
        serde_json::json!({"aud": "wiki"}),
        serde_json::json!({"exp": unix_now() - 60}),
        serde_json::json!({"cnf": {"x5t#S256": "x"}}),
    ] {
        assert_eq!(alone.status(&changes).await, StatusCode::UNAUTHORIZED, "{changes}");
    }
}

#[tokio::test]
async fn a08_tokens_of_the_server_itself_and_of_another_issuer_do_not_pass_for_each_other() {
    let alone = Alone::new(&format!("  secret_key: {SECRET}\n"));
    let (now, own) = (unix_now(), "vibectl-server");
    let ours = |issuer: &str| {
        of_secret(&serde_json::json!({"iss": issuer, "sub": "alice", "iat": now, "exp": now + 60}))
    };

    assert_eq!(alone.ask(&ours(own)).await.0, StatusCode::OK);
    assert_eq!(alone.status(&serde_json::json!({})).await, StatusCode::OK);
    assert_eq!(alone.ask(&ours("https://login.example.org")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(alone.status(&serde_json::json!({"iss": own})).await, StatusCode::UNAUTHORIZED);
    let without = Alone::new("");
    assert_eq!(without.ask(&ours(own)).await.0, StatusCode::UNAUTHORIZED, "nobody has a secret");
}

#[tokio::test]
async fn a13_a14_a_key_set_in_a_file_is_followed_and_a_bad_one_leaves_the_last_good_one() {
    let mut alone = Alone::new("");
    let next = SigningKey::generate(Algorithm::Rs256).expect("a key");
    let (old, new) = (alone.token(&serde_json::json!({})), token(&next, &serde_json::json!({})));
    assert_eq!(alone.ask(&new).await.0, StatusCode::UNAUTHORIZED);

    alone.publish(&[next.public_jwk()]);
    assert_eq!(alone.follow(), Vec::<String>::new());
    assert_eq!(
        (alone.ask(&old).await.0, alone.ask(&new).await.0),
        (StatusCode::UNAUTHORIZED, StatusCode::OK)
    );

    for bad in [Some("{"), Some(r#"{"keys":[]}"#), None] {
        match bad {
            Some(content) => alone.files.insert(FILE.to_owned(), content.as_bytes().to_vec()),
            None => alone.files.remove(FILE),
        };
        let problems = alone.follow();
        assert!(problems.len() == 1 && problems[0].starts_with("issuer corp: "), "{problems:?}");
        assert_eq!(alone.ask(&new).await.0, StatusCode::OK, "{bad:?}");
    }
}

#[tokio::test]
async fn revoking_the_name_of_a_rule_or_one_token_refuses_it() {
    let mut alone = Alone::new("");
    let second = || serde_json::json!({"jti": "2"});

    alone.files.insert(REVOCATION_FILE.to_owned(), b"{\"jti\":\"1\",\"at\":1}".to_vec());
    alone.follow();
    assert_eq!(alone.status(&serde_json::json!({})).await, StatusCode::UNAUTHORIZED);
    assert_eq!(alone.status(&second()).await, StatusCode::OK);

    let all = format!("{{\"sub\":\"alice\",\"before\":{},\"at\":1}}", unix_now() + 60);
    alone.files.insert(REVOCATION_FILE.to_owned(), all.into_bytes());
    alone.follow();
    assert_eq!(alone.status(&second()).await, StatusCode::UNAUTHORIZED);
}
