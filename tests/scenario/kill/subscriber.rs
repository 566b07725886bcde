//! A subscriber that writes down everything: what came, how often without DUP, in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use maestro::broker::wire::{Packet, Qos};

use super::peer::{Got, Peer};

/// What it has of one topic.
#[derive(Default)]
pub(super) struct Seen {
    /// In the order of their first arrival.
    pub(super) order: Vec<u32>,
    /// How often each came without DUP.
    pub(super) fresh: BTreeMap<u32, u32>,
    /// How often the application had each with QoS 2.
    pub(super) once: BTreeMap<u32, u32>,
    had: BTreeSet<u32>,
}

/// The subscriber.
pub(super) struct Subscriber {
    id: String,
    /// Its session was told that its subscription is safe.
    subscribed: bool,
    /// QoS 2 identifiers whose PUBREL has not come.
    received: BTreeSet<NonZeroU16>,
    pub(super) seen: BTreeMap<String, Seen>,
}

impl Subscriber {
    /// A session with this filter, from now on.
    pub(super) fn new(id: &str, filter: &str, socket: &Path) -> Subscriber {
        let (mut peer, _) = Peer::connect(socket, id).expect("the broker lives");
        assert_eq!(peer.subscribe(filter), 2);
        let (received, seen) = (BTreeSet::new(), BTreeMap::new());
        Subscriber { id: id.to_owned(), subscribed: true, received, seen }
    }

    /// Takes what comes until nothing has come for `quiet`, or the broker is gone.
    pub(super) fn take_all(&mut self, socket: &Path, quiet: Duration) {
        let Some((mut peer, present)) = Peer::connect(socket, &self.id) else { return };
        assert_eq!(present, self.subscribed, "the session of {}", self.id);
        while let Some(got) = peer.next(quiet) {
            match got.clone() {
                Got::Publish { topic, number, qos, dup, retain, id } => {
                    assert!(!retain, "{}: {topic} {number} is live", self.id);
                    self.message(&mut peer, topic, (number, qos, dup), NonZeroU16::new(id));
                }
                Got::PubRel(id) => {
                    self.received.remove(&id);
                    peer.answer(Packet::PubComp, id);
                }
                Got::ConnAck { .. }
                | Got::PubAck(..)
                | Got::PubRec(..)
                | Got::PubComp(_)
                | Got::SubAck(_)
                | Got::Other => panic!("{} got {got:?}", self.id),
            }
        }
    }

    fn message(
        &mut self,
        peer: &mut Peer,
        topic: String,
        (number, qos, dup): (u32, Qos, bool),
        id: Option<NonZeroU16>,
    ) {
        let seen = self.seen.entry(topic).or_default();
        *seen.fresh.entry(number).or_default() += u32::from(!dup);
        let Some(id) = id else { return };
        let new = match qos {
            Qos::ExactlyOnce => self.received.insert(id),
            Qos::AtMostOnce | Qos::AtLeastOnce => true,
        };
        if new && seen.had.insert(number) {
            seen.order.push(number);
        }
        if qos == Qos::ExactlyOnce {
            *seen.once.entry(number).or_default() += u32::from(new);
            peer.answer(Packet::PubRec, id);
        } else {
            peer.answer(Packet::PubAck, id);
        }
    }
}
