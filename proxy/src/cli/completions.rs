//! `completions`: a script that lets a shell complete commands and options.

use std::io::{self, Write};

use clap::Args;
use clap_complete::Shell;

use crate::cli::outcome::Failure;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell, such as bash: `source <(vibectl-server completions bash)`
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(&self) -> Result<(), Failure> {
        let (mut definition, mut script) = (super::definition(), Vec::new());
        let name = definition.get_name().to_owned();
        clap_complete::generate(self.shell, &mut definition, name, &mut script);
        io::stdout().write_all(&script).map_err(Failure::running)
    }
}
