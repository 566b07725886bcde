//! A client that keeps the rules: packet identifiers, QoS 2 in both directions, resending, receive
//! maximum. It tells the oracle what it sends and what it gets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;

use super::oracle::{Arrival, Number, Offer, Oracle, Parting, Pending, Wish};
use super::packet::{self, Got};
use super::script::{Bye, Keep, Profile, Testament};
use crate::broker::slots::Key;
use crate::broker::wire::{Ack, Packet, Qos, Reason, Version};

/// What a client owes the broker.
#[expect(clippy::enum_variant_names, reason = "the standard's names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    PubAck(NonZeroU16),
    PubRec(NonZeroU16),
    PubRel(NonZeroU16),
    PubComp(NonZeroU16),
}

/// A message of its own on its way.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    packet_id: NonZeroU16,
    number: Number,
    offer: Offer,
    /// PUBREC came.
    released: bool,
}

/// What a SUBACK or UNSUBACK answers.
#[derive(Clone, Debug)]
enum Asked {
    Subscribe(Wish, Pending),
    Unsubscribe(&'static str, Parting),
}

/// Its connection, both directions.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) key: Key,
    /// CONNACK came.
    pub(super) open: bool,
    /// Bytes the broker has not taken yet.
    pub(super) up: Vec<u8>,
    /// Bytes of a packet that is not whole yet.
    pub(super) partial: Vec<u8>,
    /// Since when the broker has bytes that its socket has no room for.
    pub(super) stalled: Option<u64>,
    /// Packets in the socket, each with its size in bytes.
    inbox: VecDeque<(Got, usize)>,
}

/// One client, connected or not.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) profile: Profile,
    pub(super) line: Option<Line>,
    next_id: u16,
    outgoing: Vec<Outgoing>,
    /// QoS 2 identifiers whose PUBREL has not come: the application has these.
    received: BTreeMap<u16, Option<Number>>,
    /// It has said that it forgets the session, and perhaps was not heard.
    parted: bool,
    /// Its session ends with its connection.
    fleeting: bool,
    /// Messages of this connection that it has not finished.
    flying: BTreeSet<u16>,
    owed: Vec<Answer>,
    asked: BTreeMap<u16, Asked>,
    server_maximum: usize,
    /// Retained messages since it was last asked, by topic.
    pub(super) kept: BTreeMap<String, Number>,
}

impl Client {
    pub(super) fn new(number: usize, profile: Profile) -> Client {
        Client {
            number,
            profile,
            line: None,
            next_id: 1,
            outgoing: Vec::new(),
            received: BTreeMap::new(),
            parted: false,
            fleeting: false,
            flying: BTreeSet::new(),
            owed: Vec::new(),
            asked: BTreeMap::new(),
            server_maximum: 0,
            kept: BTreeMap::new(),
        }
    }

    pub(super) fn connect(
        &mut self,
        key: Key,
        clean: bool,
        will: Option<Testament>,
        oracle: &mut Oracle,
    ) {
        // 3.1.1 knows no expiry and no delay: a clean session ends with its connection.
        let v5 = self.profile.version == Version::V5;
        let expiry_s = if v5 || !clean { self.profile.expiry_s } else { 0 };
        oracle.connecting(self.number, clean, expiry_s);
        self.parted |= self.fleeting; // MQTT-3.1.2-6: the last session ended with its connection
        self.fleeting = expiry_s == 0;
        let will = will.map(|asked| {
            let testament = Testament { delay_s: if v5 { asked.delay_s } else { 0 }, ..asked };
            (testament, oracle.bequeathing(self.number, testament))
        });
        let up = packet::connect(self.number, self.profile, clean, will);
        let (partial, inbox) = (Vec::new(), VecDeque::new());
        self.line = Some(Line { key, open: false, up, partial, stalled: None, inbox });
        self.flying.clear();
        self.owed.clear();
        self.asked.clear();
        if clean {
            // MQTT-3.1.2-4: its own part of the session, too, whether an answer comes or not.
            self.received.clear();
            self.outgoing.clear();
        }
    }

    /// Whether it may send.
    fn open(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.open)
    }

    /// Bytes in its socket that it has not read.
    pub(super) fn backlog(&self) -> usize {
        let Some(line) = &self.line else { return 0 };
        line.partial.len() + line.inbox.iter().map(|(_, size)| size).sum::<usize>()
    }

    /// Something is to be read or answered.
    pub(super) fn busy(&self) -> bool {
        let owes = !self.owed.is_empty();
        self.line.as_ref().is_some_and(|line| !line.inbox.is_empty() || line.open && owes)
    }

    /// Something of its own is not acknowledged yet.
    pub(super) fn waits(&self) -> bool {
        !self.outgoing.is_empty() || !self.asked.is_empty()
    }

    pub(super) fn disconnect(&mut self, bye: Bye, oracle: &mut Oracle) -> bool {
        let bytes = packet::disconnect(self.profile.version, bye);
        let Some(line) = self.line.as_mut().filter(|line| line.open) else { return false };
        line.up.extend(bytes);
        oracle.disconnecting(self.number, bye);
        if bye == Bye::Forget {
            // §3.1.2.11.2: with an expiry of 0 both sides forget the session when the connection ends,
            // and what was on its way with it; sent in the next session it would be another message.
            self.outgoing.clear();
            self.parted = true;
        }
        true
    }

    /// Gives the message's number when it is on its way.
    pub(super) fn publish(&mut self, offer: Offer, oracle: &mut Oracle) -> Option<Number> {
        if !self.open() || self.outgoing.len() >= self.server_maximum {
            return None;
        }
        let number = oracle.publishing(self.number, offer);
        if offer.qos == Qos::AtMostOnce {
            self.push(&packet::publish(self.profile.version, offer, number, None, false));
            return Some(number);
        }
        let packet_id = self.take_id();
        self.outgoing.push(Outgoing { packet_id, number, offer, released: false });
        let id = Some(packet_id);
        self.push(&packet::publish(self.profile.version, offer, number, id, false));
        Some(number)
    }

    pub(super) fn subscribe(&mut self, wish: Wish, oracle: &mut Oracle) {
        if !self.open() {
            return;
        }
        let pending = oracle.subscribing(self.number, wish);
        let packet_id = self.take_id();
        self.asked.insert(packet_id.get(), Asked::Subscribe(wish, pending));
        self.push(&packet::subscribe(self.profile.version, wish, packet_id));
    }

    pub(super) fn unsubscribe(&mut self, filter: &'static str, oracle: &mut Oracle) {
        if !self.open() {
            return;
        }
        let parting = oracle.unsubscribing(self.number, filter);
        let packet_id = self.take_id();
        self.asked.insert(packet_id.get(), Asked::Unsubscribe(filter, parting));
        self.push(&packet::unsubscribe(self.profile.version, filter, packet_id));
    }

    /// Sends one of the answers it owes.
    pub(super) fn answer(&mut self, which: usize) {
        if self.owed.is_empty() || !self.open() {
            return;
        }
        let answer = self.owed.remove(which % self.owed.len());
        let packet = match answer {
            Answer::PubAck(id) => {
                self.flying.remove(&id.get());
                Packet::PubAck(Ack::success(id))
            }
            Answer::PubRec(id) => Packet::PubRec(Ack::success(id)),
            Answer::PubRel(id) => Packet::PubRel(Ack::success(id)),
            Answer::PubComp(id) => {
                self.flying.remove(&id.get());
                Packet::PubComp(Ack::success(id))
            }
        };
        let bytes = packet::bytes(self.profile.version, &packet);
        self.push(&bytes);
    }

    /// The broker put a packet into its socket. CONNACK is read at once.
    pub(super) fn deliver(&mut self, (got, size): (Got, usize), since: u64, oracle: &mut Oracle) {
        if let Got::Publish(arrival) = &got {
            oracle.transmitted(self.number, arrival, since);
            self.takes_off(arrival, oracle);
        }
        if matches!(got, Got::ConnAck { .. }) {
            self.take(got, oracle);
        } else if let Some(line) = &mut self.line {
            line.inbox.push_back((got, size));
        }
    }

    /// Reads one packet; false when there is none.
    pub(super) fn read(&mut self, oracle: &mut Oracle) -> bool {
        let next = self.line.as_mut().and_then(|line| line.inbox.pop_front());
        let Some((got, _)) = next else { return false };
        self.take(got, oracle);
        true
    }

    fn take(&mut self, got: Got, oracle: &mut Oracle) {
        match got {
            Got::ConnAck { present, reason, receive_maximum } => {
                self.server_maximum = usize::from(receive_maximum);
                self.welcome(present, reason, oracle);
            }
            Got::Publish(arrival) => self.message(&arrival, oracle),
            Got::Cleared { qos, packet_id } => self.owe_for(qos, packet_id, None),
            Got::PubAck(id, reason) => self.settled(id, reason, Qos::AtLeastOnce, oracle),
            Got::PubRec(id, reason) => self.settled(id, reason, Qos::ExactlyOnce, oracle),
            Got::PubRel(id) => {
                if let Some(Some(number)) = self.received.remove(&id.get()) {
                    oracle.released(self.number, number);
                }
                self.owed.push(Answer::PubComp(id));
            }
            Got::PubComp(id) => self.outgoing.retain(|one| one.packet_id != id || !one.released),
            Got::SubAck(id, code) => self.suback(id, code, oracle),
            Got::Closing | Got::Ignored => {}
        }
    }

    fn welcome(&mut self, present: bool, reason: Reason, oracle: &mut Oracle) {
        if reason != Reason::Success {
            return oracle.breaks(format!("client {} is refused: {reason:?}", self.number));
        }
        if let Some(line) = &mut self.line {
            line.open = true;
        }
        oracle.connected(self.number, present);
        if !present {
            self.received.clear();
            self.parted = false;
            self.outgoing.clear();
            return;
        }
        for one in self.outgoing.clone() {
            if one.released {
                let release = Packet::PubRel(Ack::success(one.packet_id));
                self.push(&packet::bytes(self.profile.version, &release));
                continue;
            }
            oracle.publishing_again(one.number);
            let (version, id) = (self.profile.version, Some(one.packet_id));
            self.push(&packet::publish(version, one.offer, one.number, id, true));
        }
    }

    fn message(&mut self, arrival: &Arrival, oracle: &mut Oracle) {
        if arrival.retain {
            self.kept.insert(arrival.topic_is.to_owned(), arrival.number);
        }
        let new = match arrival.qos {
            Qos::AtMostOnce | Qos::AtLeastOnce => true,
            Qos::ExactlyOnce => !self.received.contains_key(&arrival.packet_id),
        };
        if new {
            oracle.arrived(self.number, arrival);
        }
        self.owe_for(arrival.qos, arrival.packet_id, Some(arrival.number));
    }

    /// Identifiers are used once at a time, and no more of them than the client allows.
    fn takes_off(&mut self, arrival: &Arrival, oracle: &mut Oracle) {
        if arrival.qos == Qos::AtMostOnce {
            return;
        }
        let id = arrival.packet_id;
        if self.parted && !arrival.dup {
            self.received.remove(&id); // of the session that it forgot: this is another
        }
        let in_use = self.flying.contains(&id) || self.received.contains_key(&id);
        if in_use && !arrival.dup {
            oracle.breaks(format!("client {}: {arrival:?}: identifier in use", self.number));
        }
        self.flying.insert(id);
        if self.flying.len() > usize::from(self.profile.receive_maximum) {
            oracle.breaks(format!("client {}: more than its receive maximum", self.number));
        }
    }

    fn owe_for(&mut self, qos: Qos, packet_id: u16, number: Option<Number>) {
        let Some(id) = NonZeroU16::new(packet_id) else { return };
        if qos == Qos::ExactlyOnce {
            self.received.entry(packet_id).or_insert(number);
        }
        let answer = if qos == Qos::ExactlyOnce { Answer::PubRec(id) } else { Answer::PubAck(id) };
        self.owed.push(answer);
    }

    /// PUBACK or PUBREC for a message of its own.
    fn settled(&mut self, id: NonZeroU16, reason: Reason, qos: Qos, oracle: &mut Oracle) {
        let known = |one: &Outgoing| one.packet_id == id && one.offer.qos == qos;
        let Some(place) = self.outgoing.iter().position(known) else { return };
        let number = self.outgoing[place].number;
        if reason.is_error() {
            self.outgoing.remove(place);
            return oracle.refused(number);
        }
        oracle.acknowledged(number);
        if qos == Qos::AtLeastOnce {
            self.outgoing.remove(place);
        } else {
            self.outgoing[place].released = true;
            self.owed.push(Answer::PubRel(id));
        }
    }

    fn suback(&mut self, id: NonZeroU16, code: u8, oracle: &mut Oracle) {
        match self.asked.remove(&id.get()) {
            Some(Asked::Subscribe(wish, pending)) => {
                oracle.subscribed(self.number, wish, Qos::of(code), &pending);
            }
            Some(Asked::Unsubscribe(filter, parting)) => {
                oracle.unsubscribed(self.number, filter, parting, code < 0x80);
            }
            None => {}
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(line) = &mut self.line {
            line.up.extend_from_slice(bytes);
        }
    }

    fn take_id(&mut self) -> NonZeroU16 {
        loop {
            let id = NonZeroU16::new(self.next_id).unwrap_or(NonZeroU16::MIN);
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            let busy = self.outgoing.iter().any(|one| one.packet_id == id);
            if !busy && !self.asked.contains_key(&id.get()) {
                return id;
            }
        }
    }
}

/// A clearing PUBLISH has no payload to carry its number.
pub(super) fn payload(offer: Offer, number: Number) -> String {
    if offer.keep == Keep::Clear { String::new() } else { number.to_string() }
}
