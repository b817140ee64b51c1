//! Name constraints (RFC 5280, section 4.2.1.10): what a CA may issue for.
//!
//! Built so that a CA for a few names is good for nothing else, as far as the clients of this world allow:
//!
//! - A kind of name (DNS, IP) that is not permitted at all is excluded as a whole, because RFC 5280 leaves a kind without any
//!   constraint free.
//! - A permitted DNS name permits all names below it. For a name of one label that would be a whole top-level domain (think of
//!   a Service called `com`), so what is below it is excluded, unless it is permitted in its own right. The leading dot that
//!   says "below, not itself" is understood by OpenSSL, `BoringSSL`, Go and webpki.
//! - **Addresses are either excluded as a whole or not constrained at all.** `BoringSSL`, and so every gRPC client in C++,
//!   Python and Ruby, refuses each chain in which the leaf has an address and a CA has any constraint on addresses
//!   ("unsupported name constraint type", seen with grpcio 1.85). A CA for a proxy that is called by address can therefore
//!   issue for any address; its DNS names stay constrained.
//!
//! Seen to hold with OpenSSL 3.0, `BoringSSL`, Go 1.26, Node 20 and webpki. Java (17) accepts such chains, but does not look at
//! the constraints of a trust anchor.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use crate::{
    certificate::address,
    names::{Name, Names},
};

/// Constraints that permit these names and, for DNS names of several labels, what is below them.
pub(crate) fn for_names(names: &Names) -> NameConstraints {
    let hosts: Vec<&str> = names.iter().filter_map(host).collect();
    let permitted = hosts.iter().map(|host| GeneralSubtree::DnsName((*host).to_owned()));

    let mut excluded: Vec<_> = hosts
        .iter()
        .filter(|host| !host.contains('.'))
        .map(|host| format!(".{host}"))
        .filter(|below| !hosts.iter().any(|host| host.ends_with(below)))
        .map(GeneralSubtree::DnsName)
        .collect();
    if hosts.is_empty() {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    if !names.iter().any(|name| matches!(name, Name::Ip(_))) {
        excluded.push(every_address(Ipv4Addr::UNSPECIFIED.into()));
        excluded.push(every_address(Ipv6Addr::UNSPECIFIED.into()));
    }
    NameConstraints { permitted_subtrees: permitted.collect(), excluded_subtrees: excluded }
}

/// True when the certificate's constraints, if it has any, allow the name.
pub(crate) fn allow(certificate: &X509Certificate<'_>, name: &Name) -> bool {
    let constraints = match certificate.name_constraints() {
        Ok(Some(extension)) => extension.value,
        Ok(None) => return true,
        Err(_) => return false,
    };
    let excluded = constraints.excluded_subtrees.iter().flatten().any(|tree| covers(&tree.base, name));
    let mut same_kind = constraints
        .permitted_subtrees
        .iter()
        .flatten()
        .map(|tree| &tree.base)
        .filter(|base| is_kind_of(base, name))
        .peekable();
    !excluded && (same_kind.peek().is_none() || same_kind.any(|base| covers(base, name)))
}

fn is_kind_of(base: &GeneralName<'_>, name: &Name) -> bool {
    matches!((base, name), (GeneralName::DNSName(_), Name::Dns(_)) | (GeneralName::IPAddress(_), Name::Ip(_)))
}

fn covers(base: &GeneralName<'_>, name: &Name) -> bool {
    match (base, name) {
        (GeneralName::DNSName(base), Name::Dns(name)) => dns_covers(&base.to_ascii_lowercase(), name),
        (GeneralName::IPAddress(range), Name::Ip(name)) => range_covers(range, *name),
        _ => false,
    }
}

/// A name of a wildcard (`*.example.org`) is covered like any other name below the base.
fn dns_covers(base: &str, name: &str) -> bool {
    if base.is_empty() || base.starts_with('.') {
        return name.ends_with(base);
    }
    name.strip_suffix(base).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// `range` is an address followed by a mask of the same length.
fn range_covers(range: &[u8], name: IpAddr) -> bool {
    let (network, mask) = range.split_at(range.len() / 2);
    let octets = match name {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    address(network).is_some()
        && network.len() == octets.len()
        && mask.len() == octets.len()
        && octets.iter().zip(network).zip(mask).all(|((octet, network), mask)| octet & mask == network & mask)
}

fn host(name: &Name) -> Option<&str> {
    match name {
        Name::Dns(name) => Some(name.strip_prefix("*.").unwrap_or(name)),
        Name::Ip(_) => None,
    }
}

/// All addresses of the family of this one.
fn every_address(family: IpAddr) -> GeneralSubtree {
    GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(family, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_covers_itself_and_what_is_below_it() {
        assert!(dns_covers("example.org", "example.org"));
        assert!(dns_covers("example.org", "a.b.example.org"));
        assert!(dns_covers("example.org", "*.example.org"));
        assert!(!dns_covers("example.org", "badexample.org"));
        assert!(!dns_covers("example.org", "org"));
        assert!(dns_covers("", "anything"));
    }

    #[test]
    fn a_base_with_a_leading_dot_covers_only_what_is_below_it() {
        assert!(!dns_covers(".team", "team"));
        assert!(dns_covers(".team", "a.team"));
        assert!(dns_covers(".team", "*.team"));
        assert!(!dns_covers(".team", "steam"));
    }

    #[test]
    fn a_range_covers_by_its_mask_and_only_its_own_family() {
        let range = [10, 0, 0, 0, 255, 0, 0, 0];

        assert!(range_covers(&range, "10.9.8.7".parse().expect("address")));
        assert!(!range_covers(&range, "11.0.0.1".parse().expect("address")));
        assert!(!range_covers(&range, "::a00:1".parse().expect("address")));
        assert!(!range_covers(&[10, 0, 0], "10.0.0.0".parse().expect("address")));
    }
}
