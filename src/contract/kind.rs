//! The classes of topics: the first level says who writes, who reads, and how it is kept.
//!
//! | first level | kept | QoS | read by | carried by a bridge |
//! |---|---|---|---|---|
//! | `info`, `status`, `state` | yes | 1 | observer | out, latest |
//! | `desired` | yes | 1 | operator | in |
//! | `cmd` | never | 1 | operator | in |
//! | `reply` | no | 1 | its requester, operator | out, queue (own) |
//! | `task` | yes | 1 | its requester, operator | out, latest (own) |
//! | `event` | no | 1 | observer | out, queue |
//! | `log` | no | 0 | operator | no |
//! | `metric` | no | 0 | observer | no (batched) |
//! | `client` | yes | 1 | observer | no |
//! | `app` | the app's choice | | see `broker::acl` | some |
//! | `$maestro/api` | yes | 1 | observer | no |
//! | `$maestro/batch` | no | 1 | operator | out, queue |
//! | `$SYS` | yes | 0 | observer | no |

use super::Role;
use crate::bus::Qos;

/// The class of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who this box is.
    Info,
    /// How the box or a subsystem is.
    Status,
    /// Current truth, one document per object.
    State,
    /// Wanted truth.
    Desired,
    /// A command.
    Cmd,
    /// The answer to a command.
    Reply,
    /// The record of a command.
    Task,
    /// Something happened.
    Event,
    /// A live log line.
    Log,
    /// A measurement.
    Metric,
    /// Presence of a client.
    Client,
    /// An app's own.
    App,
    /// The description of the bus.
    Api,
    /// A batch made for a bridge.
    Batch,
    /// The broker's figures under the name MQTT brokers use.
    Sys,
}

/// Whether the messages of a class are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Always retained.
    Always,
    /// Not retained.
    No,
    /// The publisher decides.
    Publisher,
}

/// What a bridge with default rules does with a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bridged {
    /// Stays on the box.
    No,
    /// Goes out; a newer one replaces a waiting one.
    Latest,
    /// Goes out; every one.
    Queue,
    /// Comes in.
    In,
}

/// One row of the table above.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The class.
    pub kind: Kind,
    /// Its first level (or levels, below `$maestro`).
    pub prefix: &'static str,
    /// Retained or not.
    pub kept: Kept,
    /// The quality the daemon publishes with.
    pub qos: Qos,
    /// The least role that reads all of it; `cmd`, `reply`, `task` and `app` are finer, see `broker::acl`.
    pub reader: Role,
    /// The default of a bridge.
    pub bridged: Bridged,
}

const fn row(
    kind: Kind,
    prefix: &'static str,
    kept: Kept,
    qos: Qos,
    rest: (Role, Bridged),
) -> Rules {
    Rules { kind, prefix, kept, qos, reader: rest.0, bridged: rest.1 }
}

/// The table, in the order of [`Kind`].
pub static KINDS: [Rules; 15] = {
    use Kept::{Always, No, Publisher};
    use Qos::{AtLeastOnce as Q1, AtMostOnce as Q0};
    use Role::{Observer, Operator};
    [
        row(Kind::Info, "info", Always, Q1, (Observer, Bridged::Latest)),
        row(Kind::Status, "status", Always, Q1, (Observer, Bridged::Latest)),
        row(Kind::State, "state", Always, Q1, (Observer, Bridged::Latest)),
        row(Kind::Desired, "desired", Always, Q1, (Operator, Bridged::In)),
        row(Kind::Cmd, "cmd", No, Q1, (Operator, Bridged::In)),
        row(Kind::Reply, "reply", No, Q1, (Operator, Bridged::Queue)),
        row(Kind::Task, "task", Always, Q1, (Operator, Bridged::Latest)),
        row(Kind::Event, "event", No, Q1, (Observer, Bridged::Queue)),
        row(Kind::Log, "log", No, Q0, (Operator, Bridged::No)),
        row(Kind::Metric, "metric", No, Q0, (Observer, Bridged::No)),
        row(Kind::Client, "client", Always, Q1, (Observer, Bridged::No)),
        row(Kind::App, "app", Publisher, Q1, (Operator, Bridged::No)),
        row(Kind::Api, "$maestro/api", Always, Q1, (Observer, Bridged::No)),
        row(Kind::Batch, "$maestro/batch", No, Q1, (Operator, Bridged::Queue)),
        row(Kind::Sys, "$SYS", Always, Q0, (Observer, Bridged::No)),
    ]
};

impl Kind {
    /// The rules of the class.
    pub fn rules(self) -> &'static Rules {
        &KINDS[self as usize]
    }

    /// The class of a tail below the root by its first level: `state/stats/memory` is a
    /// [`Kind::State`]. Nothing below the root is [`Kind::Api`], [`Kind::Batch`] or [`Kind::Sys`].
    pub fn of_tail(tail: &str) -> Option<Kind> {
        let word = tail.split('/').next().unwrap_or_default();
        KINDS.iter().find(|row| row.prefix == word && !row.kind.is_absolute()).map(|row| row.kind)
    }

    /// The class of a topic that is not below the root but the daemon's all the same.
    pub fn of_absolute(topic: &str) -> Option<Kind> {
        if !topic.starts_with('$') {
            return None;
        }
        KINDS
            .iter()
            .find(|row| row.kind.is_absolute() && below(topic, row.prefix))
            .map(|row| row.kind)
    }

    /// Whether its topics stand beside the root (`$maestro/..`, `$SYS/..`), not below it.
    pub fn is_absolute(self) -> bool {
        matches!(self, Kind::Api | Kind::Batch | Kind::Sys)
    }
}

fn below(topic: &str, prefix: &str) -> bool {
    topic.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_kinds() {
        for (index, row) in KINDS.iter().enumerate() {
            assert_eq!(row.kind as usize, index);
            let found = if row.kind.is_absolute() {
                Kind::of_absolute(&format!("{}/x", row.prefix))
            } else {
                Kind::of_tail(&format!("{}/x", row.prefix))
            };
            assert_eq!(found, Some(row.kind));
        }
    }

    #[test]
    fn a_topic_of_the_daemon_beside_the_root_is_not_one_below_it() {
        assert_eq!(Kind::of_tail("$SYS/broker/uptime"), None);
        assert_eq!(Kind::of_absolute("state/stats/memory"), None);
        assert_eq!(Kind::of_absolute("$SYSTEM/x"), None);
        assert_eq!(Kind::of_absolute("$maestro/other"), None);
    }
}
