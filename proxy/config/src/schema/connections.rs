//! `server.connections`: what one connection may be, whatever runs on it.

use crate::decode::Cursor;

/// How long connections live and how they are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// After this a connection is asked to end, so that long-lived clients spread over new replicas. What runs on it may
    /// finish.
    pub max_age_seconds: u32,
    /// How often an HTTP/2 peer is asked whether it is still there.
    pub ping_interval_seconds: u32,
    /// How long it may take to answer.
    pub ping_timeout_seconds: u32,
    /// Connections from one address (of IPv6, one /64) at the same time. Behind a load balancer all callers have its address.
    pub max_per_address: Option<u32>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max_age_seconds: 1_800,
            ping_interval_seconds: 30,
            ping_timeout_seconds: 20,
            max_per_address: None,
        }
    }
}

impl Connections {
    pub(super) fn decode(cursor: &Cursor<'_>) -> Self {
        let default = Self::default();
        let mut section = cursor.section();
        let mut seconds = |key, shortest, default| {
            section.read(key, |cursor| cursor.integer(shortest..=A_DAY)).unwrap_or(default)
        };
        let connections = Self {
            max_age_seconds: seconds("max_age_seconds", 10, default.max_age_seconds),
            ping_interval_seconds: seconds("ping_interval_seconds", 1, default.ping_interval_seconds),
            ping_timeout_seconds: seconds("ping_timeout_seconds", 1, default.ping_timeout_seconds),
            max_per_address: section.read("max_per_address", |cursor| cursor.integer(1..=u32::MAX)),
        };
        section.finish();
        connections
    }
}

/// Longer is a mistake in the unit.
const A_DAY: u32 = 86_400;

serialize_differences!(Connections {
    max_age_seconds,
    ping_interval_seconds,
    ping_timeout_seconds,
    max_per_address
});
