//! The network namespace of the node and the link from this machine into it. Nothing in it leads outside.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::layout::Layout;
use crate::command::{command, run, succeeds};

/// The device that carries the node's address. A bridge, because not every kernel has dummy devices.
const NODE_DEVICE: &str = "node0";

/// The cluster's end of the link.
const INNER_DEVICE: &str = "outside0";

/// A command inside the cluster's network namespace.
pub(super) fn inside(layout: &Layout, program: &str) -> Command {
    let mut inside = command("nsenter");
    inside.arg(format!("--net={}", layout.network_namespace().display())).arg(program);
    inside
}

/// Makes the namespace, the node's device and the link.
pub(super) fn create(layout: &Layout) -> Result<()> {
    let name = layout.unique_name();
    let (node, outer, inner) = (layout.node_address(), layout.outer_address(), layout.inner_address());
    outside(&format!("netns add {name}"))?;
    within(layout, "link set lo up")?;

    within(layout, &format!("link add {NODE_DEVICE} type bridge"))?;
    within(layout, &format!("address add {node}/18 dev {NODE_DEVICE}"))?;
    within(layout, &format!("link set {NODE_DEVICE} up"))?;
    // Programs choose their address by the default route; packets that take it end here.
    within(layout, &format!("route add default dev {NODE_DEVICE}"))?;

    outside(&format!("link add {name} type veth peer name {INNER_DEVICE} netns {name}"))?;
    within(layout, &format!("address add {inner}/30 dev {INNER_DEVICE}"))?;
    within(layout, &format!("link set {INNER_DEVICE} up"))?;
    outside(&format!("address add {outer}/30 dev {name}"))?;
    outside(&format!("link set {name} up"))?;
    outside(&format!("route add {} via {inner}", layout.range()))
        .with_context(|| format!("failed to route to the cluster: is {} in use here?", layout.range()))?;
    run(inside(layout, "sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))?;
    Ok(())
}

/// Removes all of it; what is not there does not matter.
pub(super) fn remove(layout: &Layout) {
    let name = layout.unique_name();
    succeeds(command("ip").args(["link", "delete", &name]));
    succeeds(command("ip").args(["netns", "delete", &name]));
}

fn outside(arguments: &str) -> Result<()> {
    run(command("ip").args(arguments.split(' '))).map(drop)
}

fn within(layout: &Layout, arguments: &str) -> Result<()> {
    run(inside(layout, "ip").args(arguments.split(' '))).map(drop)
}
