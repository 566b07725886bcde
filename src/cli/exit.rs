//! How the command line ends: one code per kind of end, one sentence per trouble.

use std::io;
use std::process::ExitCode;

/// The exit codes, a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// It was done.
    Succeeded = 0,
    /// It was tried, and failed; or was cancelled, interrupted, rolled back.
    Failed = 1,
    /// It was typed wrongly (clap's code too).
    Usage = 2,
    /// The broker or the subsystem refused it: nothing was done.
    Refused = 3,
    /// No end in time; it may still go on.
    Late = 4,
    /// Nobody at the address, or the connection was lost.
    Unreachable = 5,
    /// Mistakes in a configuration file (sysexits' EX_CONFIG).
    Config = 78,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why it ends here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stop {
    /// The code.
    pub(super) exit: Exit,
    /// For the person, on standard error: what happened and what to do.
    pub(super) told: Option<String>,
}

impl Stop {
    pub(super) fn new(exit: Exit, told: impl Into<String>) -> Stop {
        Stop { exit, told: Some(told.into()) }
    }
    /// Everything has been said already.
    pub(super) fn silent(exit: Exit) -> Stop {
        Stop { exit, told: None }
    }
    pub(super) fn usage(told: impl Into<String>) -> Stop {
        Stop::new(Exit::Usage, told)
    }
}

/// Trouble with our own output: a reader that has seen enough (`| head`) is none.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Stop::silent(Exit::Succeeded)
        } else {
            Stop::new(Exit::Failed, format!("writing the output: {error}"))
        }
    }
}
