//! The rule about addresses ([`vibectl_config::address`]), applied where names are resolved.

use std::{io, net::SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
pub use vibectl_config::address::{AddressRule, Refused};

/// Resolves names as the system does and keeps the addresses that the rule allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuardedResolver(pub(crate) AddressRule);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let refused = found.iter().find_map(|address| rule.check(address.ip()).err());
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| rule.check(address.ip()).is_ok()).collect();
            match refused {
                Some(refused) if allowed.is_empty() => Err(io::Error::other(refused).into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_resolves_to_the_pod_itself_is_refused() {
        let name: Name = "localhost".parse().expect("a name");

        let resolved = GuardedResolver(AddressRule::Guarded).resolve(name).await;

        assert_eq!(resolved.err().expect("refused").to_string(), "a loopback address");
    }
}
