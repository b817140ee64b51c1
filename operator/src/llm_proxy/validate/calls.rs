//! What holds for the calls that go to one provider.

use std::{ops::RangeInclusive, time};

use vibectl_config::{Provider as Config, ProviderKind, Retries};

use super::Mistakes;
use crate::api::{calls, duration::Duration, provider};

/// Timeouts, retries and how many at once, as the server reads them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Calls {
    /// To accept a connection.
    pub connect_seconds: u32,
    /// To begin its answer.
    pub first_byte_seconds: u32,
    /// To go on with it.
    pub idle_seconds: u32,
    /// For one call; `None`: as long as the call may take.
    pub total_seconds: Option<u32>,
    /// Of all replicas together.
    pub max_concurrency: Option<u32>,
    /// After a failure.
    pub retries: Retries,
}

impl Default for Calls {
    fn default() -> Self {
        let server = Config::new(String::new(), ProviderKind::Echo(vibectl_config::Echo::default()));
        Self {
            connect_seconds: server.connect_timeout_seconds,
            first_byte_seconds: server.first_byte_timeout_seconds,
            idle_seconds: server.idle_timeout_seconds,
            total_seconds: server.total_timeout_seconds,
            max_concurrency: server.max_concurrency,
            retries: server.retries,
        }
    }
}

/// Checks what a provider says of its calls.
pub(super) fn validate(path: &str, provider: &provider::Provider, mistakes: &mut Mistakes) -> Calls {
    let default = Calls::default();
    let calls::Timeouts { connect, first_byte, idle, total } = provider.timeouts.clone().unwrap_or_default();
    let mut seconds = |field, timeout: Option<Duration>| {
        timeout.map(|timeout| within(&format!("{path}.timeouts.{field}"), timeout, &SECONDS, mistakes))
    };
    Calls {
        connect_seconds: seconds("connect", connect).map_or(default.connect_seconds, whole_seconds),
        first_byte_seconds: seconds("firstByte", first_byte)
            .map_or(default.first_byte_seconds, whole_seconds),
        idle_seconds: seconds("idle", idle).map_or(default.idle_seconds, whole_seconds),
        total_seconds: seconds("total", total).map(whole_seconds),
        max_concurrency: provider.max_concurrency.map(|most| u32::try_from(most).unwrap_or(1).max(1)),
        retries: retries(path, provider.retries.as_ref(), mistakes),
    }
}

fn retries(path: &str, retries: Option<&calls::Retries>, mistakes: &mut Mistakes) -> Retries {
    let default = Retries::default();
    let Some(calls::Retries { attempts, base, cap }) = retries else { return default };
    let mut pause = |field, pause: Option<Duration>, default| {
        let path = format!("{path}.retries.{field}");
        let pause = pause.map(|pause| within(&path, pause, &PAUSES, mistakes).as_millis());
        pause.map_or(default, |pause| u32::try_from(pause).unwrap_or(u32::MAX))
    };
    let (base_ms, cap_ms) = (pause("base", *base, default.base_ms), pause("cap", *cap, default.cap_ms));
    if base_ms > cap_ms {
        let what = "base (200ms when left out) must not be longer than cap (5s when left out)";
        mistakes.invalid(&format!("{path}.retries"), what);
    }
    let attempts =
        attempts.map_or(default.attempts, |attempts| u32::try_from(attempts.clamp(0, 5)).unwrap_or(0));
    Retries { attempts, base_ms, cap_ms }
}

/// What a duration may be, and how that is said.
type Range = (RangeInclusive<time::Duration>, &'static str);

const SECONDS: Range =
    (time::Duration::from_secs(1)..=time::Duration::from_secs(3600), "must be between 1s and 1h");
const PAUSES: Range =
    (time::Duration::from_millis(1)..=time::Duration::from_secs(60), "must be between 1ms and 1m");

fn within(path: &str, duration: Duration, range: &Range, mistakes: &mut Mistakes) -> time::Duration {
    let (range, said) = range;
    let time = time::Duration::from(duration);
    if !range.contains(&time) {
        mistakes.invalid(path, said);
    }
    time.clamp(*range.start(), *range.end())
}

/// Rounded up, so that something short does not become nothing.
fn whole_seconds(time: time::Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}
