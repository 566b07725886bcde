//! What was sent to a client and is not done with (§4.3).
//!
//! ```text
//!             PUBACK, PUBCOMP
//!  Published ────────────────> gone            QoS 1; QoS 2 refused by PUBREC
//!      └── PUBREC ──> Released ── PUBCOMP ──> gone        QoS 2: the message itself is not needed
//! ```

use std::collections::VecDeque;
use std::num::NonZeroU16;

use super::queue::Waiting;
use super::total::{Tally, Total};
use crate::bus::Qos;

/// How far an outgoing message is.
#[derive(Clone, Debug)]
enum Step {
    /// PUBLISH sent.
    Published(Waiting),
    /// PUBREC received: the client has it, only PUBREL is repeated.
    Released,
}

/// A message sent and not yet done with.
#[derive(Clone, Debug)]
struct Flying {
    seq: u64,
    packet_id: NonZeroU16,
    step: Step,
}

impl Flying {
    /// The quality it was sent with.
    fn qos(&self) -> Qos {
        match &self.step {
            Step::Published(waiting) => waiting.qos,
            Step::Released => Qos::ExactlyOnce,
        }
    }
}

/// What an acknowledgement did.
#[derive(Debug)]
pub(crate) enum Acknowledged {
    /// The message is done with.
    Done(u64, Option<Waiting>),
    /// The message of this number is released; what it was, the first time.
    Released(u64, Option<Waiting>),
    /// No such packet identifier in flight, or not in that step.
    Unknown,
}

/// All of it, in the order it was sent.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    flying: VecDeque<Flying>,
    /// Of what is published.
    bytes: Tally,
}

impl Flight {
    /// Nothing yet, counted in this sum.
    pub(crate) fn new(total: &Total) -> Flight {
        Flight { flying: VecDeque::new(), bytes: Tally::new(total) }
    }

    /// The weight of what is published and not acknowledged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.bytes()
    }

    /// The bytes are those of its messages.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        let bytes: usize = self.waiting().map(|waiting| waiting.message.weight()).sum();
        assert_eq!(bytes, self.bytes(), "bytes in flight");
    }

    /// Whether the message of this number may be sent. One that stays unacknowledged while 65 535
    /// others pass would share its packet identifier.
    pub(crate) fn has_room(&self, seq: u64, window: usize) -> bool {
        self.flying.len() < window && self.is_free(seq)
    }

    /// Whether the packet identifier of this number is free.
    pub(crate) fn is_free(&self, seq: u64) -> bool {
        let Some(oldest) = self.flying.front() else { return true };
        seq.saturating_sub(oldest.seq) <= 32_768 || self.place(packet_id(seq)).is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.flying.len()
    }

    /// Notes a message as sent; gives its packet identifier.
    pub(crate) fn publish(&mut self, waiting: Waiting) -> NonZeroU16 {
        let (seq, packet_id) = (waiting.seq, packet_id(waiting.seq));
        self.bytes.add(waiting.message.weight());
        // By number: what comes again stands before what was released behind it.
        let place = self.flying.partition_point(|other| other.seq < seq);
        self.flying.insert(place, Flying { seq, packet_id, step: Step::Published(waiting) });
        packet_id
    }

    /// Takes up a released message of an earlier process.
    pub(crate) fn restore_released(&mut self, seq: u64) {
        let packet_id = packet_id(seq);
        self.flying.push_back(Flying { seq, packet_id, step: Step::Released });
    }

    /// PUBACK for QoS 1, PUBCOMP for QoS 2.
    pub(crate) fn complete(&mut self, packet_id: NonZeroU16, qos: Qos) -> Acknowledged {
        let place = self.place(packet_id).filter(|&place| {
            let flying = &self.flying[place];
            flying.qos() == qos
                && (qos != Qos::ExactlyOnce || matches!(flying.step, Step::Released))
        });
        place.map_or(Acknowledged::Unknown, |place| self.take(place))
    }

    /// PUBREC: the client has the message; with an error code it is done with (§4.3.3).
    pub(crate) fn receipt(&mut self, packet_id: NonZeroU16, refused: bool) -> Acknowledged {
        let place = self.place(packet_id);
        let Some(place) = place.filter(|&at| self.flying[at].qos() == Qos::ExactlyOnce) else {
            return Acknowledged::Unknown;
        };
        if refused {
            return self.take(place);
        }
        let flying = &mut self.flying[place];
        match std::mem::replace(&mut flying.step, Step::Released) {
            Step::Published(waiting) => {
                self.bytes.subtract(waiting.message.weight());
                Acknowledged::Released(flying.seq, Some(waiting))
            }
            Step::Released => Acknowledged::Released(flying.seq, None),
        }
    }

    /// Takes a message out by its number.
    pub(crate) fn forget(&mut self, seq: u64) -> Option<Waiting> {
        let place = self.flying.iter().position(|flying| flying.seq == seq)?;
        match self.take(place) {
            Acknowledged::Done(_, waiting) => waiting,
            Acknowledged::Released(..) | Acknowledged::Unknown => None,
        }
    }

    /// The connection is gone: gives what was sent and not acknowledged, in order. What was released
    /// stays: only its PUBREL is repeated.
    pub(crate) fn land(&mut self) -> Vec<Waiting> {
        let mut published = Vec::new();
        self.bytes.set(0);
        for flying in std::mem::take(&mut self.flying) {
            match flying.step {
                Step::Published(waiting) => {
                    published.push(Waiting { dup: true, begun: true, ..waiting })
                }
                Step::Released => self.flying.push_back(flying),
            }
        }
        published
    }

    /// What was released: number, packet identifier.
    pub(crate) fn released(&self) -> impl Iterator<Item = (u64, NonZeroU16)> {
        let released = self.flying.iter().filter(|flying| matches!(flying.step, Step::Released));
        released.map(|flying| (flying.seq, flying.packet_id))
    }

    /// The same, to be looked at.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.flying.iter().filter_map(|flying| match &flying.step {
            Step::Published(waiting) => Some(waiting),
            Step::Released => None,
        })
    }

    /// What was sent and not acknowledged at all.
    pub(crate) fn published(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.flying.iter_mut().filter_map(|flying| match &mut flying.step {
            Step::Published(waiting) => Some(waiting),
            Step::Released => None,
        })
    }

    /// The numbers of all of it.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.flying.iter().map(|flying| flying.seq)
    }

    /// Acknowledgements come in order nearly always: the first place is tried first.
    fn place(&self, packet_id: NonZeroU16) -> Option<usize> {
        self.flying.iter().position(|flying| flying.packet_id == packet_id)
    }

    fn take(&mut self, place: usize) -> Acknowledged {
        let Some(flying) = self.flying.remove(place) else { return Acknowledged::Unknown };
        if self.flying.is_empty() && self.flying.capacity() > 64 {
            self.flying = VecDeque::new(); // a burst's memory is given back
        }
        match flying.step {
            Step::Published(waiting) => {
                self.bytes.subtract(waiting.message.weight());
                Acknowledged::Done(flying.seq, Some(waiting))
            }
            Step::Released => Acknowledged::Done(flying.seq, None),
        }
    }
}

/// The packet identifier of a message number: unique among any 65 535 that follow each other.
fn packet_id(seq: u64) -> NonZeroU16 {
    let id = u16::try_from((seq - 1) % 65_535 + 1).unwrap_or(1);
    NonZeroU16::new(id).unwrap_or(NonZeroU16::MIN)
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::*;
    use std::sync::Arc;

    fn waiting(seq: u64, qos: Qos) -> Waiting {
        let message = Message { qos, ..Message::any("t", "") };
        Waiting::new(Arc::new(message), qos, seq)
    }

    #[test]
    fn a_released_message_is_never_published_again() {
        let mut flight = Flight::default();
        let id = flight.publish(waiting(1, Qos::ExactlyOnce));
        assert!(matches!(flight.complete(id, Qos::ExactlyOnce), Acknowledged::Unknown));
        assert!(matches!(flight.receipt(id, false), Acknowledged::Released(1, _)));
        assert!(flight.land().is_empty());
        assert_eq!(flight.released().collect::<Vec<_>>(), [(1, id)]);
        assert!(matches!(flight.complete(id, Qos::ExactlyOnce), Acknowledged::Done(1, None)));
    }

    #[test]
    fn acknowledgements_out_of_order_leave_the_others_in_order() {
        let mut flight = Flight::default();
        let ids: Vec<_> =
            (1..=4).map(|seq| flight.publish(waiting(seq, Qos::AtLeastOnce))).collect();
        for place in [2, 0] {
            let done = flight.complete(ids[place], Qos::AtLeastOnce);
            assert!(matches!(done, Acknowledged::Done(..)));
            let again = flight.complete(ids[place], Qos::AtLeastOnce);
            assert!(matches!(again, Acknowledged::Unknown), "once is enough");
        }
        let landed: Vec<_> = flight.land().iter().map(|left| (left.seq, left.dup)).collect();
        assert_eq!(landed, [(2, true), (4, true)]);
    }

    #[test]
    fn a_packet_identifier_still_in_flight_is_not_given_again() {
        let mut flight = Flight::default();
        flight.publish(waiting(1, Qos::AtLeastOnce));
        assert!(!flight.has_room(65_536, 100));
        assert!(flight.has_room(65_537, 100));
        assert!(!flight.has_room(2, 1));
    }
}
