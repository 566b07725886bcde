//! The session at the cloud: MQTT 5 as a client, without a socket.
//!
//! `rumqttc` is not here: its event loop opens its own sockets, so our TLS would stand behind a
//! second socket with every byte copied twice more; it notices a dead line after two keepalives, and
//! tells identifiers apart from messages. What is left of a client then, who is asked when and what
//! is repeated, is [`Machine`], and the packets are the broker's own codec.

mod backoff;
mod keepalive;
mod letters;
mod machine;
pub mod packet;
mod session;
mod trouble;

pub use machine::{Effect, Input, Machine, Settings, Standing};
pub use trouble::Trouble;
