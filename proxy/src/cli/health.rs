//! `health`: asks the admin port, so that a container without a shell can probe itself.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use clap::Args;

use crate::cli::admin_port;
use crate::cli::outcome::Failure;

/// Arguments of `health`.
#[derive(Debug, Args)]
pub struct Health {
    /// Address of the admin port
    #[arg(long, default_value = "127.0.0.1:9095", value_name = "HOST:PORT")]
    address: SocketAddr,
    /// Ask whether calls are taken, not only whether the process lives
    #[arg(long)]
    ready: bool,
}

impl Health {
    /// Succeeds if the answer is 200.
    pub fn run(&self) -> Result<(), Failure> {
        let path = if self.ready { "/readyz" } else { "/healthz" };
        self.ask(path).map_err(Failure::Running)
    }

    fn ask(&self, path: &str) -> anyhow::Result<()> {
        let answer = admin_port::get(self.address, path);
        let answer = answer.with_context(|| format!("failed to ask http://{}{path}", self.address))?;
        if answer.status != 200 {
            bail!("http://{}{path} answered {}", self.address, answer.status);
        }
        Ok(())
    }
}
