//! Where a cluster keeps things and which addresses it uses. The two clusters share neither.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::cache;

/// A socket path must fit into 107 bytes; this is what our longest name below the folder leaves.
const LONGEST_FOLDER: usize = 70;

/// The clusters that can run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// For automatic tests.
    Test,
    /// For a person who tries the project.
    Demo,
}

/// Names, folders and addresses of one cluster.
#[derive(Clone, Debug)]
pub struct Layout {
    name: Name,
    folder: PathBuf,
}

impl Name {
    /// Both, for commands that look at each.
    pub const ALL: [Self; 2] = [Self::Test, Self::Demo];

    /// As the command line spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Demo => "demo",
        }
    }
}

impl Layout {
    /// The layout under the cache folder; nothing is made yet.
    pub fn new(name: Name) -> Result<Self> {
        let folder = cache::folder()?.join("clusters").join(name.as_str());
        if folder.as_os_str().len() > LONGEST_FOLDER {
            bail!("failed to place sockets under {}: set VIBECTL_CACHE to a shorter path", folder.display());
        }
        Ok(Self { name, folder })
    }

    /// Which cluster this is.
    pub fn name(&self) -> Name {
        self.name
    }

    /// Everything of the cluster is under this folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path under the folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.join(below)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// One log file per component.
    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// Every write to the API server and every request of the operator, one JSON object a line (audit level Metadata).
    pub fn audit_log(&self) -> PathBuf {
        self.path("logs/audit.jsonl")
    }

    /// The socket of the cluster's containerd.
    pub fn containerd_socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// The name of the network namespace, of the link into it, of the cgroup and of the kubeconfig's context.
    pub fn unique_name(&self) -> String {
        format!("vibectl-{}", self.name.as_str())
    }

    /// The file of the network namespace.
    pub fn network_namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(self.unique_name())
    }

    /// The node's address; API server and DNS listen there.
    pub fn node_address(&self) -> Ipv4Addr {
        self.address(0, 1)
    }

    /// The first Service address, which Kubernetes gives to the API server.
    pub fn api_service_address(&self) -> Ipv4Addr {
        self.address(128, 1)
    }

    /// This machine's end of the link into the cluster.
    pub fn outer_address(&self) -> Ipv4Addr {
        self.address(255, 1)
    }

    /// The cluster's end of that link.
    pub fn inner_address(&self) -> Ipv4Addr {
        self.address(255, 2)
    }

    /// All addresses of the cluster.
    pub fn range(&self) -> String {
        format!("{}/16", self.address(0, 0))
    }

    /// Addresses of pods.
    pub fn pod_range(&self) -> String {
        format!("{}/18", self.address(64, 0))
    }

    /// Addresses of Services.
    pub fn service_range(&self) -> String {
        format!("{}/20", self.address(128, 0))
    }

    /// The URL of the API server, also from this machine.
    pub fn api_server(&self) -> String {
        format!("https://{}:6443", self.node_address())
    }

    // 198.18.0.0/15 is reserved for benchmarks (RFC 2544), so no real network is hidden.
    fn address(&self, third: u8, fourth: u8) -> Ipv4Addr {
        let second = match self.name {
            Name::Test => 18,
            Name::Demo => 19,
        };
        Ipv4Addr::new(198, second, third, fourth)
    }
}
