//! The processes that are compared, and how each is started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::upstream::Upstream;
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
    /// Environment variables on top of ours.
    pub environment: Vec<(String, String)>,
}

impl Subject {
    /// Ours, with the embedded echo provider.
    pub fn ours(program: &Path) -> Self {
        let arguments = vec!["serve-insecure".into()];
        Self { name: "vibectl-server".into(), program: program.into(), arguments, environment: quiet() }
    }

    /// Ours, in front of an OpenAI-compatible upstream.
    ///
    /// # Errors
    /// When the config file cannot be written.
    pub fn ours_before(program: &Path, upstream: &Upstream, folder: &Path) -> Result<Self> {
        let config = folder.join("bench.yaml");
        let text = format!(
            "providers:\n  - name: bench\n    openai:\n      base_url: {}/v1\nmodels:\n  - name: bench\n    routes:\n      \
             - provider: bench\n        model: bench\n",
            upstream.url()
        );
        std::fs::write(&config, text)?;
        let arguments = vec!["serve-insecure".into(), "--config".into(), config.display().to_string()];
        Ok(Self {
            name: "vibectl-server, openai".into(),
            program: program.into(),
            arguments,
            environment: quiet(),
        })
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

    /// The whole command line for one address.
    pub fn command(&self, address: SocketAddr) -> Vec<String> {
        let mut words = vec![self.program.display().to_string()];
        words.extend(self.arguments.iter().cloned());
        words.extend([
            "--host".into(),
            address.ip().to_string(),
            "--port".into(),
            address.port().to_string(),
        ]);
        words
    }

    /// A name that is safe in a file name.
    pub fn file_name(&self) -> String {
        self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    }
}

fn quiet() -> Vec<(String, String)> {
    vec![("VIBECTL_LOG_LEVEL".into(), "warning".into())]
}
