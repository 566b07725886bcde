//! The section `bridges:` of the configuration: a list, one entry per cloud.

use std::path::PathBuf;
use std::time::Duration;

use crate::contract::Role;

/// One entry of `bridges:`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Names it on topics and in its principal `bridge:<name>`; unique.
    pub name: String,
    /// `mqtts://host[:8883]`, or `mqtt://host[:1883]` without TLS.
    pub url: String,
    /// PEM file with the authorities the cloud's certificate is checked against; the system's
    /// when absent.
    pub ca: Option<PathBuf>,
    /// PEM file with the client certificate and its chain; together with `key`.
    pub cert: Option<PathBuf>,
    /// PEM file with the client certificate's private key.
    pub key: Option<PathBuf>,
    /// User name for the cloud, where a certificate is not enough.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// First level(s) of the cloud's topics: `<prefix>/<gateway id>/<tail>`.
    pub prefix: String,
    /// What the cloud may do here; verbs of class danger need more, see `unsigned`.
    pub role: Role,
    /// Verbs of class danger the cloud may use without a signature: `system/reboot`, `network/*`.
    pub unsigned: Vec<String>,
    /// What waits for the cloud.
    pub queue: Queue,
    /// Longest silence before the cloud is asked for a sign of life; 5 s to 18 h.
    pub keepalive: Duration,
    /// Client id at the cloud; the gateway id when absent.
    pub client_id: Option<String>,
    /// Pauses between attempts to connect.
    pub backoff: Backoff,
    /// Whether the default rules stand (`defaults: off` drops them).
    pub defaults: bool,
    /// More rules.
    pub rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "cloud".into(),
            url: String::new(),
            ca: None,
            cert: None,
            key: None,
            username: None,
            password: None,
            prefix: "gw".into(),
            role: Role::Operator,
            unsigned: Vec::new(),
            queue: Queue::default(),
            keepalive: Duration::from_secs(60),
            client_id: None,
            backoff: Backoff::default(),
            defaults: true,
            rules: Vec::new(),
        }
    }
}

/// Bounds of what waits for the cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Bytes of topics and payloads.
    pub max_size: u64,
    /// Messages.
    pub max_count: u64,
    /// What waits longer is dropped, and counted.
    pub max_age: Duration,
    /// What gives way when it is full.
    pub policy: Policy,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            max_size: 4 << 20, // memory only so far: what a small box can spare
            max_count: 10_000,
            max_age: Duration::from_secs(7 * 86_400),
            policy: Policy::Oldest,
        }
    }
}

/// What is dropped when a queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// What waits longest.
    #[default]
    Oldest,
    /// What has just come.
    Newest,
}

/// Exponential, with full jitter: the pause is drawn from 0 to the current bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    /// The first bound.
    pub min: Duration,
    /// The last bound.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { min: Duration::from_secs(1), max: Duration::from_secs(120) }
    }
}

/// What is relayed, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which way.
    pub direction: Direction,
    /// A filter on the box, the whole topic: `maestro/state/#`, `sensors/#`.
    pub local: String,
    /// Takes the place of what stands before the first wildcard of `local`; the same without the
    /// root when absent. Below `<prefix>/<gateway id>/` unless `absolute`.
    pub remote: Option<String>,
    /// `remote` is the whole cloud topic.
    pub absolute: bool,
    /// What waits while the cloud is away.
    pub keep: Keep,
    /// 1 also queues what was published with QoS 0; 0 sends everything at most once.
    pub qos: Option<u8>,
}

/// Which way a rule relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the box to the cloud.
    Out,
    /// From the cloud to the box.
    In,
    /// Both ways; never with a filter that another rule overlaps.
    Both,
}

/// What waits of a topic while the cloud is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The latest message of each topic; retained at the other side.
    Latest,
    /// Every message, in order.
    #[default]
    Queue,
}
