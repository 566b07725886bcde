//! One network connection as the core sees it: bytes to send, acknowledgements owed, the clock of its
//! keep-alive.
//!
//! ```text
//!   Greeting ── CONNECT ──> Open ── DISCONNECT, error, silence ──> Closing
//!       ├── with password ──> Verifying ──┘
//!       └── too slow, or pushed out ──────────────────────────────> Closing
//! ```

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use super::alias;
use super::traffic::Traffic;
use crate::broker::crowd::Crowd;
use crate::broker::group::Group;
use crate::broker::identity::Transport;
use crate::broker::intake::Ticket;
use crate::broker::session::Options;
use crate::broker::slots::Key;
use crate::broker::total::Tally;
use crate::broker::wire::{
    self, Ack, Packet, Properties, PropertyBuffer, Publish, Reason, SubAck, Version,
};
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
    /// `unix`, `tcp`, `tls`, `ws`, `wss`.
    pub(crate) listener: &'static str,
    pub(crate) max_role: Role,
}

impl Origin {
    /// With whom it shares its share of connections, and of attempts at a password.
    pub(crate) fn crowd(&self) -> Crowd {
        match &self.transport {
            Transport::Unix(owner) | Transport::Loopback(Some(owner)) => Crowd::Uid(owner.uid),
            Transport::Loopback(None) | Transport::Remote | Transport::Certificate(_) => {
                self.address.map_or(Crowd::Loopback, Crowd::at)
            }
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.transport, self.address) {
            (Transport::Unix(owner) | Transport::Loopback(Some(owner)), _) => {
                write!(f, "{}:{}", self.listener, owner.login)
            }
            (
                Transport::Loopback(None) | Transport::Remote | Transport::Certificate(_),
                address,
            ) => match address {
                Some(address) => write!(f, "{}:{address}", self.listener),
                None => f.write_str(self.listener),
            },
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
    /// How many of them are SUBACKs, or the CONNACK.
    pub(super) held_back: u32,
    /// The last ticket it was put down for.
    pub(crate) waits_for: Option<Ticket>,
    /// One and a half keep-alives; `None` when the client asked for none.
    pub(crate) patience: Option<Duration>,
    /// When it came.
    pub(crate) since: Instant,
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
    /// What went over it.
    pub(super) traffic: Traffic,
    /// Without a place among those that count: over a limit of connections and in only to be told so, or
    /// on its way out to make room. The text.
    pub(crate) surplus: Option<&'static str>,
    /// It is owed something that is larger than any packet it takes.
    pub(super) unsayable: bool,
    /// What it had not taken when something was written last.
    pub(super) unread: Tally,
    /// What it has sent of a packet that is not whole, and the names of its topic aliases.
    pub(super) unfinished_bytes: Tally,
}

/// An acknowledgement that has its place in the order, and perhaps still waits.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) answer: Answer,
    /// What it waits for; `None` when it may go.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

/// Which acknowledgement.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Of a QoS 1 PUBLISH.
    PubAck(NonZeroU16),
    /// Of a QoS 2 PUBLISH.
    PubRec(NonZeroU16),
    /// Of a PUBREC. It goes out when its step is on disk, or the disk does not take it: then only a
    /// kill could make the message come again, while to hold it back would stop a queue that could
    /// drain.
    PubRel(NonZeroU16),
    /// Of a PUBREL.
    PubComp(NonZeroU16),
    /// Of a CONNECT that changed what the disk has of an older session, encoded: after a kill that one
    /// must not be there again. It goes out when the disk does not take it, too: the daemon runs on
    /// from RAM.
    ConnAck(Box<[u8]>),
    /// Of SUBSCRIBE. Until it is out nothing goes out that is not an acknowledgement.
    SubAck(Box<Filters>),
    /// Of UNSUBSCRIBE.
    UnsubAck(Box<Filters>),
}

/// What a SUBSCRIBE or an UNSUBSCRIBE did.
#[derive(Debug)]
pub(crate) struct Filters {
    pub(crate) packet_id: NonZeroU16,
    pub(crate) codes: Vec<u8>,
    /// How to take it back.
    pub(crate) undo: Vec<Undo>,
}

/// What a filter was before.
#[derive(Debug)]
pub(crate) struct Undo {
    pub(crate) filter: Box<str>,
    pub(crate) before: Option<Options>,
    /// The shared subscription that ended with it, under its key, and what waited there.
    pub(crate) group: Option<Box<(Key, Group)>>,
}

/// What became of acknowledgements whose ticket failed.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// There was one that says that something is safe.
    pub(crate) any: bool,
    /// There was one that MQTT has no refusal for.
    pub(crate) unspeakable: bool,
    pub(crate) undo: Vec<Undo>,
    /// Shared subscriptions that began again since: what waited in them waits there.
    pub(crate) groups: Vec<Group>,
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
            held_back: 0,
            waits_for: None,
            patience: None,
            since: now,
            last_seen: now,
            max_packet: usize::MAX,
            wants_reasons: true,
            id_is_chosen: false,
            aliases_in: alias::Inbound::default(),
            aliases_out: None,
            unfinished: 0,
            traffic: Traffic::default(),
            surplus: None,
            unsayable: false,
            unread: Tally::default(),
            unfinished_bytes: Tally::default(),
        }
    }

    /// Appends a packet, without its reason string when the client cannot take or does not want it.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        let before = self.out.len();
        let sent = wire::encode_within(self.version, packet, self.max_packet, &mut self.out);
        self.unsayable |= sent.is_err();
        self.traffic.went(self.out.len() - before);
    }

    /// Appends a PUBLISH, with a topic alias where the client takes one; false when it is too large.
    pub(super) fn publish(&mut self, publish: &Publish<'_>) -> bool {
        let before = self.out.len();
        let (version, max, out) = (self.version, self.max_packet, &mut self.out);
        let mut send = |publish: &Publish<'_>| {
            let _ = wire::encode_within(version, &Packet::Publish(*publish), max, out);
        };
        match &mut self.aliases_out {
            None => send(publish),
            Some(aliases) => aliases.publish(publish, max, send),
        }
        let size = self.out.len() - before;
        self.traffic.went(size);
        if size > 0 {
            self.traffic.publish_went(publish.payload.len());
        }
        size > 0
    }

    /// Shared subscriptions that ended, and begin again if the disk does not take that.
    pub(super) fn ended_groups(&mut self) -> impl Iterator<Item = &mut (Key, Group)> {
        let undo = self.owed.iter_mut().flat_map(|owed| match &mut owed.answer {
            Answer::SubAck(filters) | Answer::UnsubAck(filters) => &mut filters.undo[..],
            Answer::PubAck(_)
            | Answer::PubRec(_)
            | Answer::PubRel(_)
            | Answer::PubComp(_)
            | Answer::ConnAck(_) => &mut [],
        });
        undo.filter_map(|undo| undo.group.as_deref_mut())
    }

    /// What waits in them, bytes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn bytes_to_take_back(&self) -> usize {
        let undo = self.owed.iter().flat_map(|owed| match &owed.answer {
            Answer::SubAck(filters) | Answer::UnsubAck(filters) => &filters.undo[..],
            Answer::PubAck(_)
            | Answer::PubRec(_)
            | Answer::PubRel(_)
            | Answer::PubComp(_)
            | Answer::ConnAck(_) => &[],
        });
        undo.filter_map(|undo| Some(undo.group.as_ref()?.1.queue.bytes())).sum()
    }

    /// Notes what it has not taken.
    pub(super) fn note_unread(&mut self) {
        self.unread.set(self.out.len());
    }

    /// Notes an acknowledgement in its place; it goes out when everything before it has.
    pub(crate) fn owe(&mut self, owed: Owed) {
        if owed.ticket.is_none() && self.owed.is_empty() {
            return self.send_owed(&owed);
        }
        self.held_back += u32::from(owed.answer.holds_back());
        self.owed.push_back(owed);
    }

    /// Whether its CONNACK waits: nothing more is read, and nothing else is said.
    pub(crate) fn unanswered(&self) -> bool {
        self.owed.front().is_some_and(|owed| matches!(owed.answer, Answer::ConnAck(_)))
    }

    /// Whether a SUBACK waits: what its subscriptions bring must not overtake it.
    pub(crate) fn holding(&self) -> bool {
        self.held_back > 0
    }

    /// Lets those go that waited for `ticket`, and whatever they held back.
    pub(crate) fn settle(&mut self, ticket: Ticket) {
        for owed in self.owed.iter_mut().filter(|owed| owed.ticket == Some(ticket)) {
            owed.ticket = None;
        }
        while let Some(owed) = self.owed.pop_front_if(|owed| owed.ticket.is_none()) {
            self.held_back -= u32::from(owed.answer.holds_back());
            self.send_owed(&owed);
        }
        if self.owed.is_empty() && self.owed.capacity() > 64 {
            self.owed = VecDeque::new(); // a burst's memory is given back
        }
    }

    /// What waited for `ticket` is not safe, and will say so.
    pub(crate) fn fail(&mut self, ticket: Ticket, reason: Reason, text: &str) -> Lost {
        let mut lost = Lost::default();
        for owed in self.owed.iter_mut().filter(|owed| owed.ticket == Some(ticket)) {
            lost.any |= !matches!(owed.answer, Answer::PubRel(_) | Answer::ConnAck(_));
            match &mut owed.answer {
                Answer::PubAck(_) | Answer::PubRec(_) => {
                    (owed.reason, owed.text) = (reason, text.to_string());
                }
                Answer::PubRel(_) | Answer::ConnAck(_) => {}
                Answer::PubComp(_) => lost.unspeakable = true,
                Answer::SubAck(filters) => {
                    filters.refuse(reason);
                    lost.undo.append(&mut filters.undo);
                }
                Answer::UnsubAck(filters) => {
                    filters.refuse(Reason::ImplementationSpecificError); // §3.11.3 has no quota
                    lost.undo.append(&mut filters.undo);
                }
            }
        }
        self.keep_newer(ticket, &mut lost);
        lost
    }

    /// A filter that was changed again since stays as it is: should that fail, too, it goes back to what
    /// it was before both.
    fn keep_newer(&mut self, ticket: Ticket, lost: &mut Lost) {
        let mut now = Vec::new();
        for change in std::mem::take(&mut lost.undo).into_iter().rev() {
            let since = self.owed.iter_mut().filter(|owed| owed.ticket != Some(ticket));
            let mut since = since.filter_map(|owed| match &mut owed.answer {
                Answer::SubAck(filters) | Answer::UnsubAck(filters) => Some(&mut filters.undo),
                Answer::PubAck(_)
                | Answer::PubRec(_)
                | Answer::PubRel(_)
                | Answer::PubComp(_)
                | Answer::ConnAck(_) => None,
            });
            let since =
                since.find_map(|undo| undo.iter_mut().find(|it| it.filter == change.filter));
            match since {
                Some(since) => {
                    since.before = change.before;
                    lost.groups.extend(change.group.map(|ended| ended.1));
                }
                None => now.push(change),
            }
        }
        now.reverse();
        lost.undo = now;
    }

    /// What waits for one ticket waits for another now.
    pub(crate) fn wait_on(&mut self, from: Ticket, to: Ticket) {
        for owed in self.owed.iter_mut().filter(|owed| owed.ticket == Some(from)) {
            owed.ticket = Some(to);
        }
    }

    fn send_owed(&mut self, owed: &Owed) {
        if let Answer::ConnAck(bytes) = &owed.answer {
            self.traffic.went(bytes.len());
            return self.out.extend_from_slice(bytes);
        }
        let finished = match owed.answer {
            Answer::PubAck(_) => true,
            Answer::PubRec(_) => owed.reason.is_error(),
            Answer::PubComp(_) => owed.reason == Reason::Success,
            Answer::PubRel(_) | Answer::ConnAck(_) | Answer::SubAck(_) | Answer::UnsubAck(_) => {
                false
            }
        };
        // A publish with an acknowledgement is done with, for better or worse.
        self.unfinished = self.unfinished.saturating_sub(u16::from(finished));
        let mut properties = PropertyBuffer::new();
        if self.wants_reasons && !owed.text.is_empty() {
            properties.reason_string(&owed.text);
        }
        let properties = properties.as_properties();
        let ack = |packet_id| Ack { packet_id, reason: owed.reason, properties };
        self.send(&match &owed.answer {
            Answer::PubAck(packet_id) => Packet::PubAck(ack(*packet_id)),
            Answer::PubRec(packet_id) => Packet::PubRec(ack(*packet_id)),
            Answer::PubRel(packet_id) => Packet::PubRel(ack(*packet_id)),
            Answer::PubComp(packet_id) => Packet::PubComp(ack(*packet_id)),
            Answer::ConnAck(_) => return, // above
            Answer::SubAck(answered) => Packet::SubAck(answered.ack(properties)),
            Answer::UnsubAck(answered) => Packet::UnsubAck(answered.ack(properties)),
        });
    }
}

impl Answer {
    /// Whether nothing but acknowledgements may go out before it.
    fn holds_back(&self) -> bool {
        matches!(self, Answer::SubAck(_) | Answer::ConnAck(_))
    }
}

impl Owed {
    /// Something to be acknowledged with success, now or when the ticket is settled.
    pub(crate) fn success(answer: Answer, ticket: Option<Ticket>) -> Owed {
        Owed { answer, ticket, reason: Reason::Success, text: String::new() }
    }
}

impl Filters {
    fn ack<'a>(&'a self, properties: Properties<'a>) -> SubAck<'a> {
        SubAck { packet_id: self.packet_id, properties, codes: &self.codes }
    }

    /// Every filter that was granted is refused.
    fn refuse(&mut self, reason: Reason) {
        for code in self.codes.iter_mut().filter(|code| **code < 0x80) {
            *code = reason as u8;
        }
    }
}
