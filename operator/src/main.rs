//! Entry point: flags, logs, run, exit code.

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use vibectl_operator::{
    args::{Args, EXIT_USAGE},
    runtime, telemetry,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let printed = error.print().is_ok();
            return if asked && printed { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) };
        }
    };
    telemetry::install(args.log_level);
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a crypto provider is installed already");
    }
    match runtime::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = runtime::controller::chain(&error), "the operator ends");
            ExitCode::FAILURE
        }
    }
}
