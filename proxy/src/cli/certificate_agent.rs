//! `certificate-agent`: keeps a fresh certificate in a folder, issued by a CA that the server itself never sees.
//!
//! ```text
//! CA Secret ──▶ /etc/vibectl/ca ──┐
//! (only this container)           ├──▶ issue ──▶ /etc/vibectl/tls (in memory) ──▶ server, which reloads
//! names ──▶ /etc/vibectl/config ──┘
//! ```
//!
//! Runs as a restartable init container of a proxy pod; `--check` is its startup probe, so that the server starts once there
//! is a pair. A leaf is made at once when the CA or the names change, and otherwise at two thirds of its life. Whatever goes
//! wrong, the last good pair stays where it is.
//!
//! **Where the names come from.** Arguments are part of the pod template: changing a host there would roll every pod and cut
//! every stream. So an operator puts the names into a file of the config's `ConfigMap` (`--names-file`, one name on each line;
//! see `Names::from_lines`) and a new host is served seconds later by the pods that run. `--name` and `--ip` are for people,
//! and for names that never change; both sources may be used together.
//!
//! **Names that the CA may not issue for** are left out, loudly. During a roll-over to a CA for further names the old CA issues
//! for its own part, so that a pod which is started in that time still gets a certificate.

mod agent;
mod inputs;
mod volume;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use vibectl_config::{
    LogLevel,
    mount::{CA_DIR, TLS_DIR},
};
use vibectl_pki::Name;

use self::{agent::Agent, inputs::Inputs, volume::Volume};
use crate::{cli::outcome::Failure, telemetry};

/// How often it is looked whether anything changed or is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A shorter leaf would be renewed all the time.
const MIN_VALIDITY: Duration = Duration::from_mins(1);

/// Arguments of `certificate-agent`.
#[derive(Debug, Args)]
pub struct CertificateAgent {
    /// Folder of the CA (tls.crt, tls.key)
    #[arg(long, default_value = CA_DIR, value_name = "DIR")]
    ca_dir: PathBuf,
    /// Folder that gets the certificate (tls.crt, tls.key); all of it belongs to the agent
    #[arg(long, default_value = TLS_DIR, value_name = "DIR")]
    out: PathBuf,
    /// DNS name of the certificate; may be repeated
    #[arg(long = "name", value_name = "DNS")]
    names: Vec<Name>,
    /// IP address of the certificate; may be repeated
    #[arg(long = "ip", value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// File with further names or addresses, one on each line; a change is followed
    #[arg(long, value_name = "FILE")]
    names_file: Option<PathBuf>,
    /// How long a certificate is valid, such as 24h or 90m
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = validity)]
    validity: Duration,
    /// Issue if needed, then exit
    #[arg(long)]
    once: bool,
    /// Only tell, by the exit code, whether a certificate and its key are in --out and valid now
    #[arg(long, conflicts_with_all = ["ca_dir", "names", "addresses", "names_file", "validity", "once"])]
    check: bool,
}

impl CertificateAgent {
    /// Runs until it is told to stop, or does one thing.
    pub fn run(self) -> Result<(), Failure> {
        let volume = Volume::new(self.out);
        if self.check {
            return volume.check(Timestamp::now()).map_err(Failure::running);
        }
        let addresses = self.addresses.into_iter().map(Name::Ip);
        let fixed: Vec<_> = self.names.into_iter().chain(addresses).collect();
        if fixed.is_empty() && self.names_file.is_none() {
            return Err(Failure::usage(&"no names: use --name, --ip or --names-file"));
        }
        telemetry::start(LogLevel::Info);
        let _log = telemetry::Flush;
        let mut agent = Agent::new(Inputs::new(&self.ca_dir, fixed, self.names_file), volume, self.validity);
        if self.once {
            return agent.ensure(Timestamp::now()).map_err(Failure::running);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.and_then(|runtime| runtime.block_on(keep(&mut agent))).map_err(Failure::running)
    }
}

/// Looks, again and again, until SIGTERM or SIGINT.
async fn keep(agent: &mut Agent) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        agent.look(Timestamp::now());
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn validity(text: &str) -> Result<Duration, String> {
    let expected = "expected a duration of at least one minute, such as 24h or 90m";
    let duration = text.parse::<SignedDuration>().map_err(|_| expected)?;
    Duration::try_from(duration).ok().filter(|duration| *duration >= MIN_VALIDITY).ok_or(expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validity_is_a_duration_of_at_least_a_minute() {
        assert_eq!(validity("24h"), Ok(Duration::from_hours(24)));
        assert_eq!(validity("1m"), Ok(Duration::from_mins(1)));
        for text in ["", "24", "59s", "-24h", "1 fortnight"] {
            assert!(validity(text).is_err(), "{text:?}");
        }
    }
}
