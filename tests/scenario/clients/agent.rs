//! A client library behind one set of orders, whatever it is written in.
//!
//! ```text
//!   test ── {"do":"publish","topic":"a","qos":1,..} ──> agent.py, agent.js or rumqttc ── MQTT ──> daemon
//!        <── {"sha256":..} or {"trouble":..} ─────────
//! ```
//! Orders: `connect` (id, version, clean, session_expiry, will, `hold`: take messages and acknowledge none,
//! `way`: scheme, port, ca, user, password),
//! `subscribe`, `unsubscribe`, `publish` and `publish_many` (until acknowledged), `messages` (so many, or
//! what comes), `wait_end`, `disconnect`, and `drop` (the connection just ends).

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::rumqttc::Rumqttc;
use crate::support::{daemon::Daemon, peers};

/// Longer than what an agent waits for by itself.
const ANSWER: Duration = Duration::from_secs(90);

/// Who makes the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Library {
    Paho1,
    Paho2,
    MqttJs,
    Rumqttc,
}

/// A library with a version of MQTT: 4 (3.1.1) or 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) library: Library,
    pub(super) version: u8,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}-v{}", self.library, self.version)
    }
}

const LIBRARIES: [Library; 4] = [Library::Paho1, Library::Paho2, Library::MqttJs, Library::Rumqttc];

/// Holds a promise against every library by both versions, all at the same time.
pub(super) fn each(promise: impl Fn(Kind) + Sync) {
    let of = |version| LIBRARIES.map(|library| Kind { library, version });
    all_of(&[of(4), of(5)].concat(), promise);
}

/// Holds it against the libraries that bring their own TLS and WebSockets.
pub(super) fn each_with_layers(promise: impl Fn(Kind) + Sync) {
    let of = |version| {
        [Library::Paho1, Library::Paho2, Library::MqttJs].map(|library| Kind { library, version })
    };
    all_of(&[of(4), of(5)].concat(), promise);
}

/// The same for what only MQTT 5 has.
pub(super) fn each_v5(promise: impl Fn(Kind) + Sync) {
    all_of(&LIBRARIES.map(|library| Kind { library, version: 5 }), promise);
}

fn all_of(kinds: &[Kind], promise: impl Fn(Kind) + Sync) {
    let promise = &promise;
    let broken: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = kinds
            .iter()
            .map(|kind| {
                let named = std::thread::Builder::new().name(kind.to_string());
                (kind, named.spawn_scoped(scope, || promise(*kind)).expect("a thread"))
            })
            .collect();
        let broken = threads.into_iter().filter_map(|(kind, thread)| {
            thread.join().is_err().then(|| kind.to_string()) // the thread has said what
        });
        broken.collect()
    });
    assert!(broken.is_empty(), "the promise is broken for {}", broken.join(", "));
}

/// A client that does what it is told.
pub(super) struct Agent {
    kind: Kind,
    made_by: MadeBy,
}

enum MadeBy {
    Script(Script),
    Rumqttc(Rumqttc),
}

impl Agent {
    /// One that knows where the daemon is and has not connected.
    pub(super) fn new(kind: Kind, daemon: &Daemon) -> Agent {
        let port = daemon.port();
        let made_by = match kind.library {
            Library::Paho1 => MadeBy::Script(Script::start("python3", "agent.py", port)),
            Library::Paho2 => MadeBy::Script(Script::start("python3-paho2", "agent.py", port)),
            Library::MqttJs => MadeBy::Script(Script::start("node", "agent.js", port)),
            Library::Rumqttc => MadeBy::Rumqttc(Rumqttc::new(kind.version, port)),
        };
        Agent { kind, made_by }
    }
    /// One that is connected with a fresh session.
    pub(super) fn connected(kind: Kind, daemon: &Daemon, id: &str) -> Agent {
        let mut agent = Agent::new(kind, daemon);
        agent.connect(id, json!({}));
        agent
    }
    /// Connects; true when a session was there.
    pub(super) fn connect(&mut self, id: &str, how: Value) -> bool {
        let mut order = json!({"do": "connect", "id": id, "version": self.kind.version});
        merge(&mut order, how);
        let answer = self.ask(&order);
        assert_eq!(answer["code"], 0, "CONNACK");
        answer["present"].as_bool().expect("session present")
    }
    /// Connects to a session that outlives its connection; true when it was there.
    pub(super) fn resume(&mut self, id: &str) -> bool {
        self.connect(id, json!({"clean": false, "session_expiry": 3600}))
    }
    /// Subscribes; the granted quality or the reason.
    pub(super) fn subscribe(&mut self, filter: &str, qos: u8) -> u64 {
        let answer = self.ask(&json!({"do": "subscribe", "filter": filter, "qos": qos}));
        answer["codes"][0].as_u64().expect("a code")
    }
    /// Unsubscribes.
    pub(super) fn unsubscribe(&mut self, filter: &str) {
        self.ask(&json!({"do": "unsubscribe", "filter": filter}));
    }
    /// Publishes and waits until it is acknowledged.
    pub(super) fn publish(&mut self, topic: &str, payload: &str, qos: u8) {
        self.publish_with(topic, payload, json!({"qos": qos}));
    }
    /// The same with more to say.
    pub(super) fn publish_with(&mut self, topic: &str, payload: &str, how: Value) -> Value {
        let mut order = json!({"do": "publish", "topic": topic, "payload": payload});
        merge(&mut order, how);
        self.ask(&order)
    }
    /// Publishes `0 `, `1 `, .. to a topic, in which `{n}` is the number, and waits until all are acknowledged.
    pub(super) fn publish_many(&mut self, topic: &str, count: usize, how: Value) {
        let mut order = json!({"do": "publish_many", "topic": topic, "count": count});
        merge(&mut order, how);
        self.ask(&order);
    }
    /// So many messages.
    pub(super) fn messages(&mut self, count: usize) -> Vec<Value> {
        let messages = self.up_to(count, Duration::from_secs(30));
        assert_eq!(messages.len(), count, "only these came: {messages:?}");
        messages
    }
    /// The texts of so many messages.
    pub(super) fn texts(&mut self, count: usize) -> Vec<String> {
        texts(&self.messages(count))
    }
    /// What has come, and comes until nothing does for half a second.
    pub(super) fn rest(&mut self) -> Vec<Value> {
        self.up_to(1_000_000, Duration::from_millis(500))
    }
    /// The connection was ended by the other side; the reason it gave.
    pub(super) fn wait_end(&mut self) -> i64 {
        self.ask(&json!({"do": "wait_end"}))["code"].as_i64().unwrap_or(-1)
    }
    /// A clean end.
    pub(super) fn disconnect(&mut self) {
        self.ask(&json!({"do": "disconnect"}));
    }
    /// The connection is gone without a word.
    pub(super) fn drop_connection(&mut self) {
        self.ask(&json!({"do": "drop"}));
    }
    /// At most so many messages, until nothing comes for so long.
    pub(super) fn up_to(&mut self, count: usize, wait: Duration) -> Vec<Value> {
        let wait_ms = u64::try_from(wait.as_millis()).expect("a short wait");
        let answer = self.ask(&json!({"do": "messages", "count": count, "wait_ms": wait_ms}));
        answer["messages"].as_array().expect("messages").clone()
    }
    fn ask(&mut self, order: &Value) -> Value {
        let answer = match &mut self.made_by {
            MadeBy::Script(script) => script.ask(order),
            MadeBy::Rumqttc(rumqttc) => rumqttc.ask(order),
        };
        assert!(answer.get("trouble").is_none(), "{}: {order}: {answer}", self.kind);
        answer
    }
}

/// The texts of messages.
pub(super) fn texts(messages: &[Value]) -> Vec<String> {
    messages.iter().map(|m| m["text"].as_str().unwrap_or_default().to_owned()).collect()
}

fn merge(order: &mut Value, more: Value) {
    let (Value::Object(order), Value::Object(more)) = (order, more) else {
        panic!("an order is an object");
    };
    order.extend(more);
}

/// A library in another language.
struct Script {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

impl Script {
    fn start(program: &str, script: &str, port: u16) -> Script {
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenario/clients/scripts");
        let mut command = peers::peer(program);
        command.arg(format!("{scripts}/{script}")).arg(port.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        let orders = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines();
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Script { child, orders, answers }
    }
    fn ask(&mut self, order: &Value) -> Value {
        writeln!(self.orders, "{order}").expect("the script runs");
        let answer = self.answers.recv_timeout(ANSWER);
        let answer = answer.unwrap_or_else(|e| panic!("no answer to {order}: {e}"));
        serde_json::from_str(&answer).expect("an answer is JSON")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
