//! The compiler of the contract: `topics/*.toml` to the static tables of `src/contract/spec.rs`.
//! Run by `build.rs`, tested by `tests/contract.rs`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    topic: Vec<Topic>,
    #[serde(default)]
    verb: Vec<Verb>,
    #[serde(default)]
    error: Vec<Error>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    pattern: Spanned<String>,
    #[serde(rename = "type")]
    payload: String,
    meaning: String,
    since: String,
    bridged: Option<Spanned<String>>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    examples: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verb {
    name: Spanned<String>,
    class: Spanned<String>,
    role: Option<Spanned<String>>,
    subject: Option<String>,
    args: Option<String>,
    result: String,
    timeout: Spanned<String>,
    #[serde(default = "yes")]
    remote: bool,
    meaning: String,
    since: String,
    examples: Spanned<Vec<Spanned<Call>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    args: String,
    result: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Error {
    code: Spanned<String>,
    meaning: String,
    #[serde(default = "unspecified")]
    puback: u8,
}

fn yes() -> bool {
    true
}

/// MQTT 5: implementation specific error.
fn unspecified() -> u8 {
    0x83
}

/// First levels of topics, in the order of `contract::Kind`, with the bridge's default.
const KINDS: [(&str, &str, &str); 15] = [
    ("info", "Info", "latest"),
    ("status", "Status", "latest"),
    ("state", "State", "latest"),
    ("desired", "Desired", "in"),
    ("cmd", "Cmd", "in"),
    ("reply", "Reply", "queue"),
    ("task", "Task", "latest"),
    ("event", "Event", "queue"),
    ("log", "Log", "no"),
    ("metric", "Metric", "no"),
    ("client", "Client", "no"),
    ("app", "App", "no"),
    ("$maestro/api", "Api", "no"),
    ("$maestro/batch", "Batch", "queue"),
    ("$SYS", "Sys", "no"),
];

/// Compiles the files (stem, text), or tells every problem as `topics/<stem>.toml:<line>: ..`.
pub fn compile(sources: &[(String, String)]) -> Result<String, Vec<String>> {
    let mut book = Book::default();
    for (stem, text) in sources {
        match toml::from_str::<File>(text) {
            Ok(file) => book.add(&Source { stem, text }, file),
            Err(e) => {
                let at = e.span().map_or(0, |span| span.start);
                Source { stem, text }.tell(&mut book.problems, at, e.message());
            }
        }
    }
    if book.problems.is_empty() { Ok(book.print()) } else { Err(book.problems) }
}

struct Source<'s> {
    stem: &'s str,
    text: &'s str,
}

impl Source<'_> {
    fn tell(&self, problems: &mut Vec<String>, at: usize, what: &str) {
        let line = self.text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
        problems.push(format!("topics/{}.toml:{line}: {what}", self.stem));
    }
}

/// Everything read so far, sorted as the tables want it, each entry already as Rust text.
#[derive(Default)]
struct Book {
    subsystems: Vec<String>,
    topics: BTreeMap<(usize, String), String>,
    verbs: BTreeMap<(String, String), String>,
    errors: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Book {
    fn add(&mut self, source: &Source<'_>, file: File) {
        if !file.topic.is_empty() || !file.verb.is_empty() {
            self.subsystems.push(source.stem.to_string());
        }
        for topic in file.topic {
            self.topic(source, topic);
        }
        for verb in file.verb {
            self.verb(source, verb);
        }
        for error in file.error {
            self.error(source, &error);
        }
    }

    fn topic(&mut self, source: &Source<'_>, topic: Topic) {
        let at = topic.pattern.span().start;
        let pattern = topic.pattern.get_ref();
        let Some(kind) = kind_of(pattern) else {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.0).collect();
            return source.tell(
                &mut self.problems,
                at,
                &format!(
                    "`{pattern}` begins with no class of topics; these are: {}",
                    known.join(", ")
                ),
            );
        };
        if matches!(KINDS[kind].0, "cmd" | "reply") && source.stem != "app" {
            return source.tell(
                &mut self.problems,
                at,
                "write a [[verb]]: cmd and reply come from it",
            );
        }
        let bridged = topic.bridged.as_ref().map_or(KINDS[kind].2, |b| b.get_ref().as_str());
        if !["no", "latest", "queue", "in"].contains(&bridged) {
            let at = topic.bridged.as_ref().map_or(at, |b| b.span().start);
            source.tell(&mut self.problems, at, "bridged is one of no, latest, queue, in");
        }
        if topic.examples.get_ref().is_empty() {
            source.tell(&mut self.problems, topic.examples.span().start, "at least one example");
        }
        for example in topic.examples.get_ref() {
            if !matches!(topic.payload.as_str(), "text" | "any") {
                self.json(source, example.span().start, example.get_ref());
            }
        }
        let examples: Vec<&str> =
            topic.examples.get_ref().iter().map(|e| e.get_ref().as_str()).collect();
        let entry = Entry {
            pattern,
            kind,
            stem: source.stem,
            payload: &topic.payload,
            meaning: &topic.meaning,
            since: &topic.since,
            bridged,
            verb: None,
            examples: &examples,
        };
        self.put(source, at, &entry, &topic.parameters);
    }

    fn put(
        &mut self,
        source: &Source<'_>,
        at: usize,
        entry: &Entry<'_>,
        told: &BTreeMap<String, String>,
    ) {
        let mut parameters = Vec::new();
        for level in entry.pattern.split('/') {
            let Some(name) = level.strip_prefix('{').and_then(|l| l.strip_suffix('}')) else {
                if level.is_empty() || level.contains(['{', '}', '+', '#', '*']) {
                    source.tell(
                        &mut self.problems,
                        at,
                        &format!("`{level}` is no level of a pattern"),
                    );
                }
                continue;
            };
            let name = name.trim_end_matches('*');
            match told.get(name) {
                Some(what) => parameters.push((name, what.as_str())),
                None => source.tell(&mut self.problems, at, &format!("parameters has no `{name}`")),
            }
        }
        for name in told.keys().filter(|name| !parameters.iter().any(|(known, _)| known == name)) {
            source.tell(&mut self.problems, at, &format!("the pattern has no {{{name}}}"));
        }
        let text = entry.print(&parameters);
        if self.topics.insert((entry.kind, order(entry.pattern)), text).is_some() {
            source.tell(&mut self.problems, at, &format!("`{}` is told twice", entry.pattern));
        }
    }

    fn verb(&mut self, source: &Source<'_>, verb: Verb) {
        let at = verb.name.span().start;
        let name = verb.name.get_ref();
        let class = verb.class.get_ref().as_str();
        let least = match class {
            "read" => "observer",
            "change" => "operator",
            "danger" => "admin",
            _ => {
                return source.tell(
                    &mut self.problems,
                    verb.class.span().start,
                    "class is one of read, change, danger",
                );
            }
        };
        let role = verb.role.as_ref().map_or(least, |role| role.get_ref().as_str());
        let roles = ["observer", "app", "operator", "admin"];
        let rank = |role| roles.iter().position(|known| *known == role);
        if rank(role) < rank(least) {
            let at = verb.role.as_ref().map_or(at, |role| role.span().start);
            source.tell(
                &mut self.problems,
                at,
                &format!(
                    "role is one of {}, and at least {least} for class {class}",
                    roles.join(", ")
                ),
            );
        }
        let Some(timeout_ms) = milliseconds(verb.timeout.get_ref()) else {
            return source.tell(
                &mut self.problems,
                verb.timeout.span().start,
                "timeout is written as 500ms, 5s, 10m or 1h",
            );
        };
        if verb.subject.is_some() && verb.args.is_none() {
            source.tell(&mut self.problems, at, "a verb with a subject has args");
        }
        self.calls(source, &verb);
        let calls: String = verb.examples.get_ref().iter().fold(String::new(), |mut text, call| {
            let call = call.get_ref();
            let _ =
                write!(text, "Example {{ args: {:?}, result: {:?} }}, ", call.args, call.result);
            text
        });
        let text = format!(
            "Verb {{ subsystem: {:?}, name: {name:?}, class: Class::{}, role: Role::{}, subject: {:?}, args: {:?}, result: {:?}, timeout: std::time::Duration::from_millis({timeout_ms}), remote: {}, meaning: {:?}, since: {:?}, examples: &[{calls}] }}",
            source.stem,
            title(class),
            title(role),
            verb.subject,
            verb.args,
            verb.result,
            verb.remote,
            verb.meaning,
            verb.since,
        );
        if self.verbs.insert((source.stem.to_string(), name.clone()), text).is_some() {
            source.tell(&mut self.problems, at, &format!("`{name}` is told twice"));
        }
        self.verb_topics(source, &verb);
    }

    /// `cmd/<subsystem>/<verb>` and `reply/<subsystem>/<verb>`.
    fn verb_topics(&mut self, source: &Source<'_>, verb: &Verb) {
        let name = verb.name.get_ref();
        let calls = verb.examples.get_ref();
        let args: Vec<&str> = calls.iter().map(|call| call.get_ref().args.as_str()).collect();
        let replies: Vec<String> = calls.iter().map(|call| reply(&call.get_ref().result)).collect();
        let replies: Vec<&str> = replies.iter().map(String::as_str).collect();
        let by_hand = format!("Answers to `{}/{name}`, for clients without MQTT 5.", source.stem);
        let both = [
            (
                "cmd",
                4,
                verb.args.as_deref().unwrap_or("command.NoArguments"),
                verb.meaning.as_str(),
                &args,
            ),
            ("reply", 5, "command.Reply", by_hand.as_str(), &replies),
        ];
        for (class, kind, payload, meaning, examples) in both {
            let pattern = format!("{class}/{}/{name}", source.stem);
            let bridged = if verb.remote || class == "reply" { KINDS[kind].2 } else { "no" };
            let entry = Entry {
                pattern: &pattern,
                kind,
                stem: source.stem,
                payload,
                meaning,
                since: &verb.since,
                bridged,
                verb: Some((source.stem, name)),
                examples,
            };
            self.put(source, verb.name.span().start, &entry, &BTreeMap::new());
        }
    }

    fn calls(&mut self, source: &Source<'_>, verb: &Verb) {
        if verb.examples.get_ref().is_empty() {
            source.tell(&mut self.problems, verb.examples.span().start, "at least one example");
        }
        for call in verb.examples.get_ref() {
            let at = call.span().start;
            let args = &call.get_ref().args;
            if args.starts_with('{') {
                self.json(source, at, args);
            } else if !args.is_empty() && verb.subject.is_none() {
                source.tell(&mut self.problems, at, "a bare word needs a subject");
            }
            self.json(source, at, &call.get_ref().result);
        }
    }

    fn error(&mut self, source: &Source<'_>, error: &Error) {
        let at = error.code.span().start;
        let code = error.code.get_ref();
        let words: Vec<&str> = code.split('.').collect();
        let plain = |word: &&str| {
            !word.is_empty()
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if words.len() < 2 || !words.iter().all(plain) {
            source.tell(
                &mut self.problems,
                at,
                &format!("`{code}` is not a dotted code like `stats.unknown_family`"),
            );
        }
        if source.stem != "errors" && words[0] != source.stem {
            source.tell(
                &mut self.problems,
                at,
                &format!("`{code}` belongs into topics/{}.toml or errors.toml", words[0]),
            );
        }
        if error.puback < 0x80 {
            source.tell(
                &mut self.problems,
                at,
                "puback is an MQTT 5 reason code of failure, 0x80 and above",
            );
        }
        let text = format!(
            "ErrorSpec {{ code: {code:?}, meaning: {:?}, puback: {} }}",
            error.meaning, error.puback
        );
        if self.errors.insert(code.clone(), text).is_some() {
            source.tell(&mut self.problems, at, &format!("`{code}` is told twice"));
        }
    }

    fn json(&mut self, source: &Source<'_>, at: usize, text: &str) {
        if let Err(e) = serde_json::from_str::<serde_json::Value>(text) {
            source.tell(&mut self.problems, at, &format!("the example is no JSON: {e}"));
        }
    }

    fn print(&self) -> String {
        let mut out = String::new();
        let names: Vec<&String> = self.verbs.keys().map(|(subsystem, _)| subsystem).collect();
        let _ = writeln!(out, "static SUBSYSTEMS: &[&str] = &{:?};", self.subsystems);
        table(&mut out, "VERBS: &[Verb]", self.verbs.values());
        table(&mut out, "ERRORS: &[ErrorSpec]", self.errors.values());
        let topics: Vec<String> = self.topics.values().map(|text| self.with_verb(text)).collect();
        table(&mut out, "TOPICS: &[TopicSpec]", topics.iter());
        debug_assert_eq!(names.len(), self.verbs.len());
        out
    }

    /// Puts the place of the verb into an entry that names it.
    fn with_verb(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("@verb(") else { return text.to_string() };
        let Some((name, after)) = rest.split_once(')') else { return text.to_string() };
        let at =
            self.verbs.keys().position(|(s, n)| format!("{s}/{n}") == name).unwrap_or_default();
        format!("{before}Some(&VERBS[{at}]){after}")
    }
}

/// One topic on its way into the table.
struct Entry<'e> {
    pattern: &'e str,
    kind: usize,
    stem: &'e str,
    payload: &'e str,
    meaning: &'e str,
    since: &'e str,
    bridged: &'e str,
    verb: Option<(&'e str, &'e str)>,
    examples: &'e [&'e str],
}

impl Entry<'_> {
    fn print(&self, parameters: &[(&str, &str)]) -> String {
        let levels: String = self.pattern.split('/').fold(String::new(), |mut text, level| {
            let named = level.strip_prefix('{').and_then(|l| l.strip_suffix('}'));
            let _ = match (named, named.and_then(|name| name.strip_suffix('*'))) {
                (_, Some(rest)) => write!(text, "Level::Rest({rest:?}), "),
                (Some(name), None) => write!(text, "Level::Any({name:?}), "),
                (None, None) => write!(text, "Level::Word({level:?}), "),
            };
            text
        });
        let verb = self.verb.map_or("None".into(), |(s, v)| format!("@verb({s}/{v})"));
        format!(
            "TopicSpec {{ pattern: {:?}, levels: &[{levels}], kind: Kind::{}, subsystem: {:?}, payload: {:?}, meaning: {:?}, since: {:?}, bridged: Bridged::{}, verb: {verb}, parameters: &{parameters:?}, examples: &{:?} }}",
            self.pattern,
            KINDS[self.kind].1,
            self.stem,
            self.payload,
            self.meaning,
            self.since,
            title(self.bridged),
            self.examples,
        )
    }
}

fn table<'t>(out: &mut String, head: &str, rows: impl Iterator<Item = &'t String>) {
    let _ = writeln!(out, "static {head} = &[");
    for row in rows {
        let _ = writeln!(out, "    {row},");
    }
    out.push_str("];\n");
}

fn kind_of(pattern: &str) -> Option<usize> {
    KINDS.iter().position(|(prefix, _, _)| {
        pattern.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Sorts words before parameters before rests, so that the first match is the most exact.
fn order(pattern: &str) -> String {
    let rank = |level: &str| match level {
        l if l.ends_with("*}") => "~~".to_string(),
        l if l.starts_with('{') => "~".to_string(),
        l => l.to_string(),
    };
    pattern.split('/').map(rank).collect::<Vec<_>>().join("/")
}

/// The reply of a command whose id was assigned, around its result.
fn reply(result: &str) -> String {
    format!(
        r#"{{"state":"succeeded","result":{result},"id":"01JD9Z6Y4M9Q3T8V5W7X2B1C0D","time":"2026-11-22T10:00:00Z","boot":"1f0c9a3e","seq":17}}"#
    )
}

fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|ms| *ms > 0)
}

fn title(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().collect::<String>() + letters.as_str())
}
