//! `images [--profile release|dev]`: builds the images of the server and the operator.

use std::{io::Write as _, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use vibectl_tests::images::{self, Profile};

#[derive(Parser)]
#[command(about = "Builds the images as OCI archives in dist/images")]
struct Arguments {
    /// How to compile.
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
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
    let built = images::build(Arguments::parse().profile)?;
    let mut output = std::io::stdout();
    for image in built {
        let tenths = image.size * 10 / (1024 * 1024);
        let (whole, tenth) = (tenths / 10, tenths % 10);
        writeln!(output, "{}  {whole}.{tenth} MiB  {}", image.reference, image.archive.display())?;
    }
    Ok(())
}
