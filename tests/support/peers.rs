//! Real programs to test against: from `target/peers/bin` where `tests/run` puts them, else `PATH`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use super::process::{Lines, command};

/// Where a program is, if there is one.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::iter::once(ours)
        .chain(std::env::split_paths(&path))
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A command of a peer.
///
/// # Panics
/// When it is not there: peers are not optional, `tests/run` gets them without installing anything.
pub(crate) fn peer(program: &str) -> Command {
    command(find(program).unwrap_or_else(|| panic!("no {program}: run tests/run once, it gets it")))
}

/// Runs a peer to its end.
///
/// # Panics
/// When it does not end in time.
pub(crate) fn run(program: &str, arguments: &[&str], wait: Duration) -> Output {
    let mut command = peer(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    output(command, wait)
}

/// Runs a command to its end and returns what it printed.
///
/// # Panics
/// When it does not end in time.
pub(crate) fn output(mut command: Command, wait: Duration) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(wait) else {
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        panic!("{command:?} did not end within {wait:?}");
    };
    output.expect("the command's output")
}

/// A mosquitto_sub whose lines the test reads.
pub(crate) fn subscriber(arguments: &[&str]) -> Lines {
    let mut command = peer("mosquitto_sub");
    command.args(arguments);
    Lines::start(command)
}

/// The last line of stdout, without its end: what mosquitto_rr and mosquitto_sub -C 1 print.
pub(crate) fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().unwrap_or_default().to_owned()
}
