//! A real mosquitto as somebody else's broker: the cloud, or a neighbour.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{
    certificates::Authority,
    client::{self, Client},
    clock::{PATIENCE, until},
    net::Host,
    peers,
    ports::free_port,
    process::{Process, command},
};

/// A running mosquitto with a plain port, a Unix socket for the test to look in (it is reachable from
/// outside a namespace) and, when asked, a TLS port which wants a client certificate.
pub(crate) struct Mosquitto {
    dir: tempfile::TempDir,
    address: Ipv4Addr,
    port: u16,
    tls_port: u16,
    authority: Option<Authority>,
    prefix: Vec<String>,
    process: Option<Process>,
}

impl Mosquitto {
    /// Plain MQTT on loopback.
    pub(crate) fn plain() -> Mosquitto {
        Mosquitto::new(None, false)
    }
    /// With a TLS port that wants client certificates; a client's common name is its user name.
    pub(crate) fn tls() -> Mosquitto {
        Mosquitto::new(None, true)
    }
    /// The same inside a namespace, on the host's own address.
    pub(crate) fn tls_on(host: &Host) -> Mosquitto {
        Mosquitto::new(Some(host), true)
    }
    fn new(host: Option<&Host>, tls: bool) -> Mosquitto {
        let dir = tempfile::Builder::new().prefix("mosquitto").tempdir().expect("a directory");
        let authority = tls.then(|| Authority::new(dir.path()));
        let address = host.map_or(Ipv4Addr::LOCALHOST, Host::address);
        if let Some(authority) = &authority {
            authority.issue("server", &[&address.to_string()]);
        }
        let mut mosquitto = Mosquitto {
            dir,
            address,
            port: free_port(),
            tls_port: free_port(),
            authority,
            prefix: host.map(Host::prefix).unwrap_or_default(),
            process: None,
        };
        mosquitto.start_again();
        mosquitto
    }
    /// Its plain port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
    /// Its TLS port.
    pub(crate) fn tls_port(&self) -> u16 {
        self.tls_port
    }
    /// `mqtts://address:port` of the TLS port.
    pub(crate) fn url(&self) -> String {
        format!("mqtts://{}:{}", self.address, self.tls_port)
    }
    /// Its directory: certificates, log, retained messages.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
    /// The authority whose clients it lets in.
    pub(crate) fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("started with TLS")
    }
    /// Its Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir().join("mqtt.sock")
    }
    /// A client for the test to look at what is on it.
    pub(crate) fn client(&self, id: &str) -> Client {
        Client::unix(&self.socket(), client::connect(id)).expect("a client of mosquitto").0
    }
    /// A client over its plain port.
    pub(crate) fn tcp_client(&self, id: &str) -> Client {
        let at = SocketAddr::from((self.address, self.port));
        Client::tcp(at, client::connect(id)).expect("a client of mosquitto").0
    }
    /// The process, to kill or to stop.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("mosquitto was started")
    }
    /// Starts it on the same directory and ports, and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        self.process = None;
        let file = self.dir().join("mosquitto.conf");
        std::fs::write(&file, self.configuration()).expect("its configuration");
        let program = peers::find("mosquitto").expect("no mosquitto: run tests/run once");
        let mut words = self.prefix.clone();
        words.extend([program, "-c".into(), file].map(|word| word.display().to_string()));
        let mut command = command(&words[0]);
        command.args(&words[1..]);
        self.process = Some(Process::start(command, &self.dir().join("log")));
        until("mosquitto to answer", PATIENCE, || {
            if self.process().ended().is_some() {
                panic!("mosquitto ended by itself: {}", self.process().output());
            }
            Client::unix(&self.socket(), client::connect("")).ok()
        });
    }
    fn configuration(&self) -> String {
        let (dir, address) = (self.dir().display(), self.address);
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        // Inside a namespace made by an ordinary user, that user is root.
        let user = user.filter(|_| self.prefix.is_empty());
        let user = user.map_or_else(|| "root".to_owned(), |user| user.name);
        // A reader of a test that is slow loses nothing: by itself mosquitto drops what is beyond a thousand.
        let mut text = format!(
            "user {user}\nlog_type all\nlog_dest stderr\nper_listener_settings true\n\
             max_queued_messages 0\n\
             listener 0 {dir}/mqtt.sock\nallow_anonymous true\n\
             listener {} {address}\nallow_anonymous true\n",
            self.port
        );
        if self.authority.is_some() {
            let port = self.tls_port;
            text.push_str(&format!(
                "listener {port} {address}\nallow_anonymous true\nrequire_certificate true\n\
                 use_identity_as_username true\ncafile {dir}/ca.pem\ncertfile {dir}/server.pem\n\
                 keyfile {dir}/server.key\n"
            ));
        }
        text
    }
}
