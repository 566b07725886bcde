//! The QoS 2 packet identifiers a session has received and whose PUBREL has not come (§4.3.3): what
//! comes again with one of them was taken before.

use std::collections::HashMap;
use std::num::NonZeroU16;

use super::intake::Ticket;

/// What is known of a packet identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: its message is new.
    New,
    /// Its message is safe.
    Safe,
    /// Its message is safe when this ticket is settled.
    When(Ticket),
}

/// All of them. A client has at most 65 535.
#[derive(Debug, Default)]
pub(crate) struct Received {
    ids: HashMap<NonZeroU16, Option<Ticket>>,
}

impl Received {
    pub(crate) fn known(&self, packet_id: NonZeroU16) -> Known {
        match self.ids.get(&packet_id) {
            None => Known::New,
            Some(None) => Known::Safe,
            Some(Some(ticket)) => Known::When(*ticket),
        }
    }

    /// A message with this identifier was taken; safe when the ticket is settled, or already.
    pub(crate) fn take(&mut self, packet_id: NonZeroU16, ticket: Option<Ticket>) {
        self.ids.insert(packet_id, ticket);
    }

    /// PUBREL, or a refusal: the identifier is free. False when it was.
    pub(crate) fn free(&mut self, packet_id: NonZeroU16) -> bool {
        let known = self.ids.remove(&packet_id).is_some();
        if self.ids.is_empty() && self.ids.capacity() > 64 {
            self.ids = HashMap::new(); // a burst's memory is given back
        }
        known
    }

    /// The ticket is settled: what waited for it is safe, or was not taken at all.
    pub(crate) fn settle(&mut self, ticket: Ticket, safe: bool) -> Vec<NonZeroU16> {
        let mut refused = Vec::new();
        for (packet_id, waits) in self.ids.iter_mut().filter(|(_, waits)| **waits == Some(ticket)) {
            match safe {
                true => *waits = None,
                false => refused.push(*packet_id),
            }
        }
        for packet_id in &refused {
            self.ids.remove(packet_id);
        }
        refused
    }

    /// What waited for one ticket waits for another now.
    pub(crate) fn wait_on(&mut self, from: Ticket, to: Ticket) {
        for waits in self.ids.values_mut().filter(|waits| **waits == Some(from)) {
            *waits = Some(to);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = NonZeroU16> {
        self.ids.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_safe_leaves_no_identifier_behind() {
        let mut received = Received::default();
        let id = |number| NonZeroU16::new(number).unwrap();
        received.take(id(1), Some(7));
        received.take(id(2), Some(8));
        received.take(id(3), None);
        assert_eq!(received.known(id(1)), Known::When(7));
        assert_eq!(received.settle(7, false), [id(1)]);
        assert_eq!(received.settle(8, true), []);
        let known = [1, 2, 3].map(|number| received.known(id(number)));
        assert_eq!(known, [Known::New, Known::Safe, Known::Safe]);
    }
}
