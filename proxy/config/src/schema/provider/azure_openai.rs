//! `providers[].azure_openai`.

use serde::Serialize;

use super::{Endpoint, NO_KEYS_HERE};
use crate::decode::Cursor;

/// OpenAI's models at Azure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AzureOpenAi {
    /// Where the resource is, without a path: `https://RESOURCE.openai.azure.com`.
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// Of the API that names the deployment in its path; absent: the newer one, which has no versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
}

impl AzureOpenAi {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let azure = Self {
            endpoint: Endpoint::read(cursor, &mut section, None),
            api_version: section.read("api_version", api_version),
        };
        if azure.endpoint.base_url.trim_end_matches('/').ends_with("/openai/v1") {
            cursor.mistake("base_url has to end before /openai: the rest of the path is this server's part");
        }
        section.finish_with(&[
            ("api_key", NO_KEYS_HERE),
            ("deployment", "a deployment is the model of a route: models[].routes[].model"),
        ]);
        azure
    }
}

/// Such as `2024-10-21` or `2025-04-01-preview`.
fn api_version(cursor: &Cursor<'_>) -> Option<String> {
    let is_version = |text: &str| {
        text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    };
    cursor.text().filter(|text| cursor.fits(is_version(text), "a version of the API such as 2024-10-21"))
}
