//! What the running server tells on its admin port.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use vibectl_config::Config;

use super::metrics::Samples;
use crate::cli::admin_port;

/// Between the two looks that a rate is made of.
const APART: Duration = Duration::from_secs(1);

/// The running server, as far as it can be asked.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    /// Where it was asked.
    pub(super) admin: String,
    pub(super) state: State,
    /// Why, where it is not ready or was not reached.
    pub(super) reason: Option<String>,
    pub(super) version: Option<String>,
    pub(super) traffic: Option<Traffic>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Ready,
    NotReady,
    NotReached,
}

/// Calls since the start, and now.
#[derive(Debug, Serialize)]
pub(super) struct Traffic {
    pub(super) requests: u64,
    pub(super) failed_requests: u64,
    pub(super) refused_credentials: u64,
    pub(super) limited_calls: u64,
    pub(super) requests_per_second: f64,
    /// Seconds from request to the end of the answer; absent before the first.
    pub(super) latency_p50: Option<f64>,
    pub(super) latency_p95: Option<f64>,
    pub(super) latency_p99: Option<f64>,
    pub(super) calls_in_flight: u64,
    pub(super) open_streams: u64,
    pub(super) connections: u64,
    /// Parts whose newest content was refused.
    pub(super) rejected_parts: Vec<String>,
    /// Models of providers that are left out for their failures.
    pub(super) ejected: Vec<Ejected>,
}

/// A model of a provider that calls do not go to.
#[derive(Debug, Serialize)]
pub(super) struct Ejected {
    pub(super) provider: String,
    pub(super) model: String,
}

/// A first look; the second one comes with [`Asked::finish`].
pub(super) struct Asked {
    address: Result<SocketAddr, String>,
    expected: bool,
    first: Option<(Instant, Samples)>,
}

/// Asks the server for the first time.
pub(super) fn ask(config: &Config, named: Option<SocketAddr>) -> Asked {
    let address = named.map_or_else(|| configured(config), Ok);
    let first =
        address.as_ref().ok().and_then(|address| samples(*address).ok()).map(|first| (Instant::now(), first));
    Asked { address, expected: config.admin.enabled || named.is_some(), first }
}

impl Asked {
    /// Asks again, and tells. A server without an admin port is none of the problems.
    pub(super) fn finish(self, problems: &mut Vec<String>) -> Server {
        let server = self.look();
        let reason = server.reason.as_deref().unwrap_or_default();
        match server.state {
            State::NotReady => problems.push(format!("the server is not ready: {reason}")),
            State::NotReached if self.expected => {
                problems.push(format!("the server does not answer at {}: {reason}", server.admin));
            }
            State::Ready | State::NotReached => {}
        }
        for part in server.traffic.iter().flat_map(|traffic| &traffic.rejected_parts) {
            problems.push(format!(
                "the server refused the newest {part} and runs with older content; its log says why"
            ));
        }
        for Ejected { provider, model } in server.traffic.iter().flat_map(|traffic| &traffic.ejected) {
            problems.push(format!(
                "provider {provider}: its model {model} fails too often; calls go to other routes where there are any"
            ));
        }
        server
    }

    fn look(&self) -> Server {
        let address = match &self.address {
            Ok(address) => *address,
            Err(reason) => return unreached("-".to_owned(), reason.clone()),
        };
        let ready = match admin_port::get(address, "/readyz") {
            Ok(ready) => ready,
            Err(error) => return unreached(address.to_string(), error.to_string()),
        };
        let (state, reason) = match ready.status {
            200 => (State::Ready, None),
            _ => (State::NotReady, Some(ready.body.trim().to_owned())),
        };
        let second = self.first.as_ref().and_then(|(at, first)| {
            thread::sleep(APART.saturating_sub(at.elapsed()));
            Some((at.elapsed(), first, samples(address).ok()?))
        });
        let version = second
            .as_ref()
            .and_then(|(_, _, samples)| samples.labels("vibectl_build_info", "version").into_iter().next());
        let traffic = second.map(|(elapsed, first, second)| Traffic::between(first, &second, elapsed));
        Server { admin: address.to_string(), state, reason, version, traffic }
    }
}

fn unreached(admin: String, reason: String) -> Server {
    Server { admin, state: State::NotReached, reason: Some(reason), version: None, traffic: None }
}

/// Where a server with this config listens, seen from its own machine.
fn configured(config: &Config) -> Result<SocketAddr, String> {
    let (host, port) = (config.admin.host.as_str(), config.admin.port);
    let addresses = (host, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    let address = addresses.into_iter().next().ok_or_else(|| format!("{host} has no address"))?;
    Ok(if address.ip().is_unspecified() { (IpAddr::V4(Ipv4Addr::LOCALHOST), port).into() } else { address })
}

fn samples(address: SocketAddr) -> std::io::Result<Samples> {
    Ok(Samples::parse(&admin_port::get(address, "/metrics")?.body))
}

impl Traffic {
    fn between(first: &Samples, second: &Samples, elapsed: Duration) -> Self {
        let any = |_: &BTreeMap<String, String>| true;
        let sum = |name: &str| whole(second.sum(name, any));
        let total = |samples: &Samples| samples.sum("vibectl_requests_total", any);
        let latency = |part| second.quantile("vibectl_request_duration_seconds", part);
        Self {
            requests: sum("vibectl_requests_total"),
            failed_requests: whole(second.sum("vibectl_requests_total", |labels| !is_good(labels))),
            refused_credentials: whole(second.sum("vibectl_auth_total", |labels| {
                labels.get("result").is_some_and(|result| result != "accepted")
            })),
            limited_calls: sum("vibectl_rate_limited_total"),
            requests_per_second: (total(second) - total(first)).max(0.0) / elapsed.as_secs_f64().max(0.001),
            latency_p50: latency(0.5),
            latency_p95: latency(0.95),
            latency_p99: latency(0.99),
            calls_in_flight: sum("vibectl_concurrent_in_flight"),
            open_streams: sum("vibectl_open_streams"),
            connections: whole(second.sum("vibectl_connections", |labels| {
                labels.get("port").is_some_and(|port| port == "service")
            })),
            rejected_parts: second.labels("vibectl_part_rejected", "part"),
            ejected: second.set("vibectl_provider_ejected").filter_map(ejected).collect(),
        }
    }
}

fn ejected(labels: &BTreeMap<String, String>) -> Option<Ejected> {
    let label = |name| labels.get(name).cloned();
    Some(Ejected { provider: label("provider")?, model: label("model")? })
}

fn is_good(labels: &BTreeMap<String, String>) -> bool {
    labels.get("code").is_some_and(|code| code == "OK" || code.starts_with('2') || code.starts_with('3'))
}

/// A count; what is none is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of our own server, checked before"
)]
fn whole(count: f64) -> u64 {
    if count.is_finite() && count > 0.0 { count.round() as u64 } else { 0 }
}
