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

/// The journal is read in such pieces.
const READ_AT_ONCE: usize = 64 * 1024;

/// How far a file can be read.
#[derive(Clone, Copy, Debug)]
enum End {
    Reached,
    Unreadable,
}

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
        let (bytes, end) = self.journal_bytes();
        let replay = Replay::of(&bytes, generation);
        self.generation = generation.unwrap_or(replay.generation());
        let damaged = self.look_at(&bytes, end, &replay);
        drop(bytes);
        let opened = self.open_journal(&replay);
        self.view.replayed(replay.rows);
        if damaged || generation.is_none() {
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

    /// What the tree says of the journal, be it made anew: a rebuilt one has the old one's row. A journal
    /// of an older generation has nothing that is not in the tree, mostly newer. `None`: the tree cannot
    /// tell, and whatever the journal has is all there is.
    fn open_tree(&mut self) -> Result<Option<u64>, Fault> {
        let suspected = self.disk.names(SUSPECT).is_ok_and(|names| !names.is_empty());
        let check = if suspected { Check::Everything } else { Check::AfterCrash };
        let before = self.notice.take();
        let mut generation = self.reopen(check).and_then(|()| self.told_generation());
        if generation.as_ref().is_err_and(Fault::is_eio) {
            // a cable, a controller that was reset: the second look is at every page
            generation = self.reopen(Check::Everything).and_then(|()| self.told_generation());
        }
        match generation {
            Err(fault @ Fault::Corrupt(_)) => generation = self.rebuilt(&fault),
            Err(fault) if fault.is_eio() => generation = self.rebuilt(&fault),
            Err(_) | Ok(_) => {}
        }
        self.notice = self.notice.take().or(before);
        generation
    }

    fn rebuilt(&mut self, fault: &Fault) -> Result<Option<u64>, Fault> {
        self.view.release();
        let rebuilt = self.rebuild(fault);
        let (tree, done) =
            rebuilt.map_or_else(|fault| (None, Err(fault)), |tree| (Some(tree), Ok(())));
        self.view.settle(tree);
        done.and_then(|()| self.told_generation())
    }

    fn told_generation(&self) -> Result<Option<u64>, Fault> {
        self.view.tree().map_or(Ok(None), |tree| tree.generation())
    }

    /// The journal's bytes, as far as they can be read; whether that is to its end.
    fn journal_bytes(&self) -> (Vec<u8>, End) {
        let file = match self.disk.open_to_read(JOURNAL) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return (Vec::new(), End::Reached),
            Err(_) => return (Vec::new(), End::Unreadable),
        };
        let Ok(len) = file.len() else { return (Vec::new(), End::Unreadable) };
        let len = len.min(2 * self.sizes.journal.hard_bytes);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let mut at = 0;
        for piece in bytes.chunks_mut(READ_AT_ONCE) {
            let read = file.read(at, piece);
            // once more: a cable, a controller that was reset
            if read.or_else(|_| file.read(at, piece)).is_err() {
                bytes.truncate(usize::try_from(at).unwrap_or(0));
                return (bytes, End::Unreadable);
            }
            at += piece.len() as u64;
        }
        (bytes, End::Reached)
    }

    /// Whether the journal is damaged; says so, and sets it, or a copy of the rest, aside.
    fn look_at(&mut self, bytes: &[u8], end: End, replay: &Replay) -> bool {
        let path = self.disk.path(JOURNAL);
        let kept = match (end, replay.damaged) {
            (End::Unreadable, _) => aside::rename(&self.disk, JOURNAL),
            (End::Reached, Some(at)) => {
                aside::copy(&self.disk, JOURNAL, bytes.get(at..).unwrap_or_default())
            }
            (End::Reached, None) if replay.tree_is_behind => Ok(TREE.to_owned()),
            (End::Reached, None) => return false,
        };
        let kept = match kept {
            Ok(name) if name == TREE => "the database has lost its last commit".to_owned(),
            Ok(name) => format!("what cannot be read is kept as {}", self.disk.path(&name)),
            Err(e) => format!("what cannot be read is not kept: {e}"),
        };
        tracing::error!(path, kept, "journal is damaged");
        self.notice = Some(trouble::journal_lost(&path, &kept));
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
        let (bytes, _) = self.journal_bytes();
        self.view.replayed(Replay::of(&bytes, generation).rows);
        self.view.settle(tree);
    }
}
