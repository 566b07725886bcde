//! The bridge's decisions: when to connect, what to send, what to acknowledge to whom.
//!
//! ```text
//!                    retry_at               TLS up              CONNACK
//!   Disconnected ───────────> Dialling ───────────> Greeting ───────────> Connected
//!        ^                       │                     │                     │ shutdown
//!        └──── trouble ──────────┴─────────────────────┴─────────────────────┤
//!              back-off                                                      v
//!                                                                 Leaving ──> Stopped
//!                                                          `offline` said, or 1 s
//! ```
//! Every connection has a number; what comes from an earlier one is not heard.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::keepalive::Due;
use super::letters::Letters;
use super::packet::{
    self, Farewell, Hello, Incoming, OFFLINE, ONLINE, Outgoing, RECEIVE_MAXIMUM, Verdict, Welcome,
};
use super::session::Session;
use super::trouble::Trouble;
use crate::bridge::config::{self, Keep};
use crate::bridge::message::{Backlog, Counters, Link};
use crate::bridge::queue::{Queue, Reason, Ticket};
use crate::bridge::rule::Rules;
use crate::bus::{Delivery, Message, Qos, Refused};
use crate::contract::{self, Error};
use crate::service::{self, Event, Wake};

/// What happens to the bridge.
#[derive(Debug)]
pub enum Input {
    /// A message of our own broker. Its ticket comes back in [`Effect::Release`].
    Local(Delivery),
    /// The outcome of [`Effect::Dial`].
    Dialled(u32, Result<(), Trouble>),
    /// Packets of the cloud, in order. No more come until [`Effect::ReadOn`].
    Received(u32, Vec<Incoming>),
    /// All that was to be sent before [`Effect::TellFlushed`] has left.
    Flushed(u32),
    /// The connection ended by itself.
    Closed(u32, Trouble),
    /// Our broker's answer to [`Effect::Publish`].
    Told(u32, Option<NonZeroU16>, Result<(), Refused>),
}

/// What the bridge asks for.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Open connection number so-and-so.
    Dial(u32),
    /// Send to the cloud.
    Send(Outgoing),
    /// Take what comes next from the cloud.
    ReadOn,
    /// Say when all so far has left.
    TellFlushed,
    /// Send what is to be sent, then close the connection, or give up opening it.
    HangUp,
    /// Publish on the box; the outcome names the connection and the identifier.
    Publish(u32, Option<NonZeroU16>, Message),
    /// Our broker may forget this delivery.
    Release(Ticket),
    /// Ask our broker once more for the retained messages of these filters.
    Refresh(Vec<String>),
    /// Publish where the bridge stands.
    Say(Standing),
    /// Publish the counters.
    Report(Counters),
}

/// Where the bridge stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Whether the cloud is there.
    pub link: Link,
    /// Why not, or what is amiss all the same.
    pub reason: Option<Error>,
    /// How full the queue is.
    pub backlog: Backlog,
}

/// What a bridge is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the session is opened.
    pub hello: Hello,
    /// The cloud's address, for people.
    pub url: String,
    /// The principal under which the bridge publishes on the box.
    pub principal: String,
    /// Bounds of the queue.
    pub queue: config::Queue,
    /// Pauses between attempts.
    pub backoff: config::Backoff,
    /// Makes the pauses of this box its own.
    pub seed: u64,
}

/// The decisions of one bridge.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    rules: Rules,
    queue: Queue,
    backoff: Backoff,
    state: State,
    /// The number of the current connection or attempt.
    connection: u32,
    /// What our broker has not answered yet, of earlier connections, too.
    letters: Letters,
    /// The connection waits for [`Effect::ReadOn`].
    paused: bool,
    standing: Standing,
    counters: Counters,
    /// As last published.
    reported: Counters,
    /// When they are to be published again; `None` while they have not changed.
    report_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Disconnected { retry_at: Instant },
    Dialling { give_up_at: Instant },
    Greeting { give_up_at: Instant },
    Connected(Session),
    Leaving { session: Session, until: Instant },
    Stopped,
}

/// Time for the name, TCP and TLS; then for the CONNACK.
const DIAL: Duration = Duration::from_secs(30);
const GREET: Duration = Duration::from_secs(20);
/// Time for the cloud to take our last word.
const LEAVE: Duration = Duration::from_secs(1);
/// Counters are published at most this often, and only when they changed.
const REPORT: Duration = Duration::from_secs(10);
impl service::Machine for Machine {
    type Input = Input;
    type Effect = Effect;

    fn handle(&mut self, now: Instant, event: Event<Input>) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Input(input) => self.input(now, input, &mut out),
            Event::Due => self.due(now, &mut out),
            Event::Shutdown => self.shut_down(now, &mut out),
        }
        self.pump(now, &mut out);
        self.weigh(now, &mut out);
        self.read_on(now, &mut out);
        out
    }

    fn wake(&self) -> Wake {
        let due = match &self.state {
            State::Disconnected { retry_at } => *retry_at,
            State::Dialling { give_up_at } | State::Greeting { give_up_at } => *give_up_at,
            State::Connected(session) => session.keepalive.next(),
            State::Leaving { until, .. } => *until,
            State::Stopped => return Wake::Done,
        };
        Wake::At(self.report_at.map_or(due, |report_at| due.min(report_at)))
    }
}

impl Machine {
    /// A bridge that connects at once.
    pub fn new(settings: Settings, rules: Rules, now: Instant) -> Machine {
        let standing = Standing { link: Link::Connecting, reason: None, backlog: Backlog::Low };
        Machine {
            queue: Queue::new(settings.queue.clone()),
            backoff: Backoff::new(settings.backoff.clone(), settings.seed),
            settings,
            rules,
            state: State::Disconnected { retry_at: now },
            connection: 0,
            letters: Letters::default(),
            paused: false,
            standing,
            counters: Counters::default(),
            reported: Counters::default(),
            report_at: None,
        }
    }

    /// Where the bridge stands now.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    fn input(&mut self, now: Instant, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Local(delivery) => self.local(now, delivery, out),
            Input::Dialled(n, Ok(())) if n == self.connection => self.greet(now, out),
            Input::Dialled(n, Err(trouble)) | Input::Closed(n, trouble) if n == self.connection => {
                self.lost(now, trouble, out);
            }
            Input::Received(n, packets) if n == self.connection => {
                self.paused = true;
                for packet in packets {
                    if self.open() {
                        self.received(now, packet, out);
                    }
                }
            }
            Input::Flushed(n) if n == self.connection => {
                if let Some(session) = self.session() {
                    session.flushed();
                }
            }
            Input::Told(n, packet_id, verdict) => {
                self.letters.answered();
                let packet_id = packet_id.filter(|_| n == self.connection);
                self.told(now, packet_id, verdict, out);
            }
            Input::Dialled(..) | Input::Received(..) | Input::Flushed(_) | Input::Closed(..) => {}
        }
    }

    fn due(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.report_at.is_some_and(|at| at <= now) {
            self.report(out);
        }
        let url = &self.settings.url;
        match &mut self.state {
            State::Disconnected { retry_at } if *retry_at <= now => {
                self.connection += 1;
                self.state = State::Dialling { give_up_at: now + DIAL };
                out.push(Effect::Dial(self.connection));
            }
            State::Dialling { give_up_at } if *give_up_at <= now => {
                self.lost(now, Trouble::late(url, "no connection"), out);
            }
            // We have not looked whether it is there.
            State::Greeting { give_up_at } if *give_up_at <= now && self.paused => {
                *give_up_at = now + GREET;
            }
            State::Greeting { give_up_at } if *give_up_at <= now => {
                self.lost(now, Trouble::late(url, "no CONNACK"), out);
            }
            State::Connected(session) => match session.keepalive.due(now) {
                Due::Nothing => {}
                Due::Ask => self.send(now, Outgoing::Ping, out),
                Due::Dead => {
                    let trouble = Trouble::silent(url, session.keepalive.silence(now));
                    self.lost(now, trouble, out);
                }
            },
            State::Leaving { until, .. } if *until <= now => self.stop(now, out),
            State::Disconnected { .. }
            | State::Dialling { .. }
            | State::Greeting { .. }
            | State::Leaving { .. }
            | State::Stopped => {}
        }
    }

    fn shut_down(&mut self, now: Instant, out: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Connected(session) => {
                self.state = State::Leaving { session, until: now + LEAVE };
                self.announce(now, OFFLINE, out);
            }
            State::Disconnected { .. } => {}
            State::Dialling { .. } | State::Greeting { .. } => out.push(Effect::HangUp),
            State::Leaving { session, until } => self.state = State::Leaving { session, until },
            State::Stopped => {}
        }
    }

    /// The last word is said, or nobody listens.
    fn stop(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.send(now, Outgoing::Disconnect(Farewell::Orderly), out);
        self.state = State::Stopped;
        out.push(Effect::HangUp);
        self.report(out);
        let reason = Error::new("bridge.stopped", "the daemon stops");
        self.stand(Link::Disconnected, Some(reason), out);
    }

    fn greet(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.state = State::Greeting { give_up_at: now + GREET };
        self.paused = true;
        out.push(Effect::Send(Outgoing::Connect(self.settings.hello.clone())));
    }

    fn received(&mut self, now: Instant, packet: Incoming, out: &mut Vec<Effect>) {
        if let Some(session) = self.session() {
            session.keepalive.heard(now);
        }
        match packet {
            Incoming::Welcome(welcome) => self.welcomed(now, welcome, out),
            Incoming::Rejected(reason) => {
                self.lost(now, Trouble::rejected(&self.settings.url, &reason), out);
            }
            Incoming::Goodbye(reason) => {
                self.lost(now, Trouble::goodbye(&self.settings.url, &reason), out);
            }
            Incoming::Subscribed(packet_id, refused) => self.subscribed(packet_id, refused, out),
            Incoming::Publish(packet_id, message) => self.arrived(now, packet_id, *message, out),
            Incoming::Acknowledged(packet_id) => self.acknowledged(now, packet_id, None, out),
            Incoming::Refused(packet_id, why) => {
                self.acknowledged(now, packet_id, Some(why), out);
            }
            Incoming::Pong => {}
        }
    }

    fn welcomed(&mut self, now: Instant, welcome: Welcome, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Greeting { .. }) {
            return; // a second CONNACK
        }
        let asked = self.settings.hello.keepalive_s;
        let keepalive_s = welcome.keepalive_s.filter(|s| *s > 0).unwrap_or(asked);
        let forgotten = !welcome.session_present && self.counters.connects > 0;
        self.counters.connects += 1;
        let keepalive = Duration::from_secs(keepalive_s.into());
        self.state = State::Connected(Session::new(welcome, keepalive, now));
        self.stand(Link::Connected, None, out);
        let filters: Vec<String> = self.rules.remote_filters().map(Into::into).collect();
        if let (Some(packet_id), false) = (self.packet_id(), filters.is_empty()) {
            if let Some(session) = self.session() {
                session.subscribing = Some(packet_id);
            }
            self.send(now, Outgoing::Subscribe(packet_id, filters), out);
        }
        self.announce(now, ONLINE, out);
        if forgotten {
            let latest = self.rules.latest_filters().map(Into::into).collect();
            out.push(Effect::Refresh(latest));
        }
    }

    /// Says on the availability topic whether we are there.
    fn announce(&mut self, now: Instant, word: &'static str, out: &mut Vec<Effect>) {
        let Some(packet_id) = self.packet_id() else { return };
        let message = Message::new(self.rules.availability(), word).retained();
        if let Some(session) = self.session() {
            session.availability = Some(packet_id);
        }
        self.send(now, Outgoing::Publish(Some(packet_id), message), out);
    }

    fn subscribed(&mut self, packet_id: NonZeroU16, refused: usize, out: &mut Vec<Effect>) {
        let Some(session) = self.session() else { return };
        if session.subscribing.take_if(|id| *id == packet_id).is_some() && refused > 0 {
            let message = format!("{} refuses {refused} of our subscriptions", self.settings.url);
            let error = Error::new("bridge.subscription_refused", message)
                .hint("commands from the cloud will not arrive; let this client read them there");
            self.stand(Link::Connected, Some(error), out);
        }
    }

    fn arrived(
        &mut self,
        now: Instant,
        packet_id: Option<NonZeroU16>,
        message: Message,
        out: &mut Vec<Effect>,
    ) {
        let Some(session) = self.session() else {
            let trouble = Trouble::protocol(&self.settings.url, &"a message before CONNACK");
            return self.lost(now, trouble, out);
        };
        if packet_id.is_some() && !session.came() {
            return self.overrun(now, out);
        }
        let Some(inward) = self.rules.inward(&message.topic) else {
            self.counters.unasked += 1;
            self.answer(now, packet_id, Verdict::Unasked, out);
            return;
        };
        self.counters.received += 1;
        self.counters.received_bytes += weight(&message);
        let message = Message {
            topic: inward.topic,
            qos: Qos::AtLeastOnce,
            // What is retained on the box is decided here, but a retained command stays one: our
            // broker refuses it, and tells.
            retain: message.retain || inward.keep == Keep::Latest,
            response_topic: message.response_topic.and_then(|topic| self.rules.answer_to(&topic)),
            ..message
        };
        self.letters.posted(&message);
        out.push(Effect::Publish(self.connection, packet_id, message));
    }

    /// The cloud does not keep to the receive maximum, and is told so. Our will stands: we are away.
    fn overrun(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let rule = format!("more than {RECEIVE_MAXIMUM} messages at once are not acknowledged");
        self.send(now, Outgoing::Disconnect(Farewell::ReceiveMaximumExceeded), out);
        self.lost(now, Trouble::protocol(&self.settings.url, &rule), out);
    }

    /// Our broker has taken or refused a message of the cloud.
    fn told(
        &mut self,
        now: Instant,
        packet_id: Option<NonZeroU16>,
        verdict: Result<(), Refused>,
        out: &mut Vec<Effect>,
    ) {
        let verdict = match verdict {
            Ok(()) => Verdict::Taken,
            Err(refused) => {
                self.counters.refused += 1;
                Verdict::Refused(contract::reason_code(refused.code), refused.to_string())
            }
        };
        self.answer(now, packet_id, verdict, out);
    }

    fn answer(
        &mut self,
        now: Instant,
        packet_id: Option<NonZeroU16>,
        verdict: Verdict,
        out: &mut Vec<Effect>,
    ) {
        if let (Some(packet_id), Some(session)) = (packet_id, self.session()) {
            let full = session.acknowledged();
            self.send(now, Outgoing::PubAck(packet_id, verdict), out);
            out.extend(full.then_some(Effect::TellFlushed));
        }
    }

    /// The cloud has a message, or refuses it with a reason.
    fn acknowledged(
        &mut self,
        now: Instant,
        packet_id: NonZeroU16,
        refused: Option<String>,
        out: &mut Vec<Effect>,
    ) {
        let Some(session) = self.session() else { return };
        if session.availability.take_if(|id| *id == packet_id).is_some() {
            if let State::Leaving { .. } = self.state {
                self.stop(now, out);
            }
            return;
        }
        let done = match refused {
            None => self.queue.acknowledged(packet_id.get()),
            Some(why) => {
                let topic = self.queue.topic(packet_id.get()).unwrap_or_default();
                let message = format!("{} refuses {topic}: {why}", self.settings.url);
                self.amiss(Error::new("bridge.refused", message), out);
                self.queue.refused(packet_id.get())
            }
        };
        // An identifier we do not know: an acknowledgement that came twice. Nothing depends on it.
        out.extend(done.ok().flatten().map(Effect::Release));
    }

    fn local(&mut self, now: Instant, delivery: Delivery, out: &mut Vec<Effect>) {
        let Delivery { message, token, from } = delivery;
        let ours = *from == *self.settings.principal;
        let Some(outward) = self.rules.outward(&message).filter(|_| !ours) else {
            out.push(Effect::Release(token));
            return;
        };
        if outward.qos == Qos::AtMostOnce && self.session().is_none() {
            self.counters.dropped_offline += 1;
            out.push(Effect::Release(token));
            return;
        }
        let message = Message {
            topic: outward.topic,
            qos: outward.qos,
            retain: outward.keep == Keep::Latest,
            response_topic: None, // a topic of the box
            audience: None,
            ..message
        };
        let mut free = Vec::new();
        self.queue.push(now, (message, outward.keep), Some(token), &mut free);
        out.extend(free.into_iter().map(Effect::Release));
    }

    /// Sends what may be sent.
    fn pump(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut free = Vec::new();
        while let State::Connected(session) = &mut self.state
            && session.may_send(self.queue.in_flight(), self.queue.suspicious())
            && let Some(entry) = self.queue.next(now, &mut free)
        {
            let mut message = entry.as_sent(now);
            message.retain &= session.welcome.retain;
            let acknowledged = entry.wants_ack() && session.welcome.acknowledges;
            let max = session.welcome.max_packet_bytes;
            let bytes = packet::publish_bytes(&message);
            if bytes.is_none_or(|bytes| bytes > max) {
                free.extend(self.queue.set_aside(Reason::TooLarge));
                let (url, topic) = (&self.settings.url, &message.topic);
                let text = match bytes {
                    Some(_) => format!("{url} takes no packet above {max} bytes, as on {topic}"),
                    None => format!(
                        "no packet of MQTT holds a message to {url} with a topic of {} bytes",
                        topic.len()
                    ),
                };
                self.amiss(Error::new("bridge.too_large", text), out);
                continue;
            }
            let packet_id = acknowledged.then(|| session.packet_id(|id| self.queue.flies(id)));
            free.extend(self.queue.sent(packet_id.map(NonZeroU16::get)));
            self.counters.sent += 1;
            self.counters.sent_bytes += weight(&message);
            self.send(now, Outgoing::Publish(packet_id, message), out);
        }
        out.extend(free.into_iter().map(Effect::Release));
    }

    /// Lets the connection read on while our broker keeps up, and the cloud with our answers.
    fn read_on(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if !self.paused || !self.open() {
            return;
        }
        let mut full = self.letters.full();
        if let Some(session) = self.session() {
            full |= session.unheard();
            match full {
                true => session.keepalive.deafened(),
                false => session.keepalive.listens(now),
            }
        }
        if !full {
            self.paused = false;
            out.push(Effect::ReadOn);
        }
    }

    fn send(&mut self, now: Instant, packet: Outgoing, out: &mut Vec<Effect>) {
        let bytes = match &packet {
            Outgoing::Publish(_, message) => message.topic.len() + message.payload.len(),
            Outgoing::Connect(_)
            | Outgoing::Subscribe(..)
            | Outgoing::PubAck(..)
            | Outgoing::Ping
            | Outgoing::Disconnect(_) => 0,
        };
        out.push(Effect::Send(packet));
        if self.session().is_some_and(|session| session.sent(now, bytes)) {
            out.push(Effect::TellFlushed);
        }
    }

    /// The connection or the attempt has come to nothing.
    fn lost(&mut self, now: Instant, trouble: Trouble, out: &mut Vec<Effect>) {
        out.push(Effect::HangUp);
        let leaving = match &self.state {
            State::Connected(session) => {
                self.backoff.connected(session.since, now);
                false
            }
            State::Leaving { .. } => true,
            State::Disconnected { .. } | State::Stopped => return,
            State::Dialling { .. } | State::Greeting { .. } => false,
        };
        out.extend(self.queue.landed(trouble.by).map(Effect::Release));
        self.state = match leaving {
            true => State::Stopped,
            false => State::Disconnected { retry_at: now + self.backoff.pause() },
        };
        self.stand(Link::Disconnected, Some(trouble.error), out);
    }

    /// Something does not work although the cloud is there. The first of its kind is told.
    fn amiss(&mut self, error: Error, out: &mut Vec<Effect>) {
        if self.standing.reason.is_none() {
            self.stand(Link::Connected, Some(error), out);
        }
    }

    fn stand(&mut self, link: Link, reason: Option<Error>, out: &mut Vec<Effect>) {
        let standing = Standing { link, reason, backlog: self.standing.backlog };
        if standing != self.standing {
            self.standing = standing.clone();
            out.push(Effect::Say(standing));
        }
    }

    /// Looks at the queue and the counters after every event.
    fn weigh(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let fill = self.queue.fill_pct();
        let backlog = match (fill, self.standing.backlog) {
            (95.., _) | (75.., Backlog::Full) => Backlog::Full,
            (50.., _) | (25.., Backlog::High | Backlog::Full) => Backlog::High,
            (_, Backlog::Low | Backlog::High | Backlog::Full) => Backlog::Low,
        };
        if backlog != self.standing.backlog {
            self.standing.backlog = backlog;
            out.push(Effect::Say(self.standing.clone()));
        }
        if self.report_at.is_none() && self.counted() != self.reported {
            self.report_at = Some(now + REPORT);
        }
    }

    fn report(&mut self, out: &mut Vec<Effect>) {
        self.report_at = None;
        self.reported = self.counted();
        out.push(Effect::Report(self.reported));
    }

    fn counted(&self) -> Counters {
        let dropped = self.queue.dropped();
        Counters {
            queued: self.queue.len() as u64,
            queued_bytes: self.queue.bytes(),
            dropped_full: dropped.full,
            dropped_expired: dropped.expired,
            dropped_refused: dropped.refused,
            dropped_too_large: dropped.too_large,
            dropped_poison: dropped.poison,
            ..self.counters
        }
    }

    /// An identifier for a packet of our own; none without a session.
    fn packet_id(&mut self) -> Option<NonZeroU16> {
        match &mut self.state {
            State::Connected(session) | State::Leaving { session, .. } => {
                Some(session.packet_id(|id| self.queue.flies(id)))
            }
            State::Disconnected { .. }
            | State::Dialling { .. }
            | State::Greeting { .. }
            | State::Stopped => None,
        }
    }

    /// Whether there is a connection that may speak to us.
    fn open(&self) -> bool {
        match &self.state {
            State::Greeting { .. } | State::Connected(_) | State::Leaving { .. } => true,
            State::Disconnected { .. } | State::Dialling { .. } | State::Stopped => false,
        }
    }

    /// The open session, also while leaving.
    fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Connected(session) | State::Leaving { session, .. } => Some(session),
            State::Disconnected { .. }
            | State::Dialling { .. }
            | State::Greeting { .. }
            | State::Stopped => None,
        }
    }
}

/// Bytes of topic and payload.
fn weight(message: &Message) -> u64 {
    (message.topic.len() + message.payload.len()) as u64
}

#[cfg(test)]
mod tests;
