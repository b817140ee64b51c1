//! The commands of the `cluster` program.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use super::Name;
use crate::tools;

/// A one-node Kubernetes cluster for tests and demos.
#[derive(Debug, Parser)]
#[command(name = "cluster")]
pub struct Arguments {
    /// Which of the two clusters.
    #[arg(long, global = true, value_enum, default_value = "test")]
    name: Name,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start it, unless it runs or KUBECONFIG is set; prints the kubeconfig's path.
    Up,
    /// Stop it and delete everything but its logs.
    Down,
    /// Tell which clusters run.
    Status,
    /// Import OCI archives.
    Load {
        /// For example those of `make images`.
        archives: Vec<PathBuf>,
    },
    /// Print the path of its kubeconfig.
    Kubeconfig,
    /// Build all tools and print where they are.
    Tools,
}

impl Arguments {
    /// Does what was asked and returns what to print.
    pub fn run(self) -> Result<String> {
        let name = self.name;
        match self.command {
            Command::Up => Ok(lines(&[super::up(name)?])),
            Command::Down => super::down(name).map(|()| String::new()),
            Command::Status => super::status(),
            Command::Load { archives } => super::load(name, &archives).map(|()| String::new()),
            Command::Kubeconfig => Ok(lines(&[super::kubeconfig(name)?])),
            Command::Tools => Ok(lines(&tools::list()?)),
        }
    }
}

fn lines(paths: &[PathBuf]) -> String {
    paths.iter().fold(String::new(), |text, path| text + &path.display().to_string() + "\n")
}
