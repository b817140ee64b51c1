//! `token rotate-key`: a new signing key, in the order in which no token is refused on the way; or one key less, at once.

use std::io::Write;
use std::thread;
use std::time::Duration;

use clap::Args;
use vibectl_token::rotation::{Policy, Ring, Stage};
use vibectl_token::standalone::Lifetime;

use super::signing_keys::{Begun, SigningKeys};
use crate::cli::alone::{Alone, Which};
use crate::cli::moment::moment;
use crate::cli::outcome::Failure;
use crate::state::unix_now;

/// Arguments of `token rotate-key`.
#[derive(Debug, Args)]
pub(super) struct RotateKey {
    /// Take this key out of use at once; every token that it signed is refused. A key that leaked
    #[arg(long, value_name = "KID")]
    revoke: Option<String>,
    /// Seconds that servers are given to read the new key before it signs
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    overlap: u32,
    #[command(flatten)]
    server: Which,
}

impl RotateKey {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let server = self.server.load()?;
        let (keys, policy) = (SigningKeys::new(server.signing_keys_dir()?), policy(&server)?);
        if let Some(kid) = &self.revoke {
            keys.revoke(kid).map_err(Failure::Running)?;
            writeln!(out, "key {kid} is out of use; every token that it signed is refused")
                .map_err(Failure::running)?;
            if keys.ring().map_err(Failure::Running)?.active().is_some() {
                return Ok(());
            }
        }
        if let Begun::Published(kid) = keys.begin(&policy, unix_now()).map_err(Failure::Running)? {
            let seconds = self.overlap;
            writeln!(out, "key {kid} is published; it signs in {seconds} s, when servers have read it")
                .map_err(Failure::running)?;
            thread::sleep(Duration::from_secs(seconds.into()));
        }
        let ring = keys.finish(&policy, unix_now()).map_err(Failure::Running)?;
        tell(&ring, out).map_err(Failure::running)
    }
}

fn policy(server: &Alone) -> Result<Policy, Failure> {
    let algorithm = server.config.jwt.algorithm.of_signing_keys().ok_or_else(|| {
        Failure::Usage(
            "jwt.algorithm is HS256, which has one shared secret and no keys to rotate; set it to ES256, EdDSA or RS256"
                .to_owned(),
        )
    })?;
    let lifetime =
        Lifetime::from_days(server.config.jwt.expiration_days).map_err(|error| Failure::usage(&error))?;
    Ok(Policy { algorithm, rotate_every: i64::MAX, longest_ttl: lifetime.seconds() })
}

fn tell(ring: &Ring, out: &mut dyn Write) -> std::io::Result<()> {
    for key in ring.keys() {
        match key.stage {
            Stage::Active { .. } => writeln!(out, "key {} ({}) signs", key.kid, key.algorithm)?,
            Stage::Retiring { until } => {
                writeln!(
                    out,
                    "key {} ({}) signs no more; its tokens are good until {}",
                    key.kid,
                    key.algorithm,
                    moment(until)
                )?;
            }
            Stage::Prepared | Stage::Published => {}
        }
    }
    Ok(())
}
