//! Messages that somebody did not get, and why: counted, and told once a second at most.

use super::notice::Drop;

/// What of one session, or one shared subscription, was not told yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drops {
    untold: [u32; Drop::ALL.len()],
}

impl Drops {
    /// Counts some; true when nothing waited to be told.
    pub(crate) fn note(&mut self, why: Drop, count: usize) -> bool {
        let first = self.untold.iter().all(|untold| *untold == 0);
        let untold = &mut self.untold[why as usize];
        *untold = untold.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        first && count > 0
    }

    /// Takes out what is to be told.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (Drop, u32)> + use<> {
        let untold = std::mem::take(&mut self.untold);
        Drop::ALL.into_iter().zip(untold).filter(|(_, count)| *count > 0)
    }
}

/// How many messages somebody did not get since the start, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped([u64; Drop::ALL.len()]);

impl Dropped {
    pub(crate) fn count(&mut self, why: Drop, count: usize) {
        self.0[why as usize] += count as u64;
    }

    /// Reason and count of those that there were at all.
    pub fn iter(&self) -> impl Iterator<Item = (Drop, u64)> {
        Drop::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}
