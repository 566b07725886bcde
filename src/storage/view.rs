//! What everybody sees of the engine, at any time and without waiting for a sync: its rows and how it
//! is. The one lock is held for moments only.
//!
//! ```text
//!   held    refused by a disk in trouble, kept to be written when it is over
//!   fresh   in the journal, not in the tree
//!   tree    everything up to the last checkpoint
//! ```
//! Of a row that is in several, the highest version counts; the tree's is the lowest.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rows::{Layer, Row, batch_cost, row_key};
use super::tree::{Fault, Tree};
use super::{Batch, Table, Unsafe, trouble};
use crate::contract;

/// What may wait in RAM; more is refused. Enough for any burst the broker's own limits let through.
pub(super) const LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// A batch that finds room though larger ones have taken all: who writes much delays the others, but has
/// none of them refused.
const SMALL_BYTES: usize = 64 * 1024;

/// Rows that change under one lock.
const AT_ONCE: usize = 64;

/// A read whose tree is being opened anew tries again, this often and this long.
const READ_TRIES: usize = 3;
const READ_PATIENCE: Duration = Duration::from_millis(200);

/// How the engine is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Health {
    /// Everything works.
    Well,
    /// The tree takes nothing, or the reserve is spent: what grows is refused, what shrinks goes on.
    Tight(contract::Error),
    /// Nothing is safe; it is kept in RAM until the disk takes it.
    Broken(contract::Error),
    /// There never was a disk that takes it: safe as far as RAM is.
    InRam(contract::Error),
}

/// What is to become of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It may be committed.
    Accept,
    /// It is kept in RAM, and this is told.
    Hold(Result<(), Unsafe>),
    /// It is not kept.
    Refuse(Unsafe),
}

/// When rows are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Only {
    /// Always.
    Always,
    /// Unless the disk is well again.
    InTrouble,
}

/// What the engine did.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) commits: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) journal_bytes: AtomicU64,
}

/// See above.
#[derive(Debug)]
pub(super) struct View {
    layers: Mutex<Layers>,
    /// The tree is open again, or is known not to be.
    reopened: Condvar,
    version: AtomicU64,
    bounded: bool,
    pub(super) tally: Tally,
}

#[derive(Debug)]
struct Layers {
    held: Arc<Layer>,
    fresh: Arc<Layer>,
    tree: Option<Arc<Tree>>,
    /// The tree is closed and opens again: reads wait, because what is on disk cannot be seen.
    reopening: bool,
    health: Health,
    stumbled: Option<Fault>,
}

impl View {
    pub(super) fn new(health: Health) -> View {
        let layers = Layers {
            held: Arc::default(),
            fresh: Arc::default(),
            tree: None,
            reopening: false,
            health,
            stumbled: None,
        };
        View {
            layers: Mutex::new(layers),
            reopened: Condvar::new(),
            version: AtomicU64::new(1),
            bounded: true,
            tally: Tally::default(),
        }
    }
    /// Of a store that has no disk and never will.
    pub(super) fn in_memory() -> View {
        let cause = contract::Error::new("storage.failed", "there is no disk");
        View { bounded: false, ..View::new(Health::InRam(cause)) }
    }
    fn layers(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of the next write.
    pub(super) fn next_version(&self) -> u64 {
        self.version.fetch_add(1, Relaxed)
    }
    pub(super) fn health(&self) -> Health {
        self.layers().health.clone()
    }
    pub(super) fn set_health(&self, health: Health) {
        self.layers().health = health;
    }
    /// What waits in RAM for a disk in trouble.
    pub(super) fn held_bytes(&self) -> usize {
        self.layers().held.bytes()
    }

    /// Judges a batch. `waiting_bytes`: what waits for a commit already.
    pub(super) fn judge(&self, batch: &Batch, waiting_bytes: usize) -> Verdict {
        let (health, held_bytes) = {
            let layers = self.layers();
            (layers.health.clone(), layers.held.bytes())
        };
        let cause = match &health {
            Health::Well => None,
            Health::Tight(cause) | Health::Broken(cause) | Health::InRam(cause) => Some(cause),
        };
        let puts = batch.writes.iter().any(|(_, _, value)| value.is_some());
        if self.bounded && puts && !has_room(waiting_bytes + held_bytes, batch_cost(batch)) {
            return Verdict::Refuse(trouble::behind(cause));
        }
        match &health {
            Health::Well => Verdict::Accept,
            Health::Tight(cause) => {
                let unsaved = batch.writes.is_empty() && held_bytes > 0;
                if unsaved || puts && self.grows(batch) {
                    Verdict::Hold(Err(trouble::as_unsafe(cause)))
                } else {
                    Verdict::Accept
                }
            }
            Health::Broken(cause) => Verdict::Hold(Err(trouble::as_unsafe(cause))),
            Health::InRam(_) => Verdict::Hold(Ok(())),
        }
    }
    /// Whether the rows are larger than those in their place.
    fn grows(&self, batch: &Batch) -> bool {
        let (mut more, mut less) = (0, 0);
        for (table, key, value) in &batch.writes {
            let row = row_key(*table, key);
            more += value.as_ref().map_or(0, |value| row.len() + value.len());
            less += self.read(&row, None).map_or(0, |value| row.len() + value.len());
        }
        more > less
    }

    /// Keeps rows that no disk has; gives them back if the disk is well by now.
    pub(super) fn hold(&self, rows: Layer, only: Only) -> Option<Layer> {
        let mut layers = self.layers();
        if only == Only::InTrouble && layers.health == Health::Well {
            return Some(rows);
        }
        Arc::make_mut(&mut layers.held).absorb(rows);
        None
    }
    /// Well, if nothing is held any more.
    pub(super) fn is_well_again(&self) -> bool {
        let mut layers = self.layers();
        if layers.held.is_empty() {
            layers.health = Health::Well;
        }
        layers.held.is_empty()
    }
    pub(super) fn held(&self) -> Arc<Layer> {
        self.layers().held.clone()
    }
    pub(super) fn fresh(&self) -> Arc<Layer> {
        self.layers().fresh.clone()
    }
    /// The journal has these rows; `changed` are those the tree has not. A few at a time: whoever writes
    /// or reads meanwhile does not wait for all of them.
    pub(super) fn in_journal(&self, rows: &Layer, changed: Layer) {
        let mut changed = changed.into_rows().peekable();
        while changed.peek().is_some() {
            let mut layers = self.layers();
            let fresh = Arc::make_mut(&mut layers.fresh);
            for (key, row) in changed.by_ref().take(AT_ONCE) {
                if row.value.is_none() && !row.in_tree {
                    fresh.remove(&key);
                } else {
                    fresh.put(key, row);
                }
            }
        }
        // Last: until then, what was held is nowhere else.
        let mut layers = self.layers();
        if !layers.held.is_empty() {
            Arc::make_mut(&mut layers.held).remove_settled(rows);
        }
    }
    /// The tree has everything, these rows, too.
    pub(super) fn in_tree(&self, safe: &[&Layer]) {
        let mut layers = self.layers();
        let held = Arc::make_mut(&mut layers.held);
        safe.iter().for_each(|rows| held.remove_settled(rows));
        layers.fresh = Arc::default();
    }
    /// A checkpoint may have reached the disk or not.
    pub(super) fn doubt(&self) {
        Arc::make_mut(&mut self.layers().fresh).doubt();
    }
    /// What a journal had that is newer than the tree.
    pub(super) fn replayed(&self, rows: Layer) {
        self.layers().fresh = Arc::new(rows);
    }

    pub(super) fn tree(&self) -> Option<Arc<Tree>> {
        self.layers().tree.clone()
    }
    /// Takes the tree away and closes it.
    pub(super) fn release(&self) {
        if let Some(tree) = self.take_tree() {
            tree.close();
        }
    }
    /// Takes the tree away and waits for the last reader: two on one file would destroy it.
    pub(super) fn take_tree(&self) -> Option<Tree> {
        let mut layers = self.layers();
        layers.reopening = true;
        let tree = layers.tree.take();
        drop(layers);
        let mut tree = tree?;
        loop {
            match Arc::try_unwrap(tree) {
                Ok(last) => return Some(last),
                Err(shared) => tree = shared,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    /// After [`View::take_tree`] or [`View::release`]: a tree, or none.
    pub(super) fn settle(&self, tree: Option<Tree>) {
        let mut layers = self.layers();
        layers.tree = tree.map(Arc::new);
        layers.reopening = false;
        drop(layers);
        self.reopened.notify_all();
    }
    /// A read met a page that cannot be read, or rows that are not what was written.
    pub(super) fn stumbled(&self, fault: Fault) {
        self.layers().stumbled = Some(fault);
    }
    pub(super) fn take_stumble(&self) -> Option<Fault> {
        self.layers().stumbled.take()
    }
    pub(super) fn has_stumbled(&self) -> bool {
        self.layers().stumbled.is_some()
    }

    /// The value of a row as last written. `newer`: what a layer in front of the engine has.
    pub(super) fn read(&self, key: &[u8], newer: Option<&Row>) -> Option<Vec<u8>> {
        for _ in 0..READ_TRIES {
            let layers = self.settled();
            let rows = [layers.held.get(key), layers.fresh.get(key), newer];
            if let Some(row) = rows.into_iter().flatten().max_by_key(|row| row.version) {
                return row.value.clone();
            }
            let tree = layers.tree.clone()?;
            drop(layers);
            match tree.read(key) {
                Ok(value) => return value,
                Err(Fault::Io(_)) => self.wait_for_another(tree),
                Err(fault @ Fault::Corrupt(_)) => {
                    self.stumbled(fault);
                    return None;
                }
            }
        }
        None
    }
    /// Every row of a table as last written, in key order.
    pub(super) fn scan(&self, table: Table, mut newer: Layer, each: &mut dyn FnMut(&[u8], &[u8])) {
        let layers = self.settled();
        newer.absorb(layers.fresh.table(table));
        newer.absorb(layers.held.table(table));
        let tree = layers.tree.clone();
        drop(layers);
        let mut newer = newer.into_rows().peekable();
        let mut merge = |key: &[u8], value: &[u8]| {
            while let Some((newer_key, row)) = newer.next_if(|(k, _)| k.as_slice() < key) {
                if let Some(value) = row.value {
                    each(&newer_key[1..], &value);
                }
            }
            match newer.next_if(|(k, _)| k.as_slice() == key) {
                Some((_, row)) => row.value.iter().for_each(|value| each(&key[1..], value)),
                None => each(&key[1..], value),
            }
        };
        if let Some(tree) = tree
            && let Err(fault) = tree.scan(table, &mut merge)
        {
            self.stumbled(fault);
        }
        for (key, row) in newer {
            if let Some(value) = row.value {
                each(&key[1..], &value);
            }
        }
    }

    /// The layers, when no re-open is under way.
    fn settled(&self) -> MutexGuard<'_, Layers> {
        let layers = self.layers();
        self.reopened
            .wait_while(layers, |layers| layers.reopening)
            .unwrap_or_else(PoisonError::into_inner)
    }
    /// redb fails every call after the first that failed: the engine is about to open it anew.
    fn wait_for_another(&self, tree: Arc<Tree>) {
        let failed = Arc::as_ptr(&tree);
        drop(tree); // the engine waits for the last reader before it closes
        let same =
            |layers: &mut Layers| layers.tree.as_ref().is_some_and(|t| Arc::as_ptr(t) == failed);
        let _ = self.reopened.wait_timeout_while(self.layers(), READ_PATIENCE, same);
    }
}

/// Whether a batch may wait beside what waits already. One that finds little is taken whatever its size: it would
/// find less at no other time.
fn has_room(waits: usize, cost: usize) -> bool {
    let most = if cost <= SMALL_BYTES { 2 * LIMIT_BYTES } else { LIMIT_BYTES };
    waits <= LIMIT_BYTES / 2 || waits + cost <= most
}

#[cfg(test)]
mod tests {
    use super::{LIMIT_BYTES, SMALL_BYTES, has_room};

    #[test]
    fn a_large_batch_waits_its_turn_and_has_no_small_one_refused() {
        assert!(has_room(0, 10 * LIMIT_BYTES) && has_room(LIMIT_BYTES / 2, 10 * LIMIT_BYTES));
        assert!(!has_room(LIMIT_BYTES, SMALL_BYTES + 1));
        assert!(has_room(LIMIT_BYTES, SMALL_BYTES) && has_room(LIMIT_BYTES + LIMIT_BYTES / 2, 1));
        assert!(!has_room(2 * LIMIT_BYTES, 1), "small ones are bounded, too");
    }
}
