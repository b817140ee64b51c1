//! `cluster up | down | status | load | kubeconfig | tools`: a Kubernetes cluster for tests and demos.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use vibectl_tests::{
    cluster::{self, Name},
    tools,
};

#[derive(Parser)]
#[command(about = "A one-node Kubernetes cluster for tests and demos")]
struct Arguments {
    /// Which of the two clusters.
    #[arg(long, global = true, value_enum, default_value = "test")]
    name: Name,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start it, unless it runs or KUBECONFIG is set; prints the kubeconfig's path.
    Up,
    /// Stop it and delete everything but its logs.
    Down,
    /// Tell which clusters run.
    Status,
    /// Import OCI archives.
    Load { archives: Vec<PathBuf> },
    /// Print the path of its kubeconfig.
    Kubeconfig,
    /// Build all tools and print where they are.
    Tools,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments = Arguments::parse();
    let name = arguments.name;
    let text = match arguments.command {
        Command::Up => lines(&[cluster::up(name)?]),
        Command::Down => cluster::down(name).map(|()| String::new())?,
        Command::Status => cluster::status()?,
        Command::Load { archives } => cluster::load(name, &archives).map(|()| String::new())?,
        Command::Kubeconfig => lines(&[cluster::kubeconfig(name)?]),
        Command::Tools => lines(&tools::list()?),
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn lines(paths: &[PathBuf]) -> String {
    let lines: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    lines.join("\n") + "\n"
}
