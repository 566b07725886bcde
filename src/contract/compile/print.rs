//! Checked entries as Rust text, sorted as `contract::lookup` and its siblings search them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::entry::{File, Topic, Verb};
use super::{KINDS, Source, kind_of, parameter};

pub(super) fn print(files: &[(&Source, File)]) -> String {
    let mut subsystems = BTreeSet::new();
    let mut verbs = BTreeMap::new();
    let mut topics = BTreeMap::new();
    let mut errors = BTreeMap::new();
    for (source, file) in files {
        for error in &file.error {
            let (code, meaning, puback) = (error.code.get_ref(), &error.meaning, error.puback);
            let row =
                format!("ErrorSpec {{ code: {code:?}, meaning: {meaning:?}, puback: {puback} }}");
            errors.insert(code, row);
        }
        for verb in &file.verb {
            subsystems.insert(&source.stem);
            verbs.insert((source.stem.as_str(), verb.name.get_ref().as_str()), verb);
        }
        for topic in &file.topic {
            subsystems.insert(&source.stem);
            let row = Row::of_topic(topic, &source.stem);
            topics.insert(row.key(), row.print());
        }
    }
    for (index, ((stem, _), verb)) in verbs.iter().enumerate() {
        for row in Row::of_verb(verb, index, stem) {
            topics.insert(row.key(), row.print());
        }
    }
    let verbs: Vec<String> = verbs.iter().map(|((stem, _), verb)| print_verb(verb, stem)).collect();
    let subsystems: Vec<_> = subsystems.into_iter().collect();
    let mut out = format!("static SUBSYSTEMS: &[&str] = &{subsystems:?};\n");
    table(&mut out, "VERBS: &[Verb]", verbs.iter());
    table(&mut out, "ERRORS: &[ErrorSpec]", errors.values());
    table(&mut out, "TOPICS: &[TopicSpec]", topics.values());
    out
}

fn table<'t>(out: &mut String, head: &str, rows: impl Iterator<Item = &'t String>) {
    let _ = writeln!(out, "static {head} = &[");
    for row in rows {
        let _ = writeln!(out, "    {row},");
    }
    out.push_str("];\n");
}

fn print_verb(verb: &Verb, stem: &str) -> String {
    let mut calls = String::new();
    for call in verb.examples.get_ref().iter().map(toml::Spanned::get_ref) {
        let _ = write!(calls, "Example {{ args: {:?}, result: {:?} }}, ", call.args, call.result);
    }
    format!(
        "Verb {{ subsystem: {stem:?}, name: {:?}, class: Class::{}, role: Role::{}, subject: {:?}, \
         args: {:?}, result: {:?}, timeout: std::time::Duration::from_millis({}), dry_run: {}, \
         remote: {}, meaning: {:?}, since: {:?}, examples: &[{calls}] }}",
        verb.name.get_ref(),
        title(verb.class.get_ref()),
        title(verb.role()),
        verb.subject,
        verb.args,
        verb.result,
        verb.timeout_ms().unwrap_or_default(),
        verb.dry_run,
        verb.remote,
        verb.meaning,
        verb.since,
    )
}

/// One row of the table of topics; what stays empty is the class's.
struct Row<'r> {
    pattern: String,
    kind: usize,
    stem: &'r str,
    payload: &'r str,
    meaning: String,
    since: &'r str,
    role: Option<&'r str>,
    bridged: Option<&'r str>,
    verb: Option<usize>,
    parameters: Vec<(&'r str, &'r str)>,
    examples: Vec<String>,
}

impl<'r> Row<'r> {
    fn of_topic(topic: &'r Topic, stem: &'r str) -> Row<'r> {
        let pattern = topic.pattern.get_ref();
        let names = pattern.split('/').filter_map(parameter).map(|name| name.trim_end_matches('*'));
        let told = |name| {
            topic.parameters.get_key_value(name).map(|(n, told)| (n.as_str(), told.as_str()))
        };
        Row {
            pattern: pattern.clone(),
            kind: kind_of(pattern).unwrap_or_default(),
            stem,
            payload: &topic.payload,
            meaning: topic.meaning.clone(),
            since: &topic.since,
            role: topic.role.as_ref().map(|role| role.get_ref().as_str()),
            bridged: topic.bridged.as_ref().map(|way| way.get_ref().as_str()),
            verb: None,
            parameters: names.filter_map(told).collect(),
            examples: topic.examples.get_ref().iter().map(|e| e.get_ref().clone()).collect(),
        }
    }

    /// `cmd/<subsystem>/<verb>` and `reply/<subsystem>/<verb>`.
    fn of_verb(verb: &'r Verb, index: usize, stem: &'r str) -> [Row<'r>; 2] {
        let name = verb.name.get_ref();
        let calls = verb.examples.get_ref().iter().map(toml::Spanned::get_ref);
        let row = |class: &str, payload: &'r str, meaning: String| Row {
            pattern: format!("{class}/{stem}/{name}"),
            kind: kind_of(class).unwrap_or_default(),
            stem,
            payload,
            meaning,
            since: &verb.since,
            role: None,
            bridged: None,
            verb: Some(index),
            parameters: Vec::new(),
            examples: Vec::new(),
        };
        let args = verb.args.as_deref().unwrap_or("none");
        let answers = format!("Every answer to `cmd/{stem}/{name}`, for clients without MQTT 5.");
        [
            Row {
                bridged: (!verb.remote).then_some("no"),
                examples: calls.clone().map(|call| call.args.clone()).collect(),
                ..row("cmd", args, verb.meaning.clone())
            },
            Row {
                examples: calls
                    .map(|call| reply(&format!("{stem}/{name}"), &call.result))
                    .collect(),
                ..row("reply", "command.Task", answers)
            },
        ]
    }

    /// By class; in it words before parameters before rests: the first match is the most exact.
    fn key(&self) -> (usize, String) {
        let rank = |level: &str| match level {
            level if level.ends_with("*}") => "~~".to_string(),
            level if level.starts_with('{') => format!("~{level}"),
            level => level.to_string(),
        };
        (self.kind, self.pattern.split('/').map(rank).collect::<Vec<_>>().join("/"))
    }

    fn print(&self) -> String {
        let mut levels = String::new();
        for level in self.pattern.split('/') {
            let named = parameter(level);
            let _ = match (named, named.and_then(|name| name.strip_suffix('*'))) {
                (_, Some(rest)) => write!(levels, "Level::Rest({rest:?}), "),
                (Some(name), None) => write!(levels, "Level::Any({name:?}), "),
                (None, None) => write!(levels, "Level::Word({level:?}), "),
            };
        }
        let kind = self.kind;
        let role =
            self.role.map_or(format!("KINDS[{kind}].reader"), |r| format!("Role::{}", title(r)));
        let bridged = self
            .bridged
            .map_or(format!("KINDS[{kind}].bridged"), |b| format!("Bridged::{}", title(b)));
        let verb = self.verb.map_or("None".into(), |index| format!("Some(&VERBS[{index}])"));
        format!(
            "TopicSpec {{ pattern: {:?}, levels: &[{levels}], kind: Kind::{}, subsystem: {:?}, \
             role: {role}, payload: {:?}, meaning: {:?}, since: {:?}, bridged: {bridged}, \
             verb: {verb}, parameters: &{:?}, examples: &{:?} }}",
            self.pattern,
            KINDS[kind].1,
            self.stem,
            self.payload,
            self.meaning,
            self.since,
            self.parameters,
            self.examples,
        )
    }
}

/// The answer to a command whose id was assigned, around its result.
fn reply(command: &str, result: &str) -> String {
    format!(
        r#"{{"state":"succeeded","result":{result},"command":"{command}","from":"operator:alice","received":"2026-11-22T10:00:00.000Z","ended":"2026-11-22T10:00:00.000Z","id":"01JD9Z6Y4M9Q3T8V5W7X2B1C0D","time":"2026-11-22T10:00:00.000Z","boot":"1f0c9a3e","seq":17}}"#
    )
}

fn title(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
