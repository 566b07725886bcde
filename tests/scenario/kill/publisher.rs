//! A publisher that never gives up: what is not acknowledged when the broker dies goes out again.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use maestro::broker::wire::{Packet, Properties, Publish, Qos};

use super::peer::{Got, Peer};

/// Messages on their way at once.
const WINDOW: usize = 40;
/// Long enough for any answer while the broker lives.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Outgoing {
    id: NonZeroU16,
    topic: usize,
    number: u32,
    released: bool,
}

/// What it publishes to: name, quality, retained.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    qos: Qos,
    retain: bool,
    /// The last number.
    pub(super) last: u32,
    pub(super) acknowledged: BTreeSet<u32>,
    /// Those that went out more than once, and how often.
    pub(super) again: BTreeMap<u32, u32>,
}

/// The publisher.
pub(super) struct Publisher {
    id: String,
    pub(super) topics: Vec<Topic>,
    next_id: u16,
    turn: usize,
    outgoing: Vec<Outgoing>,
}

impl Publisher {
    pub(super) fn new(place: usize) -> Publisher {
        let topic = |kind: &str, qos, retain| Topic {
            name: format!("{kind}/{place}"),
            qos,
            retain,
            last: 0,
            acknowledged: BTreeSet::new(),
            again: BTreeMap::new(),
        };
        let topics = vec![
            topic("load/one", Qos::AtLeastOnce, false),
            topic("load/two", Qos::ExactlyOnce, false),
            topic("keep", Qos::AtLeastOnce, true),
        ];
        Publisher {
            id: format!("publisher-{place}"),
            topics,
            next_id: 1,
            turn: 0,
            outgoing: Vec::new(),
        }
    }

    /// Publishes until the broker is gone.
    pub(super) fn until_killed(&mut self, socket: &Path) {
        let Some(mut peer) = self.resume(socket) else { return };
        loop {
            while self.outgoing.len() < WINDOW {
                self.publish(&mut peer);
            }
            let Some(got) = peer.next(QUIET) else { return };
            self.take(&mut peer, &got);
        }
    }

    /// Sends what is left, until all of it is acknowledged.
    pub(super) fn finish(&mut self, socket: &Path) {
        let mut peer = self.resume(socket).expect("the broker lives");
        while !self.outgoing.is_empty() {
            let got = peer.next(QUIET).expect("an answer to every message");
            self.take(&mut peer, &got);
        }
    }

    fn resume(&mut self, socket: &Path) -> Option<Peer> {
        let (mut peer, present) = Peer::connect(socket, &self.id)?;
        if !present {
            assert!(self.topics.iter().all(|topic| topic.acknowledged.is_empty()), "{}", self.id);
            self.outgoing.clear(); // nobody knows of these; their numbers are left out
        }
        for one in &self.outgoing {
            if one.released {
                peer.answer(Packet::PubRel, one.id);
                continue;
            }
            *self.topics[one.topic].again.entry(one.number).or_default() += 1;
            send(&mut peer, &self.topics[one.topic], *one, true);
        }
        Some(peer)
    }

    fn publish(&mut self, peer: &mut Peer) {
        self.turn = (self.turn + 1) % self.topics.len();
        let topic = &mut self.topics[self.turn];
        topic.last += 1;
        let one = Outgoing { id: self.free_id(), topic: self.turn, number: 0, released: false };
        let topic = &self.topics[self.turn];
        let one = Outgoing { number: topic.last, ..one };
        self.outgoing.push(one);
        send(peer, topic, one, false);
    }

    fn free_id(&mut self) -> NonZeroU16 {
        loop {
            let id = NonZeroU16::new(self.next_id).unwrap_or(NonZeroU16::MIN);
            self.next_id = id.get().checked_add(1).unwrap_or(1);
            if self.outgoing.iter().all(|one| one.id != id) {
                return id;
            }
        }
    }

    fn take(&mut self, peer: &mut Peer, got: &Got) {
        match *got {
            Got::PubAck(id, reason) | Got::PubRec(id, reason) => {
                assert!(!reason.is_error(), "{}: {reason:?}", self.id);
                let Some(place) = self.outgoing.iter().position(|one| one.id == id) else { return };
                let one = self.outgoing[place];
                self.topics[one.topic].acknowledged.insert(one.number);
                if matches!(got, Got::PubAck(..)) {
                    self.outgoing.remove(place);
                } else {
                    self.outgoing[place].released = true;
                    peer.answer(Packet::PubRel, id);
                }
            }
            Got::PubComp(id) => self.outgoing.retain(|one| one.id != id),
            Got::ConnAck { .. }
            | Got::Publish { .. }
            | Got::PubRel(_)
            | Got::SubAck(_)
            | Got::Other => panic!("{} got {got:?}", self.id),
        }
    }
}

fn send(peer: &mut Peer, topic: &Topic, one: Outgoing, dup: bool) {
    let payload = format!("{} {}", one.number, "x".repeat(100));
    peer.send(&Packet::Publish(Publish {
        dup,
        qos: topic.qos,
        retain: topic.retain,
        topic: &topic.name,
        packet_id: Some(one.id),
        properties: Properties::NONE,
        payload: payload.as_bytes(),
    }));
}
