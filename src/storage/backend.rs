//! What redb reads and writes: a file, or RAM over a file that must not be written.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::disk::DiskFile;

const PAGE: usize = 4096;
const PAGE_BYTES: u64 = PAGE as u64;

/// A file, as redb wants it.
#[derive(Debug)]
pub(super) struct Backend<F>(pub(super) F);

impl<F: DiskFile> StorageBackend for Backend<F> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// RAM over a file that can be read but not written: what redb changes (a repair) stays in RAM.
#[derive(Debug)]
pub(super) struct Overlay<F> {
    base: F,
    ram: Mutex<Ram>,
}

#[derive(Debug)]
struct Ram {
    len: u64,
    /// What is left of the base: nothing comes back when the file was cut and grew again.
    base_len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl<F: DiskFile> Overlay<F> {
    pub(super) fn over(base: F) -> io::Result<Overlay<F>> {
        let len = base.len()?;
        Ok(Overlay { base, ram: Mutex::new(Ram { len, base_len: len, pages: BTreeMap::new() }) })
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
        let start = number * PAGE_BYTES;
        let there = ram.base_len.saturating_sub(start).min(PAGE_BYTES);
        let there = usize::try_from(there).unwrap_or(PAGE);
        self.base.read(start, &mut page[..there])?;
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

impl<F: DiskFile> StorageBackend for Overlay<F> {
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
        let mut ram = self.ram();
        ram.len = len;
        ram.base_len = ram.base_len.min(len);
        drop(ram.pages.split_off(&len.div_ceil(PAGE_BYTES)));
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
    use super::super::disk::Disk;
    use super::super::faulty::FaultyDisk;
    use super::*;

    #[test]
    fn an_overlay_reads_the_file_until_a_byte_is_written_and_never_changes_the_file() {
        let disk = FaultyDisk::new(1);
        let file = disk.open("file").unwrap();
        file.write(0, &[7; 10_000]).unwrap();
        let overlay = Overlay::over(disk.open("file").unwrap()).unwrap();
        overlay.write(4090, &[1; 10]).unwrap();
        overlay.set_len(20_000).unwrap();
        let mut out = [9; 14];
        overlay.read(4088, &mut out).unwrap();
        assert_eq!(out, [7, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7, 7]);
        overlay.read(9998, &mut out).unwrap();
        assert_eq!(out[..4], [7, 7, 0, 0]);
        assert!(overlay.read(19_990, &mut out).is_err());
        let mut bytes = vec![0; 10_000];
        file.read(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|b| *b == 7));
    }
}
