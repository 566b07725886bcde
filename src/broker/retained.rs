//! The last message of each topic that was published with RETAIN: bounded, in topic order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::limits::Limit;
use super::message::{Message, Now};

/// The bounds of the whole store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

/// What a filter matches among some of the topics.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) kept: Vec<Arc<Message>>,
    /// The last topic that was looked at, when there are more.
    pub(crate) after: Option<Arc<str>>,
    /// How many topics were looked at.
    pub(crate) looked_at: usize,
}

/// All retained messages.
#[derive(Debug)]
pub(crate) struct Retained {
    topics: BTreeMap<Arc<str>, Arc<Message>>,
    /// Those that expire, the next first.
    mortal: BTreeSet<(Instant, Arc<str>)>,
    bytes: usize,
    bounds: Bounds,
}

impl Retained {
    pub(crate) fn new(bounds: Bounds) -> Retained {
        Retained { topics: BTreeMap::new(), mortal: BTreeSet::new(), bytes: 0, bounds }
    }

    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    /// The weight of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, topic: &str) -> Option<Arc<Message>> {
        self.topics.get(topic).cloned()
    }

    pub(crate) fn has(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// What keeps a message of this weight from being kept for this topic. Asked before anything is sent
    /// to anyone, so that a refusal has no effects.
    pub(crate) fn full(&self, topic: &str, weight: usize) -> Option<Limit> {
        let (count, bytes) = match self.topics.get(topic) {
            Some(old) => (self.topics.len(), self.bytes - old.weight() + weight),
            None => (self.topics.len() + 1, self.bytes + weight),
        };
        if count > self.bounds.count {
            return Some(Limit::Retained);
        }
        (bytes > self.bounds.bytes).then_some(Limit::RetainedSize)
    }

    /// Keeps it as the last message of its topic; an empty payload clears the topic (§3.3.1.3).
    /// False when nothing changed: there was nothing to clear.
    pub(crate) fn keep(&mut self, message: Arc<Message>) -> bool {
        if message.payload.is_empty() {
            return self.clear(&message.topic);
        }
        self.bytes += message.weight();
        if let Some(expires) = message.expires {
            self.mortal.insert((expires, message.topic.clone()));
        }
        let expires = message.expires;
        if let Some(old) = self.topics.insert(message.topic.clone(), message) {
            self.bytes -= old.weight();
            if old.expires != expires {
                self.forget_expiry(&old);
            }
        }
        true
    }

    /// Clears a topic; false when there was nothing.
    pub(crate) fn clear(&mut self, topic: &str) -> bool {
        match self.topics.remove(topic) {
            Some(old) => {
                self.bytes -= old.weight();
                self.forget_expiry(&old);
                true
            }
            None => false,
        }
    }

    fn forget_expiry(&mut self, old: &Message) {
        if let Some(expires) = old.expires {
            self.mortal.remove(&(expires, old.topic.clone()));
        }
    }

    /// Some of the messages a filter matches, in topic order: those behind `after`, until so many
    /// topics were looked at or so many messages found.
    pub(crate) fn piece(
        &self,
        filter: &str,
        after: Option<&str>,
        (look_at, most): (usize, usize),
        now: Now,
    ) -> Piece {
        let mut piece = Piece { kept: Vec::new(), after: None, looked_at: 0 };
        let Some(wildcard) = filter.find(['+', '#']) else {
            let kept = self.topics.get(filter).filter(|kept| !kept.expired(now));
            piece.kept.extend(kept.cloned());
            return piece;
        };
        // `a/b/#` also matches `a/b`: the literal part without its last slash begins the range.
        let literal = filter[..wildcard].trim_end_matches('/');
        let from = after.map_or(Bound::Included(literal), Bound::Excluded);
        for (topic, kept) in self.topics.range::<str, _>((from, Bound::Unbounded)) {
            if !topic.starts_with(literal) {
                return Piece { after: None, ..piece };
            }
            if piece.looked_at == look_at || piece.kept.len() == most {
                return piece;
            }
            piece.looked_at += 1;
            piece.after = Some(topic.clone());
            if crate::topic::matches(filter, topic) && !kept.expired(now) {
                piece.kept.push(kept.clone());
            }
        }
        Piece { after: None, ..piece }
    }

    /// The bytes are those of its messages, within the bounds.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        let bytes: usize = self.topics.values().map(|kept| kept.weight()).sum();
        assert_eq!(bytes, self.bytes, "bytes retained");
        assert!(self.topics.iter().all(|(topic, kept)| *topic == kept.topic));
    }

    /// When the next message expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.mortal.first().map(|(expires, _)| *expires)
    }

    /// Topics whose message has expired, so many at most.
    pub(crate) fn expired(&self, now: Now, most: usize) -> Vec<Arc<str>> {
        let expired = self.mortal.iter().take_while(|(expires, _)| *expires <= now.at);
        expired.take(most).map(|(_, topic)| topic.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;
    use std::time::UNIX_EPOCH;

    fn message(topic: &str, payload: &'static str) -> Arc<Message> {
        Arc::new(Message::any(topic, payload))
    }

    fn store(topics: &[&str]) -> Retained {
        let mut retained = Retained::new(Bounds { count: 100, bytes: 10_000 });
        for topic in topics {
            assert!(retained.keep(message(topic, "x")));
        }
        retained
    }

    fn found(retained: &Retained, filter: &str) -> Vec<String> {
        let now = Now { at: at(0), wall: UNIX_EPOCH };
        let mut found = Vec::new();
        let mut after: Option<Arc<str>> = None;
        loop {
            let piece = retained.piece(filter, after.as_deref(), (2, 1), now);
            found.extend(piece.kept.iter().map(|kept| kept.topic.to_string()));
            after = piece.after;
            if after.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn a_wildcard_finds_its_topics_in_order() {
        let retained = store(&["a", "a/b", "a/b/c", "ab", "b", "$SYS/x", "/a"]);
        assert_eq!(found(&retained, "a/#"), ["a", "a/b", "a/b/c"]);
        assert_eq!(found(&retained, "a/+"), ["a/b"]);
        assert_eq!(found(&retained, "#"), ["/a", "a", "a/b", "a/b/c", "ab", "b"]);
        assert_eq!(found(&retained, "/+"), ["/a"]);
        assert_eq!(found(&retained, "$SYS/#"), ["$SYS/x"]);
        assert_eq!(found(&retained, "a/b"), ["a/b"]);
    }

    #[test]
    fn an_empty_payload_clears_and_gives_the_room_back() {
        let mut retained = store(&["a"]);
        assert!(retained.keep(message("a", "")));
        assert!(!retained.keep(message("a", "")));
        assert_eq!((retained.len(), retained.bytes), (0, 0));
    }

    #[test]
    fn a_full_store_still_takes_a_new_value_for_a_topic_it_has() {
        let mut retained = Retained::new(Bounds { count: 1, bytes: 10_000 });
        retained.keep(message("a", "x"));
        assert_eq!(retained.full("a", 100), None);
        assert_eq!(retained.full("b", 100), Some(Limit::Retained));
        assert_eq!(retained.full("a", 20_000), Some(Limit::RetainedSize));
    }
}
