//! What came from the cloud and has not been answered by our broker yet.
//!
//! ```text
//!   cloud ──> read on? ──> published, in order ──> answered
//!                │   ^                                │
//!                v   └────────────────────────────────┘
//!             full: the connection is not read, and TCP holds the cloud back
//! ```
//! The receive maximum does not count QoS 0 (MQTT 5 §4.9), so a cloud may send faster than our broker
//! takes. It is refused nothing for that: it waits.

use std::collections::VecDeque;

use crate::bus::Message;

/// Messages that wait for our broker before reading pauses: enough that it is never idle, and it
/// takes them in well under a second, so that a pause is short against any keepalive.
const COUNT: usize = 64;
/// Bytes of them: as much as one packet of the cloud may have.
const BYTES: usize = super::packet::MAX_PACKET_BYTES as usize;

/// The weights of the messages that wait, oldest first: our broker answers in order.
#[derive(Debug, Default)]
pub(super) struct Letters {
    weights: VecDeque<usize>,
    bytes: usize,
}

impl Letters {
    /// One goes to our broker.
    pub(super) fn posted(&mut self, message: &Message) {
        let weight = weight(message);
        self.weights.push_back(weight);
        self.bytes += weight;
    }

    /// The oldest is answered.
    pub(super) fn answered(&mut self) {
        self.bytes -= self.weights.pop_front().unwrap_or(0);
    }

    /// Whether no more is to be read for now. What was read at once may be more than fits; it is one
    /// turn of the connection at most.
    pub(super) fn full(&self) -> bool {
        self.weights.len() >= COUNT || self.bytes >= BYTES
    }
}

/// Bytes a message takes in memory. Many small properties take more there than on the wire.
fn weight(message: &Message) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let pair =
        |(name, value): &(String, String)| size_of::<(String, String)>() + name.len() + value.len();
    size_of::<Message>()
        + message.topic.len()
        + message.payload.len()
        + text(&message.response_topic)
        + text(&message.content_type)
        + message.correlation_data.as_ref().map_or(0, bytes::Bytes::len)
        + message.user.iter().map(pair).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        Message::new("maestro/cmd/x/y".into(), vec![b' '; bytes])
    }

    #[test]
    fn many_small_ones_and_few_large_ones_are_full_alike_until_they_are_answered() {
        for (bytes, fits) in [(10, 64), (BYTES / 4, 4), (BYTES, 1)] {
            let mut letters = Letters::default();
            for posted in 0..fits {
                assert!(!letters.full(), "{posted} of {fits}");
                letters.posted(&message(bytes));
            }
            assert!(letters.full(), "{fits} of {bytes} bytes");
            letters.answered();
            assert!(!letters.full());
        }
    }

    #[test]
    fn properties_of_a_few_bytes_count_what_they_take_in_memory() {
        let user = vec![(String::new(), String::new()); BYTES / 32];
        let mut letters = Letters::default();
        letters.posted(&Message { user, ..message(0) });
        assert!(letters.full());
    }

    #[test]
    fn what_is_answered_leaves_nothing_behind() {
        let mut letters = Letters::default();
        for bytes in [1, BYTES, 7] {
            letters.posted(&message(bytes));
        }
        for _ in 0..4 {
            letters.answered();
        }
        assert_eq!((letters.bytes, letters.weights.len()), (0, 0));
    }
}
