//! The two brokers, each on a port of its own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use crate::{
    load,
    support::{clock, peers, ports::free_port, process},
};

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The peer.
    Mosquitto,
    /// Ours.
    Maestro,
}

/// The peer first, so that a ratio reads ours / peer.
pub(crate) const BOTH: [Which; 2] = [Which::Mosquitto, Which::Maestro];

/// What a broker keeps over its own death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// What its defaults say; mosquitto: nothing.
    Default,
    /// mosquitto with `persistence true`: saved now and then, and at its end. Ours: as always.
    Now,
    /// mosquitto with `autosave_on_changes` at every change. Ours: as always.
    Everything,
}

/// A running broker.
pub(crate) struct Subject {
    process: process::Process,
    port: u16,
    words: Vec<String>,
    dir: tempfile::TempDir,
}

impl Subject {
    /// Starts it and waits until it answers.
    pub(crate) fn start(which: Which) -> Subject {
        Subject::start_timed(which).0
    }
    /// Starts it; the milliseconds from exec to the PUBACK of a first message.
    pub(crate) fn start_timed(which: Which) -> (Subject, f64) {
        Subject::start_keeping(which, Keeps::Default)
    }
    /// The same for one that keeps something.
    pub(crate) fn start_keeping(which: Which, keeps: Keeps) -> (Subject, f64) {
        let dir = tempfile::Builder::new().prefix("bench").tempdir().expect("a directory");
        let port = free_port();
        let words = match which {
            Which::Mosquitto => mosquitto(dir.path(), port, keeps),
            Which::Maestro => maestro(dir.path(), port),
        };
        Subject::spawn(dir, port, words)
    }
    /// Kills it without a warning and starts it on what it left behind.
    pub(crate) fn killed_and_started(self) -> (Subject, f64) {
        let Subject { process, port, words, dir } = self;
        drop(process);
        Subject::spawn(dir, port, words)
    }
    fn spawn(dir: tempfile::TempDir, port: u16, words: Vec<String>) -> (Subject, f64) {
        // Without CAP_SYS_TIME, like every test that runs the daemon; both are started the same way.
        let mut command = process::command("setpriv");
        if nix::unistd::geteuid().is_root() {
            command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]);
        }
        command.arg("--pdeathsig=KILL").args(&words).env("HOME", dir.path());
        let begin = clock::now();
        let process = process::Process::start(command, &dir.path().join("log"));
        let mut subject = Subject { process, port, words, dir };
        subject.first_puback();
        let millis = begin.elapsed().as_secs_f64() * 1e3;
        (subject, millis)
    }
    /// Bytes of the files it keeps.
    pub(crate) fn kept_bytes(&self) -> u64 {
        fn below(dir: &Path) -> u64 {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            let size = |entry: std::fs::DirEntry| match entry.metadata() {
                Ok(file) if file.is_dir() => below(&entry.path()),
                Ok(file) => file.len(),
                Err(_) => 0, // gone meanwhile
            };
            entries.map(size).sum()
        }
        below(self.dir.path())
    }
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
    /// Its TCP port on loopback.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
    fn first_puback(&mut self) {
        let deadline = clock::Deadline::after(clock::PATIENCE);
        let mut stream = loop {
            match TcpStream::connect(self.address()) {
                Ok(stream) => break stream,
                Err(e) => assert!(deadline.left().is_some(), "{e}: {}", self.process.output()),
            }
            std::thread::sleep(std::time::Duration::from_micros(100));
        };
        stream.write_all(&load::connect("first")).expect("a CONNECT goes out");
        stream.write_all(&load::publish(1, 1, b"first")).expect("a PUBLISH goes out");
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("a CONNACK and a PUBACK");
        assert_eq!((answer[0], answer[3], answer[4]), (0x20, 0, 0x40), "{answer:?}");
    }
}

fn mosquitto(dir: &Path, port: u16, keeps: Keeps) -> Vec<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let file = dir.join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nuser {}\nlog_type error\n\
         set_tcp_nodelay true\nmax_queued_messages 0\nmax_inflight_messages 0\n{}",
        user.map_or("root".to_owned(), |user| user.name),
        match keeps {
            Keeps::Default => String::new(),
            Keeps::Now => format!("persistence true\npersistence_location {}/\n", dir.display()),
            Keeps::Everything => format!(
                "persistence true\npersistence_location {}/\n\
                 autosave_on_changes true\nautosave_interval 1\n",
                dir.display()
            ),
        }
    );
    std::fs::write(&file, text).expect("its configuration");
    let program = peers::find("mosquitto").expect("no mosquitto: run tests/peers");
    [program, "-c".into(), file].map(|word| word.display().to_string()).into()
}

fn maestro(dir: &Path, port: u16) -> Vec<String> {
    let file = dir.join("maestro.yaml");
    let at = dir.display();
    let text = format!(
        "gateway_id: GW-BENCH\nstate_dir: {at}/state\nbroker:\n  listeners:\n    \
         - unix: {at}/mqtt.sock\n    - tcp: 127.0.0.1:{port}\n  limits:\n    \
         max_connections_per_uid: 1000\n    max_queued: 100000\n    max_queued_size: 128MiB\n    max_queued_total_size: 4GiB\n"
    );
    std::fs::write(&file, text).expect("its configuration");
    let file = file.display().to_string();
    [env!("CARGO_BIN_EXE_maestro"), "run", "--config", &file].map(str::to_owned).into()
}
