//! A blocking MQTT 5 client for tests, on rmqtt-codec: what our broker says is read by a codec that
//! is not ours, and refusals come back as the specification's numbers.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    num::NonZeroU16,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use bytes::BytesMut;
use rmqtt_codec::{
    types::{Publish, QoS},
    v5::{Codec, Packet, PublishAck, PublishAckReason, Subscribe, SubscriptionOptions},
};
use tokio_util::codec::{Decoder, Encoder};

pub(crate) use rmqtt_codec::v5::{Connect, ConnectAck, PublishProperties};

use super::clock::{Deadline, PATIENCE};

trait Stream: Read + Write + Send {
    fn limit(&self, wait: Option<Duration>);
}
impl Stream for TcpStream {
    fn limit(&self, wait: Option<Duration>) {
        self.set_read_timeout(wait).expect("a read time-out");
    }
}
impl Stream for UnixStream {
    fn limit(&self, wait: Option<Duration>) {
        self.set_read_timeout(wait).expect("a read time-out");
    }
}

/// A message as a test looks at it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    /// The topic.
    pub(crate) topic: String,
    /// The payload.
    pub(crate) payload: Vec<u8>,
    /// The retain flag as delivered.
    pub(crate) retain: bool,
    /// The quality it came with.
    pub(crate) qos: u8,
    /// Everything MQTT 5 adds.
    pub(crate) properties: PublishProperties,
}

impl Message {
    /// The payload as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
    /// The payload as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload)
            .unwrap_or_else(|e| panic!("{}: {e}: {}", self.topic, self.text()))
    }
}

/// What a broker answered to a publish with QoS 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// MQTT 5 reason code: 0x00 or 0x10 taken, 0x80 and above refused.
    pub(crate) code: u8,
    /// The reason string.
    pub(crate) reason: Option<String>,
}

/// A connected client. Dropped: the connection just ends, so its will fires.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    codec: Codec,
    buffer: BytesMut,
    inbox: VecDeque<Message>,
    next_id: u16,
}

impl Client {
    /// Connects to a Unix socket with a fresh session.
    ///
    /// # Errors
    /// When nothing listens there, or the broker says no.
    pub(crate) fn unix(path: &Path, connect: Connect) -> Result<(Client, ConnectAck), String> {
        let stream = UnixStream::connect(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Client::over(Box::new(stream), connect)
    }
    /// Connects to a TCP port.
    ///
    /// # Errors
    /// When nothing listens there, or the broker says no.
    pub(crate) fn tcp(at: SocketAddr, connect: Connect) -> Result<(Client, ConnectAck), String> {
        let stream = TcpStream::connect(at).map_err(|e| format!("{at}: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        Client::over(Box::new(stream), connect)
    }
    fn over(stream: Box<dyn Stream>, connect: Connect) -> Result<(Client, ConnectAck), String> {
        let mut client = Client {
            stream,
            codec: Codec::new(0, 0),
            buffer: BytesMut::new(),
            inbox: VecDeque::new(),
            next_id: 1,
        };
        client.send(connect.into());
        match client.packet(PATIENCE) {
            Some(Packet::ConnectAck(ack)) if u8::from(ack.reason_code) == 0 => Ok((client, *ack)),
            other => Err(format!("CONNECT was answered by {other:?}")),
        }
    }
    /// Subscribes and waits for the SUBACK; its reason code.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) -> u8 {
        self.subscribe_with(filter, options(qos))
    }
    /// Subscribes such that the retain flag tells how a message was published.
    pub(crate) fn subscribe_as_published(&mut self, filter: &str, qos: u8) -> u8 {
        let as_published = SubscriptionOptions { retain_as_published: true, ..options(qos) };
        self.subscribe_with(filter, as_published)
    }
    fn subscribe_with(&mut self, filter: &str, options: SubscriptionOptions) -> u8 {
        let packet_id = self.id();
        self.send(Packet::Subscribe(Subscribe {
            packet_id,
            id: None,
            user_properties: Vec::new(),
            topic_filters: vec![(filter.into(), options)],
        }));
        self.answer("SUBACK", |packet| {
            let Packet::SubscribeAck(ack) = packet else { return None };
            ack.status.first().filter(|_| ack.packet_id == packet_id).map(|code| u8::from(*code))
        })
    }
    /// Publishes with QoS 1 and waits for the PUBACK.
    pub(crate) fn publish(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> Answer {
        self.publish_with(topic, payload.as_ref(), false, PublishProperties::default())
    }
    /// Publishes with QoS 1 and properties, and waits for the PUBACK.
    pub(crate) fn publish_with(
        &mut self,
        topic: &str,
        payload: &[u8],
        retain: bool,
        properties: PublishProperties,
    ) -> Answer {
        let packet_id = self.id();
        self.send(Packet::Publish(Box::new(Publish {
            dup: false,
            retain,
            qos: QoS::AtLeastOnce,
            topic: topic.into(),
            packet_id: Some(packet_id),
            payload: payload.to_vec().into(),
            properties: Some(properties),
        })));
        self.answer("PUBACK", |packet| {
            let Packet::PublishAck(ack) = packet else { return None };
            let reason = ack.reason_string.as_ref().map(ToString::to_string);
            (ack.packet_id == packet_id).then(|| Answer { code: ack.reason_code.into(), reason })
        })
    }
    /// The next message the test likes; others are dropped.
    ///
    /// # Panics
    /// When none comes in time, with the topics that came instead.
    pub(crate) fn wait_for(&mut self, wait: Duration, like: impl Fn(&Message) -> bool) -> Message {
        let deadline = Deadline::after(wait);
        let mut seen = Vec::new();
        while let Some(left) = deadline.left() {
            let Some(message) = self.next(left) else { break };
            if like(&message) {
                return message;
            }
            seen.push(message.topic);
        }
        panic!("no such message within {wait:?}; seen: {seen:?}");
    }
    /// The next message on this very topic.
    pub(crate) fn on(&mut self, topic: &str) -> Message {
        self.wait_for(PATIENCE, |message| message.topic == topic)
    }
    /// The next message; `None` when none comes in time or the connection ended.
    pub(crate) fn next(&mut self, wait: Duration) -> Option<Message> {
        let deadline = Deadline::after(wait);
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Some(message);
            }
            let packet = self.packet(deadline.left()?)?;
            self.keep(&packet);
        }
    }
    /// Sends any packet.
    pub(crate) fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        self.codec.encode(packet, &mut bytes).expect("a packet of ours encodes");
        // A broker that has just closed the connection is for the read that follows to see.
        let _ = self.stream.write_all(&bytes);
    }
    /// The next packet; `None` when none comes in time or the connection ended.
    pub(crate) fn packet(&mut self, wait: Duration) -> Option<Packet> {
        let deadline = Deadline::after(wait);
        loop {
            let decoded = self.codec.decode(&mut self.buffer);
            if let Some((packet, _)) = decoded.expect("the broker sends what MQTT 5 allows") {
                return Some(packet);
            }
            self.stream.limit(Some(deadline.left()?));
            let mut bytes = [0; 16384];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
    fn answer<T>(&mut self, name: &str, take: impl Fn(&Packet) -> Option<T>) -> T {
        let deadline = Deadline::after(PATIENCE);
        while let Some(left) = deadline.left() {
            let Some(packet) = self.packet(left) else { break };
            if let Some(answer) = take(&packet) {
                return answer;
            }
            if let Packet::Disconnect(end) = &packet {
                panic!("instead of {name} the broker sent {end:?}");
            }
            self.keep(&packet);
        }
        panic!("no {name}: the connection ended or nothing came");
    }
    fn keep(&mut self, packet: &Packet) {
        let Packet::Publish(publish) = packet else { return };
        if let (QoS::AtLeastOnce, Some(packet_id)) = (publish.qos, publish.packet_id) {
            self.send(Packet::PublishAck(PublishAck {
                packet_id,
                reason_code: PublishAckReason::Success,
                properties: Vec::new(),
                reason_string: None,
            }));
        }
        self.inbox.push_back(Message {
            topic: publish.topic.to_string(),
            payload: publish.payload.to_vec(),
            retain: publish.retain,
            qos: u8::from(publish.qos),
            properties: publish.properties.clone().unwrap_or_default(),
        });
    }
    fn id(&mut self) -> NonZeroU16 {
        let id = NonZeroU16::new(self.next_id).expect("ids start at 1");
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        id
    }
}

/// A CONNECT with a fresh session and no keep-alive.
pub(crate) fn connect(client_id: &str) -> Connect {
    Connect { clean_start: true, client_id: client_id.into(), ..Connect::default() }
}

fn options(qos: u8) -> SubscriptionOptions {
    let qos = match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => panic!("this client speaks QoS 0 and 1"),
    };
    SubscriptionOptions { qos, ..SubscriptionOptions::default() }
}
