//! What real clients see: every promise with every library people use, by both versions of MQTT.
//!
//! | library | version | by |
//! |---|---|---|
//! | Eclipse paho (Python) | 1.6, 2.1 | `scripts/agent.py` |
//! | MQTT.js | 5 | `scripts/agent.js` |
//! | rumqttc (Rust) | 0.25 | `rumqttc.rs` |
//! | mosquitto_pub, _sub, _rr | 2.0 | `mosquitto.rs` |
//!
//! An agent is one such client that does as it is told (`agent.rs`), so that a promise is written once and
//! held against all of them at the same time, on one daemon.

mod agent;
mod crowd;
mod messages;
mod mosquitto;
mod queues;
mod rumqttc;
mod sessions;
mod ways;
