//! What a client remembers of its session, and holds the broker to: a packet identifier in flight is
//! not given to another message (MQTT-2.2.1-3), no more is in flight than the client takes
//! (MQTT-3.3.4-9), and what it did not acknowledge comes again when the session is resumed, with DUP
//! and its identifier, in order and before anything new (MQTT-4.4.0-1, MQTT-4.6.0-1).
//!
//! ```text
//!   PUBLISH ──> Published ── PUBREC ──> Released ── PUBCOMP ──> gone
//!                  │ └── PUBACK, PUBREC with an error ──> gone
//!          CONNACK, session present
//!                  └──> unmet until it comes again
//! ```
//! It only knows what it saw. Where the broker may have had its reasons (a drop that was counted, a
//! limited lifetime, a shared subscription) it does not insist.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use crate::broker::slots::Key;
use crate::broker::wire::{ConnAck, Publish};
use crate::bus::Qos;

/// What one client remembers.
pub(super) struct Memory {
    /// The connection it came with last.
    key: Key,
    flying: Vec<Sent>,
    /// Identifiers it acknowledged before it saw what they stand for.
    early: BTreeSet<NonZeroU16>,
    /// The broker's count of drops so far.
    dropped: u64,
}

/// A message in flight, in the order it came.
struct Sent {
    packet_id: NonZeroU16,
    qos: Qos,
    topic: String,
    released: bool,
    /// It came on this connection.
    met: bool,
    /// The broker has no excuse not to send it again.
    sure: bool,
}

/// What is true of the broker when something comes.
pub(super) struct Circumstances {
    /// Its count of drops.
    pub(super) dropped: u64,
    /// The client's receive maximum.
    pub(super) window: usize,
    /// The session is a member of shared subscriptions, or takes small packets only.
    pub(super) excused: bool,
}

impl Memory {
    /// A connection was taken in; `before` is what was remembered until now.
    pub(super) fn resumed(
        before: Option<Memory>,
        key: Key,
        connack: &ConnAck<'_>,
        now: &Circumstances,
    ) -> Memory {
        let mut memory = match before {
            Some(memory) if connack.session_present => memory,
            Some(_) | None => {
                Memory { key, flying: Vec::new(), early: BTreeSet::new(), dropped: now.dropped }
            }
        };
        memory.key = key;
        memory.early.clear();
        for sent in &mut memory.flying {
            sent.met = sent.released;
            sent.sure &= !now.excused;
        }
        memory.forgive(now);
        memory
    }

    pub(super) fn is_of(&self, key: Key) -> bool {
        self.key == key
    }

    /// Something was dropped: it may have been what is still to come.
    fn forgive(&mut self, now: &Circumstances) {
        if self.dropped != now.dropped {
            self.dropped = now.dropped;
            self.flying.iter_mut().for_each(|sent| sent.sure &= sent.met);
        }
    }

    /// A PUBLISH with an identifier came.
    pub(super) fn publish(&mut self, publish: &Publish<'_>, now: &Circumstances) {
        let Some(packet_id) = publish.packet_id else { return };
        self.forgive(now);
        let place = self.flying.iter().position(|sent| sent.packet_id == packet_id);
        let before = &self.flying[..place.unwrap_or(self.flying.len())];
        if let Some(missing) = before.iter().find(|sent| !sent.met && sent.sure) {
            let (was, topic) = (missing.packet_id, &missing.topic);
            panic!("{was} ({topic}) was not sent again, but {packet_id} ({}) was", publish.topic);
        }
        if let Some(sent) = place.map(|place| &mut self.flying[place]) {
            assert!(!sent.met, "packet identifier {packet_id} is in flight, and used again");
            assert!(publish.dup, "{packet_id} is sent again without DUP");
            assert_eq!(publish.qos, sent.qos, "{packet_id} is sent again with another QoS");
            let told = !publish.topic.is_empty() && !sent.topic.is_empty(); // no topic alias
            assert!(!told || publish.topic == sent.topic, "{packet_id} is another message now");
            sent.met = true;
        } else {
            let mortal = publish.properties.message_expiry_interval().is_some();
            let sure = !now.excused && !mortal && !self.early.contains(&packet_id);
            self.flying.push(Sent {
                packet_id,
                qos: publish.qos,
                topic: publish.topic.to_string(),
                released: false,
                met: true,
                sure,
            });
        }
        let flying = self.flying.iter().filter(|sent| sent.met && !sent.released).count();
        assert!(flying <= now.window, "{flying} in flight, {} at most", now.window);
    }

    /// The client sent this acknowledgement: first byte, identifier, whether it is an error.
    pub(super) fn answered(&mut self, header: u8, packet_id: NonZeroU16, refused: bool) {
        let place = self.flying.iter().position(|sent| sent.packet_id == packet_id);
        let Some(place) = place.filter(|&place| self.flying[place].met) else {
            self.early.insert(packet_id);
            self.flying.retain(|sent| sent.packet_id != packet_id);
            return;
        };
        let sent = &mut self.flying[place];
        let twice = sent.qos == Qos::ExactlyOnce;
        match header {
            0x40 if !twice => drop(self.flying.remove(place)),
            0x50 if twice && refused => drop(self.flying.remove(place)),
            0x50 if twice => sent.released = true,
            0x70 if twice && sent.released => drop(self.flying.remove(place)),
            _ => {}
        }
    }
}
