//! Callers with an identity of their own: the cluster's service accounts, and whom an OpenID Connect provider knows.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::DeleteParams;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::sleep;
use vibectl_operator::api::conditions::{ConditionType, is_true};
use vibectl_operator::api::proxy_token::ProxyToken;
use vibectl_pki::{Leaf, Names};
use vibectl_tests::cluster;
use vibectl_tests::world::{Caller, Credential, PATIENCE, World};
use vibectl_token::{Algorithm, SigningKey};

use crate::objects::{callers_of_pods, echo_proxy, service_account, token};

/// What the API server issues to a pod that asks for this audience; the kubelet asks in the same way.
fn projected_token(world: &World, account: &str, audience: Option<&str>) -> Result<String> {
    let audience = audience.map(|audience| format!("--audience={audience}"));
    let arguments = ["create", "token", account, "--duration=10m"];
    let all: Vec<_> = arguments.into_iter().chain(audience.as_deref()).collect();
    Ok(world.kubectl(&all)?.trim().to_owned())
}

/// The same address and CA with another token.
fn with_token(credential: &Credential, token: String) -> Credential {
    Credential { token, ..credential.clone() }
}

async fn recognized(world: &World, name: &str) -> Result<ProxyToken> {
    let ready = |token: &ProxyToken| {
        let status = token.status.as_ref();
        status.is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
    };
    world.until(name, ready).await
}

/// The status of a call, on each replica: all say the same.
async fn status(world: &World, credential: &Credential, token: String) -> Result<StatusCode> {
    let mut found = None;
    for caller in callers_of_pods(world, "team", &with_token(credential, token)).await? {
        let answer = caller.chat("echo", "hello").await?.status;
        ensure!(found.is_none_or(|found| found == answer), "replicas differ: {found:?} {answer}");
        found = Some(answer);
    }
    found.context("no replica")
}

#[tokio::test]
async fn a_service_account_calls_with_its_own_token_and_others_do_not() -> Result<()> {
    let world = World::new("accounts").await?;
    world.apply(&echo_proxy("team", 2, "{privateCa: {}}"))?;
    world.apply(&[token("alice", "team"), service_account("builder", "team")].join("\n---\n"))?;
    world.kubectl(&["create", "serviceaccount", "builder"])?;
    world.kubectl(&["create", "serviceaccount", "other"])?;
    world.proxy_ready("team").await?;
    let credential = world.token_ready("alice").await?;
    let audience = recognized(&world, "builder").await?.status.and_then(|status| status.audience);
    let audience = audience.context("no audience")?;
    ensure!(audience == format!("vibectl.dev/{}/team", world.namespace), "{audience}");

    let builder = projected_token(&world, "builder", Some(&audience))?;
    let other = projected_token(&world, "other", Some(&audience))?;
    let for_api_server = projected_token(&world, "builder", None)?;

    ensure!(status(&world, &credential, builder.clone()).await? == StatusCode::OK);
    ensure!(
        status(&world, &credential, other).await? == StatusCode::UNAUTHORIZED,
        "an account without a row"
    );
    ensure!(
        status(&world, &credential, for_api_server).await? == StatusCode::UNAUTHORIZED,
        "another audience"
    );
    ensure!(world.kubectl(&["get", "secret", "builder", "--ignore-not-found", "-o", "name"])?.is_empty());
    let used = |token: &ProxyToken| {
        let usage = token.status.as_ref().and_then(|status| status.usage.as_ref());
        usage.is_some_and(|usage| usage.requests == 2)
    };
    world.until("builder", used).await?;

    world.api::<ProxyToken>().delete("builder", &DeleteParams::default()).await?;
    let deleted = Instant::now();
    for caller in callers_of_pods(&world, "team", &with_token(&credential, builder)).await? {
        refused(&caller, deleted).await?;
    }
    println!("a service account without its row is refused on both replicas after {:?}", deleted.elapsed());
    Ok(())
}

async fn refused(caller: &Caller, since: Instant) -> Result<()> {
    while caller.chat("echo", "hello").await?.status != StatusCode::UNAUTHORIZED {
        if since.elapsed() > PATIENCE {
            bail!("still let in");
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// An identity provider in the cluster: two files, served over TLS.
struct Provider {
    key: SigningKey,
    url: String,
    ca: String,
}

impl Provider {
    fn start(world: &World) -> Result<Self> {
        let host = format!("login.{}.svc", world.namespace);
        let names = Names::parse([host.as_str()])?;
        let leaf = Leaf::self_signed(&names, Duration::from_hours(1), jiff::Timestamp::now())?;
        let provider = Self {
            key: SigningKey::generate(Algorithm::Es256)?,
            url: format!("https://{host}:8443"),
            ca: leaf.chain_pem(),
        };
        let discovery = json!({"issuer": provider.url, "jwks_uri": format!("{}/keys", provider.url)});
        let keys = json!({"keys": [serde_json::to_value(provider.key.public_jwk())?]});
        let files = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"},
            "stringData": {
                "discovery": discovery.to_string(), "keys": keys.to_string(),
                "tls.crt": leaf.chain_pem(), "tls.key": leaf.key_pem().as_str(),
            },
        });
        world.apply(&files.to_string())?;
        world.apply(&server(&cluster::box_image()?))?;
        Ok(provider)
    }

    fn token(&self, claims: &serde_json::Value) -> Result<String> {
        let now = jiff::Timestamp::now().as_second();
        let mut all = json!({"iss": self.url, "aud": "llm", "iat": now, "exp": now + 600});
        for (name, value) in claims.as_object().context("claims")? {
            all[name] = value.clone();
        }
        let pem = self.key.to_pkcs8_pem()?;
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.kid = Some(self.key.kid().to_owned());
        Ok(jsonwebtoken::encode(&header, &all, &jsonwebtoken::EncodingKey::from_ec_pem(pem.as_bytes())?)?)
    }
}

fn server(image: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{name: login}}
spec: {{selector: {{app: login}}, ports: [{{port: 8443}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: login, labels: {{app: login}}}}
spec:
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: login
    image: {image}
    command: [/box, files, ":8443", /files]
    readinessProbe: {{tcpSocket: {{port: 8443}}, periodSeconds: 1}}
    securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
    volumeMounts: [{{name: files, mountPath: /files}}]
  volumes:
  - name: files
    secret:
      secretName: login
      items:
      - {{key: discovery, path: .well-known/openid-configuration}}
      - {{key: keys, path: keys}}
      - {{key: tls.crt, path: tls.crt}}
      - {{key: tls.key, path: tls.key}}
"#
    )
}

#[tokio::test]
async fn an_oidc_subject_and_a_group_get_what_their_rows_say() -> Result<()> {
    let world = World::new("oidc").await?;
    let provider = Provider::start(&world)?;
    world.kubectl(&["wait", "--for=condition=Ready", "pod/login", "--timeout=90s"])?;
    let proxy = json!({
        "apiVersion": "vibectl.dev/v1alpha1", "kind": "LlmProxy", "metadata": {"name": "team"},
        "spec": {
            "replicas": 2,
            "access": {"issuers": [
                {"name": "corp", "issuer": provider.url, "audiences": ["llm"], "caBundle": provider.ca},
            ]},
        },
    });
    let row = |name: &str, claim: &str, value: &str, limit: u32| {
        json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "ProxyToken", "metadata": {"name": name},
            "spec": {
                "proxyRef": {"name": "team"}, "limits": {"requestsPerMinute": limit},
                "identity": {"oidc": {"issuer": "corp", "claim": claim, "value": value}},
            },
        })
    };
    world.apply(&proxy.to_string())?;
    world.apply(&token("bob", "team"))?;
    world.apply(&row("alice", "sub", "alice", 1000).to_string())?;
    world.apply(&row("developers", "groups", "dev", 1).to_string())?;
    world.proxy_ready("team").await?;
    let credential = world.token_ready("bob").await?;
    recognized(&world, "alice").await?;
    recognized(&world, "developers").await?;

    let alice = provider.token(&json!({"sub": "alice", "groups": ["dev"]}))?;
    let developer = provider.token(&json!({"sub": "dave", "groups": ["ops", "dev"]}))?;
    let stranger = provider.token(&json!({"sub": "mallory", "groups": ["ops"]}))?;
    let elsewhere = provider.token(&json!({"sub": "alice", "aud": "wiki"}))?;
    let callers =
        async |token: &str| callers_of_pods(&world, "team", &with_token(&credential, token.to_owned())).await;

    for caller in callers(&alice).await? {
        until_keys_are_there(&caller).await?;
        for _ in 0..3 {
            ensure!(caller.chat("echo", "hello").await?.status == StatusCode::OK);
        }
    }
    for caller in callers(&developer).await? {
        ensure!(caller.chat("echo", "hello").await?.status == StatusCode::OK);
        ensure!(caller.chat("echo", "hello").await?.status == StatusCode::TOO_MANY_REQUESTS, "its own limit");
    }
    ensure!(status(&world, &credential, stranger).await? == StatusCode::UNAUTHORIZED);
    ensure!(status(&world, &credential, elsewhere).await? == StatusCode::UNAUTHORIZED);
    Ok(())
}

/// The keys of the provider are fetched by each pod; until then the trouble is ours, and said to be.
async fn until_keys_are_there(caller: &Caller) -> Result<()> {
    let started = Instant::now();
    loop {
        match caller.chat("echo", "hello").await?.status {
            StatusCode::SERVICE_UNAVAILABLE if started.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(200)).await;
            }
            StatusCode::OK => return Ok(()),
            other => bail!("{other}"),
        }
    }
}
