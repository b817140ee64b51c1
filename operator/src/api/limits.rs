//! What callers may take: the same limits for a whole proxy, for a consuming namespace and for a token.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::duration::Duration;

/// Limits of calls. One that is left out does not bind; where several apply, the smallest does.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Calls admitted in any minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub requests_per_minute: Option<i32>,
    /// Tokens of language models, of prompts and answers together, taken in any minute. A call takes at its start what it
    /// may need (its own `max_tokens`, or 1024), and gives back at its end what it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_000_000_000))]
    pub tokens_per_minute: Option<i32>,
    /// Calls being answered at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent_requests: Option<i32>,
    /// Characters of all messages of one call together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_input_length: Option<i32>,
    /// Time that one call may take, as in "60s" or "5m".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1s') && duration(self) <= duration('24h')", "requestTimeout must be between 1s and 24h"))]
    pub request_timeout: Option<Duration>,
}
