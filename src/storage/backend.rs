//! What redb reads and writes: a file, or RAM over a file that cannot be written.
//!
//! Bytes and syncs are counted here, because here they really go to the kernel. Space is allocated
//! when the file grows, so that a disk that fills up is met at a growth and not in the middle of a
//! commit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc::off_t;
use redb::StorageBackend;

const PAGE: usize = 4096;
const PAGE_BYTES: u64 = PAGE as u64;

/// What went to the kernel since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) bytes: AtomicU64,
    pub(super) syncs: AtomicU64,
}

/// The file of the store.
#[derive(Debug)]
pub(super) struct FileBackend {
    pub(super) file: Arc<File>,
    pub(super) traffic: Arc<Traffic>,
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.file.metadata()?.len();
        if len <= now {
            return self.file.set_len(len);
        }
        // off_t has 32 bits on 32-bit machines with glibc
        let (start, more) = (off_t::try_from(now), off_t::try_from(len - now));
        let (Ok(start), Ok(more)) = (start, more) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        match fallocate(&*self.file, FallocateFlags::empty(), start, more) {
            Ok(()) => Ok(()),
            // a file system that cannot reserve: grow, and meet a full disk at a write
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => self.file.set_len(len),
            Err(e) => Err(e.into()),
        }
    }
    fn sync_data(&self) -> io::Result<()> {
        self.traffic.syncs.fetch_add(1, Relaxed);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.traffic.bytes.fetch_add(data.len() as u64, Relaxed);
        self.file.write_all_at(data, offset)
    }
}

/// RAM over a file that can be read but not written: what redb changes (a repair) stays in RAM.
#[derive(Debug)]
pub(super) struct Overlay {
    base: File,
    ram: Mutex<Ram>,
}

#[derive(Debug)]
struct Ram {
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn over(base: File) -> io::Result<Overlay> {
        let len = base.metadata()?.len();
        Ok(Overlay { base, ram: Mutex::new(Ram { len, pages: BTreeMap::new() }) })
    }
    fn ram(&self) -> MutexGuard<'_, Ram> {
        self.ram.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The page as it is now: changed in RAM, else from the file, else zeros.
    fn page(&self, ram: &Ram, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = ram.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE];
        let mut filled = 0;
        while filled < page.len() {
            match self.base.read_at(&mut page[filled..], number * PAGE_BYTES + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        Ok(page)
    }
}

/// The part of each page that a range of bytes touches: page number, place in it, place in the range.
fn pages(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let end = offset + len as u64;
    (offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES)).map(move |number| {
        let start = number * PAGE_BYTES;
        let (from, to) = (offset.max(start), end.min(start + PAGE_BYTES));
        let place = |at: u64, origin: u64| usize::try_from(at - origin).unwrap_or(usize::MAX);
        (number, place(from, start)..place(to, start), place(from, offset)..place(to, offset))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.ram().len)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let ram = self.ram();
        if offset + out.len() as u64 > ram.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, inside, range) in pages(offset, out.len()) {
            out[range].copy_from_slice(&self.page(&ram, number)?[inside]);
        }
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.ram().len = len;
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut ram = self.ram();
        for (number, inside, range) in pages(offset, data.len()) {
            let mut page = self.page(&ram, number)?;
            page[inside].copy_from_slice(&data[range]);
            ram.pages.insert(number, page);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn an_overlay_reads_the_file_until_a_byte_is_written_and_never_changes_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let overlay = Overlay::over(file.try_clone().unwrap()).unwrap();
        overlay.write(4090, &[1; 10]).unwrap();
        overlay.set_len(20_000).unwrap();
        let mut out = [9; 14];
        overlay.read(4088, &mut out).unwrap();
        assert_eq!(out, [7, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7, 7]);
        overlay.read(9998, &mut out).unwrap();
        assert_eq!(out[..4], [7, 7, 0, 0]);
        assert!(overlay.read(19_990, &mut out).is_err());
        let mut bytes = vec![0; 10_000];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes.iter().all(|b| *b == 7));
    }
}
