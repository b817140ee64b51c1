//! Waiting in sight: each change of what is waited for is a line on the screen.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{NAMESPACE, kubectl};
use crate::progress::say;

const DEADLINE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(500);

/// Until a Deployment has rolled out.
pub(super) fn rollout(kubeconfig: &Path, namespace: &str, name: &str) -> Result<()> {
    let deployment = format!("deployment/{name}");
    say(format_args!("$ kubectl -n {namespace} rollout status {deployment}"));
    kubectl(kubeconfig, &["-n", namespace, "rollout", "status", &deployment, "--timeout=180s"])?;
    Ok(())
}

/// Until the object's condition `Ready` holds.
pub(super) fn ready(kubeconfig: &Path, kind: &str, name: &str) -> Result<()> {
    const QUERY: &str =
        "jsonpath={range .status.conditions[?(@.type=='Ready')]}{.status} {.reason}: {.message}{end}";
    changes(&format!("{kind} {name}"), || {
        let found = kubectl(kubeconfig, &["-n", NAMESPACE, "get", kind, name, "-o", QUERY])?;
        let (status, reason) =
            found.split_once(' ').unwrap_or((&found, "the operator has not looked at it yet"));
        Ok((status == "True", reason.to_owned()))
    })
}

/// Until the token's status tells that it was used.
pub(super) fn used(kubeconfig: &Path, name: &str) -> Result<()> {
    changes(&format!("proxytoken {name}"), || {
        let query = "jsonpath={.status.usage.requests}";
        let count = kubectl(kubeconfig, &["-n", NAMESPACE, "get", "proxytoken", name, "-o", query])?;
        let used = !matches!(count.as_str(), "" | "0");
        let text = if used {
            format!("{count} calls counted")
        } else {
            "waiting for the next usage report".to_owned()
        };
        Ok((used, text))
    })
}

fn changes(what: &str, mut look: impl FnMut() -> Result<(bool, String)>) -> Result<()> {
    let started = Instant::now();
    let mut shown = String::new();
    loop {
        let (done, text) = look()?;
        if text != shown {
            say(format_args!("{what}: {text}"));
            shown = text;
        }
        if done {
            return Ok(());
        }
        if started.elapsed() > DEADLINE {
            bail!("{what} is still not ready: {shown}; look at: kubectl -n {NAMESPACE} describe {what}");
        }
        sleep(PAUSE);
    }
}
