//! Tokens of a former server's shared secret in a cluster: those of subjects that a row names, until the day that is said.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use vibectl_config::{Access, mount};
use vibectl_server::auth::table::Accepted;
use vibectl_server::state::unix_now;
use vibectl_token::migration::{MIGRATION, Migration};
use vibectl_token::table::{Identity, Row};
use vibectl_token::{audience_of, issuer_of};

use super::{Cluster, PROXY, ask, row, text, token};

const SECRET: &[u8] = b"a-secret-of-more-than-32-characters-for-tests";
const ISSUER: &str = "vibectl-server";

/// A row that also has the subject of a former token.
fn former_row(uid: &str, subject: &str) -> Row {
    let identity =
        Identity { issuer: MIGRATION.to_owned(), claim: "sub".to_owned(), value: subject.to_owned() };
    Row { identities: vec![identity], ..row(uid) }
}

/// A proxy that takes tokens of the secret for so many seconds more.
fn migrating(rows: &[Row], seconds: i64) -> Cluster {
    let mut cluster = Cluster::new(rows);
    let terms = Migration { issuer: ISSUER.to_owned(), until: unix_now() + seconds };
    cluster.files.insert(mount::MIGRATION_FILE.to_owned(), terms.render().into_bytes());
    cluster.files.insert(mount::MIGRATION_SECRET_FILE.to_owned(), SECRET.to_vec());
    assert_eq!(cluster.load(), Vec::<String>::new());
    cluster
}

/// With jsonwebtoken, in the form of the original: no `aud`, no `kid`, `typ: JWT`.
fn former_token(subject: &str, secret: &[u8], changes: &serde_json::Value) -> String {
    let now = unix_now();
    let mut claims = serde_json::json!({
        "sub": subject, "iss": ISSUER, "iat": now, "exp": now + 600, "jti": "0f8fad5b-d9cb-469f-a165-70867728950e",
    });
    changes.as_object().expect("changes").iter().for_each(|(name, value)| claims[name] = value.clone());
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(secret)).expect("a token")
}

fn plain(subject: &str) -> String {
    former_token(subject, SECRET, &serde_json::json!({}))
}

async fn answer(cluster: &Cluster, token: &str) -> (StatusCode, String) {
    let answer = ask(&cluster.shared, &[("authorization", &format!("Bearer {token}"))]).await;
    (answer.status(), text(answer).await)
}

fn counted(cluster: &Cluster, result: &str) -> bool {
    cluster.shared.metrics.render().contains(&format!("vibectl_auth_total{{result=\"{result}\"}} 1"))
}

#[tokio::test]
async fn a06_a08_a_former_token_is_the_exception_in_a_cluster_too_for_subjects_that_a_row_names() {
    let cluster = migrating(&[former_row("alice", "dev-user"), row("bob")], 60);

    assert_eq!(answer(&cluster, &plain("dev-user")).await, (StatusCode::OK, "alice []".to_owned()));
    let metrics = cluster.shared.metrics.render();
    assert!(
        metrics.contains("vibectl_credentials_to_replace_total{reason=\"shared_secret\"} 1"),
        "{metrics}"
    );
    assert_eq!(
        answer(&cluster, &plain("alice")).await.0,
        StatusCode::UNAUTHORIZED,
        "the row's own name is none"
    );
    assert_eq!(answer(&cluster, &plain("bob")).await.0, StatusCode::UNAUTHORIZED, "no row names it");
    assert_eq!(
        cluster.status(&token(&cluster.key, "alice")).await,
        StatusCode::OK,
        "its own credential is good too"
    );
}

#[tokio::test]
async fn without_the_explicit_block_a_token_of_the_secret_is_nothing() {
    let mut cluster = Cluster::new(&[former_row("alice", "dev-user")]);
    cluster.files.insert(mount::MIGRATION_SECRET_FILE.to_owned(), SECRET.to_vec());
    let access = Access::new(issuer_of(PROXY), audience_of(PROXY));
    let accepted = cluster.shared.auth.require_row(&access, &cluster.files);

    assert!(accepted.problems.is_empty() && !accepted.in_force.contains_key(mount::MIGRATION_SECRET_FILE));
    assert_eq!(answer(&cluster, &plain("dev-user")).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn from_the_last_second_on_nothing_of_the_secret_is_accepted_and_the_metric_says_why() {
    let mut cluster = migrating(&[former_row("alice", "dev-user")], 60);
    let token = plain("dev-user");
    assert_eq!(answer(&cluster, &token).await.0, StatusCode::OK);

    let ended = Migration { issuer: ISSUER.to_owned(), until: unix_now() };
    cluster.files.insert(mount::MIGRATION_FILE.to_owned(), ended.render().into_bytes());
    cluster.load();

    assert_eq!(answer(&cluster, &token).await.0, StatusCode::UNAUTHORIZED);
    assert!(counted(&cluster, "migration_ended"));
    assert!(!counted(&cluster, "no_row"));
}

#[tokio::test]
async fn a02_a03_a06_a07_what_is_no_token_of_the_secret_for_us_is_refused() {
    let cluster = migrating(&[former_row("alice", "dev-user")], 60);
    let with = |changes: serde_json::Value| former_token("dev-user", SECRET, &changes);
    let [header, claims] =
        [r#"{"alg":"none","typ":"JWT"}"#, r#"{"sub":"dev-user","iss":"vibectl-server","exp":9999999999}"#]
            .map(|part| URL_SAFE_NO_PAD.encode(part));

    for (token, why) in [
        (
            former_token("dev-user", b"another-secret-of-more-than-32-characters", &serde_json::json!({})),
            "secret",
        ),
        (with(serde_json::json!({"iss": "vibectl-server2"})), "issuer"),
        (with(serde_json::json!({"aud": "0a5e9b7c"})), "audience"),
        (with(serde_json::json!({"exp": unix_now() - 1})), "end"),
        (with(serde_json::json!({"sub": ""})), "subject"),
        (with(serde_json::json!({"cnf": {"x5t#S256": "x"}})), "bound to a certificate"),
        (format!("{header}.{claims}."), "no algorithm"),
    ] {
        assert_eq!(answer(&cluster, &token).await.0, StatusCode::UNAUTHORIZED, "{why}");
    }
    assert!(counted(&cluster, "not_bound"));
}

#[tokio::test]
async fn a08_the_secret_signs_nothing_in_the_name_of_the_proxy_itself() {
    let cluster = migrating(&[former_row("alice", "dev-user")], 60);
    let claims = serde_json::json!({
        "iss": issuer_of(PROXY), "aud": PROXY, "nbf": unix_now(), "sub": "ai/alice", "vibectl.dev/uid": "alice",
    });

    let forged = former_token("ai/alice", SECRET, &claims);

    assert_eq!(answer(&cluster, &forged).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn revoking_suspending_and_dropping_the_subject_take_a_former_token_back() {
    let mut cluster = migrating(&[former_row("alice", "dev-user")], 60);
    let token = plain("dev-user");
    let revoked = Row { min_iat: unix_now() + 60, ..former_row("alice", "dev-user") };

    for rows in [vec![revoked], vec![], vec![row("alice")]] {
        cluster.put_rows(&rows);
        cluster.load();
        assert_eq!(answer(&cluster, &token).await.0, StatusCode::UNAUTHORIZED, "{rows:?}");
    }
    cluster.put_rows(&[former_row("alice", "dev-user")]);
    cluster.load();
    assert_eq!(answer(&cluster, &token).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_secret_that_is_gone_short_or_a_key_lets_nobody_in_and_keeps_no_earlier_one() {
    let mut cluster = migrating(&[former_row("alice", "dev-user")], 60);
    let token = plain("dev-user");
    let good = cluster.files.clone();
    let access = Access::new(issuer_of(PROXY), audience_of(PROXY));

    for (file, content, says) in [
        (mount::MIGRATION_SECRET_FILE, None, "there is no such file"),
        (mount::MIGRATION_SECRET_FILE, Some(&b"short"[..]), "less than 32 bytes"),
        (mount::MIGRATION_SECRET_FILE, Some(b"-----BEGIN PUBLIC KEY-----"), "is a PEM or SSH key"),
        (mount::MIGRATION_FILE, Some(b"{}"), "is not the JSON object"),
    ] {
        cluster.files = good.clone();
        match content {
            Some(content) => cluster.files.insert(file.to_owned(), content.to_vec()),
            None => cluster.files.remove(file),
        };
        let Accepted { problems, in_force, .. } = cluster.shared.auth.require_row(&access, &cluster.files);

        assert!(problems[0].starts_with(file) && problems[0].contains(says), "{problems:?}");
        assert!(!in_force.contains_key(file), "{file} is in no revision");
        assert_eq!(answer(&cluster, &token).await.0, StatusCode::UNAUTHORIZED, "{says}");
        let own = super::token(&cluster.key, "alice");
        assert_eq!(cluster.status(&own).await, StatusCode::OK, "others are let in");
    }
    cluster.files = good;
    assert_eq!(cluster.load(), Vec::<String>::new());
    assert_eq!(answer(&cluster, &token).await.0, StatusCode::OK);
}
