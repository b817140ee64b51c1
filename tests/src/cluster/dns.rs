//! Names inside the cluster: `CoreDNS` as a process on the node's address.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::Result;

use super::{containerd::write, credentials::kubeconfig_of, layout::Layout, process};

/// The name of its process and log.
pub(super) const COMPONENT: &str = "coredns";

const READY_PORT: u16 = 8181;

/// Starts it; `wait` says when it knows the Services.
pub(super) fn start(layout: &Layout, programs: &Path) -> Result<()> {
    let corefile = layout.path("etc/Corefile");
    write(&corefile, &configuration(layout))?;
    let arguments = ["-conf".to_owned(), corefile.display().to_string()];
    process::start(layout, COMPONENT, &programs.join(COMPONENT), &arguments)
}

/// Waits until it says that it is ready.
pub(super) fn wait(layout: &Layout) -> Result<()> {
    process::wait(layout, &[COMPONENT], "the cluster's DNS", Duration::from_secs(30), || {
        is_ready(layout).unwrap_or(false)
    })
}

fn is_ready(layout: &Layout) -> std::io::Result<bool> {
    let limit = Duration::from_millis(500);
    let address = SocketAddr::from((layout.node_address(), READY_PORT));
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"))
}

// No `forward`: nothing in the cluster leads outside. Short times, because tests make and delete Services all the time.
fn configuration(layout: &Layout) -> String {
    format!(
        ".:53 {{
    bind {node}
    errors
    ready {node}:{READY_PORT}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 1
    }}
    cache 1
}}
",
        node = layout.node_address(),
        kubeconfig = kubeconfig_of(layout, "admin").display(),
    )
}
