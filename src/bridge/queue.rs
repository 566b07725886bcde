//! What waits for the cloud, in order, in memory: bounded in messages, bytes and age.
//!
//! ```text
//!   push ──> waiting ── send ──> in flight ── acknowledged / refused ──> gone
//!               ^                    │
//!               └── connection lost ─┘   in its old place: order is that of the box
//! ```
//! A message with a ticket has a copy in our broker's session until the queue gives the ticket
//! back; whatever becomes of a message, its ticket comes back exactly once. A queue on disk is to
//! take the place of this one behind the same functions.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::config::{self, Keep, Policy};
use crate::bus::{Message, Qos};

/// Names a delivery of our own broker, see [`crate::bus::Link::ack`].
pub type Ticket = u64;

/// What waits, how it is bounded, and what was lost.
#[derive(Debug)]
pub struct Queue {
    /// By number, oldest first.
    entries: BTreeMap<u64, Entry>,
    next_number: u64,
    /// Every entry before this number is in flight.
    unsent: u64,
    /// Packet identifiers in flight.
    in_flight: HashMap<u16, u64>,
    /// Numbers of the waiting messages that a newer one of their topic replaces.
    latest: HashMap<String, u64>,
    bytes: u64,
    bounds: config::Queue,
    dropped: Dropped,
}

/// One message on its way.
#[derive(Debug)]
pub struct Entry {
    /// With its topic at the cloud.
    pub message: Message,
    ticket: Option<Ticket>,
    keep: Keep,
    came: Instant,
    sent_as: Option<u16>,
    /// How often the connection broke while this was the first message in flight.
    suspected: u8,
}

/// Messages that were given up, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The queue was full.
    pub full: u64,
    /// It waited longer than the queue or its own expiry allows.
    pub expired: u64,
    /// The cloud refused it.
    pub refused: u64,
    /// The cloud takes no packet so large.
    pub too_large: u64,
    /// It broke the connection three times.
    pub poison: u64,
}

/// Why a message is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// See [`Dropped::full`].
    Full,
    /// See [`Dropped::expired`].
    Expired,
    /// See [`Dropped::refused`].
    Refused,
    /// See [`Dropped::too_large`].
    TooLarge,
    /// See [`Dropped::poison`].
    Poison,
}

/// Connections that one message may break.
const STRIKES: u8 = 3;

/// What an entry costs beside its bytes: the entry, its place in the trees.
const OVERHEAD_BYTES: u64 = 256;

impl Queue {
    /// An empty queue.
    pub fn new(bounds: config::Queue) -> Queue {
        Queue {
            entries: BTreeMap::new(),
            next_number: 0,
            unsent: 0,
            in_flight: HashMap::new(),
            latest: HashMap::new(),
            bytes: 0,
            bounds,
            dropped: Dropped::default(),
        }
    }

    /// Takes a message in; the tickets of those that had to give way come back in `free`.
    pub fn push(
        &mut self,
        now: Instant,
        (message, keep): (Message, Keep),
        ticket: Option<Ticket>,
        free: &mut Vec<Ticket>,
    ) {
        if keep == Keep::Latest
            && let Some(older) = self.latest.remove(&message.topic)
        {
            free.extend(self.remove(older).and_then(|entry| entry.ticket));
        }
        let entry = Entry { message, ticket, keep, came: now, sent_as: None, suspected: 0 };
        if !self.make_room(entry.weight(), free) {
            self.count(Reason::Full);
            free.extend(ticket);
            return;
        }
        if keep == Keep::Latest {
            self.latest.insert(entry.message.topic.clone(), self.next_number);
        }
        self.bytes += entry.weight();
        self.entries.insert(self.next_number, entry);
        self.next_number += 1;
    }

    /// Whether a message of this weight fits, those that wait longest having left if the policy
    /// lets them. What is in flight stays.
    fn make_room(&mut self, weight: u64, free: &mut Vec<Ticket>) -> bool {
        let fits = |queue: &Queue| {
            (queue.entries.len() as u64) < queue.bounds.max_count
                && queue.bytes + weight <= queue.bounds.max_size
        };
        if weight > self.bounds.max_size {
            return false;
        }
        while !fits(self) {
            let oldest = self.entries.range(self.unsent..).next().map(|(&number, _)| number);
            let (Policy::Oldest, Some(oldest)) = (self.bounds.policy, oldest) else {
                return false;
            };
            free.extend(self.give_up(oldest, Reason::Full));
        }
        true
    }

    /// The next message to send, those too old left out.
    pub fn next(&mut self, now: Instant, free: &mut Vec<Ticket>) -> Option<&Entry> {
        let number = loop {
            let (&number, entry) = self.entries.range(self.unsent..).next()?;
            if !entry.expired(now, self.bounds.max_age) {
                break number;
            }
            free.extend(self.give_up(number, Reason::Expired));
        };
        self.entries.get(&number)
    }

    /// The message of [`Queue::next`] goes out with this packet identifier; without one it is done
    /// with, and its ticket comes back.
    pub fn sent(&mut self, packet_id: Option<u16>) -> Option<Ticket> {
        let (&number, entry) = self.entries.range_mut(self.unsent..).next()?;
        self.unsent = number + 1;
        if entry.keep == Keep::Latest {
            self.latest.remove(&entry.message.topic); // a newer one must not replace it now
        }
        match packet_id {
            Some(packet_id) => {
                entry.sent_as = Some(packet_id);
                self.in_flight.insert(packet_id, number);
                None
            }
            None => self.remove(number)?.ticket,
        }
    }

    /// The message of [`Queue::next`] is not sent at all.
    pub fn set_aside(&mut self, reason: Reason) -> Option<Ticket> {
        let (&number, _) = self.entries.range(self.unsent..).next()?;
        self.give_up(number, reason)
    }

    /// The cloud has it. `Err` when nothing is in flight under this identifier.
    pub fn acknowledged(&mut self, packet_id: u16) -> Result<Option<Ticket>, Unknown> {
        let number = self.in_flight.get(&packet_id).copied().ok_or(Unknown)?;
        Ok(self.remove(number).and_then(|entry| entry.ticket))
    }

    /// The cloud does not want it.
    pub fn refused(&mut self, packet_id: u16) -> Result<Option<Ticket>, Unknown> {
        let number = self.in_flight.get(&packet_id).copied().ok_or(Unknown)?;
        Ok(self.give_up(number, Reason::Refused))
    }

    /// The connection is gone; what was in flight waits again. When it was the cloud that broke it,
    /// the first message in flight is suspected, and given up after three times.
    pub fn landed(&mut self, broken_by: BrokenBy) -> Option<Ticket> {
        let first = self.in_flight.values().min().copied();
        self.in_flight.clear();
        self.unsent = 0;
        for (&number, entry) in &mut self.entries {
            if entry.sent_as.take().is_some() && entry.keep == Keep::Latest {
                // One that came later already holds the place; this one is then superfluous, but
                // harmless: it goes out before the newer one.
                self.latest.entry(entry.message.topic.clone()).or_insert(number);
            }
        }
        let first = first.filter(|_| broken_by == BrokenBy::Cloud)?;
        let entry = self.entries.get_mut(&first)?;
        entry.suspected += 1;
        (entry.suspected >= STRIKES).then(|| self.give_up(first, Reason::Poison))?
    }

    /// Whether the first message has broken a connection: it must then fly alone, so that the
    /// suspicion falls on the right one.
    pub fn suspicious(&self) -> bool {
        self.entries.first_key_value().is_some_and(|(_, entry)| entry.suspected > 0)
    }

    /// Messages in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether this packet identifier is in flight.
    pub fn flies(&self, packet_id: u16) -> bool {
        self.in_flight.contains_key(&packet_id)
    }

    /// The topic at the cloud of the message in flight under this identifier.
    pub fn topic(&self, packet_id: u16) -> Option<&str> {
        let number = self.in_flight.get(&packet_id)?;
        self.entries.get(number).map(|entry| entry.message.topic.as_str())
    }

    /// Messages, those in flight included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes, those in flight included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much of what fits is taken, in percent.
    pub fn fill_pct(&self) -> u64 {
        let share = |part: u64, whole: u64| part.saturating_mul(100) / whole.max(1);
        share(self.bytes, self.bounds.max_size)
            .max(share(self.entries.len() as u64, self.bounds.max_count))
    }

    /// What was lost since the start.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn give_up(&mut self, number: u64, reason: Reason) -> Option<Ticket> {
        self.count(reason);
        self.remove(number)?.ticket
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.bytes -= entry.weight();
        if let Some(packet_id) = entry.sent_as {
            self.in_flight.remove(&packet_id);
        }
        if entry.keep == Keep::Latest && self.latest.get(&entry.message.topic) == Some(&number) {
            self.latest.remove(&entry.message.topic);
        }
        Some(entry)
    }

    fn count(&mut self, reason: Reason) {
        let counter = match reason {
            Reason::Full => &mut self.dropped.full,
            Reason::Expired => &mut self.dropped.expired,
            Reason::Refused => &mut self.dropped.refused,
            Reason::TooLarge => &mut self.dropped.too_large,
            Reason::Poison => &mut self.dropped.poison,
        };
        *counter += 1;
    }
}

/// Nothing in flight has this packet identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenBy {
    /// The cloud closed it: it may not have liked what it read.
    Cloud,
    /// Silence, or we.
    Link,
}

impl Entry {
    /// What it counts against [`config::Queue::max_size`], in bytes.
    fn weight(&self) -> u64 {
        (self.message.topic.len() + self.message.payload.len()) as u64 + OVERHEAD_BYTES
    }

    fn expired(&self, now: Instant, max_age: Duration) -> bool {
        let own = self.message.expiry_s.map(|s| Duration::from_secs(s.into()));
        now.saturating_duration_since(self.came) > own.map_or(max_age, |own| own.min(max_age))
    }

    /// The message as it is to be sent now: its expiry shortened by the time it waited.
    pub fn as_sent(&self, now: Instant) -> Message {
        let waited = now.saturating_duration_since(self.came).as_secs();
        let waited = u32::try_from(waited).unwrap_or(u32::MAX);
        let expiry_s = self.message.expiry_s.map(|s| s.saturating_sub(waited).max(1));
        Message { expiry_s, ..self.message.clone() }
    }

    /// Whether it asks for an acknowledgement.
    pub fn wants_ack(&self) -> bool {
        self.message.qos != Qos::AtMostOnce
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;
    use proptest::prelude::*;

    fn queue(max_count: u64, policy: Policy) -> Queue {
        Queue::new(config::Queue { max_count, policy, ..config::Queue::default() })
    }

    fn push(queue: &mut Queue, topic: &str, keep: Keep, ticket: Ticket) -> Vec<Ticket> {
        let mut free = Vec::new();
        let message = Message::new(topic.into(), format!("{ticket}")).at_least_once();
        queue.push(at(0), (message, keep), Some(ticket), &mut free);
        free
    }

    /// Sends all that waits, with identifiers from `first`; the payloads.
    fn send(queue: &mut Queue, first: u16) -> Vec<String> {
        let mut sent = Vec::new();
        let mut free = Vec::new();
        while let Some(entry) = queue.next(at(1), &mut free) {
            sent.push(String::from_utf8_lossy(&entry.message.payload).into_owned());
            queue.sent(Some(first + u16::try_from(sent.len()).unwrap() - 1));
        }
        sent
    }

    #[test]
    fn what_was_not_acknowledged_goes_again_in_the_old_order() {
        let mut queue = queue(10, Policy::Oldest);
        for ticket in 1..=4 {
            push(&mut queue, "e", Keep::Queue, ticket);
        }
        assert_eq!(send(&mut queue, 1), ["1", "2", "3", "4"]);
        assert_eq!(queue.acknowledged(2), Ok(Some(2)));
        assert_eq!(queue.landed(BrokenBy::Link), None);
        push(&mut queue, "e", Keep::Queue, 5);
        assert_eq!(send(&mut queue, 1), ["1", "3", "4", "5"]);
        for packet_id in 1..=4 {
            queue.acknowledged(packet_id).unwrap();
        }
        assert!(queue.is_empty());
        assert_eq!((queue.bytes(), queue.in_flight()), (0, 0));
    }

    #[test]
    fn of_a_latest_topic_only_the_newest_waits() {
        let mut queue = queue(10, Policy::Oldest);
        assert_eq!(push(&mut queue, "s/a", Keep::Latest, 1), Vec::<Ticket>::new());
        push(&mut queue, "s/b", Keep::Latest, 2);
        assert_eq!(push(&mut queue, "s/a", Keep::Latest, 3), [1]);
        assert_eq!(queue.dropped(), Dropped::default());
        assert_eq!(send(&mut queue, 1), ["2", "3"]);
        // In flight is as good as gone: it is not replaced, the newer one follows it.
        assert_eq!(push(&mut queue, "s/a", Keep::Latest, 4), Vec::<Ticket>::new());
        queue.landed(BrokenBy::Link);
        assert_eq!(send(&mut queue, 1), ["2", "3", "4"]);
    }

    #[test]
    fn a_full_queue_drops_the_oldest_that_waits_and_counts_it() {
        let mut queue = queue(3, Policy::Oldest);
        push(&mut queue, "e", Keep::Queue, 1);
        assert_eq!(send(&mut queue, 1), ["1"]);
        push(&mut queue, "e", Keep::Queue, 2);
        push(&mut queue, "e", Keep::Queue, 3);
        assert_eq!(push(&mut queue, "e", Keep::Queue, 4), [2]);
        assert_eq!(queue.dropped().full, 1);
        queue.landed(BrokenBy::Link);
        assert_eq!(send(&mut queue, 1), ["1", "3", "4"]);
    }

    #[test]
    fn a_full_queue_may_keep_what_it_has_instead() {
        let mut queue = queue(2, Policy::Newest);
        push(&mut queue, "e", Keep::Queue, 1);
        push(&mut queue, "e", Keep::Queue, 2);
        assert_eq!(push(&mut queue, "e", Keep::Queue, 3), [3]);
        assert_eq!(send(&mut queue, 1), ["1", "2"]);
    }

    #[test]
    fn a_message_larger_than_the_queue_drops_only_itself() {
        let bounds = config::Queue { max_size: 1000, ..config::Queue::default() };
        let mut queue = Queue::new(bounds);
        push(&mut queue, "e", Keep::Queue, 1);
        let mut free = Vec::new();
        let large = Message::new("e".into(), vec![0; 2000]);
        queue.push(at(0), (large, Keep::Queue), Some(2), &mut free);
        assert_eq!((free, queue.len()), (vec![2], 1));
    }

    #[test]
    fn a_message_that_breaks_the_connection_three_times_is_set_aside() {
        let mut queue = queue(10, Policy::Oldest);
        push(&mut queue, "e", Keep::Queue, 1);
        push(&mut queue, "e", Keep::Queue, 2);
        for _ in 0..2 {
            send(&mut queue, 1);
            assert_eq!(queue.landed(BrokenBy::Cloud), None);
            assert!(queue.suspicious());
        }
        send(&mut queue, 1);
        assert_eq!(queue.landed(BrokenBy::Link), None, "silence is nobody's fault");
        send(&mut queue, 1);
        assert_eq!(queue.landed(BrokenBy::Cloud), Some(1));
        assert_eq!(queue.dropped().poison, 1);
        assert!(!queue.suspicious());
        assert_eq!(send(&mut queue, 1), ["2"]);
    }

    #[test]
    fn what_waited_too_long_is_dropped_and_what_did_not_says_how_long_it_may_still() {
        let mut queue = queue(10, Policy::Oldest);
        let mut free = Vec::new();
        let dated = |s| Message {
            expiry_s: Some(s),
            ..Message::new("e".into(), format!("{s}")).at_least_once()
        };
        queue.push(at(0), (dated(10), Keep::Queue), Some(1), &mut free);
        queue.push(at(0), (dated(60), Keep::Queue), Some(2), &mut free);
        let entry = queue.next(at(20), &mut free).unwrap();
        assert_eq!(entry.as_sent(at(20)).expiry_s, Some(40));
        assert_eq!(free, [1]);
        assert_eq!(queue.dropped().expired, 1);
    }

    #[derive(Clone, Debug)]
    enum Deed {
        Push { topic: u8, latest: bool },
        Send,
        Acknowledge(usize),
        Refuse(usize),
        Land(bool),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            4 => (0..5_u8, any::<bool>()).prop_map(|(topic, latest)| Deed::Push { topic, latest }),
            3 => Just(Deed::Send),
            2 => (0..8_usize).prop_map(Deed::Acknowledge),
            1 => (0..8_usize).prop_map(Deed::Refuse),
            1 => any::<bool>().prop_map(Deed::Land),
        ]
    }

    proptest! {
        #[test]
        fn every_ticket_comes_back_exactly_once(deeds in prop::collection::vec(deed(), 1..200)) {
            let mut queue = queue(6, Policy::Oldest);
            let mut free = Vec::new();
            let mut given = 0;
            let mut next_id = 0;
            let mut flying: Vec<u16> = Vec::new();
            for deed in deeds {
                match deed {
                    Deed::Push { topic, latest } => {
                        let keep = if latest { Keep::Latest } else { Keep::Queue };
                        given += 1;
                        free.extend(push(&mut queue, &format!("t{topic}"), keep, given));
                    }
                    Deed::Send => {
                        if queue.next(at(1), &mut free).is_some() {
                            next_id += 1;
                            free.extend(queue.sent(Some(next_id)));
                            flying.push(next_id);
                        }
                    }
                    Deed::Acknowledge(n) if n < flying.len() => {
                        free.extend(queue.acknowledged(flying.remove(n)).unwrap());
                    }
                    Deed::Refuse(n) if n < flying.len() => {
                        free.extend(queue.refused(flying.remove(n)).unwrap());
                    }
                    Deed::Acknowledge(_) | Deed::Refuse(_) => {
                        prop_assert_eq!(queue.acknowledged(60_000), Err(Unknown));
                    }
                    Deed::Land(cloud) => {
                        let by = if cloud { BrokenBy::Cloud } else { BrokenBy::Link };
                        free.extend(queue.landed(by));
                        flying.clear();
                    }
                }
                prop_assert!(queue.len() <= 6);
                prop_assert_eq!(queue.in_flight(), flying.len());
            }
            queue.landed(BrokenBy::Link);
            while queue.next(at(1), &mut free).is_some() {
                free.extend(queue.sent(None));
            }
            prop_assert_eq!(queue.bytes(), 0);
            free.sort_unstable();
            prop_assert_eq!(free, (1..=given).collect::<Vec<_>>());
        }
    }
}
