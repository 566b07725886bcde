//! The broker's hands: one thread, one epoll, and in each turn: read, decide, perform.
//!
//! ```text
//!   wait ─> sockets ready ─> read, core.received ─┐
//!           bell rings ────> intake, core.operation ├─> effects: one batch to storage, gate, links,
//!           time is due ───> core.due ─────────────┘             one write per connection, close
//! ```

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::sync::{mpsc, watch};

use super::core::{Core, Counters, Effects, Hands, Setting};
use super::door::{self, Arrived, Door, Troubles};
use super::gate::{Back, Gate, Held};
use super::identity::Password;
use super::intake::{Intake, LinkId, Op, Ticket};
use super::limits::Limits;
use super::listener::{Came, OpenListener};
use super::message::Now;
use super::parting::Partings;
use super::principal::Principal;
use super::slack::Slack;
use super::slots::Key;
use super::socket::{Room, Socket, Stream};
use super::{acl, config, users};
use crate::bus::{Delivery, Link};
use crate::linux::account::Accounts;
use crate::service::Stamper;
use crate::storage::{Batch, Store, Window};
use crate::topic::Root;

/// What the broker is made from.
pub struct Parts {
    /// Its section of the configuration.
    pub config: config::Config,
    /// The root of the topic tree.
    pub root: Root,
    /// Where it keeps what must outlive it.
    pub store: Store,
    /// Stamps its own messages.
    pub stamper: Stamper,
    /// Already bound, so that what cannot be bound was told before.
    pub listeners: Vec<OpenListener>,
    /// The daemon's uid: admin by Unix socket.
    pub own_uid: u32,
}

/// The broker's thread.
pub struct Broker {
    handle: Handle,
    thread: JoinHandle<()>,
}

/// The running broker, for those in the same process.
#[derive(Clone, Debug)]
pub struct Handle {
    intake: Arc<Intake>,
    troubles: watch::Receiver<Troubles>,
}

impl Handle {
    /// A link with a principal of the daemon (`maestro:<name>`, admin).
    pub fn attach(&self, name: &str) -> Link {
        Link::attach(&self.intake, Principal::daemon(name))
    }

    /// A link for a bridge: everything it publishes is judged by this principal's role.
    pub fn attach_as(&self, principal: Principal) -> Link {
        Link::attach(&self.intake, principal)
    }

    /// What the broker has done and holds; `None` when it is gone.
    pub async fn counters(&self) -> Option<Counters> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.intake.push(Op::Count { reply });
        answer.await.ok()
    }

    /// Ends a client's connection; false when there is none.
    pub async fn disconnect(&self, client: &str) -> bool {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.intake.push(Op::Disconnect { client: client.to_string(), reply });
        answer.await.unwrap_or(false)
    }

    /// Reads certificates again, whether they seem changed or not.
    pub fn reload(&self) {
        self.intake.push(Op::Reload);
    }

    /// What is wrong with listeners that are open.
    pub fn troubles(&self) -> watch::Receiver<Troubles> {
        self.troubles.clone()
    }

    /// Rehearses a panic of the core, for the test that the process ends with a message.
    #[doc(hidden)]
    pub fn panic(&self) {
        self.intake.push(Op::Panic);
    }
}

impl Broker {
    /// Restores what is on disk and begins to turn.
    ///
    /// # Errors
    /// When the kernel gives no epoll, no eventfd or no thread.
    pub fn start(parts: Parts) -> io::Result<(Broker, Gate)> {
        let intake = Intake::new()?;
        let (gate_in, held) = mpsc::unbounded_channel();
        let mut turn = Turn::new(parts, intake.clone(), gate_in)?;
        let troubles = turn.door.troubles();
        let thread = std::thread::Builder::new().name("broker".into()).spawn(move || {
            let run = std::panic::AssertUnwindSafe(|| turn.run());
            if std::panic::catch_unwind(run).is_err() {
                // A daemon without a broker must never look alive: init starts it again.
                eprintln!(
                    "maestro: the broker panicked; the process ends so that init restarts it"
                );
                std::process::exit(70); // EX_SOFTWARE
            }
        })?;
        Ok((Broker { handle: Handle { intake, troubles }, thread }, Gate { held }))
    }

    /// For those who attach.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Tells every client that the server goes down, and ends the thread.
    pub fn stop(self) {
        self.handle.intake.push(Op::Stop);
        let _ = self.thread.join();
    }
}

/// Everything the thread owns.
struct Turn {
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
    /// Connections with more to do than a slice: one of them has another slice in each turn, behind all
    /// those with little to do.
    later: VecDeque<Key>,
    room: Room,
    operations: VecDeque<Op>,
    slack: Slack,
    stopping: bool,
}

/// What an event is about, in the 64 bits that the kernel carries.
const BELL: u64 = u64::MAX;
const LISTENERS: u64 = u64::MAX - 1024;
/// Connections taken from one listener in one turn.
const ACCEPTS: usize = 64;
/// Pause of a listener when the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(200);

impl Turn {
    fn new(
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
            later: VecDeque::new(),
            room: Room::new(),
            operations: VecDeque::new(),
            slack: Slack::default(),
            stopping: false,
        };
        turn.perform(fx);
        Ok(turn)
    }

    fn run(&mut self) {
        let mut events = [EpollEvent::empty(); 256];
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
                    listener if listener >= LISTENERS => self.accept(listener, &mut fx),
                    key => self.ready(Key::from_bits(key), event.events(), &mut fx),
                }
            }
            self.operations(&mut fx);
            self.core.due(&mut fx);
            self.slice(&mut fx);
            self.core.go_on(&mut fx);
            self.perform(fx);
            self.listen_again(now);
            self.partings.close(now.at);
            if self.slack.is_due(now.at) {
                crate::linux::memory::give_back();
            }
        }
    }

    fn counters(&self) -> Counters {
        let mut counters = self.core.counters();
        counters.dropped += self.intake.dropped();
        counters.refused += self.intake.refused();
        counters
    }

    fn timeout(&self) -> EpollTimeout {
        if !self.later.is_empty() || self.core.unfinished() {
            return EpollTimeout::ZERO;
        }
        let others =
            self.listen_again.into_iter().chain(self.slack.due()).chain(self.partings.due());
        let due = self.core.wake().into_iter().chain(others).min();
        let Some(due) = due else { return EpollTimeout::NONE };
        let left = due.saturating_duration_since(now().at);
        // One more millisecond: epoll counts in whole ones, and early is a turn for nothing.
        let left_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX / 2).saturating_add(1);
        EpollTimeout::try_from(left_ms).unwrap_or(EpollTimeout::MAX)
    }

    fn accept(&mut self, listener: u64, fx: &mut Effects) {
        let index = usize::try_from(listener - LISTENERS).unwrap_or(usize::MAX);
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(index) else { return };
            match listener.accept(&mut self.accounts) {
                Came::Connection(stream, origin) => {
                    let Some(key) = self.core.accept(fx.now, origin) else { continue };
                    let socket = Socket::new(stream);
                    let event = EpollEvent::new(EpollFlags::EPOLLIN, key.to_bits());
                    if self.epoll.add(socket.as_fd(), event).is_err() {
                        self.core.closed(key, fx);
                        continue;
                    }
                    self.sockets.insert(key, socket);
                }
                Came::Nobody => {}
                Came::NoMore => return,
                Came::NoRoom => {
                    let _ = self.epoll.delete(listener.as_fd());
                    self.listen_again = Some(fx.now.at + PAUSE);
                    tracing::warn!("no file descriptor is left for new connections");
                    return;
                }
            }
        }
    }

    fn listen_again(&mut self, now: Now) {
        if self.listen_again.is_none_or(|at| at > now.at) {
            return;
        }
        self.listen_again = None;
        for (index, listener) in self.listeners.iter().enumerate() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENERS + index as u64);
            let _ = self.epoll.add(listener.as_fd(), event); // those that were never out say EEXIST
        }
    }

    fn ready(&mut self, key: Key, events: EpollFlags, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        if events.contains(EpollFlags::EPOLLOUT) {
            socket.blocked = false;
            fx.dirty.push(key);
        }
        if socket.later {
            return; // what came is read behind what is here
        }
        let readable = EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if !events.intersects(readable) {
            return;
        }
        match socket.read(&mut self.room) {
            Ok(bytes) => {
                self.slack.moved(bytes.len(), fx.now.at);
                let core = &mut self.core;
                socket.feed(bytes, |bytes| core.received(key, bytes, fx));
                if socket.owes() {
                    fx.dirty.push(key);
                }
                self.line_up(key);
                self.interest(key);
                self.close_if_over(key, fx);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.close(key, fx),
        }
    }

    /// Whoever has more to do than a slice waits for the next one.
    fn line_up(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        if self.core.sliced() && socket.has_partial() && !socket.later {
            socket.later = true;
            self.later.push_back(key);
        }
    }

    /// One slice for whoever has waited longest.
    fn slice(&mut self, fx: &mut Effects) {
        let Some(key) = self.later.pop_front() else { return };
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        socket.later = false;
        if self.core.reading(key) {
            let core = &mut self.core;
            socket.feed(&[], |bytes| core.received(key, bytes, fx));
            self.line_up(key);
        }
        self.interest(key);
        self.close_if_over(key, fx);
    }

    /// Somebody came through the door.
    fn arrived(&mut self, arrived: Arrived, fx: &mut Effects) {
        let Arrived { stream, layers, origin, said } = arrived;
        let socket = Socket::layered(stream, layers, said);
        let Some(key) = self.core.accept(fx.now, origin) else {
            return drop(socket.close(&mut self.room));
        };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, key.to_bits());
        if self.epoll.add(socket.as_fd(), event).is_err() {
            return self.core.closed(key, fx);
        }
        self.sockets.insert(key, socket);
        fx.dirty.push(key); // what it has said is looked at, and what TLS owes it is sent
    }

    fn operations(&mut self, fx: &mut Effects) {
        let mut operations = std::mem::take(&mut self.operations);
        self.intake.take(&mut operations);
        for op in operations.drain(..) {
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
        }
        if operations.capacity() <= 1024 {
            self.operations = operations; // a burst's memory is given back
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

    fn perform(&mut self, fx: Effects) {
        fx.perform(self);
    }

    /// Closes what the other side has ended below MQTT, once what it said before is done with.
    fn close_if_over(&mut self, key: Key, fx: &mut Effects) {
        let over = self.sockets.get(&key).is_some_and(|socket| {
            let done = self.core.reading(key) || !socket.has_partial();
            socket.ended() && !socket.later && done
        });
        if over {
            self.close(key, fx);
        }
    }

    /// Tells the kernel what this connection waits for, when that has changed.
    fn interest(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let mut interest = EpollFlags::empty();
        if self.core.reading(key) && !socket.ended() {
            interest |= EpollFlags::EPOLLIN;
        }
        if socket.blocked {
            interest |= EpollFlags::EPOLLOUT;
        }
        if interest != socket.interest {
            socket.interest = interest;
            let mut event = EpollEvent::new(interest, key.to_bits());
            let _ = self.epoll.modify(socket.as_fd(), &mut event);
        }
    }
}

impl Hands for Turn {
    fn store(&mut self, batch: Batch, window: Window, ticket: Option<Ticket>) {
        let intake = self.intake.clone();
        self.store.write(batch, window, move |result| {
            if let Some(ticket) = ticket {
                intake.push(Op::Stored { ticket, result });
            }
        });
    }

    fn hand_out(&mut self, fx: &mut Effects) {
        for hold in fx.hold.drain(..) {
            let back = Back { intake: Some(self.intake.clone()), ticket: hold.ticket };
            let _ = self.gate.send(Held {
                message: hold.message,
                client: hold.client,
                from: hold.from,
                response_allowed: hold.response_allowed,
                back,
            }); // without a gate the held one is dropped, which refuses it
        }
        for (session, delivery) in fx.deliver.drain(..) {
            if let Some(owner) = self.owners.get(&session) {
                let _ = owner.send(delivery); // its owner is about to say that it is gone
            }
        }
        for verify in fx.verify.drain(..) {
            let attempt = users::Attempt {
                token: verify.connection.to_bits(),
                source: verify.source,
                name: verify.username,
                password: verify.password,
            };
            if self.door.ask(attempt).is_err() {
                let password = Password::TooMany;
                self.intake.push(Op::Verified { connection: verify.connection, password });
            }
        }
        for (reply, result) in fx.answers.drain(..) {
            let _ = reply.send(result); // whoever stopped waiting does not need it
        }
    }

    fn write(&mut self, key: Key, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let Some(out) = self.core.outbox(key) else { return };
        let waiting = out.len();
        match socket.write(out, &mut self.room) {
            // The heads of frames make it longer.
            Ok(()) => self.slack.moved(waiting.saturating_sub(out.len()), fx.now.at),
            Err(_) => return self.close(key, fx),
        }
        self.core.written(key, fx);
        // What came while a password was checked, or while we did not read, is looked at now.
        if let Some(socket) = self.sockets.get_mut(&key)
            && socket.has_partial()
            && !socket.later
            && self.core.reading(key)
        {
            let core = &mut self.core;
            socket.feed(&[], |bytes| core.received(key, bytes, fx));
            self.line_up(key);
        }
        self.interest(key);
        self.close_if_over(key, fx);
    }

    fn close(&mut self, key: Key, fx: &mut Effects) {
        if let Some(mut socket) = self.sockets.remove(&key) {
            if let Some(out) = self.core.outbox(key) {
                let _ = socket.write(out, &mut self.room); // its last words, if it takes them at once
            }
            let stream = socket.close(&mut self.room);
            if let Some(stream) = stream.filter(|_| fx.told.contains(&key)) {
                let _ = self.epoll.delete(&stream);
                self.partings.keep(stream, fx.now.at);
            }
            self.core.closed(key, fx);
        }
    }
}

/// The one place where the broker reads the clocks.
#[expect(clippy::disallowed_methods, reason = "the loop is where time enters the core")]
fn now() -> Now {
    Now { at: Instant::now(), wall: SystemTime::now() }
}
