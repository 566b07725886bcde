//! The broker's hands: one thread, one epoll, and in each turn: read, decide, perform.
//!
//! ```text
//!   wait ─> sockets ready ─> read, core.received ─┐
//!           bell rings ────> intake, core.operation ├─> effects: one batch to storage, gate, links,
//!           time is due ───> core.due ─────────────┘             one write per connection
//!        ─> whoever is new, dear or leaves, what is left to write ─> effects
//! ```
//!
//! | file | story |
//! |---|---|
//! | `serve` | who is served at once, and who in the rest of the turn |
//! | `perform` | effects: storage, gate, links, writes, closes |
//! | `meter` | what each part of a turn may take |

mod meter;
mod perform;
mod serve;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::sync::{mpsc, watch};

use self::meter::{Meter, SHARE};
use super::acl;
use super::core::{Core, Counters, Effects, Setting};
use super::door::{self, Door, Troubles};
use super::gate::Held;
use super::handle::Parts;
use super::intake::{Intake, LinkId, Op};
use super::limits::Limits;
use super::listener::OpenListener;
use super::message::Now;
use super::parting::Partings;
use super::principal::Principal;
use super::slack::Slack;
use super::slots::Key;
use super::socket::{Room, Socket, Stream};
use crate::bus::Delivery;
use crate::linux::account::Accounts;
use crate::storage::Store;

/// Everything the thread owns.
pub(super) struct Turn {
    core: Core,
    epoll: Epoll,
    intake: Arc<Intake>,
    gate: mpsc::UnboundedSender<Held>,
    listeners: Vec<OpenListener>,
    /// Listeners that ran out of file descriptors are looked at again then.
    listen_again: Option<Instant>,
    sockets: HashMap<Key, Socket>,
    partings: Partings<Stream>,
    owners: HashMap<Key, mpsc::UnboundedSender<Delivery>>,
    store: Store,
    accounts: Accounts,
    door: Door,
    /// Listeners that somebody knocks at in this turn.
    knocked: Vec<usize>,
    /// Connections that are served in the rest of a turn, each once in this list.
    later: VecDeque<Key>,
    /// Connections with bytes that a turn had no time to write.
    unwritten: VecDeque<Key>,
    /// Connections that are over.
    closing: VecDeque<Key>,
    /// What this part of the turn may still write.
    writing: Meter,
    room: Room,
    operations: VecDeque<Op>,
    slack: Slack,
    stopping: bool,
}

/// What an event is about, in the 64 bits that the kernel carries.
const BELL: u64 = u64::MAX;
const LISTENERS: u64 = u64::MAX - 1024;
/// Events looked at in one turn: as many as there may be connections, so that those that wait in `later`
/// hide nobody.
const EVENTS: usize = 1024;
/// Pause of a listener when the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(200);

impl Turn {
    pub(super) fn new(
        parts: Parts,
        intake: Arc<Intake>,
        gate: mpsc::UnboundedSender<Held>,
    ) -> io::Result<Turn> {
        let mut accounts = Accounts::default();
        accounts.refresh();
        let limits = Limits::of(&parts.config.limits);
        let mut core = Core::new(Setting {
            acl: acl::Acl::new(parts.root.clone(), parts.config.acl.clone()),
            root: parts.root,
            limits,
            own_uid: parts.own_uid,
            operators: accounts.gid("maestro"),
            stamper: parts.stamper,
        });
        let mut fx = Effects::at(now());
        let unreadable = core.restore(&parts.store, &mut fx);
        if unreadable > 0 {
            tracing::warn!(
                rows = unreadable,
                "rows of the store could not be read and were left alone"
            );
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(intake.bell(), EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let (strangers, listeners): (Vec<_>, Vec<_>) =
            parts.listeners.into_iter().partition(OpenListener::has_door);
        for (index, listener) in listeners.iter().enumerate() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENERS + index as u64);
            epoll.add(listener.as_fd(), event)?;
        }
        let door = Door::new(door::Parts {
            listeners: strangers,
            certificates: parts.config.certificates,
            users: parts.config.users,
            patience: limits.connect_timeout,
            frame: limits.packet_size as u64,
            intake: intake.clone(),
        })?;
        let mut turn = Turn {
            core,
            epoll,
            intake,
            gate,
            listeners,
            listen_again: None,
            sockets: HashMap::new(),
            partings: Partings::new(),
            owners: HashMap::new(),
            store: parts.store,
            accounts,
            door,
            knocked: Vec::new(),
            later: VecDeque::new(),
            unwritten: VecDeque::new(),
            closing: VecDeque::new(),
            writing: Meter::new(clock(), SHARE),
            room: Room::new(),
            operations: VecDeque::new(),
            slack: Slack::default(),
            stopping: false,
        };
        turn.perform(fx);
        Ok(turn)
    }

    pub(super) fn troubles(&self) -> watch::Receiver<Troubles> {
        self.door.troubles()
    }

    pub(super) fn run(&mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        while !self.stopping {
            let count = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(errno) => panic!("epoll_wait: {errno}"),
            };
            let now = now();
            let mut fx = Effects::at(now);
            for event in &events[..count] {
                match event.data() {
                    BELL => {}
                    listener if listener >= LISTENERS => {
                        self.knocked.extend(usize::try_from(listener - LISTENERS));
                    }
                    key => self.ready(Key::from_bits(key), event.events(), &mut fx),
                }
            }
            self.operations(&mut fx);
            self.core.due(&mut fx);
            self.perform(fx);
            if self.has_more() {
                self.go_on(now);
            }
            self.listen_again(now);
            self.partings.close(now.at);
            if self.slack.is_due(now.at) {
                crate::linux::memory::give_back();
            }
        }
        // The last words of all, however long that takes.
        while !self.unwritten.is_empty() || !self.closing.is_empty() {
            let mut fx = Effects::at(now());
            self.write_later(&mut fx);
            self.perform(fx);
        }
    }

    /// Whether something waits for the rest of a turn.
    fn has_more(&self) -> bool {
        let connections = [&self.later, &self.unwritten, &self.closing];
        connections.into_iter().any(|waiting| !waiting.is_empty())
            || !self.knocked.is_empty()
            || !self.operations.is_empty()
            || self.core.unfinished()
    }

    /// The rest of a turn: what waits behind those with little to say.
    fn go_on(&mut self, now: Now) {
        let mut fx = Effects::at(now);
        self.accept(&mut fx);
        self.serve_later(&mut fx);
        self.write_later(&mut fx);
        self.core.go_on(&mut fx);
        self.perform(fx);
    }

    fn counters(&self) -> Counters {
        let mut counters = self.core.counters();
        counters.dropped += self.intake.dropped();
        counters.refused += self.intake.refused();
        counters
    }

    fn timeout(&self) -> EpollTimeout {
        if self.has_more() {
            return EpollTimeout::ZERO;
        }
        let others =
            self.listen_again.into_iter().chain(self.slack.due()).chain(self.partings.due());
        let due = self.core.wake().into_iter().chain(others).min();
        let Some(due) = due else { return EpollTimeout::NONE };
        let left = due.saturating_duration_since(clock());
        if left.is_zero() {
            return EpollTimeout::ZERO;
        }
        // One more millisecond: epoll counts in whole ones, and early is a turn for nothing.
        let left_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX / 2).saturating_add(1);
        EpollTimeout::try_from(left_ms).unwrap_or(EpollTimeout::MAX)
    }

    fn operations(&mut self, fx: &mut Effects) {
        if self.operations.is_empty() {
            self.intake.take(&mut self.operations);
        }
        let meter = Meter::new(clock(), SHARE);
        while let Some(op) = self.operations.pop_front() {
            match op {
                Op::Attach { link, principal, deliveries } => {
                    self.attach(link, principal, deliveries, fx);
                }
                Op::Detach { link } => {
                    if let Some(session) = self.core.session_of(link) {
                        self.owners.remove(&session);
                    }
                    self.core.operation(Op::Detach { link }, fx);
                }
                Op::Arrived(arrived) => self.arrived(*arrived, fx),
                Op::Reload => self.door.reload(),
                Op::Stop => {
                    self.stopping = true;
                    self.core.operation(Op::Stop, fx);
                }
                Op::Panic => panic!("rehearsed"),
                op @ (Op::Publish { .. }
                | Op::Subscribe { .. }
                | Op::Unsubscribe { .. }
                | Op::Acknowledge { .. }
                | Op::Released { .. }
                | Op::Stored { .. }
                | Op::Verified { .. }) => self.core.operation(op, fx),
                Op::Disconnect { client, reply } => {
                    let _ = reply.send(self.core.expel(&client, fx)); // whoever asked may be gone
                }
                Op::Count { reply } => drop(reply.send(self.counters())),
            }
            if meter.is_over(clock()) {
                return;
            }
        }
        if self.operations.capacity() > 1024 {
            self.operations = VecDeque::new(); // a burst's memory is given back
        }
    }

    fn attach(
        &mut self,
        link: LinkId,
        principal: Principal,
        deliveries: mpsc::UnboundedSender<Delivery>,
        fx: &mut Effects,
    ) {
        self.core.attach(link, principal, fx);
        if let Some(session) = self.core.session_of(link) {
            self.owners.insert(session, deliveries);
        }
    }
}

/// What time it is in a turn.
fn now() -> Now {
    Now { at: clock(), wall: SystemTime::now() }
}

/// The one place where the broker reads the clock.
#[expect(clippy::disallowed_methods, reason = "the loop is where time enters the core")]
fn clock() -> Instant {
    Instant::now()
}
