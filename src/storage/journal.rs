//! The journal: the commits since the last checkpoint, one frame and one fdatasync each.
//!
//! ```text
//!   | frame | frame | frame | frames of older generations, zeros |
//!   0                       tail                                 allocated
//! ```
//!
//! The file is written with zeros before it is used, in steps, so that a sync of a frame has no
//! metadata to write; after a checkpoint it is overwritten from its start. A crash tears at most the
//! last frame, because each is synced before the next: replay ends there, and nobody was told that it
//! is safe. A bad frame with a good one of the same chain behind it is not a crash but damage.
//!
//! A frame shares a sector with the one before: a sector that is written anew with the same bytes in
//! front has these afterwards, whatever the power does (as SQLite's "powersafe overwrite").

use std::io;

use super::disk::{DiskFile, zeros};
use super::frame::{Builder, Chain, Entry, Frame, any_frame};
use super::rows::{Layer, Row};
use super::tree::Change;

/// What a buffer may keep after a burst.
const BUFFER_KEPT_BYTES: usize = 16 * 1024;

/// How large the journal's file gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// It grows by this.
    pub(crate) step_bytes: u64,
    /// A commit that does not fit below is a checkpoint.
    pub(crate) soft_bytes: u64,
    /// Up to here go removals that the tree does not take.
    pub(crate) hard_bytes: u64,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal<F> {
    file: F,
    bounds: Bounds,
    chain: Chain,
    /// The generation before, until the first frame has told it.
    follows: Option<u64>,
    /// Where the next frame goes.
    tail: u64,
    /// What is written with zeros at least.
    allocated: u64,
    buffer: Vec<u8>,
}

/// Why a commit is not in the journal.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It does not fit; the journal is as it was.
    NoRoom,
    /// What is on disk is not known: this journal is not to be written any more.
    Broken(io::Error),
}

impl<F: DiskFile> Journal<F> {
    /// Goes on behind what was replayed.
    pub(super) fn resume(
        file: F,
        bounds: Bounds,
        replayed: &Replay,
        nonce: u64,
    ) -> io::Result<Journal<F>> {
        let allocated = file.len()?;
        let chain = Chain { nonce, ..replayed.chain };
        let tail = replayed.tail as u64;
        Ok(Journal { file, bounds, chain, follows: None, tail, allocated, buffer: Vec::new() })
    }
    /// Begins a generation, which makes everything in the file old.
    pub(super) fn restart(&mut self, generation: u64, follows: Option<u64>) {
        self.chain = Chain::start(generation, self.chain.nonce);
        self.follows = follows;
        self.tail = 0;
    }
    /// Writes one commit, durably. `attempts`: the checkpoints since the frame before whose end is
    /// not known. `bound`: how far the frame may reach.
    pub(super) fn append(
        &mut self,
        changes: &[Change<'_>],
        attempts: &[u64],
        bound: u64,
    ) -> Result<u64, Refusal> {
        let mut frame = Builder::on(&mut self.buffer);
        let first = (self.tail == 0).then_some(self.follows).flatten();
        first.into_iter().for_each(|follows| frame.entry(Entry::Follows(follows)));
        attempts.iter().for_each(|attempt| frame.entry(Entry::Attempt(*attempt)));
        for change in changes {
            frame.entry(match change.value {
                Some(value) => Entry::Put(change.key, value),
                None => Entry::Delete(change.key),
            });
        }
        let chain = frame.seal(self.chain).ok_or(Refusal::NoRoom)?;
        let written = self.buffer.len() as u64;
        let end = self.tail + written;
        let done = if end > bound { Err(Refusal::NoRoom) } else { self.write(end) };
        self.buffer.truncate(0);
        self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        done?;
        self.chain = chain;
        self.tail = end;
        Ok(written)
    }

    fn write(&mut self, end: u64) -> Result<(), Refusal> {
        if end > self.allocated {
            let steps = end.div_ceil(self.bounds.step_bytes);
            let len = (steps * self.bounds.step_bytes).min(self.bounds.hard_bytes).max(end);
            self.grow(len)?;
        }
        self.file.write(self.tail, &self.buffer).map_err(Refusal::Broken)?;
        self.file.sync().map_err(Refusal::Broken)
    }

    fn grow(&mut self, len: u64) -> Result<(), Refusal> {
        // nothing is lost yet: the frames before stand as they are
        let grown = self.file.allocate(len);
        let grown = grown.and_then(|()| zeros(&self.file, self.allocated, len));
        grown.map_err(|_| Refusal::NoRoom)?;
        self.allocated = len;
        Ok(())
    }
}

/// The version of every row of an earlier process: a journal that is read once more, when a disk that could
/// not be written at the start takes writes again, says nothing newer than what was written meanwhile.
const EARLIER: u64 = 0;

/// What a journal says that is newer than the tree.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) rows: Layer,
    chain: Chain,
    tail: usize,
    /// There are good frames behind a bad one: this is not a crash. Where the bad one begins.
    pub(super) damaged: Option<usize>,
    /// The tree is older than the journal's beginning: it has lost a checkpoint.
    pub(super) tree_is_behind: bool,
}

impl Replay {
    /// Reads the file's bytes. `generation`: what the tree says; `None`: it is new or cannot tell,
    /// whatever the journal has is all there is.
    pub(super) fn of(bytes: &[u8], generation: Option<u64>) -> Replay {
        let first = Frame::decode(bytes).filter(|frame| frame.previous == frame.generation);
        let of_chain = first.map(|frame| frame.generation);
        let wanted = generation.or(of_chain);
        let mut replay = Replay::nothing(of_chain.or(wanted).unwrap_or(0));
        let mut relevant = of_chain == wanted;
        while let Some(frame) = bytes.get(replay.tail..).and_then(Frame::decode) {
            let entries = match frame.entries() {
                Some(entries) if replay.continues(&frame) => entries,
                Some(_) | None => break,
            };
            for entry in entries {
                let (key, value) = match entry {
                    Entry::Put(key, value) => (key, Some(value.to_vec())),
                    Entry::Delete(key) => (key, None),
                    Entry::Attempt(attempt) => {
                        if Some(attempt) == wanted {
                            relevant = true;
                            replay.rows = Layer::default();
                        }
                        continue;
                    }
                    Entry::Follows(earlier) => {
                        if Some(earlier) == wanted {
                            relevant = true;
                            replay.tree_is_behind = true;
                        }
                        continue;
                    }
                };
                replay.rows.put(key.to_vec(), Row { version: EARLIER, value, in_tree: true });
            }
            replay.chain.last = frame.checksum;
            replay.tail += frame.len();
        }
        if !relevant {
            replay = Replay::nothing(wanted.unwrap_or(0));
        }
        replay.look_behind(bytes, wanted);
        replay
    }
    /// The beginning of a generation.
    pub(super) fn nothing(generation: u64) -> Replay {
        let chain = Chain::start(generation, 0);
        Replay { rows: Layer::default(), chain, tail: 0, damaged: None, tree_is_behind: false }
    }
    /// The generation of what was replayed.
    pub(super) fn generation(&self) -> u64 {
        self.chain.generation
    }
    fn continues(&self, frame: &Frame<'_>) -> bool {
        frame.generation == self.chain.generation && frame.previous == self.chain.last
    }
    fn look_behind(&mut self, bytes: &[u8], wanted: Option<u64>) {
        let behind = bytes.get(self.tail..).unwrap_or_default();
        if any_frame(behind, [self.chain.generation, wanted.unwrap_or(self.chain.generation)]) {
            self.damaged = Some(self.tail);
        }
    }
}
