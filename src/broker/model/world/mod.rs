//! One run: a core, its clients, the store, and a clock of its own. Here are the steps of a script and
//! the end of a run; what happens by itself is in `hands`.

mod hands;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, UNIX_EPOCH};

use super::client::Client;
use super::disk::Disk;
use super::oracle::{Number, Offer, Oracle, Wish};
use super::script::{Bye, House, Profile, Script, Step};
use crate::broker::acl::Acl;
use crate::broker::config;
use crate::broker::core::{Core, Effects, Origin, Setting};
use crate::broker::identity::{Owner, Transport};
use crate::broker::intake::Op;
use crate::broker::limits::{Limits, Pace};
use crate::broker::message::Now;
use crate::broker::queue::Bounds;
use crate::broker::wire::{Qos, Version};
use crate::contract::Role;
use crate::service::Stamper;
use crate::service::testing::at;
use crate::storage::Table;
use crate::topic::Root;

/// How the power goes.
#[derive(Clone, Copy, Debug)]
struct PowerCut {
    /// What survives.
    chance: u64,
    /// How long it stays away, ms.
    down_ms: u64,
    /// It goes again at this write of the start.
    again: Option<u32>,
}

/// A burst is on its way no longer than that, ms.
const TOGETHER_MS: u64 = 20;

/// Everything there is in a run.
pub(in crate::broker::model) struct World {
    now: u64,
    core: Core,
    disk: Disk,
    clients: Vec<Client>,
    oracle: Oracle,
    operations: VecDeque<Op>,
    /// What a crash that is on its way will be like.
    armed: Option<PowerCut>,
    house: House,
    /// Who say something at once, in this order.
    bursting: Vec<usize>,
    crashes: usize,
}

/// Plays a script to its end; how often the power went, or which promise was broken.
pub(in crate::broker::model) fn play(script: &Script) -> Result<usize, String> {
    let mut world = World::new(script.house, &script.profiles);
    for step in &script.steps {
        world.step(step);
        world.verdict()?;
    }
    world.end();
    world.verdict()?;
    Ok(world.crashes)
}

impl World {
    fn new(house: House, profiles: &[Profile]) -> World {
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
            core: core(house),
            disk: Disk::new(house.commit_ms),
            oracle: Oracle::new(profiles.len(), house),
            clients: (0..).zip(profiles).map(|(number, one)| Client::new(number, one)).collect(),
            operations: VecDeque::new(),
            armed: None,
            house,
            bursting: Vec::new(),
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
        let on_its_way = matches!(*step, Step::Pass { ms } if ms <= TOGETHER_MS);
        if !self.bursting.is_empty() && !on_its_way && !step.goes_on(&self.bursting) {
            self.turn();
        }
        match *step {
            Step::Connect { client, clean, will } => {
                self.connect(client, clean, will);
                let answered = |client: &Client| client.line.as_ref().is_none_or(|line| line.open);
                if !answered(&self.clients[client]) {
                    self.turn();
                    self.pass(6 + 2 * self.disk.commit_ms); // it waits for the disk
                }
            }
            Step::Cut { client } => self.cut(client),
            Step::Disconnect { client, bye } => self.disconnect(client, bye),
            Step::Publish { client, topic, qos, keep, expiry_s } => {
                let v5 = self.clients[client].profile.version == Version::V5;
                let expiry_s = if v5 { expiry_s } else { 0 };
                let offer = Offer { topic, qos, keep, expiry_s };
                if !self.bursting.is_empty() {
                    self.clients[client].publish(offer, &mut self.oracle);
                } else {
                    self.publish(client, offer);
                }
            }
            Step::Subscribe { client, filter, qos, no_local, kept } => {
                let v5 = self.clients[client].profile.version == Version::V5;
                let no_local = no_local && v5 && !filter.starts_with("$share");
                let wish = Wish { filter, qos, no_local, kept: kept || !v5 };
                self.clients[client].subscribe(wish, &mut self.oracle);
            }
            Step::Unsubscribe { client, filter } => {
                self.sending(client);
                self.clients[client].unsubscribe(filter, &mut self.oracle);
            }
            Step::Burst { client } => self.bursting.push(client),
            Step::Read { client, packets } => {
                for _ in 0..packets {
                    self.clients[client].read(&mut self.oracle);
                }
            }
            Step::Answer { client, which } => self.clients[client].answer(which),
            Step::Pass { ms } => self.pass(ms),
            Step::Crash { chance, down_ms, again } => {
                self.crash(PowerCut { chance, down_ms, again });
            }
            Step::CrashAtWrite { writes, chance, down_ms, again } => {
                self.disk.crash_in(Some(writes));
                self.armed = Some(PowerCut { chance, down_ms, again });
            }
            Step::Restart => self.restart(),
            Step::Trouble { fault } => {
                self.oracle.trouble(true);
                self.disk.fault(Some(fault));
            }
            Step::Mend => self.mend(),
        }
        if self.bursting.is_empty() {
            self.turn();
        }
    }

    fn connect(&mut self, client: usize, clean: bool, will: Option<super::script::Testament>) {
        self.sending(client);
        let old = self.clients[client].line.as_ref().map(|line| line.key);
        let mut fx = self.fx();
        let Some(key) = self.core.accept(origin(client), &mut fx) else { return };
        self.clients[client].connect(key, clean, will, &mut self.oracle);
        self.feed(client, &mut fx);
        fx.perform(self);
        let mut fx = self.fx();
        if let Some(old) = old {
            self.core.closed(old, &mut fx);
        }
        self.feed(client, &mut fx); // what it sends again
        fx.perform(self);
    }

    fn cut(&mut self, client: usize) {
        self.sending(client);
        let Some(line) = self.clients[client].line.take() else { return };
        self.oracle.connection_ended(client, super::oracle::Ending::Broken);
        let mut fx = self.fx();
        self.core.closed(line.key, &mut fx);
        fx.perform(self);
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
        self.sending(client);
        if !self.clients[client].disconnect(bye, &mut self.oracle) {
            return;
        }
        let mut fx = self.fx();
        self.feed(client, &mut fx);
        fx.perform(self);
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
        fx.perform(self);
    }

    fn mend(&mut self) {
        self.disk.fault(None);
        let crashes = self.crashes;
        self.pass(2_000);
        if !self.disk.is_well() && self.crashes == crashes {
            self.oracle.breaks("the disk is well, but not the store");
        }
        self.oracle.trouble(false);
    }

    /// All is well again, everyone comes back, reads and answers everything; what was promised must be
    /// there then, and nothing else may be left.
    fn end(&mut self) {
        self.turn();
        self.disk.crash_in(None);
        self.disk.commit_ms = 0;
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
            self.turn();
            self.pass(6);
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

fn core(house: House) -> Core {
    let root = Root::default();
    let usual = Limits::of(&config::Limits::default());
    let queue = Bounds { count: house.queued, policy: house.policy, ..usual.queue };
    let replay = Pace { found: house.piece, waiting: house.piece };
    Core::new(Setting {
        acl: Acl::new(root.clone(), vec![]),
        root,
        limits: Limits { outbox: 300, queue, replay, ..usual },
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
