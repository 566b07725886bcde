//! The composition root: storage, broker, gate and the subsystems, in start order.

use std::path::PathBuf;
use std::process::ExitCode;

/// How `maestro run` was called.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file in place of the usual one (`--config`).
    pub config: Option<PathBuf>,
    /// For tests: what would reboot or power off the box is appended here as a line instead
    /// (`--record-reboot`, hidden).
    pub record_reboot: Option<PathBuf>,
}

/// Runs the daemon until it is told to stop.
pub fn run(options: Options) -> ExitCode {
    let _ = options;
    ExitCode::FAILURE
}
