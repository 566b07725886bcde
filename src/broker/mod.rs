//! The broker: MQTT 3.1.1 and 5.0, in a thread of its own.
//!
//! ```text
//!   unix, tcp ──> turn (epoll) ──> core: decides ──> bytes, one write per connection per turn
//!                  ^   |            |
//!     links ──> intake |            +──> writes: one batch per turn ──> storage ──> intake
//!                  ^   +──> gate (commands), links (deliveries)
//!   tls, ws ──> door <─┴──> passwords to check
//! ```
//! The core is pure and knows neither sockets nor disk nor clock; `turn` is the only hand. Storage is
//! never waited for: an acknowledgement that needs the disk is sent in a later turn.

pub mod acl;
pub mod config;
mod core;
mod crowd;
pub mod door;
mod drops;
mod filters;
mod flight;
mod gate;
mod group;
mod handle;
pub mod identity;
pub(crate) mod intake;
mod limits;
mod listener;
mod message;
#[cfg(test)]
mod model;
pub mod notice;
mod parting;
mod principal;
mod promises;
mod queue;
mod received;
mod retained;
mod session;
mod slack;
mod slots;
mod socket;
mod task;
mod tls;
mod total;
mod tree;
mod turn;
pub mod users;
pub mod websocket;
pub mod wire;

#[cfg(any(test, fuzzing))]
pub use self::core::trial;
pub use self::core::{Counters, Traffic};
pub use drops::Dropped;
pub use gate::{Gate, Held};
pub use handle::{Broker, Handle, Parts};
pub use limits::Hits;
pub use listener::{ListenError, OpenListener, place_of};
pub use principal::{Bridged, Principal};
pub use task::spec;
