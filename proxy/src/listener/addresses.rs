//! How many connections each address has, for a bound on them where there is one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of one port by where they come from.
#[derive(Debug, Default)]
pub(super) struct Addresses(Mutex<HashMap<IpAddr, u32>>);

/// One connection; dropped at its end.
#[derive(Debug)]
pub(super) struct Counted {
    from: IpAddr,
    all: Arc<Addresses>,
}

impl Addresses {
    /// Counts one more, unless this address has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr, most: Option<u32>) -> Option<Counted> {
        let from = network(from);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(from).or_default();
        // What was refused leaves no trace: a bound is at least 1, so there is another of this address.
        if most.is_some_and(|most| *count >= most) {
            return None;
        }
        *count += 1;
        Some(Counted { from, all: Arc::clone(self) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.from);
            }
        }
    }
}

/// What one customer of a provider has: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_as_it_may_and_others_theirs() {
        let all = Arc::<Addresses>::default();
        let enter = |address: &str| all.enter(address.parse().expect("an address"), Some(2));

        let held = (enter("10.0.0.1"), enter("10.0.0.1"));
        assert!(held.0.is_some() && held.1.is_some());
        assert!(enter("10.0.0.1").is_none() && enter("::ffff:10.0.0.1").is_none());
        assert!(enter("10.0.0.2").is_some());
        drop(held);

        assert!(enter("10.0.0.1").is_some());
        assert!(all.0.lock().expect("not poisoned").is_empty(), "nothing is kept of those that are gone");
    }

    #[test]
    fn of_ipv6_the_network_counts() {
        let all = Arc::<Addresses>::default();
        let enter = |address: &str| all.enter(address.parse().expect("an address"), Some(1));

        let _held = enter("2001:db8:0:1::1");

        assert!(enter("2001:db8:0:1:ffff::2").is_none());
        assert!(enter("2001:db8:0:2::1").is_some());
    }
}
