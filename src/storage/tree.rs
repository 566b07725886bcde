//! The rows as redb keeps them: one tree, because every further tree costs each commit its own pages.
//!
//! Each value ends in a checksum of its key and itself (4 bytes): redb verifies pages only when it
//! repairs, and what is read from a failing flash must not pass for a session.

use std::any::Any;
use std::io::ErrorKind;
use std::ops::Bound::{self, Excluded, Unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Database, ReadableDatabase, TableDefinition};

use super::Table;
use super::checksum::checksum32;

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");

/// The row that says which generation of the journal is newer than the tree. No table has this
/// number.
const GENERATION: &[u8] = &[u8::MAX];

/// redb's page cache. All pages of a checkpoint fit in, four times the journal: what does not is written
/// as it is, and again when the next row changes it (1270 bytes for a message of 300 instead of 860).
const CACHE_BYTES: usize = 3 * 1024 * 1024;

/// Rows copied in one commit when a tree is made from another.
const COPIED_AT_ONCE: usize = 500;

/// Whether an open verifies every page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// A clean file is trusted; one left by a crash is repaired.
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

impl Fault {
    /// The disk has no room.
    pub(super) fn is_full(&self) -> bool {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        matches!(self, Fault::Io(e) if full.contains(&e.kind()))
    }
    /// The disk itself failed.
    pub(super) fn is_eio(&self) -> bool {
        matches!(self, Fault::Io(e) if e.raw_os_error() == Some(nix::libc::EIO))
    }
}

/// A row that differs from what is there.
#[derive(Debug)]
pub(super) struct Change<'r> {
    pub(super) key: &'r [u8],
    /// `None` removes.
    pub(super) value: Option<&'r [u8]>,
}

/// An open database.
#[derive(Debug)]
pub(super) struct Tree {
    /// There until it is closed.
    db: Option<Database>,
}

impl Tree {
    pub(super) fn open(backend: impl redb::StorageBackend, check: Check) -> Result<Tree, Fault> {
        guarded(|| {
            let db = redb::Builder::new()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(check == Check::Everything)
                .create_with_backend(backend)?;
            Ok(Tree { db: Some(db) })
        })
    }
    /// Closes the file in good order, as far as it is one.
    pub(super) fn close(mut self) {
        self.finish();
    }
    /// To close it writes, and to write it reads: a corrupt file shows here, too.
    fn finish(&mut self) {
        let Some(db) = self.db.take() else { return };
        if let Err(fault) = guarded(|| Ok(db.close()?)) {
            tracing::debug!(%fault, "store was not closed in good order");
        }
    }
    fn db(&self) -> &Database {
        self.db.as_ref().expect("only `finish` takes it, at the end")
    }
    /// Gives back to the disk what removed rows took up.
    pub(super) fn compact(&mut self) -> Result<(), Fault> {
        let Some(db) = &mut self.db else { return Ok(()) };
        guarded(|| Ok(db.compact()?)).map(drop)
    }
    /// The generation of the journal that is newer than the tree.
    pub(super) fn generation(&self) -> Result<Option<u64>, Fault> {
        let value = self.read(GENERATION)?;
        Ok(value.and_then(|value| value.try_into().ok()).map(u64::from_be_bytes))
    }
    pub(super) fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let mut found = None;
        self.look_up([key], &mut |value| found = value.map(<[u8]>::to_vec))?;
        Ok(found)
    }
    /// Looks up many keys, one after the other, as of one moment.
    pub(super) fn look_up<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        each: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), Fault> {
        let mut wrong = false;
        guarded(|| {
            let table = match self.db().begin_read()?.open_table(ROWS) {
                Ok(table) => Some(table),
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                Err(e) => return Err(e.into()),
            };
            for key in keys {
                let row = table.as_ref().map(|table| table.get(key)).transpose()?.flatten();
                let value = row.as_ref().map(|row| verified(key, row.value()));
                wrong |= value == Some(None);
                each(value.flatten());
            }
            Ok(())
        })?;
        if wrong { Err(wrong_row()) } else { Ok(()) }
    }
    /// Every row of a table, in key order; `each` gets the key with the table's number before it.
    pub(super) fn scan(
        &self,
        table: Table,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let number = table as u8;
        let mut wrong = false;
        let opened = guarded(|| match self.db().begin_read()?.open_table(ROWS) {
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
            match verified(key.value(), value.value()) {
                Some(value) => each(key.value(), value),
                None => wrong = true,
            }
        }
        if wrong { Err(wrong_row()) } else { Ok(()) }
    }
    /// Commits rows and, if one is given, the generation of the journal that is newer than them.
    pub(super) fn apply<'r>(
        &self,
        changes: impl IntoIterator<Item = Change<'r>>,
        generation: Option<u64>,
    ) -> Result<(), Fault> {
        guarded(|| {
            let mut txn = self.db().begin_write()?;
            txn.set_quick_repair(true);
            {
                let mut table = txn.open_table(ROWS)?;
                let mut kept = Vec::new();
                for Change { key, value } in changes {
                    match value {
                        Some(value) => drop(table.insert(key, checked(key, value, &mut kept))?),
                        None => drop(table.remove(key)?),
                    }
                }
                if let Some(generation) = generation {
                    let value = generation.to_be_bytes();
                    table.insert(GENERATION, checked(GENERATION, &value, &mut kept))?;
                }
            }
            Ok(txn.commit()?)
        })
    }
    /// Bytes of the pages in use. Walks over all of them.
    pub(super) fn used_bytes(&self) -> Result<u64, Fault> {
        guarded(|| {
            let txn = self.db().begin_write()?;
            let stats = txn.stats()?;
            txn.abort()?;
            Ok(stats.allocated_pages() * stats.page_size() as u64)
        })
    }
    /// Copies every row that can be read and is what was written: from the first to the page that
    /// cannot be read, and from the last back to it. Only trouble of this tree is an error.
    pub(super) fn copy_from(&self, old: &Tree) -> Result<(), Fault> {
        let (mut first, mut last): (Bound<Vec<u8>>, Bound<Vec<u8>>) = (Unbounded, Unbounded);
        for end in [End::First, End::Last] {
            loop {
                let mut rows = Vec::new();
                let read = old.some_rows((first.clone(), last.clone()), end, &mut rows);
                let reached = rows.last().map(|(key, _)| Excluded(key.clone()));
                let whole = rows.iter().filter_map(|(key, value)| {
                    Some(Change { key, value: Some(verified(key, value)?) })
                });
                self.apply(whole, None)?;
                match (reached, read, end) {
                    (_, Err(_), _) => break,
                    (None, Ok(()), _) => return Ok(()),
                    (Some(reached), Ok(()), End::First) => first = reached,
                    (Some(reached), Ok(()), End::Last) => last = reached,
                }
            }
        }
        Ok(())
    }
    /// Some rows between these bounds from one end of them; in `rows` is what was read, also on an
    /// error.
    fn some_rows(
        &self,
        between: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        end: End,
        rows: &mut Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<(), Fault> {
        guarded(|| {
            let table = self.db().begin_read()?.open_table(ROWS)?;
            let (first, last) = &between;
            let between = (first.as_ref().map(Vec::as_slice), last.as_ref().map(Vec::as_slice));
            let mut range = table.range::<&[u8]>(between)?;
            while rows.len() < COPIED_AT_ONCE {
                let row = match end {
                    End::First => range.next(),
                    End::Last => range.next_back(),
                };
                let Some((key, value)) = row.transpose()? else { break };
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(())
        })
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.finish();
    }
}

/// From where rows are copied.
#[derive(Clone, Copy, Debug)]
enum End {
    First,
    Last,
}

/// The value as it is kept.
fn checked<'k>(key: &[u8], value: &[u8], kept: &'k mut Vec<u8>) -> &'k [u8] {
    kept.clear();
    kept.extend_from_slice(value);
    kept.extend_from_slice(&checksum32([key, value]).to_be_bytes());
    kept
}

/// The value, if it is what was written.
fn verified<'v>(key: &[u8], kept: &'v [u8]) -> Option<&'v [u8]> {
    let (value, checksum) = kept.split_last_chunk::<4>()?;
    (checksum32([key, value]) == u32::from_be_bytes(*checksum)).then_some(value)
}

fn wrong_row() -> Fault {
    Fault::Corrupt("a row is not what was written".to_owned())
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
    use super::super::backend::Backend;
    use super::super::disk::Disk;
    use super::super::faulty::{FaultyDisk, FaultyFile};
    use super::super::rows::row_key;
    use super::*;
    use std::io;
    use std::sync::{Mutex, mpsc};

    /// A disk whose syncs wait for the test.
    #[derive(Debug)]
    struct Slow {
        file: Backend<FaultyFile>,
        syncing: Mutex<mpsc::Sender<()>>,
        go: Mutex<mpsc::Receiver<()>>,
    }

    impl redb::StorageBackend for Slow {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.file.write(offset, data)
        }
        fn sync_data(&self) -> io::Result<()> {
            let _ = self.syncing.lock().unwrap().send(());
            let _ = self.go.lock().unwrap().recv(); // the test has ended: go on
            self.file.sync_data()
        }
    }

    fn file(disk: &FaultyDisk) -> Backend<FaultyFile> {
        Backend(disk.open("tree").unwrap())
    }

    fn put(tree: &Tree, key: &[u8], value: &[u8]) {
        let key = row_key(Table::Meta, key);
        tree.apply([Change { key: &key, value: Some(value) }], Some(7)).unwrap();
    }

    #[test]
    fn a_read_does_not_wait_for_the_sync_of_a_commit() {
        let disk = FaultyDisk::new(1);
        let first = Tree::open(file(&disk), Check::AfterCrash).unwrap();
        put(&first, b"k", b"old");
        first.close();
        let (syncing, is_syncing) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        for _ in 0..20 {
            go.send(()).unwrap(); // whatever opening needs
        }
        let slow = Slow { file: file(&disk), syncing: Mutex::new(syncing), go: Mutex::new(may_go) };
        let tree = Tree::open(slow, Check::AfterCrash).unwrap();
        // use up what opening left, so that the next sync waits
        let spent = is_syncing.try_iter().count();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 0..30_u8 {
                    put(&tree, b"k", &[n]);
                }
            });
            for _ in spent..21 {
                is_syncing.recv().unwrap();
            }
            assert!(tree.read(&row_key(Table::Meta, b"k")).unwrap().is_some());
            assert!(!writer.is_finished());
            drop(go);
            writer.join().unwrap();
        });
        assert_eq!(tree.read(&row_key(Table::Meta, b"k")).unwrap(), Some(vec![29]));
        assert_eq!(tree.generation().unwrap(), Some(7));
    }

    #[test]
    fn a_row_that_is_not_what_was_written_is_no_row() {
        let disk = FaultyDisk::new(1);
        let tree = Tree::open(file(&disk), Check::AfterCrash).unwrap();
        put(&tree, b"k", b"a value to be found");
        put(&tree, b"other", b"value");
        tree.close();
        disk.damage("tree", |bytes| {
            let value = b"a value to be found";
            let places = 0..bytes.len() - value.len();
            for at in places.filter(|at| bytes[*at..].starts_with(value)).collect::<Vec<_>>() {
                bytes[at] = b'A';
            }
        });
        let tree = Tree::open(file(&disk), Check::AfterCrash).unwrap();
        assert!(matches!(tree.read(&row_key(Table::Meta, b"k")), Err(Fault::Corrupt(_))));
        let mut rows = Vec::new();
        let told = tree.scan(Table::Meta, &mut |key, _| rows.push(key.to_vec()));
        assert!(told.is_err() && rows == [b"\0other"]);
    }
}
