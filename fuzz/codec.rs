//! The wire codec without the rest of the house.

#[path = "../src/broker/wire/mod.rs"]
pub mod wire;

/// The room it stands in.
pub mod broker {
    pub use crate::wire;
}
