//! `demo [up | down]`: see `make demo`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use vibectl_tests::demo;

#[derive(Parser)]
#[command(about = "Shows the whole idea on a real cluster")]
struct Arguments {
    #[arg(value_enum, default_value = "up")]
    action: Action,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Bring it up and call it; leave it running.
    Up,
    /// Take it away.
    Down,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Arguments::parse().action {
        Action::Up => demo::run().await,
        Action::Down => demo::down(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done about a closed standard error.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}
