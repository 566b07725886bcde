//! The load generator: MQTT 3.1.1 over non-blocking sockets, one thread, one `poll`.
//!
//! A closed loop keeps at most [`WINDOW`] messages under way, so that no queue in the broker grows
//! without bound; a paced one sends by the clock and measures what a message takes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsFd,
    time::Instant,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::clock::{self, Deadline};

/// Messages under way at most.
const WINDOW: u64 = 100;
/// Bytes of a payload.
const SIZE: usize = 256;
pub(crate) const TOPIC: &[u8] = b"bench/t";

/// One kind of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// For the table.
    pub(crate) name: &'static str,
    /// Of publishes and subscriptions.
    pub(crate) qos: u8,
    /// Subscribers.
    pub(crate) readers: u64,
    /// Messages published.
    pub(crate) messages: u64,
    /// Messages per second; 0: as fast as the window allows.
    pub(crate) rate: u64,
}

/// What a load run saw.
pub(crate) struct Seen {
    /// Messages delivered, over all readers.
    pub(crate) received: u64,
    /// From the first publish to the last delivery.
    pub(crate) seconds: f64,
    latencies_ns: Vec<u64>,
}

impl Seen {
    /// A percentile of the time from publish to delivery.
    pub(crate) fn latency_us(&self, percent: usize) -> f64 {
        let at = (self.latencies_ns.len() * percent / 100).min(self.latencies_ns.len() - 1);
        self.latencies_ns[at] as f64 / 1e3
    }
}

pub(crate) struct Socket {
    stream: TcpStream,
    input: Vec<u8>,
    pub(crate) output: Vec<u8>,
    written: usize,
}

#[derive(Default)]
struct Tally {
    acknowledged: u64,
    received: u64,
    latencies_ns: Vec<u64>,
}

/// Runs one case against a broker.
///
/// # Panics
/// When the broker loses a message or stops answering for ten seconds.
pub(crate) fn run(broker: SocketAddr, case: &Case) -> Seen {
    let mut sockets: Vec<Socket> = (0..case.readers)
        .map(|n| Socket::reader(broker, &format!("reader{n}"), TOPIC, case.qos))
        .collect();
    sockets.push(Socket::open(broker, "writer"));
    let writer = sockets.len() - 1;
    let (mut sent, mut tally, begin) = (0, Tally::default(), clock::now());
    let mut patience = Deadline::after(std::time::Duration::from_secs(10));
    let mut last = 0;
    while tally.received < case.messages * case.readers {
        while sent < case.messages && may_send(case, sent, &tally, begin) {
            let id = u16::try_from(sent % 65_000).expect("below 65 000") + 1;
            let stamp = nanos(begin).to_le_bytes();
            sockets[writer].output.extend(publish(case.qos, id, &stamp));
            sent += 1;
        }
        turn(&mut sockets, case, begin, &mut tally);
        if tally.received != last {
            last = tally.received;
            patience = Deadline::after(std::time::Duration::from_secs(10));
        }
        assert!(patience.left().is_some(), "{}: stuck at {last} of {}", case.name, case.messages);
    }
    let seconds = begin.elapsed().as_secs_f64();
    tally.latencies_ns.sort_unstable();
    Seen { received: tally.received, seconds, latencies_ns: tally.latencies_ns }
}

fn may_send(case: &Case, sent: u64, tally: &Tally, begin: Instant) -> bool {
    if let Some(due_ns) = (sent * 1_000_000_000).checked_div(case.rate) {
        return nanos(begin) >= due_ns;
    }
    let under_way = sent - tally.received / case.readers;
    under_way < WINDOW && (case.qos == 0 || sent - tally.acknowledged < WINDOW)
}

/// Writes what waits, waits for what comes, reads it.
fn turn(sockets: &mut [Socket], case: &Case, begin: Instant, tally: &mut Tally) {
    for socket in sockets.iter_mut() {
        socket.flush();
    }
    // A paced run spins, so that our own wake-up is not part of the latency.
    let wait = if case.rate > 0 { PollTimeout::ZERO } else { PollTimeout::from(100u8) };
    let ready: Vec<bool> = {
        let mut polled: Vec<PollFd> =
            sockets.iter().map(|s| PollFd::new(s.stream.as_fd(), s.interest())).collect();
        poll(&mut polled, wait).expect("poll");
        polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()
    };
    for (socket, _) in sockets.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
        socket.receive(begin, tally);
    }
}

impl Socket {
    pub(crate) fn open(broker: SocketAddr, id: &str) -> Socket {
        Socket::open_with(broker, &connect(id))
    }
    /// Opens a session that outlives its connection, or goes on with it.
    pub(crate) fn resume(broker: SocketAddr, id: &str) -> Socket {
        let mut packet = connect(id);
        packet[9] = 0; // without CleanSession
        Socket::open_with(broker, &packet)
    }
    fn open_with(broker: SocketAddr, connect: &[u8]) -> Socket {
        let mut stream = TcpStream::connect(broker).expect("connect to the broker");
        stream.set_nodelay(true).expect("Nagle off");
        stream.write_all(connect).expect("a CONNECT goes out");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("a CONNACK");
        assert_eq!((answer[0], answer[3]), (0x20, 0), "CONNACK {answer:?}");
        Socket { stream, input: Vec::new(), output: Vec::new(), written: 0 }.nonblocking(true)
    }
    fn reader(broker: SocketAddr, id: &str, filter: &[u8], qos: u8) -> Socket {
        Socket::open(broker, id).subscribed(filter, qos)
    }
    /// Subscribes, and waits for the SUBACK.
    pub(crate) fn subscribed(self, filter: &[u8], qos: u8) -> Socket {
        let mut socket = self.nonblocking(false);
        let mut packet = vec![0x82, u8::try_from(filter.len()).expect("a short filter") + 5, 0, 1];
        packet.extend([0, packet[1] - 5]);
        packet.extend(filter);
        packet.push(qos);
        socket.stream.write_all(&packet).expect("a SUBSCRIBE goes out");
        let mut answer = [0; 5];
        socket.stream.read_exact(&mut answer).expect("a SUBACK");
        assert_eq!((answer[0], answer[4]), (0x90, qos), "SUBACK {answer:?}");
        socket.nonblocking(true)
    }
    fn nonblocking(self, on: bool) -> Socket {
        self.stream.set_nonblocking(on).expect("a socket's mode");
        self
    }
    fn interest(&self) -> PollFlags {
        match self.output.is_empty() {
            true => PollFlags::POLLIN,
            false => PollFlags::POLLIN | PollFlags::POLLOUT,
        }
    }
    fn flush(&mut self) {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => panic!("the broker closed the connection: {e}"),
            }
        }
        self.output.clear();
        self.written = 0;
    }
    /// Reads what the kernel has.
    fn read(&mut self) {
        let mut bytes = [0; 65_536];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the broker closed the connection"),
            Ok(count) => self.input.extend_from_slice(&bytes[..count]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => panic!("the broker closed the connection: {e}"),
        }
    }
    /// Writes what waits, waits for what comes, reads it.
    pub(crate) fn turn(&mut self) {
        self.flush();
        let mut polled = [PollFd::new(self.stream.as_fd(), self.interest())];
        if poll(&mut polled, PollTimeout::from(100u8)).expect("poll") > 0 {
            self.read();
        }
    }
    /// Takes out every whole packet that has come: its type and body; the sum of the answers.
    pub(crate) fn packets(&mut self, mut each: impl FnMut(u8, &[u8]) -> u64) -> u64 {
        let (mut at, mut sum) = (0, 0);
        while let Some((body, end)) = frame(&self.input, at) {
            sum += each(self.input[at] >> 4, &self.input[body..end]);
            at = end;
        }
        self.input.drain(..at);
        sum
    }
    fn receive(&mut self, begin: Instant, tally: &mut Tally) {
        self.read();
        let now = nanos(begin);
        let mut at = 0;
        while let Some((body, end)) = frame(&self.input, at) {
            match self.input[at] >> 4 {
                3 => {
                    let qos = (self.input[at] >> 1) & 3;
                    let mut payload = body + 2 + TOPIC.len();
                    if qos > 0 {
                        let id = [self.input[payload], self.input[payload + 1]];
                        self.output.extend([0x40, 2, id[0], id[1]]);
                        payload += 2;
                    }
                    let stamp = self.input[payload..payload + 8].try_into().expect("8 bytes");
                    tally.latencies_ns.push(now - u64::from_le_bytes(stamp));
                    tally.received += 1;
                }
                4 => tally.acknowledged += 1,
                other => panic!("packet type {other} from the broker"),
            }
            at = end;
        }
        self.input.drain(..at);
    }
}

/// Where the body of the packet at `at` begins and ends, when all of it is there.
fn frame(input: &[u8], at: usize) -> Option<(usize, usize)> {
    let (mut length, mut shift, mut next) = (0, 0, at + 1);
    loop {
        let byte = *input.get(next)?;
        length |= usize::from(byte & 0x7f) << shift;
        next += 1;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (next + length <= input.len()).then_some((next, next + length))
}

/// MQTT 3.1.1 §3.1: clean session, no keep-alive.
pub(crate) fn connect(id: &str) -> Vec<u8> {
    let length = u8::try_from(id.len()).expect("a short client id");
    let mut packet = vec![0x10, 12 + length, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, length];
    packet.extend(id.as_bytes());
    packet
}

/// MQTT 3.1.1 §3.3, the payload filled up to [`SIZE`].
pub(crate) fn publish(qos: u8, id: u16, head: &[u8]) -> Vec<u8> {
    publish_of(SIZE, qos, id, head)
}

/// The same with a payload of another size.
pub(crate) fn publish_of(size: usize, qos: u8, id: u16, head: &[u8]) -> Vec<u8> {
    let body = 2 + TOPIC.len() + if qos > 0 { 2 } else { 0 } + size;
    let low = u8::try_from(body % 128).expect("7 bits") | 0x80;
    let high = u8::try_from(body / 128).expect("a payload below 16 KiB");
    let mut packet = vec![0x30 | (qos << 1), low, high, 0];
    packet.push(u8::try_from(TOPIC.len()).expect("a short topic"));
    packet.extend(TOPIC);
    if qos > 0 {
        packet.extend(id.to_be_bytes());
    }
    packet.extend(head);
    packet.resize(3 + body, b'x');
    packet
}

/// Clients that subscribe and then say nothing; they live as long as what is returned.
pub(crate) fn idle_connections(broker: SocketAddr, count: u64) -> impl Sized {
    let open = |n| Socket::reader(broker, &format!("idle{n}"), format!("idle/{n}").as_bytes(), 0);
    (0..count).map(open).collect::<Vec<_>>()
}

/// What mosquitto_rr does, so many times: connect, subscribe to an answer's topic, leave.
pub(crate) fn one_shot_filters(broker: SocketAddr, count: u64) {
    for n in 0..count {
        drop(Socket::reader(broker, &format!("once{n}"), format!("once/{n}").as_bytes(), 1));
    }
}

fn nanos(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).expect("less than 584 years")
}
