//! Limits of a call, a caller or a proxy.

use serde::{Deserialize, Serialize};

/// What may be used. Absent means: not limited here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls that may start within a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests_per_minute: Option<u32>,
    /// Tokens of language models, of prompts and answers together, that may be taken within a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens_per_minute: Option<u32>,
    /// Calls that may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_requests: Option<u32>,
    /// Characters of the input of one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_length: Option<u32>,
    /// How long one call may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout_seconds: Option<u32>,
}

impl Limits {
    /// Nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// The tighter of both, for each limit by itself.
    pub fn smallest(&self, other: &Self) -> Self {
        Self {
            max_requests_per_minute: tighter(self.max_requests_per_minute, other.max_requests_per_minute),
            max_tokens_per_minute: tighter(self.max_tokens_per_minute, other.max_tokens_per_minute),
            max_concurrent_requests: tighter(self.max_concurrent_requests, other.max_concurrent_requests),
            max_input_length: tighter(self.max_input_length, other.max_input_length),
            request_timeout_seconds: tighter(self.request_timeout_seconds, other.request_timeout_seconds),
        }
    }
}

fn tighter(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_limit_never_loosens_a_present_one() {
        let proxy =
            Limits { max_requests_per_minute: Some(600), max_input_length: Some(10), ..Limits::default() };
        let token = Limits {
            max_requests_per_minute: Some(60),
            max_concurrent_requests: Some(4),
            ..Limits::default()
        };

        let both = proxy.smallest(&token);

        let expected = Limits {
            max_requests_per_minute: Some(60),
            max_concurrent_requests: Some(4),
            max_input_length: Some(10),
            ..Limits::default()
        };
        assert_eq!(both, expected);
        assert_eq!(token.smallest(&proxy), expected);
    }

    #[test]
    fn a_misspelt_limit_is_refused_and_not_read_as_unlimited() {
        assert!(serde_json::from_str::<Limits>(r#"{"max_request_per_minute":1}"#).is_err());
        assert_eq!(serde_json::to_string(&Limits::default()).unwrap(), "{}");
    }
}
