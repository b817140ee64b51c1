//! Providers and what they name.

use std::fmt;

use http::Uri;
use vibectl_config::mount::{
    ACCESS_KEY_ID_FILE, API_KEY_FILE, CA_FILE, SECRET_ACCESS_KEY_FILE, SERVICE_ACCOUNT_FILE,
    SESSION_TOKEN_FILE,
};
use vibectl_pki::TrustBundle;
use zeroize::Zeroizing;

use super::{
    Mistakes, Unresolved,
    calls::{self, Calls},
};
use crate::{
    api::{conditions::Reason, provider, reference::SecretKey},
    llm_proxy::dereference::{Lookup, Referenced},
};

/// A provider that can be called, or is off for a stated reason.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What routes call it.
    pub name: String,
    /// Of which kind.
    pub kind: ProviderKind,
    /// What holds for its calls.
    pub calls: Calls,
}

/// The kinds that there are.
#[derive(Clone, Debug)]
pub enum ProviderKind {
    /// Answers with the caller's own words.
    Echo {
        /// Before the first byte.
        delay_ms: u32,
        /// Instead of the caller's words.
        reply: Option<String>,
    },
    /// Speaks the OpenAI chat completions API.
    OpenAi(Box<Endpoint>),
    /// The same as Azure has it.
    AzureOpenAi {
        /// Where the resource is.
        endpoint: Box<Endpoint>,
        /// Of the API that names the deployment in its path; `None`: the newer one.
        api_version: Option<String>,
    },
    /// Speaks the Anthropic Messages API.
    Anthropic {
        /// Where it is.
        endpoint: Box<Endpoint>,
        /// Of an answer whose length the caller does not limit; `None`: the server's default.
        max_tokens: Option<u32>,
    },
    /// Speaks Google's Gemini API.
    Gemini(Box<Endpoint>),
    /// Amazon Bedrock.
    Bedrock(Box<Bedrock>),
    /// Google's models on Vertex AI.
    Vertex(Box<Vertex>),
}

/// Vertex AI in one region of a project.
#[derive(Clone, Debug)]
pub struct Vertex {
    /// ID of the project.
    pub project: String,
    /// Where the models run.
    pub region: String,
    /// Where it is; without a key.
    pub endpoint: Endpoint,
    /// Key file of the account that asks for tokens.
    pub service_account: Mounted,
}

/// Bedrock in one region.
#[derive(Clone, Debug)]
pub struct Bedrock {
    /// That signatures are made for.
    pub region: String,
    /// Where it is; without a key.
    pub endpoint: Endpoint,
    /// Names the key that signs.
    pub access_key_id: Mounted,
    /// Signs.
    pub secret_access_key: Mounted,
    /// Goes with keys that are valid for a time only.
    pub session_token: Option<Mounted>,
}

/// Where a provider is, and what it wants to see.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Without a final slash.
    pub base_url: String,
    /// Whatever header it goes into.
    pub api_key: Option<Mounted>,
    /// Certificates to trust.
    pub ca_bundle: Option<Mounted>,
}

/// A key of a Secret that is mounted into the pods.
#[derive(Clone)]
pub struct Mounted {
    /// Where it is.
    pub source: SecretKey,
    /// What is there, usable or not.
    pub content: Option<Zeroizing<Vec<u8>>>,
    /// Why it cannot be used, if so.
    pub unresolved: Option<Unresolved>,
}

impl fmt::Debug for Mounted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mounted").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Provider {
    /// The provider of a proxy that names none.
    pub fn embedded_echo() -> Self {
        let kind = ProviderKind::Echo { delay_ms: 0, reply: None };
        Self { name: vibectl_config::EMBEDDED_ECHO.to_owned(), kind, calls: Calls::default() }
    }

    /// What it needs and cannot have; with any of these it is off.
    pub fn unresolved(&self) -> impl Iterator<Item = &Unresolved> {
        self.files().filter_map(|(_, mounted)| mounted.unresolved.as_ref())
    }

    /// What is mounted for it, each with the name of its file.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Mounted)> {
        let files = self.endpoint().into_iter().flat_map(|endpoint| {
            let Endpoint { base_url: _, api_key, ca_bundle } = endpoint;
            [(API_KEY_FILE, api_key), (CA_FILE, ca_bundle)]
        });
        let files = files.filter_map(|(file, mounted)| Some((file, mounted.as_ref()?)));
        files.chain(self.further_keys().into_iter().flatten())
    }

    /// Keys of kinds that need other ones than an API key.
    fn further_keys(&self) -> [Option<(&'static str, &Mounted)>; 3] {
        match &self.kind {
            ProviderKind::Bedrock(bedrock) => {
                let Bedrock { region: _, endpoint: _, access_key_id, secret_access_key, session_token } =
                    bedrock.as_ref();
                [
                    Some((ACCESS_KEY_ID_FILE, access_key_id)),
                    Some((SECRET_ACCESS_KEY_FILE, secret_access_key)),
                    session_token.as_ref().map(|token| (SESSION_TOKEN_FILE, token)),
                ]
            }
            ProviderKind::Vertex(vertex) => {
                [Some((SERVICE_ACCOUNT_FILE, &vertex.service_account)), None, None]
            }
            ProviderKind::Echo { .. }
            | ProviderKind::OpenAi(_)
            | ProviderKind::AzureOpenAi { .. }
            | ProviderKind::Anthropic { .. }
            | ProviderKind::Gemini(_) => [None; 3],
        }
    }

    /// Where it is; `None` for one that needs no network.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.kind {
            ProviderKind::Echo { .. } => None,
            ProviderKind::OpenAi(endpoint)
            | ProviderKind::Gemini(endpoint)
            | ProviderKind::AzureOpenAi { endpoint, .. }
            | ProviderKind::Anthropic { endpoint, .. } => Some(endpoint),
            ProviderKind::Bedrock(bedrock) => Some(&bedrock.endpoint),
            ProviderKind::Vertex(vertex) => Some(&vertex.endpoint),
        }
    }
}

/// Checks every provider.
pub(super) fn validate(
    providers: &[provider::Provider],
    referenced: &Referenced,
    mistakes: &mut Mistakes,
) -> Vec<Provider> {
    if providers.is_empty() {
        mistakes.invalid(
            "spec.providers",
            "is needed with spec.models; leave out both for the embedded echo provider",
        );
    }
    let mut valid: Vec<Provider> = Vec::new();
    for (index, provider) in providers.iter().enumerate() {
        let path = format!("spec.providers[{index}]");
        if valid.iter().any(|other| other.name == provider.name) {
            mistakes.invalid(&format!("{path}.name"), format!("{:?} is there twice", provider.name));
        }
        let kind = kind(&path, provider, referenced, mistakes);
        let calls = calls::validate(&path, provider, mistakes);
        valid.extend(kind.map(|kind| Provider { name: provider.name.clone(), kind, calls }));
    }
    valid
}

fn kind(
    path: &str,
    provider: &provider::Provider,
    referenced: &Referenced,
    mistakes: &mut Mistakes,
) -> Option<ProviderKind> {
    let provider::Provider {
        name: _,
        echo,
        openai,
        azure_openai,
        anthropic,
        gemini,
        bedrock,
        vertex,
        timeouts: _,
        max_concurrency: _,
        retries: _,
    } = provider;
    let blocks = [
        echo.is_some(),
        openai.is_some(),
        azure_openai.is_some(),
        anthropic.is_some(),
        gemini.is_some(),
        bedrock.is_some(),
        vertex.is_some(),
    ];
    if blocks.into_iter().filter(|chosen| *chosen).count() != 1 {
        mistakes.invalid(
            path,
            "needs exactly one of echo, openai, azureOpenai, anthropic, gemini, bedrock, vertex",
        );
        return None;
    }
    if let Some(azure) = azure_openai {
        check_azure(&format!("{path}.azureOpenai"), azure, mistakes);
    }
    let mut endpoint =
        |block: &str, base_url: &str, api_key: Option<&SecretKey>, ca_bundle: Option<&SecretKey>| {
            let named = Named { base_url, api_key, ca_bundle };
            Box::new(named.endpoint(&format!("{path}.{block}"), referenced, mistakes))
        };
    if let Some(provider::Echo { delay_milliseconds, reply }) = echo {
        let delay_ms = delay_milliseconds.and_then(|delay| u32::try_from(delay).ok()).unwrap_or(0);
        return Some(ProviderKind::Echo { delay_ms, reply: reply.clone() });
    }
    if let Some(provider::OpenAi { base_url, api_key, ca_bundle }) = openai {
        let endpoint = endpoint("openai", base_url, api_key.as_ref(), ca_bundle.as_ref());
        return Some(ProviderKind::OpenAi(endpoint));
    }
    if let Some(provider::AzureOpenAi { base_url, api_version, api_key, ca_bundle }) = azure_openai {
        let endpoint = endpoint("azureOpenai", base_url, api_key.as_ref(), ca_bundle.as_ref());
        return Some(ProviderKind::AzureOpenAi { endpoint, api_version: api_version.clone() });
    }
    if let Some(provider::Anthropic { base_url, api_key, ca_bundle, max_tokens }) = anthropic {
        let base_url = base_url.as_deref().unwrap_or(vibectl_config::Anthropic::DEFAULT_BASE_URL);
        let endpoint = endpoint("anthropic", base_url, api_key.as_ref(), ca_bundle.as_ref());
        let max_tokens = max_tokens.and_then(|tokens| u32::try_from(tokens).ok());
        return Some(ProviderKind::Anthropic { endpoint, max_tokens });
    }
    if let Some(provider::Gemini { base_url, api_key, ca_bundle }) = gemini {
        let base_url = base_url.as_deref().unwrap_or(vibectl_config::DEFAULT_GEMINI_BASE_URL);
        return Some(ProviderKind::Gemini(endpoint(
            "gemini",
            base_url,
            api_key.as_ref(),
            ca_bundle.as_ref(),
        )));
    }
    if let Some(vertex) = vertex {
        let base_url = vertex.base_url.clone();
        let base_url = base_url.unwrap_or_else(|| vibectl_config::Vertex::default_base_url(&vertex.region));
        let endpoint = endpoint("vertex", &base_url, None, vertex.ca_bundle.as_ref());
        let service_account = &vertex.service_account;
        return Some(ProviderKind::Vertex(Box::new(Vertex {
            project: vertex.project.clone(),
            region: vertex.region.clone(),
            endpoint: *endpoint,
            service_account: mounted(&format!("{path}.vertex.serviceAccount"), service_account, referenced),
        })));
    }
    bedrock.as_ref().map(|bedrock| {
        let base_url = bedrock.base_url.clone();
        let base_url = base_url.unwrap_or_else(|| vibectl_config::Bedrock::default_base_url(&bedrock.region));
        let endpoint = endpoint("bedrock", &base_url, None, bedrock.ca_bundle.as_ref());
        ProviderKind::Bedrock(Box::new(self::bedrock(
            &format!("{path}.bedrock"),
            bedrock,
            *endpoint,
            referenced,
        )))
    })
}

fn bedrock(path: &str, named: &provider::Bedrock, endpoint: Endpoint, referenced: &Referenced) -> Bedrock {
    let provider::Bedrock {
        region,
        base_url: _,
        access_key_id,
        secret_access_key,
        session_token,
        ca_bundle: _,
    } = named;
    let key = |field: &str, key: &SecretKey| mounted(&format!("{path}.{field}"), key, referenced);
    Bedrock {
        region: region.clone(),
        endpoint,
        access_key_id: key("accessKeyId", access_key_id),
        secret_access_key: key("secretAccessKey", secret_access_key),
        session_token: session_token.as_ref().map(|token| key("sessionToken", token)),
    }
}

/// What the blocks with an address have in common.
struct Named<'a> {
    base_url: &'a str,
    api_key: Option<&'a SecretKey>,
    ca_bundle: Option<&'a SecretKey>,
}

impl Named<'_> {
    fn endpoint(&self, path: &str, referenced: &Referenced, mistakes: &mut Mistakes) -> Endpoint {
        if let Err(what) = check_base_url(self.base_url) {
            mistakes.invalid(&format!("{path}.baseUrl"), what);
        }
        let api_key = self.api_key.map(|key| mounted(&format!("{path}.apiKey"), key, referenced));
        let ca_bundle = self.ca_bundle.map(|key| {
            let path = format!("{path}.caBundle");
            certificates(&path, mounted(&path, key, referenced))
        });
        Endpoint { base_url: self.base_url.trim_end_matches('/').to_owned(), api_key, ca_bundle }
    }
}

/// What the server would refuse.
fn check_azure(path: &str, azure: &provider::AzureOpenAi, mistakes: &mut Mistakes) {
    let provider::AzureOpenAi { base_url, api_version, .. } = azure;
    if base_url.trim_end_matches('/').ends_with("/openai/v1") {
        mistakes.invalid(&format!("{path}.baseUrl"), "must end before /openai/v1");
    }
    let is_version = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    };
    if api_version.as_deref().is_some_and(|version| !is_version(version)) {
        mistakes.invalid(&format!("{path}.apiVersion"), "must be a version of the API such as 2024-10-21");
    }
}

fn check_base_url(text: &str) -> Result<(), &'static str> {
    let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
    let authority = uri.authority().ok_or("must be an http or https URL")?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err("must be an http or https URL"),
    }
    if authority.as_str().contains('@') {
        return Err("must not contain user information: put the key in apiKey");
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("must not contain a query or a fragment");
    }
    Ok(())
}

/// What is found under a key, with what to do when it is missing.
pub(super) fn mounted(path: &str, key: &SecretKey, referenced: &Referenced) -> Mounted {
    let SecretKey { name: secret, key: entry } = key;
    let unresolved = |reason, what: String| Some(Unresolved { reason, message: format!("{path}: {what}") });
    let (content, unresolved) = match referenced.lookup(key) {
        Lookup::Found(value) if value.trim_ascii().is_empty() => {
            let what = format!("key {entry:?} of Secret {secret:?} is empty");
            (Some(value.clone()), unresolved(Reason::SecretInvalid, what))
        }
        Lookup::Found(value) => (Some(value.clone()), None),
        Lookup::NoSecret => {
            let what = format!("Secret {secret:?} does not exist; its key {entry:?} is needed");
            (None, unresolved(Reason::SecretNotFound, what))
        }
        Lookup::NoKey => {
            (None, unresolved(Reason::SecretKeyNotFound, format!("Secret {secret:?} has no key {entry:?}")))
        }
    };
    Mounted { source: key.clone(), content, unresolved }
}

/// The same, of no use unless it holds certificates.
pub(super) fn certificates(path: &str, mounted: Mounted) -> Mounted {
    let Mounted { source, content, unresolved } = mounted;
    let pem = content.as_deref().filter(|_| unresolved.is_none());
    let parsed = pem.map(|pem| {
        let text = std::str::from_utf8(pem).map_err(|error| error.to_string())?;
        TrustBundle::from_pem(text).map_err(|error| error.to_string())
    });
    let damaged = parsed.and_then(Result::err).map(|error| Unresolved {
        reason: Reason::SecretInvalid,
        message: format!("{path}: key {:?} of Secret {:?}: {error}", source.key, source.name),
    });
    Mounted { source, content, unresolved: unresolved.or(damaged) }
}
