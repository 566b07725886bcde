//! The rows as redb keeps them: one tree, because every further tree costs each commit its own pages.

use std::any::Any;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Database, ReadableDatabase, TableDefinition};

use super::Table;
use super::pending::Rows;

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");

/// redb's page cache: enough for the upper levels of the tree; the kernel's cache has the rest.
const CACHE_BYTES: usize = 512 * 1024;

/// Whether an open verifies every page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// A clean file is trusted; one left by a crash is repaired, its checksums verified.
    AfterCrash,
    /// Every page, because somebody stumbled.
    Everything,
}

/// Why redb did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The system's answer.
    #[error("{0}")]
    Io(#[source] std::io::Error),
    /// The file is not what redb wrote.
    #[error("the file is corrupt: {0}")]
    Corrupt(String),
}

/// An open database.
#[derive(Debug)]
pub(super) struct Disk {
    db: Database,
}

impl Disk {
    pub(super) fn open(backend: impl redb::StorageBackend, check: Check) -> Result<Disk, Fault> {
        guarded(|| {
            let db = redb::Builder::new()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(check == Check::Everything)
                .create_with_backend(backend)?;
            Ok(Disk { db })
        })
    }
    /// Closes the file in good order, as far as it is one.
    pub(super) fn close(self) {
        let closed = guarded(|| Ok(self.db.close()?));
        if let Err(fault) = closed {
            tracing::debug!(%fault, "store was not closed in good order");
        }
    }
    pub(super) fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        guarded(|| {
            let txn = self.db.begin_read()?;
            let table = match txn.open_table(ROWS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(e) => return Err(e.into()),
            };
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }
    /// Every row of a table, in key order; `each` gets the key with the table's number before it.
    pub(super) fn scan(
        &self,
        table: Table,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let number = table as u8;
        let opened = guarded(|| match self.db.begin_read()?.open_table(ROWS) {
            Ok(rows) => Ok(Some(rows.range::<&[u8]>(&[number][..]..&[number + 1][..])?)),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(e.into()),
        })?;
        let Some(mut rows) = opened else { return Ok(()) };
        // guarded row by row, so that a panic in `each` stays the caller's
        let mut next = || {
            let row = rows.next().transpose()?;
            // a corrupt page shows here, inside the guard, not below
            let _ = row.as_ref().map(|(key, value)| (key.value().len(), value.value().len()));
            Ok(row)
        };
        while let Some((key, value)) = guarded(&mut next)? {
            each(key.value(), value.value());
        }
        Ok(())
    }
    /// Commits the rows, durably. What is on disk already is not written again; `false`: nothing was.
    pub(super) fn apply(&self, rows: &Rows) -> Result<bool, Fault> {
        guarded(|| {
            let changed = self.changed(rows)?;
            if changed.is_empty() {
                return Ok(false);
            }
            let txn = self.db.begin_write()?;
            {
                let mut table = txn.open_table(ROWS)?;
                for (key, value) in changed {
                    match value {
                        Some(value) => drop(table.insert(key, value)?),
                        None => drop(table.remove(key)?),
                    }
                }
            }
            txn.commit()?;
            Ok(true)
        })
    }
    #[expect(clippy::type_complexity, reason = "rows, borrowed")]
    fn changed<'r>(
        &self,
        rows: &'r Rows,
    ) -> Result<Vec<(&'r [u8], Option<&'r [u8]>)>, redb::Error> {
        let txn = self.db.begin_read()?;
        let table = match txn.open_table(ROWS) {
            Ok(table) => Some(table),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(e) => return Err(e.into()),
        };
        let mut changed = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let there = match &table {
                Some(table) => table.get(key.as_slice())?,
                None => None,
            };
            if there.as_ref().map(|t| t.value()) != value.as_deref() {
                changed.push((key.as_slice(), value.as_deref()));
            }
        }
        Ok(changed)
    }
}

/// Runs redb. On a corrupt file it may panic instead of telling: that is bad input, not our end.
fn guarded<T>(deed: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(deed)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(redb::Error::Io(e))) => {
            let cut = [ErrorKind::InvalidData, ErrorKind::UnexpectedEof].contains(&e.kind());
            Err(if cut { Fault::Corrupt(e.to_string()) } else { Fault::Io(e) })
        }
        Ok(Err(redb::Error::PreviousIo)) => {
            Err(Fault::Io(std::io::Error::other("an earlier write failed")))
        }
        Ok(Err(e)) => Err(Fault::Corrupt(e.to_string())),
        Err(panic) => Err(Fault::Corrupt(told_by(&*panic))),
    }
}

/// What a panic said.
pub(super) fn told_by(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::backend::{FileBackend, Traffic};
    use super::super::pending::row_key;
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex, mpsc};

    /// A disk whose syncs wait for the test.
    #[derive(Debug)]
    struct Slow {
        disk: FileBackend,
        syncing: Mutex<mpsc::Sender<()>>,
        go: Mutex<mpsc::Receiver<()>>,
    }

    impl redb::StorageBackend for Slow {
        fn len(&self) -> io::Result<u64> {
            self.disk.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.disk.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.disk.set_len(len)
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.disk.write(offset, data)
        }
        fn sync_data(&self) -> io::Result<()> {
            let _ = self.syncing.lock().unwrap().send(());
            let _ = self.go.lock().unwrap().recv(); // the test has ended: go on
            self.disk.sync_data()
        }
    }

    fn rows(key: &[u8], value: &[u8]) -> Rows {
        Rows::from([(row_key(Table::Meta, key), Some(value.to_vec()))])
    }

    #[test]
    fn a_read_does_not_wait_for_the_sync_of_a_commit() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let disk = FileBackend { file, traffic: Arc::new(Traffic::default()) };
        let first = Disk::open(
            FileBackend { file: disk.file.clone(), traffic: disk.traffic.clone() },
            Check::AfterCrash,
        );
        first.unwrap().apply(&rows(b"k", b"old")).unwrap();
        let (syncing, is_syncing) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        for _ in 0..20 {
            go.send(()).unwrap(); // whatever opening needs
        }
        let slow = Slow { disk, syncing: Mutex::new(syncing), go: Mutex::new(may_go) };
        let disk = Disk::open(slow, Check::AfterCrash).unwrap();
        // use up what opening left, so that the next sync waits
        let spent = is_syncing.try_iter().count();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 0..30_u8 {
                    disk.apply(&rows(b"k", &[n])).unwrap();
                }
            });
            for _ in spent..21 {
                is_syncing.recv().unwrap();
            }
            assert!(disk.read(&row_key(Table::Meta, b"k")).unwrap().is_some());
            assert!(!writer.is_finished());
            drop(go);
            writer.join().unwrap();
        });
        assert_eq!(disk.read(&row_key(Table::Meta, b"k")).unwrap(), Some(vec![29]));
    }

    #[test]
    fn what_is_on_disk_already_is_not_written_again() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let traffic = Arc::new(Traffic::default());
        let disk = Disk::open(FileBackend { file, traffic }, Check::AfterCrash).unwrap();
        assert!(disk.apply(&rows(b"k", b"v")).unwrap());
        assert!(!disk.apply(&rows(b"k", b"v")).unwrap());
        assert!(!disk.apply(&Rows::from([(row_key(Table::Meta, b"gone"), None)])).unwrap());
        assert!(disk.apply(&Rows::from([(row_key(Table::Meta, b"k"), None)])).unwrap());
        assert_eq!(disk.read(&row_key(Table::Meta, b"k")).unwrap(), None);
    }
}
