//! The reserve: a file that only takes up room, given back when the disk is full, because then redb
//! cannot even delete.

use std::io;

use super::disk::{Disk, DiskFile, RESERVE};

/// The reserve of a disk.
#[derive(Debug)]
pub(super) struct Reserve {
    bytes: u64,
    there: bool,
}

impl Reserve {
    pub(super) fn of(bytes: u64) -> Reserve {
        Reserve { bytes, there: false }
    }
    /// Makes it, or makes sure that it is whole. Its blocks are reserved, nothing is written to them.
    ///
    /// # Errors
    /// `StorageFull` when there is no room for it; then it takes up none.
    pub(super) fn restore(&mut self, disk: &impl Disk) -> io::Result<()> {
        if self.there {
            return Ok(());
        }
        let made = disk.open(RESERVE).and_then(|file| {
            if file.len()? != self.bytes {
                file.set_len(0)?; // what was cut by a crash is not known to be reserved
                file.allocate(self.bytes)?;
            }
            Ok(())
        });
        if let Err(e) = made {
            let _ = disk.remove(RESERVE);
            return Err(e);
        }
        self.there = true;
        Ok(())
    }
    /// Whether it is whole.
    pub(super) fn is_there(&self) -> bool {
        self.there
    }
    /// Gives its room back.
    pub(super) fn free(&mut self, disk: &impl Disk) {
        let _ = disk.remove(RESERVE); // not there, or a disk that takes no removal either
        self.there = false;
    }
}
