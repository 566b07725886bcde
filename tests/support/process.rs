//! Children of a test: started in one place, killed by pid on drop, their output kept.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use super::clock::{Deadline, until};

/// A command. The one place where tests start something.
#[expect(clippy::disallowed_methods, reason = "a scenario test runs real programs")]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// A running child. Dropped: killed and reaped.
pub(crate) struct Process {
    child: Child,
    stderr: PathBuf,
}

impl Process {
    /// Starts it with its stderr (and stdout, unless piped) in a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Process {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|e| panic!("open {}: {e}", log.display()));
        let stdout = file.try_clone().expect("a second handle of the log");
        command.stdin(Stdio::null()).stdout(stdout).stderr(file);
        let child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        Process { child, stderr: log.to_owned() }
    }
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for a child of ours")
    }
    /// Sends a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.pid()).expect("a pid");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
    }
    /// Waits for its end.
    pub(crate) fn wait(&mut self, wait: Duration) -> ExitStatus {
        until("the end of a process", wait, || self.ended())
    }
    /// What it has said so far.
    pub(crate) fn output(&self) -> String {
        let bytes = std::fs::read(&self.stderr).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running child whose lines the test reads, such as mosquitto_sub.
pub(crate) struct Lines {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    /// Starts it; its stderr goes to the test's.
    pub(crate) fn start(mut command: Command) -> Lines {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Lines { child, lines, seen: Vec::new() }
    }
    /// The next line the test likes; the others are kept in `seen`.
    ///
    /// # Panics
    /// When none comes in time, with what came instead.
    pub(crate) fn wait_for(&mut self, wait: Duration, like: impl Fn(&str) -> bool) -> String {
        let deadline = Deadline::after(wait);
        while let Some(left) = deadline.left() {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            self.seen.push(line.clone());
            if like(&line) {
                return line;
            }
        }
        panic!("no such line within {wait:?}; seen:\n{}", self.seen.join("\n"));
    }
    /// Every line that comes within this time.
    pub(crate) fn collect(&mut self, wait: Duration) -> Vec<String> {
        let deadline = Deadline::after(wait);
        let mut lines = Vec::new();
        while let Some(left) = deadline.left() {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            lines.push(line);
        }
        lines
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
