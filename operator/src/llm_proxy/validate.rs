//! From a spec and what it names to something that cannot be wrong. Pure.
//!
//! The schema and its CEL rules refuse most mistakes earlier. They are checked here too: the definitions in a cluster can be
//! older than this operator, and what CEL cannot express has no other place.

mod acme;
mod calls;
mod migration;
mod models;
mod providers;
mod supplied;
mod tls;

use jiff::Timestamp;
use kube::ResourceExt;
use vibectl_config::Limits;
use vibectl_pki::Names;
use vibectl_token::foreign::ForeignKeySet;

use crate::{
    api::{
        LlmProxy, LlmProxySpec,
        conditions::{Finding, Reason},
        limits,
        llm_proxy::Service,
    },
    llm_proxy::dereference::Referenced,
    names::{DISTRUST_CA_ANNOTATION, ProxyNames},
};

pub use self::{
    acme::{AcmeAccess, AcmeOrder},
    calls::Calls,
    migration::Migration,
    models::Model,
    providers::{Bedrock, Endpoint, Mounted, Provider, ProviderKind, Vertex},
    supplied::Supplied,
    tls::{KeptPair, ServingPair, Terms, TlsMode},
};

/// An LlmProxy that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedProxy {
    /// Name of the LlmProxy.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Names of its objects.
    pub names: ProxyNames,
    /// Number of pods.
    pub replicas: u16,
    /// Every name that clients may call it by; the Service's own come first.
    pub certificate_names: Names,
    /// The Service in front.
    pub service: Service,
    /// At least one.
    pub providers: Vec<Provider>,
    /// At least one.
    pub models: Vec<Model>,
    /// Name or alias of one of the models.
    pub default_model: Option<String>,
    /// How it is secured.
    pub tls: TlsMode,
    /// Until when tokens of a former server are accepted.
    pub migration: Option<Migration>,
    /// Fingerprint of a CA that must go at once.
    pub distrusted: Option<String>,
    /// Of the whole proxy.
    pub limits: Limits,
    /// Of each consuming namespace.
    pub namespace_limits: Limits,
}

impl ValidatedProxy {
    /// The same at this time: a certificate outside its lifetime cannot be used.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { tls: self.tls.at(now), ..self }
    }

    /// What is named and missing, one finding for each; the proxy works without it as far as it can.
    pub fn unresolved(&self) -> Vec<&Unresolved> {
        let providers = self.providers.iter().flat_map(Provider::unresolved);
        let migration = self.migration.iter().filter_map(|migration| migration.secret.unresolved.as_ref());
        providers.chain(self.tls.unresolved()).chain(migration).collect()
    }
}

/// Something that is named and cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unresolved {
    /// What is the matter.
    pub reason: Reason,
    /// Names the field, the Secret and the key.
    pub message: String,
}

/// A spec that only its author can mend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Every mistake, by field path.
    pub mistakes: Vec<Mistake>,
}

/// One mistake in a spec.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// `InvalidSpec` or `ObjectConflict`.
    pub reason: Reason,
    /// The field's path and what is wrong with it.
    pub message: String,
}

impl Refusal {
    /// The reason of the condition: a contradiction outweighs what is merely in the way.
    pub fn reason(&self) -> Reason {
        let has = |reason| self.mistakes.iter().any(|mistake| mistake.reason == reason);
        if has(Reason::InvalidSpec) { Reason::InvalidSpec } else { Reason::ObjectConflict }
    }

    /// All mistakes in one line.
    pub fn message(&self) -> String {
        let messages: Vec<&str> = self.mistakes.iter().map(|mistake| mistake.message.as_str()).collect();
        messages.join("; ")
    }

    /// The same as a condition.
    pub fn finding(&self, kind: crate::api::conditions::ConditionType) -> Finding {
        Finding::no(kind, self.reason(), self.message())
    }
}

/// Collects mistakes, so that all are told at once.
#[derive(Debug, Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn invalid(&mut self, path: &str, what: impl std::fmt::Display) {
        self.0.push(Mistake { reason: Reason::InvalidSpec, message: format!("{path}: {what}") });
    }

    fn conflict(&mut self, path: &str, what: impl std::fmt::Display) {
        self.0.push(Mistake { reason: Reason::ObjectConflict, message: format!("{path}: {what}") });
    }
}

/// Checks everything and reports all mistakes at once.
pub fn validate(proxy: &LlmProxy, referenced: &Referenced) -> Result<ValidatedProxy, Refusal> {
    let mut mistakes = Mistakes::default();
    let spec = &proxy.spec;
    let names = ProxyNames::of(&proxy.name_any());
    let namespace = proxy.namespace().unwrap_or_default();

    let (providers, models) = match (spec.providers.as_slice(), spec.models.as_slice()) {
        ([], []) => (vec![Provider::embedded_echo()], vec![Model::embedded_echo()]),
        (providers, models) => (
            providers::validate(providers, referenced, &mut mistakes),
            models::validate(spec, models, &mut mistakes),
        ),
    };
    let replicas = u16::try_from(spec.replicas).unwrap_or_else(|_| {
        mistakes.invalid("spec.replicas", "must not be negative");
        0
    });
    let certificate_names = certificate_names(&names, &namespace, spec, &mut mistakes);
    let tls = tls::validate(spec, &names, referenced, &mut mistakes);
    let uid = proxy.uid().unwrap_or_default();
    for (index, issuer) in spec.access.issuers.iter().enumerate() {
        let keys = issuer.jwks.as_ref().map(|keys| ForeignKeySet::parse(keys.as_bytes()));
        if let Some(Err(error)) = keys {
            mistakes.invalid(&format!("spec.access.issuers[{index}].jwks"), error);
        }
    }
    let migration = migration::validate(&spec.access, &uid, referenced, &mut mistakes);
    match (certificate_names, tls) {
        (Some(certificate_names), Some(tls)) if mistakes.0.is_empty() => Ok(ValidatedProxy {
            name: proxy.name_any(),
            namespace,
            uid,
            names,
            replicas,
            certificate_names,
            service: spec.service.clone(),
            providers,
            models,
            default_model: default_model(spec.default_model.as_ref(), spec.models.is_empty()),
            tls,
            migration,
            distrusted: proxy
                .annotations()
                .get(DISTRUST_CA_ANNOTATION)
                .map(|it| it.trim().to_ascii_lowercase()),
            limits: config_limits(spec.limits.as_ref()),
            namespace_limits: config_limits(spec.access.ceilings.as_ref().and_then(|c| c.limits.as_ref())),
        }),
        _ => Err(Refusal { mistakes: mistakes.0 }),
    }
}

/// Limits in the terms of the config; what is out of range was refused by the schema and does not bind.
pub fn config_limits(limits: Option<&limits::Limits>) -> Limits {
    let Some(limits) = limits else { return Limits::default() };
    let number =
        |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).map(|value| value.max(1));
    Limits {
        max_requests_per_minute: number(limits.requests_per_minute),
        max_tokens_per_minute: number(limits.tokens_per_minute),
        max_concurrent_requests: number(limits.concurrent_requests),
        max_input_length: number(limits.max_input_length),
        request_timeout_seconds: limits
            .request_timeout
            .map(|time| u32::try_from(time.as_secs_ceil()).unwrap_or(u32::MAX).max(1)),
    }
}

fn default_model(named: Option<&String>, embedded: bool) -> Option<String> {
    named.cloned().or_else(|| embedded.then(|| vibectl_config::EMBEDDED_ECHO.to_owned()))
}

/// The Service's names, from the shortest to the one that every resolver in the cluster knows, then the hosts.
fn certificate_names(
    names: &ProxyNames,
    namespace: &str,
    spec: &LlmProxySpec,
    mistakes: &mut Mistakes,
) -> Option<Names> {
    let LlmProxySpec { hosts, tls, .. } = spec;
    let service = names.base();
    let own = [
        service.clone(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ];
    let mut all = Vec::new();
    if !tls.has_service_names() && hosts.iter().all(|host| host.starts_with("*.")) {
        let mode = if tls.acme.is_some() { "tls.acme" } else { "tls.certManager.serviceNames: false" };
        mistakes.invalid("spec.hosts", format!("needs a name that is no wildcard with {mode}"));
    }
    for name in own.into_iter().filter(|_| tls.has_service_names()) {
        all.extend(name.parse().inspect_err(|error| mistakes.invalid("metadata.name", error)));
    }
    for (index, host) in hosts.iter().enumerate() {
        all.extend(
            host.parse().inspect_err(|error| mistakes.invalid(&format!("spec.hosts[{index}]"), error)),
        );
    }
    if all.is_empty() {
        // That there is no good name was told above.
        return None;
    }
    Names::new(all).inspect_err(|error| mistakes.invalid("spec.hosts", error)).ok()
}

#[cfg(test)]
mod tests;
