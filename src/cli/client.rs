//! A small blocking MQTT 5 client over the broker's own codec: what the command line needs of MQTT.
//!
//! ```no_run
//! use maestro::{bus::Message, cli::client::{Client, Options}};
//! use std::time::Duration;
//! # fn main() -> Result<(), maestro::cli::client::Trouble> {
//! let mut client = Client::connect(&Options::to("mqtt://localhost".parse().unwrap()))?;
//! client.subscribe(&["maestro/reply/#"], Default::default())?;
//! client.publish(&Message::new("maestro/cmd/system/ping".into(), "").at_least_once())?;
//! let reply = client.next(Duration::from_secs(5))?;
//! # Ok(()) }
//! ```
//! One session that starts and ends with the connection; one publish in flight; a message counts as
//! received when it has arrived. Every refusal comes with the broker's reason string.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

pub use super::address::Address;
use super::packets::{self, Answer, Heard};
pub use super::stream::Interrupt;
use super::stream::{Stream, Waited, now};
pub use super::tls::Tls;
use crate::broker::wire::{self, Packet, PacketType, Reason, Version};
use crate::bus::{Message, Qos};

/// How to connect.
#[derive(Clone)]
pub struct Options {
    /// Where to.
    pub address: Address,
    /// Whom to trust and who we are, for `mqtts://`.
    pub tls: Tls,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// How long connecting, and each answer of the broker, may take.
    pub patience: Duration,
    /// The connection is alive as long as something comes within this time. Whole seconds.
    pub keep_alive: Duration,
}

impl Options {
    /// Anonymous, with ten seconds of patience.
    pub fn to(address: Address) -> Options {
        Options {
            address,
            tls: Tls::default(),
            login: None,
            patience: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
        }
    }
}

/// Why it does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No connection came about.
    #[error("{address}: {source}")]
    Unreachable {
        /// Where it was tried.
        address: Address,
        /// Why not.
        source: io::Error,
    },
    /// The broker said no; nothing was done.
    #[error("{0}")]
    Refused(Refusal),
    /// The connection was there, and ended.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// The broker did not answer in time.
    #[error("the broker does not answer")]
    Late,
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// A no of the broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .text.as_deref().unwrap_or(.reason.text()))]
pub struct Refusal {
    /// The standard's reason.
    pub reason: Reason,
    /// The broker's own words.
    pub text: Option<String>,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        if error.kind() == io::ErrorKind::Interrupted {
            Trouble::Interrupted
        } else if error.kind() == io::ErrorKind::TimedOut {
            Trouble::Late
        } else {
            Trouble::Lost(error.to_string())
        }
    }
}

/// A connection.
pub struct Client {
    stream: Stream,
    /// Bytes that came and are not decoded yet.
    input: Vec<u8>,
    inbox: VecDeque<Message>,
    /// Publishes of QoS 2 whose PUBREL has not come: repeated ones are not delivered again.
    half_received: Vec<NonZeroU16>,
    last_id: u16,
    most_qos: Qos,
    most_bytes: usize,
    patience: Duration,
    keep_alive: Duration,
    last_sent: Instant,
    pinged: Option<Instant>,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When nobody is there, or the login is refused.
    pub fn connect(options: &Options) -> Result<Client, Trouble> {
        let until = now() + options.patience;
        let unreachable =
            |source| Trouble::Unreachable { address: options.address.clone(), source };
        let stream = Stream::connect(&options.address, &options.tls, until);
        let mut client = Client {
            stream: stream.map_err(unreachable)?,
            input: Vec::new(),
            inbox: VecDeque::new(),
            half_received: Vec::new(),
            last_id: 0,
            most_qos: Qos::ExactlyOnce,
            most_bytes: usize::MAX,
            patience: options.patience,
            keep_alive: options.keep_alive,
            last_sent: now(),
            pinged: None,
        };
        let bytes = packets::connect(options);
        client.stream.write_all(&bytes, until).map_err(unreachable)?;
        match client.heard(until) {
            Ok(Some(Heard::Connected(connected))) => {
                if let Some(refusal) = connected.refusal {
                    return Err(Trouble::Refused(refusal));
                }
                client.most_qos = connected.most_qos;
                client.most_bytes = connected.most_bytes;
                client.keep_alive = connected.keep_alive.unwrap_or(client.keep_alive);
                Ok(client)
            }
            Ok(Some(_)) => Err(unreachable(io::Error::other("it does not speak MQTT 5"))),
            Ok(None) => Err(unreachable(io::ErrorKind::TimedOut.into())),
            Err(Trouble::Lost(why)) => Err(unreachable(io::Error::other(why))),
            Err(trouble) => Err(trouble),
        }
    }

    /// From now on Ctrl-C ends every wait with [`Trouble::Interrupted`], and the connection in order.
    /// Before, it ends the process: while connecting there is nothing to put in order.
    pub fn heed(&mut self, interrupt: Interrupt) {
        self.stream.heed(interrupt);
    }

    /// Subscribes; what is retained comes with the messages.
    ///
    /// # Errors
    /// When a filter is refused, or the connection fails.
    pub fn subscribe(&mut self, filters: &[&str], qos: Qos) -> Result<(), Trouble> {
        let id = self.next_id();
        let bytes = packets::subscribe(id, filters, qos).map_err(|broken| {
            let text = Some(broken.to_string());
            Trouble::Refused(Refusal { reason: Reason::TopicFilterInvalid, text })
        })?;
        self.write(&bytes)?;
        let answer = self.answer(PacketType::SubAck, id)?;
        let Some(mut no) = answer.refusal else { return Ok(()) };
        let filter = filters.get(answer.place).copied().unwrap_or_default();
        no.text = Some(format!("no subscription to {filter}: {no}"));
        Err(Trouble::Refused(no))
    }

    /// Publishes; with QoS 1 and 2 the broker has it when this returns.
    ///
    /// # Errors
    /// When it is refused, or the connection fails.
    pub fn publish(&mut self, message: &Message) -> Result<(), Trouble> {
        let qos = message.qos.min(self.most_qos);
        let id = (qos != Qos::AtMostOnce).then(|| self.next_id());
        let Some(bytes) = packets::publish(message, qos, id, self.most_bytes) else {
            let text = format!("{} bytes are more than the broker takes", message.payload.len());
            let reason = Reason::PacketTooLarge;
            return Err(Trouble::Refused(Refusal { reason, text: Some(text) }));
        };
        self.write(&bytes)?;
        match (qos, id) {
            (Qos::AtLeastOnce, Some(id)) => self.granted(PacketType::PubAck, id),
            (Qos::ExactlyOnce, Some(id)) => {
                self.granted(PacketType::PubRec, id)?;
                self.write(&packets::acknowledge(Packet::PubRel, id))?;
                self.granted(PacketType::PubComp, id)
            }
            (Qos::AtMostOnce, _) | (_, None) => Ok(()),
        }
    }

    /// The next message, or none within `wait`.
    ///
    /// # Errors
    /// When the connection fails or ends.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Message>, Trouble> {
        let until = now().checked_add(wait);
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Ok(Some(message));
            }
            // Without an end: in steps of a keep-alive.
            let step = until.unwrap_or_else(|| now() + Duration::from_secs(3600));
            if self.heard(step)?.is_none() && until.is_some_and(|until| now() >= until) {
                return Ok(self.inbox.pop_front());
            }
        }
    }

    /// Everything the broker had sent when it got here: all that is retained, after a subscribe.
    ///
    /// # Errors
    /// When the connection fails or ends.
    pub fn settled(&mut self) -> Result<Vec<Message>, Trouble> {
        self.ping()?;
        let until = now() + self.patience;
        while self.pinged.is_some() {
            if self.heard(until)?.is_none() && now() >= until {
                return Err(Trouble::Late);
            }
        }
        Ok(self.inbox.drain(..).collect())
    }

    fn ping(&mut self) -> Result<(), Trouble> {
        self.pinged = Some(now());
        self.write(&packets::ping())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.last_sent = now();
        let until = self.last_sent + self.patience;
        let written = self.stream.write_all(bytes, until);
        written.map_err(|trouble| match self.last_word() {
            Some(refusal) => Trouble::Refused(refusal),
            None => trouble.into(),
        })
    }

    /// What the broker said before it hung up, which tells more than that it did.
    fn last_word(&mut self) -> Option<Refusal> {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = self.stream.read(&mut chunk) {
            self.input.extend_from_slice(&chunk[..count]);
        }
        let mut rest = &self.input[..];
        while let Ok(Some(frame)) = wire::frame(rest, usize::MAX) {
            if let Ok(Packet::Disconnect(end)) = wire::decode(Version::V5, &frame) {
                return Some(packets::farewell(&end));
            }
            rest = &rest[frame.size..];
        }
        None
    }

    fn next_id(&mut self) -> NonZeroU16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        NonZeroU16::new(self.last_id).unwrap_or(NonZeroU16::MIN)
    }

    /// Waits for the answer to packet `id`, and takes no no.
    fn granted(&mut self, wanted: PacketType, id: NonZeroU16) -> Result<(), Trouble> {
        let refusal = self.answer(wanted, id)?.refusal;
        refusal.map_or(Ok(()), |no| Err(Trouble::Refused(no)))
    }

    /// Waits for the answer to packet `id`.
    fn answer(&mut self, wanted: PacketType, id: NonZeroU16) -> Result<Answer, Trouble> {
        let until = now() + self.patience;
        loop {
            match self.heard(until)? {
                Some(Heard::Answer(answer)) if answer.id == id && answer.packet == wanted => {
                    return Ok(answer);
                }
                Some(_) => {}
                None if now() >= until => return Err(Trouble::Late),
                None => {}
            }
        }
    }

    /// The next packet; messages are acknowledged and put into the inbox. `None` when `until` (or a
    /// moment to see to the keep-alive) has come first.
    fn heard(&mut self, until: Instant) -> Result<Option<Heard>, Trouble> {
        loop {
            if let Some(heard) = self.decoded()? {
                return Ok(Some(heard));
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Trouble::Lost("the broker hung up".into())),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let alive = self.see_to_keep_alive()?;
                    match self.stream.readable(alive.map_or(until, |alive| until.min(alive)))? {
                        Waited::Ready => {}
                        Waited::Late => return Ok(None),
                        Waited::Interrupted => return Err(Trouble::Interrupted),
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn decoded(&mut self) -> Result<Option<Heard>, Trouble> {
        let malformed = |broken: wire::Malformed| {
            Trouble::Lost(format!("the broker does not speak MQTT 5: {broken}"))
        };
        let Some(frame) = wire::frame(&self.input, usize::MAX).map_err(malformed)? else {
            return Ok(None);
        };
        let packet = wire::decode(Version::V5, &frame).map_err(malformed)?;
        packet.from_server().map_err(malformed)?;
        let (heard, size) = (Heard::of(&packet), frame.size);
        let delivery = if let Packet::Publish(publish) = packet {
            Some(packets::message(&publish))
        } else {
            None
        };
        self.input.drain(..size);
        self.take(&heard, delivery)?;
        Ok(Some(heard))
    }

    /// Does what the protocol wants done with a packet.
    fn take(&mut self, heard: &Heard, delivery: Option<Message>) -> Result<(), Trouble> {
        match heard {
            Heard::Published { qos: Qos::AtLeastOnce, id: Some(id) } => {
                self.write(&packets::acknowledge(Packet::PubAck, *id))?;
            }
            Heard::Published { qos: Qos::ExactlyOnce, id: Some(id) } => {
                self.write(&packets::acknowledge(Packet::PubRec, *id))?;
                if self.half_received.contains(id) {
                    return Ok(());
                }
                self.half_received.push(*id);
            }
            Heard::Answer(answer) if answer.packet == PacketType::PubRel => {
                self.half_received.retain(|id| *id != answer.id);
                self.write(&packets::acknowledge(Packet::PubComp, answer.id))?;
            }
            Heard::Pong => self.pinged = None,
            Heard::Closed(refusal) => return Err(Trouble::Refused(refusal.clone())),
            Heard::Published { .. } | Heard::Connected(_) | Heard::Answer(_) | Heard::Other => {}
        }
        self.inbox.extend(delivery);
        Ok(())
    }

    /// Pings when nothing was sent for too long; when to look again.
    fn see_to_keep_alive(&mut self) -> Result<Option<Instant>, Trouble> {
        if self.keep_alive.is_zero() {
            return Ok(None);
        }
        if let Some(pinged) = self.pinged {
            let dead = pinged + self.keep_alive;
            return if now() >= dead { Err(Trouble::Late) } else { Ok(Some(dead)) };
        }
        let due = self.last_sent + self.keep_alive.mul_f64(0.75);
        if now() < due {
            return Ok(Some(due));
        }
        self.ping()?;
        Ok(Some(now() + self.keep_alive))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.stream.write_all(&packets::goodbye(), now()); // it may be gone already
    }
}
