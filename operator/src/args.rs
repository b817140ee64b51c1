//! Flags and environment of the operator.

use std::net::SocketAddr;

use clap::Parser;

use crate::{
    api::duration::{Duration, ParseDurationError},
    telemetry::LogLevel,
};

/// Exit code for bad flags or configuration (`EX_USAGE`), so that an alert can tell "misconfigured" from "crashed".
pub const EXIT_USAGE: u8 = 64;

/// Runs vibectl LLM proxies and issues their tokens.
#[derive(Debug, Clone, Parser)]
#[command(name = "vibectl-operator", version)]
pub struct Args {
    /// Namespace of the operator: its lease, its signing keys and the fleet CA live there
    #[arg(long, env = "POD_NAMESPACE", value_parser = namespace)]
    pub namespace: String,

    /// Image of the proxies
    #[arg(long, env = "VIBECTL_SERVER_IMAGE", value_parser = image)]
    pub server_image: String,

    /// Namespaces to serve, separated by commas; all when absent
    #[arg(long, env = "VIBECTL_WATCH_NAMESPACES", value_delimiter = ',', value_parser = watched_namespace)]
    pub watch_namespaces: Vec<String>,

    /// Elect one leader among the replicas; without it this process always leads
    #[arg(long, env = "VIBECTL_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,

    /// Name of this replica in the lease and in events
    #[arg(long, env = "POD_NAME", default_value = "vibectl-operator")]
    pub identity: String,

    /// Address of /healthz, /readyz and /metrics
    #[arg(long, env = "VIBECTL_ADMIN_ADDRESS", default_value = "0.0.0.0:9095")]
    pub admin_address: SocketAddr,

    /// How long clients may take to see a changed Secret, between 1s and 24h: pods wait for it when spec.tls changes
    #[arg(long, env = "VIBECTL_TLS_SWITCH_WAIT", default_value = "2m", value_parser = switch_wait)]
    pub tls_switch_wait: Duration,

    /// Lowest level that is logged
    #[arg(long, env = "VIBECTL_LOG_LEVEL", value_enum, default_value = "info")]
    pub log_level: LogLevel,
}

impl Args {
    /// The namespaces to watch, sorted and without the empty names that an unset variable leaves.
    pub fn watched(&self) -> Vec<String> {
        let mut namespaces: Vec<_> =
            self.watch_namespaces.iter().filter(|name| !name.is_empty()).cloned().collect();
        namespaces.sort();
        namespaces.dedup();
        namespaces
    }
}

fn switch_wait(text: &str) -> Result<Duration, String> {
    let wait: Duration = text.parse().map_err(|error: ParseDurationError| error.to_string())?;
    if (Duration::from_secs(1)..=Duration::from_hours(24)).contains(&wait) {
        return Ok(wait);
    }
    Err("expected a duration between 1s and 24h".to_owned())
}

fn image(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(char::is_whitespace) {
        return Err("expected an image reference".to_owned());
    }
    Ok(text.to_owned())
}

/// An empty entry is what a chart renders for "no restriction".
fn watched_namespace(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Ok(String::new()) } else { namespace(text) }
}

fn namespace(text: &str) -> Result<String, String> {
    let text = text.trim();
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = |byte: Option<u8>| byte.is_some_and(|byte| byte != b'-');
    let bytes = text.as_bytes();
    let right = bytes.len() <= 63 && bytes.iter().copied().all(allowed);
    if right && edges(bytes.first().copied()) && edges(bytes.last().copied()) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not the name of a namespace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        let required = ["vibectl-operator", "--namespace", "system", "--server-image", "registry/server:1"];
        Args::try_parse_from(required.iter().chain(arguments))
    }

    #[test]
    fn defaults_watch_every_namespace_and_elect_a_leader() {
        let args = parse(&[]).unwrap();

        assert!(args.watched().is_empty());
        assert!(args.leader_election);
        assert_eq!(args.admin_address.port(), 9095);
    }

    #[test]
    fn watched_namespaces_are_sorted_and_an_empty_value_means_all() {
        assert_eq!(parse(&["--watch-namespaces", "b,a,b"]).unwrap().watched(), ["a", "b"]);
        assert!(parse(&["--watch-namespaces", ""]).unwrap().watched().is_empty());
    }

    #[test]
    fn a_name_that_cannot_be_a_namespace_is_refused() {
        for bad in ["Team", "a b", "-a", "a-", "a/b"] {
            assert!(parse(&[&format!("--watch-namespaces={bad}")]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_wait_of_a_switch_is_a_duration_that_clients_can_keep() {
        assert_eq!(parse(&[]).unwrap().tls_switch_wait, Duration::from_secs(120));
        assert_eq!(parse(&["--tls-switch-wait", "10m"]).unwrap().tls_switch_wait, Duration::from_secs(600));
        for bad in ["0s", "25h", "2", "soon"] {
            assert!(parse(&["--tls-switch-wait", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_flag_is_refused() {
        assert!(parse(&["--watch-namespace", "a"]).is_err());
    }
}
