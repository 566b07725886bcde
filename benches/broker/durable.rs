//! Messages for somebody who is away: how fast they are safe, what that writes, what a SIGKILL after the
//! last acknowledgement costs, and how soon a broker with a full store is back.

use std::collections::HashSet;
use std::time::Duration;

use crate::load::{self, Socket, TOPIC};
use crate::measure::Footprint;
use crate::subject::{Keeps, Subject, Which};
use crate::support::clock::{self, Deadline};

/// Publishes under way at most.
const WINDOW: u64 = 200;
/// The client that is away.
const AWAY: &str = "away";

/// What became of the messages.
pub(crate) struct Outcome {
    /// Messages acknowledged per second.
    pub(crate) per_second: f64,
    /// Bytes the process caused to be written, per message.
    pub(crate) written: f64,
    /// Acknowledged messages that were not there after the kill.
    pub(crate) lost: f64,
    /// Messages per second to the client that came back.
    pub(crate) drained_per_second: f64,
    /// From exec to the first PUBACK after the kill.
    pub(crate) start_ms: f64,
    /// Bytes of its files when it was killed.
    pub(crate) kept_bytes: u64,
}

/// Fills a queue, kills the broker, starts it, and lets the client come back.
pub(crate) fn run(which: Which, keeps: Keeps, messages: u64, size: usize) -> Outcome {
    let (broker, _) = Subject::start_keeping(which, keeps);
    drop(Socket::resume(broker.address(), AWAY).subscribed(TOPIC, 1));
    let before = Footprint::of(broker.pid()).written;
    let seconds = fill(&broker, messages, size);
    let written = Footprint::of(broker.pid()).written - before;
    let kept_bytes = broker.kept_bytes();
    let (broker, start_ms) = broker.killed_and_started();
    let (received, drained_s) = drain(&broker, messages);
    let per = |count: u64, seconds: f64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    Outcome {
        per_second: per(messages, seconds),
        written: written / messages as f64,
        lost: (messages - received) as f64,
        drained_per_second: per(received, drained_s),
        start_ms,
        kept_bytes,
    }
}

/// Publishes so many messages with QoS 1; the seconds to the last PUBACK.
fn fill(broker: &Subject, messages: u64, size: usize) -> f64 {
    let mut writer = Socket::open(broker.address(), "writer");
    let (mut sent, mut acknowledged, begin) = (0, 0, clock::now());
    let patience = Deadline::after(Duration::from_secs(120));
    while acknowledged < messages {
        while sent < messages && sent - acknowledged < WINDOW {
            let id = u16::try_from(sent % 65_000).expect("below 65 000") + 1;
            writer.output.extend(load::publish_of(size, 1, id, &sent.to_le_bytes()));
            sent += 1;
        }
        writer.turn();
        acknowledged += writer.packets(|kind, _| u64::from(kind == 4));
        assert!(patience.left().is_some(), "stuck at {acknowledged} of {messages}");
    }
    begin.elapsed().as_secs_f64()
}

/// Comes back, takes and acknowledges everything; how many different messages, and in how many seconds.
fn drain(broker: &Subject, messages: u64) -> (u64, f64) {
    let begin = clock::now();
    let mut reader = Socket::resume(broker.address(), AWAY);
    let (mut seen, mut last) = (HashSet::new(), begin);
    let mut silence = Deadline::after(Duration::from_secs(2));
    while (seen.len() as u64) < messages && silence.left().is_some() {
        reader.turn();
        let mut answers = Vec::new();
        let news = reader.packets(|kind, body| {
            let payload = 2 + TOPIC.len() + 2;
            if kind != 3 || body.len() < payload + 8 {
                return 0;
            }
            answers.extend([0x40, 2, body[payload - 2], body[payload - 1]]);
            let number =
                u64::from_le_bytes(body[payload..payload + 8].try_into().expect("8 bytes"));
            if number < messages {
                seen.insert(number); // else it is the message of the start
            }
            1
        });
        reader.output.extend(answers);
        if news > 0 {
            last = clock::now();
            silence = Deadline::after(Duration::from_secs(2));
        }
    }
    reader.turn();
    (seen.len() as u64, last.duration_since(begin).as_secs_f64())
}
