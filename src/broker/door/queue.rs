//! How many may stand at the door, and who has to go when one more comes. Pure.
//!
//! Whoever has come in is in nobody's way; these are those who have not, yet. Their number is bounded
//! in all and by where they come from, and a newcomer is never turned away: it pushes out one of the
//! largest crowd, first those that have said nothing, first the oldest. So a thousand that connect and
//! wait push out each other, and whoever does its handshake at once comes in.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Guests at once.
pub(super) const MOST: usize = 128;
/// Guests at once from one place.
const MOST_FROM_ONE: usize = 64;

/// What is looked at of a guest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<K> {
    pub(super) key: K,
    pub(super) address: IpAddr,
    pub(super) since: Instant,
    pub(super) spoke: bool,
}

/// Who has to go so that one from `address` can come.
pub(super) fn pushed_out<K: Copy>(guests: &[Standing<K>], address: IpAddr) -> Option<K> {
    let from = |place: IpAddr| guests.iter().filter(move |guest| of(guest.address) == place);
    let place = of(address);
    let crowd = if from(place).count() >= MOST_FROM_ONE {
        place
    } else if guests.len() >= MOST {
        guests.iter().map(|guest| of(guest.address)).max_by_key(|&place| from(place).count())?
    } else {
        return None;
    };
    from(crowd).min_by_key(|guest| (guest.spoke, guest.since)).map(|guest| guest.key)
}

/// One place: an address, or the network that one customer gets of IPv6 (RFC 6177: a /64 at least).
fn of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    fn guest(key: u32, address: &str, second: u64, spoke: bool) -> Standing<u32> {
        Standing { key, address: address.parse().unwrap(), since: at(second), spoke }
    }

    fn crowd(count: usize, address: impl Fn(usize) -> String) -> Vec<Standing<u32>> {
        (0..count).map(|n| guest(u32::try_from(n).unwrap(), &address(n), n as u64, false)).collect()
    }

    #[test]
    fn a_crowd_from_one_place_pushes_out_its_own_silent_and_oldest() {
        let mut guests = crowd(MOST_FROM_ONE, |_| "10.0.0.1".into());
        guests[0].spoke = true;
        assert_eq!(pushed_out(&guests, "10.0.0.1".parse().unwrap()), Some(1));
        assert_eq!(pushed_out(&guests, "10.0.0.2".parse().unwrap()), None);
        guests.iter_mut().for_each(|guest| guest.spoke = true);
        assert_eq!(pushed_out(&guests, "10.0.0.1".parse().unwrap()), Some(0));
    }

    #[test]
    fn when_the_door_is_full_the_largest_crowd_makes_room() {
        let mut guests = crowd(MOST_FROM_ONE - 1, |_| "10.0.0.1".into());
        guests.push(guest(999, "10.0.0.2", 0, false));
        guests.extend(crowd(MOST - guests.len(), |n| format!("10.0.1.{n}")));
        assert_eq!(pushed_out(&guests, "10.0.0.3".parse().unwrap()), Some(0));
    }

    #[test]
    fn a_network_of_ipv6_is_one_place() {
        let guests = crowd(MOST_FROM_ONE, |n| format!("2001:db8::{n:x}:1"));
        assert_eq!(pushed_out(&guests, "2001:db8::ffff:ffff".parse().unwrap()), Some(0));
        assert_eq!(pushed_out(&guests, "2001:db8:0:1::1".parse().unwrap()), None);
    }
}
