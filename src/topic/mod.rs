//! Topic names and filters as types. Parse and print are one tested pair.
//!
//! ```text
//!   maestro / state / network / eth0.100        $maestro / api / asyncapi      sensors / hall
//!   `- Root   `- class  `----------- Topic ---- '                              `- outside: the apps'
//!
//!   $share / workers / maestro/event/#
//!            `- group  `- filter: matches(filter, topic), overlaps(filter, other filter)
//! ```
//! An object keeps its own name; bytes outside `[A-Za-z0-9_.-]` are percent-encoded ([`encode`]).

mod filter;
mod name;
mod root;
mod tail;

pub use filter::{Shared, covers, is_filter, is_name, matches, overlaps};
pub use name::{decode, encode, is_spelled};
pub use root::Root;
pub use tail::Topic;
