//! The contract on the bus: `topics/*.toml` compiled in, the roles, the classes, the error codes.

mod error;
mod role;

pub use error::Error;
pub use role::{Class, Role};
