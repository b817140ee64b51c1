//! `config reset`: back to the defaults, with the old file kept.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use vibectl_config::TEMPLATE;

use super::{File, parse, replace};
use crate::cli::outcome::Failure;
use crate::tls::private_file::{self, PRIVATE};

/// Arguments of `config reset`.
#[derive(Debug, Args)]
pub(super) struct Reset {
    /// Reset this section or key alone, such as `tls` or `server.limits`; comments are not kept then
    #[arg(long, value_name = "SECTION")]
    section: Option<String>,
    #[command(flatten)]
    file: File,
}

impl Reset {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (path, text) = self.file.read()?;
        let fresh = match &self.section {
            None => TEMPLATE.to_owned(),
            Some(section) => without(&text, section, &path)?,
        };
        let kept = keep(&path, &text).map_err(Failure::Running)?;
        replace(&path, &fresh)?;
        let what = self.section.as_deref().unwrap_or("everything");
        writeln!(out, "{what} in {} is at its default; the old file is {}", path.display(), kept.display())
            .map_err(Failure::running)
    }
}

/// The file without a section, if it is good then.
fn without(text: &str, section: &str, path: &Path) -> Result<String, Failure> {
    let mut tree: Value = serde_saphyr::from_str(text)
        .map_err(|_| Failure::Usage(format!("{}: not YAML; reset the whole file", path.display())))?;
    if !remove(&mut tree, section) {
        return Err(Failure::Usage(format!("{section} is not in {}", path.display())));
    }
    let fresh = serde_saphyr::to_string(&tree).map_err(Failure::running)?;
    parse(&fresh, path)?;
    Ok(fresh)
}

fn remove(tree: &mut Value, section: &str) -> bool {
    let (first, rest) = section.split_once('.').map_or((section, None), |(first, rest)| (first, Some(rest)));
    let Value::Object(map) = tree else { return false };
    match rest {
        Some(rest) => map.get_mut(first).is_some_and(|below| remove(below, rest)),
        None => map.remove(first).is_some(),
    }
}

/// Secrets may be in it: private from its first byte.
fn keep(path: &Path, text: &str) -> anyhow::Result<PathBuf> {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".bak");
    let kept = PathBuf::from(kept);
    private_file::replace(&kept, text.as_bytes(), PRIVATE)
        .with_context(|| format!("failed to write {}", kept.display()))?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_goes_and_the_rest_stays() {
        let path = Path::new("c.yaml");

        let fresh = without("server: {port: 1, host: a}\ntls: {min_version: '1.2'}\n", "server.port", path);

        assert_eq!(fresh.expect("good"), "server:\n  host: a\ntls:\n  min_version: \"1.2\"\n");
        assert!(without("server: {port: 1}", "tls", path).is_err());
        assert!(without("server: {port: 1}", "server.port.x", path).is_err());
        assert!(without("[", "server", path).is_err());
    }
}
