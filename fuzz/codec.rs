//! The wire codec and the framing of WebSockets without the rest of the house.

#[path = "../src/broker/wire/mod.rs"]
pub mod wire;

#[path = "../src/broker/websocket/mod.rs"]
pub mod websocket;

/// The room they stand in.
pub mod broker {
    pub use crate::{websocket, wire};
}
