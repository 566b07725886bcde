//! Who may publish, read and subscribe to what. Pure; the table of rights is derived from the
//! contract, so that a new topic or verb has its rights the day it is written.
//!
//! | place | written by | read by |
//! |---|---|---|
//! | `info status state event metric client`, `$maestro/api`, `$SYS` | daemon | observer |
//! | `reply task` | daemon | the requester, operator |
//! | `log`, `$maestro/batch` | daemon | operator |
//! | `desired` | operator | operator |
//! | `cmd/<subsystem>/<verb>` | the verb's least role; a dry run: observer | operator |
//! | `app/<own>/..` | that app | that app, operator |
//! | `app/<other>/{state,event,metric}/..` | | app |
//! | `app/<other>/cmd/..` | operator | operator |
//! | outside the root | app | app |
//!
//! A topic may ask for another reader in `topics/*.toml`. What a message's `audience` names is read
//! by that principal whatever its role. `broker.acl` takes away, or gives up to the listener's
//! `max_role`, but never the daemon's own classes.

mod place;
mod rule;
#[cfg(test)]
mod tests;

pub use rule::{Access, Effect, Rule, Who};

use super::Principal;
use crate::contract::{self, Class, KINDS, Kind, Role, TopicSpec, Verb};
use crate::topic::{self, Root};
use place::Place;

/// Why something is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Dotted code of the contract.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

/// What of a publish is judged.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'p> {
    /// The whole topic.
    pub topic: &'p str,
    /// Its retain flag.
    pub retain: bool,
    /// Its payload; it decides only whether a command is a dry run.
    pub payload: &'p [u8],
}

/// The rights of every principal.
#[derive(Clone, Debug)]
pub struct Acl {
    root: Root,
    rules: Vec<Rule>,
    /// The topics that ask for another reader than their class.
    finer: Vec<&'static TopicSpec>,
}

/// What it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Right {
    /// The least role.
    least: Role,
    /// Whether the role is enough; otherwise a rule must allow it, and this is the least `max_role`.
    by_role: bool,
}

/// A dry run is looked for in the payload of a command only up to this size.
const LONGEST_DRY_RUN_BYTES: usize = 64 << 10;

impl Default for Acl {
    fn default() -> Acl {
        Acl::new(Root::default(), Vec::new())
    }
}

impl Acl {
    /// The default rights below `root`, and the rules of the configuration.
    pub fn new(root: Root, rules: Vec<Rule>) -> Acl {
        let finer = contract::topics().iter().filter(|spec| spec.role != spec.kind.rules().reader);
        Acl { root, rules, finer: finer.collect() }
    }

    /// Whether a publish is taken.
    ///
    /// # Errors
    /// `broker.not_authorized`, `topic.unknown`, `command.retained`, `command.unknown_verb`,
    /// `command.unsigned`, `desired.unknown_object`.
    pub fn may_publish(&self, who: &Principal, what: &Publish<'_>) -> Result<(), Denied> {
        let place = Place::of(&self.root, what.topic);
        if who.is_daemon() && !matches!(place, Place::Class(Kind::Cmd, _)) {
            return Ok(());
        }
        let right = self.writer(who, what, place)?;
        if !who.is_daemon() && !rule::allows(&self.rules, who, what.topic, Access::Write, right) {
            return Err(refused(who, what.topic, right));
        }
        if matches!(place, Place::Class(Kind::Desired, _)) {
            let message = format!("no subsystem takes a document on {}", shown(what.topic));
            return Err(Denied { code: "desired.unknown_object", message });
        }
        Ok(())
    }

    /// Whether a will is taken; asked at CONNECT and when it fires.
    ///
    /// # Errors
    /// As [`Acl::may_publish`]; `broker.will_topic` for `cmd/#`.
    pub fn may_will(&self, who: &Principal, what: &Publish<'_>) -> Result<(), Denied> {
        if is_for_commands(Place::of(&self.root, what.topic)) {
            let message = format!("a will cannot be a command: {}", shown(what.topic));
            return Err(Denied { code: "broker.will_topic", message });
        }
        self.may_publish(who, what)
    }

    /// Whether a message may be delivered, asked at delivery. `audience` is the message's: that
    /// principal reads it whatever its role. Does not allocate.
    pub fn may_read(&self, who: &Principal, topic: &str, audience: Option<&str>) -> bool {
        if who.is_daemon() || audience == Some(who.name.as_str()) {
            return true;
        }
        self.reader(who, topic)
            .is_some_and(|right| rule::allows(&self.rules, who, topic, Access::Read, right))
    }

    /// Whether anything under a filter (of `$share/<group>/<filter>`, the inner one) can be read; if
    /// not, the subscription is refused.
    pub fn filter_readable(&self, who: &Principal, filter: &str) -> bool {
        let filter = topic::Shared::inner(filter);
        if who.is_daemon() {
            return true;
        }
        !rule::denies_all(&self.rules, who, filter)
            && (self.readable_by_role(who, filter) || rule::allows_some(&self.rules, who, filter))
    }

    /// Whether an answer may go to this response topic: one the requester may publish to itself, and
    /// never a place for commands or wanted state.
    pub fn may_respond(&self, who: &Principal, response_topic: &str) -> bool {
        let place = Place::of(&self.root, response_topic);
        let what = Publish { topic: response_topic, retain: false, payload: b"" };
        topic::is_name(response_topic)
            && !is_for_commands(place)
            && !matches!(place, Place::Class(Kind::Desired, _))
            && self.may_publish(who, &what).is_ok()
    }

    /// What it takes to publish here; an error is what no role and no rule changes.
    fn writer(
        &self,
        who: &Principal,
        what: &Publish<'_>,
        place: Place<'_>,
    ) -> Result<Right, Denied> {
        let least = match place {
            Place::Class(Kind::Cmd, tail) => command(who, what, tail)?,
            Place::Class(Kind::Desired, _) => Role::Operator,
            Place::Class(_, _) | Place::Beside(_) => {
                let message = format!("only the daemon publishes to {}", shown(what.topic));
                return Err(Denied { code: "broker.not_authorized", message });
            }
            Place::Nowhere => return Err(self.unknown(what.topic)),
            Place::App { .. } if place.is_own(who.app.as_deref()) => Role::App,
            Place::App { .. } => {
                return Ok(Right { least: Role::Operator, by_role: is_for_commands(place) });
            }
            Place::Outside => Role::App,
        };
        Ok(Right { least, by_role: true })
    }

    /// What it takes to read this; `None` if nobody does.
    fn reader(&self, who: &Principal, topic: &str) -> Option<Right> {
        let place = Place::of(&self.root, topic);
        let least = match place {
            Place::Class(kind, tail) => self.class_reader(kind, tail),
            Place::Beside(kind) => self.class_reader(kind, topic),
            Place::App { .. } if place.is_own(who.app.as_deref()) => Role::App,
            Place::App { rest, .. } if is_for_all(rest) => Role::App,
            Place::App { .. } => Role::Operator,
            Place::Outside => Role::App,
            Place::Nowhere => return None,
        };
        Some(Right { least, by_role: true })
    }

    fn class_reader(&self, kind: Kind, topic: &str) -> Role {
        let finer = self.finer.iter().find(|spec| spec.kind == kind && spec.matches(topic));
        finer.map_or(kind.rules().reader, |spec| spec.role)
    }

    fn readable_by_role(&self, who: &Principal, filter: &str) -> bool {
        let under = |place: &str| topic::overlaps(filter, &self.root.join(place));
        let classes = KINDS.iter().filter(|row| row.kind != Kind::App).any(|row| {
            let region = format!("{}/#", row.prefix);
            // replies, records and refusals reach their requester whatever its role
            let own = matches!(row.kind, Kind::Reply | Kind::Task);
            (own || who.role >= row.reader)
                && if row.kind.is_absolute() {
                    topic::overlaps(filter, &region)
                } else {
                    under(&region)
                }
        });
        let app = who.role >= Role::App && {
            let own = who.app.as_ref().map(|app| format!("app/{}/#", topic::encode(app)));
            own.is_some_and(|own| under(&own))
                || ["state", "event", "metric"].iter().any(|c| under(&format!("app/+/{c}/#")))
                || self.reaches_outside(filter)
        };
        classes || app || who.role >= Role::Operator && under("app/+/#")
    }

    /// Whether a topic outside the root can match.
    fn reaches_outside(&self, filter: &str) -> bool {
        let mut levels = filter.split('/');
        !filter.starts_with('$')
            && self.root.as_str().split('/').any(|word| levels.next() != Some(word))
    }

    fn unknown(&self, topic: &str) -> Denied {
        let classes = KINDS.iter().filter(|row| !row.kind.is_absolute()).map(|row| row.prefix);
        let word =
            self.root.tail(topic).and_then(|tail| tail.split('/').next()).unwrap_or_default();
        let meant = contract::nearest(word, classes)
            .filter(|class| *class != word)
            .map_or(String::new(), |class| format!("; did you mean `{}`?", self.root.join(class)));
        let message = format!("there is no topic {}{meant}", shown(topic));
        Denied { code: "topic.unknown", message }
    }
}

/// The least role for a command.
fn command(who: &Principal, what: &Publish<'_>, tail: &str) -> Result<Role, Denied> {
    if what.retain {
        let message = "a command must not be retained: it would repeat at every start".to_string();
        return Err(Denied { code: "command.retained", message });
    }
    let name = tail.strip_prefix("cmd/").unwrap_or_default();
    let (subsystem, word) = name.split_once('/').unwrap_or((name, ""));
    let Some(verb) = contract::verb(subsystem, word) else {
        let meant = contract::nearest_verb(subsystem, word)
            .map_or(String::new(), |verb| format!("; did you mean `{verb}`?"));
        let message = format!("there is no verb {}{meant}", shown(name));
        return Err(Denied { code: "command.unknown_verb", message });
    };
    if is_dry_run(who, verb, what.payload) {
        return Ok(Role::Observer);
    }
    match &who.bridge {
        Some(bridge) if verb.class == Class::Danger => {
            if bridge.lifts(name) {
                return Ok(Role::Observer); // the configuration of that bridge names it
            }
            let message = format!("`{name}` came over a bridge without a signature");
            Err(Denied { code: "command.unsigned", message })
        }
        Some(_) | None => Ok(verb.role),
    }
}

/// Whether it is a dry run that matters: one by who may not do the real thing.
fn is_dry_run(who: &Principal, verb: &Verb, payload: &[u8]) -> bool {
    let matters = who.role < verb.role || who.bridge.is_some();
    matters
        && verb.dry_run
        && payload.len() <= LONGEST_DRY_RUN_BYTES
        && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(payload)
            .is_ok_and(|args| args.get("dry_run") == Some(&serde_json::Value::Bool(true)))
}

fn is_for_commands(place: Place<'_>) -> bool {
    match place {
        Place::Class(kind, _) => kind == Kind::Cmd,
        Place::App { rest, .. } => rest.starts_with("cmd/"),
        Place::Beside(_) | Place::Nowhere | Place::Outside => false,
    }
}

/// Whether every app reads this of another.
fn is_for_all(rest: &str) -> bool {
    rest.split_once('/').is_some_and(|(class, _)| matches!(class, "state" | "event" | "metric"))
}

fn refused(who: &Principal, topic: &str, right: Right) -> Denied {
    let role = |role| format!("{role:?}").to_lowercase();
    let needs =
        if right.by_role { format!("{} may", role(right.least)) } else { "its app may".into() };
    let message =
        format!("{} ({}) may not publish to {}; {needs}", who.name, role(who.role), shown(topic));
    Denied { code: "broker.not_authorized", message }
}

/// A topic as a message shows it: short, on one line.
fn shown(topic: &str) -> String {
    topic.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}

impl From<Denied> for contract::Error {
    fn from(denied: Denied) -> contract::Error {
        contract::Error::new(denied.code, denied.message)
    }
}

impl From<Denied> for crate::bus::Refused {
    fn from(denied: Denied) -> crate::bus::Refused {
        crate::bus::Refused { code: denied.code, message: denied.message }
    }
}
