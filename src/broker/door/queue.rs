//! How many may stand at the door, and who has to go when one more comes. Pure.
//!
//! Whoever has come in is in nobody's way; these are those who have not, yet. Their number is bounded
//! in all and by [`Crowd`], and a newcomer is never turned away: it pushes out one of the largest crowd,
//! first those that have said nothing, first the oldest. So a thousand that connect and wait push out
//! each other, and whoever does its handshake at once comes in.

use crate::broker::crowd::{Crowd, Standing, makes_room};

/// Guests at once.
pub(super) const MOST: usize = 128;
/// Guests at once of one crowd.
const MOST_OF_ONE: usize = 64;

/// Who has to go so that one of `crowd` can come.
pub(super) fn pushed_out<K: Copy>(guests: &[Standing<K>], crowd: Crowd) -> Option<K> {
    let own: Vec<Standing<K>> =
        guests.iter().filter(|guest| guest.crowd == crowd).copied().collect();
    if own.len() >= MOST_OF_ONE {
        makes_room(&own)
    } else if guests.len() >= MOST {
        makes_room(guests)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    fn guest(key: u32, address: &str, second: u64, spoke: bool) -> Standing<u32> {
        Standing { key, crowd: from(address), since: at(second), spoke }
    }

    fn from(address: &str) -> Crowd {
        Crowd::at(address.parse().unwrap())
    }

    fn crowd(count: usize, address: impl Fn(usize) -> String) -> Vec<Standing<u32>> {
        (0..count).map(|n| guest(u32::try_from(n).unwrap(), &address(n), n as u64, false)).collect()
    }

    #[test]
    fn a_crowd_from_one_place_pushes_out_its_own_silent_and_oldest() {
        let mut guests = crowd(MOST_OF_ONE, |_| "10.0.0.1".into());
        guests[0].spoke = true;
        assert_eq!(pushed_out(&guests, from("10.0.0.1")), Some(1));
        assert_eq!(pushed_out(&guests, from("10.0.0.2")), None);
        guests.iter_mut().for_each(|guest| guest.spoke = true);
        assert_eq!(pushed_out(&guests, from("10.0.0.1")), Some(0));
    }

    #[test]
    fn when_the_door_is_full_the_largest_crowd_makes_room() {
        let mut guests = crowd(MOST_OF_ONE - 1, |_| "10.0.0.1".into());
        guests.push(guest(999, "10.0.0.2", 0, false));
        guests.extend(crowd(MOST - guests.len(), |n| format!("10.0.1.{n}")));
        assert_eq!(pushed_out(&guests, from("10.0.0.3")), Some(0));
    }

    #[test]
    fn a_network_of_ipv6_is_one_place_and_so_is_all_of_loopback() {
        let guests = crowd(MOST_OF_ONE, |n| format!("2001:db8::{n:x}:1"));
        assert_eq!(pushed_out(&guests, from("2001:db8::ffff:ffff")), Some(0));
        assert_eq!(pushed_out(&guests, from("2001:db8:0:1::1")), None);
        let guests = crowd(MOST_OF_ONE, |n| format!("127.0.1.{n}"));
        assert_eq!(pushed_out(&guests, from("127.9.9.9")), Some(0));
    }
}
