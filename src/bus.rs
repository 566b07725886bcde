//! A subsystem's link to the broker: its own session, in process.
//!
//! What goes over a link is judged, stored, fanned out and delivered like anything from a socket;
//! only the bytes of the wire are saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::broker::Principal;
use crate::broker::intake::{Intake, LinkId, Op};

pub use crate::broker::wire::Qos;

/// One message, to publish or delivered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// The whole topic, root included.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// To publish: the quality asked for. Delivered: the quality it comes with.
    pub qos: Qos,
    /// To publish: keep it. Delivered: it was kept (an answer to a subscribe).
    pub retain: bool,
    /// MQTT 5 response topic.
    pub response_topic: Option<String>,
    /// MQTT 5 correlation data.
    pub correlation_data: Option<Bytes>,
    /// MQTT 5 content type.
    pub content_type: Option<String>,
    /// MQTT 5 message expiry, seconds from now.
    pub expiry_s: Option<u32>,
    /// MQTT 5 user properties, in order.
    pub user: Vec<(String, String)>,
    /// The principal that may read this whatever its role says: "a requester always sees its own
    /// replies and tasks". Only the daemon's own links may set it.
    pub audience: Option<String>,
}

/// A message on its way to a link's owner. Not acknowledged until [`Link::ack`] says so when the
/// subscription asked for manual acknowledgement.
#[derive(Debug)]
pub struct Delivery {
    /// What was published.
    pub message: Message,
    /// Names the delivery to [`Link::ack`].
    pub token: u64,
    /// The principal that published it.
    pub from: Arc<str>,
}

/// Why a publish was not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refused {
    /// Dotted code of the contract.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

/// How a subscription wants its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// Taking a message from [`Link::recv`] acknowledges it.
    OnReceive,
    /// [`Link::ack`] does; until then the message stays in the session.
    ByHand,
}

/// A session of the broker, held in process. Dropping it disconnects; a link that attaches with the
/// same principal takes the session up again.
#[derive(Debug)]
pub struct Link {
    sender: Sender,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    by_hand: AtomicBool,
}

/// The publishing half of a [`Link`]; clone it into tasks.
#[derive(Clone, Debug)]
pub struct Sender {
    intake: Arc<Intake>,
    link: LinkId,
}

impl Link {
    pub(crate) fn attach(intake: &Arc<Intake>, principal: Principal) -> Link {
        let link = intake.next_link();
        // Unbounded in type only: the broker sends no more than the session's window.
        let (tx, deliveries) = mpsc::unbounded_channel();
        intake.push(Op::Attach { link, principal, deliveries: tx });
        let sender = Sender { intake: intake.clone(), link };
        Link { sender, deliveries, by_hand: AtomicBool::new(false) }
    }

    /// The publishing half.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Subscribes; retained messages follow. A filter wider than the role is trimmed at delivery.
    /// One subscription by hand makes the whole link acknowledge by hand.
    ///
    /// # Errors
    /// When nothing under the filter is readable, or it is not a filter.
    pub async fn subscribe(
        &self,
        filter: &str,
        qos: Qos,
        acknowledge: Acknowledge,
    ) -> Result<(), Refused> {
        if acknowledge == Acknowledge::ByHand {
            self.by_hand.store(true, Ordering::Relaxed);
        }
        let (reply, answer) = oneshot::channel();
        let op = Op::Subscribe { link: self.sender.link, filter: filter.to_string(), qos, reply };
        self.sender.intake.push(op);
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, filter: &str) {
        let op = Op::Unsubscribe { link: self.sender.link, filter: filter.to_string() };
        self.sender.intake.push(op);
    }

    /// The next message; `None` when the broker is gone, or another link took the session over.
    pub async fn recv(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.recv().await?;
        if !self.by_hand.load(Ordering::Relaxed) {
            self.ack(delivery.token);
        }
        Some(delivery)
    }

    /// The message is safe elsewhere (or not wanted): the session may forget it.
    pub fn ack(&self, token: u64) {
        self.sender.intake.push(Op::Acknowledge { link: self.sender.link, token });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.sender.intake.push(Op::Detach { link: self.sender.link });
    }
}

impl Sender {
    /// Publishes without waiting, in order. The intake is bounded: a post is dropped (and counted)
    /// when the broker is that far behind.
    pub fn post(&self, message: Message) {
        let message = Box::new(message);
        self.intake.push(Op::Publish { link: self.link, message, reply: None });
    }

    /// As [`Sender::post`], several at once: the broker wakes once for all of them.
    pub fn post_all(&self, messages: impl IntoIterator<Item = Message>) {
        let link = self.link;
        let publish = |message| Op::Publish { link, message: Box::new(message), reply: None };
        self.intake.push_all(messages.into_iter().map(publish));
    }

    /// Publishes and waits for the PUBACK: the message is safe.
    ///
    /// # Errors
    /// When the broker refuses it.
    pub async fn publish(&self, message: Message) -> Result<(), Refused> {
        let (reply, answer) = oneshot::channel();
        let message = Box::new(message);
        self.intake.push(Op::Publish { link: self.link, message, reply: Some(reply) });
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Refused {
    Refused { code: "broker.gone", message: "the broker has stopped".to_string() }
}

impl Message {
    /// A QoS 0 message: metrics, logs.
    pub fn new(topic: String, payload: impl Into<Bytes>) -> Message {
        Message { topic, payload: payload.into(), ..Message::default() }
    }

    /// With at-least-once delivery: events, replies.
    pub fn at_least_once(mut self) -> Message {
        self.qos = Qos::AtLeastOnce;
        self
    }

    /// Retained with QoS 1: info, status, state, task.
    pub fn retained(mut self) -> Message {
        self.qos = Qos::AtLeastOnce;
        self.retain = true;
        self
    }
}
