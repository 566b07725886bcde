//! A day in minutes: whatever came and went, memory and store return to where they were.
//!
//! ```text
//!   a round: sessions that stay and such that do not, filters, groups, wills, retained messages,
//!            queues filled and drained, QoS 0, 1, 2, connections cut, taken over; then all of it ends
//! ```
//! `tests/soak MINUTES` runs it on a release build for so long; in CI it is some seconds. The curve is
//! printed: seconds, rounds, resident memory, the size of the state directory.

use std::time::Duration;

use crate::attack::{
    field::Enemy,
    packet::{self, CLEAN, Connect, KEPT},
};
use crate::support::{clock, daemon::Daemon, long::count};

/// What may stay behind (anchors: RSS after a load run).
const SLACK_KB: u64 = 2048;
/// The store's file keeps pages that are free in it.
const STORE_BYTES: u64 = 8 << 20;
/// Messages for those who are away, in one round.
const QUEUED: usize = 100;
/// Sessions that stay, in one round.
const SESSIONS: usize = 10;

#[test]
fn whatever_comes_and_goes_memory_and_store_return_to_their_start() {
    let minutes = std::env::var("MAESTRO_SOAK_MINUTES").ok().and_then(|text| text.parse().ok());
    let seconds = minutes.map_or(count(12, 120) as u64, |minutes: u64| minutes * 60);
    let mut daemon = Daemon::build().unwatched().start();
    // What a daemon needs once it has done everything once belongs to its start.
    for number in 0..7 {
        round(&daemon, number);
    }
    let begin = settled(&mut daemon);
    let (deadline, since) = (clock::Deadline::after(Duration::from_secs(seconds)), clock::now());
    let (mut rounds, mut told) = (7, Duration::ZERO);
    println!("{:>8} {:>8} {:>10} {:>12}", "seconds", "rounds", "RSS kB", "store bytes");
    println!("{:>8} {rounds:>8} {:>10} {:>12}", 0, begin.0, begin.1);
    while deadline.left().is_some() {
        round(&daemon, rounds);
        rounds += 1;
        if since.elapsed() >= told + Duration::from_secs((seconds / 20).max(5)) {
            told = since.elapsed();
            let (rss, store) = size(&mut daemon);
            println!("{:>8} {rounds:>8} {rss:>10} {store:>12}", told.as_secs());
        }
    }
    let end = settled(&mut daemon);
    println!("{:>8} {rounds:>8} {:>10} {:>12}", "quiet", end.0, end.1);
    assert!(end.0 <= begin.0 + SLACK_KB, "{} kB resident, {} kB at the start", end.0, begin.0);
    assert!(end.1 <= begin.1 + STORE_BYTES, "{} bytes, {} at the start", end.1, begin.1);
    let left = daemon.client("after").subscribe("soak/#", 1);
    assert_eq!(left, 1, "served");
}

/// After some seconds without traffic: ten later the daemon gives memory back.
fn settled(daemon: &mut Daemon) -> (u64, u64) {
    std::thread::sleep(Duration::from_secs(12));
    size(daemon)
}

/// Resident memory, kB, and the bytes of all files in the state directory.
fn size(daemon: &mut Daemon) -> (u64, u64) {
    let pid = daemon.process().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let rss = line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number");
    let files = std::fs::read_dir(daemon.dir().join("state")).expect("its state");
    let store = files.flatten().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    (rss, store)
}

/// A client that does what is expected of it, as far as it is asked.
struct Worker(Enemy);

impl Worker {
    fn enter(daemon: &Daemon, connect: &Connect<'_>) -> Worker {
        let at = format!("unix:{}", daemon.socket().display());
        let mut enemy = Enemy::dial(&at).expect("the broker listens");
        enemy.send(&connect.bytes());
        let answer = enemy.wait(4).expect("a CONNACK");
        assert_eq!((answer[0], answer[3]), (0x20, 0), "let in");
        // What waited came with it perhaps.
        let behind = answer[2 + usize::from(answer[1])..].to_vec();
        let mut worker = Worker(enemy);
        worker.0.put_back(behind);
        worker
    }

    fn session(daemon: &Daemon, id: &str, will: Option<(&str, &[u8], u8)>) -> Worker {
        let kept = Connect { flags: KEPT, expiry_s: 600, will, ..Connect::new(5, id) };
        Worker::enter(daemon, &kept)
    }

    /// The next packet's first byte and body.
    fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        self.0.packet()
    }

    /// Sends, and waits for the packet that begins like this, answering what comes meanwhile.
    fn ask(&mut self, bytes: &[u8], until: u8) -> usize {
        self.0.send(bytes);
        self.work(|header, _| header & 0xF0 == until)
    }

    /// So many as are queued in a round, and waits until all are acknowledged.
    fn publish(&mut self, packet: &dyn Fn(usize, u16) -> Vec<u8>) {
        let ids = 1..=u16::try_from(QUEUED).expect("a round is small");
        let all: Vec<_> = ids.map(|id| packet(usize::from(id) - 1, id)).collect();
        let mut left = all.iter().filter(|bytes| bytes[0] & 0x06 > 0).count();
        self.0.send(&all.concat());
        self.work(|header, _| {
            left -= usize::from(matches!(header & 0xF0, 0x40 | 0x70));
            left == 0
        });
    }

    /// Answers what comes until it has come; how many messages did.
    fn work(&mut self, mut is_last: impl FnMut(u8, usize) -> bool) -> usize {
        let mut messages = 0;
        loop {
            let (header, body) = self.packet().expect("an answer in time");
            let id = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
            match header & 0xF6 {
                0x32 => drop(self.0.send(&packet::ack(0x40, id(2 + usize::from(id(0)))))),
                0x34 => drop(self.0.send(&packet::ack(0x50, id(2 + usize::from(id(0)))))),
                0x50 => drop(self.0.send(&packet::ack(0x62, id(0)))),
                0x62 => drop(self.0.send(&packet::ack(0x70, id(0)))),
                _ => {}
            }
            messages += usize::from(header & 0xF0 == 0x30);
            if is_last(header, messages) {
                return messages;
            }
        }
    }
}

fn round(daemon: &Daemon, number: usize) {
    let name = |n: usize| format!("soak{}-{n}", number % 7);
    for n in 0..SESSIONS {
        let mut worker = Worker::session(daemon, &name(n), Some(("soak/will", b"gone", 1)));
        let own = format!("soak/own/{number}/{n}");
        let qos = u8::try_from(n % 3).expect("below 3");
        let filters = ["soak/#", "$share/g/shared/#", "+/+/none", own.as_str()];
        worker.ask(&packet::subscribe(5, &filters, qos), 0x90);
        if n % 2 == 0 {
            worker.ask(&packet::unsubscribe(5, &["+/+/none"]), 0xB0);
        }
    } // all are cut off: ten wills
    let mut writer = Worker::enter(daemon, &Connect::new(5, "soak-writer"));
    let payload = vec![b'x'; 256 + number % 512];
    writer.publish(&|n, id| {
        let topic = if n % 5 == 0 { "shared/t" } else { "soak/t" };
        packet::publish(5, topic, &payload, u8::try_from(n % 3).expect("below 3"), id)
    });
    let kept = |n: usize| format!("soak-kept/{n}");
    writer.publish(&|n, id| packet::retained(5, kept(n), &payload, 1, id));
    let mut reader = Worker::enter(daemon, &Connect::new(4, "soak-reader"));
    reader.0.send(&packet::subscribe(4, &["soak-kept/#"], 1));
    reader.work(|_, messages| messages == QUEUED);
    writer.publish(&|n, id| packet::retained(5, kept(n), b"", 1, id));
    for n in 0..SESSIONS {
        let mut worker = Worker::session(daemon, &name(n), None);
        let mut taken = Worker::session(daemon, &name(n), None); // taken over
        worker.0.drain(Duration::from_millis(1));
        taken.ask(&packet::PING, 0xD0);
        if n % 3 > 0 {
            // Drained, and more than that: what still comes is answered.
            taken.0.drain(Duration::from_millis(1));
        }
        drop(taken);
        let id = name(n);
        let clean = Connect { flags: CLEAN, ..Connect::new(5, &id) };
        let mut last = Worker::enter(daemon, &clean);
        last.0.send(&packet::BYE);
    }
}
