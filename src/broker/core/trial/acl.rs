//! The rights against the table of the design, said as plainly as it can be.

use super::Chance;
use super::filter::plainly_matches;
use crate::broker::Principal;
use crate::broker::acl::{Access, Acl, Effect, Publish, Rule, Who};
use crate::contract::{self, Role};
use crate::topic::{self, Root};

const NAMES: [&str; 14] = [
    "maestro/info",
    "maestro/status/broker",
    "maestro/state/x/y",
    "maestro/log/info/x",
    "maestro/reply/x/y",
    "maestro/desired/x/y",
    "maestro/cmd/system/ping",
    "maestro/cmd/system/reboot",
    "maestro/app/thermo/state/x",
    "maestro/app/other/state/x",
    "maestro/app/other/private",
    "$SYS/broker/uptime",
    "$maestro/batch/x/y",
    "sensors/hall",
];
const WORDS: [&str; 16] = [
    "maestro", "info", "status", "app", "thermo", "other", "state", "cmd", "system", "ping", "log",
    "$SYS", "", "sensors", "desired", "reply",
];
const ROLES: [Role; 4] = [Role::Observer, Role::App, Role::Operator, Role::Admin];

/// Somebody, some rules, some topics and filters.
///
/// # Panics
/// When somebody may what the plain table denies, or may not what it gives.
pub fn trial(bytes: &[u8]) {
    let mut chance = Chance(bytes);
    let who = somebody(&mut chance);
    let rules: Vec<Rule> = (0..chance.below(4)).map(|_| rule(&mut chance, &who)).collect();
    let acl = Acl::new(Root::default(), rules.clone());
    while !chance.is_over() {
        let name = name(&mut chance);
        if !topic::is_name(&name) {
            continue;
        }
        let read = acl.may_read(&who, &name, None);
        assert_eq!(read, plainly_reads(&rules, &who, &name), "{who:?} {rules:?} reads {name}");
        assert!(acl.may_read(&who, &name, Some(&who.name)), "its own reply");
        let publish = Publish { topic: &name, retain: chance.seldom(), payload: chance.bytes(20) };
        if acl.may_publish(&who, &publish).is_ok() {
            assert!(plainly_writes(&rules, &who, &publish), "{who:?} {rules:?} writes {publish:?}");
        }
        let will = acl.may_will(&who, &publish).is_ok();
        assert!(!will || acl.may_publish(&who, &publish).is_ok(), "a will gives no rights");
        if acl.may_respond(&who, &name) {
            let levels: Vec<&str> = name.split('/').collect();
            let order = matches!(levels[..], ["maestro", "cmd" | "desired", ..])
                || matches!(levels[..], ["maestro", "app", _, "cmd", _, ..]);
            assert!(!order, "an answer would be an order: {name}");
        }
        let filter = wildcard(&mut chance, &name);
        if read && plainly_matches(&filter, &name) {
            let covered = rules.iter().any(|rule| rule.effect == Effect::Deny);
            assert!(covered || acl.filter_readable(&who, &filter), "{filter} hides {name}");
        }
    }
}

fn somebody(chance: &mut Chance<'_>) -> Principal {
    let (role, max_role) = (chance.one_of(&ROLES), chance.one_of(&ROLES));
    let app = chance.often().then(|| "thermo".to_string());
    let name = if app.is_some() { "app:thermo" } else { "user:bob" };
    Principal { role: role.min(max_role), max_role, app, ..Principal::new(name, role) }
}

fn rule(chance: &mut Chance<'_>, who: &Principal) -> Rule {
    let name = name(chance);
    let who = match chance.below(3) {
        0 => Who::Principal(who.name.clone()),
        1 => Who::Role(who.role),
        _ => Who::Role(chance.one_of(&ROLES)),
    };
    Rule {
        who,
        effect: chance.one_of(&[Effect::Allow, Effect::Deny]),
        access: chance.one_of(&[Access::Read, Access::Write]),
        filter: wildcard(chance, &name),
    }
}

fn name(chance: &mut Chance<'_>) -> String {
    if chance.often() {
        return chance.one_of(&NAMES).to_string();
    }
    let count = 1 + chance.below(5);
    (0..count).map(|_| chance.one_of(&WORDS)).collect::<Vec<_>>().join("/")
}

/// A filter made from a topic.
fn wildcard(chance: &mut Chance<'_>, name: &str) -> String {
    let mut levels: Vec<&str> = name.split('/').collect();
    for level in &mut levels {
        if chance.seldom() {
            *level = "+";
        }
    }
    if chance.seldom() {
        levels.truncate(1 + chance.below(levels.len()));
        levels.push("#");
    }
    levels.join("/")
}

/// The least role that reads a topic; `None` if nobody does.
fn reader(who: &Principal, name: &str) -> Option<Role> {
    let levels: Vec<&str> = name.split('/').collect();
    let class = match levels[..] {
        ["$SYS", ..] | ["$maestro", "api", ..] => Role::Observer,
        ["$maestro", "batch", ..] => Role::Operator,
        [first, ..] if first.starts_with('$') => return None,
        ["maestro"] => return None,
        ["maestro", "app", app, ref rest @ ..] => {
            if app.is_empty() || rest.is_empty() || *rest == [""] {
                return None;
            }
            let shared = matches!(rest, ["state" | "event" | "metric", _, ..]);
            return Some(match who.app.as_deref() == Some(app) || shared {
                true => Role::App,
                false => Role::Operator,
            });
        }
        ["maestro", "info" | "status" | "state" | "event" | "metric" | "client", ..] => {
            Role::Observer
        }
        ["maestro", "log" | "desired" | "reply" | "task" | "cmd", ..] => Role::Operator,
        ["maestro", ..] => return None,
        _ => return Some(Role::App),
    };
    let tail = name.strip_prefix("maestro/").unwrap_or(name);
    let finer = contract::topics().iter().find(|spec| {
        spec.role != spec.kind.rules().reader
            && spec.kind.is_absolute() == name.starts_with('$')
            && spec.matches(tail)
    });
    Some(finer.map_or(class, |spec| spec.role))
}

fn says(rules: &[Rule], who: &Principal, access: Access, effect: Effect, name: &str) -> bool {
    rules.iter().any(|rule| {
        let about = match &rule.who {
            Who::Principal(name) => *name == who.name,
            Who::Role(role) => *role == who.role,
        };
        about
            && rule.access == access
            && rule.effect == effect
            && plainly_matches(&rule.filter, name)
    })
}

fn plainly_reads(rules: &[Rule], who: &Principal, name: &str) -> bool {
    let Some(least) = reader(who, name) else { return false };
    let lifted = says(rules, who, Access::Read, Effect::Allow, name) && who.max_role >= least;
    (who.role >= least || lifted) && !says(rules, who, Access::Read, Effect::Deny, name)
}

/// The most anybody could be given; what is taken may be less (unknown verbs, retained commands).
fn plainly_writes(rules: &[Rule], who: &Principal, publish: &Publish<'_>) -> bool {
    let name = publish.topic;
    let levels: Vec<&str> = name.split('/').collect();
    let (least, by_role) = match levels[..] {
        ["maestro", "app", app, ..] if who.app.as_deref() == Some(app) => (Role::App, true),
        ["maestro", "app", _, "cmd", ..] => (Role::Operator, true),
        ["maestro", "app", ..] => (Role::Operator, false),
        ["maestro", "cmd", subsystem, ref verb @ ..] => {
            let Some(verb) = contract::verb(subsystem, &verb.join("/")) else { return false };
            let dry =
                std::str::from_utf8(publish.payload).is_ok_and(|text| text.contains("dry_run"));
            (if dry && verb.dry_run { Role::Observer } else { verb.role }, true)
        }
        ["maestro", ..] => return false,
        [first, ..] if first.starts_with('$') => return false,
        _ => (Role::App, true),
    };
    let by_role = by_role && who.role >= least;
    let lifted = says(rules, who, Access::Write, Effect::Allow, name) && who.max_role >= least;
    !(publish.retain && name.starts_with("maestro/cmd/"))
        && (by_role || lifted)
        && !says(rules, who, Access::Write, Effect::Deny, name)
}
