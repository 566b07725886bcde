//! `maestro api`: the contract as the box itself tells it on `$maestro/api/#`, as tables for people.

use serde_json::{Map, Value};

use super::args::Page;
use super::exit::{Exit, Stop};
use super::paint::{Cell, Style, table};
use super::session::Session;
use super::terminal::{Reader, Terminal};
use crate::bus::Qos;
use crate::contract::nearest;

const ASYNCAPI: &str = "$maestro/api/asyncapi";
const ERRORS: &str = "$maestro/api/errors";
const SCHEMA: &str = "$maestro/api/schema/";

/// `maestro api`.
pub(super) fn run(
    page: Option<&Page>,
    session: &mut Session,
    terminal: Terminal,
) -> Result<Exit, Stop> {
    match page {
        None => {
            print(&topics(&document(session, ASYNCAPI)?), terminal)?;
            if terminal.reader == Reader::Person {
                terminal.print("\nmore: maestro api verbs | errors | schema TYPE | asyncapi\n")?;
            }
        }
        Some(Page::Topics) => print(&topics(&document(session, ASYNCAPI)?), terminal)?,
        Some(Page::Verbs) => print(&verbs(&document(session, ASYNCAPI)?), terminal)?,
        Some(Page::Errors) => print(&errors(&document(session, ERRORS)?), terminal)?,
        Some(Page::Asyncapi) => whole(&document(session, ASYNCAPI)?, terminal)?,
        Some(Page::Schema { r#type }) => whole(&schema(session, r#type)?, terminal)?,
    }
    Ok(Exit::Succeeded)
}

/// A retained document of the box.
fn document(session: &mut Session, topic: &str) -> Result<Value, Stop> {
    let found = session.retained(topic)?;
    let found = found.and_then(|message| serde_json::from_slice(&message.payload).ok());
    found.ok_or_else(|| {
        let address = &session.address;
        Stop::new(
            Exit::Failed,
            format!("no {topic} at {address}: the contract is on the box itself, no cloud has it"),
        )
    })
}

fn schema(session: &mut Session, name: &str) -> Result<Value, Stop> {
    let all = format!("{SCHEMA}+");
    if name.contains(['/', '+', '#']) {
        return Err(Stop::usage(format!("'{name}' is not a type")));
    }
    if let Ok(found) = document(session, &format!("{SCHEMA}{name}")) {
        return Ok(found);
    }
    session.client.subscribe(&[&all], Qos::AtMostOnce)?;
    let messages = session.client.settled()?;
    let mut names: Vec<&str> =
        messages.iter().filter_map(|message| message.topic.strip_prefix(SCHEMA)).collect();
    names.sort_unstable();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names.join(", ")),
    };
    Err(Stop::usage(format!("there is no type {name}: {hint}")))
}

/// A JSON document: indented for a person.
fn whole(document: &Value, terminal: Terminal) -> Result<(), Stop> {
    terminal.print(match terminal.reader {
        Reader::Person => format!("{document:#}\n"),
        Reader::Program => format!("{document}\n"),
    })
}

/// Rows with named columns: a table for people, objects for programs.
#[derive(Debug, PartialEq)]
struct Rows {
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

fn print(rows: &Rows, terminal: Terminal) -> Result<(), Stop> {
    if terminal.reader == Reader::Program {
        for row in &rows.rows {
            let pairs = rows.columns.iter().zip(row);
            let record: Map<String, Value> =
                pairs.map(|(key, value)| ((*key).into(), value.as_str().into())).collect();
            terminal.print(format!("{}\n", Value::Object(record)))?;
        }
        return Ok(());
    }
    let mut cells = vec![rows.columns.iter().map(Cell::head).collect::<Vec<_>>()];
    cells.extend(rows.rows.iter().map(|row| {
        let style = |word: &String| match word.as_str() {
            "change" => Style::Warn,
            "danger" => Style::Bad,
            _ => Style::Plain,
        };
        row.iter().map(|word| Cell::new(word, style(word))).collect()
    }));
    terminal.print(table(&cells, 0, terminal.paint))
}

/// Every operation with its channel: key, operation, address.
fn operations(document: &Value) -> impl Iterator<Item = (&Value, &str)> {
    let all = document.get("operations").and_then(Value::as_object);
    all.into_iter().flatten().filter_map(|(_, operation)| {
        let pointer = operation.pointer("/channel/$ref")?.as_str()?.strip_prefix('#')?;
        Some((operation, document.pointer(pointer)?.get("address")?.as_str()?))
    })
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Every topic: who writes it, how it is kept, what it means.
fn topics(document: &Value) -> Rows {
    let rows = operations(document)
        .map(|(operation, address)| {
            let writer = match text(operation, "/action").as_str() {
                _ if address.contains("/app/{") => "apps",
                "receive" => "you",
                _ => "maestro",
            };
            let mqtt = operation.pointer("/bindings/mqtt").unwrap_or(&Value::Null);
            let retained = mqtt.get("retain").and_then(Value::as_bool) == Some(true);
            let qos = mqtt.get("qos").map_or_else(String::new, Value::to_string);
            vec![
                address.to_owned(),
                writer.to_owned(),
                qos,
                if retained { "retained".into() } else { String::new() },
                text(operation, "/summary"),
            ]
        })
        .collect();
    Rows { columns: &["topic", "written by", "qos", "kept", "meaning"], rows }
}

/// Every verb: its class, its arguments with the subject first, what it does.
fn verbs(document: &Value) -> Rows {
    let rows = operations(document)
        .filter_map(|(operation, address)| {
            let class = operation.get("x-class")?.as_str()?;
            let command = address.rsplit_once("/cmd/")?.1;
            let subject = text(operation, "/x-subject");
            let mut arguments = arguments(document, &format!("cmd.{}", command.replace('/', ".")));
            arguments.retain(|name| *name != subject);
            if !subject.is_empty() {
                arguments.insert(0, subject);
            }
            Some(vec![
                command.to_owned(),
                class.to_owned(),
                arguments.join(" "),
                text(operation, "/summary"),
            ])
        })
        .collect();
    Rows { columns: &["verb", "class", "arguments", "meaning"], rows }
}

/// The names of a message's fields.
fn arguments(document: &Value, message: &str) -> Vec<String> {
    let fields = || {
        let name = document.get("components")?.get("messages")?.get(message)?.get("name")?;
        let schema = document.get("components")?.get("schemas")?.get(name.as_str()?)?;
        Some(schema.get("properties")?.as_object()?.keys().cloned().collect())
    };
    fields().unwrap_or_default()
}

/// Every error code.
fn errors(document: &Value) -> Rows {
    let all = document.as_object().into_iter().flatten();
    let rows = all
        .map(|(code, error)| {
            let reason = error.get("reason_code").and_then(Value::as_u64);
            let reason = reason.map_or_else(String::new, |reason| format!("0x{reason:02X}"));
            vec![code.clone(), reason, text(error, "/meaning")]
        })
        .collect();
    Rows { columns: &["code", "reason", "meaning"], rows }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contract() -> Value {
        json!({
            "channels": {
                "cmd.stats.sample": {"address": "maestro/cmd/stats/sample"},
                "info": {"address": "maestro/info"},
            },
            "operations": {
                "cmd.stats.sample": {
                    "action": "receive", "summary": "Measures now.", "x-class": "read",
                    "x-subject": "family", "channel": {"$ref": "#/channels/cmd.stats.sample"},
                    "bindings": {"mqtt": {"qos": 1, "retain": false}},
                },
                "info": {
                    "action": "send", "summary": "Who this box is.",
                    "channel": {"$ref": "#/channels/info"},
                    "bindings": {"mqtt": {"qos": 1, "retain": true}},
                },
            },
            "components": {
                "messages": {"cmd.stats.sample": {"name": "stats.SampleArgs"}},
                "schemas": {"stats.SampleArgs": {"properties": {"fresh": {}, "family": {}}}},
            },
        })
    }

    #[test]
    fn a_topic_tells_who_writes_it_and_whether_it_is_kept() {
        assert_eq!(
            topics(&contract()).rows,
            [
                ["maestro/cmd/stats/sample", "you", "1", "", "Measures now."],
                ["maestro/info", "maestro", "1", "retained", "Who this box is."],
            ]
        );
    }

    #[test]
    fn a_verb_tells_its_class_and_its_arguments_subject_first() {
        assert_eq!(
            verbs(&contract()).rows,
            [["stats/sample", "read", "family fresh", "Measures now."]]
        );
    }

    #[test]
    fn an_error_tells_its_reason_code() {
        let document = json!({"command.retained": {"meaning": "No.", "reason_code": 131}});
        assert_eq!(errors(&document).rows, [["command.retained", "0x83", "No."]]);
    }

    #[test]
    fn the_contract_compiled_in_shows_every_verb() {
        let document = crate::contract::api::asyncapi(&crate::topic::Root::default());
        let shown = verbs(&serde_json::from_str(&document).unwrap()).rows;
        let known: Vec<String> = crate::contract::verbs()
            .iter()
            .map(|verb| format!("{}/{}", verb.subsystem, verb.name))
            .collect();
        assert_eq!(shown.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), known);
    }
}
