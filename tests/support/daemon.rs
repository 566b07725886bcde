//! The built daemon in a directory of its own.
//!
//! ```no_run
//! let daemon = Daemon::start();
//! let mut client = daemon.client("me");
//! ```
//! It runs without CAP_SYS_TIME and CAP_SYS_BOOT and only writes down when it would reboot, dies with the test, and every publish it makes is held against the
//! contract; when a test fails, its stderr is printed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;

use super::{
    client::{self, Client},
    clock::{PATIENCE, until},
    net::Host,
    ports::free_port,
    process::{Process, command},
    watch::Watch,
};

/// How to start it.
pub(crate) struct Builder {
    dir: tempfile::TempDir,
    port: u16,
    broker: String,
    more: String,
    whole: Option<String>,
    environment: Vec<(String, String)>,
    uid: Option<u32>,
    prefix: Vec<String>,
    watched: bool,
    recorded: bool,
    rehearsed: Option<&'static str>,
}

/// A running daemon. Dropped: killed, and what it broke of the contract fails the test.
pub(crate) struct Daemon {
    builder: Builder,
    process: Option<Process>,
    watch: Option<Watch>,
}

impl Builder {
    /// Lines below `broker:`, without indentation: `listeners` has a Unix and a TCP one already.
    pub(crate) fn broker(mut self, yaml: &str) -> Builder {
        self.broker.extend(yaml.lines().map(|line| format!("  {line}\n")));
        self
    }
    /// Further top-level sections.
    pub(crate) fn config(mut self, yaml: &str) -> Builder {
        self.more.push_str(yaml);
        self.more.push('\n');
        self
    }
    /// A file of the test's own; `{dir}` and `{port}` in it are filled in.
    pub(crate) fn whole_config(mut self, yaml: &str) -> Builder {
        self.whole = Some(yaml.to_owned());
        self
    }
    /// One environment variable.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Builder {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }
    /// As an ordinary user (needs root; the directory becomes that user's).
    pub(crate) fn uid(mut self, uid: u32) -> Builder {
        self.uid = Some(uid);
        self
    }
    /// In a network namespace.
    pub(crate) fn on(mut self, host: &Host) -> Builder {
        self.prefix = host.prefix();
        self
    }
    /// By the first connection to its Unix socket, which systemd's starter has open already, as it has
    /// these TCP ports on loopback.
    pub(crate) fn activated(mut self, ports: &[u16]) -> Builder {
        let starter = super::peers::find("systemd-socket-activate").expect("tests/run gets it");
        let unix = self.dir().join("mqtt.sock").display().to_string();
        self.prefix.extend([starter.display().to_string(), format!("--listen={unix}")]);
        self.prefix.extend(ports.iter().map(|port| format!("--listen=127.0.0.1:{port}")));
        self
    }
    /// With this TCP port on loopback.
    pub(crate) fn on_port(mut self, port: u16) -> Builder {
        self.port = port;
        self
    }
    /// With `file` in place of a file of the system's, in a mount namespace of its own.
    ///
    /// # Errors
    /// Where no such namespace can be made.
    pub(crate) fn over(mut self, system: &str, file: &Path) -> Result<Builder, String> {
        let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
        let words = ["unshare", "--mount", "sh", "-c", script, &file.display().to_string(), system];
        let trial = command(words[0]).args(&words[1..]).arg("true").output();
        match trial {
            Ok(output) if output.status.success() => {}
            Ok(output) => return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => return Err(format!("unshare: {error}")),
        }
        self.prefix.extend(words.map(str::to_owned));
        Ok(self)
    }
    /// Without the contract's watcher, for tests that break things on purpose.
    pub(crate) fn unwatched(mut self) -> Builder {
        self.watched = false;
        self
    }
    /// Without the recorder: what would end the box goes to the kernel. Only as an ordinary user, so
    /// that the kernel refuses.
    pub(crate) fn unrecorded(mut self) -> Builder {
        assert!(self.uid.is_some_and(|uid| uid != 0), "this would reboot the machine");
        self.recorded = false;
        self
    }
    /// Such that `broker`, `storage` or `subsystem` panics after the start.
    pub(crate) fn rehearsing(mut self, panic: &'static str) -> Builder {
        self.rehearsed = Some(panic);
        self
    }
    /// Its directory: `state`, `mqtt.sock`, `maestro.yaml`, `stderr`, `ends` (what would have ended the
    /// box).
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
    /// Starts it and waits until it answers.
    pub(crate) fn start(self) -> Daemon {
        let mut daemon = Daemon { builder: self, process: None, watch: None };
        daemon.start_again();
        daemon
    }
    /// Starts it without waiting, for tests where it is not to come up.
    pub(crate) fn spawn(self) -> Daemon {
        let mut daemon = Daemon { builder: self, process: None, watch: None };
        daemon.spawn_again();
        daemon
    }
    fn yaml(&self) -> String {
        let dir = self.dir().display();
        if let Some(whole) = &self.whole {
            let text = whole.replace("{dir}", &dir.to_string());
            return text.replace("{port}", &self.port.to_string());
        }
        let (port, broker, more) = (self.port, &self.broker, &self.more);
        format!(
            "gateway_id: GW-TEST\nstate_dir: {dir}/state\nbroker:\n  listeners:\n    \
             - unix: {dir}/mqtt.sock\n    - tcp: 127.0.0.1:{port}\n{broker}{more}"
        )
    }
    fn command(&self) -> Command {
        let mut words = self.prefix.clone();
        if let Some(guard) = guard(self.uid) {
            words.extend(guard);
        }
        words.push(binary());
        words.extend(["run", "--config"].map(str::to_owned));
        words.push(self.dir().join("maestro.yaml").display().to_string());
        if self.recorded {
            words.push("--record-reboot".to_owned());
            words.push(self.dir().join("ends").display().to_string());
        }
        if let Some(panic) = self.rehearsed {
            words.extend(["--rehearse-panic", panic].map(str::to_owned));
        }
        let mut command = command(&words[0]);
        command.args(&words[1..]).current_dir(self.dir()).env("HOME", self.dir());
        command.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_STATE_HOME");
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }
}

impl Daemon {
    /// With a Unix socket and a TCP port, all else by default.
    pub(crate) fn start() -> Daemon {
        Daemon::build().start()
    }
    /// To say more before it starts.
    pub(crate) fn build() -> Builder {
        Builder {
            dir: tempfile::Builder::new().prefix("maestro").tempdir().expect("a directory"),
            port: free_port(),
            broker: String::new(),
            more: String::new(),
            whole: None,
            environment: Vec::new(),
            uid: None,
            prefix: Vec::new(),
            watched: true,
            recorded: true,
            rehearsed: None,
        }
    }
    /// Its directory: `state`, `mqtt.sock`, `maestro.yaml`, `stderr`.
    pub(crate) fn dir(&self) -> &Path {
        self.builder.dir()
    }
    /// Its Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir().join("mqtt.sock")
    }
    /// Its TCP port on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.builder.port
    }
    /// Its TCP address.
    pub(crate) fn tcp(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }
    /// A client over the Unix socket: admin where the test runs as root or as the daemon's user.
    pub(crate) fn client(&self, id: &str) -> Client {
        Client::unix(&self.socket(), client::connect(id)).expect("a client over the socket").0
    }
    /// A client over loopback TCP: never more than operator.
    pub(crate) fn tcp_client(&self, id: &str) -> Client {
        Client::tcp(self.tcp(), client::connect(id)).expect("a client over TCP").0
    }
    /// A peer's command with the address of this daemon's TCP port.
    pub(crate) fn peer(&self, program: &str) -> Command {
        let mut command = super::peers::peer(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port().to_string()]);
        command
    }
    /// Our own command line against this daemon's socket.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_maestro"));
        command.arg("--url").arg(format!("unix://{}", self.socket().display()));
        command.args(arguments).env("HOME", self.dir());
        command
    }
    /// The process.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the daemon was started")
    }
    /// What it has said on stderr, over all its lives.
    pub(crate) fn stderr(&self) -> String {
        let bytes = std::fs::read(self.dir().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }
    /// SIGTERM, and waits for its end.
    pub(crate) fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }
    /// Starts it on the same directory and port, and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        self.spawn_again();
        self.ready();
        if self.builder.watched {
            self.watch = Some(Watch::start(&self.socket()));
        }
    }
    /// Another file of the test's own, for the next start.
    pub(crate) fn rewrite(&mut self, yaml: &str) {
        self.builder.whole = Some(yaml.to_owned());
    }
    /// Every publish so far kept the contract.
    ///
    /// # Panics
    /// When one did not, with all that did not.
    pub(crate) fn kept_the_contract(&self) {
        let complaints = self.watch.as_ref().map(Watch::complaints).unwrap_or_default();
        assert!(complaints.is_empty(), "against the contract:\n{}", complaints.join("\n"));
    }
    fn spawn_again(&mut self) {
        let dir = self.dir();
        std::fs::write(dir.join("maestro.yaml"), self.builder.yaml()).expect("its configuration");
        if let Some(uid) = self.builder.uid {
            for path in [dir.to_owned(), dir.join("maestro.yaml")] {
                std::os::unix::fs::chown(path, Some(uid), Some(uid)).expect("hand it over");
            }
        }
        self.process = Some(Process::start(self.builder.command(), &dir.join("stderr")));
    }
    fn ready(&mut self) {
        let (socket, address) = (self.socket(), self.tcp());
        let by_socket = self.builder.yaml().contains("mqtt.sock");
        until("the daemon to answer", PATIENCE, || {
            if let Some(status) = self.process().ended() {
                panic!("the daemon ended by itself: {status}");
            }
            let connect = client::connect("");
            match by_socket {
                true => Client::unix(&socket, connect).ok(),
                false => Client::tcp(address, connect).ok(),
            }
        });
    }
    fn end(&mut self, signal: Signal) {
        self.kept_the_contract();
        let process = self.process();
        process.signal(signal);
        process.wait(PATIENCE);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            eprintln!("--- the daemon's stderr ---\n{}", self.stderr());
        } else {
            self.kept_the_contract();
        }
    }
}

/// Words that take CAP_SYS_TIME and CAP_SYS_BOOT away (and root, where asked), and tie its life to the test's thread.
fn guard(uid: Option<u32>) -> Option<Vec<String>> {
    let mut words = vec!["setpriv".to_owned(), "--pdeathsig=KILL".to_owned()];
    if nix::unistd::geteuid().is_root() {
        words.extend(
            ["--bounding-set=-sys_time,-sys_boot", "--inh-caps=-sys_time,-sys_boot"]
                .map(str::to_owned),
        );
    }
    if let Some(uid) = uid {
        words.extend([format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into()]);
    }
    super::peers::find("setpriv").map(|_| words)
}

/// The program of this build; `MAESTRO_BINARY` names another, such as that of a release build.
fn binary() -> String {
    std::env::var("MAESTRO_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_maestro").to_owned())
}
