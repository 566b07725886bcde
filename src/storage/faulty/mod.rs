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

mod content;
mod random;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};
use content::Content;
pub(crate) use random::Random;

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
        let mut random = Random::new(seed ^ 0x2545_f491_4f6c_dd1d);
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
        let mut random = Random::new(world.random);
        let drawn = random.next();
        world.random = random.state();
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
        world.content(self.file)?.allocate(len);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        let mut world = self.to_change()?;
        let nth = world.done.syncs;
        world.done.syncs += 1;
        if world.faults.failing_syncs.contains(&nth) {
            let mut random = Random::new(world.random);
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
            content.forget();
        }
    }
}
