//! Where the store lives: `maestro.redb` in the state directory, held by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend::{FileBackend, Overlay, Traffic};
use super::disk::{Check, Disk, Fault};
use super::{OpenError, trouble};
use crate::contract;

/// Files set aside that are kept: enough to send one to somebody, not enough to fill a flash.
const KEPT_CORRUPT: usize = 3;

/// The state directory and the file in it.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Held (flock) from the first open to the end of the process, over every re-open of redb.
    file: Option<Arc<File>>,
    traffic: Arc<Traffic>,
}

/// What came of opening.
#[derive(Debug)]
pub(super) enum Opened {
    /// On disk; `set_aside` names the corrupt file that lay in the way.
    OnDisk { disk: Disk, set_aside: Option<contract::Error> },
    /// The disk does not take it; what could be read is there to read.
    InRam { disk: Option<Disk>, cause: contract::Error },
}

impl Place {
    pub(super) fn new(directory: &Path, traffic: Arc<Traffic>) -> Place {
        Place { path: directory.join("maestro.redb"), file: None, traffic }
    }

    /// Opens the file, or what there is instead.
    ///
    /// # Errors
    /// When another process holds it.
    pub(super) fn open(&mut self) -> Result<Opened, OpenError> {
        let check = if self.suspicion().exists() { Check::Everything } else { Check::AfterCrash };
        let file = match self.hold() {
            Ok(file) => file,
            Err(Hold::InUse(holder)) => {
                return Err(OpenError::InUse { path: self.path.clone(), holder });
            }
            Err(Hold::Io(e)) => return Ok(self.in_ram(&e)),
        };
        match self.database(file, check) {
            Ok(disk) => Ok(self.on_disk(disk, None)),
            Err(Fault::Io(e)) if e.raw_os_error() != Some(nix::libc::EIO) => Ok(self.in_ram(&e)),
            Err(fault) => self.start_anew(&fault),
        }
    }

    /// Leaves a note for the next open: verify every page.
    pub(super) fn suspect(&self) {
        let _ = File::create(self.suspicion()); // a disk that takes no note is in trouble anyway
    }

    fn suspicion(&self) -> PathBuf {
        self.path.with_extension("redb.suspect")
    }

    fn on_disk(&self, disk: Disk, set_aside: Option<contract::Error>) -> Opened {
        if self.suspicion().exists() {
            let _ = std::fs::remove_file(self.suspicion()); // else: one more check at the next start
        }
        Opened::OnDisk { disk, set_aside }
    }

    fn database(&self, file: Arc<File>, check: Check) -> Result<Disk, Fault> {
        Disk::open(FileBackend { file, traffic: self.traffic.clone() }, check)
    }

    /// The file, open and locked.
    fn hold(&mut self) -> Result<Arc<File>, Hold> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        if let Some(directory) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(Hold::Io)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .map_err(Hold::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Hold::InUse(holder(&file))),
            // a file system without locks (some network ones): better unguarded than nothing
            Err(TryLockError::Error(e)) => {
                tracing::warn!(path = %self.path.display(), error = %e, "store cannot be locked");
            }
        }
        let file = Arc::new(file);
        self.file = Some(file.clone());
        Ok(file)
    }

    fn in_ram(&self, e: &io::Error) -> Opened {
        // only to read; a file that is not there, or makes trouble itself, is no loss here
        let disk = File::open(&self.path)
            .ok()
            .filter(|file| file.metadata().is_ok_and(|m| m.len() > 0))
            .and_then(|file| Overlay::over(file).ok())
            .and_then(|overlay| Disk::open(overlay, Check::AfterCrash).ok());
        Opened::InRam { disk, cause: trouble::of_io(&self.path, e) }
    }

    /// Sets the corrupt file aside and makes a new one.
    fn start_anew(&mut self, fault: &Fault) -> Result<Opened, OpenError> {
        tracing::error!(path = %self.path.display(), %fault, "store is corrupt and is set aside");
        let aside = match self.set_aside() {
            Ok(aside) => aside,
            Err(e) => {
                return Ok(Opened::InRam { disk: None, cause: trouble::of_io(&self.path, &e) });
            }
        };
        self.file = None;
        let file = match self.hold() {
            Ok(file) => file,
            Err(Hold::InUse(holder)) => {
                return Err(OpenError::InUse { path: self.path.clone(), holder });
            }
            Err(Hold::Io(e)) => {
                return Ok(Opened::InRam { disk: None, cause: trouble::of_io(&self.path, &e) });
            }
        };
        match self.database(file, Check::AfterCrash) {
            Ok(disk) => Ok(self.on_disk(disk, Some(trouble::set_aside(&aside, fault)))),
            Err(fault) => {
                Ok(Opened::InRam { disk: None, cause: trouble::of_fault(&self.path, &fault) })
            }
        }
    }

    fn set_aside(&self) -> io::Result<PathBuf> {
        let mut numbers = self.corrupt_files()?;
        numbers.sort_unstable();
        let excess = (numbers.len() + 1).saturating_sub(KEPT_CORRUPT);
        for number in numbers.iter().take(excess) {
            std::fs::remove_file(self.corrupt(*number))?;
        }
        let aside = self.corrupt(numbers.last().map_or(1, |last| last + 1));
        std::fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    fn corrupt(&self, number: u64) -> PathBuf {
        self.path.with_extension(format!("redb.corrupt-{number}"))
    }

    fn corrupt_files(&self) -> io::Result<Vec<u64>> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix("maestro.redb.corrupt-"));
            numbers.extend(number.and_then(|n| n.parse::<u64>().ok()));
        }
        Ok(numbers)
    }
}

enum Hold {
    InUse(String),
    Io(io::Error),
}

/// Who holds the lock, as words for the end of a sentence.
fn holder(file: &File) -> String {
    crate::linux::locks::holder(file).map_or_else(String::new, |pid| format!(" (pid {pid})"))
}
