//! Messages that wait for the commit that makes them safe, by number.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::intake::Ticket;

/// All commits that are waited for.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    commits: VecDeque<(Ticket, RangeInclusive<u64>)>,
}

impl Promises {
    /// The message of this number, the highest yet, is on disk when the ticket is settled.
    /// True for the first one of this ticket.
    pub(crate) fn add(&mut self, ticket: Ticket, seq: u64) -> bool {
        if let Some((_, numbers)) = self.commits.back_mut().filter(|(last, _)| *last == ticket) {
            *numbers = *numbers.start()..=seq;
            return false;
        }
        self.commits.push_back((ticket, seq..=seq));
        true
    }

    /// Whether a message still waits for its commit.
    pub(crate) fn waits(&self, seq: u64) -> bool {
        self.commits.iter().any(|(_, numbers)| numbers.contains(&seq))
    }

    /// The ticket is settled; gives the numbers that waited for it.
    pub(crate) fn settle(&mut self, ticket: Ticket) -> Option<RangeInclusive<u64>> {
        let place = self.commits.iter().position(|(waited, _)| *waited == ticket)?;
        let (_, numbers) = self.commits.remove(place)?;
        if self.commits.is_empty() {
            self.commits = VecDeque::new(); // a burst's memory is given back
        }
        Some(numbers)
    }
}
