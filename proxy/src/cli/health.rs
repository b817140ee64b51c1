//! `health`: asks the admin port, so that a container without a shell can probe itself.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::cli::outcome::Failure;

const TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than any head that the admin port sends.
const MAX_ANSWER: u64 = 4096;

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
        let answer =
            self.get(path).with_context(|| format!("failed to ask http://{}{path}", self.address))?;
        let status = answer.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        if status != "200" {
            bail!("http://{}{path} answered {status}", self.address);
        }
        Ok(())
    }

    fn get(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
        Ok(answer)
    }
}
