//! rumqttc as an agent: its connection runs in a thread until it ends or is told to.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5 as packets5;
use rumqttc::{Outgoing, QoS, v5};
use serde_json::{Value, json};
use tokio::sync::Notify;

const PATIENCE: Duration = Duration::from_secs(60);
const LARGEST: u32 = 16 << 20;

/// What the connection's thread tells of what it heard.
enum Heard {
    Connected { code: u8, present: bool },
    Granted(Vec<u8>),
    Unsubscribed,
    Acknowledged,
    Message(Value),
    Ended(i64),
}

/// rumqttc by one version of MQTT.
pub(super) struct Rumqttc {
    version: u8,
    port: u16,
    connection: Option<Connection>,
}

struct Connection {
    client: Client,
    answers: Receiver<Heard>,
    messages: Receiver<Value>,
    ended: Receiver<i64>,
    stop: Arc<Notify>,
    thread: JoinHandle<()>,
}

enum Client {
    V4(rumqttc::Client),
    V5(v5::Client),
}

impl Rumqttc {
    pub(super) fn new(version: u8, port: u16) -> Rumqttc {
        Rumqttc { version, port, connection: None }
    }
    /// Does what an order says.
    pub(super) fn ask(&mut self, order: &Value) -> Value {
        let word = order["do"].as_str().expect("an order says what to do");
        if word == "connect" {
            self.connection = Some(Connection::open(self.version, self.port, order));
        }
        let Some(connection) = &mut self.connection else {
            return json!({"trouble": "not connected"});
        };
        let done = match word {
            "connect" => connection.answer(),
            "subscribe" => connection.subscribe(order),
            "unsubscribe" => connection.unsubscribe(order),
            "publish" => connection.publish(order),
            "publish_many" => connection.publish_many(order),
            "messages" => Ok(connection.take(order)),
            "wait_end" => connection.end(),
            "disconnect" => connection.disconnect(),
            "drop" => {
                if let Some(connection) = self.connection.take() {
                    connection.stop.notify_one();
                    let _ = connection.thread.join();
                }
                Ok(json!({}))
            }
            other => Err(format!("no order called {other}")),
        };
        done.unwrap_or_else(|trouble| json!({"trouble": trouble}))
    }
}

impl Connection {
    fn open(version: u8, port: u16, order: &Value) -> Connection {
        let (heard, told) = channel();
        let (answer, answers) = channel();
        let (message, messages) = channel();
        let (end, ended) = channel();
        let stop = Arc::new(Notify::new());
        let (client, thread) = match version {
            5 => open_v5(port, order, heard, stop.clone()),
            _ => open_v4(port, order, heard, stop.clone()),
        };
        std::thread::spawn(move || {
            for heard in told {
                let _ = match heard {
                    Heard::Message(value) => message.send(value).is_ok(),
                    Heard::Ended(code) => end.send(code).is_ok(),
                    Heard::Connected { .. }
                    | Heard::Granted(_)
                    | Heard::Unsubscribed
                    | Heard::Acknowledged => answer.send(heard).is_ok(),
                };
            }
        });
        Connection { client, answers, messages, ended, stop, thread }
    }
    fn answer(&self) -> Result<Value, String> {
        Ok(match self.answers.recv_timeout(PATIENCE).map_err(|e| e.to_string())? {
            Heard::Connected { code, present } => json!({"code": code, "present": present}),
            Heard::Granted(codes) => json!({"codes": codes}),
            Heard::Unsubscribed | Heard::Acknowledged => json!({}),
            Heard::Message(_) | Heard::Ended(_) => return Err("no answer".into()),
        })
    }
    fn subscribe(&self, order: &Value) -> Result<Value, String> {
        let (filter, qos) = (text(order, "filter"), qos(order));
        match &self.client {
            Client::V4(client) => client.subscribe(filter, qos).map_err(|e| e.to_string())?,
            Client::V5(client) => client.subscribe(filter, qos5(qos)).map_err(|e| e.to_string())?,
        }
        self.answer()
    }
    fn unsubscribe(&self, order: &Value) -> Result<Value, String> {
        let filter = text(order, "filter");
        match &self.client {
            Client::V4(client) => client.unsubscribe(filter).map_err(|e| e.to_string())?,
            Client::V5(client) => client.unsubscribe(filter).map_err(|e| e.to_string())?,
        }
        self.answer()
    }
    fn start(&self, order: &Value, topic: String, payload: Vec<u8>) -> Result<(), String> {
        let retain = order["retain"].as_bool().unwrap_or_default();
        let qos = qos(order);
        match &self.client {
            Client::V4(client) => {
                client.publish(topic, qos, retain, payload).map_err(|e| e.to_string())
            }
            Client::V5(client) => {
                let properties = packets5::PublishProperties {
                    message_expiry_interval: number(order, "expiry"),
                    topic_alias: number(order, "alias"),
                    response_topic: order["response"].as_str().map(str::to_owned),
                    correlation_data: order["correlation"].as_str().map(|s| s.to_owned().into()),
                    ..packets5::PublishProperties::default()
                };
                let sent =
                    client.publish_with_properties(topic, qos5(qos), retain, payload, properties);
                sent.map_err(|e| e.to_string())
            }
        }
    }
    fn publish(&self, order: &Value) -> Result<Value, String> {
        let payload = payload(order, text(order, "payload"));
        let sha256 = digest(&payload);
        self.start(order, text(order, "topic"), payload)?;
        self.answer()?;
        Ok(json!({"sha256": sha256}))
    }
    fn publish_many(&self, order: &Value) -> Result<Value, String> {
        let count: u32 = number(order, "count").unwrap_or_default();
        for n in 0..count {
            let topic = text(order, "topic").replace("{n}", &n.to_string());
            self.start(order, topic, payload(order, format!("{n} ")))?;
        }
        for _ in 0..count {
            self.answer()?;
        }
        Ok(json!({}))
    }
    fn take(&self, order: &Value) -> Value {
        let wait = Duration::from_millis(number(order, "wait_ms").unwrap_or_default());
        let count: u64 = number(order, "count").unwrap_or_default();
        let mut messages = Vec::new();
        while (messages.len() as u64) < count {
            let Ok(message) = self.messages.recv_timeout(wait) else { break };
            messages.push(message);
        }
        json!({"messages": messages})
    }
    fn end(&self) -> Result<Value, String> {
        let code = self.ended.recv_timeout(PATIENCE).map_err(|e| e.to_string())?;
        Ok(json!({"code": code}))
    }
    fn disconnect(&self) -> Result<Value, String> {
        match &self.client {
            Client::V4(client) => client.disconnect().map_err(|e| e.to_string())?,
            Client::V5(client) => client.disconnect().map_err(|e| e.to_string())?,
        }
        self.end()
    }
}

fn open_v4(
    port: u16,
    order: &Value,
    heard: Sender<Heard>,
    stop: Arc<Notify>,
) -> (Client, JoinHandle<()>) {
    use rumqttc::{Event, Packet};
    let mut options = rumqttc::MqttOptions::new(text(order, "id"), "127.0.0.1", port);
    options.set_max_packet_size(LARGEST as usize, LARGEST as usize);
    options.set_clean_session(order["clean"].as_bool().unwrap_or(true));
    options.set_manual_acks(order["hold"].as_bool().unwrap_or_default());
    if let Some(will) = order.get("will") {
        let (topic, payload) = (text(will, "topic"), text(will, "payload"));
        let retain = will["retain"].as_bool().unwrap_or_default();
        options.set_last_will(rumqttc::LastWill::new(topic, payload, qos(will), retain));
    }
    let (client, mut connection) = rumqttc::Client::new(options, 100);
    let thread = std::thread::spawn(move || {
        let runtime = runtime();
        while let Some(event) = runtime.block_on(unless(&stop, connection.eventloop.poll())) {
            let told = match event {
                Err(_) => break,
                Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                    Heard::Connected { code: ack.code as u8, present: ack.session_present }
                }
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    let code = |code: &rumqttc::SubscribeReasonCode| match code {
                        rumqttc::SubscribeReasonCode::Success(qos) => *qos as u8,
                        rumqttc::SubscribeReasonCode::Failure => 0x80,
                    };
                    Heard::Granted(ack.return_codes.iter().map(code).collect())
                }
                Ok(Event::Incoming(Packet::UnsubAck(_))) => Heard::Unsubscribed,
                Ok(
                    Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))
                    | Event::Outgoing(Outgoing::Publish(0)),
                ) => Heard::Acknowledged,
                Ok(Event::Incoming(Packet::Publish(publish))) => Heard::Message(json!({
                    "topic": publish.topic, "qos": publish.qos as u8, "retain": publish.retain,
                    "dup": publish.dup, "size": publish.payload.len(),
                    "sha256": digest(&publish.payload), "text": start_of(&publish.payload),
                })),
                Ok(Event::Incoming(_) | Event::Outgoing(_)) => continue,
            };
            if heard.send(told).is_err() {
                break;
            }
        }
        let _ = heard.send(Heard::Ended(0));
    });
    (Client::V4(client), thread)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What comes, unless the connection is to end. (rumqttc's `recv_timeout` would leave a big packet half sent.)
async fn unless<T>(stop: &Notify, coming: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        came = coming => Some(came),
        () = stop.notified() => None,
    }
}

fn options_v5(port: u16, order: &Value) -> v5::MqttOptions {
    let mut options = v5::MqttOptions::new(text(order, "id"), "127.0.0.1", port);
    options.set_max_packet_size(Some(LARGEST));
    options.set_clean_start(order["clean"].as_bool().unwrap_or(true));
    options.set_manual_acks(order["hold"].as_bool().unwrap_or_default());
    options.set_session_expiry_interval(number(order, "session_expiry"));
    options.set_topic_alias_max(number(order, "alias_maximum"));
    if let Some(will) = order.get("will") {
        let properties = packets5::LastWillProperties {
            delay_interval: number(will, "delay"),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        let (topic, payload) = (text(will, "topic"), text(will, "payload"));
        let retain = will["retain"].as_bool().unwrap_or_default();
        let qos = qos5(qos(will));
        let will = packets5::LastWill::new(topic, payload, qos, retain, Some(properties));
        options.set_last_will(will);
    }
    options
}

fn open_v5(
    port: u16,
    order: &Value,
    heard: Sender<Heard>,
    stop: Arc<Notify>,
) -> (Client, JoinHandle<()>) {
    use v5::mqttbytes::v5::Packet;
    use v5::{ConnectionError, Event, StateError};
    let (client, mut connection) = v5::Client::new(options_v5(port, order), 100);
    let thread = std::thread::spawn(move || {
        let mut reason = 0;
        let runtime = runtime();
        while let Some(event) = runtime.block_on(unless(&stop, connection.eventloop.poll())) {
            let told = match event {
                Err(ConnectionError::MqttState(StateError::ServerDisconnect {
                    reason_code,
                    ..
                })) => {
                    reason = reason_code as i64;
                    break;
                }
                Err(_) => break,
                Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                    Heard::Connected { code: ack.code as u8, present: ack.session_present }
                }
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    let code = |code: &packets5::SubscribeReasonCode| {
                        if let packets5::SubscribeReasonCode::Success(qos) = code {
                            *qos as u8
                        } else {
                            0x80
                        }
                    };
                    Heard::Granted(ack.return_codes.iter().map(code).collect())
                }
                Ok(Event::Incoming(Packet::UnsubAck(_))) => Heard::Unsubscribed,
                Ok(
                    Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))
                    | Event::Outgoing(Outgoing::Publish(0)),
                ) => Heard::Acknowledged,
                Ok(Event::Incoming(Packet::Publish(publish))) => Heard::Message(shown_v5(&publish)),
                Ok(Event::Incoming(_) | Event::Outgoing(_)) => continue,
            };
            if heard.send(told).is_err() {
                break;
            }
        }
        let _ = heard.send(Heard::Ended(reason));
    });
    (Client::V5(client), thread)
}

fn shown_v5(publish: &packets5::Publish) -> Value {
    let properties = publish.properties.clone().unwrap_or_default();
    let correlation = properties.correlation_data.map(|data| start_of(&data));
    json!({
        "topic": String::from_utf8_lossy(&publish.topic), "qos": publish.qos as u8,
        "retain": publish.retain, "dup": publish.dup, "size": publish.payload.len(),
        "sha256": digest(&publish.payload), "text": start_of(&publish.payload),
        "expiry": properties.message_expiry_interval, "response": properties.response_topic,
        "correlation": correlation,
    })
}

fn text(order: &Value, key: &str) -> String {
    order[key].as_str().unwrap_or_default().to_owned()
}

fn number<T: TryFrom<u64>>(order: &Value, key: &str) -> Option<T> {
    order[key].as_u64().and_then(|number| T::try_from(number).ok())
}

fn qos(order: &Value) -> QoS {
    match order["qos"].as_u64() {
        Some(2) => QoS::ExactlyOnce,
        Some(1) => QoS::AtLeastOnce,
        _ => QoS::AtMostOnce,
    }
}

fn qos5(qos: QoS) -> v5::mqttbytes::QoS {
    match qos {
        QoS::AtMostOnce => v5::mqttbytes::QoS::AtMostOnce,
        QoS::AtLeastOnce => v5::mqttbytes::QoS::AtLeastOnce,
        QoS::ExactlyOnce => v5::mqttbytes::QoS::ExactlyOnce,
    }
}

fn payload(order: &Value, text: String) -> Vec<u8> {
    let mut payload = text.into_bytes();
    payload.resize(payload.len().max(number(order, "size").unwrap_or_default()), b'.');
    payload
}

fn digest(payload: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, payload);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start_of(payload: &[u8]) -> String {
    String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned()
}
