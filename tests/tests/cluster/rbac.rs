//! The chart gives the operator the rights that it uses, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;
use vibectl_tests::cluster::{Layout, Name, kubeconfig_for_tests};
use vibectl_tests::install;
use vibectl_tests::tools;
use vibectl_tests::world::{PATIENCE, World};

use crate::objects::{echo_proxy, service_account, token};

/// `group/resource[/subresource] verb`, as rules and the audit log have it.
type Rights = BTreeSet<String>;

/// Rights that this test cannot make the operator use, with the reason.
const UNSEEN: [(&str, &str); 3] = [
    (
        "/finalizers update",
        "asked for by the admission plugin OwnerReferencesPermissionEnforcement, where that is on",
    ),
    ("events.k8s.io/events patch", "a repeated Event counts up the first one, after minutes"),
    ("cert-manager.io/", "cert-manager may not be there; the tests of its mode use them"),
];

#[tokio::test]
async fn the_operator_uses_every_right_that_it_has_and_is_refused_nothing() -> Result<()> {
    let layout = Layout::new(Name::Test)?;
    if kubeconfig_for_tests()? != layout.kubeconfig() {
        // The audit log of somebody else's cluster is out of reach.
        return Ok(());
    }
    let world = World::new("rbac").await?;
    live_through_everything(&world).await?;
    let granted = granted(&world)?;
    ensure!(granted.len() > 30, "too few rights: are the roles read rightly? {granted:#?}");

    let started = Instant::now();
    loop {
        let (used, refused) = seen(&layout)?;
        ensure!(refused.is_empty(), "the operator was refused: {refused:#?}");
        let unused: Vec<_> =
            granted.iter().filter(|right| !is_unseen(right) && !used.contains(*right)).collect();
        if unused.is_empty() {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "rights that nothing needs: {unused:#?}");
        sleep(Duration::from_secs(1)).await;
    }
}

fn is_unseen(right: &str) -> bool {
    UNSEEN.iter().any(|(part, _)| right.contains(part))
}

/// Everything that makes the operator create, change and delete objects of each kind.
async fn live_through_everything(world: &World) -> Result<()> {
    world.apply(&echo_proxy("team", 2, "{privateCa: {}}"))?;
    world.apply(&token("alice", "team"))?;
    world.apply(&service_account("builder", "team"))?;
    world.proxy_ready("team").await?;
    world.token_ready("alice").await?;
    // Without a CA and with one replica, what belongs to either goes.
    world.apply(&echo_proxy("team", 1, "{plaintext: {}}"))?;
    let rename = r#"{"spec":{"secretName":"other"}}"#;
    world.kubectl(&["patch", "proxytoken", "alice", "--type=merge", "-p", rename])?;
    world.proxy_ready("team").await?;
    world.token_ready("alice").await?;
    // What an earlier version may have left goes.
    let kinds = ["serviceaccount", "service", "networkpolicy", "deployment"];
    for kind in kinds {
        world.apply(&former(world, kind)?)?;
    }
    for kind in kinds {
        until_gone(world, kind, "team-former").await?;
    }
    // Objects that somebody edits are patched back.
    let patches = [
        ("networkpolicy", r#"{"spec":{"ingress":[]}}"#),
        ("serviceaccount", r#"{"automountServiceAccountToken":true}"#),
    ];
    for (kind, patch) in patches {
        world.kubectl(&["patch", kind, "team", "--type=merge", "-p", patch])?;
    }
    // The keys in the operator's own namespace are swept once their proxy is gone.
    world.kubectl(&["delete", "llmproxy", "team"])?;
    Ok(())
}

async fn until_gone(world: &World, kind: &str, name: &str) -> Result<()> {
    let started = Instant::now();
    while !world.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "name"])?.is_empty() {
        ensure!(started.elapsed() < PATIENCE, "{kind} {name} stays");
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// A copy, under another name, of the proxy's object of this kind.
fn former(world: &World, kind: &str) -> Result<String> {
    let mut object: Value = serde_json::from_str(&world.kubectl(&["get", kind, "team", "-o", "json"])?)?;
    let keep = |key: &str| object["metadata"][key].clone();
    object["metadata"] = json!({
        "name": "team-former", "labels": keep("labels"), "ownerReferences": keep("ownerReferences"),
    });
    for (section, key) in [("spec", "clusterIP"), ("spec", "clusterIPs")] {
        object[section].as_object_mut().and_then(|section| section.remove(key));
    }
    object.as_object_mut().and_then(|object| object.remove("status"));
    Ok(object.to_string())
}

/// What the roles bound to the operator's account allow.
fn granted(world: &World) -> Result<Rights> {
    let get = |kinds: &str| -> Result<Vec<Value>> {
        let listed = tools::kubectl_output(&world.kubeconfig, &["get", kinds, "-A", "-o", "json"])?;
        let mut listed: Value = serde_json::from_str(&listed)?;
        Ok(listed["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    };
    let account = |subject: &Value| {
        subject["kind"] == "ServiceAccount"
            && subject["name"] == install::RELEASE
            && subject["namespace"] == install::NAMESPACE
    };
    let bindings = get("rolebindings,clusterrolebindings")?;
    let bound: BTreeSet<String> = bindings
        .iter()
        .filter(|binding| binding["subjects"].as_array().is_some_and(|all| all.iter().any(account)))
        .map(|binding| format!("{} {}", binding["roleRef"]["kind"], binding["roleRef"]["name"]))
        .collect();
    let roles = get("roles,clusterroles")?;
    let of_operator =
        roles.iter().filter(|role| bound.contains(&format!("{} {}", role["kind"], role["metadata"]["name"])));
    let rules = of_operator.flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default());
    Ok(rules.flat_map(|rule| rights_of(&rule)).collect())
}

fn rights_of(rule: &Value) -> Vec<String> {
    let texts = |key: &str| -> Vec<String> {
        rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (groups, resources, verbs) = (texts("apiGroups"), texts("resources"), texts("verbs"));
    let mut rights = Vec::new();
    for url in texts("nonResourceURLs") {
        rights.extend(verbs.iter().map(|verb| format!("{url} {verb}")));
    }
    for group in &groups {
        for resource in &resources {
            rights.extend(verbs.iter().map(|verb| format!("{group}/{resource} {verb}")));
        }
    }
    rights
}

/// What the operator has asked the API server for, and what it was refused.
fn seen(layout: &Layout) -> Result<(Rights, Rights)> {
    let user = format!("system:serviceaccount:{}:{}", install::NAMESPACE, install::RELEASE);
    let log = fs::read_to_string(layout.audit_log())?;
    let (mut used, mut refused) = (Rights::new(), Rights::new());
    // The last line may be half written.
    for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if event["user"]["username"] != user.as_str() {
            continue;
        }
        let object = &event["objectRef"];
        let part = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let subresource = object["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
        let verb = event["verb"].as_str().unwrap_or_default();
        let right = match event["requestURI"].as_str() {
            Some(url) if object.is_null() => format!("{url} {verb}"),
            _ => format!("{}/{}{subresource} {verb}", part("apiGroup"), part("resource")),
        };
        // What admission refuses (a namespace on its way out) has the same code, and is no matter of rights.
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
            refused.insert(right);
        } else {
            // An apply that makes the object is asked for the right to create it too.
            if verb == "patch" && event["responseStatus"]["code"] == 201 {
                used.insert(right.replace(" patch", " create"));
            }
            used.insert(right);
        }
    }
    Ok((used, refused))
}
