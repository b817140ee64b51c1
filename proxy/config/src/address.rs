//! Which addresses may be called when the one who names them is not the one who runs the caller.
//!
//! In a cluster, whoever may write an `LlmProxy` chooses `baseUrl` and `tls.acme.directoryUrl`; the requests are sent by the
//! proxy's pod and by the operator's. They must not become a way to the pod's own ports, to the node or to the cloud's metadata
//! service. Private ranges stay open: a model server or an ACME server behind a Service is a common case. The rule is for every
//! address that is connected to, after the name was resolved, so a name that resolves to something else the second time gains
//! nothing. Pure: who connects applies it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the author of an address may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressRule {
    /// The author runs the server: every address is fine, the local model server's in particular.
    Any,
    /// The author is a user of the cluster.
    Guarded,
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The pod itself.
    #[error("a loopback address")]
    Loopback,
    /// The node's own network, including the usual metadata address.
    #[error("a link-local address")]
    LinkLocal,
    /// A cloud's metadata or platform service outside the link-local range.
    #[error("a metadata service")]
    Metadata,
    /// No host has this address.
    #[error("not the address of one host")]
    NotUnicast,
}

/// Well-known services of clouds that answer every pod on a node: Alibaba and Oracle metadata, Azure's platform, AWS over IPv6,
/// Google over IPv6.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

impl AddressRule {
    /// Whether this rule lets `address` be called.
    pub fn check(self, address: IpAddr) -> Result<(), Refused> {
        match self {
            Self::Any => Ok(()),
            Self::Guarded => guard(address),
        }
    }
}

fn guard(address: IpAddr) -> Result<(), Refused> {
    let address = embedded_v4(address);
    let (loopback, link_local, unicast) = match address {
        IpAddr::V4(v4) => (
            v4.is_loopback(),
            v4.is_link_local(),
            v4.octets()[0] != 0 && !v4.is_multicast() && !v4.is_broadcast(),
        ),
        IpAddr::V6(v6) => {
            (v6.is_loopback(), v6.is_unicast_link_local(), !v6.is_unspecified() && !v6.is_multicast())
        }
    };
    match () {
        () if METADATA.contains(&address) => Err(Refused::Metadata),
        () if loopback => Err(Refused::Loopback),
        () if link_local => Err(Refused::LinkLocal),
        () if !unicast => Err(Refused::NotUnicast),
        () => Ok(()),
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 or 6to4.
fn embedded_v4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        // `::` and `::1` are IPv6's own, not compatible addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => pair(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(address: &str) -> Result<(), Refused> {
        AddressRule::Guarded.check(address.parse().expect("an address"))
    }

    #[test]
    fn addresses_of_the_pod_the_node_and_the_metadata_services_are_refused() {
        let table = [
            ("127.0.0.1", Refused::Loopback),
            ("127.255.255.254", Refused::Loopback),
            ("::1", Refused::Loopback),
            ("::ffff:127.0.0.1", Refused::Loopback),
            ("64:ff9b::7f00:1", Refused::Loopback),
            ("2002:7f00:1::", Refused::Loopback),
            ("169.254.169.254", Refused::LinkLocal),
            ("::ffff:169.254.170.2", Refused::LinkLocal),
            ("::169.254.169.254", Refused::LinkLocal),
            ("fe80::1", Refused::LinkLocal),
            ("fd00:ec2::254", Refused::Metadata),
            ("100.100.100.200", Refused::Metadata),
            ("168.63.129.16", Refused::Metadata),
            ("0.0.0.0", Refused::NotUnicast),
            ("0.1.2.3", Refused::NotUnicast),
            ("::", Refused::NotUnicast),
            ("::ffff:0.0.0.0", Refused::NotUnicast),
            ("224.0.0.1", Refused::NotUnicast),
            ("255.255.255.255", Refused::NotUnicast),
            ("ff02::1", Refused::NotUnicast),
        ];
        for (address, refused) in table {
            assert_eq!(verdict(address), Err(refused), "{address}");
        }
    }

    #[test]
    fn services_of_the_cluster_and_public_addresses_are_fine() {
        for address in
            ["10.96.0.10", "192.168.1.2", "172.16.0.1", "100.64.0.1", "1.1.1.1", "fd12::1", "2606:4700::1"]
        {
            assert_eq!(verdict(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn alone_every_address_is_fine() {
        assert_eq!(AddressRule::Any.check(IpAddr::V4(Ipv4Addr::LOCALHOST)), Ok(()));
    }
}
