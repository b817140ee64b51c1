//! A stream whose credential is taken back while it runs ends there, at the caller and at the provider.

use std::time::Duration;

use tokio::time::timeout;
use tonic::{Code, Request, Streaming};
use vibectl_config::{Access, mount};
use vibectl_proto::fleet::v1::{RefuseRequest, RefusedToken};
use vibectl_proto::llm_proxy::{ExecuteRequest, StreamChunk};
use vibectl_server::{parts::Files, state::unix_now};
use vibectl_token::{
    Algorithm, Claims, KeySet, Limits, SigningKey, audience_of, issuer_of, mint,
    table::{Row, Scope, encode_shards},
};

use crate::{
    fake_provider::{Fake, Script, Step, delta},
    proxy::{Proxy, ask, client},
};

const UID: &str = "0a5e9b7c";
/// What the revocation may take: the promise to users is two seconds from the deletion, the kubelet's part included.
const PATIENCE: Duration = Duration::from_secs(10);

/// A proxy with an access table and a provider that says one word and then nothing.
pub(crate) struct World {
    pub(crate) proxy: Proxy,
    fake: Fake,
    pub(crate) key: SigningKey,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::before(Script::events(&[&delta("begun")]).then(Step::Hang)).await
    }

    /// The same with a provider that answers so.
    pub(crate) async fn before(script: Script) -> Self {
        let fake = Fake::start(script).await;
        let proxy = Proxy::before(&[fake.base_url()]).await;
        let key = SigningKey::generate(Algorithm::Es256).expect("a key");
        let world = Self { proxy, fake, key };
        world.put(&[row("alice"), row("bob")], &world.key);
        world
    }

    /// Puts these rows and this key in force.
    pub(crate) fn put(&self, rows: &[Row], key: &SigningKey) {
        let keys = KeySet::from_keys([key.public_jwk().clone()]).expect("a key set");
        let shards = encode_shards(rows).expect("a table").into_iter().enumerate();
        let mut files: Files = shards.map(|(index, shard)| (mount::shard_file(index), shard)).collect();
        files.insert(mount::JWKS_FILE.to_owned(), keys.render().into_bytes());
        let access = Access::new(issuer_of(UID), audience_of(UID));
        let accepted = self.proxy.shared.auth.require_row(&access, &files);
        assert_eq!(accepted.problems, Vec::<String>::new());
    }

    pub(crate) fn bearer(&self, uid: &str) -> String {
        let now = unix_now();
        let claims = Claims {
            iss: issuer_of(UID),
            aud: audience_of(UID),
            sub: format!("ai/{uid}"),
            iat: now,
            nbf: now,
            exp: now + 600,
            jti: "1".to_owned(),
            uid: uid.to_owned(),
        };
        format!("Bearer {}", mint(&self.key, &claims).expect("a token").expose())
    }

    /// A stream of this caller, with its first word read.
    pub(crate) async fn stream(&self, uid: &str) -> Streaming<StreamChunk> {
        let mut stream = self.open(uid).await.expect("accepted");
        stream.message().await.expect("no status").expect("the first chunk");
        stream
    }

    async fn open(&self, uid: &str) -> Result<Streaming<StreamChunk>, tonic::Status> {
        let request = self.request(uid);
        self.proxy.grpc().await.stream_execute(request).await.map(tonic::Response::into_inner)
    }

    /// A request of this caller.
    pub(crate) fn request(&self, uid: &str) -> Request<ExecuteRequest> {
        let mut request = Request::new(ask("hello"));
        request.metadata_mut().insert("authorization", self.bearer(uid).parse().expect("a header"));
        request
    }
}

pub(crate) fn row(uid: &str) -> Row {
    Row {
        uid: uid.to_owned(),
        subject: format!("ai/{uid}"),
        namespace: "ai".to_owned(),
        models: None,
        scopes: vec![Scope::Execute],
        limits: Limits::default(),
        min_iat: 0,
        issued: true,
        identities: Vec::new(),
    }
}

async fn ends_as_revoked(stream: &mut Streaming<StreamChunk>) {
    let end = timeout(PATIENCE, stream.message()).await.expect("it ends");

    let status = end.expect_err("a status");
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert!(status.message().contains("revoked"), "{status:?}");
}

#[tokio::test]
async fn a16_an_open_stream_ends_when_the_row_goes_and_others_go_on() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.stream("alice").await, world.stream("bob").await);

    world.put(&[row("bob")], &world.key);

    ends_as_revoked(&mut alice).await;
    world.fake.abandoned().await;
    assert!(timeout(Duration::from_millis(300), bob.message()).await.is_err(), "it is still open");
    assert_eq!(world.proxy.shared.limiter.calls_in_flight(), 1);
}

#[tokio::test]
async fn a16_an_open_stream_ends_when_its_token_was_issued_before_the_lowest_time() {
    let world = World::start().await;
    let mut alice = world.stream("alice").await;

    world.put(&[Row { min_iat: unix_now() + 60, ..row("alice") }], &world.key);

    ends_as_revoked(&mut alice).await;
    world.proxy.idle().await;
}

#[tokio::test]
async fn l02_an_open_stream_ends_when_the_key_of_its_token_is_revoked() {
    let world = World::start().await;
    let mut alice = world.stream("alice").await;
    let next = SigningKey::generate(Algorithm::Es256).expect("a key");

    world.put(&[row("alice")], &next);

    ends_as_revoked(&mut alice).await;
}

#[tokio::test]
async fn a16_a_call_that_waits_for_its_first_word_ends_too() {
    let fake = Fake::start(Script { wait: Duration::from_secs(60), ..Script::stream(&["late"]) }).await;
    let world = World { proxy: Proxy::before(&[fake.base_url()]).await, fake, ..World::start().await };
    world.put(&[row("alice")], &world.key);
    let open = world.open("alice");
    tokio::pin!(open);
    assert!(timeout(Duration::from_millis(300), &mut open).await.is_err(), "it waits");

    world.put(&[], &world.key);

    let refused = timeout(PATIENCE, open).await.expect("it ends").expect_err("a status");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    world.fake.abandoned().await;
}

#[tokio::test]
async fn a16_an_http_stream_ends_with_an_error_event() {
    let world = World::start().await;
    let request = client()
        .post(format!("http://{}/v1/chat/completions", world.proxy.address))
        .header("authorization", world.bearer("alice"))
        .body(r#"{"stream":true,"messages":[{"role":"user","content":"hello"}]}"#);
    let mut response = request.send().await.expect("a response");
    response.chunk().await.expect("the first event");

    world.put(&[], &world.key);

    let rest = timeout(PATIENCE, response.text()).await.expect("it ends").expect("a whole body");
    assert!(rest.contains(r#""code":"token_revoked""#), "{rest}");
    assert!(!rest.contains("[DONE]"), "{rest}");
}

#[tokio::test]
async fn what_changes_without_revoking_anything_cuts_nothing() {
    let world = World::start().await;
    let mut alice = world.stream("alice").await;

    world.put(
        &[Row { limits: Limits { max_requests_per_minute: Some(1), ..Limits::default() }, ..row("alice") }],
        &world.key,
    );

    assert!(timeout(Duration::from_millis(300), alice.message()).await.is_err(), "it is still open");
}

/// What the operator sends when `alice` has lost her row in the table of this revision.
fn refusal(revision: &str, issued_before: i64) -> RefuseRequest {
    let tokens = vec![RefusedToken { token_uid: "alice".to_owned(), issued_before }];
    RefuseRequest { revision: revision.to_owned(), tokens, keys: Vec::new() }
}

#[tokio::test]
async fn a16_what_the_operator_refuses_ahead_of_the_table_is_refused_until_the_table_is_there() {
    let world = World::start().await;
    let mut alice = world.stream("alice").await;
    let auth = &world.proxy.shared.auth;
    let refused = async || world.open("alice").await.err().map(|status| status.code());

    auth.refuse(refusal("r2", 0), || "r1".to_owned());

    ends_as_revoked(&mut alice).await;
    assert_eq!(refused().await, Some(Code::Unauthenticated));
    assert!(world.open("bob").await.is_ok());
    auth.caught_up("r1");
    assert_eq!(refused().await, Some(Code::Unauthenticated), "an older table says nothing about it");
    auth.caught_up("r2");
    assert_eq!(refused().await, None, "from here on the table decides");
}

#[tokio::test]
async fn a_refusal_that_comes_after_its_table_does_nothing_and_one_of_older_credentials_spares_newer_ones() {
    let world = World::start().await;
    let auth = &world.proxy.shared.auth;

    auth.refuse(refusal("r2", 0), || "r2".to_owned());
    assert!(world.open("alice").await.is_ok());

    auth.refuse(refusal("r3", unix_now() - 60), || "r2".to_owned());
    assert!(world.open("alice").await.is_ok());
    auth.refuse(refusal("r4", unix_now() + 60), || "r2".to_owned());
    assert!(world.open("alice").await.is_err());
    auth.refuse(RefuseRequest { revision: "r5".to_owned(), ..RefuseRequest::default() }, || "r2".to_owned());
    assert!(world.open("alice").await.is_ok(), "the newer request replaces the older one");
}

#[tokio::test]
async fn l02_a_key_is_refused_ahead_of_the_key_set() {
    let world = World::start().await;
    let mut alice = world.stream("alice").await;
    let keys = vec![world.key.kid().to_owned()];

    let request = RefuseRequest { revision: "r2".to_owned(), tokens: Vec::new(), keys };
    world.proxy.shared.auth.refuse(request, || "r1".to_owned());

    ends_as_revoked(&mut alice).await;
    assert!(world.open("bob").await.is_err());
}
