//! Where an attacker stands: the broker's addresses, how much it is to do, and a connection that
//! shrugs off whatever happens to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::packet::Connect;
use crate::support::clock;

/// What an attacker is told.
pub(crate) struct Field {
    /// `tcp:127.0.0.1:1883`, `unix:/run/mqtt.sock`: each listener.
    pub(crate) listeners: Vec<String>,
    /// The daemon's directory, with the authority's `ca.pem`.
    pub(crate) dir: PathBuf,
    /// How many of whatever it does.
    pub(crate) amount: usize,
    /// It ends then at the latest.
    pub(crate) until: Instant,
    /// The same attack does the same again.
    pub(crate) dice: Dice,
}

impl Field {
    /// Whether there is time left.
    pub(crate) fn on(&self) -> bool {
        clock::now() < self.until
    }

    /// The listeners of some kinds.
    pub(crate) fn of(&self, kinds: &[&str]) -> Vec<String> {
        let is = |at: &&String| at.split_once(':').is_some_and(|(kind, _)| kinds.contains(&kind));
        self.listeners.iter().filter(is).cloned().collect()
    }

    /// Those where MQTT begins with the first byte.
    pub(crate) fn plain(&self) -> Vec<String> {
        self.of(&["tcp", "unix"])
    }

    /// A connection to the first listener.
    pub(crate) fn dial(&self) -> Option<Enemy> {
        Enemy::dial(&self.listeners[0])
    }

    /// A connection that is let in, or not.
    pub(crate) fn enter(&self, connect: &Connect<'_>) -> Option<Enemy> {
        let mut enemy = self.dial()?;
        enemy.send(&connect.bytes());
        let answer = enemy.wait(4)?;
        (answer[0] == 0x20 && answer[3] == 0).then_some(enemy)
    }

    /// A connection that is let in with this id.
    pub(crate) fn named(&self, version: u8, id: &str) -> Option<Enemy> {
        self.enter(&Connect::new(version, id))
    }

    /// Does something until the amount or the time is used up, at least once; says how often.
    pub(crate) fn repeat(&self, mut deed: impl FnMut(usize)) -> usize {
        let mut done = 0;
        while done == 0 || done < self.amount && self.on() {
            deed(done);
            done += 1;
        }
        done
    }
}

/// How long an attacker waits for anything.
const SOON: Duration = Duration::from_secs(1);

trait Stream: Read + Write {
    fn limit(&self, read: Duration) -> std::io::Result<()>;
    fn half_close(&self);
}

impl Stream for TcpStream {
    fn limit(&self, read: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(read))?;
        self.set_write_timeout(Some(SOON))
    }
    fn half_close(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Stream for UnixStream {
    fn limit(&self, read: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(read))?;
        self.set_write_timeout(Some(SOON))
    }
    fn half_close(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// One hostile connection. Nothing that happens to it is an error: it is what was asked for.
pub(crate) struct Enemy {
    stream: Box<dyn Stream>,
    /// Writes failed: the broker has had enough, or does not read.
    pub(crate) dead: bool,
    /// Came, and not looked at yet.
    input: Vec<u8>,
}

impl Enemy {
    /// A connection to one listener.
    pub(crate) fn dial(listener: &str) -> Option<Enemy> {
        let stream: Box<dyn Stream> = match listener.split_once(':')? {
            ("unix", path) => Box::new(UnixStream::connect(path).ok()?),
            (_, address) => {
                let stream = TcpStream::connect(address).ok()?;
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
        };
        stream.limit(SOON).ok()?;
        Some(Enemy { stream, dead: false, input: Vec::new() })
    }

    /// Writes; whether all of it was taken.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.dead |= self.stream.write_all(bytes).is_err();
        !self.dead
    }

    /// At least so many bytes of answer; `None` when they do not come.
    pub(crate) fn wait(&mut self, least: usize) -> Option<Vec<u8>> {
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while got.len() < least {
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => got.extend_from_slice(&buffer[..count]),
            }
        }
        Some(got)
    }

    /// Bytes that came before what comes next.
    pub(crate) fn put_back(&mut self, bytes: Vec<u8>) {
        self.input = bytes;
    }

    /// The next whole packet: its first byte and its body; `None` when none comes soon.
    pub(crate) fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut buffer = [0; 16_384];
        loop {
            let (mut length, mut at) = (0, 1);
            while let Some(&byte) = self.input.get(at) {
                length |= usize::from(byte & 0x7F) << (7 * (at - 1));
                at += 1;
                if byte & 0x80 == 0 {
                    if self.input.len() < at + length {
                        break;
                    }
                    let rest = self.input.split_off(at + length);
                    let packet = std::mem::replace(&mut self.input, rest);
                    return Some((packet[0], packet[at..].to_vec()));
                }
            }
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Reads for so long at most; how many bytes came.
    pub(crate) fn drain(&mut self, wait: Duration) -> usize {
        let _ = self.stream.limit(wait.max(Duration::from_millis(1)));
        let mut buffer = [0; 65_536];
        let mut all = 0;
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => all += count,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = self.stream.limit(SOON);
        all
    }

    /// Says that nothing more comes, and reads until the broker closes.
    pub(crate) fn end(mut self) -> bool {
        self.stream.half_close();
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) => return e.kind() == ErrorKind::ConnectionReset,
            }
        }
    }
}

/// Random numbers that come again with the same seed (xorshift64*).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).expect("31 bits") % below.max(1)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).expect("below 256")
    }
}
