//! How the engine opens what an earlier process, or a power cut, left.
//!
//! The tree first; it says which generation of the journal is newer than it. Then what the journal has
//! is replayed, and goes on from where it ends. Where the two do not fit, a checkpoint makes them.

use std::io;

use super::super::backend::Overlay;
use super::super::disk::{Disk, DiskFile, JOURNAL, SUSPECT, TREE};
use super::super::journal::{Journal, Replay};
use super::super::rows::Layer;
use super::super::tree::{Check, Fault, Tree};
use super::super::view::Health;
use super::super::{OpenError, aside, trouble};
use super::Engine;
use crate::contract;

impl<D: Disk> Engine<D> {
    pub(super) fn start(&mut self) -> Result<(), OpenError> {
        match self.open_files() {
            Ok(()) => Ok(()),
            Err(Fault::Io(e)) if e.kind() == io::ErrorKind::ResourceBusy => {
                Err(OpenError::InUse { path: self.disk.path(TREE).into(), holder: e.to_string() })
            }
            Err(fault) => {
                let cause = trouble::of_fault(&self.disk.path(TREE), &fault);
                self.open_to_read();
                self.view.set_health(Health::InRam(cause));
                Ok(())
            }
        }
    }

    /// Out of RAM, when the disk takes it.
    pub(super) fn start_again(&mut self) -> Result<(), contract::Error> {
        if let Err(fault) = self.open_files() {
            self.open_to_read();
            return Err(trouble::of_fault(&self.disk.path(TREE), &fault));
        }
        match self.view.health() {
            Health::InRam(_) | Health::Well => self.take_held(),
            Health::Tight(cause) | Health::Broken(cause) => Err(cause),
        }
    }

    fn open_files(&mut self) -> Result<(), Fault> {
        aside::finish(&self.disk).map_err(Fault::Io)?;
        let generation = self.open_tree()?;
        let bytes = self.journal_bytes();
        let replay = Replay::of(bytes.as_deref().unwrap_or_default(), generation, &self.view);
        self.generation = generation.unwrap_or(replay.generation());
        let torn = self.look_at(bytes.as_deref(), &replay);
        let opened = self.open_journal(&replay);
        self.view.replayed(replay.rows);
        if torn || generation.is_none() {
            // the journal is not to be written on, or the tree does not know it
            self.journal = None;
            self.checkpoint(&Layer::default(), &[])?;
        }
        let whole = opened.and_then(|()| self.reserve.restore(&self.disk));
        if let Err(e) = whole {
            self.view.set_health(Health::Tight(trouble::of_io(&self.disk.path(TREE), &e)));
        }
        Ok(())
    }

    /// What the tree says of the journal; `None`: nothing that counts.
    fn open_tree(&mut self) -> Result<Option<u64>, Fault> {
        let suspected = self.disk.names(SUSPECT).is_ok_and(|names| !names.is_empty());
        let check = if suspected { Check::Everything } else { Check::AfterCrash };
        let before = self.notice.take();
        let generation = self.reopen(check).and_then(|()| self.told_generation());
        match generation {
            Ok(generation) if self.notice.is_none() => {
                self.notice = before;
                return Ok(generation);
            }
            Ok(_) => {}
            Err(Fault::Io(e)) if e.raw_os_error() != Some(nix::libc::EIO) => {
                return Err(Fault::Io(e));
            }
            Err(fault) => {
                self.view.release();
                let tree = self.rebuild(&fault);
                let failed = tree.as_ref().err().map(ToString::to_string);
                self.view.settle(tree.ok());
                if let Some(failed) = failed {
                    return Err(Fault::Io(io::Error::other(failed)));
                }
            }
        }
        Ok(None) // made anew: whatever the journal has is all there is
    }

    fn told_generation(&self) -> Result<Option<u64>, Fault> {
        self.view.tree().map_or(Ok(None), |tree| tree.generation())
    }

    /// The journal's bytes; `None`: it cannot be read.
    fn journal_bytes(&self) -> Option<Vec<u8>> {
        let file = match self.disk.open_to_read(JOURNAL) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Some(Vec::new()),
            Err(_) => return None,
        };
        let len = file.len().ok()?.min(2 * self.sizes.journal.hard_bytes);
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read(0, &mut bytes).ok()?;
        Some(bytes)
    }

    /// Whether the journal is damaged; says so, and sets the rest aside.
    fn look_at(&mut self, bytes: Option<&[u8]>, replay: &Replay) -> bool {
        let path = self.disk.path(JOURNAL);
        let cause = match (bytes, replay.damaged) {
            (None, _) => trouble::journal_lost(&path, "it cannot be read"),
            (Some(bytes), Some(at)) => {
                match aside::copy(&self.disk, JOURNAL, &bytes[at.min(bytes.len())..]) {
                    Ok(name) => {
                        let kept = format!("the rest is kept as {}", self.disk.path(&name));
                        trouble::journal_lost(&path, &kept)
                    }
                    Err(e) => trouble::journal_lost(&path, &format!("the rest is not kept: {e}")),
                }
            }
            (Some(_), None) if replay.tree_is_behind => {
                trouble::journal_lost(&self.disk.path(TREE), "it has lost its last commit")
            }
            (Some(_), None) => return false,
        };
        tracing::error!(path, cause = cause.message, "journal is damaged");
        self.notice = Some(cause);
        true
    }

    pub(super) fn open_journal(&mut self, replay: &Replay) -> io::Result<()> {
        self.journal = None;
        let file = self.disk.open(JOURNAL)?;
        let nonce = self.disk.random();
        self.journal = Some(Journal::resume(file, self.sizes.journal, replay, nonce)?);
        Ok(())
    }

    /// What can be read of a disk that cannot be written. A file that is not there, or makes trouble
    /// itself, is no loss here.
    fn open_to_read(&mut self) {
        self.journal = None;
        self.view.release();
        let file = self.disk.open_to_read(TREE).ok();
        let file = file.filter(|file| file.len().is_ok_and(|len| len > 0));
        let overlay = file.and_then(|file| Overlay::over(file).ok());
        let tree = overlay.and_then(|overlay| Tree::open(overlay, Check::AfterCrash).ok());
        let generation = tree.as_ref().and_then(|tree| tree.generation().ok().flatten());
        let bytes = self.journal_bytes().unwrap_or_default();
        self.view.replayed(Replay::of(&bytes, generation, &self.view).rows);
        self.view.settle(tree);
    }
}
