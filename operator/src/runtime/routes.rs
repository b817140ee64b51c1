//! Which change asks for which reconcile. Starts one watch per kind.

use std::{fmt::Debug, sync::Arc, time::Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::{reflector::store::Writer, watcher},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::{
    references::{names_secret, proxy_of, secret_of, token_of},
    tasks::Tasks,
    watch::{self, Change},
};
use crate::{
    access,
    api::{
        LlmProxy, LlmProxyStatus, ProxyToken,
        access::FromNamespaces,
        conditions::{ConditionType, is_true},
    },
    context::{Context, Writers, cache::Cache},
    fleet::pods,
    names::{MANAGED_SELECTOR, PROXY_ANNOTATION, PROXY_LABEL, ProxyNames},
};

/// Everything that the watches need.
pub struct Routes {
    /// What they tell.
    pub context: Arc<Context>,
    /// Watches have connections of their own.
    pub client: Client,
    /// Cancelled when the leader must look for signing keys that nobody needs any more.
    pub gone: Arc<tokio::sync::Notify>,
    /// Ends the watches.
    pub stop: CancellationToken,
}

/// Which objects of a kind are watched.
struct Selection<'a> {
    scopes: Vec<Option<String>>,
    labels: Option<&'a str>,
}

impl Routes {
    /// Starts every watch.
    pub fn spawn(self, tasks: &mut Tasks, writers: Writers) {
        let Writers {
            proxies,
            tokens,
            namespaces,
            pods,
            config_maps,
            secrets,
            service_accounts,
            deployments,
            services,
            disruption_budgets,
            network_policies,
            certificates,
            own_secrets,
        } = writers;
        let stores = self.context.stores.clone();
        let gone = Arc::clone(&self.gone);
        self.watch(tasks, "watch of llmproxies", &stores.proxies, proxies, None, move |context, change| {
            proxy_changed(context, &change, &gone);
        });
        self.watch(tasks, "watch of proxytokens", &stores.tokens, tokens, None, |context, change| {
            token_changed(context, &change);
        });
        self.watch_pods(tasks, &stores.pods, pods);
        self.children(tasks, "watch of configmaps", &stores.config_maps, config_maps, bundle_changed);
        self.children(tasks, "watch of secrets", &stores.secrets, secrets, |_, _| {});
        self.children(
            tasks,
            "watch of serviceaccounts",
            &stores.service_accounts,
            service_accounts,
            |_, _| {},
        );
        self.children(tasks, "watch of deployments", &stores.deployments, deployments, |_, _| {});
        self.children(tasks, "watch of services", &stores.services, services, |_, _| {});
        let budgets = &stores.disruption_budgets;
        self.children(tasks, "watch of poddisruptionbudgets", budgets, disruption_budgets, |_, _| {});
        let policies = &stores.network_policies;
        self.children(tasks, "watch of networkpolicies", policies, network_policies, |_, _| {});
        let ordered = &stores.certificates;
        self.children(tasks, "watch of certificates", ordered, certificates, |_, _| {});
        self.watch_namespaces(tasks, &stores.namespaces, namespaces);
        self.watch_own_secrets(tasks, &stores.own_secrets, own_secrets);
        self.watch_referenced_secrets(tasks);
    }

    /// Objects that we made: their owner is reconciled when they change or vanish.
    fn children<K>(
        &self,
        tasks: &mut Tasks,
        name: &'static str,
        cache: &Cache<K>,
        writer: Writer<K>,
        also: fn(&Context, &Change<'_, K>),
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        self.watch(tasks, name, cache, writer, Some(MANAGED_SELECTOR), move |context, change| {
            tell_owner(context, change.object());
            also(context, &change);
        });
    }

    fn watch<K>(
        &self,
        tasks: &mut Tasks,
        name: &'static str,
        cache: &Cache<K>,
        writer: Writer<K>,
        labels: Option<&str>,
        tell: impl Fn(&Context, Change<'_, K>) + Send + Sync + 'static,
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let scopes = watch::scopes(&self.context.settings.watch_namespaces);
        self.follow(tasks, name, Selection { scopes, labels }, (cache, writer), |_| {}, tell);
    }

    fn follow<K>(
        &self,
        tasks: &mut Tasks,
        name: &'static str,
        selection: Selection<'_>,
        (cache, writer): (&Cache<K>, Writer<K>),
        trim: fn(&mut K),
        tell: impl Fn(&Context, Change<'_, K>) + Send + Sync + 'static,
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let Selection { scopes, labels } = selection;
        let label_selector = labels.map(str::to_owned);
        let config = watcher::Config { label_selector, ..watcher::Config::default() };
        let events = watch::objects(&self.client, &scopes, &config, trim);
        let (context, cache, stop) = (Arc::clone(&self.context), cache.clone(), self.stop.clone());
        tasks.spawn(name, async move {
            let follow = watch::follow(&scopes, events, cache, writer, |change| tell(&context, change));
            stop.run_until_cancelled(follow).await;
        });
    }

    fn watch_pods(&self, tasks: &mut Tasks, cache: &Cache<Pod>, writer: Writer<Pod>) {
        let scopes = watch::scopes(&self.context.settings.watch_namespaces);
        let tell = |context: &Context, change: Change<'_, Pod>| pod_changed(context, &change);
        let labels = Some(PROXY_LABEL);
        self.follow(tasks, "watch of pods", Selection { scopes, labels }, (cache, writer), trim_pod, tell);
    }

    fn watch_own_secrets(&self, tasks: &mut Tasks, cache: &Cache<Secret>, writer: Writer<Secret>) {
        let scopes = vec![Some(self.context.settings.operator_namespace.clone())];
        let tell = |context: &Context, change: Change<'_, Secret>| {
            let annotations = change.object().annotations();
            if let Some((namespace, name)) =
                annotations.get(PROXY_ANNOTATION).and_then(|it| it.split_once('/'))
            {
                context.triggers.proxy(namespace, name);
                tell_tokens(context, namespace, name);
            }
        };
        let labels = Some(MANAGED_SELECTOR);
        self.follow(
            tasks,
            "watch of own secrets",
            Selection { scopes, labels },
            (cache, writer),
            |_| {},
            tell,
        );
    }

    fn watch_namespaces(
        &self,
        tasks: &mut Tasks,
        cache: &Cache<PartialObjectMeta<Namespace>>,
        writer: Writer<PartialObjectMeta<Namespace>>,
    ) {
        let events = watch::metadata(vec![Api::<PartialObjectMeta<Namespace>>::all(self.client.clone())]);
        let (context, cache, stop) = (Arc::clone(&self.context), cache.clone(), self.stop.clone());
        tasks.spawn("watch of namespaces", async move {
            let tell = |change: Change<'_, _>| namespace_changed(&context, &change);
            stop.run_until_cancelled(watch::follow(&[None], events, cache, writer, tell)).await;
        });
    }

    /// Users' Secrets: only their names are watched, and nothing of them is kept.
    fn watch_referenced_secrets(&self, tasks: &mut Tasks) {
        let scopes = watch::scopes(&self.context.settings.watch_namespaces);
        let apis = scopes.iter().map(|scope| match scope {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        });
        let events = watch::metadata::<Secret>(apis.collect());
        let (context, stop) = (Arc::clone(&self.context), self.stop.clone());
        tasks.spawn("watch of referenced secrets", async move {
            let watch = watch::touched(events, |secret| secret_touched(&context, secret));
            stop.run_until_cancelled(watch).await;
        });
    }
}

/// Nobody reads containers, and they are most of a pod.
fn trim_pod(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        spec.containers.clear();
        spec.init_containers = None;
    }
}

fn proxy_changed(context: &Context, change: &Change<'_, LlmProxy>, gone: &tokio::sync::Notify) {
    let proxy = change.object();
    let (namespace, name) = (proxy.namespace().unwrap_or_default(), proxy.name_any());
    context.triggers.proxy(&namespace, &name);
    if !matches!(change, Change::Present(_)) {
        gone.notify_one();
    }
    let before = context.stores.proxies.get(&namespace, &name);
    let same = before.is_some_and(|before| matches!(change, Change::Present(_)) && alike(&before, proxy));
    if !same {
        tell_tokens(context, &namespace, &name);
    }
}

/// Whether both look the same to a ProxyToken.
fn alike(before: &LlmProxy, after: &LlmProxy) -> bool {
    let none = LlmProxyStatus::default();
    let seen = |proxy: &LlmProxy| {
        let status = proxy.status.as_ref().unwrap_or(&none);
        (
            is_true(&status.conditions, ConditionType::Ready),
            status.endpoint.clone(),
            status.ca_fingerprint.clone(),
        )
    };
    before.uid() == after.uid() && before.spec == after.spec && seen(before) == seen(after)
}

fn token_changed(context: &Context, change: &Change<'_, ProxyToken>) {
    let token = change.object();
    let (namespace, name) = (token.namespace().unwrap_or_default(), token.name_any());
    context.triggers.token(&namespace, &name);
    if let Change::Deleted(token) = change {
        context.departures.saw(&token.uid().unwrap_or_default(), Instant::now());
    }
    // Its own status is no news to the proxy.
    let before = context.stores.tokens.get(&namespace, &name);
    let same = before.is_some_and(|before| {
        matches!(change, Change::Present(_)) && before.uid() == token.uid() && before.spec == token.spec
    });
    if !same {
        let (namespace, name) = access::proxy_of(token);
        context.triggers.proxy(namespace, name);
    }
}

fn pod_changed(context: &Context, change: &Change<'_, Pod>) {
    let pod = change.object();
    let Some(name) = pod.labels().get(PROXY_LABEL) else { return };
    let namespace = pod.namespace().unwrap_or_default();
    context.triggers.proxy(&namespace, name);
    let Some(proxy) = context.stores.proxies.get(&namespace, name) else { return };
    if let Some(uid) = proxy.uid() {
        context.fleet.attend(&uid);
    }
    // The first pod that is ready, or the last: tokens become usable, or stop being so.
    let before = context.stores.pods.get(&namespace, &pod.name_any());
    let served = before.is_some_and(|before| pods::serves(&before));
    let serves = matches!(change, Change::Present(_)) && pods::serves(pod);
    let known = pods::of(&context.stores, &proxy);
    if served != serves && !pods::serving(&known).any(|other| other.name != pod.name_any()) {
        tell_tokens(context, &namespace, &proxy.name_any());
    }
}

fn bundle_changed(context: &Context, change: &Change<'_, ConfigMap>) {
    let map = change.object();
    let Some(proxy) = proxy_of(&map.metadata) else { return };
    if map.name_any() == ProxyNames::of(proxy).ca_bundle() {
        tell_tokens(context, &map.namespace().unwrap_or_default(), proxy);
    }
}

fn namespace_changed(context: &Context, change: &Change<'_, PartialObjectMeta<Namespace>>) {
    let namespace = change.object();
    let before = context.stores.namespaces.get_cluster(&namespace.name_any());
    if before.is_some_and(|before| before.labels() == namespace.labels()) {
        return;
    }
    let selecting = |proxy: &LlmProxy| proxy.spec.access.allowed_namespaces.from == FromNamespaces::Selector;
    for proxy in context.stores.proxies.filter(selecting) {
        context.triggers.proxy(&proxy.namespace().unwrap_or_default(), &proxy.name_any());
    }
    for token in context.stores.tokens.filter(|token| token.namespace() == Some(namespace.name_any())) {
        context.triggers.token(&namespace.name_any(), &token.name_any());
    }
}

fn secret_touched(context: &Context, secret: &PartialObjectMeta<Secret>) {
    let (namespace, name) = (secret.namespace(), secret.name_any());
    let place = namespace.as_deref().unwrap_or_default();
    let names = |proxy: &LlmProxy| proxy.metadata.namespace == namespace && names_secret(proxy, &name);
    for proxy in context.stores.proxies.filter(names) {
        context.triggers.proxy(place, &proxy.name_any());
    }
    let writes = |token: &ProxyToken| token.metadata.namespace == namespace && secret_of(token) == name;
    for token in context.stores.tokens.filter(writes) {
        context.triggers.token(place, &token.name_any());
    }
}

fn tell_owner<K: Resource<DynamicType = ()>>(context: &Context, object: &K) {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    if let Some(token) = token_of(object.meta()) {
        context.triggers.token(namespace, token);
    } else if let Some(proxy) = proxy_of(object.meta()) {
        context.triggers.proxy(namespace, proxy);
    }
}

fn tell_tokens(context: &Context, namespace: &str, proxy: &str) {
    for token in context.stores.tokens.filter(|token| access::proxy_of(token) == (namespace, proxy)) {
        context.triggers.token(&token.namespace().unwrap_or_default(), &token.name_any());
    }
}
