//! The broker's decisions: bytes and operations in, bytes and effects out. Pure: no socket, no disk, no
//! clock.
//!
//! ```text
//!  bytes ──> frame ──> connect │ publish │ subscribe │ acknowledge │ ping │ disconnect
//!                                  │
//!            may it? ── no ──> told: reason code, event/broker/<client>/refused
//!                │ yes
//!            a command? ── yes ──> held, until the gate has decided
//!                │
//!            keep (retained) ──> tree ──> each session: may it read? ──> sent now, or queued
//!                │
//!            acknowledged when it is safe: in order, after the commit if anything went to disk
//! ```
//!
//! | file | decides |
//! |---|---|
//! | `connect` | who comes in: identity, client id, session, will |
//! | `alias` | which topic a number stands for |
//! | `publish` | what is taken, kept, held, acknowledged |
//! | `deliver` | what goes out to whom, and what waits |
//! | `subscribe` | filters |
//! | `replay` | retained messages for a new subscription, a piece at a time |
//! | `share` | which member of a shared subscription gets it |
//! | `link` | the same for the links of this process |
//! | `leave` | the end of connections and sessions, wills |
//! | `tell` | the broker's own words: refusals, presence |
//! | `settle` | what waited for the disk, or the gate |
//! | `rows`, `restore` | sessions, queues and retained messages on disk |

mod alias;
#[cfg(any(test, fuzzing))]
mod check;
mod connect;
mod connection;
mod deliver;
mod effects;
mod leave;
mod link;
mod publish;
mod replay;
mod restore;
mod rows;
mod settle;
mod share;
mod subscribe;
mod sys;
mod tell;
#[cfg(test)]
mod tests;
mod timers;
mod traffic;
#[cfg(any(test, fuzzing))]
pub mod trial;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

pub(super) use effects::Effects;
use effects::Hold;
pub use traffic::Traffic;

pub(super) use connection::Origin;
use connection::{Connection, Crowd, State};
use timers::{Timer, Timers};

use super::acl::Acl;
use super::group::Group;
use super::intake::{LinkId, Op, Reply, Ticket};
use super::limits::{Hits, Limit, Limits};
use super::message::{Message, Now};
use super::retained::Retained;
use super::session::Session;
use super::slots::{Key, Slots};
use super::tree::{Matched, Tree};
use super::wire::{
    self, Disconnect, Malformed, Packet, PacketType, Properties, PropertyBuffer, Reason, Version,
};
use crate::service::Stamper;
use crate::topic::Root;

/// What one connection may cost before others have their turn, in steps of roughly 100 ns.
const SLICE: usize = 5000;

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// What the core is made with.
pub(crate) struct Setting {
    pub(crate) root: Root,
    pub(crate) acl: Acl,
    pub(crate) limits: Limits,
    /// The daemon's uid.
    pub(crate) own_uid: u32,
    /// The gid of the group `maestro`.
    pub(crate) operators: Option<u32>,
    pub(crate) stamper: Stamper,
}

/// The broker.
pub(crate) struct Core {
    setting: Setting,
    connections: Slots<Connection>,
    sessions: Slots<Session>,
    clients: HashMap<Arc<str>, Key>,
    crowds: HashMap<Crowd, u32>,
    /// Connections beyond the limits, in only to be told so.
    surplus: usize,
    links: HashMap<LinkId, Key>,
    tree: Tree,
    groups: Slots<Group>,
    /// By share filter.
    group_keys: HashMap<Box<str>, Key>,
    retained: Retained,
    replays: replay::Replays,
    /// What the bytes of one connection have cost in this call, in steps of roughly 100 ns.
    spent: usize,
    /// Who waits for a ticket.
    waiting: HashMap<Ticket, Vec<Waiter>>,
    held: HashMap<Ticket, Held>,
    next_ticket: Ticket,
    next_row: u64,
    timers: Timers,
    /// Used again for each publish.
    matched: Matched,
    properties: PropertyBuffer,
    counters: Counters,
    telling: Telling,
    sys: sys::Sys,
    own_name: Arc<str>,
}

/// Who waits until something is safe.
#[derive(Debug)]
enum Waiter {
    /// It owes acknowledgements.
    Connection(Key),
    /// It has messages or packet identifiers that are not safe yet.
    Session(Key),
    /// The same for a shared subscription.
    Group(Key),
    Link(Reply),
}

/// A publish the gate has.
#[derive(Debug)]
struct Held {
    message: Arc<Message>,
    publisher: Option<publish::Publisher>,
}

/// Counts since the start, and what is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// PUBLISH packets taken from clients and links.
    pub published: u64,
    /// Messages sent to clients and links.
    pub delivered: u64,
    /// Messages that found no room in a queue or a slow connection's buffer, or expired there.
    pub dropped: u64,
    /// Publishes, subscriptions and connections refused.
    pub refused: u64,
    /// Network connections now.
    pub clients: u64,
    /// Sessions now, links included.
    pub sessions: u64,
    /// Retained messages now.
    pub retained: u64,
    /// What went over the connections, those that ended included.
    pub traffic: Traffic,
    /// How often each limit was hit.
    pub limits: Hits,
}

impl Core {
    pub(crate) fn new(setting: Setting) -> Core {
        let retained = Retained::new(setting.limits.retained);
        Core {
            setting,
            connections: Slots::default(),
            sessions: Slots::default(),
            clients: HashMap::new(),
            crowds: HashMap::new(),
            surplus: 0,
            links: HashMap::new(),
            tree: Tree::default(),
            groups: Slots::default(),
            group_keys: HashMap::new(),
            retained,
            replays: replay::Replays::default(),
            spent: 0,
            waiting: HashMap::new(),
            held: HashMap::new(),
            next_ticket: 1,
            next_row: 1,
            timers: Timers::default(),
            matched: Matched::default(),
            properties: PropertyBuffer::new(),
            counters: Counters::default(),
            telling: Telling::default(),
            sys: sys::Sys::default(),
            own_name: "maestro:broker".into(),
        }
    }

    /// A connection came; `None` when there is no room for it.
    pub(crate) fn accept(&mut self, now: Now, origin: Origin) -> Option<Key> {
        let limits = &self.setting.limits;
        let crowd = origin.crowd();
        let count = self.crowds.get(&crowd).copied().unwrap_or(0);
        let surplus = if self.connections.len() - self.surplus >= limits.connections {
            Some((
                "there are as many connections as broker.limits.max_connections allows",
                Limit::Connections,
            ))
        } else if count >= limits.connections_per_uid {
            Some((
                "you have as many connections as broker.limits.max_connections_per_uid allows",
                Limit::ConnectionsPerUid,
            ))
        } else {
            None
        };
        if let Some((_, limit)) = surplus {
            self.counters.refused += 1;
            self.counters.limits.count(limit);
            if self.surplus >= limits.surplus {
                return None;
            }
            self.surplus += 1;
        } else {
            *self.crowds.entry(crowd).or_default() += 1;
        }
        let until = now.at + limits.connect_timeout;
        let surplus = surplus.map(|(text, _)| text);
        let connection = Connection { surplus, ..Connection::new(origin, now.at) };
        let key = self.connections.insert(connection);
        self.due_at(until, Timer::Greeting(key));
        Some(key)
    }

    /// Bytes came; returns how many of them are done with. Fewer than all means: wait for more, or
    /// (after a CONNECT with a password) until [`Core::reading`] again, or, when this was a slice of
    /// what there is to do ([`Core::sliced`]), let others have their turn and come back.
    pub(crate) fn received(&mut self, key: Key, bytes: &[u8], fx: &mut Effects) -> usize {
        let mut done = 0;
        self.spent = 0;
        if let Some(connection) = self.connections.get_mut(key) {
            connection.last_seen = fx.now.at;
        }
        while self.spent < SLICE
            && let Some(connection) = self.connections.get(key)
        {
            let max = match connection.state {
                State::Greeting => self.setting.limits.connect_size,
                State::Open(_) => self.setting.limits.packet_size,
                State::Verifying(_) => break,
                State::Closing => return bytes.len(),
            };
            let frame = match wire::frame(&bytes[done..], max) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(malformed) => {
                    self.malformed(key, malformed, fx);
                    return bytes.len();
                }
            };
            done += frame.size;
            if let Some(connection) = self.connections.get_mut(key) {
                connection.traffic.came(frame.size);
            }
            self.spent += 2 + frame.size / 256;
            if let Err(malformed) = self.packet(key, &frame, fx) {
                self.malformed(key, malformed, fx);
                return bytes.len();
            }
        }
        done
    }

    /// Whether the last [`Core::received`] stopped because it had cost enough.
    pub(crate) fn sliced(&self) -> bool {
        self.spent >= SLICE
    }

    /// Whether the loop should read from this connection.
    pub(crate) fn reading(&self, key: Key) -> bool {
        self.connections.get(key).is_some_and(|connection| match connection.state {
            State::Greeting => true,
            // Whoever does not take our answers gives us no more questions.
            State::Open(_) => {
                connection.out.len() <= self.setting.limits.outbox
                    && connection.owed.len() <= self.setting.limits.owed
            }
            State::Verifying(_) | State::Closing => false,
        })
    }

    /// The bytes to write to a connection; the loop takes away what it wrote.
    pub(crate) fn outbox(&mut self, key: Key) -> Option<&mut Vec<u8>> {
        self.connections.get_mut(key).map(|connection| &mut connection.out)
    }

    /// The loop wrote what it could; a connection that has room again gets what waited.
    pub(crate) fn written(&mut self, key: Key, fx: &mut Effects) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.dirty = false;
        if let State::Open(session) = connection.state
            && connection.out.len() <= self.setting.limits.outbox / 2
        {
            self.pump(session, fx);
        }
    }

    fn packet(
        &mut self,
        key: Key,
        frame: &wire::Frame<'_>,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        let State::Open(session) = connection.state else {
            let connect = wire::decode_connect(frame)?;
            self.connect(key, &connect, frame, fx);
            return Ok(());
        };
        // Before it is looked into: what is wrong with a CONNECT is no reason for a DISCONNECT.
        if PacketType::of(frame.header)? == PacketType::Connect {
            return Err(Malformed::SecondConnect);
        }
        let packet = wire::decode(connection.version, frame)?;
        packet.from_client()?;
        if self.too_many_filters(session, &packet) {
            let text = "more filters in one packet than broker.limits.max_subscriptions allows";
            self.end(key, Reason::QuotaExceeded, text, fx);
            return Ok(());
        }
        match packet {
            Packet::Publish(publish) => self.publish_in(key, &publish, fx),
            Packet::PubAck(ack) => self.puback(session, &ack, fx),
            Packet::PubRec(ack) => self.pubrec(key, &ack, fx),
            Packet::PubRel(ack) => self.pubrel(key, &ack, fx),
            Packet::PubComp(ack) => self.pubcomp(session, &ack, fx),
            Packet::Subscribe(subscribe) => self.subscribe(key, &subscribe, fx),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(key, &unsubscribe, fx),
            Packet::PingReq => self.send(key, &Packet::PingResp, fx),
            Packet::Disconnect(disconnect) => self.disconnected(key, &disconnect, fx),
            Packet::Auth(_) => {
                self.end(key, Reason::ProtocolError, "no extended authentication", fx)
            }
            Packet::Connect(_) => return Err(Malformed::SecondConnect),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(Malformed::NotFromClient);
            }
        }
        Ok(())
    }

    /// Whether one packet names more filters than a session may have. What few bytes ask for in a
    /// megabyte would keep everyone else waiting.
    fn too_many_filters(&mut self, session: Key, packet: &Packet<'_>) -> bool {
        let filters = if let Packet::Subscribe(subscribe) = packet {
            subscribe.subscriptions.iter().count()
        } else if let Packet::Unsubscribe(unsubscribe) = packet {
            unsubscribe.filters.iter().count()
        } else {
            return false;
        };
        // All filters of a durable session are written again.
        let written = self.sessions.get(session).map_or(0, |session| session.filters.len());
        self.spent += 20 + 20 * filters + 2 * written;
        filters > self.setting.limits.subscriptions
    }

    /// An operation of this process.
    pub(crate) fn operation(&mut self, op: Op, fx: &mut Effects) {
        self.began(fx.now.at);
        match op {
            Op::Attach { link, principal, deliveries: _ } => {
                self.attach(link, principal, fx);
            }
            Op::Detach { link } => self.detach(link, fx),
            Op::Publish { link, message, reply } => self.link_publish(link, &message, reply, fx),
            Op::Subscribe { link, filter, qos, reply } => {
                let result = self.link_subscribe(link, &filter, qos, fx);
                fx.answers.push((reply, result));
            }
            Op::Unsubscribe { link, filter } => self.link_unsubscribe(link, &filter, fx),
            Op::Acknowledge { link, token } => self.link_acknowledge(link, token, fx),
            Op::Released { ticket, verdict } => self.released(ticket, verdict, fx),
            Op::Stored { ticket, result } => self.stored(ticket, &result, fx),
            Op::Verified { connection, password } => self.verified(connection, password, fx),
            Op::Stop => self.stop(fx),
            Op::Arrived(_) | Op::Reload | Op::Count { .. } | Op::Disconnect { .. } | Op::Panic => {} // the loop's
        }
    }

    /// When something is due next.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due.
    pub(crate) fn due(&mut self, fx: &mut Effects) {
        while let Some(timer) = self.timers.due(fx.now.at) {
            match timer {
                Timer::Greeting(key) => self.greeting_due(key, fx),
                Timer::Alive(key) => self.alive_due(key, fx),
                Timer::Session(key) => self.session_due(key, fx),
                Timer::Dropped(key) => self.drops_due(key, fx),
                Timer::GroupDropped(key) => self.group_drops_due(key, fx),
                Timer::Retained => self.retained_due(fx),
                Timer::Sys => self.sys_due(fx),
            }
        }
    }

    /// What it has done, and how much it holds now.
    pub(crate) fn counters(&self) -> Counters {
        let mut traffic = self.counters.traffic;
        self.connections.iter().for_each(|(_, connection)| traffic += connection.traffic);
        Counters {
            clients: self.connections.len() as u64,
            sessions: self.sessions.len() as u64,
            retained: self.retained.len() as u64,
            traffic,
            ..self.counters
        }
    }

    /// The session a link is attached to.
    pub(crate) fn session_of(&self, link: LinkId) -> Option<Key> {
        self.links.get(&link).copied()
    }

    fn greeting_due(&mut self, key: Key, fx: &mut Effects) {
        let greeting = |connection: &Connection| {
            matches!(connection.state, State::Greeting | State::Verifying(_))
        };
        if self.connections.get(key).is_some_and(greeting) {
            self.counters.limits.count(Limit::ConnectTimeout);
            self.cut(key, fx);
        }
    }

    /// §3.1.2.10: silence for one and a half keep-alives ends a connection.
    fn alive_due(&mut self, key: Key, fx: &mut Effects) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(patience) = connection.patience else { return };
        let until = connection.last_seen + patience;
        if until <= fx.now.at {
            let text = "nothing came for one and a half times the keep-alive";
            self.end(key, Reason::KeepAliveTimeout, text, fx);
        } else {
            self.due_at(until, Timer::Alive(key));
        }
    }

    /// Puts something on the clock.
    fn due_at(&mut self, at: Instant, timer: Timer) {
        self.timers.add(at, timer);
        if self.timers.crowded() {
            let Core { connections, sessions, groups, timers, .. } = self;
            timers.keep(|at, timer| match timer {
                Timer::Greeting(key) => connections
                    .get(key)
                    .is_some_and(|connection| !matches!(connection.state, State::Open(_))),
                Timer::Alive(key) => connections.get(key).is_some(),
                // Not those of its earlier absences: who comes and goes would never be thrown out.
                Timer::Session(key) => sessions
                    .get(key)
                    .is_some_and(|session| [session.will_at, session.ends_at].contains(&Some(at))),
                Timer::Dropped(key) => sessions.get(key).is_some(),
                Timer::GroupDropped(key) => groups.get(key).is_some(),
                Timer::Retained | Timer::Sys => true,
            });
        }
    }

    fn retained_due(&mut self, fx: &mut Effects) {
        for topic in self.retained.expired(fx.now) {
            self.retained.clear(&topic);
            fx.lazy.writes.push((crate::storage::Table::Retained, topic.as_bytes().to_vec(), None));
        }
        // All of one second together: to look for them costs a walk through the store. Nobody is sent
        // what has expired meanwhile.
        if let Some(next) = self.retained.next_expiry() {
            self.due_at(next.max(fx.now.at + SECOND), Timer::Retained);
        }
    }

    /// Appends a packet for a connection.
    fn send(&mut self, key: Key, packet: &Packet<'_>, fx: &mut Effects) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.send(packet);
        touch(connection, key, fx);
    }

    /// The connection broke a rule of the protocol.
    fn malformed(&mut self, key: Key, malformed: Malformed, fx: &mut Effects) {
        if malformed == Malformed::PacketTooLarge {
            self.counters.limits.count(Limit::PacketSize);
        }
        let Some(connection) = self.connections.get(key) else { return };
        match connection.state {
            State::Greeting => self.malformed_greeting(key, malformed, fx),
            State::Open(_) => {
                let text =
                    format!("{} ({})", malformed.text(), malformed.clause(connection.version));
                self.end(key, malformed.reason(), &text, fx);
            }
            State::Verifying(_) | State::Closing => self.cut(key, fx),
        }
    }

    /// Ends a connection: DISCONNECT with the reason where the version has it, then closed. The will
    /// fires.
    fn end(&mut self, key: Key, reason: Reason, text: &str, fx: &mut Effects) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.version == Version::V5 && matches!(connection.state, State::Open(_)) {
            let mut properties = PropertyBuffer::new();
            if connection.wants_reasons && !text.is_empty() {
                properties.reason_string(text);
            }
            let properties = properties.as_properties();
            self.send(key, &Packet::Disconnect(Disconnect { reason, properties }), fx);
            fx.told.push(key);
        }
        self.cut(key, fx);
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket - 1
    }
}

/// How often refusals are told on the bus: a flood of them must not become a second flood.
#[derive(Debug, Default)]
struct Telling {
    since: Option<Instant>,
    told: HashMap<String, u32>,
}

impl Telling {
    /// Clients whose refusals are told in one second.
    const CLIENTS: usize = 64;

    fn allows(&mut self, now: Instant, client: &str, per_second: u32) -> bool {
        let second = std::time::Duration::from_secs(1);
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= second) {
            self.since = Some(now);
            self.told.clear();
        }
        if !self.told.contains_key(client) {
            if self.told.len() >= Telling::CLIENTS {
                return false;
            }
            self.told.insert(client.to_string(), 0);
        }
        self.told.get_mut(client).is_some_and(|told| {
            *told += 1;
            *told <= per_second
        })
    }
}

/// Puts a connection on the list of those with bytes to write.
fn touch(connection: &mut Connection, key: Key, fx: &mut Effects) {
    if !connection.dirty {
        connection.dirty = true;
        fx.dirty.push(key);
    }
}

/// No properties at all.
const NONE: Properties<'static> = Properties::NONE;
