//! What must hold for every entry.

use std::collections::BTreeSet;

use super::entry::{Error, File, ROLES, Topic, Verb};
use super::{KINDS, Source, kind_of, parameter};

pub(super) fn check(files: &[(&Source, File)], problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (source, file) in files {
        let mut book = Book { source, problems, seen: &mut seen };
        file.topic.iter().for_each(|topic| book.topic(topic));
        file.verb.iter().for_each(|verb| book.verb(verb));
        file.error.iter().for_each(|error| book.error(error));
    }
}

struct Book<'b> {
    source: &'b Source,
    problems: &'b mut Vec<String>,
    seen: &'b mut BTreeSet<String>,
}

impl Book<'_> {
    fn tell(&mut self, at: usize, what: &str) {
        self.problems.push(self.source.problem(at, what));
    }

    fn once(&mut self, at: usize, name: String) {
        if self.seen.contains(&name) {
            self.tell(at, &format!("`{name}` is told twice"));
        }
        self.seen.insert(name);
    }

    fn json(&mut self, at: usize, text: &str) {
        if let Err(e) = serde_json::from_str::<serde_json::Value>(text) {
            self.tell(at, &format!("the example is no JSON: {e}"));
        }
    }

    fn topic(&mut self, topic: &Topic) {
        let (at, pattern) = (topic.pattern.span().start, topic.pattern.get_ref());
        match kind_of(pattern).map(|kind| KINDS[kind].0) {
            None => {
                let known: Vec<&str> = KINDS.iter().map(|kind| kind.0).collect();
                let known = known.join(", ");
                self.tell(at, &format!("`{pattern}` begins with no class of topics: {known}"));
            }
            Some("cmd" | "reply") => self.tell(at, "write a [[verb]]: cmd and reply come from it"),
            Some(_) => {}
        }
        if let Some(role) = topic.role.as_ref().filter(|r| !ROLES.contains(&r.get_ref().as_str())) {
            self.tell(role.span().start, &format!("role is one of {}", ROLES.join(", ")));
        }
        let ways = ["no", "latest", "queue", "in"];
        if let Some(way) = topic.bridged.as_ref().filter(|b| !ways.contains(&b.get_ref().as_str()))
        {
            self.tell(way.span().start, &format!("bridged is one of {}", ways.join(", ")));
        }
        if topic.examples.get_ref().is_empty() {
            self.tell(topic.examples.span().start, "at least one example");
        }
        for example in topic.examples.get_ref().iter().filter(|_| topic.is_json()) {
            self.json(example.span().start, example.get_ref());
        }
        self.levels(topic);
        self.once(at, pattern.clone());
    }

    fn levels(&mut self, topic: &Topic) {
        let at = topic.pattern.span().start;
        let mut named = BTreeSet::new();
        for level in topic.pattern.get_ref().split('/') {
            let Some(name) = parameter(level) else {
                if level.is_empty() || level.contains(['{', '}', '+', '#', '*']) {
                    self.tell(at, &format!("`{level}` is no level of a pattern"));
                }
                continue;
            };
            let name = name.trim_end_matches('*');
            if !topic.parameters.contains_key(name) {
                self.tell(at, &format!("parameters has no `{name}`"));
            }
            named.insert(name);
        }
        for name in topic.parameters.keys().filter(|name| !named.contains(name.as_str())) {
            self.tell(at, &format!("the pattern has no {{{name}}}"));
        }
    }

    fn verb(&mut self, verb: &Verb) {
        let at = verb.name.span().start;
        match verb.class_role() {
            None => self.tell(verb.class.span().start, "class is one of read, change, danger"),
            Some(least) => {
                let rank = |role| ROLES.iter().position(|known| *known == role);
                if rank(verb.role()) < rank(least) {
                    let at = verb.role.as_ref().map_or(at, |role| role.span().start);
                    let roles = ROLES.join(", ");
                    let class = verb.class.get_ref();
                    let what =
                        format!("role is one of {roles}, at least {least} for class {class}");
                    self.tell(at, &what);
                }
            }
        }
        if verb.timeout_ms().is_none() {
            self.tell(verb.timeout.span().start, "timeout is written as 500ms, 5s, 10m or 1h");
        }
        if verb.subject.is_some() && verb.args.is_none() {
            self.tell(at, "a verb with a subject has args");
        }
        if verb.examples.get_ref().is_empty() {
            self.tell(verb.examples.span().start, "at least one example");
        }
        for call in verb.examples.get_ref() {
            let (at, call) = (call.span().start, call.get_ref());
            if call.args.starts_with('{') {
                self.json(at, &call.args);
            } else if !call.args.is_empty() && verb.subject.is_none() {
                self.tell(at, "a bare word needs a subject");
            }
            self.json(at, &call.result);
        }
        self.once(at, format!("{}/{}", self.source.stem, verb.name.get_ref()));
    }

    fn error(&mut self, error: &Error) {
        let (at, code) = (error.code.span().start, error.code.get_ref());
        let words: Vec<&str> = code.split('.').collect();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if words.len() < 2 || words.iter().any(|word| word.is_empty() || !word.chars().all(plain)) {
            self.tell(at, &format!("`{code}` is not a dotted code like `stats.unknown_family`"));
        }
        let stem = &self.source.stem;
        if stem != "errors" && words[0] != stem {
            let home = words[0];
            self.tell(at, &format!("`{code}` belongs into topics/{home}.toml or errors.toml"));
        }
        if error.puback < 0x80 {
            self.tell(at, "puback is an MQTT 5 reason code of failure, 0x80 and above");
        }
        self.once(at, code.clone());
    }
}
