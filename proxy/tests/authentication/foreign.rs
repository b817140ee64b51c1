//! Callers that another issuer knows: a Kubernetes cluster's service accounts, by the keys in the list of issuers.

use http::StatusCode;
use vibectl_config::mount;
use vibectl_server::state::unix_now;
use vibectl_token::table::{Identity, Row};
use vibectl_token::{Algorithm, SigningKey};

use super::{Cluster, ask, row, text, token};

const CLUSTER: &str = "https://kubernetes.default.svc";
const AUDIENCE: &str = "vibectl.dev/ai/team";

/// A row of somebody whom the cluster knows.
fn named_row(uid: &str, claim: &str, value: &str) -> Row {
    let (issuer, claim, value) = ("kubernetes".to_owned(), claim.to_owned(), value.to_owned());
    Row { issued: false, identities: vec![Identity { issuer, claim, value }], ..row(uid) }
}

/// The cluster's own issuer, and a proxy that trusts it.
struct ServiceAccounts {
    cluster: Cluster,
    key: SigningKey,
}

impl ServiceAccounts {
    fn new(rows: &[Row]) -> Self {
        let key = SigningKey::generate(Algorithm::Rs256).expect("a key");
        let mut accounts = Self { cluster: Cluster::new(rows), key };
        accounts.trust(&[AUDIENCE]);
        accounts
    }

    fn trust(&mut self, audiences: &[&str]) {
        let keys = serde_json::json!({"keys": [serde_json::to_value(self.key.public_jwk()).expect("a key")]});
        let issuers = serde_json::json!({"issuers": [{"name": "kubernetes", "issuer": CLUSTER, "audiences": audiences, "jwks": keys}]});
        self.cluster.files.insert(mount::ISSUERS_FILE.to_owned(), issuers.to_string().into_bytes());
        assert_eq!(self.cluster.load(), Vec::<String>::new());
    }

    /// A token as the API server projects it into a pod.
    fn token(&self, changes: &serde_json::Value) -> String {
        let now = unix_now();
        let mut claims = serde_json::json!({
            "iss": CLUSTER, "sub": "system:serviceaccount:ai:builder", "aud": [AUDIENCE],
            "iat": now, "nbf": now, "exp": now + 600, "groups": ["dev", "ops"],
        });
        let changed = changes.as_object().expect("changes").iter();
        changed.for_each(|(name, value)| claims[name] = value.clone());
        sign(&self.key, &claims)
    }

    async fn ask(&self, token: &str) -> (StatusCode, String) {
        let answer = ask(&self.cluster.shared, &[("authorization", &format!("Bearer {token}"))]).await;
        (answer.status(), text(answer).await)
    }
}

/// With jsonwebtoken, as somebody else would.
fn sign(key: &SigningKey, claims: &serde_json::Value) -> String {
    let pem = key.to_pkcs8_pem().expect("a key");
    let key_of = jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key");
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    header.kid = Some(key.kid().to_owned());
    header.typ = None;
    jsonwebtoken::encode(&header, claims, &key_of).expect("a token")
}

#[tokio::test]
async fn a_service_account_gets_what_its_row_says_and_others_nothing() {
    let accounts = ServiceAccounts::new(&[
        named_row("builder", "sub", "system:serviceaccount:ai:builder"),
        row("alice"),
    ]);

    let builder = accounts.ask(&accounts.token(&serde_json::json!({}))).await;
    let other =
        accounts.ask(&accounts.token(&serde_json::json!({"sub": "system:serviceaccount:ai:other"}))).await;
    let elsewhere =
        accounts.ask(&accounts.token(&serde_json::json!({"aud": ["https://kubernetes.default.svc"]}))).await;

    assert_eq!(builder, (StatusCode::OK, "builder []".to_owned()));
    assert_eq!(other.0, StatusCode::UNAUTHORIZED);
    assert_eq!(elsewhere.0, StatusCode::UNAUTHORIZED, "a token that was made for the API server");
    assert_eq!(accounts.cluster.status(&token(&accounts.cluster.key, "alice")).await, StatusCode::OK);
}

#[tokio::test]
async fn a08_a_token_of_a_trusted_issuer_is_no_credential_of_ours_and_ours_none_for_its_row() {
    let accounts = ServiceAccounts::new(&[
        named_row("builder", "sub", "system:serviceaccount:ai:builder"),
        row("alice"),
    ]);
    let pretends = serde_json::json!({"sub": "ai/alice", "vibectl.dev/uid": "alice"});

    assert_eq!(accounts.ask(&accounts.token(&pretends)).await.0, StatusCode::UNAUTHORIZED);
    let ours = token(&accounts.cluster.key, "builder");
    assert_eq!(
        accounts.cluster.status(&ours).await,
        StatusCode::UNAUTHORIZED,
        "the row has no issued credential"
    );
    let other = ServiceAccounts::new(&[]);
    assert_eq!(
        accounts.ask(&other.token(&serde_json::json!({}))).await.0,
        StatusCode::UNAUTHORIZED,
        "another key"
    );
}

#[tokio::test]
async fn a_claim_names_a_row_and_the_subject_comes_before_other_claims() {
    let rows = [
        named_row("everyone", "groups", "dev"),
        named_row("builder", "sub", "system:serviceaccount:ai:builder"),
    ];
    let accounts = ServiceAccounts::new(&rows);

    let builder = accounts.ask(&accounts.token(&serde_json::json!({}))).await.1;
    let dev = accounts.ask(&accounts.token(&serde_json::json!({"sub": "somebody"}))).await.1;
    let stranger =
        accounts.ask(&accounts.token(&serde_json::json!({"sub": "x", "groups": ["others"]}))).await.0;

    assert_eq!((builder.as_str(), dev.as_str()), ("builder []", "everyone []"));
    assert_eq!(stranger, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_row_of_another_issuer_is_revoked_like_any_other_and_an_issuer_can_be_dropped() {
    let builder = named_row("builder", "sub", "system:serviceaccount:ai:builder");
    let mut accounts = ServiceAccounts::new(std::slice::from_ref(&builder));
    let token = accounts.token(&serde_json::json!({}));
    assert_eq!(accounts.ask(&token).await.0, StatusCode::OK);

    accounts.cluster.put_rows(&[Row { min_iat: unix_now() + 60, ..builder.clone() }]);
    accounts.cluster.load();
    assert_eq!(accounts.ask(&token).await.0, StatusCode::UNAUTHORIZED);

    accounts.cluster.put_rows(&[builder]);
    accounts.cluster.load();
    assert_eq!(accounts.ask(&token).await.0, StatusCode::OK);
    accounts.cluster.files.remove(mount::ISSUERS_FILE);
    accounts.cluster.load();
    assert_eq!(accounts.ask(&token).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_damaged_list_of_issuers_leaves_the_last_good_one_in_force() {
    let mut accounts =
        ServiceAccounts::new(&[named_row("builder", "sub", "system:serviceaccount:ai:builder")]);
    let token = accounts.token(&serde_json::json!({}));
    let good = accounts.cluster.files.clone();

    accounts.cluster.files.insert(mount::ISSUERS_FILE.to_owned(), b"{\"issuers\":[{}]}".to_vec());
    let problems = accounts.cluster.load();

    assert!(problems[0].starts_with("issuers.json: "), "{problems:?}");
    assert_eq!(accounts.ask(&token).await.0, StatusCode::OK);
    accounts.cluster.files = good;
    assert_eq!(accounts.cluster.load(), Vec::<String>::new());
}
