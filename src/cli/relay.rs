//! `maestro pub` and `maestro sub`: messages in and out, as they are.

use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::args::{Pub, Sub};
use super::client::Client;
use super::exit::{Exit, Stop};
use super::paint::{Cell, Paint, Style, harmless};
use super::terminal::{Reader, Terminal};
use crate::broker::wire::topic;
use crate::bus::{Message, Qos};
use crate::service::rfc3339;

/// The message of `maestro pub`. Reads standard input before there is a connection to keep alive.
pub(super) fn message(typed: &Pub) -> Result<Message, Stop> {
    if topic::name(&typed.topic).is_err() {
        return Err(Stop::usage(format!("'{}' is not a topic to publish on", typed.topic)));
    }
    let mut payload = typed.payload.clone().into_bytes();
    if typed.payload == "-" {
        payload.clear();
        io::stdin()
            .read_to_end(&mut payload)
            .map_err(|e| Stop::new(Exit::Failed, format!("standard input: {e}")))?;
    }
    let mut message = Message::new(typed.topic.clone(), payload);
    message.qos = qos(typed.qos);
    message.retain = typed.retain;
    Ok(message)
}

/// `maestro sub`.
pub(super) fn subscribe(sub: &Sub, client: &mut Client, to: Terminal) -> Result<Exit, Stop> {
    let filters: Vec<&str> = sub.filters.iter().map(String::as_str).collect();
    for filter in &filters {
        if topic::filter(filter).is_err() {
            return Err(Stop::usage(format!("'{filter}' is not a filter")));
        }
    }
    client.subscribe(&filters, qos(sub.qos))?;
    let mut left = sub.count;
    while left != Some(0) {
        let Some(message) = client.next(Duration::MAX)? else { continue };
        let time = sub.time.then(|| rfc3339(SystemTime::now()));
        to.print(match to.reader {
            Reader::Person => line(&message, time.as_deref(), to.paint),
            Reader::Program => record(&message, time).into_bytes(),
        })?;
        left = left.map(|left| left - 1);
    }
    Ok(Exit::Succeeded)
}

fn qos(number: u8) -> Qos {
    match number {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

/// `topic payload`: byte by byte into a pipe, harmless on a terminal.
fn line(message: &Message, time: Option<&str>, paint: Paint) -> Vec<u8> {
    let time = time.map_or_else(String::new, |time| format!("{time} "));
    if paint == Paint::Plain {
        let mut line = format!("{time}{} ", message.topic).into_bytes();
        line.extend_from_slice(&message.payload);
        line.push(b'\n');
        return line;
    }
    let mut line = String::new();
    Cell::new(time, Style::Dim).print(paint, &mut line);
    Cell::new(&message.topic, Style::Head).print(paint, &mut line);
    let text = String::from_utf8_lossy(&message.payload);
    let text: Vec<String> = text.lines().map(harmless).collect();
    line += &format!(" {}\n", text.join("\n"));
    line.into_bytes()
}

/// One JSON document: `payload` is the payload's JSON where it is JSON, its text where it is text,
/// else `payload_hex` its bytes.
fn record(message: &Message, time: Option<String>) -> String {
    let mut record = Map::new();
    record.insert("topic".into(), message.topic.clone().into());
    match std::str::from_utf8(&message.payload) {
        Ok(text) => {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()));
            record.insert("payload".into(), value);
        }
        Err(_) => {
            let hex: String = message.payload.iter().map(|byte| format!("{byte:02x}")).collect();
            record.insert("payload_hex".into(), hex.into());
        }
    }
    record.insert("qos".into(), (message.qos as u8).into());
    record.insert("retain".into(), message.retain.into());
    if let Some(time) = time {
        record.insert("time".into(), time.into());
    }
    format!("{}\n", Value::Object(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &[u8]) -> Message {
        Message::new("a/b".into(), payload.to_vec())
    }

    #[test]
    fn a_pipe_gets_the_payload_byte_by_byte() {
        assert_eq!(line(&message(b"\xFFx\x1b"), None, Paint::Plain), b"a/b \xFFx\x1b\n");
        assert_eq!(line(&message(b"x"), Some("T"), Paint::Plain), b"T a/b x\n");
    }

    #[test]
    fn a_terminal_gets_nothing_that_moves_its_cursor() {
        let shown = line(&message(b"1\x1b[2J\n2"), None, Paint::Coloured);
        assert_eq!(shown, b"\x1b[1ma/b\x1b[0m 1\\u{1b}[2J\n2\n");
    }

    #[test]
    fn a_program_gets_json_text_or_hex() {
        for (payload, shown) in [
            (&b"{\"a\":1}"[..], r#"{"topic":"a/b","payload":{"a":1},"qos":0,"retain":false}"#),
            (b"online", r#"{"topic":"a/b","payload":"online","qos":0,"retain":false}"#),
            (b"", r#"{"topic":"a/b","payload":"","qos":0,"retain":false}"#),
            (b"\xFF\x00", r#"{"topic":"a/b","payload_hex":"ff00","qos":0,"retain":false}"#),
        ] {
            assert_eq!(record(&message(payload), None), format!("{shown}\n"));
        }
        assert!(record(&message(b"1"), Some("T".into())).contains(r#","time":"T"}"#));
    }
}
