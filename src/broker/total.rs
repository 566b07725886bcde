//! What the broker holds for all its clients together, bytes. Each place that holds something has a
//! [`Tally`], and those of a kind add up in one [`Total`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The sum of all tallies. One thread has it: what is read is what was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Total(Arc<AtomicUsize>);

impl Total {
    /// All of it, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    fn set(&self, bytes: usize) {
        self.0.store(bytes, Relaxed);
    }
}

/// One place's part. It leaves the sum together with the place.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    bytes: usize,
    of: Total,
}

impl Tally {
    /// Nothing yet, of this sum. [`Tally::default`] has a sum of its own.
    pub(crate) fn new(of: &Total) -> Tally {
        Tally { bytes: 0, of: of.clone() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.set(self.bytes + bytes);
    }

    pub(crate) fn subtract(&mut self, bytes: usize) {
        self.set(self.bytes - bytes);
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        self.of.set(self.of.bytes() - self.bytes + bytes);
        self.bytes = bytes;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_counts_no_longer() {
        let total = Total::default();
        let (mut one, mut other) = (Tally::new(&total), Tally::new(&total));
        one.add(100);
        other.add(30);
        other.subtract(10);
        assert_eq!((total.bytes(), one.bytes(), other.bytes()), (120, 100, 20));
        drop(one);
        other.set(5);
        assert_eq!(total.bytes(), 5);
    }
}
