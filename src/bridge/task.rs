//! The hands of one bridge: our broker on one side, the cloud on the other, the machine between.
//!
//! ```text
//!   bus::Link "bridge:<name>" ──> home ──> inbox ──> Machine ──> Outbox ──> connection ──> cloud
//!        ^  ^                                ^          |                        |
//!        |  └──────── release, refresh ──────|──────────┤                        |
//!        └─────────── publish <── inward <───|──────────┘                        |
//!                        └────── told ──────>└──────────── received ─────────────┘
//! ```

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Config;
use super::connection::{self, FAREWELL, Outbox};
use super::link::packet::Hello;
use super::link::{Effect, Input, Machine, Settings, Standing};
use super::message;
use super::rule::{Names, Rules};
use super::standing::Board;
use crate::bus::{Acknowledge, Link, Message, Qos, Sender};
use crate::service::{BoxError, Stamper, drive};
use crate::topic::{self, Root};

/// What one bridge is given.
pub(super) struct Bridge {
    pub(super) config: Config,
    pub(super) gateway_id: String,
    pub(super) root: Root,
    /// Its own session, under its own role: what it relays.
    pub(super) link: Link,
    /// The subsystem's session: what it says of itself.
    pub(super) bus: Sender,
    pub(super) stamper: Stamper,
    pub(super) board: Board,
    pub(super) stop: CancellationToken,
}

/// Inputs that may wait for the machine.
const INBOX: usize = 64;

/// Why a bridge ends before it is told to.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the broker is gone")]
    BrokerGone,
    #[error("a connection's task failed: {0}")]
    Connection(#[from] tokio::task::JoinError),
}

/// Runs a bridge until it is told to stop.
pub(super) async fn run(bridge: Bridge) -> Result<(), BoxError> {
    let principal = format!("bridge:{}", bridge.config.name);
    let gateway = topic::encode(&bridge.gateway_id);
    let names = Names {
        root: &bridge.root,
        prefix: &bridge.config.prefix,
        gateway: &gateway,
        principal: &principal,
    };
    let rules = Rules::new(&bridge.config, names);
    let settings = settings(&bridge, &rules, principal.clone())?;
    let filters = rules.local_filters().map(Into::into).collect();
    let mut machine = Machine::new(settings, rules, now());
    let (inbox, mut inputs) = mpsc::channel(INBOX);
    let (dials, to_dial) = mpsc::unbounded_channel();
    let (orders, to_do) = mpsc::unbounded_channel();
    // Unbounded in type only: the machine reads on only while few wait.
    let (letters, to_publish) = mpsc::unbounded_channel();
    let sender = bridge.link.sender().clone();
    let mut hands = Hands::new(&bridge, dials, orders, letters);
    hands.say(machine.standing().clone());

    let config = Arc::new(bridge.config);
    let network = network(config, to_dial, inbox.clone());
    let home = home(bridge.link, filters, to_do, inbox.clone());
    let inward = inward(sender, to_publish, inbox);
    tokio::pin!(network);
    tokio::select! {
        () = drive(&mut machine, &mut inputs, &bridge.stop, |effect| hands.perform(effect)) => {}
        ended = &mut network => return ended.map_err(Into::into),
        () = home => return Err(Broken::BrokerGone.into()),
        () = inward => return Err(Broken::BrokerGone.into()),
    }
    drop(hands);
    inputs.close();
    // What was said last leaves, if it can.
    let _ = timeout(FAREWELL + Duration::from_millis(100), network).await;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a machine is born at a time; `drive` tells the rest"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn settings(bridge: &Bridge, rules: &Rules, principal: String) -> Result<Settings, BoxError> {
    let config = &bridge.config;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)?;
    let hello = Hello {
        client_id: config.client_id.clone().unwrap_or_else(|| bridge.gateway_id.clone()),
        keepalive_s: u16::try_from(config.keepalive.as_secs()).unwrap_or(u16::MAX),
        availability: rules.availability(),
        username: config.username.clone(),
        password: config.password.clone(),
    };
    Ok(Settings {
        hello,
        url: config.url.to_string(),
        principal,
        queue: config.queue.clone(),
        backoff: config.backoff.clone(),
        seed: u64::from_ne_bytes(seed),
    })
}

/// Carries out what the machine asks for, without waiting.
struct Hands {
    state_topic: String,
    metric_topic: String,
    name: String,
    url: String,
    bus: Sender,
    stamper: Stamper,
    board: Board,
    /// What was said last, and since when it holds.
    said: Option<(message::Link, String)>,
    outbox: Arc<Outbox>,
    dials: UnboundedSender<(u32, Arc<Outbox>)>,
    orders: UnboundedSender<Order>,
    letters: UnboundedSender<Letter>,
}

/// To the side of our broker.
enum Order {
    Release(u64),
    Refresh(Vec<String>),
}

/// To be published on the box: connection, identifier, message.
type Letter = (u32, Option<NonZeroU16>, Message);

impl Hands {
    fn new(
        bridge: &Bridge,
        dials: UnboundedSender<(u32, Arc<Outbox>)>,
        orders: UnboundedSender<Order>,
        letters: UnboundedSender<Letter>,
    ) -> Hands {
        let name = topic::encode(&bridge.config.name);
        Hands {
            state_topic: bridge.root.join(&format!("state/bridge/{name}")),
            metric_topic: bridge.root.join(&format!("metric/bridge/{name}")),
            name: bridge.config.name.clone(),
            url: bridge.config.url.to_string(),
            bus: bridge.bus.clone(),
            stamper: bridge.stamper.clone(),
            board: bridge.board.clone(),
            said: None,
            outbox: Arc::default(),
            dials,
            orders,
            letters,
        }
    }

    /// Whoever would take an order is gone only when the bridge is.
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Dial(n) => {
                self.outbox = Arc::default();
                let _ = self.dials.send((n, self.outbox.clone()));
            }
            Effect::Send(packet) => self.outbox.send(&packet),
            Effect::ReadOn => self.outbox.read_on(),
            Effect::TellFlushed => self.outbox.tell(),
            Effect::HangUp => self.outbox.end(),
            Effect::Publish(n, id, message) => drop(self.letters.send((n, id, message))),
            Effect::Release(ticket) => drop(self.orders.send(Order::Release(ticket))),
            Effect::Refresh(filters) => drop(self.orders.send(Order::Refresh(filters))),
            Effect::Say(standing) => self.say(standing),
            Effect::Report(counters) => {
                let metric = message::Metric { counters, stamp: self.stamper.stamp() };
                let json = serde_json::to_vec(&metric).unwrap_or_default();
                self.bus.post(Message::new(self.metric_topic.clone(), json));
            }
        }
    }

    fn say(&mut self, standing: Standing) {
        let since = match &self.said {
            Some((link, since)) if *link == standing.link => since.clone(),
            Some(_) | None => self.stamper.time(),
        };
        self.said = Some((standing.link, since.clone()));
        self.board.say(&self.name, &standing);
        let state = message::State {
            state: standing.link,
            reason: standing.reason,
            since,
            url: self.url.clone(),
            backlog: standing.backlog,
            stamp: self.stamper.stamp(),
        };
        let json = serde_json::to_vec(&state).unwrap_or_default();
        self.bus.post(Message::new(self.state_topic.clone(), json).retained());
    }
}

/// The side of our broker: takes what is to be relayed, gives back what is done with.
async fn home(
    mut link: Link,
    filters: Vec<String>,
    mut orders: UnboundedReceiver<Order>,
    inbox: mpsc::Sender<Input>,
) {
    subscribe(&link, &filters).await;
    loop {
        tokio::select! {
            biased;
            Some(order) = orders.recv() => match order {
                Order::Release(ticket) => link.ack(ticket),
                Order::Refresh(filters) => subscribe(&link, &filters).await,
            },
            delivery = link.recv() => {
                let Some(delivery) = delivery else { return };
                if inbox.send(Input::Local(delivery)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn subscribe(link: &Link, filters: &[String]) {
    for filter in filters {
        if let Err(refused) = link.subscribe(filter, Qos::AtLeastOnce, Acknowledge::ByHand).await {
            tracing::warn!(%filter, %refused, "bridge may not read what it is to relay");
        }
    }
}

/// Publishes what the cloud sends, one after the other: the order of the cloud is kept.
async fn inward(
    sender: Sender,
    mut letters: UnboundedReceiver<Letter>,
    inbox: mpsc::Sender<Input>,
) {
    while let Some((n, packet_id, message)) = letters.recv().await {
        let verdict = sender.publish(message).await;
        if inbox.send(Input::Told(n, packet_id, verdict)).await.is_err() {
            return;
        }
    }
}

/// The side of the cloud: a task for each connection; there are two only while an old one says its
/// last words.
async fn network(
    config: Arc<Config>,
    mut dials: UnboundedReceiver<(u32, Arc<Outbox>)>,
    inbox: mpsc::Sender<Input>,
) -> Result<(), Broken> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some((n, outbox)) = dials.recv() => {
                connections.spawn(connection::serve(n, config.clone(), outbox, inbox.clone()));
            }
            Some(ended) = connections.join_next() => ended?,
            else => return Ok(()),
        }
    }
}
