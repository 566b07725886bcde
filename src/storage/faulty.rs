//! A disk in RAM that behaves as badly as real ones: for tests of what must survive it.
//!
//! What is written is seen at once (the page cache), but only a sync makes it safe. [`crash`] gives
//! the disk after a power cut: every 512 B sector that was not synced has, independently, its old
//! bytes, those of any write since, or part of one and part of another; a length that was not synced
//! is any the file has had since. Names (made, renamed, removed) are durable at once and in order, as
//! a journalling file system with a synced directory has it.
//!
//! Faults come on schedule ([`Faults`]). After a sync that failed, the kernel takes the pages for
//! clean: each sector is on the disk or not, later syncs do not write it again, and reads tell what
//! was written until [`DiskFile::forget`]. Everything follows from the seed.
//!
//! [`crash`]: FaultyDisk::crash

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// What is to go wrong, and when. Operations are counted from 0 over the life of the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Room of all files together; a write to a page that takes up none yet is ENOSPC beyond.
    pub(crate) room: Option<u64>,
    /// Every operation that changes something fails.
    pub(crate) read_only: bool,
    /// These writes fail with EIO, nothing written.
    pub(crate) failing_writes: Vec<u64>,
    /// These syncs fail with EIO.
    pub(crate) failing_syncs: Vec<u64>,
    /// These reads fail with EIO.
    pub(crate) failing_reads: Vec<u64>,
    /// This write (lengths and syncs count as writes, too) and every later operation fails: the power
    /// is gone.
    pub(crate) dead_at: Option<u64>,
}

/// How often each operation was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Operations {
    /// Writes to a file, changes of its length and syncs: every instant at which a kill differs.
    pub(crate) changes: u64,
    /// Writes.
    pub(crate) writes: u64,
    /// Syncs.
    pub(crate) syncs: u64,
    /// Reads.
    pub(crate) reads: u64,
    /// Bytes written.
    pub(crate) written_bytes: u64,
}

/// A handle on the disk; clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct FaultyDisk {
    world: Arc<Mutex<World>>,
}

/// A file of it, open; it stays the same file when it is renamed or removed.
#[derive(Debug)]
pub(crate) struct FaultyFile {
    world: Arc<Mutex<World>>,
    file: u64,
    writable: bool,
}

#[derive(Debug)]
struct World {
    names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    random: u64,
    faults: Faults,
    done: Operations,
    dead: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    /// What reads see.
    seen: Vec<u8>,
    /// What a power cut cannot take.
    safe: Vec<u8>,
    /// Every version of a sector since the last sync, by its number.
    loose: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// Every length since the last sync.
    lengths: Vec<usize>,
    /// Pages that take up room.
    pages: BTreeSet<usize>,
}

impl FaultyDisk {
    /// An empty disk without faults.
    pub(crate) fn new(seed: u64) -> FaultyDisk {
        FaultyDisk::of(seed, BTreeMap::new(), BTreeMap::new(), 0)
    }
    fn of(
        seed: u64,
        names: BTreeMap<String, u64>,
        files: BTreeMap<u64, Content>,
        next_file: u64,
    ) -> FaultyDisk {
        let world = World {
            names,
            files,
            next_file,
            random: seed ^ 0x9e37_79b9_7f4a_7c15,
            faults: Faults::default(),
            done: Operations::default(),
            dead: false,
        };
        FaultyDisk { world: Arc::new(Mutex::new(world)) }
    }
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Replaces the schedule, also while files are open.
    pub(crate) fn schedule(&self, faults: Faults) {
        self.world().faults = faults;
    }
    /// What was asked for so far.
    pub(crate) fn operations(&self) -> Operations {
        self.world().done
    }
    /// Whether [`Faults::dead_at`] has come.
    pub(crate) fn is_dead(&self) -> bool {
        self.world().dead
    }
    /// What all files take up.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.world().used_bytes()
    }
    /// Another disk: what this one has after a power cut now. This one goes on for whoever holds it.
    pub(crate) fn crash(&self, seed: u64) -> FaultyDisk {
        let world = self.world();
        let mut random = Random(seed ^ 0x2545_f491_4f6c_dd1d);
        let named = |file: &u64| world.names.values().any(|n| n == file);
        let files = world.files.iter().filter(|(file, _)| named(file));
        let files = files.map(|(file, content)| (*file, content.after_crash(&mut random)));
        FaultyDisk::of(seed, world.names.clone(), files.collect(), world.next_file)
    }
    /// Changes a file behind everybody's back, safely on disk.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let Some(file) = world.names.get(name).copied() else { return };
        let Some(content) = world.files.get_mut(&file) else { return };
        change(&mut content.seen);
        let pages = (0..content.seen.len().div_ceil(PAGE)).collect();
        *content = Content::all_safe(std::mem::take(&mut content.seen), pages);
    }
}

impl Content {
    fn all_safe(bytes: Vec<u8>, mut pages: BTreeSet<usize>) -> Content {
        drop(pages.split_off(&bytes.len().div_ceil(PAGE)));
        Content { safe: bytes.clone(), seen: bytes, pages, ..Content::default() }
    }

    fn set_len(&mut self, len: usize) {
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

    fn write(&mut self, at: usize, data: &[u8]) {
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

    fn sync(&mut self) {
        self.safe.resize(self.seen.len(), 0);
        for sector in std::mem::take(&mut self.loose).into_keys() {
            let start = (sector * SECTOR).min(self.seen.len());
            let end = (start + SECTOR).min(self.seen.len());
            self.safe[start..end].copy_from_slice(&self.seen[start..end]);
        }
        self.lengths.clear();
    }

    /// Each sector made it to the disk, or did not; nothing is left to be synced.
    fn sync_failed(&mut self, random: &mut Random) {
        self.safe = self.after_crash(random).safe;
        self.loose.clear();
        self.lengths.clear();
    }

    fn after_crash(&self, random: &mut Random) -> Content {
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
}

/// The sector, zeros behind the end.
fn sector_of(bytes: &[u8], sector: usize) -> [u8; SECTOR] {
    let mut out = [0; SECTOR];
    let there = bytes.get(sector * SECTOR..).unwrap_or_default();
    let there = &there[..there.len().min(SECTOR)];
    out[..there.len()].copy_from_slice(there);
    out
}

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below this one.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }
}

impl World {
    fn used_bytes(&self) -> u64 {
        let named = self.names.values().filter_map(|file| self.files.get(file));
        named.map(|content| (content.pages.len() * PAGE) as u64).sum()
    }
    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(eio()) } else { Ok(()) }
    }
    /// An operation that changes something.
    fn changes(&mut self) -> io::Result<()> {
        self.alive()?;
        if self.faults.dead_at.is_some_and(|at| self.done.changes >= at) {
            self.dead = true;
            return Err(eio());
        }
        self.done.changes += 1;
        if self.faults.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }
    fn room_for(&self, file: u64, bytes: Range<usize>) -> io::Result<()> {
        let there = &self.files.get(&file).ok_or(io::ErrorKind::NotFound)?.pages;
        let pages = bytes.start / PAGE..bytes.end.div_ceil(PAGE);
        let more = pages.filter(|page| !there.contains(page)).count() * PAGE;
        let more = more as u64;
        if more > 0 && self.faults.room.is_some_and(|room| self.used_bytes() + more > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
    fn content(&mut self, file: u64) -> io::Result<&mut Content> {
        self.files.get_mut(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(nix::libc::EIO)
}

impl Disk for FaultyDisk {
    type File = FaultyFile;

    fn open(&self, name: &str) -> io::Result<FaultyFile> {
        let mut world = self.world();
        world.alive()?;
        if world.faults.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let file = match world.names.get(name).copied() {
            Some(file) => file,
            None => {
                world.changes()?;
                let file = world.next_file;
                world.next_file += 1;
                world.names.insert(name.to_owned(), file);
                world.files.insert(file, Content::default());
                file
            }
        };
        Ok(FaultyFile { world: self.world.clone(), file, writable: true })
    }
    fn open_to_read(&self, name: &str) -> io::Result<FaultyFile> {
        let world = self.world();
        world.alive()?;
        let file = world.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(FaultyFile { world: self.world.clone(), file, writable: false })
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        world.changes()?;
        let file = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), file);
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.changes()?;
        world.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        let world = self.world();
        world.alive()?;
        Ok(world.names.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }
    fn random(&self) -> u64 {
        let mut world = self.world();
        let mut random = Random(world.random);
        let drawn = random.next();
        world.random = random.0;
        drawn
    }
    fn path(&self, name: &str) -> String {
        name.to_owned()
    }
}

impl FaultyFile {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn to_change(&self) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.world();
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        world.changes()?;
        Ok(world)
    }
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        let mut world = self.world();
        world.alive()?;
        Ok(world.content(self.file)?.seen.len() as u64)
    }
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        let nth = world.done.reads;
        world.done.reads += 1;
        if world.faults.failing_reads.contains(&nth) {
            return Err(eio());
        }
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let seen = &world.content(self.file)?.seen;
        let there = seen.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(there);
        Ok(())
    }
    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let mut world = self.to_change()?;
        let nth = world.done.writes;
        world.done.writes += 1;
        world.done.written_bytes += data.len() as u64;
        if world.faults.failing_writes.contains(&nth) {
            return Err(eio());
        }
        let at = usize::try_from(at).map_err(io::Error::other)?;
        world.room_for(self.file, at..at + data.len())?;
        world.content(self.file)?.write(at, data);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.to_change()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        world.content(self.file)?.set_len(len);
        Ok(())
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut world = self.to_change()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        world.room_for(self.file, 0..len)?;
        let content = world.content(self.file)?;
        content.pages.extend(0..len.div_ceil(PAGE));
        if len > content.seen.len() {
            content.seen.resize(len, 0);
            content.lengths.push(len);
        }
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        let mut world = self.to_change()?;
        let nth = world.done.syncs;
        world.done.syncs += 1;
        if world.faults.failing_syncs.contains(&nth) {
            let mut random = Random(world.random);
            world.random = random.next();
            world.content(self.file)?.sync_failed(&mut random);
            return Err(eio());
        }
        world.content(self.file)?.sync();
        Ok(())
    }
    fn forget(&self) {
        let mut world = self.world();
        if let Ok(content) = world.content(self.file) {
            let clean = content.safe.clone();
            let dirty = std::mem::replace(&mut content.seen, clean);
            // what still waits for a sync stays as it was written
            content.seen.resize(dirty.len().max(content.seen.len()), 0);
            for sector in content.loose.keys() {
                let start = (sector * SECTOR).min(dirty.len());
                let end = (start + SECTOR).min(dirty.len());
                content.seen[start..end].copy_from_slice(&dirty[start..end]);
            }
            content.seen.truncate(dirty.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seed: u64) -> FaultyDisk {
        let disk = FaultyDisk::new(seed);
        let file = disk.open("f").unwrap();
        file.write(0, &[1; 2000]).unwrap();
        file.sync().unwrap();
        file.write(500, &[2; 3000]).unwrap();
        disk
    }

    fn bytes(disk: &FaultyDisk) -> Vec<u8> {
        let file = disk.open("f").unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_synced_outlives_every_crash_and_the_rest_is_kept_lost_or_torn_sector_by_sector() {
        let disk = written(1);
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let after = bytes(&disk.crash(seed));
            assert_eq!(after[..500], [1; 500]);
            assert!([2000, 3500].contains(&after.len()));
            outcomes.insert(after);
        }
        assert!(outcomes.len() > 50, "{}", outcomes.len());
        assert_eq!(bytes(&disk.crash(7)), bytes(&disk.crash(7)));
        assert_eq!(bytes(&disk)[500..], [2; 3000]);
    }

    #[test]
    fn after_a_sync_that_failed_another_does_not_help_and_the_cache_lies_until_forgotten() {
        let disk = written(2);
        let file = disk.open("f").unwrap();
        let nth = disk.operations().syncs;
        disk.schedule(Faults { failing_syncs: vec![nth], ..Faults::default() });
        assert!(file.sync().is_err());
        assert!(file.len().is_ok());
        assert_eq!(bytes(&disk)[500..], [2; 3000]);
        let lost = bytes(&disk.crash(0));
        assert_eq!(lost, bytes(&disk.crash(1)));
        file.forget();
        let told = bytes(&disk);
        assert_eq!(told[..lost.len()], lost);
        assert_ne!(told, [[1; 500].as_slice(), &[2; 3000]].concat());
    }

    #[test]
    fn a_full_disk_refuses_growth_only_and_a_dead_one_everything() {
        let disk = written(3);
        let file = disk.open("f").unwrap();
        disk.schedule(Faults { room: Some(disk.used_bytes()), ..Faults::default() });
        file.set_len(20_000).unwrap();
        let full = file.write(3500, &[0; 1000]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        file.write(3000, &[0; 1000]).unwrap();
        disk.schedule(Faults { dead_at: Some(disk.operations().changes), ..Faults::default() });
        assert!(file.write(0, &[0]).is_err());
        assert!(file.len().is_err() && disk.is_dead());
    }
}
