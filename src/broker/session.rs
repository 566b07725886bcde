//! A session: what the broker remembers of one client (§4.1), connected or not.
//!
//! ```text
//!            push                 next, window free            acknowledged
//!  fan-out ───────> queue ───────────────────────> in flight ───────────────> gone
//!                     ^                                 |
//!                     └──── connection lost: put back, DUP, same packet identifier
//! ```
//! The packet identifier follows from the message's number in the session, so that a message sent
//! again after a restart of the broker carries the identifier it had.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use super::message::{Message, Now};
use super::principal::Principal;
use super::queue::{Bounds, Queue, Waiting};
use super::slots::Key;
use crate::bus::Qos;

/// What a client asked for with one filter (§3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Options {
    /// The most a message may be delivered with.
    pub(crate) qos: Qos,
    /// Not what this client published itself.
    pub(crate) no_local: bool,
    /// The RETAIN flag goes out as it came in.
    pub(crate) retain_as_published: bool,
    /// Sent along with every message that matched; 0 is none.
    pub(crate) identifier: u32,
}

/// Where a session's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Nobody is there; messages wait.
    Away,
    /// A network connection.
    Wire(Key),
    /// A link in this process.
    Link,
}

/// A will that waits for its delay (§3.1.3.2.2).
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) message: Arc<Message>,
    pub(crate) retain: bool,
    pub(crate) delay_s: u32,
}

/// How far an outgoing QoS 2 message is; QoS 1 has only the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// PUBLISH sent.
    Published,
    /// PUBREC received, PUBREL sent: the message itself is no longer needed.
    Released,
}

/// A message sent and not yet acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) waiting: Waiting,
    pub(crate) packet_id: NonZeroU16,
    pub(crate) step: Step,
}

/// What an acknowledgement did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The message is done with; its number.
    Done(u64),
    /// A step on the way.
    Step,
    /// No such packet identifier in flight, or not in that step.
    Unknown,
}

/// What the broker remembers of one client.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Arc<str>,
    /// Only this principal may use the client id while the session lives.
    pub(crate) principal: Arc<Principal>,
    /// The principal's name, to travel with messages.
    pub(crate) name: Arc<str>,
    pub(crate) peer: Peer,
    /// Its number on disk; `None` while it ends with its connection.
    pub(crate) row: Option<u64>,
    /// Seconds it outlives its connection; `u32::MAX` is for ever (§3.1.2.11.2).
    pub(crate) expiry_s: u32,
    pub(crate) filters: BTreeMap<Box<str>, Options>,
    pub(crate) queue: Queue,
    in_flight: VecDeque<InFlight>,
    /// QoS 2 packet identifiers received whose PUBREL has not come (§4.3.3).
    pub(crate) received: HashSet<NonZeroU16>,
    /// The most unacknowledged messages its client takes (receive maximum).
    pub(crate) window: usize,
    next_seq: u64,
    pub(crate) will: Option<Will>,
    /// When the waiting will fires.
    pub(crate) will_at: Option<Instant>,
    /// When it ends, if nobody comes back.
    pub(crate) ends_at: Option<Instant>,
    /// Messages dropped since it began.
    pub(crate) dropped: u64,
}

impl Session {
    pub(crate) fn new(client: Arc<str>, principal: Arc<Principal>, bounds: Bounds) -> Session {
        Session {
            client,
            name: principal.name.as_str().into(),
            principal,
            peer: Peer::Away,
            row: None,
            expiry_s: 0,
            filters: BTreeMap::new(),
            queue: Queue::new(bounds),
            in_flight: VecDeque::new(),
            received: HashSet::new(),
            window: usize::from(u16::MAX),
            next_seq: 1,
            will: None,
            will_at: None,
            ends_at: None,
            dropped: 0,
        }
    }

    /// The number of the next message with an acknowledgement.
    pub(crate) fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Sets the numbering behind what was found on disk.
    pub(crate) fn restored(&mut self, seq: u64) {
        self.next_seq = self.next_seq.max(seq + 1);
    }

    /// Whether the message of this number may be sent before an acknowledgement comes.
    pub(crate) fn may_fly(&self, seq: u64) -> bool {
        self.in_flight.len() < self.window && !self.identifier_taken(seq)
    }

    /// A message that stays unacknowledged while 65 535 others pass would share its identifier.
    fn identifier_taken(&self, seq: u64) -> bool {
        let Some(oldest) = self.in_flight.front() else { return false };
        seq.saturating_sub(oldest.waiting.seq) > 32_768 && self.place(packet_id(seq)).is_some()
    }

    /// Notes a message as sent; gives its packet identifier.
    pub(crate) fn fly(&mut self, waiting: Waiting) -> NonZeroU16 {
        let packet_id = packet_id(waiting.seq);
        self.in_flight.push_back(InFlight { waiting, packet_id, step: Step::Published });
        packet_id
    }

    /// PUBACK for QoS 1, PUBCOMP for QoS 2.
    pub(crate) fn complete(&mut self, packet_id: NonZeroU16, qos: Qos) -> Acknowledged {
        let place = self.place(packet_id).filter(|&place| {
            let flying = &self.in_flight[place];
            flying.waiting.qos == qos && (qos != Qos::ExactlyOnce || flying.step == Step::Released)
        });
        match place.and_then(|place| self.in_flight.remove(place)) {
            Some(flying) => Acknowledged::Done(flying.waiting.seq),
            None => Acknowledged::Unknown,
        }
    }

    /// PUBREC: the client has the message; with an error code it is done with (§4.3.3).
    pub(crate) fn receipt(&mut self, packet_id: NonZeroU16, refused: bool) -> Acknowledged {
        let Some(place) = self.place(packet_id) else { return Acknowledged::Unknown };
        if self.in_flight[place].waiting.qos != Qos::ExactlyOnce {
            return Acknowledged::Unknown;
        }
        if refused {
            let seq = self.in_flight[place].waiting.seq;
            self.in_flight.remove(place);
            return Acknowledged::Done(seq);
        }
        self.in_flight[place].step = Step::Released;
        Acknowledged::Step
    }

    /// Acknowledgements come in order nearly always: the first place is tried first.
    fn place(&self, packet_id: NonZeroU16) -> Option<usize> {
        self.in_flight.iter().position(|flying| flying.packet_id == packet_id)
    }

    /// A link acknowledges by the message's number; QoS 0 has none.
    pub(crate) fn forget(&mut self, seq: u64) -> bool {
        match self.in_flight.iter().position(|flying| flying.waiting.seq == seq) {
            Some(place) => self.in_flight.remove(place).is_some(),
            None => false,
        }
    }

    /// The connection is gone: what was sent goes back to the front of the queue, to be sent again.
    /// What was released stays in flight: only its PUBREL is repeated.
    pub(crate) fn land(&mut self) {
        let (released, published): (VecDeque<_>, VecDeque<_>) =
            self.in_flight.drain(..).partition(|flying| flying.step == Step::Released);
        self.in_flight = released;
        self.queue
            .put_back(published.into_iter().map(|flying| Waiting { dup: true, ..flying.waiting }));
    }

    /// The packet identifiers whose PUBREL must be repeated after a reconnect.
    pub(crate) fn released(&self) -> impl Iterator<Item = NonZeroU16> {
        let released = self.in_flight.iter().filter(|flying| flying.step == Step::Released);
        released.map(|flying| flying.packet_id)
    }

    /// The numbers of all messages it still has.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        let flying = self.in_flight.iter().map(|flying| flying.waiting.seq);
        flying.chain(self.queue.iter().map(|waiting| waiting.seq)).filter(|&seq| seq > 0)
    }

    /// The next message to send now, expired ones left out. `expired` gets their numbers.
    pub(crate) fn next(&mut self, now: Now, expired: &mut Vec<u64>) -> Option<Waiting> {
        while self.queue.first_expired(now) {
            let gone = self.queue.pop()?;
            self.dropped += 1;
            expired.push(gone.seq);
        }
        self.queue.pop()
    }
}

/// The packet identifier of a message number: unique among any 65 535 that follow each other.
fn packet_id(seq: u64) -> NonZeroU16 {
    let id = u16::try_from((seq - 1) % 65_535 + 1).unwrap_or(1);
    NonZeroU16::new(id).unwrap_or(NonZeroU16::MIN)
}

#[cfg(test)]
mod tests {
    use super::super::queue::Policy;
    use super::*;
    use crate::contract::Role;
    use crate::service::testing::at;
    use bytes::Bytes;

    fn session() -> Session {
        let principal = Principal::new("app:a", Role::App);
        let bounds = Bounds { count: 100, bytes: 100_000, policy: Policy::Oldest };
        Session::new("a".into(), Arc::new(principal), bounds)
    }

    fn waiting(session: &mut Session, qos: Qos) -> Waiting {
        let message = Message {
            topic: "t".into(),
            payload: Bytes::new(),
            qos,
            properties: Box::default(),
            expires: None,
            from: "b".into(),
            audience: None,
        };
        Waiting {
            message: Arc::new(message),
            qos,
            retain: false,
            dup: false,
            identifiers: Vec::new(),
            seq: session.take_seq(),
        }
    }

    fn now() -> Now {
        Now { at: at(0), wall: std::time::UNIX_EPOCH }
    }

    #[test]
    fn a_lost_connection_sends_again_in_order_with_the_same_identifiers() {
        let mut session = session();
        let ids: Vec<_> = (0..3)
            .map(|_| {
                let message = waiting(&mut session, Qos::AtLeastOnce);
                session.fly(message)
            })
            .collect();
        assert_eq!(session.complete(ids[1], Qos::AtLeastOnce), Acknowledged::Done(2));
        session.land();
        let again: Vec<_> = std::iter::from_fn(|| {
            let next = session.next(now(), &mut Vec::new())?;
            assert!(next.dup);
            Some(session.fly(next))
        })
        .collect();
        assert_eq!(again, [ids[0], ids[2]]);
    }

    #[test]
    fn a_released_message_is_never_published_again() {
        let mut session = session();
        let message = waiting(&mut session, Qos::ExactlyOnce);
        let id = session.fly(message);
        assert_eq!(session.complete(id, Qos::ExactlyOnce), Acknowledged::Unknown);
        assert_eq!(session.receipt(id, false), Acknowledged::Step);
        session.land();
        assert!(session.queue.is_empty());
        assert_eq!(session.released().collect::<Vec<_>>(), [id]);
        assert_eq!(session.complete(id, Qos::ExactlyOnce), Acknowledged::Done(1));
    }

    #[test]
    fn a_packet_identifier_still_in_flight_is_not_given_again() {
        let mut session = session();
        let message = waiting(&mut session, Qos::AtLeastOnce);
        session.fly(message);
        session.restored(65_535);
        let seq = session.take_seq();
        assert!(!session.may_fly(seq));
        assert!(session.may_fly(seq + 1));
    }
}
