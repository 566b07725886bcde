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
//! | `accept` | which connections there are, and which makes room |
//! | `network` | their bytes in and out, how one is ended |
//! | `connect` | who comes in: identity, client id, session, will |
//! | `connack` | what it is told then |
//! | `alias` | which topic a number stands for |
//! | `publish` | what is taken |
//! | `hold` | commands, until the gate has decided |
//! | `acknowledge` | what is acknowledged, both ways |
//! | `keep` | what a topic holds, and holds again when it is refused |
//! | `deliver` | what goes out to whom, and what waits |
//! | `pump` | when that goes out |
//! | `subscribe` | filters |
//! | `replay` | retained messages for a new subscription, a piece at a time |
//! | `share`, `unshare` | which member of a shared subscription gets it, and what comes back |
//! | `link` | the same for the links of this process |
//! | `leave` | the end of connections and sessions, wills |
//! | `again` | what waits for a disk in trouble to be well |
//! | `relieve` | who gives way when too much is held for all together |
//! | `tell` | the broker's own words: refusals, presence |
//! | `settle` | what waited for the disk, or the gate |
//! | `timers` | what is due when |
//! | `rows`, `restore` | sessions, queues and retained messages on disk |

mod accept;
mod acknowledge;
mod again;
mod alias;
#[cfg(any(test, fuzzing))]
mod check;
mod connack;
mod connect;
mod connection;
mod counters;
mod deliver;
mod effects;
mod hold;
mod keep;
mod leave;
mod link;
mod network;
mod publish;
mod pump;
mod relieve;
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
mod unshare;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use connection::Connection;
pub(super) use connection::Origin;
pub use counters::Counters;
use effects::Hold;
pub(super) use effects::{Effects, Hands};
use network::touch;
use tell::Telling;
use timers::{Timer, Timers};
pub use traffic::Traffic;

use super::acl::Acl;
use super::crowd::Crowd;
use super::group::Group;
use super::intake::{LinkId, Op, Reply, Ticket};
use super::limits::Limits;
use super::message::Message;
use super::retained::Retained;
use super::session::Session;
use super::slots::{Key, Slots};
use super::total::Total;
use super::tree::{Matched, Tree};
use super::wire::{Properties, PropertyBuffer};
use crate::service::Stamper;
use crate::topic::Root;

/// Retained messages that expire before something else has its turn.
const EXPIRED: usize = 64;

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
    /// Connections beyond the limits: in only to be told so, or about to be closed.
    surplus: usize,
    links: HashMap<LinkId, Key>,
    tree: Tree,
    groups: Slots<Group>,
    /// By share filter.
    group_keys: HashMap<Box<str>, Key>,
    /// The highest number of a message of a group that is gone.
    last_shared: u64,
    retained: Retained,
    unsettled: keep::Unsettled,
    replays: replay::Replays,
    /// What waits for all clients together.
    queued: Total,
    /// What was sent to all connections together, and is not acknowledged or not taken.
    sent: Total,
    /// What the filters of all clients take up.
    subscribed: Total,
    /// What all connections have sent of packets that are not whole, and the names of their topic aliases.
    unfinished: Total,
    heaviest: Option<relieve::Heaviest>,
    /// What the bytes of one connection have cost in this call, in steps of roughly 100 ns.
    spent: usize,
    /// Sessions that the disk may still have, though they ended, by client id.
    endings: HashMap<Arc<str>, Ticket>,
    /// Who waits for a ticket.
    waiting: HashMap<Ticket, Vec<Waiter>>,
    held: HashMap<Ticket, Held>,
    again: again::Again,
    next_ticket: Ticket,
    next_row: u64,
    encoded: rows::Encoded,
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
    /// The session of this client id ended.
    Ending(Arc<str>),
    Link(Reply),
}

/// A publish the gate has.
#[derive(Debug)]
struct Held {
    message: Arc<Message>,
    publisher: Option<publish::Publisher>,
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
            last_shared: 0,
            retained,
            unsettled: keep::Unsettled::default(),
            replays: replay::Replays::default(),
            queued: Total::default(),
            sent: Total::default(),
            subscribed: Total::default(),
            unfinished: Total::default(),
            heaviest: None,
            spent: 0,
            endings: HashMap::new(),
            waiting: HashMap::new(),
            held: HashMap::new(),
            again: again::Again::default(),
            next_ticket: 1,
            next_row: 1,
            encoded: rows::Encoded::default(),
            timers: Timers::default(),
            matched: Matched::default(),
            properties: PropertyBuffer::new(),
            counters: Counters::default(),
            telling: Telling::default(),
            sys: sys::Sys::default(),
            own_name: "maestro:broker".into(),
        }
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
        self.relieve(fx);
    }

    /// When something is due next.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due, or as much of it as a slice: then [`Core::wake`] is in the past.
    pub(crate) fn due(&mut self, fx: &mut Effects) {
        self.spent = 0;
        while self.spent < network::SLICE
            && let Some(timer) = self.timers.due(fx.now.at)
        {
            self.spent += 20;
            match timer {
                Timer::Greeting(key) => self.greeting_due(key, fx),
                Timer::Alive(key) => self.alive_due(key, fx),
                Timer::Session(key) => self.session_due(key, fx),
                Timer::Dropped(key) => self.drops_due(key, fx),
                Timer::GroupDropped(key) => self.group_drops_due(key, fx),
                Timer::Retained => self.retained_due(fx),
                Timer::Sys => self.sys_due(fx),
                Timer::Again => self.again_due(fx),
            }
        }
        self.relieve(fx);
    }

    /// The session a link is attached to.
    pub(crate) fn session_of(&self, link: LinkId) -> Option<Key> {
        self.links.get(&link).copied()
    }

    fn retained_due(&mut self, fx: &mut Effects) {
        let expired = self.retained.expired(fx.now, EXPIRED);
        self.spent += 20 * expired.len();
        let all = expired.len() < EXPIRED;
        for topic in expired {
            self.retained.clear(&topic);
            fx.lazy.writes.push((crate::storage::Table::Retained, topic.as_bytes().to_vec(), None));
        }
        // All of one second together: to look for them costs a walk through the store. Nobody is sent
        // what has expired meanwhile.
        if let Some(next) = self.retained.next_expiry() {
            let next = if all { next.max(fx.now.at + SECOND) } else { fx.now.at };
            self.due_at(next, Timer::Retained);
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket - 1
    }
}

/// No properties at all.
const NONE: Properties<'static> = Properties::NONE;
