//! One file on the faulty disk: what reads see, what is safe, and every version of a sector between.
//!
//! ```text
//!   write ──> seen (page cache) ── sync ──> safe
//!               │ └─ loose: each sector as it was after each write since
//!             crash ──> safe, with each loose sector old, new, in between or torn
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;
use super::{PAGE, SECTOR};

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// What reads see.
    pub(super) seen: Vec<u8>,
    /// What a power cut cannot take.
    safe: Vec<u8>,
    /// Every version of a sector since the last sync, by its number.
    loose: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// Every length since the last sync.
    lengths: Vec<usize>,
    /// Pages that take up room.
    pub(super) pages: BTreeSet<usize>,
}

impl Content {
    pub(super) fn all_safe(bytes: Vec<u8>, mut pages: BTreeSet<usize>) -> Content {
        drop(pages.split_off(&bytes.len().div_ceil(PAGE)));
        Content { safe: bytes.clone(), seen: bytes, pages, ..Content::default() }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.lengths.push(len);
        // what is cut off reads as zeros when the file grows again
        for sector in len / SECTOR..self.seen.len().div_ceil(SECTOR) {
            let mut bytes = sector_of(&self.seen, sector);
            bytes[len.saturating_sub(sector * SECTOR).min(SECTOR)..].fill(0);
            self.loose.entry(sector).or_default().push(bytes);
        }
        self.seen.resize(len, 0);
        drop(self.pages.split_off(&len.div_ceil(PAGE)));
    }

    pub(super) fn write(&mut self, at: usize, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let end = at + data.len();
        if end > self.seen.len() {
            self.lengths.push(end);
            self.seen.resize(end, 0);
        }
        self.seen[at..end].copy_from_slice(data);
        self.pages.extend(at / PAGE..end.div_ceil(PAGE));
        for sector in at / SECTOR..end.div_ceil(SECTOR) {
            let bytes = sector_of(&self.seen, sector);
            self.loose.entry(sector).or_default().push(bytes);
        }
    }

    pub(super) fn allocate(&mut self, len: usize) {
        self.pages.extend(0..len.div_ceil(PAGE));
        if len > self.seen.len() {
            self.seen.resize(len, 0);
            self.lengths.push(len);
        }
    }

    pub(super) fn sync(&mut self) {
        self.safe.resize(self.seen.len(), 0);
        for sector in std::mem::take(&mut self.loose).into_keys() {
            let start = (sector * SECTOR).min(self.seen.len());
            let end = (start + SECTOR).min(self.seen.len());
            self.safe[start..end].copy_from_slice(&self.seen[start..end]);
        }
        self.lengths.clear();
    }

    /// Each sector made it to the disk, or did not; nothing is left to be synced.
    pub(super) fn sync_failed(&mut self, random: &mut Random) {
        self.safe = self.after_crash(random).safe;
        self.loose.clear();
        self.lengths.clear();
    }

    pub(super) fn after_crash(&self, random: &mut Random) -> Content {
        let mut bytes = self.safe.clone();
        let len = match random.below(self.lengths.len() + 1) {
            0 => bytes.len(),
            n => self.lengths[n - 1],
        };
        let longest = self.lengths.iter().copied().max().unwrap_or(0).max(bytes.len());
        bytes.resize(longest, 0);
        for (sector, versions) in &self.loose {
            let start = sector * SECTOR;
            if start >= longest {
                continue;
            }
            let end = (start + SECTOR).min(longest);
            let old = sector_of(&bytes, *sector);
            let version = |n: usize| if n == 0 { old } else { versions[n - 1] };
            let (one, other) = (random.below(versions.len() + 1), random.below(versions.len() + 1));
            let torn = if random.below(3) == 0 { random.below(SECTOR) } else { SECTOR };
            let mut sector = version(one);
            sector[torn..].copy_from_slice(&version(other)[torn..]);
            bytes[start..end].copy_from_slice(&sector[..end - start]);
        }
        bytes.truncate(len);
        Content::all_safe(bytes, self.pages.clone())
    }

    /// Reads see what is on the disk, and what still waits for a sync as it was written.
    pub(super) fn forget(&mut self) {
        let clean = self.safe.clone();
        let dirty = std::mem::replace(&mut self.seen, clean);
        // what still waits for a sync stays as it was written
        self.seen.resize(dirty.len().max(self.seen.len()), 0);
        for sector in self.loose.keys() {
            let start = (sector * SECTOR).min(dirty.len());
            let end = (start + SECTOR).min(dirty.len());
            self.seen[start..end].copy_from_slice(&dirty[start..end]);
        }
        self.seen.truncate(dirty.len());
    }
}

/// The sector, zeros behind the end.
fn sector_of(bytes: &[u8], sector: usize) -> [u8; SECTOR] {
    let mut out = [0; SECTOR];
    let there = bytes.get(sector * SECTOR..).unwrap_or_default();
    let there = &there[..there.len().min(SECTOR)];
    out[..there.len()].copy_from_slice(there);
    out
}
