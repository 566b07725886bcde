//! A pair of ordinary clients that only want to be served: 200 messages a second with QoS 1 from one to
//! the other, each timed. Beside them newcomers, who only want to be let in.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::packet::{self, Connect};
use crate::support::clock::now;

/// Between two messages.
const PACE: Duration = Duration::from_millis(5);
/// Between two newcomers.
const NEXT: Duration = Duration::from_millis(250);
/// Nothing may take longer. Far more than any figure: the machine may be building something else.
pub(crate) const SERVED: Duration = Duration::from_secs(10);

const QUIET: u8 = 0;
const ATTACKED: u8 = 1;
const OVER: u8 = 2;

/// The pair at work.
pub(crate) struct Healthy {
    phase: Arc<AtomicU8>,
    pair: JoinHandle<[Times; 2]>,
    newcomers: JoinHandle<[Times; 2]>,
}

/// What was seen in one phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// A percentile, ms.
    pub(crate) fn percent(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Quiet and attacked, of the pair and of the newcomers.
pub(crate) struct Report {
    pub(crate) quiet: Times,
    pub(crate) attacked: Times,
    pub(crate) let_in: [Times; 2],
}

impl Healthy {
    /// Begins in peace.
    pub(crate) fn start(socket: &Path) -> Healthy {
        let phase = Arc::new(AtomicU8::new(QUIET));
        let (seen, path) = (phase.clone(), socket.to_owned());
        let pair = std::thread::spawn(move || Pair::new(&path).run(&seen));
        let (seen, path) = (phase.clone(), socket.to_owned());
        let newcomers = std::thread::spawn(move || newcomers(&path, &seen));
        Healthy { phase, pair, newcomers }
    }

    /// What follows is an attack.
    pub(crate) fn attacked(&self) {
        self.phase.store(ATTACKED, Ordering::Relaxed);
    }

    /// Whether both parts are still served.
    pub(crate) fn is_well(&self) -> bool {
        !self.pair.is_finished() && !self.newcomers.is_finished()
    }

    /// Peace again: the round trips under way must still end.
    ///
    /// # Panics
    /// When one of them was not served.
    pub(crate) fn finish(self) -> Report {
        self.phase.store(OVER, Ordering::Relaxed);
        let [quiet, attacked] = self.pair.join().expect("the pair was served throughout");
        let let_in = self.newcomers.join().expect("newcomers were let in throughout");
        Report { quiet, attacked, let_in }
    }
}

struct Pair {
    writer: UnixStream,
    reader: UnixStream,
    /// What came of each, not yet a whole packet.
    input: [Vec<u8>; 2],
    /// Sent and not come back; sent and not acknowledged.
    under_way: VecDeque<(u32, Instant, u8)>,
    unacknowledged: VecDeque<(u16, Instant)>,
    times: [Times; 2],
}

fn entered(socket: &Path, id: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket).expect("the broker listens");
    stream.set_read_timeout(Some(SERVED)).expect("a time-out");
    stream.write_all(&Connect::new(4, id).bytes()).expect("a CONNECT goes out");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("a CONNACK in time");
    assert_eq!(answer, [0x20, 2, 0, 0], "CONNACK");
    stream
}

impl Pair {
    fn new(socket: &Path) -> Pair {
        let mut reader = entered(socket, "healthy-reader");
        reader.write_all(&packet::subscribe(4, &["healthy/t"], 1)).expect("a SUBSCRIBE");
        let mut answer = [0; 5];
        reader.read_exact(&mut answer).expect("a SUBACK");
        assert_eq!(answer, [0x90, 3, 0, 1, 1], "SUBACK");
        Pair {
            writer: entered(socket, "healthy-writer"),
            reader,
            input: Default::default(),
            under_way: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            times: Default::default(),
        }
    }

    fn run(mut self, phase: &AtomicU8) -> [Times; 2] {
        let (mut due, mut next) = (now(), 1_u32);
        loop {
            let phase = phase.load(Ordering::Relaxed);
            if phase != OVER && now() >= due {
                self.send(next, phase);
                next += 1;
                due = (due + PACE).max(now() - PACE);
            }
            if phase == OVER && self.under_way.is_empty() && self.unacknowledged.is_empty() {
                return self.times;
            }
            self.receive(due.saturating_duration_since(now()));
            self.nobody_waits_too_long();
        }
    }

    fn send(&mut self, number: u32, phase: u8) {
        let id = u16::try_from(number % 65_000).expect("below 65 000") + 1;
        let bytes = packet::publish(4, "healthy/t", &number.to_be_bytes(), 1, id);
        self.under_way.push_back((number, now(), phase));
        self.unacknowledged.push_back((id, now()));
        self.writer.write_all(&bytes).expect("the writer's connection lives");
    }

    fn receive(&mut self, wait: Duration) {
        let wait = u8::try_from(wait.as_millis()).unwrap_or(5).clamp(1, 5);
        let ready = {
            let mut polled = [
                PollFd::new(self.writer.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.reader.as_fd(), PollFlags::POLLIN),
            ];
            poll(&mut polled, PollTimeout::from(wait)).expect("poll");
            polled.map(|fd| fd.any().unwrap_or(false))
        };
        for (side, ready) in ready.into_iter().enumerate() {
            if ready {
                self.take(side);
            }
        }
    }

    fn take(&mut self, side: usize) {
        let mut bytes = [0; 65_536];
        let stream = if side == 0 { &mut self.writer } else { &mut self.reader };
        let count = stream.read(&mut bytes).expect("the connection lives");
        assert!(count > 0, "the broker closed a healthy connection");
        self.input[side].extend_from_slice(&bytes[..count]);
        let mut input = std::mem::take(&mut self.input[side]);
        // Every packet here is shorter than 128 bytes.
        while input.len() >= 2 && input.len() >= 2 + usize::from(input[1]) {
            let rest = input.split_off(2 + usize::from(input[1]));
            match input[0] & 0xF0 {
                0x40 => self.acknowledged(u16::from_be_bytes([input[2], input[3]])),
                0x30 => self.came(&input),
                other => panic!("a packet {other:#x} to a healthy client"),
            }
            input = rest;
        }
        self.input[side] = input;
    }

    fn acknowledged(&mut self, id: u16) {
        let (expected, _) = self.unacknowledged.pop_front().expect("an acknowledgement too many");
        assert_eq!(id, expected, "acknowledgements come in order");
    }

    fn came(&mut self, publish: &[u8]) {
        let topic = 4 + "healthy/t".len();
        let answer = [0x40, 2, publish[topic], publish[topic + 1]];
        self.reader.write_all(&answer).expect("the reader's connection lives");
        let payload = publish[topic + 2..].try_into().expect("four bytes");
        let (number, sent, phase) = self.under_way.pop_front().expect("a message too many");
        assert_eq!(u32::from_be_bytes(payload), number, "in order, none lost");
        self.times[usize::from(phase)].0.push(now() - sent);
    }

    fn nobody_waits_too_long(&self) {
        let oldest = self.under_way.front().map(|(_, sent, _)| *sent);
        let oldest = oldest.into_iter().chain(self.unacknowledged.front().map(|(_, sent)| *sent));
        for sent in oldest {
            assert!(now() - sent < SERVED, "a healthy client waits longer than {SERVED:?}");
        }
    }
}

/// Again and again somebody new, who must be let in.
fn newcomers(socket: &Path, phase: &AtomicU8) -> [Times; 2] {
    let mut times = <[Times; 2]>::default();
    loop {
        let seen = phase.load(Ordering::Relaxed);
        if seen == OVER {
            return times;
        }
        let begin = now();
        drop(entered(socket, "newcomer"));
        times[usize::from(seen)].0.push(now() - begin);
        std::thread::sleep(NEXT);
    }
}
