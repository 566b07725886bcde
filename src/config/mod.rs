//! The configuration: files, drop-ins, defaults.
//!
//! ```text
//!   files -- yaml --> trees with places -- merge --> one tree -- decode --> Config
//!                          \___________________________\_____________\--> problems, all at once
//! ```
//! Every subsystem owns its section's struct (`bridge::config`, `broker::config`, ..); this room owns
//! how files are found, read, merged and reported.

mod decode;
mod files;
mod load;
mod macros;
mod merge;
mod node;
mod original;
mod page;
pub mod paths;
mod problem;
mod secret;
mod sections;
mod units;
mod yaml;

pub use decode::{Decode, Fields, Reader};
#[cfg(test)]
pub(crate) use load::problems_of;
pub use load::{Loaded, Read, Source, Sources, check, read};
pub use node::{Entry, Node, Scalar, Style, Value};
pub use problem::{Mark, Problem, Report, Severity};
pub use secret::Secret;
pub use units::{NotAUnit, Size, Span};

use std::path::PathBuf;

use crate::{bridge, broker, stats, topic};

/// The effective configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who this box is. Empty only until the daemon has settled it.
    pub gateway_id: String,
    /// The first level of every topic of the daemon.
    pub root: topic::Root,
    /// What must survive a restart.
    pub state_dir: PathBuf,
    /// What need not: the Unix socket.
    pub runtime_dir: PathBuf,
    /// What the daemon tells on its standard error.
    pub log_level: LogLevel,
    /// Listeners, users, limits.
    pub broker: broker::config::Config,
    /// One per cloud.
    pub bridges: Vec<bridge::config::Config>,
    /// What is measured.
    pub stats: stats::config::Config,
}

/// What the daemon tells on its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// What ended a subsystem.
    Error,
    /// And what works only in part.
    Warn,
    /// And what a person starting it wants to know.
    #[default]
    Info,
    /// And every connection.
    Debug,
    /// And every packet.
    Trace,
}

impl Default for Config {
    /// What holds for root without a file.
    fn default() -> Config {
        Config {
            gateway_id: String::new(),
            root: topic::Root::default(),
            state_dir: "/var/lib/maestro".into(),
            runtime_dir: "/run/maestro".into(),
            log_level: LogLevel::Info,
            broker: broker::config::Config::new(
                "/run/maestro/mqtt.sock".into(),
                Some("/etc/maestro/users".into()),
            ),
            bridges: Vec::new(),
            stats: stats::config::Config::default(),
        }
    }
}
