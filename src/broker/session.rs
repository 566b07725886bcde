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
//!
//! What is sent with QoS 2 to a durable session is on disk first: a client that has seen a packet
//! identifier takes whatever comes with it for the same message, until it is released. So an identifier
//! of a message that a kill took away would hide another message. So is a will, whatever its quality:
//! it would be published a second time.

use std::sync::Arc;
use std::time::Instant;

use super::drops::Drops;
use super::filters::Filters;
use super::flight::Flight;
use super::intake::Ticket;
use super::message::Message;
use super::notice::Drop;
use super::principal::Principal;
use super::promises::Promises;
use super::queue::{Bounds, Queue, Waiting};
use super::received::Received;
use super::slots::Key;
use super::total::Total;
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
    /// How long the message lives, counted from when it is published (§3.1.3.2.4).
    pub(crate) expiry_s: Option<u32>,
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
    /// Its number on disk, when it has a row there.
    pub(crate) row: Option<u64>,
    /// What it has is on disk too: it outlives its connection, or did so once.
    pub(crate) durable: bool,
    /// Seconds it outlives its connection; `u32::MAX` is for ever (§3.1.2.11.2).
    pub(crate) expiry_s: u32,
    pub(crate) filters: Filters,
    /// The shared subscriptions it is a member of.
    pub(crate) groups: Vec<Key>,
    pub(crate) queue: Queue,
    pub(crate) flight: Flight,
    pub(crate) received: Received,
    /// The most unacknowledged messages its client takes (receive maximum).
    pub(crate) window: usize,
    next_seq: u64,
    promises: Promises,
    /// What is not to be sent any more is gone from the disk when this is settled. What came after it
    /// waits: a kill would bring it back behind that (§4.6).
    pub(crate) gap: Option<Ticket>,
    /// The last ticket it was put down for.
    pub(crate) waits_for: Option<Ticket>,
    pub(crate) will: Option<Will>,
    /// When the waiting will fires.
    pub(crate) will_at: Option<Instant>,
    /// When it ends, if nobody comes back.
    pub(crate) ends_at: Option<Instant>,
    /// When its connection was lost, ms since 1970.
    pub(crate) left_ms: u64,
    /// What it did not get, and was not told.
    pub(crate) drops: Drops,
}

impl Session {
    pub(crate) fn new(
        client: Arc<str>,
        principal: Arc<Principal>,
        bounds: Bounds,
        (queued, sent, subscribed): (&Total, &Total, &Total),
    ) -> Session {
        Session {
            client,
            name: principal.name.as_str().into(),
            principal,
            peer: Peer::Away,
            row: None,
            durable: false,
            expiry_s: 0,
            filters: Filters::new(subscribed),
            groups: Vec::new(),
            queue: Queue::new(bounds, queued),
            flight: Flight::new(sent),
            received: Received::default(),
            window: usize::from(u16::MAX),
            next_seq: 1,
            promises: Promises::default(),
            gap: None,
            waits_for: None,
            will: None,
            will_at: None,
            ends_at: None,
            left_ms: 0,
            drops: Drops::default(),
        }
    }

    /// Its number on disk, if what it has is there too.
    pub(crate) fn durable_row(&self) -> Option<u64> {
        self.row.filter(|_| self.durable)
    }

    /// Whether the disk tells of it what a new connection makes untrue: that it is there, when it is
    /// discarded; that it is alone, with an end or a will to come.
    pub(crate) fn is_told(&self, discarded: bool) -> bool {
        let waits = self.ends_at.is_some() || self.will_at.is_some();
        self.row.is_some() && (discarded || waits)
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

    /// Its next message is on disk when this ticket is settled.
    pub(crate) fn promise(&mut self, ticket: Ticket) {
        self.promises.add(ticket, self.next_seq);
    }

    /// The ticket is settled. Gives what of it was not safe and was not sent: what was refused to its
    /// publisher, and what stays to be sent when it is safe.
    pub(crate) fn settle(&mut self, ticket: Ticket, safe: bool) -> (Vec<Waiting>, Vec<Waiting>) {
        self.gap.take_if(|gap| *gap == ticket);
        let settled = self.promises.settle(ticket).filter(|_| !safe);
        let Some(numbers) = settled else { return (Vec::new(), Vec::new()) };
        let ours = |waiting: &Waiting| numbers.contains(&waiting.seq);
        // A group's are refused with the group's commit; this one only moved them here.
        let own = |waiting: &Waiting| waiting.promised && waiting.origin.is_none();
        let refused = self.queue.retract(|waiting| own(waiting) && ours(waiting));
        let once = |waiting: &Waiting| waiting.qos == Qos::ExactlyOnce && self.durable;
        let unsafe_yet = self.queue.retract(|waiting| once(waiting) && ours(waiting));
        (refused, unsafe_yet)
    }

    /// Whether this message is on disk, if it must be before it is sent.
    pub(crate) fn is_safe(&self, waiting: &Waiting) -> bool {
        let must = waiting.held || waiting.qos == Qos::ExactlyOnce && self.durable;
        !must || !self.promises.waits(waiting.seq)
    }

    /// Whether a kill could bring a message back that is not to be sent any more, behind what follows it.
    /// What expired has expired then, too; but with QoS 2 it is not known that it was not begun.
    pub(crate) fn leaves_gap(&self, gone: &Waiting, why: Drop) -> bool {
        let own = gone.origin.as_ref().is_none_or(|origin| origin.moved);
        let least = if why == Drop::Expired { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
        self.durable_row().is_some() && gone.qos >= least && own
    }

    /// Whether this message may go to its peer now: what a network client need not acknowledge takes no
    /// room in flight.
    pub(crate) fn may_go(&self, waiting: &Waiting, most: usize) -> bool {
        match waiting.qos {
            Qos::AtMostOnce if self.peer != Peer::Link => self.is_safe(waiting),
            Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce => self.may_fly(waiting, most),
        }
    }

    /// Whether this message may be sent now, with at most so many bytes in flight.
    pub(crate) fn may_fly(&self, waiting: &Waiting, most: usize) -> bool {
        self.is_safe(waiting)
            && self.flight.has_room(waiting.seq, self.window)
            && self.has_bytes_left(waiting.message.weight(), most)
    }

    /// Whether so much more may be in flight. One message always may; what a link has is bounded by its
    /// owner.
    fn has_bytes_left(&self, weight: usize, most: usize) -> bool {
        let in_flight = self.flight.bytes();
        self.peer == Peer::Link || in_flight == 0 || in_flight + weight <= most
    }

    /// The connection is gone: what was sent goes back to the front of the queue, to be sent again.
    /// Gives what belongs to shared subscriptions: other members may have it, unless it was sent with
    /// QoS 2.
    pub(crate) fn land(&mut self, me: Key) -> Vec<Waiting> {
        let mut back = Vec::new();
        if self.queue.iter().any(|waiting| waiting.origin.is_some()) {
            back = self.queue.retract(|waiting| waiting.origin.is_some());
        }
        let mut own = Vec::new();
        for mut waiting in self.flight.land() {
            match &mut waiting.origin {
                Some(origin) if waiting.qos != Qos::ExactlyOnce => {
                    origin.try_with(me);
                    back.push(waiting);
                }
                Some(origin) if origin.moved => own.push(Waiting { origin: None, ..waiting }),
                Some(_) | None => own.push(waiting),
            }
        }
        self.queue.put_back(own.into_iter());
        back
    }

    /// Whether one more message can be given to it: the window, and so many bytes in flight, have room,
    /// whatever waits included.
    pub(crate) fn has_room(&self, most: usize) -> bool {
        self.queue.len() + self.flight.len() < self.window
            && self.flight.is_free(self.next_seq)
            && self.has_bytes_left(self.queue.bytes(), most)
    }

    /// The numbers of all messages it still has.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        let queued = self.queue.iter().map(|waiting| waiting.seq).filter(|&seq| seq > 0);
        self.flight.numbers().chain(queued)
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Policy;
    use super::super::slots::Slots;
    use super::*;
    use crate::contract::Role;

    fn session() -> Session {
        let principal = Principal::new("app:a", Role::App);
        let bounds = Bounds { count: 100, bytes: 100_000, policy: Policy::Oldest };
        Session::new(
            "a".into(),
            Arc::new(principal),
            bounds,
            (&Total::default(), &Total::default(), &Total::default()),
        )
    }

    fn waiting(session: &mut Session, qos: Qos) -> Waiting {
        let message = Message { qos, ..Message::any("t", "") };
        Waiting { promised: true, ..Waiting::new(Arc::new(message), qos, session.take_seq()) }
    }

    #[test]
    fn a_lost_connection_sends_again_in_order_with_the_same_identifiers() {
        let mut session = session();
        let ids: Vec<_> = (0..3)
            .map(|_| {
                let message = waiting(&mut session, Qos::AtLeastOnce);
                session.flight.publish(message)
            })
            .collect();
        session.flight.complete(ids[1], Qos::AtLeastOnce);
        session.land(Slots::default().insert(()));
        let again: Vec<_> = std::iter::from_fn(|| {
            let next = session.queue.pop()?;
            assert!(next.dup);
            Some(session.flight.publish(next))
        })
        .collect();
        assert_eq!(again, [ids[0], ids[2]]);
    }

    #[test]
    fn exactly_once_waits_for_its_commit_and_is_taken_back_when_that_fails() {
        let mut session = session();
        session.durable = true;
        session.promise(7);
        let first = waiting(&mut session, Qos::ExactlyOnce);
        session.promise(8);
        let second = waiting(&mut session, Qos::ExactlyOnce);
        assert!(!session.may_fly(&first, usize::MAX));
        session.queue.push(first.clone());
        session.queue.push(second.clone());
        assert!(session.settle(7, true).0.is_empty());
        assert!(session.may_fly(&first, usize::MAX) && !session.may_fly(&second, usize::MAX));
        let (back, _) = session.settle(8, false);
        assert_eq!(back.iter().map(|waiting| waiting.seq).collect::<Vec<_>>(), [2]);
    }
}
