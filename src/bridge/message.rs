//! What goes over the topics of the bridge, exactly as in `topics/bridge.toml`.

use serde::{Deserialize, Serialize};

use crate::contract;
use crate::service::Stamp;

/// `state/bridge/<name>`: whether the cloud is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct State {
    /// Whether the cloud is there.
    pub state: Link,
    /// Why it is not; or what is amiss although it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<contract::Error>,
    /// Since when `state` is what it is, RFC 3339 in UTC.
    pub since: String,
    /// The cloud's address.
    pub url: String,
    /// How full the queue to the cloud is.
    pub backlog: Backlog,
    /// When, in which boot, and which message.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// Whether the cloud is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// The session is open.
    Connected,
    /// The first attempt since the start is under way.
    Connecting,
    /// It is not there; attempts go on.
    Disconnected,
}

/// How full the queue to the cloud is. Changes are rare: a class is left only well below its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backlog {
    /// Less than half of what fits.
    Low,
    /// More than half.
    High,
    /// Nearly all; messages are or will soon be dropped.
    Full,
}

/// `metric/bridge/<name>`: what the bridge has carried since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Metric {
    /// The counters.
    #[serde(flatten)]
    pub counters: Counters,
    /// When, in which boot, and which message.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// Counters of one bridge.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Counters {
    /// Messages sent to the cloud, repetitions included.
    pub sent: u64,
    /// Their topics and payloads, in bytes.
    pub sent_bytes: u64,
    /// Messages of the cloud handed to the broker.
    pub received: u64,
    /// Their topics and payloads, in bytes.
    pub received_bytes: u64,
    /// Messages of the cloud that the broker refused.
    pub refused: u64,
    /// Messages of the cloud that no rule asked for.
    pub unasked: u64,
    /// Connections that were opened.
    pub connects: u64,
    /// Messages that wait for the cloud, those in flight included.
    pub queued: u64,
    /// Their topics and payloads with what keeping them costs, in bytes.
    pub queued_bytes: u64,
    /// Messages given up because the queue was full.
    pub dropped_full: u64,
    /// Messages given up because they had waited too long.
    pub dropped_expired: u64,
    /// Messages given up because the cloud refused them.
    pub dropped_refused: u64,
    /// Messages given up because the cloud takes none so large.
    pub dropped_too_large: u64,
    /// Messages given up because they broke three connections.
    pub dropped_poison: u64,
    /// QoS 0 messages that came while the cloud was away.
    pub dropped_offline: u64,
}
