//! What holds for the calls that go to one provider: how long, how many at once, how often again.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::duration::Duration;

/// How long a provider may take. What is left out is as the server has it.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// To accept a connection. Left out: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1s') && duration(self) <= duration('1h')", "timeouts.connect must be between 1s and 1h"))]
    pub connect: Option<Duration>,
    /// From the request to the first byte of its answer, which for one that is not streamed is the whole time. Left out: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1s') && duration(self) <= duration('1h')", "timeouts.firstByte must be between 1s and 1h"))]
    pub first_byte: Option<Duration>,
    /// Between two pieces of its answer. Left out: 2m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1s') && duration(self) <= duration('1h')", "timeouts.idle must be between 1s and 1h"))]
    pub idle: Option<Duration>,
    /// For one call, a stream to its end. Left out: as long as the call may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1s') && duration(self) <= duration('1h')", "timeouts.total must be between 1s and 1h"))]
    pub total: Option<Duration>,
}

/// Whether the same route is asked again when every route has failed. Retries are at most a fifth of a provider's calls, and a few
/// more.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(has(self.base) ? duration(self.base) : duration('200ms')) <= (has(self.cap) ? duration(self.cap) : duration('5s'))",
    "retries.base (200ms when left out) must not be longer than retries.cap (5s when left out)"
))]
pub struct Retries {
    /// How often; 0 for never. Left out: 1, since callers have retries of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 5))]
    pub attempts: Option<i32>,
    /// The longest pause before the first; it doubles with each. The pause itself is drawn between zero and that. Left out: 200ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1ms') && duration(self) <= duration('1m')", "retries.base must be between 1ms and 1m"))]
    pub base: Option<Duration>,
    /// The longest pause at all. A provider that wants to be left alone for longer is not waited for. Left out: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) >= duration('1ms') && duration(self) <= duration('1m')", "retries.cap must be between 1ms and 1m"))]
    pub cap: Option<Duration>,
}
