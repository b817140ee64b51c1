//! The processes that are compared, and how each is started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::process::Launch;
use crate::python;

/// Version of the Python original, and of the offline model it answers with.
const ORIGINAL: [&str; 2] = ["vibectl==0.11.6", "llm-echo==0.5"];

/// How to start one process.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Name for the table.
    pub name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Subject {
    /// Ours, with the embedded echo provider.
    pub fn ours(program: &Path) -> Self {
        let arguments = vec!["serve-insecure".into()];
        Self { name: "vibectl-server".into(), program: program.into(), arguments, environment: quiet() }
    }

    /// The Python original with the offline echo model, installed into a virtual environment in the cache.
    ///
    /// # Errors
    /// When Python or the package index is missing.
    pub fn original(home: &Path) -> Result<Self> {
        let program = python::environment("venv-vibectl-server", &ORIGINAL)?.join("vibectl-server");
        let arguments = ["serve-insecure", "--model", "echo"].map(String::from).to_vec();
        let home = [("HOME".to_owned(), home.display().to_string())].to_vec();
        Ok(Self { name: "Python vibectl-server 0.11.6".into(), program, arguments, environment: home })
    }

    /// The command for one address.
    pub fn launch(&self, address: SocketAddr) -> Launch {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let of_address = ["--host".to_owned(), host, "--port".to_owned(), port];
        Launch {
            name: self.name.clone(),
            program: self.program.clone(),
            arguments: self.arguments.iter().cloned().chain(of_address).collect(),
            environment: self.environment.clone(),
            address,
        }
    }
}

fn quiet() -> Vec<(String, String)> {
    vec![("VIBECTL_LOG_LEVEL".into(), "warning".into())]
}
