//! The command line: an MQTT client, nothing else.
//!
//! ```text
//!   args --> arguments, address, password     what is meant
//!     |
//!   session --> client --> stream             a blocking MQTT 5 client (packets: our own codec)
//!     |
//!   call, status, relay, api                  one file per page
//!     |
//!   paint --> terminal                        aligned for people, one JSON per line for programs
//!   exit                                      one code per kind of end
//! ```
//! All that it shows and does goes over topics that any client can use; `run` starts the daemon, and
//! `config check`, `user add` and `completions` work on files without one.

mod address;
mod api;
mod args;
mod arguments;
mod call;
pub mod client;
mod exit;
mod files;
mod packets;
mod paint;
mod password;
mod relay;
mod reply;
mod session;
mod status;
mod stream;
mod terminal;
mod tls;

use std::process::ExitCode;

use clap::CommandFactory;

use self::args::{CommandLine, Deed};
use self::exit::{Exit, Stop};
use self::session::Session;
use self::terminal::{Reader, Terminal};
use crate::daemon;

/// Parses the arguments and does what they ask for.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let line = match CommandLine::read(&words) {
        Ok(line) => line,
        Err(told) => told.exit(),
    };
    if let Deed::Run { config, record_reboot, rehearse_panic } = line.deed {
        return daemon::run(daemon::Options { config, record_reboot, rehearse_panic });
    }
    let reader = if line.target.json { Reader::Program } else { Reader::Person };
    match perform(&line.deed, &line.target, Terminal::new(reader)) {
        Ok(exit) => exit.into(),
        Err(stop) => {
            if let Some(told) = &stop.told {
                terminal::complain(told);
            }
            stop.exit.into()
        }
    }
}

fn perform(deed: &Deed, target: &args::Target, terminal: Terminal) -> Result<Exit, Stop> {
    let open = || Session::open(target);
    match deed {
        Deed::Run { .. } | Deed::Short(_) => Ok(Exit::Succeeded), // done and read by the caller
        Deed::Status => status::run(&mut open()?, terminal),
        Deed::Cmd(cmd) => call::run(cmd, &mut open()?, terminal),
        Deed::Whoami => call::whoami(&mut open()?, terminal),
        Deed::Pub(typed) => {
            let message = relay::message(typed)?;
            open()?.client.publish(&message)?;
            Ok(Exit::Succeeded)
        }
        Deed::Sub(sub) => relay::subscribe(sub, &mut open()?.client, terminal),
        Deed::Api { page } => api::run(page.as_ref(), &mut open()?, terminal),
        Deed::User(user) => files::user(user, terminal),
        Deed::Config(config) => files::config(config, terminal),
        Deed::Completions { shell } => completions(*shell, terminal),
    }
}

fn completions(shell: args::Shell, terminal: Terminal) -> Result<Exit, Stop> {
    use clap_complete::{generate, shells};
    let (mut command, mut script) = (CommandLine::command(), Vec::new());
    match shell {
        args::Shell::Bash => generate(shells::Bash, &mut command, "maestro", &mut script),
        args::Shell::Zsh => generate(shells::Zsh, &mut command, "maestro", &mut script),
        args::Shell::Fish => generate(shells::Fish, &mut command, "maestro", &mut script),
    }
    terminal.print(script)?;
    Ok(Exit::Succeeded)
}
