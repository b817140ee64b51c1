//! A real one-node Kubernetes cluster without a container engine: `docs/cluster.md` tells what it is made of.

mod cgroups;
pub mod cli;
mod containerd;
mod control_plane;
mod credentials;
mod dns;
mod layout;
mod network;
mod node;
mod prerequisites;
mod process;
mod teardown;

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};

pub use layout::{Layout, Name};
pub use prerequisites::is_root;

use crate::{cache, progress::say, tools};

/// The file that says that a start came to its end.
const READY: &str = "ready";

/// The kubeconfig that a test must use: the user's `KUBECONFIG`, or that of the `test` cluster, which is brought up for it.
///
/// Call it in each test; all but the first call take a quarter of a second.
pub fn kubeconfig_for_tests() -> Result<PathBuf> {
    up(Name::Test)
}

/// A client for the cluster of `kubeconfig_for_tests`.
pub async fn client_for_tests() -> Result<kube::Client> {
    let path =
        tokio::task::spawn_blocking(kubeconfig_for_tests).await.context("failed to bring a cluster up")??;
    let mut whole = Kubeconfig::default();
    for file in env::split_paths(&path) {
        let part = Kubeconfig::read_from(&file)?;
        whole = whole.merge(part)?;
    }
    let config = kube::Config::from_custom_kubeconfig(whole, &KubeConfigOptions::default()).await?;
    kube::Client::try_from(config).context("failed to make a client")
}

/// The image `vibectl.dev/box:…` that each of our clusters holds: `/box serve ADDRESS | fetch URL | resolve NAME | pause`.
pub fn box_image() -> Result<String> {
    Ok(containerd::box_image()?.0)
}

/// Brings a cluster up, unless it is up or the user has set `KUBECONFIG`, and returns the kubeconfig to use.
pub fn up(name: Name) -> Result<PathBuf> {
    let layout = Layout::new(name)?;
    if let Some(foreign) = foreign_kubeconfig(&layout) {
        let context = Kubeconfig::from_env()?.and_then(|kubeconfig| kubeconfig.current_context);
        say(format_args!("using your KUBECONFIG, context {}", context.as_deref().unwrap_or("(none)")));
        return Ok(foreign.into());
    }
    if is_running(&layout) {
        return Ok(layout.kubeconfig());
    }
    prerequisites::ensure()?;
    let _lock = lock(&layout)?;
    // Another process may have brought it up while this one waited.
    if is_running(&layout) {
        return Ok(layout.kubeconfig());
    }
    let programs = tools::kubernetes()?;
    teardown::teardown(&layout)?;
    let started = Instant::now();
    say(format_args!("starting the {} cluster; logs: {}", name.as_str(), layout.logs().display()));
    if let Err(error) = start(&layout, &programs) {
        // Nothing of a failed start may stay but its logs; that it failed matters more than that clean-up did.
        let _ = teardown::teardown(&layout);
        return Err(error);
    }
    say(format_args!(
        "the {} cluster is ready after {:.1} s",
        name.as_str(),
        started.elapsed().as_secs_f32()
    ));
    Ok(layout.kubeconfig())
}

/// Takes a cluster down; its logs stay.
pub fn down(name: Name) -> Result<()> {
    let layout = Layout::new(name)?;
    if !is_root() {
        bail!("failed to take a cluster down without root: run it with sudo -E");
    }
    let _lock = lock(&layout)?;
    teardown::teardown(&layout)?;
    say(format_args!("the {} cluster is down; its logs stay in {}", name.as_str(), layout.logs().display()));
    Ok(())
}

/// Imports image archives, for pods with `imagePullPolicy: IfNotPresent` or `Never`.
pub fn load(name: Name, archives: &[PathBuf]) -> Result<()> {
    let layout = Layout::new(name)?;
    if foreign_kubeconfig(&layout).is_some() {
        bail!(
            "failed to load into the cluster of your KUBECONFIG: docs/images.md names the command for yours"
        );
    }
    if !is_running(&layout) {
        bail!(
            "failed to load into the {name} cluster: start it with make cluster-up NAME={name}",
            name = name.as_str()
        );
    }
    for archive in archives {
        say(containerd::import(&layout, archive)?.lines().next().unwrap_or_default());
    }
    Ok(())
}

/// The kubeconfig of a running cluster, or the user's.
pub fn kubeconfig(name: Name) -> Result<PathBuf> {
    let layout = Layout::new(name)?;
    match foreign_kubeconfig(&layout) {
        Some(foreign) => Ok(foreign.into()),
        None if is_running(&layout) => Ok(layout.kubeconfig()),
        None => bail!(
            "the {name} cluster is down: start it with make cluster-up NAME={name}",
            name = name.as_str()
        ),
    }
}

/// One line for each cluster, and one for each component of it that does not run though it should.
pub fn status() -> Result<String> {
    let mut text = String::new();
    for name in Name::ALL {
        let layout = Layout::new(name)?;
        let dead: Vec<_> = teardown::components()
            .into_iter()
            .filter(|component| !process::is_alive(&layout, component))
            .collect();
        let state = match dead.len() {
            0 if control_plane::is_ready(&layout) => {
                format!("up    KUBECONFIG={}", layout.kubeconfig().display())
            }
            0 => format!("sick  the API server is not ready: {}", layout.logs().display()),
            all if all == teardown::components().len() => "down".to_owned(),
            _ => format!("sick  {} ended: {}", dead.join(", "), layout.logs().display()),
        };
        writeln!(text, "{}  {state}", name.as_str())?;
    }
    Ok(text)
}

fn start(layout: &Layout, programs: &Path) -> Result<()> {
    let (pause_image, archive) = containerd::box_image()?;
    let _ = fs::remove_dir_all(layout.logs());
    for folder in [layout.folder().to_owned(), layout.logs(), layout.path("processes")] {
        fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    credentials::create(layout)?;
    cgroups::create(layout)?;
    network::create(layout)?;

    control_plane::start_api_server(layout, programs)?;
    containerd::start(layout, &pause_image)?;
    containerd::wait(layout)?;
    containerd::import(layout, &archive)?;
    control_plane::wait(layout)?;
    say("  the API server is ready");

    control_plane::start_controllers(layout, programs)?;
    node::start(layout, programs)?;
    dns::start(layout, programs)?;
    dns::wait(layout)?;
    node::wait(layout)?;
    containerd::write(&layout.path(READY), "")
}

fn is_running(layout: &Layout) -> bool {
    layout.path(READY).is_file()
        && teardown::components().iter().all(|component| process::is_alive(layout, component))
        && control_plane::is_ready(layout)
}

/// What the user has set, unless it is what this very cluster told them to set.
fn foreign_kubeconfig(layout: &Layout) -> Option<OsString> {
    env::var_os("KUBECONFIG").filter(|value| !value.is_empty() && *value != *layout.kubeconfig().as_os_str())
}

/// Beside the folder, which is emptied under this lock.
fn lock(layout: &Layout) -> Result<fs::File> {
    cache::lock(&layout.folder().with_extension("lock"))
}
