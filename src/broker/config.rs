//! `broker:` in the configuration: where it listens, who may come, how much anyone may use.
//!
//! ```yaml
//! broker:
//!   listeners:
//!     - unix: /run/maestro/mqtt.sock
//!     - tcp: 127.0.0.1:1883
//!       max_role: app
//!     - {tls: '0.0.0.0:8883', cert: server.pem, key: server.key, client_ca: ca.pem}
//!   users: /etc/maestro/users
//!   certificates: [{subject: GW-0001, role: operator}]
//!   acl:
//!     - {principal: user:bob, allow: read, filter: maestro/log/#}
//!     - {role: app, deny: write, filter: sensors/#}
//!   limits: {max_packet_size: 1MiB, max_connections: 1000}
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::acl::{Access, Effect, Rule, Who};
use super::door::config::all_listeners;
pub use super::door::config::{Address, CertificateRule, Listener, Shown, Tls, Web};
use crate::config::{Decode, Reader, Size, Span};
use crate::topic;

/// The broker's section.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where it listens, in the order of the file.
    pub listeners: Vec<Listener>,
    /// The password file; need not exist.
    pub users: Option<PathBuf>,
    /// What a client's certificate makes of it; the first that fits holds.
    pub certificates: Vec<CertificateRule>,
    /// Rules beyond the roles.
    pub acl: Vec<Rule>,
    /// What nobody may exceed.
    pub limits: Limits,
}

/// What nobody may exceed, so that no client can stop the daemon or another client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// MQTT 5 §3.2.2.3.6 Maximum Packet Size, bytes, after CONNECT.
    pub max_packet_size: Size,
    /// Bytes of the first packet, before anyone is known.
    pub max_connect_size: Size,
    /// From accept to a whole CONNECT; where TLS or a request for a WebSocket comes first, that has as
    /// long before.
    pub connect_timeout: Duration,
    /// Connections in all. Root and the daemon's own user have a few more over the Unix socket; so it is
    /// with `max_connections_per_uid` and `max_sessions`.
    pub max_connections: u32,
    /// Connections of one uid; where none is known, of one address (IPv6: one /64; loopback is one).
    pub max_connections_per_uid: u32,
    /// Subscriptions of one session.
    pub max_subscriptions: u32,
    /// What the filters of all clients may take up; a quarter of it those of one principal.
    pub max_subscriptions_size: Size,
    /// Retained messages in all.
    pub max_retained: u32,
    /// Bytes of retained messages in all.
    pub max_retained_size: Size,
    /// MQTT 5 §3.2.2.3.3 Receive Maximum: unacknowledged QoS 1 and 2 publishes, each way.
    pub max_inflight: u16,
    /// Messages waiting for one session.
    pub max_queued: u32,
    /// Bytes waiting for one session.
    pub max_queued_size: Size,
    /// Bytes waiting for all sessions together; a message that waits for several counts for each. Of the
    /// heaviest queue a message gives way. At most as much again has been sent and not acknowledged, or
    /// not taken: from half of it on each connection has an even share of that half. Where the file says nothing it is twice `max_queued_size`, and not less than 64 MiB.
    pub max_queued_total_size: Size,
    /// Bytes written for one connection that it has not taken: with more it gets no QoS 0, and the rest
    /// waits in its queue.
    pub max_unread_size: Size,
    /// What gives way when one of these is full.
    pub queue_policy: QueuePolicy,
    /// Sessions of clients in all, connected or not; the daemon's own do not count.
    pub max_sessions: u32,
    /// MQTT 5 §3.1.2.11.2: a session that nobody resumes is forgotten after at most this.
    pub max_session_expiry: Duration,
    /// Levels of a topic filter.
    pub max_topic_levels: u16,
    /// MQTT 5 §3.2.2.3.8 Topic Alias Maximum, of one connection.
    pub max_topic_alias: u16,
    /// MQTT 5 §3.2.2.3.14 Server Keep Alive: an MQTT 5 client that asks for a longer one, or for none,
    /// gets this. Zero is no limit.
    pub max_keepalive: Duration,
}

/// What gives way when a queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueuePolicy {
    /// The oldest message leaves.
    #[default]
    Oldest,
    /// The new message does not enter.
    Newest,
    /// The publisher is refused before anyone gets the message. What cannot be refused, the daemon's
    /// own words and wills, does not enter.
    Refuse,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_packet_size: Size(1 << 20),
            max_connect_size: Size(16 << 10), // client id, will and password, with room to spare
            connect_timeout: Duration::from_secs(10),
            max_connections: 1000,
            max_connections_per_uid: 500,
            max_subscriptions: 1000,
            max_subscriptions_size: Size(16 << 20), // 30 000 of an ordinary kind
            max_retained: 20_000,
            max_retained_size: Size(16 << 20),
            max_inflight: 100,
            max_queued: 10_000,
            max_queued_size: Size(32 << 20), // 10 000 of 2 KB weigh 22 MB
            max_queued_total_size: Size(64 << 20), // two full queues; a hog's is all that gives way
            max_unread_size: Size(1 << 20),
            queue_policy: QueuePolicy::Oldest,
            max_sessions: 1000,
            max_session_expiry: 30 * DAY,
            max_topic_levels: 128,
            max_topic_alias: 16,
            max_keepalive: Duration::ZERO,
        }
    }
}

impl Config {
    /// What holds without a file: one Unix socket, MQTT's port on loopback.
    pub fn new(socket: PathBuf, users: Option<PathBuf>) -> Config {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 1883));
        Config {
            listeners: vec![Listener::unix(socket), Listener::tcp(loopback)],
            users,
            certificates: Vec::new(),
            acl: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Reads the section over its defaults.
    pub fn decode(from: &Reader<'_>, default: Config) -> Option<Config> {
        let mut fields = from.fields()?;
        let listeners = match fields.take("listeners") {
            Some(list) => Some(all_listeners(&list)?),
            None => None,
        };
        let config = Config {
            listeners: listeners.unwrap_or(default.listeners),
            users: fields.optional("users").or(default.users),
            certificates: fields.or("certificates", default.certificates),
            acl: fields.or("acl", default.acl),
            limits: fields.or("limits", default.limits),
        };
        fields.end();
        Some(config)
    }
}

impl Decode for Rule {
    fn decode(from: &Reader<'_>) -> Option<Rule> {
        let mut fields = from.fields()?;
        let principal = fields.optional("principal").map(Who::Principal);
        let role = fields.optional("role").map(Who::Role);
        let allow = fields.optional("allow").map(|access| (Effect::Allow, access));
        let deny = fields.optional("deny").map(|access| (Effect::Deny, access));
        let filter: Option<String> = fields.required("filter");
        fields.end();
        if filter.as_deref().is_some_and(|filter| !topic::is_filter(filter)) {
            from.error("`filter` is not a topic filter");
            return None;
        }
        let (who, (effect, access)) = match (principal, role, allow, deny) {
            (Some(who), None, Some(what), None)
            | (Some(who), None, None, Some(what))
            | (None, Some(who), Some(what), None)
            | (None, Some(who), None, Some(what)) => (who, what),
            _ => {
                let told = "a rule names one of principal, role and one of allow, deny";
                from.error_with_hint(told, "{role: app, deny: write, filter: sensors/#}");
                return None;
            }
        };
        Some(Rule { who, effect, access, filter: filter? })
    }
}

impl Decode for Access {
    fn decode(from: &Reader<'_>) -> Option<Access> {
        from.word(&[("read", Access::Read), ("write", Access::Write)])
    }
}

impl Decode for QueuePolicy {
    fn decode(from: &Reader<'_>) -> Option<QueuePolicy> {
        use QueuePolicy::{Newest, Oldest, Refuse};
        from.word(&[("oldest", Oldest), ("newest", Newest), ("refuse", Refuse)])
    }
}

impl Decode for Limits {
    fn decode(from: &Reader<'_>) -> Option<Limits> {
        const KIB: u64 = 1 << 10;
        const GIB: u64 = 1 << 30;
        let size = |low, high| Size(low)..=Size(high);
        let mut f = from.fields()?;
        let span = |f: &mut crate::config::Fields<'_>, key, low, high, default: Duration| {
            f.within(key, Span(low)..=Span(high), Span(default)).0
        };
        let d = Limits::default();
        let (none, second) = (Duration::ZERO, Duration::from_secs(1));
        let longest_keepalive = Duration::from_secs(65_535);
        let max_queued_size = f.within("max_queued_size", size(KIB, 4 * GIB), d.max_queued_size);
        let limits = Limits {
            // 256 MiB - 1 is the largest remaining length that MQTT can say (§2.1.4)
            max_packet_size: f.within("max_packet_size", size(KIB, GIB / 4), d.max_packet_size),
            max_connect_size: f.within("max_connect_size", size(256, GIB / 4), d.max_connect_size),
            connect_timeout: span(&mut f, "connect_timeout", second, DAY, d.connect_timeout),
            max_connections: f.within("max_connections", 1..=1_000_000, d.max_connections),
            max_connections_per_uid: f.within(
                "max_connections_per_uid",
                1..=1_000_000,
                d.max_connections_per_uid,
            ),
            max_subscriptions: f.within("max_subscriptions", 1..=1_000_000, d.max_subscriptions),
            max_subscriptions_size: f.within(
                "max_subscriptions_size",
                size(64 * KIB, GIB),
                d.max_subscriptions_size,
            ),
            max_retained: f.within("max_retained", 1000..=10_000_000, d.max_retained),
            max_retained_size: f.within(
                "max_retained_size",
                size(KIB * KIB, 4 * GIB),
                d.max_retained_size,
            ),
            max_inflight: f.within("max_inflight", 1..=65_535, d.max_inflight),
            max_queued: f.within("max_queued", 1..=10_000_000, d.max_queued),
            max_queued_size,
            max_queued_total_size: f.within(
                "max_queued_total_size",
                size(64 * KIB, 64 * GIB),
                Size(d.max_queued_total_size.0.max(2 * max_queued_size.0)),
            ),
            max_unread_size: f.within("max_unread_size", size(4 * KIB, GIB), d.max_unread_size),
            queue_policy: f.or("queue_policy", d.queue_policy),
            max_sessions: f.within("max_sessions", 1..=1_000_000, d.max_sessions),
            max_session_expiry: span(
                &mut f,
                "max_session_expiry",
                none,
                49_000 * DAY,
                d.max_session_expiry,
            ),
            // matching goes as deep: deeper ones could leave no stack
            max_topic_levels: f.within("max_topic_levels", 1..=1000, d.max_topic_levels),
            max_topic_alias: f.within("max_topic_alias", 0..=65_535, d.max_topic_alias),
            max_keepalive: span(&mut f, "max_keepalive", none, longest_keepalive, d.max_keepalive),
        };
        f.end();
        Some(limits)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::problems_of;

    /// What is wrong with a `broker:` section, without its places.
    fn told(yaml: &str) -> Vec<String> {
        let indented: String = yaml.lines().map(|line| format!("  {line}\n")).collect();
        let problems = problems_of(&format!("broker:\n{indented}"));
        problems.iter().map(|p| format!("{:?} {} {}", p.severity, p.path, p.message)).collect()
    }

    #[test]
    fn a_rule_names_whom_what_and_where() {
        let rule = "principal: 'user:bob', allow: read, filter: 'a/#'";
        assert_eq!(told(&format!("acl: [{{{rule}}}]")), [""; 0]);
        for wrong in [
            "allow: read, filter: a",
            "role: app, filter: a",
            "role: app, principal: x, allow: read, filter: a",
            "role: app, allow: read, deny: write, filter: a",
            "role: app, allow: read, filter: 'a/#/b'",
            "role: app, allow: read",
            "role: app, allow: everything, filter: a",
        ] {
            assert!(!told(&format!("acl: [{{{wrong}}}]")).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn limits_have_limits() {
        assert_eq!(
            told("limits: {max_packet_size: 1GiB, max_inflight: 0, max_topic_alias: 0}"),
            [
                "Error /broker/limits/max_packet_size 1GiB is out of range: 1KiB to 256MiB",
                "Error /broker/limits/max_inflight 0 is out of range: 1 to 65535",
            ]
        );
    }
}
