//! The session machine: several clients and a link, each free to do what it likes in any order; a disk
//! that takes what it is given or does not; a gate; a clock; kills.
//!
//! ```text
//!   bytes ─> deed ─┬─ client: packets, sense and nonsense ──┐
//!                  ├─ disk takes, disk refuses, kill        ├──> core ──> turn: performed, looked at
//!                  ├─ gate, password                        │      └──> check: all agrees
//!                  └─ link, clock                           ┘
//! ```

mod client;
mod memory;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::Chance;
use crate::broker::acl::Acl;
use crate::broker::config;
use crate::broker::core::{Core, Effects, Setting};
use crate::broker::identity::Password;
use crate::broker::intake::Op;
use crate::broker::limits::Limits;
use crate::broker::message::Now;
use crate::broker::principal::Principal;
use crate::broker::queue::Policy;
use crate::broker::slots::Key;
use crate::bus::{Message, Qos};
use crate::contract::{self, Role};
use crate::service::Stamper;
use crate::storage::{Batch, Store, Unsafe, Window};
use crate::topic::Root;
use client::Client;
use memory::Memory;

const CLIENTS: usize = 6;
const IDS: [&str; 5] = ["", "one", "two", "+/#", "maestro:stats"];
const TOPICS: [&str; 8] = [
    "a",
    "a/b",
    "é/x",
    "a/b/c",
    "maestro/app/u1/state/x",
    "maestro/cmd/system/ping",
    "maestro/state/stats/memory",
    "",
];
const FILTERS: [&str; 9] =
    ["a", "a/#", "#", "+/b", "$share/g/a/#", "$share/g/+", "maestro/#", "é/+", "maestro/log/#"];
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
const DAY: Duration = Duration::from_secs(86_400);
const LINK: u64 = 7;

/// What a turn gave to the disk.
type Given = (Vec<Batch>, Vec<u64>);

struct World {
    core: Core,
    fx: Effects,
    disk: Store,
    pending: VecDeque<Given>,
    clients: [Option<Client>; CLIENTS],
    held: VecDeque<u64>,
    verify: VecDeque<Key>,
    tokens: VecDeque<u64>,
    linked: bool,
    /// What clients remember, by the id they chose.
    memories: BTreeMap<&'static str, Memory>,
}

/// Reads deeds from the bytes and does them.
///
/// # Panics
/// When something that must hold does not.
pub fn trial(bytes: &[u8]) {
    let mut chance = Chance(bytes);
    let mut world = World::begin();
    while !chance.is_over() {
        world.deed(&mut chance);
        world.turn();
        world.core.check();
    }
    world.end();
}

#[expect(clippy::disallowed_methods, reason = "an Instant can only be made from the clock")]
fn begin() -> Instant {
    Instant::now()
}

fn core() -> Core {
    let mut limits = Limits::of(&config::Limits::default());
    (limits.connections, limits.connections_per_uid) = (CLIENTS - 2, 3);
    (limits.surplus, limits.kept) = (1, 1);
    (limits.sessions, limits.subscriptions, limits.levels) = (5, 4, 4);
    (limits.packet_size, limits.connect_size) = (600, 200);
    (limits.queue.count, limits.queue.bytes) = (5, 2000);
    limits.queue.policy = Policy::Oldest;
    (limits.retained.count, limits.retained.bytes) = (8, 4000);
    (limits.in_flight, limits.receive_maximum) = (3, 3);
    (limits.outbox, limits.owed, limits.held) = (300, 4, 2);
    limits.queued_total = 600; // a few messages: the heaviest queue gives way
    let root = Root::default();
    Core::new(Setting {
        acl: Acl::new(root.clone(), Vec::new()),
        root,
        limits,
        own_uid: 0,
        operators: None,
        stamper: Stamper::new("1f0c9a3e"),
    })
}

impl World {
    fn begin() -> World {
        let now = Now { at: begin(), wall: UNIX_EPOCH + 1000 * DAY };
        World {
            core: core(),
            fx: Effects::at(now),
            disk: Store::in_memory(),
            pending: VecDeque::new(),
            clients: Default::default(),
            held: VecDeque::new(),
            verify: VecDeque::new(),
            tokens: VecDeque::new(),
            linked: false,
            memories: BTreeMap::new(),
        }
    }

    fn deed(&mut self, chance: &mut Chance<'_>) {
        let who = chance.below(CLIENTS);
        match chance.below(20) {
            0..=2 => self.come(who, chance),
            3..=5 => self.publish(who, chance),
            6 | 7 => self.subscribe(who, chance),
            8 => self.unsubscribe(who, chance),
            9..=11 => self.answer(who, chance),
            12 => self.raw(who, chance),
            13 => self.leave(who, chance),
            14 => self.pass(Duration::from_secs(u64::from(chance.byte()) * 20)),
            15 | 16 => self.commit(chance.often()),
            17 => self.of_this_process(chance),
            18 => self.gate(chance),
            _ => match chance.below(4) {
                0 => self.kill(),
                1 => self.core.go_on(&mut self.fx),
                _ => self.toggle(who),
            },
        }
    }

    fn pass(&mut self, time: Duration) {
        self.fx.now.at += time;
        self.fx.now.wall += time;
        let now = self.fx.now.at;
        // A slice of it in each turn.
        for _ in 0..10_000 {
            self.core.due(&mut self.fx);
            if self.core.wake().is_none_or(|wake| wake > now) {
                return;
            }
        }
        panic!("what is due is done");
    }

    /// The disk takes what is oldest, or does not.
    fn commit(&mut self, works: bool) {
        let Some((batches, tickets)) = self.pending.pop_front() else { return };
        if works {
            for batch in batches {
                self.disk.write(batch, Window::Lazy, |_| {});
            }
        }
        if !works {
            // What was sent is taken back when its publisher is refused.
            self.memories.clear();
        }
        let failed = Unsafe { code: "storage.full", message: "no room".to_string() };
        for ticket in tickets {
            let result = if works { Ok(()) } else { Err(failed.clone()) };
            self.core.operation(Op::Stored { ticket, result }, &mut self.fx);
        }
    }

    fn of_this_process(&mut self, chance: &mut Chance<'_>) {
        let link = LINK;
        match chance.below(6) {
            0 => {
                let principal = Principal::daemon("stats");
                self.core.attach(link, principal, &mut self.fx);
                self.linked = true;
                self.tokens.clear();
            }
            1 => {
                self.core.operation(Op::Detach { link }, &mut self.fx);
                self.linked = false;
            }
            2 => {
                let (reply, _) = tokio::sync::oneshot::channel();
                let (filter, qos) = (chance.one_of(&FILTERS).to_string(), chance.one_of(&QOS));
                self.core.operation(Op::Subscribe { link, filter, qos, reply }, &mut self.fx);
            }
            3 => {
                let filter = chance.one_of(&FILTERS).to_string();
                self.core.operation(Op::Unsubscribe { link, filter }, &mut self.fx);
            }
            4 => {
                let token = self.tokens.pop_front().unwrap_or_default();
                self.core.operation(Op::Acknowledge { link, token }, &mut self.fx);
            }
            _ => {
                let (reply, _) = tokio::sync::oneshot::channel();
                let (topic, qos) = (chance.one_of(&TOPICS).to_string(), chance.one_of(&QOS));
                let message =
                    Message { qos, retain: chance.seldom(), ..Message::new(topic, "of ours") };
                let reply = chance.often().then_some(reply);
                let publish = Op::Publish { link, message: Box::new(message), reply };
                self.core.operation(publish, &mut self.fx);
            }
        }
    }

    /// The gate decides, or a password was looked at.
    fn gate(&mut self, chance: &mut Chance<'_>) {
        if let Some(ticket) = self.held.pop_front() {
            let refused = contract::Error::new("command.busy", "not now");
            let verdict = if chance.often() { Ok(()) } else { Err(refused) };
            self.core.operation(Op::Released { ticket, verdict }, &mut self.fx);
        }
        if let Some(connection) = self.verify.pop_front() {
            let right = Password::Right { name: "bob".to_string(), role: Role::Operator };
            let password = if chance.often() { right } else { Password::Wrong };
            self.core.operation(Op::Verified { connection, password }, &mut self.fx);
        }
    }

    fn toggle(&mut self, who: usize) {
        if let Some(client) = &mut self.clients[who] {
            client.deaf = !client.deaf;
            self.fx.dirty.push(client.key);
        }
    }

    /// The process is gone; what was committed is there for the next.
    fn kill(&mut self) {
        let (disk, now) = (self.disk.clone(), self.fx.now);
        *self = World { disk, fx: Effects::at(now), ..World::begin() };
        assert_eq!(self.core.restore(&self.disk, &mut self.fx), 0, "our own rows are readable");
    }

    /// All leave, all is committed, a year goes by: nothing may be left.
    fn end(mut self) {
        for who in 0..CLIENTS {
            if let Some(client) = self.clients[who].take() {
                self.core.closed(client.key, &mut self.fx);
            }
        }
        self.turn();
        while let Some(ticket) = self.held.pop_front() {
            self.core.operation(Op::Released { ticket, verdict: Ok(()) }, &mut self.fx);
        }
        let detach = Op::Detach { link: LINK };
        self.core.operation(detach, &mut self.fx);
        for _ in 0..10 {
            self.turn();
            self.commit_all();
            self.pass(40 * DAY);
        }
        // A link's session waits for its owner for ever; that owner is one of ours.
        if let Some(&key) = self.core.clients.get("maestro:stats") {
            self.core.finish(key, &mut self.fx);
        }
        self.turn();
        self.commit_all();
        self.core.check_deserted();
    }

    fn commit_all(&mut self) {
        while !self.pending.is_empty() {
            self.commit(true);
            self.turn();
        }
    }
}
