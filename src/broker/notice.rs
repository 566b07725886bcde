//! What the broker itself says on the bus: `client/<id>`, `event/broker/<client>/refused`, `../dropped`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::Role;
use crate::service::Stamp;

/// A client with a chosen id, on `client/<id>`: retained in RAM, empty when its session has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Presence {
    /// Whether it is connected.
    pub state: Presences,
    /// Who it is.
    pub principal: String,
    /// What it may do.
    pub role: Role,
    /// The listener it came by: `unix`, `tcp`, `tls`, `ws`, `wss`.
    pub listener: String,
    /// The protocol level: 4 is MQTT 3.1.1, 5 is MQTT 5.0.
    pub protocol: u8,
    /// Since when, RFC 3339.
    pub since: String,
    /// When this was said.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// The states of presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presences {
    /// Connected.
    Online,
    /// Its session waits for it.
    Offline,
}

/// Something a client asked for and did not get, on `event/broker/<client>/refused`. `mosquitto_pub`
/// prints nothing by itself: this is where one looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Refused {
    /// Why, as a code of `$maestro/api/errors`.
    pub code: String,
    /// Why, for a person.
    pub message: String,
    /// The topic or filter it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Who asked; for a refused connection what the transport knew.
    pub principal: String,
    /// When this was said.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// Messages that a client did not get, on `event/broker/<client>/dropped`: at most once a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Dropped {
    /// Why.
    pub reason: Drop,
    /// How many since it was last told.
    pub count: u32,
    /// Whose messages; none for a shared subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// When this was said.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// Why a message did not reach a client.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Drop {
    /// `broker.limits.max_queued` of them waited already; what gives way says `queue_policy`.
    QueueFull,
    /// `broker.limits.max_queued_size` waited already, or the message alone is larger.
    QueueSize,
    /// `broker.limits.max_queued_total_size` waited for all sessions together, and most of it here.
    TotalSize,
    /// The message expired before it could be sent.
    Expired,
    /// It is larger than the client takes.
    TooLarge,
    /// The client's role may not read it any more.
    NotReadable,
    /// QoS 0, and the client did not take what was sent before, or no member of a shared subscription
    /// was there to.
    Slow,
}

impl Drop {
    /// All of them, in order.
    pub(crate) const ALL: [Drop; 7] = [
        Drop::QueueFull,
        Drop::QueueSize,
        Drop::TotalSize,
        Drop::Expired,
        Drop::TooLarge,
        Drop::NotReadable,
        Drop::Slow,
    ];
}

/// Arguments of `cmd/broker/disconnect`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DisconnectArgs {
    /// The client id.
    pub client: String,
}

/// Result of `cmd/broker/disconnect`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Disconnected {
    /// The client id.
    pub client: String,
}

/// What the broker has done since the daemon started, on `metric/broker`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Metric {
    /// Network connections now.
    pub clients: u64,
    /// Sessions now, the daemon's own included.
    pub sessions: u64,
    /// Retained messages now.
    pub retained: u64,
    /// Messages taken.
    pub published: u64,
    /// Messages sent.
    pub delivered: u64,
    /// Messages that found no room, expired in a queue, or may no longer be read.
    pub dropped: u64,
    /// The same by reason, as in `event/broker/<client>/dropped`; those that there were none of are not
    /// there. What of `dropped` is in none of them are measurements of the daemon's own that it did not
    /// come round to publish.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drops: BTreeMap<Drop, u64>,
    /// Publishes, subscriptions and connections refused.
    pub refused: u64,
    /// How often each of `broker.limits` was hit, by its key; those that never were are not there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
    /// When this was said.
    #[serde(flatten)]
    pub stamp: Stamp,
}
