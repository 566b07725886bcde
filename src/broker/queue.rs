//! What waits for one session: bounded in count and bytes, with a policy. Every drop is counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use super::config::QueuePolicy as Policy;
use super::group::Origin;
use super::message::{Message, Now};
use super::notice;
use super::total::{Tally, Total};
use crate::bus::Qos;

/// The bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    pub(crate) policy: Policy,
}

/// One message that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) message: Arc<Message>,
    /// The quality it will be delivered with.
    pub(crate) qos: Qos,
    /// It goes out with the RETAIN flag.
    pub(crate) retain: bool,
    /// It may have been sent before: by an earlier connection, or an earlier process.
    pub(crate) dup: bool,
    /// It was: then it is sent again, whatever has become of it meanwhile (MQTT-4.4.0-1).
    pub(crate) begun: bool,
    /// The identifiers of the subscriptions it matched.
    pub(crate) identifiers: Identifiers,
    /// Its number in the session: the order, the packet identifier, the row. 0 for QoS 0.
    pub(crate) seq: u64,
    /// Its publisher is told when it is on disk, or that it is not.
    pub(crate) promised: bool,
    /// It waits for its commit before it goes to anyone.
    pub(crate) held: bool,
    /// The shared subscription it comes from.
    pub(crate) origin: Option<Box<Origin>>,
}

impl Waiting {
    /// A message on its way for the first time, with no more said about it.
    pub(crate) fn new(message: Arc<Message>, qos: Qos, seq: u64) -> Waiting {
        let identifiers = Identifiers::new();
        let (retain, dup, begun, promised, held, origin) =
            (false, false, false, false, false, None);
        Waiting { message, qos, retain, dup, begun, identifiers, seq, promised, held, origin }
    }

    /// Whether it is not to be sent any more: what was begun is (MQTT-4.4.0-1, MQTT-4.3.3-7).
    fn has_expired(&self, now: Now) -> bool {
        self.message.expired(now) && !self.is_begun()
    }

    /// Whether it was sent to its client; with QoS 2, whether it may have been, for then its client may
    /// hold its packet identifier (§4.3.3).
    fn is_begun(&self) -> bool {
        self.begun || self.dup && self.qos == Qos::ExactlyOnce
    }
}

/// Subscription identifiers; nearly always none or one.
pub(crate) type Identifiers = Vec<u32>;

/// First in, first out.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: Tally,
    /// How many of them have QoS 0.
    at_most_once: usize,
    bounds: Bounds,
    /// None of them expires before this.
    mortal: Option<Instant>,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds, total: &Total) -> Queue {
        let bytes = Tally::new(total);
        Queue { waiting: VecDeque::new(), bytes, at_most_once: 0, bounds, mortal: None }
    }

    /// The bytes are those of its messages.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        let bytes: usize = self.waiting.iter().map(|waiting| waiting.message.weight()).sum();
        assert_eq!(bytes, self.bytes(), "bytes queued");
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The weight of what waits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.bytes()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Why one more of this weight has no room without another giving way.
    pub(crate) fn full(&self, weight: usize) -> Option<notice::Drop> {
        if self.waiting.len() >= self.bounds.count {
            return Some(notice::Drop::QueueFull);
        }
        (self.bytes() + weight > self.bounds.bytes).then_some(notice::Drop::QueueSize)
    }

    /// Takes out what has expired, wherever it stands.
    pub(crate) fn expired(&mut self, now: Now) -> Vec<Waiting> {
        if self.mortal.is_none_or(|first| first > now.at) {
            return Vec::new();
        }
        let gone = self.retract(|waiting| waiting.has_expired(now));
        self.mortal = self.waiting.iter().filter_map(|waiting| waiting.message.expires).min();
        gone
    }

    fn enter(&mut self, waiting: &Waiting) {
        self.bytes.add(waiting.message.weight());
        self.at_most_once += usize::from(waiting.qos == Qos::AtMostOnce);
        self.note_expiry(waiting);
    }

    fn leave(&mut self, waiting: &Waiting) {
        self.bytes.subtract(waiting.message.weight());
        self.at_most_once -= usize::from(waiting.qos == Qos::AtMostOnce);
    }

    fn note_expiry(&mut self, waiting: &Waiting) {
        if let Some(expires) = waiting.message.expires {
            self.mortal = Some(self.mortal.map_or(expires, |first| first.min(expires)));
        }
    }

    /// Takes a message in; returns those that had to give way, the new one perhaps among them.
    pub(crate) fn push(&mut self, waiting: Waiting) -> Vec<Waiting> {
        let mut dropped = Vec::new();
        let weight = waiting.message.weight();
        while self.waiting.len() + 1 > self.bounds.count
            || self.bytes() + weight > self.bounds.bytes && !self.waiting.is_empty()
            || weight > self.bounds.bytes
        {
            if self.bounds.policy != Policy::Oldest || weight > self.bounds.bytes {
                dropped.push(waiting);
                return dropped;
            }
            match self.pop_unbegun() {
                Some(oldest) => dropped.push(oldest),
                None => {
                    dropped.push(waiting);
                    return dropped;
                }
            }
        }
        self.enter(&waiting);
        self.waiting.push_back(waiting);
        dropped
    }

    /// Puts back what was sent but never acknowledged, before everything else, in its order.
    /// These were inside the bounds when they came.
    pub(crate) fn put_back(&mut self, unacknowledged: impl DoubleEndedIterator<Item = Waiting>) {
        for waiting in unacknowledged.rev() {
            self.enter(&waiting);
            self.waiting.push_front(waiting);
        }
    }

    /// Takes a message that was inside the bounds when it came: of an earlier process, or of a shared
    /// subscription.
    pub(crate) fn append(&mut self, waiting: Waiting) {
        self.enter(&waiting);
        self.waiting.push_back(waiting);
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.leave(&waiting);
        self.shrink();
        Some(waiting)
    }

    /// Takes out what gives way first: the oldest that was not begun, or else the oldest.
    pub(crate) fn pop_oldest(&mut self) -> Option<Waiting> {
        self.pop_unbegun().or_else(|| self.pop())
    }

    /// The oldest that was not begun. What was is sent again, and its client may hold its packet identifier,
    /// which would hide another message from it.
    fn pop_unbegun(&mut self) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| !waiting.is_begun())?;
        let waiting = self.waiting.remove(place)?;
        self.leave(&waiting);
        self.shrink();
        Some(waiting)
    }

    /// Takes out what came last.
    pub(crate) fn pop_newest(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_back()?;
        self.leave(&waiting);
        self.shrink();
        Some(waiting)
    }

    fn shrink(&mut self) {
        let (len, capacity) = (self.waiting.len(), self.waiting.capacity());
        if capacity > 64 && len < capacity / 4 {
            self.waiting.shrink_to(2 * len); // what a burst took is given back
        }
    }

    /// Orders it by number again.
    pub(crate) fn sort(&mut self) {
        self.waiting.make_contiguous().sort_by_key(|waiting| waiting.seq);
    }

    /// Takes out everything of which `gone` is true.
    pub(crate) fn retract(&mut self, gone: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let all: Vec<Waiting> = std::mem::take(&mut self.waiting).into();
        let (gone, left): (Vec<_>, Vec<_>) = all.into_iter().partition(gone);
        self.waiting = left.into();
        gone.iter().for_each(|waiting| self.leave(waiting));
        gone
    }

    pub(crate) fn first(&self) -> Option<&Waiting> {
        self.waiting.front()
    }

    /// The first message, if it expired: to be told.
    pub(crate) fn pop_expired(&mut self, now: Now) -> Option<Waiting> {
        self.waiting.front().filter(|first| first.has_expired(now))?;
        self.pop()
    }

    /// Whether a message of QoS 0 waits: later ones must not pass it (MQTT-4.6.0-5).
    pub(crate) fn has_at_most_once(&self) -> bool {
        self.at_most_once > 0
    }

    /// Everything that waits, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, size: usize) -> Waiting {
        let message = Message::any("t", vec![0; size]);
        Waiting::new(Arc::new(message), Qos::AtLeastOnce, seq)
    }

    fn numbers(waiting: impl IntoIterator<Item = Waiting>) -> Vec<u64> {
        waiting.into_iter().map(|waiting| waiting.seq).collect()
    }

    #[test]
    fn a_full_queue_gives_way_as_its_policy_says() {
        let bounds = Bounds { count: 2, bytes: 10_000, policy: Policy::Oldest };
        let mut queue = Queue::new(bounds, &Total::default());
        let dropped: Vec<u64> =
            (1..=4).flat_map(|seq| numbers(queue.push(message(seq, 1)))).collect();
        assert_eq!(dropped, [1, 2]);
        let mut queue = Queue::new(Bounds { policy: Policy::Newest, ..bounds }, &Total::default());
        let dropped: Vec<u64> =
            (1..=4).flat_map(|seq| numbers(queue.push(message(seq, 1)))).collect();
        assert_eq!(dropped, [3, 4]);
    }

    #[test]
    fn what_was_begun_gives_way_to_nothing_that_comes() {
        let bounds = Bounds { count: 2, bytes: 10_000, policy: Policy::Oldest };
        let mut queue = Queue::new(bounds, &Total::default());
        let begun = |seq| Waiting { begun: true, ..message(seq, 1) };
        queue.put_back([begun(1), begun(2)].into_iter());
        assert_eq!(numbers(queue.push(message(3, 1))), [3]);
        queue.pop();
        queue.push(message(4, 1));
        assert_eq!(numbers(queue.push(message(5, 1))), [4]);
    }

    #[test]
    fn bytes_are_bounded_and_a_message_too_large_for_the_queue_drops_only_itself() {
        let mut queue = Queue::new(
            Bounds { count: 100, bytes: 1000, policy: Policy::Oldest },
            &Total::default(),
        );
        queue.push(message(1, 400));
        queue.push(message(2, 400));
        assert_eq!(numbers(queue.push(message(3, 400))), [1]);
        assert_eq!(numbers(queue.push(message(4, 5000))), [4]);
        assert_eq!(numbers(std::iter::from_fn(|| queue.pop())), [2, 3]);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn what_has_expired_gives_way_first_wherever_it_stands() {
        let at = crate::service::testing::at;
        let mut queue =
            Queue::new(Bounds { count: 3, bytes: 1000, policy: Policy::Oldest }, &Total::default());
        for (seq, expires) in [(1, None), (2, Some(at(10))), (3, Some(at(20)))] {
            let mut waiting = message(seq, 1);
            waiting.message = Arc::new(Message { expires, ..(*waiting.message).clone() });
            queue.push(waiting);
        }
        let now = |second| Now { at: at(second), wall: std::time::UNIX_EPOCH };
        assert!(queue.full(1).is_some());
        assert!(queue.expired(now(9)).is_empty());
        assert_eq!(numbers(queue.expired(now(10))), [2]);
        assert_eq!(numbers(queue.expired(now(20))), [3]);
        assert!(queue.full(1).is_none());
    }

    #[test]
    fn what_was_sent_and_not_acknowledged_comes_first_again() {
        let mut queue =
            Queue::new(Bounds { count: 2, bytes: 1000, policy: Policy::Oldest }, &Total::default());
        queue.push(message(3, 1));
        queue.put_back([message(1, 1), message(2, 1)].into_iter());
        assert_eq!(numbers(std::iter::from_fn(|| queue.pop())), [1, 2, 3]);
    }
}
