//! The frame every subsystem hangs in: a [`Machine`] decides, [`drive`] loops, a [`Spec`] says how to
//! (re)build it, the [`Scope`] is all it is given, the supervisor rebuilds what fails.

mod board;
mod machine;
pub mod message;
mod scope;
mod spec;
mod stamp;
mod supervisor;
#[cfg(test)]
pub(crate) mod testing;

pub use machine::{Event, Machine, Wake, drive};
pub use scope::{Health, Scope};
pub use spec::{BoxError, BoxFuture, Restart, Spec};
pub use stamp::{Stamp, Stamper, rfc3339};
pub use supervisor::{Supervisor, World};
