//! The topics of the daemon, typed: the table of classes as one enum.

use std::borrow::Cow;
use std::fmt;

use super::{Root, decode, encode};

/// A topic of the daemon. Names are as their owner spells them; printing encodes, parsing decodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is its topic; the fields are its levels")]
pub enum Topic<'t> {
    /// `info`
    Info,
    /// `status`
    Status,
    /// `status/<subsystem>`
    SubsystemStatus { subsystem: Cow<'t, str> },
    /// `state/<subsystem>/<object>`
    State { subsystem: Cow<'t, str>, object: Cow<'t, str> },
    /// `desired/<subsystem>/<object>`
    Desired { subsystem: Cow<'t, str>, object: Cow<'t, str> },
    /// `cmd/<subsystem>/<verb>`
    Cmd { subsystem: Cow<'t, str>, verb: Cow<'t, str> },
    /// `reply/<subsystem>/<verb>`
    Reply { subsystem: Cow<'t, str>, verb: Cow<'t, str> },
    /// `task/<id>`
    Task { id: Cow<'t, str> },
    /// `event/<subsystem>/<object>/<type>`
    Event { subsystem: Cow<'t, str>, object: Cow<'t, str>, kind: Cow<'t, str> },
    /// `log/<severity>/<source>`
    Log { severity: Cow<'t, str>, source: Cow<'t, str> },
    /// `metric/<family>[/<instance>]`
    Metric { family: Cow<'t, str>, instance: Option<Cow<'t, str>> },
    /// `client/<id>`
    Client { id: Cow<'t, str> },
    /// `app/<name>/<rest>`; the rest is the app's and stays as it is.
    App { name: Cow<'t, str>, rest: Cow<'t, str> },
    /// `$maestro/api/asyncapi`
    ApiDocument,
    /// `$maestro/api/errors`
    ApiErrors,
    /// `$maestro/api/schema/<type>`
    ApiSchema { name: Cow<'t, str> },
    /// `$maestro/batch/<subsystem>/<name>`
    Batch { subsystem: Cow<'t, str>, name: Cow<'t, str> },
}

impl<'t> Topic<'t> {
    /// The topic as it stands on the bus.
    pub fn on(&self, root: &Root) -> String {
        if self.is_absolute() { self.to_string() } else { root.join(&self.to_string()) }
    }

    /// A whole topic, if it is one of the daemon's.
    pub fn parse(root: &Root, topic: &'t str) -> Option<Topic<'t>> {
        match topic.strip_prefix("$maestro/") {
            Some(rest) => Topic::of_dollar(rest),
            None => Topic::of_tail(root.tail(topic)?),
        }
    }

    /// A topic by its tail below the root.
    pub fn of_tail(tail: &'t str) -> Option<Topic<'t>> {
        if let Some((name, rest)) = tail.strip_prefix("app/").and_then(|app| app.split_once('/')) {
            return Some(Topic::App { name: decode(name)?, rest: rest.into() });
        }
        let mut levels = tail.split('/');
        let levels = [(); 5].map(|()| levels.next());
        let (class, names) = (levels[0]?, [levels[1], levels[2], levels[3]]);
        if levels[4].is_some() {
            return None;
        }
        Some(match (class, names) {
            ("info", [None, ..]) => Topic::Info,
            ("status", [None, ..]) => Topic::Status,
            ("status", [Some(s), None, _]) => Topic::SubsystemStatus { subsystem: decode(s)? },
            ("state", [Some(s), Some(o), None]) => {
                Topic::State { subsystem: decode(s)?, object: decode(o)? }
            }
            ("desired", [Some(s), Some(o), None]) => {
                Topic::Desired { subsystem: decode(s)?, object: decode(o)? }
            }
            ("cmd", [Some(s), Some(v), None]) => {
                Topic::Cmd { subsystem: decode(s)?, verb: decode(v)? }
            }
            ("reply", [Some(s), Some(v), None]) => {
                Topic::Reply { subsystem: decode(s)?, verb: decode(v)? }
            }
            ("task", [Some(id), None, _]) => Topic::Task { id: decode(id)? },
            ("event", [Some(s), Some(o), Some(k)]) => {
                Topic::Event { subsystem: decode(s)?, object: decode(o)?, kind: decode(k)? }
            }
            ("log", [Some(s), Some(source), None]) => {
                Topic::Log { severity: decode(s)?, source: decode(source)? }
            }
            ("metric", [Some(f), None, _]) => Topic::Metric { family: decode(f)?, instance: None },
            ("metric", [Some(f), Some(i), None]) => {
                Topic::Metric { family: decode(f)?, instance: Some(decode(i)?) }
            }
            ("client", [Some(id), None, _]) => Topic::Client { id: decode(id)? },
            _ => return None,
        })
    }

    fn of_dollar(rest: &'t str) -> Option<Topic<'t>> {
        match rest {
            "api/asyncapi" => return Some(Topic::ApiDocument),
            "api/errors" => return Some(Topic::ApiErrors),
            _ => {}
        }
        if let Some(name) = rest.strip_prefix("api/schema/") {
            return Some(Topic::ApiSchema { name: decode(name)? });
        }
        let (subsystem, name) = rest.strip_prefix("batch/")?.split_once('/')?;
        Some(Topic::Batch { subsystem: decode(subsystem)?, name: decode(name)? })
    }

    fn is_absolute(&self) -> bool {
        matches!(
            self,
            Topic::ApiDocument | Topic::ApiErrors | Topic::ApiSchema { .. } | Topic::Batch { .. }
        )
    }
}

/// The tail below the root, or the whole topic where it begins with `$`.
impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut print = |class: &str, names: &[&str]| {
            f.write_str(class)?;
            names.iter().try_for_each(|name| write!(f, "/{}", encode(name)))
        };
        match self {
            Topic::Info => print("info", &[]),
            Topic::Status => print("status", &[]),
            Topic::SubsystemStatus { subsystem } => print("status", &[subsystem]),
            Topic::State { subsystem, object } => print("state", &[subsystem, object]),
            Topic::Desired { subsystem, object } => print("desired", &[subsystem, object]),
            Topic::Cmd { subsystem, verb } => print("cmd", &[subsystem, verb]),
            Topic::Reply { subsystem, verb } => print("reply", &[subsystem, verb]),
            Topic::Task { id } => print("task", &[id]),
            Topic::Event { subsystem, object, kind } => print("event", &[subsystem, object, kind]),
            Topic::Log { severity, source } => print("log", &[severity, source]),
            Topic::Metric { family, instance: None } => print("metric", &[family]),
            Topic::Metric { family, instance: Some(instance) } => {
                print("metric", &[family, instance])
            }
            Topic::Client { id } => print("client", &[id]),
            Topic::App { name, rest } => write!(f, "app/{}/{rest}", encode(name)),
            Topic::ApiDocument => f.write_str("$maestro/api/asyncapi"),
            Topic::ApiErrors => f.write_str("$maestro/api/errors"),
            Topic::ApiSchema { name } => print("$maestro/api/schema", &[name]),
            Topic::Batch { subsystem, name } => print("$maestro/batch", &[subsystem, name]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_topic_prints_as_it_was_read() {
        let root = Root::default();
        for topic in [
            "maestro/info",
            "maestro/status",
            "maestro/status/stats",
            "maestro/state/network/eth0.100",
            "maestro/desired/jobs/thermo%201",
            "maestro/cmd/system/reboot",
            "maestro/reply/system/reboot",
            "maestro/task/01JD9Z6Y4M9Q3T8V5W7X2B1C0D",
            "maestro/event/broker/a%2Fb/refused",
            "maestro/log/warning/sshd",
            "maestro/metric/memory",
            "maestro/metric/disk/sda",
            "maestro/client/%C3%A9",
            "maestro/app/thermo/state/hall/1",
            "$maestro/api/asyncapi",
            "$maestro/api/errors",
            "$maestro/api/schema/stats.Memory",
            "$maestro/batch/stats/main",
        ] {
            let parsed = Topic::parse(&root, topic).unwrap_or_else(|| panic!("{topic}"));
            assert_eq!(parsed.on(&root), topic);
        }
    }

    #[test]
    fn a_topic_of_no_class_is_none_of_the_daemons() {
        let root = Root::default();
        for topic in [
            "maestro",
            "maestro/",
            "maestro/info/x",
            "maestro/state/stats",
            "maestro/state/stats/a/b",
            "maestro/cmd/system",
            "maestro/metric",
            "maestro/metric/a/b/c",
            "maestro/app/thermo",
            "maestro/$maestro/api/errors",
            "maestro/state//x",
            "maestro/state/a b/x",
            "$maestro/api",
            "$maestro/batch/stats/a/b",
            "sensors/hall",
        ] {
            assert_eq!(Topic::parse(&root, topic), None, "{topic}");
        }
    }

    proptest! {
        #[test]
        fn any_name_makes_a_topic_that_is_read_back(object in ".{0,8}", kind in ".{1,8}") {
            let root = Root::new("gw/1");
            let topic = Topic::Event {
                subsystem: "jobs".into(), object: object.as_str().into(), kind: kind.as_str().into(),
            };
            let text = topic.on(&root);
            prop_assert_eq!(Topic::parse(&root, &text), Some(topic));
        }
    }
}
