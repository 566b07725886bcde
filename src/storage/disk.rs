//! What the engine needs of the world: a few files in a directory, and random numbers.
//!
//! [`super::place::Place`] is the real one; in tests `faulty` keeps the files in RAM, drops, tears
//! and reorders what was not synced, and fails on schedule.

use std::fmt::Debug;
use std::io;

/// The rows: a redb database.
pub(crate) const TREE: &str = "maestro.redb";
/// A database in the making.
pub(crate) const NEW: &str = "maestro.redb.new";
/// A complete one that is to take the place of a corrupt one.
pub(crate) const REBUILT: &str = "maestro.redb.rebuilt";
/// Left by whoever stumbled: the next open verifies every page.
pub(crate) const SUSPECT: &str = "maestro.redb.suspect";
/// The commits since the last checkpoint.
pub(crate) const JOURNAL: &str = "maestro.journal";
/// Room that is given back when the disk is full.
pub(crate) const RESERVE: &str = "maestro.reserve";

/// A directory of files.
pub(crate) trait Disk: Debug + Send + 'static {
    /// A file, open.
    type File: DiskFile;
    /// Opens a file to read and write; makes it when it is not there, and its name durable.
    ///
    /// # Errors
    /// Of kind `ResourceBusy` when another process holds the directory.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file that is there, only to read it.
    fn open_to_read(&self, name: &str) -> io::Result<Self::File>;
    /// Renames, durably; what was called `to` before is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; its room is free.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Every name that begins with this.
    fn names(&self, prefix: &str) -> io::Result<Vec<String>>;
    /// A random number that no earlier process has drawn.
    fn random(&self) -> u64;
    /// The path, for a person.
    fn path(&self, name: &str) -> String;
}

/// A file of a [`Disk`].
pub(crate) trait DiskFile: Debug + Send + Sync + 'static {
    /// Bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `out` from this place; an end before that is `UnexpectedEof`.
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of it.
    fn write(&self, at: u64, data: &[u8]) -> io::Result<()>;
    /// Cuts the file, or makes it longer with zeros that take up no room yet.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the file at least this long and reserves its room.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// fdatasync: everything written so far survives a power cut, if it succeeds.
    fn sync(&self) -> io::Result<()>;
    /// Drops what is cached: after a sync that failed, reads must tell what the disk has.
    fn forget(&self);
}

/// Writes zeros from one place to another.
pub(super) fn zeros(file: &impl DiskFile, from: u64, to: u64) -> io::Result<()> {
    const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
    let mut at = from;
    while at < to {
        let piece = usize::try_from(to - at).unwrap_or(ZEROS.len()).min(ZEROS.len());
        file.write(at, &ZEROS[..piece])?;
        at += piece as u64;
    }
    Ok(())
}
