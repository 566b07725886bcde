//! Who is taken in. Connections are bounded in all and by [`Crowd`], and who comes and says nothing is in
//! nobody's way.
//!
//! ```text
//!   accept ─┬─ there is room ──────────────────────────────────────────────────────────> Greeting
//!           └─ its crowd, or the house, is full ─┬─ one has sent no CONNECT: that goes ──> Greeting
//!                                                └─ all have ──> told so (surplus), or closed at once
//! ```
//! To come in by TCP or as a WebSocket costs nothing and names nobody; a CONNECT does. So a crowd of the
//! silent, however large, keeps out nobody who knows what to say.

use super::connection::{Connection, Origin, State};
use super::{Core, Effects, Timer};
use crate::broker::crowd::{Crowd, Standing, makes_room};
use crate::broker::identity::Transport;
use crate::broker::limits::Limit;
use crate::broker::slots::Key;
use crate::broker::total::Tally;

/// What has no room for one more.
#[derive(Clone, Copy, Debug)]
enum Full {
    House,
    Crowd(Crowd),
}

impl Full {
    fn limit(self) -> Limit {
        match self {
            Full::House => Limit::Connections,
            Full::Crowd(_) => Limit::ConnectionsPerUid,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Full::House => "there are as many connections as broker.limits.max_connections allows",
            Full::Crowd(_) => {
                "you have as many connections as broker.limits.max_connections_per_uid allows"
            }
        }
    }
}

impl Core {
    /// A connection came; `None` when there is no room for it.
    pub(crate) fn accept(&mut self, origin: Origin, fx: &mut Effects) -> Option<Key> {
        let crowd = origin.crowd();
        let full = self.full(&origin, crowd);
        if let Some(full) = full {
            self.counters.refused += 1;
            self.counters.limits.count(full.limit());
        }
        let surplus = full.filter(|&full| !self.make_room(full, fx)).map(Full::text);
        match surplus {
            Some(_) if self.surplus >= self.setting.limits.surplus => return None,
            Some(_) => self.surplus += 1,
            None => *self.crowds.entry(crowd).or_default() += 1,
        }
        let until = fx.now.at + self.setting.limits.connect_timeout;
        let (unread, unfinished_bytes) = (Tally::new(&self.sent), Tally::new(&self.unfinished));
        let blank = Connection::new(origin, fx.now.at);
        let connection = Connection { surplus, unread, unfinished_bytes, ..blank };
        let key = self.connections.insert(connection);
        self.due_at(until, Timer::Greeting(key));
        Some(key)
    }

    fn full(&self, origin: &Origin, crowd: Crowd) -> Option<Full> {
        let limits = &self.setting.limits;
        let kept = self.kept_for(origin);
        let share = usize::try_from(limits.connections_per_uid).unwrap_or(usize::MAX);
        let count = self.crowds.get(&crowd).map_or(0, |&count| count as usize);
        if count >= share.saturating_add(kept) {
            return Some(Full::Crowd(crowd));
        }
        let all = self.connections.len() - self.surplus;
        (all >= limits.connections.saturating_add(kept)).then_some(Full::House)
    }

    /// By how many connections and sessions this one may exceed their limits.
    pub(super) fn kept_for(&self, origin: &Origin) -> usize {
        match &origin.transport {
            Transport::Unix(owner) if [0, self.setting.own_uid].contains(&owner.uid) => {
                self.setting.limits.kept
            }
            Transport::Unix(_)
            | Transport::Loopback(_)
            | Transport::Remote
            | Transport::Certificate(_) => 0,
        }
    }

    /// Ends a connection that has sent no CONNECT: the oldest, of the crowd that is full or the one with
    /// most of them. False when there is none. Its place is free at once, though the loop closes it later.
    fn make_room(&mut self, full: Full, fx: &mut Effects) -> bool {
        let waits = |one: &Connection| {
            matches!(one.state, State::Greeting)
                && one.surplus.is_none()
                && match full {
                    Full::House => true,
                    Full::Crowd(crowd) => one.origin.crowd() == crowd,
                }
        };
        let waiting: Vec<Standing<Key>> =
            self.connections.iter().filter(|(_, one)| waits(one)).map(standing).collect();
        let Some(key) = makes_room(&waiting) else { return false };
        let Some(connection) = self.connections.get_mut(key) else { return false };
        connection.surplus = Some("it made room for another");
        let crowd = connection.origin.crowd();
        self.surplus += 1;
        self.vacate(crowd);
        self.cut(key, fx);
        true
    }

    /// One of a crowd gives up its place.
    pub(super) fn vacate(&mut self, crowd: Crowd) {
        if let Some(count) = self.crowds.get_mut(&crowd) {
            *count -= 1;
            if *count == 0 {
                self.crowds.remove(&crowd);
            }
        }
    }
}

/// Half a CONNECT is as cheap as nothing: only age counts.
fn standing((key, one): (Key, &Connection)) -> Standing<Key> {
    Standing { key, crowd: one.origin.crowd(), since: one.since, spoke: false }
}
