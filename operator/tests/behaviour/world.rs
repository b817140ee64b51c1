//! A small cluster: an API server in memory, one LlmProxy `ai/team`, its pods, and a clock that the test turns.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use serde_json::{Value, json};
use vibectl_config::mount::Part;
use vibectl_operator::{
    access::{self, Departures},
    api::{LlmProxy, ProxyToken, conditions::ConditionType, conditions::find},
    context::{Context, Settings, Stores, Triggers},
    events::Events,
    fleet::{
        book::FleetBook,
        lag::{Expected, Lag},
        pods,
    },
    keys, proxy_token,
    runtime::controller::Done,
};
use vibectl_proto::fleet::v1::{LateCredential, PartInForce, ReportResponse, TokenUsage};

use super::fake_api::FakeApi;

pub(crate) const PROXY_UID: &str = "11111111-1111-1111-1111-111111111111";
pub(crate) const SIGNING: &str =
    "/api/v1/namespaces/system/secrets/signing-11111111-1111-1111-1111-111111111111";
pub(crate) const LLM_PROXIES: &str = "apis/vibectl.dev/v1alpha1/llmproxies";
pub(crate) const PROXY_TOKENS: &str = "apis/vibectl.dev/v1alpha1/proxytokens";

pub(crate) struct World {
    pub(crate) api: FakeApi,
    fleet: Arc<FleetBook>,
    now: Arc<AtomicI64>,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            api: FakeApi::default(),
            fleet: Arc::default(),
            // The true time: certificates are checked by it.
            now: Arc::new(AtomicI64::new(Timestamp::now().as_second())),
        };
        world.proxy(json!({}));
        world
    }

    pub(crate) fn proxy(&self, spec: Value) {
        let mut proxy = json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": "LlmProxy",
            "metadata": {"name": "team", "namespace": "ai", "uid": PROXY_UID, "generation": 1},
        });
        proxy["spec"] = spec;
        self.api.put(LLM_PROXIES, proxy);
    }

    pub(crate) fn token(&self, namespace: &str, name: &str, mut spec: Value) {
        if spec["proxyRef"].is_null() {
            spec["proxyRef"] = json!({"name": "team", "namespace": "ai"});
        }
        self.api.put(
            PROXY_TOKENS,
            json!({
                "apiVersion": "vibectl.dev/v1alpha1", "kind": "ProxyToken",
                "metadata": {"name": name, "namespace": namespace, "uid": uid(name), "generation": 1}, "spec": spec,
            }),
        );
    }

    pub(crate) fn pod(&self, name: &str) {
        self.pod_at(name, "127.0.0.1");
    }

    /// Whether the pod shows what it should.
    pub(crate) fn acknowledged(&self, pod: &str) -> bool {
        let pods = pods::of(&self.context().stores, &self.proxy_object());
        let views = self.fleet.view(PROXY_UID, &pods);
        views.iter().any(|view| view.pod.name == pod && view.lag.as_ref().is_some_and(Lag::is_none))
    }

    pub(crate) fn pod_at(&self, name: &str, address: &str) {
        self.pod_that_is(name, address, "True");
    }

    /// One to which Services lead when `ready` is `True`.
    pub(crate) fn pod_that_is(&self, name: &str, address: &str, ready: &str) {
        self.api.put(
            "api/v1/pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": name, "namespace": "ai", "uid": uid(name), "labels": {"vibectl.dev/proxy": "team"},
                },
                "status": {"phase": "Running", "podIP": address, "conditions": [
                    {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"},
                ]},
            }),
        );
    }

    pub(crate) fn bundle(&self, pem: &str) {
        self.api.put(
            "api/v1/configmaps",
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "team-ca", "namespace": "ai"},
                "data": {"ca.crt": pem},
            }),
        );
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// A context whose caches have seen everything up to now.
    pub(crate) fn context(&self) -> Arc<Context> {
        let api = &self.api;
        let managed = |object: &Value| {
            object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "vibectl-operator"
        };
        let own = |path: &str| path.contains("/namespaces/system/");
        let now = Arc::clone(&self.now);
        let stores = Stores {
            proxies: api.cache(|_, _| true),
            tokens: api.cache(|_, _| true),
            namespaces: api.cache(|_, _| true),
            pods: api.cache(|_, _| true),
            config_maps: api.cache(|_, _| true),
            secrets: api.cache(|path, object| !own(path) && managed(object)),
            service_accounts: api.cache(|_, _| true),
            deployments: api.cache(|_, _| true),
            services: api.cache(|_, _| true),
            disruption_budgets: api.cache(|_, _| true),
            network_policies: api.cache(|_, _| true),
            certificates: api.cache(|_, _| true),
            own_secrets: api.cache(|path, object| own(path) && managed(object)),
        };
        Arc::new(Context {
            client: api.client(),
            settings: Settings {
                operator_namespace: "system".to_owned(),
                server_image: "registry/server:1".to_owned(),
                tls_switch_wait: std::time::Duration::from_secs(120),
                api_server: None,
                watch_namespaces: Vec::new(),
            },
            stores,
            fleet: Arc::clone(&self.fleet),
            acme: Arc::default(),
            cluster_issuer: Arc::default(),
            departures: Departures::default(),
            events: Events::new(api.client(), "test"),
            metrics: Arc::default(),
            triggers: Triggers::default(),
            clock: Arc::new(move || Timestamp::from_second(now.load(Ordering::SeqCst)).unwrap()),
        })
    }

    /// What the reconcile of the LlmProxy does for tokens: keys, table, expectation. Gives the table's revision.
    pub(crate) async fn serve(&self) -> String {
        let context = self.context();
        let proxy = context.stores.proxies.get("ai", "team").unwrap();
        let table = access::of(&context, &proxy).unwrap();
        let keys = keys::for_proxy(&context, &proxy, &table.lives).await.unwrap();
        let published = keys.signing.published();
        let revision = format!("{} rows, keys {published:?}", table.rows.len());
        let parts = BTreeMap::from([(Part::Access, revision.clone())]);
        let grants = table.grants(published);
        self.fleet.expect(PROXY_UID, Expected { parts, ..Expected::default() }, grants);
        revision
    }

    /// A pod reports this access revision, and so many calls of `alice`.
    pub(crate) fn report(&self, pod: &str, instance: &str, revision: &str, requests: u64) {
        self.report_with(pod, instance, revision, requests, None);
    }

    /// The same, with the times of a credential that came late.
    pub(crate) fn report_with(
        &self,
        pod: &str,
        instance: &str,
        revision: &str,
        requests: u64,
        late: Option<(i64, i64)>,
    ) {
        let part = PartInForce { part: "access".into(), revision: revision.into(), rejected: String::new() };
        let used = TokenUsage {
            token_uid: uid("alice"),
            requests,
            input_tokens: 10 * requests,
            output_tokens: requests,
            last_used: self.now(),
            late: late.map(|(issued_at, expires_at)| LateCredential {
                issued_at,
                expires_at,
                last_used: self.now(),
            }),
            ..TokenUsage::default()
        };
        let usage = if requests > 0 { vec![used] } else { Vec::new() };
        let report = ReportResponse {
            instance_id: instance.into(),
            parts: vec![part],
            usage,
            ..ReportResponse::default()
        };
        let at = Timestamp::from_second(self.now()).unwrap();
        self.fleet.heard(PROXY_UID, &uid(pod), Ok(report), at);
    }

    /// One reconcile of a ProxyToken, with caches that have seen everything.
    pub(crate) async fn reconcile(&self, namespace: &str, name: &str) -> Done {
        let context = self.context();
        let token = context.stores.tokens.get(namespace, name).unwrap();
        proxy_token::reconcile(token, context).await.unwrap()
    }

    /// Reconciles `ai/alice` until nothing is written any more.
    pub(crate) async fn settle(&self) {
        for _ in 0..10 {
            self.api.take_writes();
            self.reconcile("ai", "alice").await;
            if self.api.take_writes().is_empty() {
                return;
            }
        }
        panic!("the reconcile writes for ever");
    }

    pub(crate) fn status(&self, namespace: &str, name: &str) -> Value {
        let path = format!("/apis/vibectl.dev/v1alpha1/namespaces/{namespace}/proxytokens/{name}");
        self.api.get(&path).unwrap()["status"].clone()
    }

    /// Status, reason and message of the condition.
    pub(crate) fn condition(
        &self,
        namespace: &str,
        name: &str,
        kind: ConditionType,
    ) -> (String, String, String) {
        let context = self.context();
        let token: Arc<ProxyToken> = context.stores.tokens.get(namespace, name).unwrap();
        let status = token.status.clone().unwrap_or_default();
        let condition = find(&status.conditions, kind).unwrap();
        (condition.status.clone(), condition.reason.clone(), condition.message.clone())
    }

    /// One key of a Secret in `ai`.
    pub(crate) fn secret(&self, name: &str, key: &str) -> Option<String> {
        let context = self.context();
        let secret = context.stores.secrets.get("ai", name)?;
        let bytes = secret.data.clone()?.remove(key)?;
        Some(String::from_utf8(bytes.0).unwrap())
    }

    pub(crate) fn proxy_object(&self) -> Arc<LlmProxy> {
        self.context().stores.proxies.get("ai", "team").unwrap()
    }
}

pub(crate) fn uid(name: &str) -> String {
    format!("uid-of-{name}")
}
