//! One run: a core, its clients, the store, and a clock of its own. The hands of `turn`, without a
//! kernel.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, UNIX_EPOCH};

use super::chance::Chance;
use super::client::Client;
use super::disk::Disk;
use super::oracle::{Number, Offer, Oracle, Wish};
use super::packet;
use super::script::{Bye, Profile, Script, Step};
use crate::broker::acl::Acl;
use crate::broker::config;
use crate::broker::core::{Core, Effects, Origin, Setting};
use crate::broker::identity::{Owner, Transport};
use crate::broker::intake::Op;
use crate::broker::limits::Limits;
use crate::broker::message::Now;
use crate::broker::slots::Key;
use crate::broker::wire::{self, Qos, Version};
use crate::contract::Role;
use crate::service::Stamper;
use crate::service::testing::at;
use crate::storage::{Batch, Table, Window};
use crate::topic::Root;

/// Everything there is in a run.
pub(super) struct World {
    now: u64,
    core: Core,
    disk: Disk,
    clients: Vec<Client>,
    oracle: Oracle,
    operations: VecDeque<Op>,
    /// What a crash that is on its way will be like.
    armed: Option<(u64, u64)>,
    crashes: usize,
}

/// Plays a script to its end; how often the power went, or which promise was broken.
pub(super) fn play(script: &Script) -> Result<usize, String> {
    let mut world = World::new(&script.profiles);
    for step in &script.steps {
        world.step(step);
        world.verdict()?;
    }
    world.end();
    world.verdict()?;
    Ok(world.crashes)
}

impl World {
    fn new(profiles: &[Profile]) -> World {
        let auditor = Profile {
            version: Version::V5,
            expiry_s: 0,
            receive_maximum: 100,
            room: 1 << 20,
            eager: true,
        };
        let profiles: Vec<Profile> = profiles.iter().copied().chain([auditor]).collect();
        let mut world = World {
            now: 0,
            core: core(),
            disk: Disk::new(),
            oracle: Oracle::new(profiles.len()),
            clients: (0..).zip(profiles).map(|(number, one)| Client::new(number, one)).collect(),
            operations: VecDeque::new(),
            armed: None,
            crashes: 0,
        };
        world.start();
        world
    }

    fn verdict(&self) -> Result<(), String> {
        self.oracle.broken().map_or(Ok(()), |broken| Err(broken.to_owned()))
    }

    fn fx(&self) -> Effects {
        let passed = Duration::from_millis(self.now);
        let wall = UNIX_EPOCH + Duration::from_secs(1_000_000) + passed;
        Effects::at(Now { at: at(0) + passed, wall })
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Connect { client, clean, will } => self.connect(client, clean, will),
            Step::Cut { client } => self.cut(client),
            Step::Disconnect { client, bye } => self.disconnect(client, bye),
            Step::Publish { client, topic, qos, keep, expiry_s } => {
                let v5 = self.clients[client].profile.version == Version::V5;
                let expiry_s = if v5 { expiry_s } else { 0 };
                self.publish(client, Offer { topic, qos, keep, expiry_s });
            }
            Step::Subscribe { client, filter, qos, no_local, kept } => {
                let v5 = self.clients[client].profile.version == Version::V5;
                let no_local = no_local && v5 && !filter.starts_with("$share");
                let wish = Wish { filter, qos, no_local, kept: kept || !v5 };
                self.clients[client].subscribe(wish, &mut self.oracle);
            }
            Step::Unsubscribe { client, filter } => {
                self.clients[client].unsubscribe(filter, &mut self.oracle);
            }
            Step::Read { client, packets } => {
                for _ in 0..packets {
                    self.clients[client].read(&mut self.oracle);
                }
            }
            Step::Answer { client, which } => self.clients[client].answer(which),
            Step::Pass { ms } => self.pass(ms),
            Step::Crash { chance, down_ms } => self.crash(chance, down_ms),
            Step::CrashAtWrite { writes, chance, down_ms } => {
                self.disk.crash_in(Some(writes));
                self.armed = Some((chance, down_ms));
            }
            Step::Restart => self.restart(),
            Step::Trouble { fault } => {
                self.oracle.trouble(true);
                self.disk.fault(Some(fault));
            }
            Step::Mend => self.mend(),
        }
        self.turn();
    }

    fn connect(&mut self, client: usize, clean: bool, will: Option<super::script::Testament>) {
        let old = self.clients[client].line.as_ref().map(|line| line.key);
        let mut fx = self.fx();
        let Some(key) = self.core.accept(fx.now, origin(client)) else { return };
        self.clients[client].connect(key, clean, will, &mut self.oracle);
        self.feed(client, &mut fx);
        self.perform(fx);
        let mut fx = self.fx();
        if let Some(old) = old {
            self.core.closed(old, &mut fx);
        }
        self.feed(client, &mut fx); // what it sends again
        self.perform(fx);
    }

    fn cut(&mut self, client: usize) {
        let Some(line) = self.clients[client].line.take() else { return };
        self.oracle.connection_ended(client, super::oracle::Ending::Broken);
        let mut fx = self.fx();
        self.core.closed(line.key, &mut fx);
        self.perform(fx);
    }

    fn disconnect(&mut self, client: usize, bye: Bye) {
        let v5 = self.clients[client].profile.version == Version::V5;
        if !v5 && bye != Bye::Plain {
            return self.cut(client);
        }
        let reads = |line: &super::client::Line| self.core.reading(line.key);
        if !self.clients[client].line.as_ref().is_some_and(reads) {
            return self.cut(client); // the broker does not listen: it will never know
        }
        if !self.clients[client].disconnect(bye, &mut self.oracle) {
            return;
        }
        let mut fx = self.fx();
        self.feed(client, &mut fx);
        self.perform(fx);
        self.cut(client);
    }

    fn publish(&mut self, client: usize, offer: Offer) {
        let Some(number) = self.clients[client].publish(offer, &mut self.oracle) else { return };
        let mut fx = self.fx();
        self.feed(client, &mut fx);
        let taken = self.clients[client].line.as_ref().is_some_and(|line| line.up.is_empty());
        if taken {
            self.oracle.taken(number);
        }
        self.perform(fx);
    }

    /// The broker takes what a client sent, as far as it reads.
    fn feed(&mut self, client: usize, fx: &mut Effects) {
        let Some(line) = &mut self.clients[client].line else { return };
        if !line.up.is_empty() && self.core.reading(line.key) {
            let done = self.core.received(line.key, &line.up, fx);
            line.up.drain(..done);
        }
    }

    /// Everything that happens by itself at this moment.
    fn turn(&mut self) {
        for _ in 0..100 {
            if self.disk.dead() {
                return self.power_cut();
            }
            let mut fx = self.fx();
            for client in 0..self.clients.len() {
                self.feed(client, &mut fx);
            }
            for op in std::mem::take(&mut self.operations) {
                self.core.operation(op, &mut fx);
            }
            self.core.due(&mut fx);
            self.core.go_on(&mut fx);
            self.perform(fx);
            if self.disk.dead() {
                return self.power_cut();
            }
            let more = self.core.unfinished() || !self.operations.is_empty();
            if !self.eager_clients_read() && !more {
                return;
            }
        }
        self.oracle.breaks("it turns and turns");
    }

    fn eager_clients_read(&mut self) -> bool {
        let mut any = false;
        for client in &mut self.clients {
            if client.profile.eager {
                while client.busy() {
                    client.read(&mut self.oracle);
                    client.answer(0);
                    any = true;
                }
            }
        }
        any | self.room_again()
    }

    /// A socket that was full has room: the broker writes on.
    fn room_again(&mut self) -> bool {
        let mut fx = self.fx();
        for client in &self.clients {
            if let Some(line) = &client.line
                && client.backlog() < client.profile.room
                && self.core.outbox(line.key).is_some_and(|out| !out.is_empty())
            {
                fx.dirty.push(line.key);
            }
        }
        let any = !fx.dirty.is_empty();
        self.perform(fx);
        any
    }

    /// As [`crate::broker::turn`] does it.
    fn perform(&mut self, mut fx: Effects) {
        loop {
            self.store(&mut fx);
            let (dirty, close) = (std::mem::take(&mut fx.dirty), std::mem::take(&mut fx.close));
            if dirty.is_empty() && close.is_empty() {
                return;
            }
            for owner in close.iter().filter_map(|&key| self.owner(key)).collect::<Vec<_>>() {
                self.oracle.connection_ended(owner, super::oracle::Ending::Broken);
            }
            for key in dirty {
                self.write(key, &mut fx);
            }
            for key in close {
                self.close(key, &mut fx);
            }
        }
    }

    fn store(&mut self, fx: &mut Effects) {
        let promise = (std::mem::take(&mut fx.promise.batch), fx.promise.ticket.take());
        let background = (std::mem::take(&mut fx.background.batch), fx.background.ticket.take());
        let lazy = (std::mem::take(&mut fx.lazy), None);
        let writes =
            [(promise, Window::Promise), (background, Window::Background), (lazy, Window::Lazy)];
        for ((batch, ticket), window) in writes {
            self.store_one(batch, ticket, window);
        }
    }

    fn store_one(&mut self, batch: Batch, ticket: Option<u64>, window: Window) {
        if batch.writes.is_empty() {
            return;
        }
        if let Some((ticket, result)) = self.disk.write(self.now, batch, window, ticket) {
            self.operations.push_back(Op::Stored { ticket, result });
        }
    }

    /// Bytes go to the client's socket, as many as it has room for.
    fn write(&mut self, key: Key, fx: &mut Effects) {
        let Some(client) = self.owner(key) else {
            if let Some(out) = self.core.outbox(key) {
                out.clear(); // nobody is there any more
            }
            return;
        };
        let client = &mut self.clients[client];
        let room = client.profile.room.saturating_sub(client.backlog());
        let Some(out) = self.core.outbox(key) else { return };
        let some: Vec<u8> = out.drain(..out.len().min(room)).collect();
        let since = client.line.as_mut().and_then(|line| line.stalled);
        hand_over(client, &some, since.unwrap_or(self.now), &mut self.oracle);
        if let Some(line) = &mut client.line {
            line.stalled = (!out.is_empty()).then(|| since.unwrap_or(self.now));
        }
        self.core.written(key, fx);
    }

    fn owner(&self, key: Key) -> Option<usize> {
        let of = |client: &Client| client.line.as_ref().is_some_and(|line| line.key == key);
        self.clients.iter().position(of)
    }

    /// The broker closes a connection; the client reads what came before.
    fn close(&mut self, key: Key, fx: &mut Effects) {
        if let Some(owner) = self.owner(key) {
            let client = &mut self.clients[owner];
            if let Some(out) = self.core.outbox(key) {
                let last_words: Vec<u8> = std::mem::take(out);
                let since = client.line.as_ref().and_then(|line| line.stalled);
                hand_over(client, &last_words, since.unwrap_or(self.now), &mut self.oracle);
            }
            while client.read(&mut self.oracle) {}
            client.line = None;
            self.oracle.connection_ended(owner, super::oracle::Ending::Broken);
        }
        self.core.closed(key, fx);
    }

    /// Time passes, from one thing that is due to the next.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        loop {
            let core = self.core.wake().map(|wake| {
                let since = wake.saturating_duration_since(at(0));
                u64::try_from(since.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
            });
            let next = core.into_iter().chain(self.disk.due()).min().map_or(until, |due| due);
            self.now = next.clamp(self.now, until);
            self.oracle.advance(self.now);
            let crashes = self.crashes;
            for (ticket, result) in self.disk.turn(self.now) {
                self.operations.push_back(Op::Stored { ticket, result });
            }
            self.turn();
            if self.now >= until && next > self.now || self.crashes > crashes {
                return;
            }
            if self.oracle.broken().is_some() {
                return;
            }
            if self.now >= until {
                return;
            }
        }
    }

    /// The armed crash happened.
    fn power_cut(&mut self) {
        let (chance, down_ms) = self.armed.take().unwrap_or((0, 0));
        self.crash(chance, down_ms);
    }

    fn crash(&mut self, chance: u64, down_ms: u64) {
        self.crashes += 1;
        self.armed = None;
        let mut chance = Chance::of(chance);
        for client in &mut self.clients {
            for _ in 0..chance.below(6) {
                client.read(&mut self.oracle);
            }
            client.line = None;
        }
        self.oracle.crashed(down_ms);
        self.now += down_ms;
        self.disk.crash(&mut chance);
        self.start();
    }

    fn restart(&mut self) {
        self.mend();
        let mut fx = self.fx();
        self.core.operation(Op::Stop, &mut fx);
        self.oracle.restarted();
        self.perform(fx);
        for client in &mut self.clients {
            while client.read(&mut self.oracle) {}
            client.line = None;
        }
        self.disk.restart();
        if self.disk.dead() {
            return self.power_cut();
        }
        self.start();
    }

    /// A new process, on what the disk has.
    fn start(&mut self) {
        self.operations.clear();
        self.core = core();
        let mut fx = self.fx();
        let unreadable = self.core.restore(&self.disk, &mut fx);
        if unreadable > 0 {
            self.oracle.breaks(format!("{unreadable} rows cannot be read"));
        }
        self.oracle.advance(self.now);
        self.perform(fx);
        self.turn();
    }

    fn mend(&mut self) {
        self.disk.fault(None);
        self.pass(2_000);
        self.oracle.trouble(false);
    }

    /// All is well again, everyone comes back, reads and answers everything; what was promised must be
    /// there then, and nothing else may be left.
    fn end(&mut self) {
        self.disk.crash_in(None);
        self.mend();
        for client in 0..self.clients.len() {
            self.connect(client, false, None);
            self.clients[client].profile.eager = true;
        }
        self.turn();
        self.pass(6_000);
        if self.oracle.broken().is_some() {
            return;
        }
        if let Some(client) = self.clients.iter().position(Client::waits) {
            return self.oracle.breaks(format!("client {client} is never answered"));
        }
        self.oracle.settle();
        self.audit();
        for client in 0..self.clients.len() {
            self.connect(client, true, None);
            self.disconnect(client, Bye::Forget);
        }
        self.pass(60_000);
        for table in [Table::Session, Table::Queue, Table::Received, Table::Group] {
            let rows = self.disk.count(table);
            if rows > 0 {
                self.oracle.breaks(format!("{rows} rows are left in {table:?}"));
            }
        }
    }

    /// Someone new finds what the topics hold.
    fn audit(&mut self) {
        let auditor = self.clients.len() - 1;
        for filter in ["a/#", "b/#", "s/#", "t/#"] {
            let wish = Wish { filter, qos: Qos::ExactlyOnce, no_local: false, kept: true };
            self.clients[auditor].subscribe(wish, &mut self.oracle);
        }
        self.pass(100);
        let found: BTreeMap<String, Number> = std::mem::take(&mut self.clients[auditor].kept);
        self.oracle.audit(&found);
    }
}

/// Bytes reach a socket that the broker may have made ready at `since` already.
fn hand_over(client: &mut Client, bytes: &[u8], since: u64, oracle: &mut Oracle) {
    let Some(line) = &mut client.line else { return };
    line.partial.extend_from_slice(bytes);
    let whole = std::mem::take(&mut line.partial);
    let mut rest = &whole[..];
    loop {
        match wire::frame(rest, usize::MAX) {
            Ok(Some(frame)) => {
                rest = &rest[frame.size..];
                match packet::read(client.profile.version, &frame) {
                    Ok(got) => client.deliver((got, frame.size), since, oracle),
                    Err(what) => return oracle.breaks(format!("a client gets {what}")),
                }
            }
            Ok(None) => break,
            Err(what) => return oracle.breaks(format!("a client gets {what:?}")),
        }
    }
    if let Some(line) = &mut client.line {
        line.partial = rest.to_vec();
    }
}

fn core() -> Core {
    let root = Root::default();
    Core::new(Setting {
        acl: Acl::new(root.clone(), vec![]),
        root,
        limits: Limits { outbox: 300, ..Limits::of(&config::Limits::default()) },
        own_uid: 0,
        operators: None,
        stamper: Stamper::new("1f0c9a3e"),
    })
}

fn origin(client: usize) -> Origin {
    let uid = u32::try_from(client).unwrap_or(0) + 1;
    let transport = Transport::Unix(Owner { uid, login: format!("u{uid}"), groups: vec![] });
    Origin { transport, address: None, listener: "unix", max_role: Role::Admin }
}
