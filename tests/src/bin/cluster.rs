//! `cluster up | down | status | load | kubeconfig | tools`: a Kubernetes cluster for tests and demos.

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use vibectl_tests::cluster::cli::Arguments;

fn main() -> ExitCode {
    let printed = Arguments::parse().run().and_then(|text| Ok(std::io::stdout().write_all(text.as_bytes())?));
    if let Err(error) = printed {
        let _ = writeln!(std::io::stderr(), "{error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
