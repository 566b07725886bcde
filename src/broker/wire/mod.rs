//! The wire codec: MQTT 3.1.1 and 5.0 (OASIS), every packet in both directions.
//!
//! ```text
//!   bytes --frame--> Frame --decode--> Packet<'bytes> --encode--> bytes
//!            |                  |
//!            +---- Malformed ---+      the rule that was broken: reason code, statement, words
//! ```
//!
//! A packet borrows from the bytes it came in: nothing is allocated to decode or to encode one.
//! What decodes has been checked against everything the standard says about a packet alone: flags,
//! lengths, strings, topics, which properties and reason codes it may carry and how often. What
//! depends on the session (packet identifiers in use, topic alias maximum, order of packets) is the
//! core's; what depends on the direction is one call, [`Packet::from_client`] or
//! [`Packet::from_server`].
//!
//! Facts stand in tables: [`property::TABLE`], the reason codes in [`reason`], the rules in
//! [`malformed`].

mod ack;
mod connack;
mod connect;
mod direction;
mod disconnect;
pub mod malformed;
mod packet;
mod packet_type;
mod properties;
pub mod property;
mod property_buffer;
mod publish;
mod qos;
mod read;
pub mod reason;
mod suback;
mod subscribe;
pub mod topic;
mod unsubscribe;
mod write;

pub use ack::Ack;
pub use connack::ConnAck;
pub use connect::{Connect, Will, connect_version, decode_connect};
pub use disconnect::{Auth, Disconnect};
pub use malformed::Malformed;
pub use packet::{Packet, TooLarge, decode, encode, encode_within, publish_size, size};
pub use packet_type::{PacketType, Places};
pub use properties::{Properties, Value};
pub use property::Property;
pub use property_buffer::PropertyBuffer;
pub use publish::Publish;
pub use qos::Qos;
pub use reason::Reason;
pub use suback::SubAck;
pub use subscribe::{
    Options, RetainHandling, Subscribe, Subscription, SubscriptionBuffer, Subscriptions,
};
pub use unsubscribe::{FilterBuffer, Filters, Unsubscribe};

/// The version of MQTT that a connection speaks, as its CONNECT said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5.0, protocol level 5.
    V5,
}

/// One whole packet, not yet looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The first byte: type and flags.
    pub header: u8,
    /// What the remaining length counts.
    pub body: &'a [u8],
    /// Bytes of the whole packet, fixed header included.
    pub size: usize,
}

/// The packet at the start of `buf`; `None` when more bytes are needed. Refuses as early as it can:
/// a bad first byte at once, a packet of more than `max_size` bytes as soon as its length is there.
///
/// # Errors
/// The rule that is broken; the connection cannot go on.
pub fn frame(buf: &[u8], max_size: usize) -> Result<Option<Frame<'_>>, Malformed> {
    let Some((&header, rest)) = buf.split_first() else { return Ok(None) };
    PacketType::of(header)?;
    let Some((remaining, length_size)) = read::variable_byte_integer(rest)? else {
        return Ok(None);
    };
    let start = 1 + length_size;
    let size = start.saturating_add(usize::try_from(remaining).unwrap_or(usize::MAX));
    if size > max_size {
        return Err(Malformed::PacketTooLarge);
    }
    Ok(buf.get(start..size).map(|body| Frame { header, body, size }))
}
