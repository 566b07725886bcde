//! How the engine gets well again: what is tried after trouble, and what a long rest gives back.

use super::super::disk::{Disk, DiskFile, SUSPECT, TREE};
use super::super::rows::Layer;
use super::super::tree::{Check, Fault, Tree};
use super::super::view::Health;
use super::super::{aside, trouble};
use super::Engine;
use crate::contract;

impl<D: Disk> Engine<D> {
    /// Tries to be well again; to be called now and then while it is not.
    pub(crate) fn mend(&mut self) {
        let mended = match self.view.health() {
            Health::Well => return,
            Health::InRam(_) => self.start_again(),
            Health::Tight(_) | Health::Broken(_) => self.mend_files(),
        };
        match mended {
            Ok(()) => {
                tracing::info!(path = self.disk.path(TREE), "store is written again");
            }
            Err(cause) => self.view.set_health(match self.view.health() {
                Health::Well | Health::Tight(_) => Health::Tight(cause),
                Health::Broken(_) => Health::Broken(cause),
                Health::InRam(_) => Health::InRam(cause),
            }),
        }
    }

    fn mend_files(&mut self) -> Result<(), contract::Error> {
        if self.view.tree().is_none() {
            self.reopen(Check::Everything).map_err(|fault| self.told(&fault))?;
        }
        if self.reserve.restore(&self.disk).is_err() && !self.view.fresh().is_empty() {
            // what was removed since the last look may make room for it
            self.shrink().map_err(|fault| self.told(&fault))?;
        }
        let reserve = self.reserve.restore(&self.disk);
        reserve.map_err(|e| trouble::of_io(&self.disk.path(TREE), &e))?;
        if self.journal.is_none() || !self.attempts.is_empty() || !self.view.fresh().is_empty() {
            self.checkpoint_with(&Layer::default(), &[])?;
        }
        self.take_held()
    }

    /// Takes removed rows out of the tree, and their room out of its file. In place, at the cost of a full
    /// repair after a crash: a full disk has no room for the copy that [`Engine::slim`] makes.
    fn shrink(&mut self) -> Result<(), Fault> {
        let shrunk = self.drain().and_then(|()| {
            let Some(mut tree) = self.view.take_tree() else { return Ok(()) };
            let compacted = tree.compact();
            self.view.settle(Some(tree));
            compacted
        });
        if shrunk.is_err() {
            self.reopen(Check::AfterCrash)?;
        }
        shrunk
    }

    /// Writes what was held, and is well.
    pub(super) fn take_held(&mut self) -> Result<(), contract::Error> {
        loop {
            if let Health::Tight(cause) = self.view.health()
                && !self.reserve.is_there()
            {
                return Err(cause); // spent again by a checkpoint on the way here
            }
            if self.view.is_well_again() {
                return Ok(());
            }
            self.take(&self.view.held())?;
        }
    }

    /// A long rest: gives the RAM of the fresh rows back, and the room of pages that nobody uses.
    pub(crate) fn rest(&mut self) {
        if self.health() == Health::Well && self.view.fresh().bytes() > self.sizes.rest_bytes {
            let _ = self.checkpoint_with(&Layer::default(), &[]); // told by its health
        }
        if self.health() == Health::Well {
            self.slim(u64::MAX);
        }
    }

    /// A queue that was full once leaves redb a file full of free pages: a tree that uses less than a
    /// quarter of its file is copied into another, which readers get when it is complete.
    pub(super) fn slim(&mut self, longest: u64) {
        let Some(tree) = self.view.tree() else { return };
        match self.is_fat(&tree, longest) {
            Ok(true) => {}
            Ok(false) => return,
            Err(fault) => return self.not_slim(&fault),
        }
        let slim = aside::anew(&self.disk, &tree);
        drop(tree);
        match slim {
            Ok(slim) => {
                self.view.release();
                self.view.settle(Some(slim));
            }
            Err(fault) => {
                self.not_slim(&fault);
                // The name may be the copy's already: what is written next must go where it is.
                if let Err(fault) = self.reopen(Check::AfterCrash) {
                    let cause = self.told(&fault);
                    self.view.set_health(Health::Broken(cause));
                }
            }
        }
    }

    fn is_fat(&self, tree: &Tree, longest: u64) -> Result<bool, Fault> {
        let file = self.disk.open_to_read(TREE).and_then(|file| file.len()).map_err(Fault::Io)?;
        if file <= self.sizes.slack_bytes {
            return Ok(false);
        }
        let used = tree.used_bytes()?;
        Ok(used <= longest && used * 4 < file)
    }

    fn not_slim(&self, fault: &Fault) {
        tracing::warn!(path = self.disk.path(TREE), %fault, "store keeps its free pages");
    }

    /// Somebody could not read the tree. What is proven corrupt is made anew, else every page is
    /// verified.
    pub(in crate::storage) fn verify(&mut self, stumble: &Fault) {
        tracing::error!(path = self.disk.path(TREE), %stumble, "store cannot be read");
        if matches!(self.view.health(), Health::InRam(_)) {
            return; // nothing can be made anew on a disk that cannot be written
        }
        drop(self.disk.open(SUSPECT)); // if the process ends meanwhile
        let mended = match stumble {
            Fault::Io(_) => self.reopen(Check::Everything),
            Fault::Corrupt(_) => {
                self.view.release();
                let rebuilt = self.rebuild(stumble);
                rebuilt.map(|tree| self.view.settle(Some(tree)))
            }
        };
        match mended {
            Ok(()) => {
                let _ = self.disk.remove(SUSPECT);
            }
            Err(fault) => {
                let cause = self.told(&fault);
                // what can be read stays to be read
                if self.reopen(Check::AfterCrash).is_err() {
                    self.view.settle(None);
                }
                self.suffer(&cause);
            }
        }
    }

    /// Closes the tree and opens it again, from what is really on the disk.
    pub(super) fn reopen(&mut self, check: Check) -> Result<(), Fault> {
        self.view.release();
        let opened = match aside::open(&self.disk, check) {
            Err(fault @ Fault::Corrupt(_)) => self.rebuild(&fault),
            opened => opened,
        };
        let fault = match opened {
            Ok(tree) => {
                if !tree
                    .generation()
                    .is_ok_and(|told| told.is_none_or(|told| self.unsure.contains(&told)))
                {
                    self.unsure.clear(); // none of them has reached the disk: what comes next is written over it
                }
                self.view.settle(Some(tree));
                if check == Check::Everything {
                    let _ = self.disk.remove(SUSPECT); // mostly not there
                }
                return Ok(());
            }
            Err(fault) => fault,
        };
        self.view.settle(None);
        Err(fault)
    }

    /// Another tree, of the rows that can be read in this one.
    pub(super) fn rebuild(&mut self, fault: &Fault) -> Result<Tree, Fault> {
        tracing::error!(path = self.disk.path(TREE), %fault, "store is corrupt and is set aside");
        let (tree, name) = aside::rebuild(&self.disk)?;
        self.notice = Some(trouble::set_aside(&self.disk.path(&name), fault));
        Ok(tree)
    }
}
