//! The command line: an MQTT client, nothing else.

mod address;
mod args;
mod arguments;
pub mod client;
mod exit;
mod packets;
mod paint;
mod password;
mod stream;

use std::process::ExitCode;

use clap::Parser;

use crate::daemon;

/// Parses the arguments and runs what they ask for.
pub fn main() -> ExitCode {
    let line = args::CommandLine::parse();
    match line.deed {
        args::Deed::Run { config, record_reboot } => {
            daemon::run(daemon::Options { config, record_reboot })
        }
        other => {
            eprintln!("maestro: {other:?} is not built yet ({:?})", line.target);
            ExitCode::FAILURE
        }
    }
}
