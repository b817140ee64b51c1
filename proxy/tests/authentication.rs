//! Who is let in: without a cluster by a shared secret, in a cluster by a published key and a row.

#![expect(clippy::expect_used, reason = "a test that cannot set up its case fails")]

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::{Extension, Router};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use vibectl_config::{Access, Config, mount};
use vibectl_server::auth::{self, principal::Principal};
use vibectl_server::parts::{Files, Parts};
use vibectl_server::provider::sources::Sources;
use vibectl_server::reload::{Reloader, Started};
use vibectl_server::settings::Settings;
use vibectl_server::state::{Active, Shared, unix_now};
use vibectl_server::{service, telemetry};
use vibectl_token::standalone::Secret;
use vibectl_token::table::{Row, Scope, encode_shards, shard_of};
use vibectl_token::{
    Algorithm, Claims, KeySet, Limits, SigningKey, Token, audience_of, issuer_of, mint, standalone,
};

#[path = "authentication/foreign.rs"]
mod foreign;
#[path = "authentication/issuers.rs"]
mod issuers;
#[path = "authentication/late.rs"]
mod late;
#[path = "authentication/migration.rs"]
mod migration;

const PROXY: &str = "0a5e9b7c";

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Active::new(Arc::new(Config::default()), &Sources::of_process()), Parts::new(None)))
}

fn row(uid: &str) -> Row {
    Row {
        uid: uid.to_owned(),
        subject: format!("ai/{uid}"),
        namespace: "ai".to_owned(),
        models: Some(vec!["small".to_owned()]),
        scopes: vec![Scope::Execute],
        limits: Limits { max_concurrent_requests: Some(4), ..Limits::default() },
        min_iat: 0,
        issued: true,
        identities: Vec::new(),
    }
}

fn token(key: &SigningKey, uid: &str) -> Token {
    let now = unix_now();
    let claims = Claims {
        iss: issuer_of(PROXY),
        aud: audience_of(PROXY),
        sub: format!("ai/{uid}"),
        iat: now,
        nbf: now,
        exp: now + 600,
        jti: "1".to_owned(),
        uid: uid.to_owned(),
    };
    mint(key, &claims).expect("a token")
}

/// A proxy's access files, and a server that has them in force.
struct Cluster {
    shared: Arc<Shared>,
    key: SigningKey,
    files: Files,
}

impl Cluster {
    fn new(rows: &[Row]) -> Self {
        let key = SigningKey::generate(Algorithm::Es256).expect("a key");
        let mut cluster = Self { shared: shared(), key, files: Files::new() };
        cluster.put_keys(&[&cluster.key.public_jwk().clone()]);
        cluster.put_rows(rows);
        assert_eq!(cluster.load(), Vec::<String>::new());
        cluster
    }

    fn put_rows(&mut self, rows: &[Row]) {
        let shards = encode_shards(rows).expect("a table");
        for (index, shard) in shards.into_iter().enumerate() {
            self.files.insert(mount::shard_file(index), shard);
        }
    }

    fn put_keys(&mut self, keys: &[&vibectl_token::PublicJwk]) {
        let keys = KeySet::from_keys(keys.iter().copied().cloned()).expect("a key set");
        self.files.insert(mount::JWKS_FILE.to_owned(), keys.render().into_bytes());
    }

    fn load(&self) -> Vec<String> {
        let access = Access::new(issuer_of(PROXY), audience_of(PROXY));
        let accepted = self.shared.auth.require_row(&access, &self.files);
        if accepted.problems.is_empty() {
            assert_eq!(accepted.in_force, self.files);
        } else {
            assert_ne!(accepted.in_force, self.files);
        }
        accepted.problems
    }

    async fn status(&self, token: &Token) -> StatusCode {
        ask(&self.shared, &[("authorization", &format!("Bearer {}", token.expose()))]).await.status()
    }
}

/// Asks a service of one route that tells who calls and which headers it sees.
async fn ask(shared: &Arc<Shared>, headers: &[(&str, &str)]) -> Response {
    let tell = |Extension(Principal { caller, .. }): Extension<Principal>, headers: HeaderMap| async move {
        format!("{} {:?}", caller.uid, headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>())
    };
    let router = Router::new().fallback(tell).layer(from_fn_with_state(Arc::clone(shared), auth::apply));
    let mut request = Request::builder().uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer")
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.into()).expect("text")
}

#[tokio::test]
async fn a_good_token_with_a_row_is_let_in_as_its_row_says() {
    let cluster = Cluster::new(&[row("alice")]);
    let bearer = format!("Bearer {}", token(&cluster.key, "alice").expose());

    let answer = ask(&cluster.shared, &[("authorization", &bearer), ("x-request", "1")]).await;

    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer).await, r#"alice ["x-request"]"#, "the credential stays behind");
}

#[tokio::test]
async fn no_row_no_access() {
    let mut cluster = Cluster::new(&[row("alice"), row("bob")]);
    let alice = token(&cluster.key, "alice");
    assert_eq!(cluster.status(&alice).await, StatusCode::OK);
    assert_eq!(cluster.status(&token(&cluster.key, "stranger")).await, StatusCode::UNAUTHORIZED);

    cluster.put_rows(&[row("bob")]);
    cluster.load();

    assert_eq!(
        cluster.status(&alice).await,
        StatusCode::UNAUTHORIZED,
        "also when its signature is remembered"
    );
    assert_eq!(cluster.status(&token(&cluster.key, "bob")).await, StatusCode::OK);
}

#[tokio::test]
async fn what_was_issued_before_the_rows_lowest_time_is_revoked() {
    let mut cluster = Cluster::new(&[row("alice")]);
    let alice = token(&cluster.key, "alice");
    assert_eq!(cluster.status(&alice).await, StatusCode::OK);

    cluster.put_rows(&[Row { min_iat: unix_now() + 60, ..row("alice") }]);
    cluster.load();

    assert_eq!(cluster.status(&alice).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_that_was_verified_goes_with_its_key() {
    let mut cluster = Cluster::new(&[row("alice")]);
    let alice = token(&cluster.key, "alice");
    let next = SigningKey::generate(Algorithm::EdDsa).expect("a key");
    assert_eq!(cluster.status(&alice).await, StatusCode::OK);

    cluster.put_keys(&[&cluster.key.public_jwk().clone(), next.public_jwk()]);
    cluster.load();
    assert_eq!(cluster.status(&alice).await, StatusCode::OK);
    assert_eq!(cluster.status(&token(&next, "alice")).await, StatusCode::OK);
    cluster.put_keys(&[next.public_jwk()]);
    cluster.load();

    assert_eq!(cluster.status(&alice).await, StatusCode::UNAUTHORIZED);
    assert_eq!(cluster.status(&token(&next, "alice")).await, StatusCode::OK);
}

#[tokio::test]
async fn a_damaged_or_missing_file_leaves_what_was_in_force() {
    let mut cluster = Cluster::new(&[row("alice")]);
    let alice = token(&cluster.key, "alice");
    let shard = mount::shard_file(shard_of("alice"));
    let good = cluster.files.clone();

    for file in [shard.as_str(), mount::JWKS_FILE] {
        cluster.files = good.clone();
        cluster.files.insert(file.to_owned(), b"damaged".to_vec());
        assert!(cluster.load()[0].starts_with(file));
        assert_eq!(cluster.status(&alice).await, StatusCode::OK);

        cluster.files.remove(file);
        assert_eq!(cluster.load(), [format!("{file}: there is no such file")]);
        assert_eq!(cluster.status(&alice).await, StatusCode::OK);
    }
    assert!(cluster.shared.auth.is_ready());
}

#[tokio::test]
async fn one_bad_row_is_closed_and_the_rest_of_its_shard_is_in_force() {
    let (bad, mut others) = ("uid-0", (1..100).map(|n| format!("uid-{n}")));
    let good = others.find(|uid| shard_of(uid) == shard_of(bad)).expect("another uid of the shard");
    let mut cluster = Cluster::new(&[row(bad), row(&good)]);
    let (bad_token, good_token) = (token(&cluster.key, bad), token(&cluster.key, &good));
    assert_eq!(cluster.status(&bad_token).await, StatusCode::OK);

    let lines = [
        serde_json::to_string(&row(bad)).expect("json").replacen('{', r#"{"new":1,"#, 1),
        serde_json::to_string(&row(&good)).expect("json"),
        serde_json::to_string(&row("uid-stray")).expect("json"),
    ];
    cluster.files.insert(mount::shard_file(shard_of(bad)), gzip(&lines.join("\n")));
    let access = Access::new(issuer_of(PROXY), audience_of(PROXY));
    let accepted = cluster.shared.auth.require_row(&access, &cluster.files);

    assert_eq!(accepted.in_force, cluster.files, "the shard is in force, the row is not");
    assert_eq!(accepted.problems.len(), 1 + usize::from(shard_of("uid-stray") != shard_of(bad)));
    assert_eq!(cluster.status(&bad_token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(cluster.status(&good_token).await, StatusCode::OK);
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("compressed");
    encoder.finish().expect("compressed")
}

#[tokio::test]
async fn without_keys_or_rows_to_judge_by_the_trouble_is_ours() {
    let mut cluster = Cluster::new(&[row("alice")]);
    let alice = token(&cluster.key, "alice");
    let shard = mount::shard_file(shard_of("alice"));

    for missing in [shard.as_str(), mount::JWKS_FILE] {
        let mut files = cluster.files.clone();
        files.remove(missing);
        cluster.shared = shared();
        let access = Access::new(issuer_of(PROXY), audience_of(PROXY));
        cluster.shared.auth.require_row(&access, &files);

        assert!(!cluster.shared.auth.is_ready());
        assert_eq!(cluster.status(&alice).await, StatusCode::SERVICE_UNAVAILABLE, "without {missing}");
    }
    cluster.shared = shared();
    assert_eq!(cluster.status(&alice).await, StatusCode::SERVICE_UNAVAILABLE, "before anything is loaded");
}

#[tokio::test]
async fn a19_every_cause_of_a_refusal_reads_the_same() {
    let cluster = Cluster::new(&[row("alice"), Row { min_iat: i64::MAX, ..row("revoked") }]);
    let other = SigningKey::generate(Algorithm::Es256).expect("a key");
    let bearer = |token: Token| format!("Bearer {}", token.expose());
    let credentials = [
        bearer(token(&other, "alice")),
        bearer(token(&cluster.key, "stranger")),
        bearer(token(&cluster.key, "revoked")),
        "Bearer ..".to_owned(),
        "bearer x".to_owned(),
        format!("Bearer {}", "x".repeat(10_000)),
    ];
    let none = ask(&cluster.shared, &[]).await;
    let (headers, body) = (none.headers().clone(), text(none).await);

    for credential in credentials {
        let answer = ask(&cluster.shared, &[("authorization", &credential)]).await;

        assert_eq!((answer.status(), answer.headers()), (StatusCode::UNAUTHORIZED, &headers));
        assert_eq!(text(answer).await, body);
    }
    assert_eq!(headers["www-authenticate"], "Bearer");
    let error: serde_json::Value = serde_json::from_str(&body).expect("json");
    assert_eq!(error["error"]["type"], "invalid_request_error");
    let metrics = cluster.shared.metrics.render();
    for result in ["missing", "unknown_key", "no_row", "revoked", "header", "not_bearer", "too_long"] {
        assert!(
            metrics.contains(&format!("vibectl_auth_total{{result=\"{result}\"}} 1")),
            "{result}: {metrics}"
        );
    }
}

#[tokio::test]
async fn every_path_but_health_asks_for_a_credential() {
    let shared = shared();
    shared.auth.require_secret(Secret::new(&[1; 32]).expect("a secret"), "vibectl-server");
    let call = async |path: &str, content_type: &str| {
        let request = Request::post(path).header("content-type", content_type).body(Body::empty());
        service::build(&shared).oneshot(request.expect("a request")).await.expect("an answer")
    };

    for path in ["/vibectl.llm_proxy.VibectlLLMProxy/Execute", "/unknown.Service/Method", "/"] {
        let answer = call(path, "application/grpc").await;

        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["grpc-status"], "16", "{path}");
    }
    for path in ["/v1/chat/completions", "/v1/models", "/unknown", "/"] {
        assert_eq!(call(path, "application/json").await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let health = call("/grpc.health.v1.Health/Check", "application/grpc").await;
    assert_ne!(health.headers().get("grpc-status").map(http::HeaderValue::as_bytes), Some(&b"16"[..]));
}

#[tokio::test]
async fn alone_a_token_of_the_shared_secret_is_let_in() {
    let shared = shared();
    let secret = || Secret::new(b"0123456789abcdef0123456789abcdef").expect("a secret");
    shared.auth.require_secret(secret(), "vibectl-server");
    let (sub, iss, jti) = ("dev".to_owned(), "vibectl-server".to_owned(), "1".to_owned());
    let now = unix_now();
    let claims = standalone::Claims { sub, iss, iat: now, exp: now + 60, jti, cnf: None };
    let token = standalone::generate(&secret(), &claims).expect("a token");

    let as_bearer = ask(&shared, &[("authorization", &format!("Bearer {}", token.expose()))]).await;
    let as_key = ask(&shared, &[("x-api-key", token.expose())]).await;

    assert_eq!(text(as_bearer).await, "dev []");
    assert_eq!(text(as_key).await, "dev []");
    assert_eq!(ask(&shared, &[]).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn where_nobody_needs_a_credential_everybody_is_the_anonymous_caller() {
    let shared = shared();
    shared.auth.open();

    assert_eq!(text(ask(&shared, &[("authorization", "anything")]).await).await, "anonymous []");
}

/// As a pod has it: the reloader reads the folder of the config's `access`.
#[tokio::test]
async fn a_change_of_the_mounted_table_is_in_force_at_the_next_look_and_damage_is_told() {
    let mut cluster = Cluster::new(&[row("alice")]);
    let alice = token(&cluster.key, "alice");
    let folder = tempfile::tempdir().expect("temporary folder");
    let put = |files: &Files| {
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("file");
            // As the reloader sees it some time after the write.
            let file = std::fs::File::options().write(true).open(path).expect("file");
            let before = std::time::SystemTime::now() - std::time::Duration::from_secs(1);
            file.set_modified(before).expect("a time");
        }
    };
    put(&cluster.files);
    let config = folder.path().join("config.yaml");
    let access = format!(
        "access: {{issuer: \"{}\", audience: \"{PROXY}\", dir: {}}}\n",
        issuer_of(PROXY),
        folder.path().display()
    );
    std::fs::write(&config, access).expect("config");
    let settings = Settings { file: Some(config), file_is_named: true, ..Settings::default() };
    let started = Reloader::start(settings, |config| telemetry::start(config.server.log_level), |_| Ok(None));
    let Started { shared, mut reloader, .. } = started.expect("a usable config");
    cluster.shared = shared;

    assert_eq!(cluster.status(&alice).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reloader.look(), []);
    assert_eq!(cluster.status(&alice).await, StatusCode::OK);

    let mut damaged = cluster.files.clone();
    damaged.insert(mount::shard_file(shard_of("alice")), b"damaged".to_vec());
    put(&damaged);
    assert_eq!(reloader.look().len(), 1);
    assert_eq!(cluster.status(&alice).await, StatusCode::OK);

    cluster.put_rows(&[]);
    put(&cluster.files);
    assert_eq!(reloader.look(), []);
    assert_eq!(cluster.status(&alice).await, StatusCode::UNAUTHORIZED);
}
