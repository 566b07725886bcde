//! The engine: a journal in front of a tree. Synchronous, one thread, no clock.
//!
//! ```text
//!   commit --> frame appended to the journal, fdatasync --> safe; the rows are `fresh`, in RAM
//!                 | no room in the journal (each 768 KiB), or a long rest
//!                 v
//!              checkpoint: one redb commit of everything fresh (and the commit that did not fit)
//!              with the number of the journal's next generation; the journal begins anew
//! ```
//!
//! A row put and removed between two checkpoints never reaches redb. Why the journal is there
//! (`benches/storage.rs`): one redb commit of one record of 200 B wrote 24.6 KB, a frame of it is its
//! row and 46 B. An hour of a message each second, each gone 200 ms later, writes 2.5 MB.
//!
//! | found | then |
//! |---|---|
//! | a torn last frame | nobody was told that it is safe: replay ends there |
//! | a bad frame with good ones behind | the rest is set aside as a copy, said |
//! | a corrupt tree, at start or later | set aside; another is made of the rows that can be read |
//! | no room | the reserve is freed, the checkpoint made; growth is refused until it can be restored |
//! | EIO from the journal | its pages are not trusted again: a checkpoint, then a new journal |
//! | EIO from the tree | what the kernel caches of it is dropped, every page verified, once more tried |
//! | no disk that can be written at the start | RAM, over what can be read |
//!
//! After a checkpoint that failed nobody knows whether it is on the disk. The next frame names it
//! ([`Entry::Attempt`](super::frame::Entry::Attempt)), so that replay is right either way.

mod mend;
mod open;
#[cfg(test)]
mod storm;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::disk::{Disk, JOURNAL, TREE};
use super::journal::{Bounds, Journal, Refusal, Replay};
use super::reserve::Reserve;
use super::rows::{Layer, Row};
use super::tree::{Change, Check, Fault, Tree};
use super::view::{Health, Only, View};
use super::{OpenError, trouble};
use crate::contract;

/// Checkpoints between two looks at the size of the tree's file, when there is no rest.
const LOOK_EACH: u64 = 32;

/// What a changed row costs the tree at least while it is not committed.
const PAGE_BYTES: usize = 4096;

/// How large the files beside the tree are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) journal: Bounds,
    /// What the rows in it may cost in RAM before a checkpoint; small ones cost more than there.
    pub(crate) fresh_bytes: usize,
    /// Room for the checkpoint of a full journal.
    pub(crate) reserve_bytes: u64,
    /// Fresh rows that are not worth a checkpoint at rest.
    pub(crate) rest_bytes: usize,
    /// A tree's file up to this is never too large.
    pub(crate) slack_bytes: u64,
    /// Pages in use that are copied into a smaller file while somebody may wait for a commit.
    pub(crate) hasty_bytes: u64,
    /// Bytes of pages in one commit while there is hardly any room.
    pub(crate) drained_bytes: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        const KIB: u64 = 1024;
        let journal =
            Bounds { step_bytes: 256 * KIB, soft_bytes: 768 * KIB, hard_bytes: 1024 * KIB };
        Sizes {
            journal,
            fresh_bytes: 2 * 1024 * 1024,
            reserve_bytes: 1024 * KIB,
            rest_bytes: 64 * 1024,
            slack_bytes: 4096 * KIB,
            hasty_bytes: 4096 * KIB,
            drained_bytes: 128 * 1024,
        }
    }
}

/// See above.
#[derive(Debug)]
pub(crate) struct Engine<D: Disk> {
    disk: D,
    sizes: Sizes,
    view: Arc<View>,
    journal: Option<Journal<D::File>>,
    reserve: Reserve,
    /// What the tree says, as far as is known.
    generation: u64,
    /// Checkpoints since the last frame of which nobody knows whether they are on the disk.
    attempts: Vec<u64>,
    /// Checkpoints since the last that was made. One of them may have brought rows into the tree that were
    /// refused: then none is made without all that is held, or half of a batch would be there.
    unsure: Vec<u64>,
    /// What stays to be said while all is well: something was set aside.
    notice: Option<contract::Error>,
}

/// A row of a commit that is not as it was.
struct Changed<'r> {
    key: &'r [u8],
    row: &'r Row,
    /// The tree may have the key.
    in_tree: bool,
    /// Bytes before.
    old_bytes: usize,
}

impl<D: Disk> Engine<D> {
    /// Opens what is there, replays the journal.
    ///
    /// # Errors
    /// When another process holds the files. Every other trouble is told by [`Engine::health`].
    pub(super) fn with(disk: D, sizes: Sizes, view: Arc<View>) -> Result<Engine<D>, OpenError> {
        let reserve = Reserve::of(sizes.reserve_bytes);
        let mut engine = Engine {
            disk,
            sizes,
            view,
            journal: None,
            reserve,
            generation: 0,
            attempts: Vec::new(),
            unsure: Vec::new(),
            notice: None,
        };
        engine.start()?;
        Ok(engine)
    }
    /// How it is.
    pub(crate) fn health(&self) -> Health {
        self.view.health()
    }
    /// What is to be said of it: trouble, or what was found damaged.
    pub(crate) fn trouble(&self) -> Option<contract::Error> {
        match self.view.health() {
            Health::Well => self.notice.clone(),
            Health::Tight(cause) | Health::Broken(cause) | Health::InRam(cause) => Some(cause),
        }
    }
    /// Closes the files. Nothing is written: what is safe is safe.
    pub(crate) fn close(&mut self) {
        self.view.release();
        self.view.settle(None);
    }

    /// Writes rows, durably; what is there already is not written again. What the disk does not take
    /// is held.
    pub(super) fn commit(&mut self, rows: &Layer) -> Result<(), contract::Error> {
        let done = match self.view.health() {
            Health::Well | Health::Tight(_) => self.take(rows),
            Health::Broken(cause) => Err(cause),
            Health::InRam(_) => {
                self.hold(rows);
                return Ok(());
            }
        };
        if done.is_err() {
            self.hold(rows);
        }
        done
    }

    fn hold(&self, rows: &Layer) {
        let _ = self.view.hold(rows.clone(), Only::Always);
    }

    fn take(&mut self, rows: &Layer) -> Result<(), contract::Error> {
        let fresh = self.view.fresh();
        let changed = self.changed(rows, &fresh);
        drop(fresh); // or it would be copied when it changes
        if changed.is_empty() {
            self.view.in_journal(rows, Layer::default());
            return Ok(());
        }
        let much = self.view.fresh().bytes() > self.sizes.fresh_bytes;
        if much || !self.append(rows, &changed, self.sizes.journal.soft_bytes) {
            self.checkpoint_with(rows, &changed)?;
        }
        self.view.tally.commits.fetch_add(1, Relaxed);
        Ok(())
    }

    /// The rows that are not what is there. What the tree has of them is looked up at one moment; a
    /// tree that cannot tell makes them all changed, as does a checkpoint that may have brought what was
    /// refused: what is there may be another after a crash.
    fn changed<'r>(&self, rows: &'r Layer, fresh: &Layer) -> Vec<Changed<'r>> {
        let sure = self.unsure.is_empty();
        let mut changed = Vec::new();
        let mut unknown = Vec::new();
        for (key, row) in rows.iter() {
            match fresh.get(key) {
                Some(there) if sure && there.value == row.value => {}
                Some(there) => {
                    let old_bytes = there.value.as_ref().map_or(0, Vec::len);
                    changed.push(Changed { key, row, in_tree: there.in_tree, old_bytes });
                }
                None => unknown.push((key, row)),
            }
        }
        let mut looked_up = unknown.iter();
        let keys = unknown.iter().map(|(key, _)| *key);
        let told = self.view.tree().map(|tree| {
            tree.look_up(keys, &mut |there| {
                let Some((key, row)) = looked_up.next() else { return };
                if !sure || there != row.value.as_deref() {
                    let old_bytes = there.map_or(0, <[u8]>::len);
                    changed.push(Changed { key, row, in_tree: there.is_some(), old_bytes });
                }
            })
        });
        let known = matches!(told, Some(Ok(())));
        if let Some(Err(fault)) = told {
            self.view.stumbled(fault);
        }
        if !known {
            changed.retain(|c| fresh.get(c.key).is_some());
            let unknown = unknown.into_iter();
            changed.extend(unknown.map(|(key, row)| Changed {
                key,
                row,
                in_tree: true,
                old_bytes: 0,
            }));
        }
        changed
    }

    /// Whether the journal has taken it.
    fn append(&mut self, rows: &Layer, changed: &[Changed<'_>], bound: u64) -> bool {
        let Some(journal) = &mut self.journal else { return changed.is_empty() };
        if changed.is_empty() {
            return true;
        }
        let changes: Vec<_> = changed.iter().map(Changed::change).collect();
        match journal.append(&changes, &self.attempts, bound) {
            Ok(bytes) => {
                self.attempts.clear();
                self.view.tally.journal_bytes.fetch_add(bytes, Relaxed);
                self.view.in_journal(rows, kept(changed));
                true
            }
            Err(Refusal::NoRoom) => false,
            Err(Refusal::Broken(e)) => {
                let path = self.disk.path(JOURNAL);
                tracing::error!(path, error = %e, "journal cannot be written and is given up");
                self.journal = None;
                false
            }
        }
    }

    /// Everything fresh and these rows go into the tree, which then needs no journal.
    fn checkpoint(&mut self, rows: &Layer, changed: &[Changed<'_>]) -> Result<(), Fault> {
        let fresh = self.view.fresh();
        let held = if self.unsure.is_empty() { Arc::default() } else { self.view.held() };
        let newer_in = |layer: &Layer, key: &[u8], row: &Row| {
            layer.get(key).is_some_and(|other| other.version > row.version)
        };
        let older = fresh.iter().filter(|(key, row)| {
            let same = rows.get(key).is_none_or(|newer| newer.value == row.value);
            same && !newer_in(&held, key, row)
        });
        let refused =
            held.iter().filter(|(key, row)| rows.get(key).is_none() && !newer_in(&fresh, key, row));
        let kept = older.chain(refused).map(|(key, row)| (key, row.value.as_deref()));
        let changes = kept.map(|(key, value)| Change { key, value });
        self.settle(changes.chain(changed.iter().map(Changed::change)), &[rows, &held])
    }

    /// The tree gets these changes, with which it has everything.
    fn settle<'c>(
        &mut self,
        changes: impl Iterator<Item = Change<'c>>,
        safe: &[&Layer],
    ) -> Result<(), Fault> {
        let next = self.disk.random();
        let tree = self.open_tree_now()?;
        let done = tree.apply(changes, Some(next));
        drop(tree);
        if let Err(fault) = done {
            self.attempts.push(next);
            self.unsure.push(next);
            self.view.doubt();
            return Err(fault);
        }
        self.attempts.clear();
        self.unsure.clear();
        self.view.in_tree(safe);
        let earlier = self.view.tally.checkpoints.fetch_add(1, Relaxed);
        self.begin_journal(next);
        if earlier % LOOK_EACH == LOOK_EACH - 1 {
            self.slim(self.sizes.hasty_bytes);
        }
        Ok(())
    }

    fn open_tree_now(&self) -> Result<Arc<Tree>, Fault> {
        self.view.tree().ok_or_else(|| Fault::Io(io::Error::other("it is closed")))
    }

    /// The tree has everything: the journal begins anew, in another file if this one failed.
    fn begin_journal(&mut self, generation: u64) {
        let earlier = std::mem::replace(&mut self.generation, generation);
        match &mut self.journal {
            Some(journal) => journal.restart(generation, Some(earlier)),
            None => {
                let _ = self.disk.remove(JOURNAL); // mostly not there
                if let Err(e) = self.open_journal(&Replay::nothing(generation)) {
                    let path = self.disk.path(JOURNAL);
                    tracing::error!(path, error = %e, "there is no journal: each commit is a checkpoint");
                }
            }
        }
    }

    /// A checkpoint with a commit that the journal has no room for, whatever it takes.
    fn checkpoint_with(
        &mut self,
        rows: &Layer,
        changed: &[Changed<'_>],
    ) -> Result<(), contract::Error> {
        let Err(fault) = self.checkpoint(rows, changed) else { return Ok(()) };
        // It may have reached the disk: the tree may have any of them now.
        let changed: Vec<_> = changed.iter().map(|c| Changed { in_tree: true, ..*c }).collect();
        let changed = changed.as_slice();
        let mut cause = self.told(&fault);
        let grows = changed.iter().map(Changed::bytes).sum::<usize>()
            > changed.iter().map(|c| c.old_bytes).sum::<usize>();
        let done = if fault.is_full() {
            self.reserve.free(&self.disk);
            self.view.set_health(Health::Tight(cause.clone()));
            match self.reopen(Check::AfterCrash).and_then(|()| self.drain()) {
                Ok(()) if grows => return Err(cause),
                Ok(()) => self.append(rows, changed, self.sizes.journal.soft_bytes),
                Err(_) => false,
            }
        } else {
            let again = self.reopen(Check::Everything);
            match again.and_then(|()| self.checkpoint(rows, changed)) {
                Ok(()) => true,
                Err(fault) => {
                    cause = self.told(&fault);
                    false
                }
            }
        };
        if !done {
            let _ = self.reopen(Check::AfterCrash); // redb answers nothing after a failure
        }
        if done || !grows && self.append(rows, changed, self.sizes.journal.hard_bytes) {
            return Ok(());
        }
        self.suffer(&cause);
        Err(cause)
    }

    /// The tree takes nothing; the journal may.
    fn suffer(&self, cause: &contract::Error) {
        self.view.set_health(match self.journal {
            Some(_) => Health::Tight(cause.clone()),
            None => Health::Broken(cause.clone()),
        });
    }

    /// A checkpoint in small steps, removals first: what they free is room for the rest. Until the
    /// last step the journal has everything, too.
    fn drain(&mut self) -> Result<(), Fault> {
        if !self.unsure.is_empty() {
            return self.checkpoint(&Layer::default(), &[]); // refused rows are there whole or not at all
        }
        self.view.doubt();
        let fresh = self.view.fresh();
        let removals = fresh.iter().filter(|(_, row)| row.value.is_none());
        let puts = fresh.iter().filter(|(_, row)| row.value.is_some());
        let (mut step, mut bytes) = (Vec::new(), 0);
        for (key, row) in removals.chain(puts) {
            bytes += PAGE_BYTES + row.value.as_ref().map_or(0, Vec::len);
            step.push(Change { key, value: row.value.as_deref() });
            if bytes > self.sizes.drained_bytes {
                self.open_tree_now()?.apply(step.drain(..), None)?;
                bytes = 0;
            }
        }
        self.open_tree_now()?.apply(step, None)?;
        drop(fresh);
        self.settle(std::iter::empty(), &[])
    }

    fn told(&self, fault: &Fault) -> contract::Error {
        let path = self.disk.path(TREE);
        tracing::error!(path, %fault, "store cannot be written");
        trouble::of_fault(&path, fault)
    }
}

impl<'r> Changed<'r> {
    fn change(&self) -> Change<'r> {
        Change { key: self.key, value: self.row.value.as_deref() }
    }
    fn bytes(&self) -> usize {
        self.row.value.as_ref().map_or(0, Vec::len)
    }
}

/// The changed rows, to be kept.
fn kept(changed: &[Changed<'_>]) -> Layer {
    let mut rows = Layer::default();
    for Changed { key, row, in_tree, .. } in changed {
        rows.put(key.to_vec(), Row { in_tree: *in_tree, ..(*row).clone() });
    }
    rows
}
