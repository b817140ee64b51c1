//! Providers: where calls go.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::{
    calls::{Retries, Timeouts},
    reference::SecretKey,
};

/// A place that answers calls. Exactly one of the blocks says of which kind it is.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.echo), has(self.openai), has(self.azureOpenai), has(self.anthropic), has(self.gemini), has(self.bedrock), has(self.vertex)].filter(x, x).size() == 1",
    "provider needs exactly one of echo, openai, azureOpenai, anthropic, gemini, bedrock, vertex"
))]
pub struct Provider {
    /// What routes call it; unique in the list.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Answers with the caller's own words; needs no network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<Echo>,
    /// Any endpoint that speaks the OpenAI chat completions API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openai: Option<OpenAi>,
    /// OpenAI's models at Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_openai: Option<AzureOpenAi>,
    /// Any endpoint that speaks the Anthropic Messages API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anthropic: Option<Anthropic>,
    /// Google's Gemini API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gemini: Option<Gemini>,
    /// Amazon Bedrock in one region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<Bedrock>,
    /// Google's models on Vertex AI, in one region of a project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertex: Option<Vertex>,
    /// How long it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Calls that it may have at once, of all replicas together; each has an even share. A call that finds it full goes to the next
    /// route, or is refused: nothing waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_concurrency: Option<i32>,
    /// Whether it is asked again after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
}

impl Provider {
    /// The keys of Secrets that it names.
    pub fn secret_keys(&self) -> impl Iterator<Item = &SecretKey> {
        let openai = self.openai.iter().flat_map(|it| [&it.api_key, &it.ca_bundle]);
        let azure = self.azure_openai.iter().flat_map(|it| [&it.api_key, &it.ca_bundle]);
        let anthropic = self.anthropic.iter().flat_map(|it| [&it.api_key, &it.ca_bundle]);
        let gemini = self.gemini.iter().flat_map(|it| [&it.api_key, &it.ca_bundle]);
        let optional = openai.chain(azure).chain(anthropic).chain(gemini).flatten();
        let bedrock = self.bedrock.iter().flat_map(|it| {
            let required = [&it.access_key_id, &it.secret_access_key];
            required.into_iter().chain(&it.session_token).chain(&it.ca_bundle)
        });
        let vertex = self.vertex.iter().flat_map(|it| [&it.service_account].into_iter().chain(&it.ca_bundle));
        optional.chain(bedrock).chain(vertex)
    }
}

/// Settings of an echo provider.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Echo {
    /// Milliseconds before the first byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3_600_000))]
    pub delay_milliseconds: Option<i32>,
    /// Answer with this instead of the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reply: Option<String>,
}

/// Settings of an OpenAI-compatible endpoint.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenAi {
    /// Address of the API up to and including the version, as in `https://api.openai.com/v1`.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = ("isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''", "baseUrl must be an http or https URL"),
        validation = ("!self.contains('@')", "baseUrl must not contain user information: put the key in apiKey"),
        validation = ("!self.contains('?') && !self.contains('#')", "baseUrl must not contain a query or a fragment")
    )]
    pub base_url: String,
    /// Key sent as bearer token. Left out: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretKey>,
    /// PEM certificates to trust instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<SecretKey>,
}

/// Settings of OpenAI's models at Azure.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureOpenAi {
    /// Address of the resource without a path, as in `https://RESOURCE.openai.azure.com`. A route's model is the name of a
    /// deployment there.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = ("isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''", "baseUrl must be an http or https URL"),
        validation = ("!self.contains('@')", "baseUrl must not contain user information: put the key in apiKey"),
        validation = ("!self.contains('?') && !self.contains('#')", "baseUrl must not contain a query or a fragment"),
        validation = ("!self.endsWith('/openai/v1') && !self.endsWith('/openai/v1/')", "baseUrl must end before /openai/v1")
    )]
    pub base_url: String,
    /// Version of the API that names the deployment in its path, as in `2024-10-21`. Left out: the newer API, which has no
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-.a-zA-Z0-9]+$"))]
    pub api_version: Option<String>,
    /// Key sent as `api-key`. Left out: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretKey>,
    /// PEM certificates to trust instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<SecretKey>,
}

/// Settings of an endpoint that speaks the Anthropic Messages API.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Anthropic {
    /// Address of the API up to and including the version. Left out: `https://api.anthropic.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = ("isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''", "baseUrl must be an http or https URL"),
        validation = ("!self.contains('@')", "baseUrl must not contain user information: put the key in apiKey"),
        validation = ("!self.contains('?') && !self.contains('#')", "baseUrl must not contain a query or a fragment")
    )]
    pub base_url: Option<String>,
    /// Key sent as `x-api-key`. Left out: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretKey>,
    /// PEM certificates to trust instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<SecretKey>,
    /// Tokens after which an answer is cut when the caller does not say; this API wants a number. Left out: 4096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_tokens: Option<i32>,
}

/// Settings of an endpoint that speaks Google's Gemini API.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gemini {
    /// Address of the API up to and including the version. Left out: `https://generativelanguage.googleapis.com/v1beta`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = ("isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''", "baseUrl must be an http or https URL"),
        validation = ("!self.contains('@')", "baseUrl must not contain user information: put the key in apiKey"),
        validation = ("!self.contains('?') && !self.contains('#')", "baseUrl must not contain a query or a fragment")
    )]
    pub base_url: Option<String>,
    /// Key sent as `x-goog-api-key`. Left out: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretKey>,
    /// PEM certificates to trust instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<SecretKey>,
}

/// Settings of Amazon Bedrock. Requests are signed (AWS Signature Version 4).
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bedrock {
    /// Region, as in `eu-central-1`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub region: String,
    /// Address of the endpoint. Left out: `https://bedrock-runtime.REGION.amazonaws.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = ("isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''", "baseUrl must be an http or https URL"),
        validation = ("!self.contains('@')", "baseUrl must not contain user information"),
        validation = ("!self.contains('?') && !self.contains('#')", "baseUrl must not contain a query or a fragment")
    )]
    pub base_url: Option<String>,
    /// ID of the access key.
    pub access_key_id: SecretKey,
    /// Secret of the access key.
    pub secret_access_key: SecretKey,
    /// Token of a session, which goes with keys that are valid for a time only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SecretKey>,
    /// PEM certificates to trust instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<SecretKey>,
}

/// Settings of Vertex AI. Requests have an access token, which a service account asks for.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vertex {
    /// ID of the project.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-z0-9][-.:a-z0-9]*$"))]
    pub project: String,
    /// Region, as in `europe-west4`, or `global`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub region: String,
    /// Address of the API up to and including the version. Left out: `https://REGION-aiplatform.googleapis.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = ("isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''", "baseUrl must be an http or https URL"),
        validation = ("!self.contains('@')", "baseUrl must not contain user information"),
        validation = ("!self.contains('?') && !self.contains('#')", "baseUrl must not contain a query or a fragment")
    )]
    pub base_url: Option<String>,
    /// Key file of a service account, as Google makes it (JSON).
    pub service_account: SecretKey,
    /// PEM certificates to trust instead of the public ones, for the API and for tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<SecretKey>,
}
