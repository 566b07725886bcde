//! With whom somebody shares: the places at the door, the connections, the attempts at a password; and
//! who of those that wait makes room for one more. Pure.
//!
//! | came | shares with |
//! |---|---|
//! | by the Unix socket, or by TCP on the box | its uid |
//! | from this box without one that is known (TLS, WebSocket) | all who do: every user has all of 127.0.0.0/8 to come from |
//! | from elsewhere | its address; of IPv6 the network that one customer gets (RFC 6177: a /64 at least) |
//!
//! By which listener makes no difference: who has three ways in has not three times as much.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Those who share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Crowd {
    /// One user of the box.
    Uid(u32),
    /// Whoever is on the box, and the kernel was not asked or does not know.
    Loopback,
    /// One address, or one network of IPv6.
    Network(IpAddr),
}

impl Crowd {
    /// Of whom nothing but its address is known.
    pub(crate) fn at(address: IpAddr) -> Crowd {
        match address.to_canonical() {
            address if address.is_loopback() => Crowd::Loopback,
            IpAddr::V4(address) => Crowd::Network(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                Crowd::Network(IpAddr::V6(Ipv6Addr::from(network)))
            }
        }
    }
}

/// What is looked at of one that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<K> {
    pub(super) key: K,
    pub(super) crowd: Crowd,
    pub(super) since: Instant,
    pub(super) spoke: bool,
}

/// Who goes so that one more can come: one of the largest crowd, first those that have said nothing,
/// first the oldest. So a thousand that come and wait push out each other.
pub(super) fn makes_room<K: Copy>(waiting: &[Standing<K>]) -> Option<K> {
    let mut sizes: HashMap<Crowd, usize> = HashMap::new();
    waiting.iter().for_each(|one| *sizes.entry(one.crowd).or_default() += 1);
    let size = |crowd| sizes.get(crowd).copied().unwrap_or(0);
    let first = waiting.iter().min_by_key(|one| (Reverse(size(&one.crowd)), one.spoke, one.since));
    first.map(|one| one.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    fn crowd(address: &str) -> Crowd {
        Crowd::at(address.parse().unwrap())
    }

    #[test]
    fn all_of_loopback_is_one_place() {
        for address in ["127.0.0.1", "127.5.0.3", "127.255.255.255", "::1", "::ffff:127.9.9.9"] {
            assert_eq!(crowd(address), Crowd::Loopback, "{address}");
        }
        assert_ne!(crowd("128.0.0.1"), Crowd::Loopback);
    }

    #[test]
    fn elsewhere_an_address_is_one_place_and_of_ipv6_a_network() {
        assert_eq!(crowd("10.0.0.1"), crowd("::ffff:10.0.0.1"));
        assert_ne!(crowd("10.0.0.1"), crowd("10.0.0.2"));
        assert_eq!(crowd("2001:db8::1"), crowd("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(crowd("2001:db8::1"), crowd("2001:db8:0:1::1"));
    }

    #[test]
    fn of_the_largest_crowd_the_silent_go_first_and_of_them_the_oldest() {
        let one = |key, address, second, spoke| Standing {
            key,
            crowd: crowd(address),
            since: at(second),
            spoke,
        };
        let mut waiting = vec![one(1, "10.0.0.1", 0, false)];
        assert_eq!(makes_room(&waiting), Some(1));
        waiting.extend([one(2, "127.0.0.1", 5, true), one(3, "127.0.0.2", 7, false)]);
        assert_eq!(makes_room(&waiting), Some(3));
        waiting.push(one(4, "127.0.0.3", 6, false));
        assert_eq!(makes_room(&waiting), Some(4));
        assert_eq!(makes_room::<u32>(&[]), None);
    }
}
