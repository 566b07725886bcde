//! Valid packets of every type with something wrong: flipped bits, other lengths, cut off, spliced.

use maestro::broker::wire::{
    self, Ack, Auth, ConnAck, Disconnect, FilterBuffer, Options, Packet, PropertyBuffer, Publish,
    Qos, Reason, SubAck, Subscribe, SubscriptionBuffer, Unsubscribe, Version,
};
use std::num::NonZeroU16;

use super::field::{Dice, Field};
use super::launch::Attack;
use super::packet::{self, Connect};

pub(crate) const ALL: &[Attack] = &[Attack {
    name: "mutated-packets",
    amount: [10_000, 100_000],
    seconds: [120, 900],
    promised: true,
    deed: mutated_packets,
}];

/// Counts packets that were sent. Each connection brings a few, before or behind a good CONNECT, and is over.
fn mutated_packets(field: &mut Field) -> usize {
    let good = [valid(Version::V311), valid(Version::V5)];
    let mut dice = Dice(field.dice.0);
    let mut done = 0;
    while done < field.amount && field.on() {
        let side = dice.roll(2);
        let mut bytes = Vec::new();
        if dice.roll(3) > 0 {
            let id = format!("mutant{}", dice.roll(50));
            bytes.extend(Connect::new(packet::VERSIONS[side], &id).bytes());
        }
        let some = 1 + dice.roll(4);
        for _ in 0..some {
            bytes.extend(mutated(&good[side], &mut dice));
        }
        if let Some(mut enemy) = field.dial() {
            if enemy.send(&bytes) {
                done += some;
            }
            enemy.end();
        }
    }
    done
}

fn mutated(good: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = good[dice.roll(good.len())].clone();
    for _ in 0..1 + dice.roll(3) {
        let at = dice.roll(bytes.len());
        match dice.roll(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.roll(8),
            1 if !bytes.is_empty() => bytes[at] = dice.byte(),
            // The remaining length, mostly: it stands second.
            2 if bytes.len() > 1 => bytes[1] = bytes[1].wrapping_add(dice.byte()),
            3 => bytes.truncate(at),
            4 => {
                let other = &good[dice.roll(good.len())];
                let from = dice.roll(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            5 => bytes.insert(at, dice.byte()),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

/// One or more of each type, as the standard wants them.
fn valid(version: Version) -> Vec<Vec<u8>> {
    let number = if version == Version::V5 { 5 } else { 4 };
    let id = NonZeroU16::new(9).expect("not zero");
    let mut rich = PropertyBuffer::new();
    if version == Version::V5 {
        rich.user_property("name", "value");
    }
    let properties = rich.as_properties();
    let ack = Ack { packet_id: id, reason: Reason::Success, properties };
    let mut filters = SubscriptionBuffer::default();
    let mut gone = FilterBuffer::default();
    for filter in ["a/+/c", "$share/g/#", "é"] {
        filters.push(filter, Options::at(Qos::ExactlyOnce)).expect("a filter");
        gone.push(filter).expect("a filter");
    }
    let publish = |qos, payload| {
        let packet_id = (qos > Qos::AtMostOnce).then_some(id);
        Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: "a/b",
            packet_id,
            properties,
            payload,
        })
    };
    let subscriptions = filters.as_subscriptions();
    let mut packets = vec![
        publish(Qos::AtMostOnce, b"x"),
        publish(Qos::AtLeastOnce, &[b'x'; 200]),
        publish(Qos::ExactlyOnce, b""),
        Packet::PubAck(ack),
        Packet::PubRec(ack),
        Packet::PubRel(ack),
        Packet::PubComp(ack),
        Packet::Subscribe(Subscribe { packet_id: id, properties, subscriptions }),
        Packet::SubAck(SubAck { packet_id: id, properties, codes: &[0, 1] }),
        Packet::Unsubscribe(Unsubscribe { packet_id: id, properties, filters: gone.as_filters() }),
        Packet::PingReq,
        Packet::PingResp,
        Packet::ConnAck(ConnAck { session_present: true, reason: Reason::Success, properties }),
        Packet::Disconnect(Disconnect { reason: Reason::Success, properties }),
    ];
    if version == Version::V5 {
        packets.push(Packet::Auth(Auth { reason: Reason::Success, properties }));
    }
    let mut all: Vec<_> = packets.iter().map(|packet| bytes_of(version, packet)).collect();
    let will = Some(("w", &b"gone"[..], 1));
    let login = Some(("name", "secret"));
    all.push(Connect { will, keep_alive_s: 60, ..Connect::new(number, "mutant") }.bytes());
    all.push(
        Connect { will, login, flags: 0, expiry_s: 5, ..Connect::new(number, "mutant") }.bytes(),
    );
    all
}

fn bytes_of(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(version, packet, &mut bytes);
    bytes
}
