//! The definitions of both kinds before a real API server, without the operator: what is refused, and with which words.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use vibectl_tests::cluster::kubeconfig_for_tests;
use vibectl_tests::tools::kubectl_output;

/// The same cases are judged in process, in the operator's own tests.
const REFUSED: &str = include_str!("../../operator/tests/refused.yaml");
const DEFINITIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds");

#[derive(Deserialize)]
struct Case {
    spec: Value,
    /// Words of the refusal.
    says: String,
}

/// The definitions, gone again at the end unless they were there before: the chart does not take over what is not its own.
struct Definitions {
    kubeconfig: PathBuf,
    are_ours: bool,
}

impl Definitions {
    fn install(kubeconfig: PathBuf) -> Result<Self> {
        let present =
            kubectl_output(&kubeconfig, &["get", "--ignore-not-found", "-o", "name", "-f", DEFINITIONS])?;
        let definitions = Self { kubeconfig, are_ours: present.trim().is_empty() };
        definitions.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", DEFINITIONS])?;
        definitions.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", DEFINITIONS])?;
        Ok(definitions)
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl_output(&self.kubeconfig, arguments)
    }
}

impl Drop for Definitions {
    fn drop(&mut self) {
        if self.are_ours {
            // What is left behind by a failed deletion is in the cluster of this test run only.
            let _ = self.kubectl(&["delete", "--wait", "--timeout=60s", "-f", DEFINITIONS]);
        }
    }
}

#[test]
fn every_mistake_is_refused_with_the_words_of_the_rules_in_process() -> Result<()> {
    let definitions = Definitions::install(kubeconfig_for_tests()?)?;
    let cases: BTreeMap<String, Vec<Case>> = serde_saphyr::from_str(REFUSED)?;

    for (kind, Case { spec, says }) in
        cases.iter().flat_map(|(kind, all)| all.iter().map(move |case| (kind, case)))
    {
        let object = json!({
            "apiVersion": "vibectl.dev/v1alpha1", "kind": kind,
            "metadata": {"name": "refused", "namespace": "default"}, "spec": spec,
        });
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(object.to_string().as_bytes())?;
        let path = file.path().to_str().context("a path that is no text")?;

        let refused = definitions.kubectl(&["create", "--dry-run=server", "-f", path]);

        let Err(error) = refused else { anyhow::bail!("accepted: {object}") };
        let text = format!("{error:#}");
        ensure!(text.contains(says), "{kind} {spec}: {says:?} is not in {text}");
    }
    Ok(())
}
