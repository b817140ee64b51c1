//! What can go wrong in a reconcile, and what it becomes in a condition.

use crate::{api::conditions::Reason, keys::KeysError, runtime::controller::chain};

/// A reconcile that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or did not answer.
    #[error("failed to {verb} {object}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// Kind and name.
        object: String,
        /// The answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of a name that we need belongs to somebody else. It is left alone.
    #[error("{object} is there already and belongs to {owner}: remove or rename it")]
    Conflict {
        /// Kind and name.
        object: String,
        /// Who controls it, or "nobody".
        owner: String,
    },
    /// The object lacks what the API server always gives.
    #[error("failed to read {0}: it has no such field")]
    Incomplete(&'static str),
    /// The config of the pods could not be written.
    #[error("failed to render the config")]
    Render(#[from] vibectl_config::RenderError),
    /// An object could not be turned into JSON.
    #[error("failed to encode an object")]
    Encode(#[from] serde_json::Error),
    /// The keys of the proxy could not be read or made.
    #[error("failed to provide the keys")]
    Keys(#[from] KeysError),
    /// The access table cannot be written.
    #[error("failed to write the access table")]
    Access(#[from] vibectl_token::table::EncodeError),
    /// The private CA could not be read or made.
    #[error("failed to provide the certificate authority")]
    Authority(#[from] crate::llm_proxy::authority::AuthorityError),
}

impl Error {
    /// An error of the API server.
    pub fn api(verb: &'static str, object: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let object = object.into();
        move |source| Self::Api { verb, object, source: Box::new(source) }
    }

    /// The reason in conditions, Events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Conflict { .. } => Reason::ObjectConflict,
            Self::Authority(error) => error.reason(),
            Self::Api { .. }
            | Self::Incomplete(_)
            | Self::Render(_)
            | Self::Encode(_)
            | Self::Keys(_)
            | Self::Access(_) => Reason::OperatorError,
        }
    }

    /// Whether a person has to do something. What the next attempt may mend by itself is not worth a condition.
    pub fn is_for_people(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::Authority(_) | Self::Render(_) | Self::Access(_) => true,
            Self::Keys(error) => matches!(error, KeysError::Unreadable { .. } | KeysError::Foreign(_)),
            Self::Api { source, .. } => {
                matches!(source.as_ref(), kube::Error::Api(status) if status.is_forbidden() || status.is_invalid())
            }
            Self::Incomplete(_) | Self::Encode(_) => false,
        }
    }

    /// The text with its causes, in one line.
    pub fn chain(&self) -> String {
        chain(self)
    }
}
