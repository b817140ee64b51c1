//! `providers[].vertex`.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Endpoint, NO_KEYS_HERE, SecretSource, bedrock::region};
use crate::decode::Cursor;

const SERVICE_ACCOUNT: [&str; 2] = ["service_account_file", "service_account_env"];

/// Google's models on Vertex AI, in one region of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vertex {
    /// ID of the project.
    pub project: String,
    /// Where the models run; `global` is one too.
    pub region: String,
    /// Up to and with the version; without a key, as each request has a token.
    pub endpoint: Endpoint,
    /// The JSON key file of the account that asks for tokens.
    pub service_account: SecretSource,
}

impl Vertex {
    /// Where Vertex AI itself answers for a region.
    pub fn default_base_url(region: &str) -> String {
        match region {
            "global" => "https://aiplatform.googleapis.com/v1".to_owned(),
            region => format!("https://{region}-aiplatform.googleapis.com/v1"),
        }
    }

    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let mut section = cursor.section();
        let project = section.required("project", project).unwrap_or_default();
        let region = section.required("region", region).unwrap_or_default();
        let base_url = section.read("base_url", Cursor::base_url);
        let vertex = Self {
            endpoint: Endpoint {
                ca_file: section.read("ca_file", Cursor::path),
                ..Endpoint::new(base_url.unwrap_or_else(|| Self::default_base_url(&region)))
            },
            project,
            region,
            service_account: SecretSource::required(cursor, &mut section, SERVICE_ACCOUNT),
        };
        section.finish_with(&[("api_key", NO_KEYS_HERE), ("service_account", NO_KEYS_HERE)]);
        vertex
    }
}

impl Serialize for Vertex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { project, region, endpoint, service_account } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("project", project)?;
        map.serialize_entry("region", region)?;
        map.serialize_entry("base_url", &endpoint.base_url)?;
        service_account.serialize(&mut map, SERVICE_ACCOUNT)?;
        if let Some(ca_file) = &endpoint.ca_file {
            map.serialize_entry("ca_file", ca_file)?;
        }
        map.end()
    }
}

/// Old ones have a domain in front: `example.org:project`.
fn project(cursor: &Cursor<'_>) -> Option<String> {
    let is_project = |text: &str| {
        text.len() <= 128
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte))
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    cursor.text().filter(|text| cursor.fits(is_project(text), "the ID of a project such as my-project-1"))
}
