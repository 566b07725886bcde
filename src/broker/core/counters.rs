//! What the broker has done since the start, and how much it holds now.

use super::{Core, Traffic};
use crate::broker::drops::Dropped;
use crate::broker::limits::Hits;
use crate::broker::notice;

/// Counts since the start, and what is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// PUBLISH packets taken from clients and links.
    pub published: u64,
    /// Messages sent to clients and links.
    pub delivered: u64,
    /// Messages that found no room in a queue or a slow connection's buffer, or expired there.
    pub dropped: u64,
    /// The same by reason.
    pub drops: Dropped,
    /// Publishes, subscriptions and connections refused.
    pub refused: u64,
    /// Network connections now.
    pub clients: u64,
    /// Sessions now, links included.
    pub sessions: u64,
    /// Retained messages now.
    pub retained: u64,
    /// What went over the connections, those that ended included.
    pub traffic: Traffic,
    /// How often each limit was hit.
    pub limits: Hits,
}

impl Counters {
    /// Counts messages that somebody did not get.
    pub(super) fn dropped(&mut self, why: notice::Drop, count: usize) {
        self.dropped += count as u64;
        self.drops.count(why, count);
    }
}

impl Core {
    /// What it has done, and how much it holds now.
    pub(crate) fn counters(&self) -> Counters {
        let mut traffic = self.counters.traffic;
        self.connections.iter().for_each(|(_, connection)| traffic += connection.traffic);
        Counters {
            clients: self.connections.len() as u64,
            sessions: self.sessions.len() as u64,
            retained: self.retained.len() as u64,
            traffic,
            ..self.counters
        }
    }
}
