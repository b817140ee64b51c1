//! Entry point: install the crypto provider, run the command, map the outcome to an exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Only fails when a provider is installed already; then that one is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    vibectl_server::cli::run(std::env::args_os())
}
