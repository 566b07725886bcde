//! Where the store lives: the state directory, held by one process at a time.
//!
//! The lock (flock) is on the directory and not on a file in it, because the files are replaced:
//! set aside when corrupt, made anew.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use nix::libc::off_t;

use super::disk::{Disk, DiskFile, zeros};

/// What went to the kernel since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) bytes: AtomicU64,
    pub(super) syncs: AtomicU64,
}

/// The state directory.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    /// Held from the first file opened to the end of the process.
    lock: Mutex<Option<File>>,
    traffic: Arc<Traffic>,
}

impl Place {
    pub(super) fn new(directory: &Path, traffic: Arc<Traffic>) -> Place {
        Place { directory: directory.to_owned(), lock: Mutex::new(None), traffic }
    }

    fn file(&self, name: &str, options: &OpenOptions) -> io::Result<PlacedFile> {
        let file = options.open(self.directory.join(name))?;
        Ok(PlacedFile { file, traffic: self.traffic.clone() })
    }

    fn hold(&self) -> io::Result<()> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_some() {
            return Ok(());
        }
        let directory = File::open(&self.directory)?;
        match directory.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, holder(&directory)));
            }
            // a file system without locks (some network ones): better unguarded than nothing
            Err(TryLockError::Error(e)) => {
                tracing::warn!(path = %self.directory.display(), error = %e, "store cannot be locked");
            }
        }
        *lock = Some(directory);
        Ok(())
    }

    /// Makes names durable.
    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

impl Disk for Place {
    type File = PlacedFile;

    fn open(&self, name: &str) -> io::Result<PlacedFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        match self.file(name, &options) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            opened => {
                let file = opened?;
                self.hold()?;
                return Ok(file);
            }
        }
        make_durably(&self.directory)?;
        let file = self.file(name, options.create(true))?;
        self.hold()?;
        self.sync_names()?;
        Ok(file)
    }
    fn open_to_read(&self, name: &str) -> io::Result<PlacedFile> {
        self.file(name, OpenOptions::new().read(true))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.directory.join(from), self.directory.join(to))?;
        self.sync_names()
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.directory.join(name))
    }
    fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            names.extend(name.to_str().filter(|n| n.starts_with(prefix)).map(str::to_owned));
        }
        Ok(names)
    }
    fn random(&self) -> u64 {
        // without random numbers the clock has to do: only that no earlier process drew it counts
        getrandom::u64().unwrap_or_else(|_| {
            let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
    }
    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

/// A file in the state directory.
#[derive(Debug)]
pub(super) struct PlacedFile {
    file: File,
    traffic: Arc<Traffic>,
}

impl DiskFile for PlacedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, at)
    }
    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.traffic.bytes.fetch_add(data.len() as u64, Relaxed);
        self.file.write_all_at(data, at)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        // off_t has 32 bits on 32-bit machines with glibc
        let all = off_t::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        match fallocate(&self.file, FallocateFlags::empty(), 0, all) {
            Ok(()) => Ok(()),
            // a file system that cannot reserve: written zeros do
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => zeros(self, self.len()?, len),
            Err(e) => Err(e.into()),
        }
    }
    fn sync(&self) -> io::Result<()> {
        self.traffic.syncs.fetch_add(1, Relaxed);
        self.file.sync_data()
    }
    fn forget(&self) {
        let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

/// Makes a directory, and those above it, whose names outlive a power cut, too.
fn make_durably(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = match directory.parent() {
        None => Path::new("/"),
        Some(here) if here.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
    };
    make_durably(above)?;
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?; // another may be faster
    File::open(above)?.sync_all()
}

/// Who holds the lock, as words for the end of a sentence.
fn holder(directory: &File) -> String {
    crate::linux::locks::holder(directory).map_or_else(String::new, |pid| format!(" (pid {pid})"))
}
