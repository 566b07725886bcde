//! `$SYS/broker/#`: the broker's figures under the names that mosquitto gave them.
//!
//! ```text
//!   subscribed ──> every value, as if it were retained ──> each 10 s those that changed
//!        ^                                                        │
//!        └──────────── nobody who is here has such a filter: no timer ┘
//! ```
//! Nothing of it is kept: a value is made when it is sent. `heap` is not here: `metric/stats` knows
//! better. Loads are averages per minute over 1, 5 and 15 minutes, brought up to date when they are
//! looked at.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::timers::Timer;
use super::traffic::Traffic;
use super::{Core, Effects};
use crate::broker::message::{Incoming, Message};
use crate::broker::session::Peer;
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;
use crate::bus::Qos;
use crate::storage::Window;
use crate::topic::{self, Shared};

/// mosquitto's `sys_interval`.
const INTERVAL: Duration = Duration::from_secs(10);
/// Minutes that a load is the average of.
const SPANS: [u8; 3] = [1, 5, 15];

/// What the figures need to remember.
#[derive(Debug, Default)]
pub(super) struct Sys {
    began: Option<Instant>,
    watched: bool,
    /// What was said last, so that only what changed is said again.
    said: Figures,
    loads: Loads,
    /// CONNECTs taken, and sessions expired, since the start.
    connections: u64,
    pub(super) expired: u64,
    /// Clients connected now, and the most that were at once.
    connected: u64,
    maximum: u64,
}

impl Sys {
    /// A client is in.
    pub(super) fn entered(&mut self) {
        self.connections += 1;
        self.connected += 1;
        self.maximum = self.maximum.max(self.connected);
    }

    /// It is gone.
    pub(super) fn left(&mut self) {
        self.connected -= 1;
    }
}

/// All values at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    uptime_s: u64,
    connected: u64,
    disconnected: u64,
    maximum: u64,
    expired: u64,
    subscriptions: u64,
    shared: u64,
    retained: u64,
    stored: u64,
    stored_bytes: u64,
    dropped: u64,
    traffic: Traffic,
    loads: [[f64; 3]; 8],
}

/// A number among the figures.
type Number = fn(&Figures) -> u64;

/// Name and value of everything that is a number.
const NUMBERS: [(&str, Number); 22] = [
    ("clients/total", |f| f.connected + f.disconnected),
    ("clients/maximum", |f| f.maximum),
    ("clients/connected", |f| f.connected),
    ("clients/active", |f| f.connected),
    ("clients/disconnected", |f| f.disconnected),
    ("clients/inactive", |f| f.disconnected),
    ("clients/expired", |f| f.expired),
    ("messages/received", |f| f.traffic.packets_in),
    ("messages/sent", |f| f.traffic.packets_out),
    ("messages/stored", |f| f.stored),
    ("store/messages/count", |f| f.stored),
    ("store/messages/bytes", |f| f.stored_bytes),
    ("bytes/received", |f| f.traffic.bytes_in),
    ("bytes/sent", |f| f.traffic.bytes_out),
    ("publish/messages/received", |f| f.traffic.publishes_in),
    ("publish/messages/sent", |f| f.traffic.publishes_out),
    ("publish/messages/dropped", |f| f.dropped),
    ("publish/bytes/received", |f| f.traffic.payload_in),
    ("publish/bytes/sent", |f| f.traffic.payload_out),
    ("subscriptions/count", |f| f.subscriptions),
    ("shared_subscriptions/count", |f| f.shared),
    ("retained messages/count", |f| f.retained),
];

/// What the loads are of.
const LOADS: [&str; 8] = [
    "messages/received",
    "messages/sent",
    "publish/received",
    "publish/sent",
    "publish/dropped",
    "bytes/received",
    "bytes/sent",
    "connections",
];

/// Averages that grow old without being looked at.
#[derive(Debug, Default)]
struct Loads {
    at: Option<Instant>,
    counts: [u64; 8],
    per_minute: [[f64; 3]; 8],
}

impl Loads {
    /// Takes in what was counted since the last time, as if it had come evenly.
    #[expect(clippy::cast_precision_loss, reason = "an average of counts below 2^53")]
    fn advance(&mut self, now: Instant, counts: [u64; 8]) {
        let since = now.saturating_duration_since(self.at.unwrap_or(now)).as_secs_f64() / 60.0;
        if self.at.is_some() && since <= 0.0 {
            return;
        }
        self.at = Some(now);
        for ((averages, old), new) in self.per_minute.iter_mut().zip(&self.counts).zip(&counts) {
            for (average, minutes) in averages.iter_mut().zip(SPANS) {
                if since > 0.0 {
                    let rate = (new - old) as f64 / since;
                    let weight = (-since / f64::from(minutes)).exp();
                    *average = *average * weight + rate * (1.0 - weight);
                }
            }
        }
        self.counts = counts;
    }
}

impl Figures {
    fn counts(&self, connections: u64) -> [u64; 8] {
        let t = &self.traffic;
        let publishes = [t.publishes_in, t.publishes_out, self.dropped];
        let [published, sent, dropped] = publishes;
        let (packets, bytes) = ((t.packets_in, t.packets_out), (t.bytes_in, t.bytes_out));
        [packets.0, packets.1, published, sent, dropped, bytes.0, bytes.1, connections]
    }

    /// Topic below `$SYS/broker/` and value of everything.
    fn all(&self) -> impl Iterator<Item = (String, String)> {
        let words = [
            ("version", format!("maestro version {}", env!("CARGO_PKG_VERSION"))),
            ("uptime", format!("{} seconds", self.uptime_s)),
        ];
        let words = words.into_iter().map(|(name, value)| (name.to_string(), value));
        let numbers =
            NUMBERS.iter().map(|(name, value)| (name.to_string(), value(self).to_string()));
        let loads = LOADS.iter().zip(self.loads).flat_map(|(name, averages)| {
            SPANS.iter().zip(averages).map(move |(minutes, average)| {
                (format!("load/{name}/{minutes}min"), format!("{average:.2}"))
            })
        });
        words.chain(numbers).chain(loads)
    }
}

/// Whether a filter, that of a group included, is about `$SYS`.
fn is_about(filter: &str) -> bool {
    Shared::inner(filter).starts_with("$SYS/")
}

impl Core {
    /// The broker runs since now; said at every operation, the first counts.
    pub(super) fn began(&mut self, now: Instant) {
        self.sys.began.get_or_insert(now);
    }

    /// A client subscribed: the values, as if they were retained.
    pub(super) fn tell_sys(&mut self, subscriber: Subscriber, filter: &str, fx: &mut Effects) {
        if !is_about(filter) {
            return;
        }
        let figures = self.figures(fx.now.at);
        let values = figures.all().map(|(name, value)| (format!("$SYS/broker/{name}"), value));
        let kept: Vec<Arc<Message>> = values
            .filter(|(topic, _)| topic::matches(filter, topic))
            .map(|(topic, value)| {
                let message = self.own(topic, value.into_bytes());
                Arc::new(Message { qos: Qos::AtMostOnce, ..message })
            })
            .collect();
        self.deliver_kept(subscriber, &kept, false, fx);
    }

    /// A client is here that may have such a filter: from now on the values are said again.
    pub(super) fn watch_sys(&mut self, session: Key, fx: &mut Effects) {
        let about =
            |session: &super::Session| session.filters.iter().any(|(filter, _)| is_about(filter));
        if !self.sys.watched && self.sessions.get(session).is_some_and(about) {
            self.sys.watched = true;
            self.sys.said = self.figures(fx.now.at);
            self.due_at(fx.now.at + INTERVAL, Timer::Sys);
        }
    }

    /// Says what changed, as long as somebody listens.
    pub(super) fn sys_due(&mut self, fx: &mut Effects) {
        self.sys.watched = self.sessions.iter().any(|(_, session)| {
            session.peer != Peer::Away && session.filters.iter().any(|(filter, _)| is_about(filter))
        });
        if !self.sys.watched {
            return;
        }
        self.due_at(fx.now.at + INTERVAL, Timer::Sys);
        let said = self.sys.said;
        let figures = self.figures(fx.now.at);
        for ((name, value), (_, before)) in figures.all().zip(said.all()) {
            if value != before {
                let topic = format!("$SYS/broker/{name}");
                self.say_sys(&topic, &value, fx);
            }
        }
        self.sys.said = figures;
    }

    fn say_sys(&mut self, topic: &str, value: &str, fx: &mut Effects) {
        let from = self.own_name.clone();
        let incoming = Incoming {
            topic,
            payload: value.as_bytes(),
            qos: Qos::AtMostOnce,
            retain: true,
            properties: &[],
            expires: None,
            from: &from,
            client: None,
            audience: None,
            will: false,
            noted: false,
            shared: OnceCell::new(),
        };
        self.fan_out(&incoming, None, Window::Background, fx);
    }

    fn figures(&mut self, now: Instant) -> Figures {
        let counters = self.counters();
        let began = self.sys.began.unwrap_or(now);
        let mut figures = Figures {
            uptime_s: now.saturating_duration_since(began).as_secs(),
            maximum: self.sys.maximum,
            expired: self.sys.expired,
            retained: counters.retained,
            dropped: counters.dropped,
            traffic: counters.traffic,
            stored: counters.retained,
            stored_bytes: self.retained.bytes() as u64,
            ..Figures::default()
        };
        let wire = self.sessions.iter().filter(|(_, session)| session.peer != Peer::Link);
        for (_, session) in wire {
            let connected = matches!(session.peer, Peer::Wire(_));
            figures.connected += u64::from(connected);
            figures.disconnected += u64::from(!connected);
            figures.subscriptions += session.filters.len() as u64;
            let shared = session.filters.iter().filter(|(filter, _)| filter.starts_with("$share/"));
            figures.shared += shared.count() as u64;
            figures.stored += session.queue.len() as u64;
            figures.stored_bytes += session.queue.bytes() as u64;
        }
        let counts = figures.counts(self.sys.connections);
        self.sys.loads.advance(now, counts);
        figures.loads = self.sys.loads.per_minute;
        figures
    }
}
