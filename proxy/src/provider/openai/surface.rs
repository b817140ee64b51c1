//! Where a server of the dialect has what: below its base URL, or as Azure has it.

use std::borrow::Cow;

use super::super::{client::KeyHeader, path::segment};

/// Where answers are asked for.
pub(super) const CHAT: &str = "chat/completions";

/// Where vectors are asked for.
pub(super) const EMBEDDINGS: &str = "embeddings";

/// Where Azure looks for the key.
pub(super) const AZURE_KEY: KeyHeader = KeyHeader::Plain("api-key");

/// How paths are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Surface {
    /// As OpenAI: the base URL has the version, the body the model.
    Plain,
    /// Azure's newer API, which needs no version: the body names the deployment.
    AzureV1,
    /// Azure's older API: the path names the deployment, the query the version of the API.
    AzureDeployments { api_version: String },
}

impl Surface {
    /// The API that Azure has for this version; the newer one without any.
    pub(super) fn of_azure(api_version: Option<&str>) -> Self {
        match api_version {
            None => Self::AzureV1,
            Some(version) => Self::AzureDeployments { api_version: segment(version).into_owned() },
        }
    }

    /// Path of what is asked of a model.
    pub(super) fn path(&self, question: &'static str, model: &str) -> Cow<'static, str> {
        match self {
            Self::Plain => Cow::Borrowed(question),
            Self::AzureV1 => Cow::Owned(format!("openai/v1/{question}")),
            Self::AzureDeployments { api_version } => Cow::Owned(format!(
                "openai/deployments/{}/{question}?api-version={api_version}",
                segment(model)
            )),
        }
    }

    /// Path of the list of models.
    pub(super) fn models(&self) -> Cow<'static, str> {
        match self {
            Self::Plain => Cow::Borrowed("models"),
            Self::AzureV1 => Cow::Borrowed("openai/v1/models"),
            Self::AzureDeployments { api_version } => {
                Cow::Owned(format!("openai/models?api-version={api_version}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_leads_to_the_deployment_in_the_path_and_none_to_the_newer_api() {
        let older = Surface::of_azure(Some("2024-10-21"));

        assert_eq!(
            older.path(CHAT, "gpt 4o/x?y"),
            "openai/deployments/gpt%204o%2Fx%3Fy/chat/completions?api-version=2024-10-21"
        );
        assert_eq!(older.models(), "openai/models?api-version=2024-10-21");
        assert_eq!(Surface::of_azure(None).path(EMBEDDINGS, "gpt-4o"), "openai/v1/embeddings");
    }
}
