//! The config file of the pods.

use std::{collections::BTreeMap, path::PathBuf};

use k8s_openapi::api::core::v1::ConfigMap;
use vibectl_config::{
    Access, Acme, Admin, Anthropic, AzureOpenAi, Bedrock, Challenge, ChallengeType, Config, Echo, Endpoint,
    Fleet, Limits, Model, Provider, ProviderKind, SecretSource, Server, ServerLimits, Tls, Vertex,
    mount::{
        ACCESS_KEY_ID_FILE, ACME_DIR, ANSWERS_FILE, API_KEY_FILE, CA_FILE, CERTIFICATE_FILE,
        CERTIFICATE_NAMES_FILE, CONFIG_FILE, KEY_FILE, PROVIDERS_DIR, SECRET_ACCESS_KEY_FILE,
        SERVICE_ACCOUNT_FILE, SESSION_TOKEN_FILE, TLS_DIR,
    },
    render,
};
use vibectl_pki::acme::ChallengeKind;
use vibectl_token::{audience_of, issuer_of};

use super::{deployment::SHUTDOWN_GRACE_SECONDS, object::metadata};
use crate::{
    error::Error,
    llm_proxy::validate::{self, Calls, TlsMode, ValidatedProxy},
    names::{CHALLENGE_PORT, TEMPLATE_LABEL},
};

/// The config for pods of this template. It is edited in place while the template stays.
pub(super) fn config_map(proxy: &ValidatedProxy, template_hash: &str) -> Result<ConfigMap, Error> {
    let mut metadata = metadata(proxy, proxy.names.config(template_hash));
    metadata.labels.get_or_insert_default().insert(TEMPLATE_LABEL.to_owned(), template_hash.to_owned());
    let mut data = BTreeMap::from([(CONFIG_FILE.to_owned(), render(&config(proxy))?)]);
    if matches!(proxy.tls, TlsMode::PrivateCa(..)) {
        // Beside the config and not in the template: a new host needs no new pods.
        data.insert(CERTIFICATE_NAMES_FILE.to_owned(), proxy.certificate_names.to_lines());
    }
    Ok(ConfigMap { metadata, data: Some(data), ..ConfigMap::default() })
}

/// The config as the server reads it.
pub(super) fn config(proxy: &ValidatedProxy) -> Config {
    Config {
        server: Server {
            default_model: proxy.default_model.clone(),
            limits: ServerLimits {
                total: share(&proxy.limits, proxy.replicas),
                per_namespace: proxy.namespace_limits.clone(),
                ..ServerLimits::default()
            },
            reflection: proxy.service.reflection,
            shutdown_grace_seconds: SHUTDOWN_GRACE_SECONDS,
            ..Server::default()
        },
        tls: tls(proxy.tls.is_encrypted()),
        acme: acme(&proxy.tls),
        admin: Admin { enabled: true, ..Admin::default() },
        providers: proxy.providers.iter().map(|one| provider(one, proxy.replicas)).collect(),
        models: proxy.models.iter().map(model).collect(),
        access: Some(Access::new(issuer_of(&proxy.uid), audience_of(&proxy.uid))),
        fleet: Some(Fleet::default()),
        ..Config::default()
    }
}

fn tls(encrypted: bool) -> Tls {
    if !encrypted {
        return Tls { enabled: Some(false), ..Tls::default() };
    }
    let file = |name: &str| Some([TLS_DIR, name].iter().collect());
    Tls { enabled: Some(true), cert_file: file(CERTIFICATE_FILE), key_file: file(KEY_FILE), ..Tls::default() }
}

/// Others order: the pods answer with what they are given.
fn acme(tls: &TlsMode) -> Acme {
    let TlsMode::Acme(order, _) = tls else { return Acme::default() };
    let kind = match order.challenge {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 | ChallengeKind::Dns01 => ChallengeType::TlsAlpn01,
    };
    let http_port = u16::try_from(CHALLENGE_PORT).unwrap_or_default();
    Acme {
        answers_file: Some([ACME_DIR, ANSWERS_FILE].iter().collect()),
        challenge: Challenge { kind, http_port, ..Challenge::default() },
        ..Acme::default()
    }
}

/// What one replica may take of a count so that all together keep it.
fn divided(count: Option<u32>, replicas: u16) -> Option<u32> {
    count.map(|count| count.div_ceil(u32::from(replicas.max(1))))
}

/// What one replica may take so that all together keep the limit. Counts are divided; what holds for one call is not.
fn share(limits: &Limits, replicas: u16) -> Limits {
    let divided = |limit| divided(limit, replicas);
    Limits {
        max_requests_per_minute: divided(limits.max_requests_per_minute),
        max_tokens_per_minute: divided(limits.max_tokens_per_minute),
        max_concurrent_requests: divided(limits.max_concurrent_requests),
        max_input_length: limits.max_input_length,
        request_timeout_seconds: limits.request_timeout_seconds,
    }
}

fn provider(provider: &validate::Provider, replicas: u16) -> Provider {
    let file = |name: &str| -> PathBuf { [PROVIDERS_DIR, &provider.name, name].iter().collect() };
    let endpoint = |endpoint: &validate::Endpoint| {
        let validate::Endpoint { base_url, api_key, ca_bundle } = endpoint;
        Endpoint {
            api_key_file: api_key.as_ref().map(|_| file(API_KEY_FILE)),
            ca_file: ca_bundle.as_ref().map(|_| file(CA_FILE)),
            ..Endpoint::new(base_url)
        }
    };
    let kind = match &provider.kind {
        validate::ProviderKind::Echo { delay_ms, reply } => {
            ProviderKind::Echo(Echo { delay_ms: *delay_ms, reply: reply.clone(), ..Echo::default() })
        }
        validate::ProviderKind::OpenAi(openai) => ProviderKind::OpenAi(endpoint(openai)),
        validate::ProviderKind::AzureOpenAi { endpoint: at, api_version } => {
            let (endpoint, api_version) = (endpoint(at), api_version.clone());
            ProviderKind::AzureOpenAi(AzureOpenAi { endpoint, api_version })
        }
        validate::ProviderKind::Anthropic { endpoint: at, max_tokens } => {
            let default = Anthropic::new(endpoint(at));
            let max_tokens = max_tokens.unwrap_or(default.max_tokens);
            ProviderKind::Anthropic(Anthropic { max_tokens, ..default })
        }
        validate::ProviderKind::Gemini(gemini) => ProviderKind::Gemini(endpoint(gemini)),
        validate::ProviderKind::Vertex(vertex) => ProviderKind::Vertex(Vertex {
            project: vertex.project.clone(),
            region: vertex.region.clone(),
            endpoint: endpoint(&vertex.endpoint),
            service_account: SecretSource::File(file(SERVICE_ACCOUNT_FILE)),
        }),
        validate::ProviderKind::Bedrock(bedrock) => ProviderKind::Bedrock(Bedrock {
            region: bedrock.region.clone(),
            endpoint: endpoint(&bedrock.endpoint),
            access_key_id: SecretSource::File(file(ACCESS_KEY_ID_FILE)),
            secret_access_key: SecretSource::File(file(SECRET_ACCESS_KEY_FILE)),
            session_token: bedrock
                .session_token
                .as_ref()
                .map(|_| SecretSource::File(file(SESSION_TOKEN_FILE))),
        }),
    };
    let Calls { connect_seconds, first_byte_seconds, idle_seconds, total_seconds, max_concurrency, retries } =
        provider.calls;
    Provider {
        name: provider.name.clone(),
        kind,
        connect_timeout_seconds: connect_seconds,
        first_byte_timeout_seconds: first_byte_seconds,
        idle_timeout_seconds: idle_seconds,
        total_timeout_seconds: total_seconds,
        max_concurrency: divided(max_concurrency, replicas),
        retries,
    }
}

fn model(model: &validate::Model) -> Model {
    let validate::Model { name, aliases, routes, structured_repair } = model.clone();
    Model { name, aliases, routes, max_context_length: None, structured_repair }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_share_counts_but_not_what_holds_for_one_call() {
        let limits = Limits {
            max_requests_per_minute: Some(100),
            max_tokens_per_minute: Some(1000),
            max_concurrent_requests: Some(1),
            max_input_length: Some(9),
            request_timeout_seconds: Some(60),
        };

        let shared = share(&limits, 3);

        assert_eq!(shared.max_requests_per_minute, Some(34));
        assert_eq!((shared.max_tokens_per_minute, shared.max_concurrent_requests), (Some(334), Some(1)));
        assert_eq!((shared.max_input_length, shared.request_timeout_seconds), (Some(9), Some(60)));
        assert_eq!(share(&limits, 0), limits);
    }
}
