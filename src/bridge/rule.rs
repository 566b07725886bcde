//! What is relayed, and what it is called on the other side.
//!
//! ```text
//!   local    maestro/state/#          $maestro/batch/#        maestro/cmd/#      sensors/+/t
//!   remote   gw/GW1/state/#           gw/GW1/batch/#          gw/GW1/cmd/#       gw/GW1/sensors/+/t
//!                                                             gw/_all/cmd/#
//! ```
//! A rule joins two stems, the literal levels before the first wildcard; what follows the stem is
//! the same on both sides. The first rule that matches a topic decides; the configuration's own
//! stand before the defaults, which are what the contract says of its classes.

use super::config::{self, Direction, Keep};
use crate::bus::{Message, Qos};
use crate::contract::{self, Bridged, KINDS, Kind, Role};
use crate::topic::{self, Root};

/// Who the box is at the cloud, and what it is called at home.
#[derive(Clone, Copy, Debug)]
pub struct Names<'n> {
    /// The root of the topics on the box.
    pub root: &'n Root,
    /// First level(s) of the cloud's topics.
    pub prefix: &'n str,
    /// The gateway id.
    pub gateway: &'n str,
    /// The principal of this bridge, `bridge:<name>`.
    pub principal: &'n str,
}

/// The rules of one bridge.
#[derive(Clone, Debug)]
pub struct Rules {
    out: Vec<Rule>,
    inward: Vec<Rule>,
    /// `<prefix>/<gateway id>`.
    base: String,
    principal: String,
    root: Root,
    /// `bridge/<name>/reply`: what is published below it goes to the response topic that follows.
    answers: Option<String>,
}

#[derive(Clone, Debug)]
struct Rule {
    local: Filter,
    remote: Filter,
    keep: Keep,
    qos: Option<u8>,
    reach: Reach,
}

/// Which of the matching messages a rule relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Each: the configuration asked for them.
    All,
    /// Those that the contract does not keep on the box, entry by entry.
    Contract,
    /// Of these, only answers to commands that came over this bridge.
    Own,
}

/// A filter as the levels before its first wildcard and what follows them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    text: String,
    /// Length of the stem, without a slash at its end.
    stem: usize,
}

/// A local message on its way out.
#[derive(Debug, PartialEq)]
pub struct Outward {
    /// Its topic at the cloud.
    pub topic: String,
    /// What waits of it.
    pub keep: Keep,
    /// How it is sent: at most [`Qos::AtLeastOnce`].
    pub qos: Qos,
}

/// A message of the cloud on its way in.
#[derive(Debug, PartialEq)]
pub struct Inward {
    /// Its topic on the box.
    pub topic: String,
    /// [`Keep::Latest`] is retained on the box.
    pub keep: Keep,
}

/// What apps say about themselves goes out by default, and commands to them come in.
const APPS: [(&str, Bridged); 3] = [
    ("app/+/event/#", Bridged::Queue),
    ("app/+/metric/#", Bridged::Queue),
    ("app/+/cmd/#", Bridged::In),
];

/// Stands for the gateway id in topics that every gateway listens to.
const FLEET: &str = "_all";

impl Rules {
    /// The rules of a configuration.
    pub fn new(config: &config::Config, names: Names<'_>) -> Rules {
        let mut rules = Rules {
            out: Vec::new(),
            inward: Vec::new(),
            base: join(names.prefix, names.gateway),
            principal: names.principal.to_string(),
            root: names.root.clone(),
            answers: None,
        };
        for rule in &config.rules {
            rules.add(rule, names.root);
        }
        if config.defaults {
            rules.add_defaults(names);
        }
        if config.role >= Role::App {
            rules.add_answers(&config.name);
        }
        rules
    }

    /// An answer for a response topic of the cloud waits on a topic of the apps, so that the bridge,
    /// as whoever asks, may name it. Only the desk's answers to this bridge go on from there.
    fn add_answers(&mut self, name: &str) {
        let stem = format!("bridge/{}/reply", topic::encode(name));
        let local = Filter::new(format!("{stem}/#"));
        let remote = Filter::new("#".into());
        self.out.push(Rule { local, remote, keep: Keep::Queue, qos: None, reach: Reach::Own });
        self.answers = Some(stem);
    }

    fn add(&mut self, rule: &config::Rule, root: &Root) {
        let local = Filter::new(rule.local.clone());
        let stem = match &rule.remote {
            Some(remote) => remote.trim_end_matches('/'),
            None => root.tail(local.stem()).unwrap_or(local.stem()),
        };
        let stem = if rule.absolute { stem.to_string() } else { join(&self.base, stem) };
        let remote = local.moved_to(&stem);
        let made = Rule { local, remote, keep: rule.keep, qos: rule.qos, reach: Reach::All };
        match rule.direction {
            Direction::Out => self.out.push(made),
            Direction::In => self.inward.push(made),
            Direction::Both => {
                self.out.push(made.clone());
                self.inward.push(made);
            }
        }
    }

    fn add_defaults(&mut self, names: Names<'_>) {
        for row in &KINDS {
            let own = matches!(row.kind, Kind::Reply | Kind::Task);
            let reach = if own { Reach::Own } else { Reach::Contract };
            let (local, tail) = match row.prefix.strip_prefix("$maestro/") {
                Some(tail) => (format!("{}/#", row.prefix), tail),
                None => (names.root.join(&format!("{}/#", row.prefix)), row.prefix),
            };
            let remote = join(&self.base, &format!("{tail}/#"));
            self.add_default((local.clone(), remote), row.bridged, reach);
            if row.bridged == Bridged::In {
                let fleet = join(&join(names.prefix, FLEET), &format!("{tail}/#"));
                self.add_default((local, fleet), row.bridged, reach);
            }
        }
        for (tail, bridged) in APPS {
            let topics = (names.root.join(tail), join(&self.base, tail));
            self.add_default(topics, bridged, Reach::All);
        }
    }

    fn add_default(&mut self, (local, remote): (String, String), bridged: Bridged, reach: Reach) {
        let (local, remote) = (Filter::new(local), Filter::new(remote));
        let rule = |keep| Rule { local, remote, keep, qos: None, reach };
        match bridged {
            Bridged::No => {}
            Bridged::Latest => self.out.push(rule(Keep::Latest)),
            Bridged::Queue => self.out.push(rule(Keep::Queue)),
            Bridged::In => self.inward.push(rule(Keep::Queue)),
        }
    }

    /// What to subscribe to on the box.
    pub fn local_filters(&self) -> impl Iterator<Item = &str> {
        self.out.iter().map(|rule| rule.local.text.as_str())
    }

    /// The local filters whose retained messages make the cloud's picture of the box.
    pub fn latest_filters(&self) -> impl Iterator<Item = &str> {
        let latest = self.out.iter().filter(|rule| rule.keep == Keep::Latest);
        latest.map(|rule| rule.local.text.as_str())
    }

    /// What to subscribe to at the cloud.
    pub fn remote_filters(&self) -> impl Iterator<Item = &str> {
        self.inward.iter().map(|rule| rule.remote.text.as_str())
    }

    /// Where the cloud reads whether the box is there: `online` or `offline`.
    pub fn availability(&self) -> String {
        join(&self.base, "availability")
    }

    /// Where a local message goes; `None` when it stays.
    pub fn outward(&self, message: &Message) -> Option<Outward> {
        let rule = self.out.iter().find(|rule| rule.local.matches(&message.topic))?;
        let own = message.audience.as_deref() == Some(&*self.principal);
        if (rule.reach == Reach::Own && !own) || self.kept_at_home(rule, &message.topic) {
            return None;
        }
        let qos = match rule.qos {
            Some(0) => Qos::AtMostOnce,
            Some(_) => Qos::AtLeastOnce,
            None => message.qos.min(Qos::AtLeastOnce),
        };
        let topic = rule.remote.with_rest(rule.local.rest(&message.topic));
        Some(Outward { topic, keep: rule.keep, qos })
    }

    /// Where a message of the cloud goes; `None` when nothing asked for it.
    pub fn inward(&self, topic: &str) -> Option<Inward> {
        let rule = self.inward.iter().find(|rule| rule.remote.matches(topic))?;
        let topic = rule.local.with_rest(rule.remote.rest(topic));
        if self.kept_at_home(rule, &topic) {
            return None;
        }
        let desired = self.root.tail(&topic).and_then(Kind::of_tail) == Some(Kind::Desired);
        let keep = if desired { Keep::Latest } else { rule.keep };
        Some(Inward { topic, keep })
    }

    /// The response topic on the box that stands for one of the cloud; none where an answer would
    /// come back as a command.
    pub fn answer_to(&self, response_topic: &str) -> Option<String> {
        let comes_back = self.inward.iter().any(|rule| rule.remote.matches(response_topic));
        let stem = self.answers.as_deref().filter(|_| !comes_back)?;
        Some(format!("{stem}/{response_topic}"))
    }

    /// Whether the contract has an entry for the topic which says so.
    fn kept_at_home(&self, rule: &Rule, local: &str) -> bool {
        let entry = || contract::lookup_topic(&self.root, local);
        rule.reach != Reach::All
            && entry().is_some_and(|entry| {
                entry.bridged == Bridged::No || entry.verb.is_some_and(|verb| !verb.remote)
            })
    }
}

impl Filter {
    fn new(text: String) -> Filter {
        let wildcard = text.find(['+', '#']).unwrap_or(text.len());
        let literal = &text[..wildcard];
        let stem = literal.strip_suffix('/').unwrap_or(literal).len();
        Filter { text, stem }
    }

    fn stem(&self) -> &str {
        &self.text[..self.stem]
    }

    /// The same wildcards behind another stem.
    fn moved_to(&self, stem: &str) -> Filter {
        Filter { text: join(stem, self.rest(&self.text)), stem: stem.len() }
    }

    /// What follows the stem in a topic that matches; without a slash in front.
    fn rest<'t>(&self, topic: &'t str) -> &'t str {
        let rest = &topic[self.stem..];
        rest.strip_prefix('/').unwrap_or(rest)
    }

    fn with_rest(&self, rest: &str) -> String {
        join(self.stem(), rest)
    }

    fn matches(&self, topic: &str) -> bool {
        topic::matches(&self.text, topic)
    }
}

/// Two parts of a topic with one slash between them, and none where a part is empty.
fn join(stem: &str, rest: &str) -> String {
    match (stem, rest) {
        (stem, "") => stem.to_string(),
        ("", rest) => rest.to_string(),
        (stem, rest) => format!("{stem}/{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(config: &config::Config) -> Rules {
        let root = Root::default();
        let names = Names { root: &root, prefix: "gw", gateway: "GW1", principal: "bridge:cloud" };
        Rules::new(config, names)
    }

    fn out(rules: &Rules, topic: &str) -> Option<String> {
        let message = Message::new(topic.into(), "").at_least_once();
        rules.outward(&message).map(|outward| outward.topic)
    }

    fn own(direction: Direction, local: &str, remote: Option<&str>) -> config::Rule {
        config::Rule {
            direction,
            local: local.into(),
            remote: remote.map(Into::into),
            absolute: false,
            keep: Keep::Queue,
            qos: None,
        }
    }

    #[test]
    fn the_default_rules_carry_each_class_as_the_design_says() {
        let rules = rules(&config::Config::default());
        for (local, remote) in [
            ("maestro/info", Some("gw/GW1/info")),
            ("maestro/status", Some("gw/GW1/status")),
            ("maestro/status/network", Some("gw/GW1/status/network")),
            ("maestro/state/system/facts", Some("gw/GW1/state/system/facts")),
            ("maestro/event/broker/x/refused", Some("gw/GW1/event/broker/x/refused")),
            ("maestro/app/thermo/event/hot", Some("gw/GW1/app/thermo/event/hot")),
            ("maestro/app/thermo/metric/t", Some("gw/GW1/app/thermo/metric/t")),
            ("$maestro/batch/stats/default", Some("gw/GW1/batch/stats/default")),
            ("maestro/app/thermo/state/x", None),
            ("maestro/metric/memory", None),
            ("maestro/log/err/kernel", None),
            ("maestro/cmd/system/ping", None),
            ("maestro/desired/jobs/x", None),
            ("$maestro/api/asyncapi", None),
            ("sensors/1/t", None),
        ] {
            assert_eq!(out(&rules, local).as_deref(), remote, "{local}");
        }
    }

    #[test]
    fn only_answers_to_this_bridges_commands_go_out() {
        let rules = rules(&config::Config::default());
        let mut reply = Message::new("maestro/reply/system/ping".into(), "{}").at_least_once();
        assert_eq!(rules.outward(&reply), None);
        reply.audience = Some("operator:alice".into());
        assert_eq!(rules.outward(&reply), None);
        reply.audience = Some("bridge:cloud".into());
        assert_eq!(rules.outward(&reply).unwrap().topic, "gw/GW1/reply/system/ping");
    }

    #[test]
    fn the_desk_s_answer_to_a_response_topic_finds_the_cloud_s_topic_and_nobody_else_s_does() {
        let rules = rules(&config::Config::default());
        let local = rules.answer_to("ops/alice/1").unwrap();
        assert_eq!(local, "bridge/cloud/reply/ops/alice/1");
        let mut answer = Message::new(local, "{}").at_least_once();
        assert_eq!(rules.outward(&answer), None);
        answer.audience = Some("bridge:cloud".into());
        assert_eq!(rules.outward(&answer).unwrap().topic, "ops/alice/1");
        assert_eq!(rules.answer_to("gw/GW1/cmd/system/reboot"), None);
        let observer = config::Config { role: Role::Observer, ..config::Config::default() };
        let root = Root::default();
        let names = Names { root: &root, prefix: "gw", gateway: "GW1", principal: "bridge:cloud" };
        assert_eq!(Rules::new(&observer, names).answer_to("ops/alice/1"), None);
    }

    #[test]
    fn the_cloud_reaches_commands_and_desired_documents_by_own_and_fleet_address() {
        let rules = rules(&config::Config::default());
        for (remote, local) in [
            ("gw/GW1/cmd/system/ping", Some("maestro/cmd/system/ping")),
            ("gw/_all/cmd/system/ping", Some("maestro/cmd/system/ping")),
            ("gw/GW1/desired/stats/memory", Some("maestro/desired/stats/memory")),
            ("gw/_all/desired/stats/memory", Some("maestro/desired/stats/memory")),
            ("gw/GW1/app/thermo/cmd/set", Some("maestro/app/thermo/cmd/set")),
            ("gw/_all/app/thermo/cmd/set", None),
            ("gw/GW1/state/system/facts", None),
            ("gw/GW2/cmd/system/ping", None),
        ] {
            let found = rules.inward(remote).map(|inward| inward.topic);
            assert_eq!(found.as_deref(), local, "{remote}");
        }
        assert_eq!(rules.inward("gw/GW1/desired/stats/memory").unwrap().keep, Keep::Latest);
        assert_eq!(rules.inward("gw/GW1/cmd/system/ping").unwrap().keep, Keep::Queue);
    }

    #[test]
    fn an_own_rule_moves_the_stem_and_keeps_what_follows() {
        let mut config = config::Config { defaults: false, ..config::Config::default() };
        config.rules.push(own(Direction::Out, "sensors/#", Some("measured/")));
        config.rules.push(own(Direction::Out, "zigbee2mqtt/+/state", None));
        config.rules.push(config::Rule {
            absolute: true,
            ..own(Direction::Both, "plant/#", Some("site7/plant"))
        });
        config.rules.push(own(Direction::In, "maestro/app/thermo/cmd/#", None));
        let rules = rules(&config);
        assert_eq!(out(&rules, "sensors/1/t").as_deref(), Some("gw/GW1/measured/1/t"));
        assert_eq!(out(&rules, "sensors").as_deref(), Some("gw/GW1/measured"));
        assert_eq!(
            out(&rules, "zigbee2mqtt/a/state").as_deref(),
            Some("gw/GW1/zigbee2mqtt/a/state")
        );
        assert_eq!(out(&rules, "plant/line1").as_deref(), Some("site7/plant/line1"));
        assert_eq!(out(&rules, "maestro/info"), None);
        assert_eq!(rules.inward("site7/plant/line2").unwrap().topic, "plant/line2");
        assert_eq!(
            rules.remote_filters().collect::<Vec<_>>(),
            ["site7/plant/#", "gw/GW1/app/thermo/cmd/#"]
        );
    }

    #[test]
    fn quality_is_never_above_one_and_a_rule_may_raise_or_lower_it() {
        let mut config = config::Config { defaults: false, ..config::Config::default() };
        config.rules.push(config::Rule { qos: Some(1), ..own(Direction::Out, "a/#", None) });
        config.rules.push(config::Rule { qos: Some(0), ..own(Direction::Out, "b/#", None) });
        config.rules.push(own(Direction::Out, "c/#", None));
        let rules = rules(&config);
        let quality = |topic: &str, qos| {
            let message = Message { qos, ..Message::new(topic.into(), "") };
            rules.outward(&message).unwrap().qos
        };
        assert_eq!(quality("a/1", Qos::AtMostOnce), Qos::AtLeastOnce);
        assert_eq!(quality("b/1", Qos::ExactlyOnce), Qos::AtMostOnce);
        assert_eq!(quality("c/1", Qos::AtMostOnce), Qos::AtMostOnce);
        assert_eq!(quality("c/1", Qos::ExactlyOnce), Qos::AtLeastOnce);
    }

    #[test]
    fn a_wildcard_alone_never_takes_topics_that_begin_with_a_dollar() {
        let mut config = config::Config { defaults: false, ..config::Config::default() };
        config.rules.push(own(Direction::Out, "#", Some("all")));
        let rules = rules(&config);
        assert_eq!(out(&rules, "$maestro/api/errors"), None);
        assert_eq!(out(&rules, "x/y").as_deref(), Some("gw/GW1/all/x/y"));
    }
}
