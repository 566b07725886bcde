//! Who finds room, and who makes it.

use super::*;
use crate::broker::core::connection::State;

const SILENT: usize = 100;

/// Somebody by WebSocket, who has not said who it is.
fn stranger(address: &str) -> Origin {
    let address = Some(address.parse().expect("an address"));
    Origin { transport: Transport::Remote, address, listener: "ws", max_role: Role::Operator }
}

fn by_tcp(uid: u32) -> Origin {
    let Transport::Unix(owner) = origin(uid).transport else { unreachable!("by Unix") };
    Origin { transport: Transport::Loopback(Some(owner)), listener: "tcp", ..origin(uid) }
}

impl World {
    fn came(&mut self, origin: Origin) -> Key {
        self.core.accept(origin, &mut self.fx).expect("room")
    }

    /// Whether it is let in with its CONNECT; else it has no room.
    fn is_let_in(&mut self, origin: Origin) -> bool {
        let key = self.came(origin);
        self.send(key, &Packet::Connect(connect("")));
        let got = self.got(key);
        let [Got::ConnAck { reason, .. }, ..] = got[..] else { panic!("{got:?}") };
        assert!([Reason::Success, Reason::QuotaExceeded].contains(&reason), "{reason:?}");
        if reason != Reason::Success {
            self.core.closed(key, &mut self.fx);
        }
        reason == Reason::Success
    }

    /// What the loop does with those who are to be closed.
    fn close(&mut self) -> Vec<Key> {
        let over = std::mem::take(&mut self.fx.close);
        over.iter().for_each(|&key| self.core.closed(key, &mut self.fx));
        self.core.check();
        over
    }

    fn is_silent(&self, key: Key) -> bool {
        let state = self.core.connections.get(key).map(|one| &one.state);
        matches!(state, Some(State::Greeting))
    }
}

#[test]
fn a_full_house_refuses_with_the_reason_and_has_room_again() {
    let mut world = World::new();
    let keys: Vec<Key> = (0..20).map(|_| world.client(1, "")).collect();
    let (surplus, got) = world.connected(1, connect("late"));
    assert_eq!(got, [Got::ConnAck { present: false, reason: Reason::QuotaExceeded }]);
    assert!(world.closing(surplus));
    world.core.closed(surplus, &mut world.fx);
    let old = Connect { version: Version::V311, clean_start: true, ..connect("late") };
    let (surplus, got) = world.connected(1, old);
    let reason = Reason::ServerUnavailable;
    assert_eq!(got, [Got::ConnAck { present: false, reason }]);
    world.core.closed(surplus, &mut world.fx);
    // Whoever crowds in is not even told.
    let crowd: Vec<Key> = (0..world.core.setting.limits.surplus).map(|_| world.raw(1)).collect();
    assert!(world.core.accept(origin(1), &mut world.fx).is_none());
    let limits: Vec<_> = world.core.counters().limits.iter().collect();
    let hits = 3 + world.core.setting.limits.surplus as u64;
    assert_eq!(limits, [("max_connections", hits)], "counted, told or not");
    crowd.into_iter().chain([keys[0]]).for_each(|key| world.core.closed(key, &mut world.fx));
    world.client(1, "in");
}

#[test]
fn the_silent_keep_nobody_out_and_go_the_oldest_first() {
    let mut world = World::new();
    let gone = world.raw(1);
    let silent: Vec<Key> = (1..20).map(|n| world.came(stranger(&format!("127.5.0.{n}")))).collect();
    world.core.closed(gone, &mut world.fx);
    world.fx.close.clear();
    world.pass(1);
    let youngest = world.came(stranger("127.5.0.99")); // in the place of the one that is gone
    assert!(world.is_let_in(origin(1)));
    assert!(world.is_let_in(origin(2)), "in the same turn");
    assert_eq!(world.close(), silent[..2]);
    assert!(world.is_silent(youngest));
    let hits: Vec<_> = world.core.counters().limits.iter().collect();
    assert_eq!(hits, [("max_connections", 2)], "what was hit is counted");
}

#[test]
fn a_crowd_of_the_silent_takes_its_own_share_only_whatever_its_address_and_listener() {
    let mut world = World::with(Limits { connections_per_uid: 5, ..limits() }, &Store::in_memory());
    let crowd: Vec<Key> = (0..SILENT)
        .map(|n| {
            let listener = ["ws", "tls", "wss"][n % 3];
            world.came(Origin { listener, ..stranger(&format!("127.0.{n}.1")) })
        })
        .collect();
    world.close();
    assert_eq!(crowd.iter().filter(|&&key| world.is_silent(key)).count(), 5, "of all loopback");
    let network: Vec<Key> =
        (0..SILENT).map(|n| world.came(stranger(&format!("2001:db8::{n}:1")))).collect();
    world.close();
    assert_eq!(network.iter().filter(|&&key| world.is_silent(key)).count(), 5, "of a network");
    let hits: Vec<_> = world.core.counters().limits.iter().collect();
    assert_eq!(hits, [("max_connections_per_uid", 2 * (SILENT as u64 - 5))]);
}

#[test]
fn in_a_full_house_the_largest_crowd_of_the_silent_makes_room() {
    let mut world = World::new();
    let alone = world.came(stranger("10.0.0.1"));
    for _ in 0..SILENT {
        world.came(stranger("10.0.0.2"));
    }
    world.close();
    assert!(world.is_silent(alone), "though it is the oldest");
}

#[test]
fn in_a_house_full_of_clients_there_is_room_for_root_and_the_daemons_own_user_by_unix() {
    let limits = Limits { connections: 6, connections_per_uid: 6, sessions: 6, ..limits() };
    let mut world = World::with(limits, &Store::in_memory());
    world.core.setting.own_uid = 500;
    (0..6).for_each(|_| assert!(world.is_let_in(origin(1))));
    for other in [origin(1), origin(2), by_tcp(0), by_tcp(500), stranger("127.0.0.1")] {
        let key = world.came(other.clone());
        assert!(world.core.connections.get(key).expect("it").surplus.is_some(), "{other}");
        world.core.closed(key, &mut world.fx);
    }
    (0..8).for_each(|n| assert!(world.is_let_in(origin([0, 500][n % 2])), "{n}"));
    assert!(!world.is_let_in(origin(0)), "a few places, not any number");
    world.core.check();
}

#[test]
fn root_comes_in_by_unix_when_its_own_programs_have_its_share() {
    let limits = Limits { connections_per_uid: 3, ..limits() };
    let mut world = World::with(limits, &Store::in_memory());
    (0..3).for_each(|_| assert!(world.is_let_in(by_tcp(0))));
    assert!(!world.is_let_in(by_tcp(0)));
    assert!(world.is_let_in(origin(0)));
}
