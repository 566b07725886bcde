//! What nobody may exceed, in the core's units.

use std::num::NonZeroU16;
use std::time::Duration;

use super::config;
use super::queue;
use super::retained;

/// What was hit when something was refused, as the configuration calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Connections,
    ConnectionsPerUid,
    ConnectTimeout,
    ConnectSize,
    Sessions,
    Subscriptions,
    SubscriptionsSize,
    TopicLevels,
    Retained,
    RetainedSize,
    PacketSize,
    InFlight,
    Queued,
    QueuedSize,
    QueuedTotal,
    TopicAlias,
    Commands,
    Unfinished,
}

impl Limit {
    /// The key in `broker.limits`, in the order above; of the last two, which are not configured, what
    /// they bound.
    pub(crate) const KEYS: [&'static str; 18] = [
        "max_connections",
        "max_connections_per_uid",
        "connect_timeout",
        "max_connect_size",
        "max_sessions",
        "max_subscriptions",
        "max_subscriptions_size",
        "max_topic_levels",
        "max_retained",
        "max_retained_size",
        "max_packet_size",
        "max_inflight",
        "max_queued",
        "max_queued_size",
        "max_queued_total_size",
        "max_topic_alias",
        "commands",
        "unfinished",
    ];

    pub(crate) fn key(self) -> &'static str {
        Limit::KEYS[self as usize]
    }
}

/// How often each limit was hit since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits([u64; Limit::KEYS.len()]);

impl Hits {
    pub(crate) fn count(&mut self, limit: Limit) {
        self.0[limit as usize] += 1;
    }

    /// Key and count of those that were hit at all.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Limit::KEYS.into_iter().zip(self.0).filter(|(_, hits)| *hits > 0)
    }
}

/// Every bound of the broker. The configuration's `broker.limits` says what each is for. What is not
/// configured there bounds what no operator has a reason to change; each says why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) packet_size: usize,
    pub(crate) connect_size: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) connections: usize,
    pub(crate) connections_per_uid: u32,
    /// Connections beyond those, let in only to be told why they are not. Not configured: a courtesy,
    /// and none of them stays.
    pub(crate) surplus: usize,
    /// Connections and sessions beyond their limits for root and the daemon's own user over the Unix
    /// socket: whoever has to end the others must come in. Not configured: as many as one person with
    /// `maestro` and `mosquitto_sub` in a few terminals has.
    pub(crate) kept: usize,
    pub(crate) subscriptions: usize,
    /// What the filters of all clients take up, bytes; a quarter of it those of one principal.
    pub(crate) subscriptions_size: usize,
    pub(crate) retained: retained::Bounds,
    /// Messages sent to a client and not acknowledged.
    pub(crate) in_flight: usize,
    /// Messages taken from a client and not acknowledged (receive maximum).
    pub(crate) receive_maximum: u16,
    pub(crate) queue: queue::Bounds,
    /// How much of what is retained a session is given at once. Not configured: nobody loses any of it.
    pub(crate) replay: Pace,
    /// Bytes waiting for all sessions together.
    pub(crate) queued_total: usize,
    pub(crate) sessions: usize,
    pub(crate) session_expiry_s: u32,
    /// Topic aliases of one connection, each way.
    pub(crate) topic_alias: u16,
    /// The longest keep-alive of an MQTT 5 client, s; `None` when any is taken, none included.
    pub(crate) keep_alive_s: Option<NonZeroU16>,
    /// Bytes a connection may be behind before QoS 0 is dropped and the rest waits in its queue.
    pub(crate) outbox: usize,
    /// Acknowledgements a connection may have to wait for before we stop reading from it. Not
    /// configured: nobody is refused by it; who has so many waits for the disk, not for us.
    pub(crate) owed: usize,
    /// Levels of a filter; bounds the depth of the tree.
    pub(crate) levels: usize,
    /// Refusals told on the bus for one connection in a second. Not configured: as many as a person
    /// reads; all of them are counted.
    pub(crate) told_per_second: u32,
    /// Publishes the gate may hold in all. Not configured: commands are decided in microseconds, so
    /// that many wait only when something is wrong; counted as `commands`.
    pub(crate) held: usize,
    /// What all connections may have sent of packets that are not whole, bytes. Not configured: half of what
    /// may wait for all sessions, and two of the largest packets at least; counted as `unfinished`.
    pub(crate) unfinished: usize,
}

/// How what is retained goes to a new subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Messages found in one piece.
    pub(crate) found: usize,
    /// Messages a session may have waiting and still be given more.
    pub(crate) waiting: usize,
}

impl Limits {
    /// The bounds of a configuration.
    pub(crate) fn of(limits: &config::Limits) -> Limits {
        let bytes = |size: crate::config::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Limits {
            packet_size: bytes(limits.max_packet_size),
            connect_size: bytes(limits.max_connect_size),
            connect_timeout: limits.connect_timeout,
            connections: count(limits.max_connections),
            connections_per_uid: limits.max_connections_per_uid,
            surplus: 16,
            kept: 8,
            subscriptions: count(limits.max_subscriptions),
            subscriptions_size: bytes(limits.max_subscriptions_size),
            retained: retained::Bounds {
                count: count(limits.max_retained),
                bytes: bytes(limits.max_retained_size),
            },
            in_flight: usize::from(limits.max_inflight),
            receive_maximum: limits.max_inflight,
            queue: queue::Bounds {
                count: count(limits.max_queued),
                bytes: bytes(limits.max_queued_size),
                policy: limits.queue_policy,
            },
            replay: Pace { found: 64, waiting: 256 },
            queued_total: bytes(limits.max_queued_total_size),
            sessions: count(limits.max_sessions),
            session_expiry_s: u32::try_from(limits.max_session_expiry.as_secs())
                .unwrap_or(u32::MAX),
            topic_alias: limits.max_topic_alias,
            keep_alive_s: u16::try_from(limits.max_keepalive.as_secs())
                .ok()
                .and_then(NonZeroU16::new),
            outbox: bytes(limits.max_unread_size),
            owed: 1 << 12,
            levels: usize::from(limits.max_topic_levels),
            told_per_second: 5,
            held: 1 << 10,
            unfinished: (bytes(limits.max_queued_total_size) / 2)
                .max(bytes(limits.max_packet_size).saturating_mul(2)),
        }
    }
}
