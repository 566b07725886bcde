//! The store as the core sees it, in virtual time: the engine of `storage` on its faulty disk, and in
//! front of it the windows of its writer.

use std::collections::{BTreeMap, VecDeque};

use super::chance::Chance;
use super::script::Fault;
use crate::broker::intake::Ticket;
use crate::storage::faulty::{Faults, FaultyDisk};
use crate::storage::{Batch, Engine, Health, Rows, SMALL, Table, Unsafe, Window};

/// What a ticket is told.
pub(super) type Told = (Ticket, Result<(), Unsafe>);

/// How soon the engine is asked again while it is in trouble, ms.
const LOOK_MS: u64 = 1000;
/// Operations of the disk that fail while it is broken: more than a run ever makes.
const MANY: u64 = 400;

/// A commit under way.
struct Commit {
    batch: Batch,
    waiters: Vec<Ticket>,
    done_at: u64,
}

/// The store.
pub(super) struct Disk {
    disk: FaultyDisk,
    engine: Engine<FaultyDisk>,
    /// What waits for the end of its window, by key.
    pending: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    waiters: Vec<Ticket>,
    commit_at: Option<u64>,
    /// A commit takes so long, ms; what is written meanwhile waits for the next.
    pub(super) commit_ms: u64,
    commit: Option<Commit>,
    /// What a disk in trouble told, until it is heard.
    told: VecDeque<(u64, Told)>,
    look_at: Option<u64>,
    faults: Faults,
}

impl Disk {
    /// An empty one, whose commits take so long.
    pub(super) fn new(commit_ms: u64) -> Disk {
        Disk::with(FaultyDisk::new(0), Faults::default(), commit_ms)
    }

    fn with(disk: FaultyDisk, faults: Faults, commit_ms: u64) -> Disk {
        disk.schedule(faults.clone());
        Disk {
            engine: Engine::open(disk.clone(), SMALL).expect("nobody else has these files"),
            disk,
            pending: BTreeMap::new(),
            waiters: Vec::new(),
            commit_at: None,
            commit_ms,
            commit: None,
            told: VecDeque::new(),
            look_at: None,
            faults,
        }
    }

    /// Writes. While the disk is in trouble a ticket is told at once, unless older rows still wait, or as late as
    /// a commit.
    pub(super) fn write(
        &mut self,
        now: u64,
        batch: Batch,
        window: Window,
        ticket: Option<Ticket>,
    ) -> Option<Told> {
        if self.engine.health() != Health::Well && self.commit.is_none() && self.pending.is_empty()
        {
            let result = self.engine.apply(batch);
            self.look(now);
            let told = ticket.map(|ticket| (ticket, result))?;
            if self.commit_ms == 0 {
                return Some(told);
            }
            self.told.push_back((now + self.commit_ms, told));
            return None;
        }
        for (table, key, value) in batch.writes {
            self.pending.insert((table, key), value);
        }
        self.waiters.extend(ticket);
        let end = now + u64::try_from(window.longest().as_millis()).unwrap_or(u64::MAX);
        self.commit_at = Some(self.commit_at.map_or(end, |at| at.min(end)));
        None
    }

    /// When it has something to do.
    pub(super) fn due(&self) -> Option<u64> {
        let commit_at = self.commit.as_ref().map(|commit| commit.done_at).or(self.commit_at);
        let told_at = self.told.front().map(|(at, _)| *at);
        commit_at.into_iter().chain(told_at).chain(self.look_at).min()
    }

    /// Commits, or tries to be well again, when it is time for that.
    pub(super) fn turn(&mut self, now: u64) -> Vec<Told> {
        if self.look_at.is_some_and(|at| at <= now) {
            self.engine.mend();
            self.look_at = None;
        }
        let mut told = Vec::new();
        while let Some((_, one)) = self.told.pop_front_if(|(at, _)| *at <= now) {
            told.push(one);
        }
        loop {
            if let Some(commit) = self.commit.take_if(|commit| commit.done_at <= now) {
                let result = self.engine.apply(commit.batch);
                told.extend(commit.waiters.into_iter().map(|ticket| (ticket, result.clone())));
            }
            if self.commit.is_some() || self.commit_at.is_none_or(|at| at > now) {
                break;
            }
            let (batch, waiters) = self.take();
            self.commit = Some(Commit { batch, waiters, done_at: now + self.commit_ms });
        }
        self.look(now);
        told
    }

    /// Everything that waits.
    fn take(&mut self) -> (Batch, Vec<Ticket>) {
        self.commit_at = None;
        let rows = std::mem::take(&mut self.pending).into_iter();
        let writes = rows.map(|((table, key), value)| (table, key, value)).collect();
        (Batch { writes }, std::mem::take(&mut self.waiters))
    }

    fn look(&mut self, now: u64) {
        let well = self.engine.health() == Health::Well;
        self.look_at = (!well).then(|| self.look_at.unwrap_or(now + LOOK_MS));
    }

    /// Something is wrong with the disk from now on, or nothing any more.
    pub(super) fn fault(&mut self, fault: Option<Fault>) {
        let done = self.disk.operations();
        let dead_at = self.faults.dead_at;
        let faults = Faults { dead_at, ..Faults::default() };
        self.faults = match fault {
            None => faults,
            Some(Fault::Full) => Faults { room: Some(self.disk.used_bytes()), ..faults },
            Some(Fault::ReadOnly) => Faults { read_only: true, ..faults },
            Some(Fault::Writes) => {
                Faults { failing_writes: (done.writes..done.writes + MANY).collect(), ..faults }
            }
            Some(Fault::Syncs) => {
                Faults { failing_syncs: (done.syncs..done.syncs + MANY).collect(), ..faults }
            }
        };
        self.disk.schedule(self.faults.clone());
    }

    /// The power will go at this change of the disk from now, or not at all.
    pub(super) fn crash_in(&mut self, writes: Option<u32>) {
        let done = self.disk.operations().changes;
        self.faults.dead_at = writes.map(|writes| done + u64::from(writes));
        self.disk.schedule(self.faults.clone());
    }

    pub(super) fn is_well(&self) -> bool {
        self.engine.health() == Health::Well
    }

    /// The power has gone.
    pub(super) fn dead(&self) -> bool {
        self.disk.is_dead()
    }

    /// The power goes, if it has not, and comes back to what survived; nothing else is wrong then,
    /// but that it may go again at a write of the start.
    pub(super) fn crash(&mut self, chance: &mut Chance, again: Option<u32>) {
        let faults = Faults { dead_at: again.map(u64::from), ..Faults::default() };
        *self = Disk::with(self.disk.crash(chance.next()), faults, self.commit_ms);
    }

    /// Shut down in order, and opened again.
    pub(super) fn restart(&mut self) {
        self.engine.mend();
        let last = [self.commit.take().map(|commit| commit.batch), Some(self.take().0)];
        for batch in last.into_iter().flatten() {
            let _ = self.engine.apply(batch); // nobody is left to be told
        }
        self.engine.close();
        let faults = self.faults.clone();
        if !self.dead() {
            *self = Disk::with(self.disk.clone(), faults, self.commit_ms);
        }
    }

    /// How many rows a table has, as last written.
    pub(super) fn count(&self, table: Table) -> usize {
        let mut rows = self.pending.keys().filter(|(of, _)| *of == table).count();
        self.engine.scan(table, &mut |_, _| rows += 1);
        rows
    }
}

impl Rows for Disk {
    fn scan(&self, table: Table, each: &mut dyn FnMut(&[u8], &[u8])) {
        self.engine.scan(table, each);
    }
}
