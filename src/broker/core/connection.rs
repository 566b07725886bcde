//! One network connection as the core sees it: bytes to send, acknowledgements owed, the clock of its
//! keep-alive.
//!
//! ```text
//!   Greeting ── CONNECT ──> Open ── DISCONNECT, error, silence ──> Closing
//!       └── with password ──> Verifying ──┘
//! ```

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use super::alias;
use crate::broker::identity::Transport;
use crate::broker::intake::Ticket;
use crate::broker::slots::Key;
use crate::broker::wire::{self, Ack, Packet, PropertyBuffer, Publish, Reason, Version};
use crate::contract::Role;

/// Where a connection is in its life.
#[derive(Debug)]
pub(crate) enum State {
    /// Nothing but a CONNECT is taken.
    Greeting,
    /// Its CONNECT waits for the password to be checked.
    Verifying(Box<[u8]>),
    /// It has a session.
    Open(Key),
    /// Nothing is read any more.
    Closing,
}

/// Where a connection comes from: what the kernel and the listener say.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) transport: Transport,
    /// Of a TCP connection.
    pub(crate) address: Option<IpAddr>,
    /// `unix`, `tcp`.
    pub(crate) listener: &'static str,
    pub(crate) max_role: Role,
}

/// With whom a connection shares its share of connections: a uid, or an address without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Crowd {
    Uid(u32),
    Address(Option<IpAddr>),
}

impl Origin {
    pub(crate) fn crowd(&self) -> Crowd {
        match &self.transport {
            Transport::Unix(owner) | Transport::Loopback(Some(owner)) => Crowd::Uid(owner.uid),
            Transport::Loopback(None) | Transport::Remote => Crowd::Address(self.address),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.transport, self.address) {
            (Transport::Unix(owner) | Transport::Loopback(Some(owner)), _) => {
                write!(f, "{}:{}", self.listener, owner.login)
            }
            (Transport::Loopback(None) | Transport::Remote, Some(address)) => {
                write!(f, "{}:{address}", self.listener)
            }
            (Transport::Loopback(None) | Transport::Remote, None) => f.write_str(self.listener),
        }
    }
}

/// One network connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) origin: Origin,
    pub(crate) state: State,
    pub(crate) version: Version,
    /// Bytes to write, in order.
    pub(crate) out: Vec<u8>,
    /// It is in this turn's list of those with bytes to write.
    pub(crate) dirty: bool,
    /// Acknowledgements in the order of what they acknowledge (MQTT-4.6.0-2).
    pub(crate) owed: VecDeque<Owed>,
    /// One and a half keep-alives; `None` when the client asked for none.
    pub(crate) patience: Option<Duration>,
    pub(crate) last_seen: Instant,
    /// The largest packet the client takes.
    pub(crate) max_packet: usize,
    /// The client wants reason strings (§3.1.2.11.7).
    pub(crate) wants_reasons: bool,
    /// The client named itself.
    pub(crate) id_is_chosen: bool,
    /// What the client's topic aliases stand for.
    pub(super) aliases_in: alias::Inbound,
    /// The aliases we assign; `None` when the client takes none.
    pub(super) aliases_out: Option<Box<alias::Outbound>>,
    /// QoS 1 and 2 publishes of this connection that we have not done with (§4.9).
    pub(super) unfinished: u16,
    /// Over a limit of connections, and in only to be told so: the text.
    pub(crate) surplus: Option<&'static str>,
}

/// An acknowledgement that has its place in the order, and perhaps still waits.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    pub(crate) kind: Kind,
    pub(crate) packet_id: NonZeroU16,
    /// What it waits for; `None` when it may go.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

/// Which acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of QoS 1.
    PubAck,
    /// Of QoS 2.
    PubRec,
}

impl Connection {
    pub(crate) fn new(origin: Origin, now: Instant) -> Connection {
        Connection {
            origin,
            state: State::Greeting,
            version: Version::V5,
            out: Vec::new(),
            dirty: false,
            owed: VecDeque::new(),
            patience: None,
            last_seen: now,
            max_packet: usize::MAX,
            wants_reasons: true,
            id_is_chosen: false,
            aliases_in: alias::Inbound::default(),
            aliases_out: None,
            unfinished: 0,
            surplus: None,
        }
    }

    /// Appends a packet, without its reason string when the client cannot take or does not want it.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        let _ = wire::encode_within(self.version, packet, self.max_packet, &mut self.out);
    }

    /// Appends a PUBLISH, with a topic alias where the client takes one.
    pub(super) fn publish(&mut self, publish: &Publish<'_>) {
        let (version, max, out) = (self.version, self.max_packet, &mut self.out);
        let mut send = |publish: &Publish<'_>| {
            let _ = wire::encode_within(version, &Packet::Publish(*publish), max, out);
        };
        match &mut self.aliases_out {
            None => send(publish),
            Some(aliases) => aliases.publish(publish, max, send),
        }
    }

    /// A publish with an acknowledgement is done with, for better or worse.
    pub(super) fn finished(&mut self) {
        self.unfinished = self.unfinished.saturating_sub(1);
    }

    /// Notes an acknowledgement in its place; it goes out when everything before it has.
    pub(crate) fn owe(&mut self, owed: Owed) {
        if owed.ticket.is_none() && self.owed.is_empty() {
            self.send_owed(&owed);
        } else {
            self.owed.push_back(owed);
        }
    }

    /// Lets those go that waited for `ticket`, and whatever they held back.
    pub(crate) fn settle(&mut self, ticket: Ticket, reason: Reason, text: &str) {
        for owed in self.owed.iter_mut().filter(|owed| owed.ticket == Some(ticket)) {
            owed.ticket = None;
            owed.reason = reason;
            owed.text = text.to_string();
        }
        while let Some(owed) = self.owed.pop_front_if(|owed| owed.ticket.is_none()) {
            self.send_owed(&owed);
        }
    }

    fn send_owed(&mut self, owed: &Owed) {
        if owed.kind == Kind::PubAck || owed.reason.is_error() {
            self.finished();
        }
        let mut properties = PropertyBuffer::new();
        if self.wants_reasons && !owed.text.is_empty() {
            properties.reason_string(&owed.text);
        }
        let ack = Ack {
            packet_id: owed.packet_id,
            reason: owed.reason,
            properties: properties.as_properties(),
        };
        self.send(&match owed.kind {
            Kind::PubAck => Packet::PubAck(ack),
            Kind::PubRec => Packet::PubRec(ack),
        });
    }
}
