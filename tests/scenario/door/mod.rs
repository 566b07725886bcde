//! The door: TLS, WebSockets and both, with real clients, and with those who only want to be in the way.
//!
//! | file | story |
//! |---|---|
//! | `certificates` | who comes in by which certificate, and what it is then; renewal |
//! | `web` | requests, frames, real clients over WebSockets |
//! | `siege` | half-open, slow, broken, plain where TLS is, and a healthy client meanwhile |

mod certificates;
mod siege;
mod web;

use std::path::Path;
use std::process::Command;

use crate::support::{
    certificates::Authority,
    client::Client,
    clock::PATIENCE,
    daemon::{Builder, Daemon},
    peers,
    ports::free_port,
};

/// A daemon with listeners of every kind, and its authority.
pub(super) struct House {
    pub(super) daemon: Daemon,
    pub(super) authority: Authority,
    pub(super) tls: u16,
    pub(super) ws: u16,
    pub(super) wss: u16,
}

/// A password file with bob the operator and carol the admin.
pub(super) fn users(dir: &Path) {
    use maestro::contract::Role;
    for (name, role) in [("bob", Role::Operator), ("carol", Role::Admin)] {
        let file = dir.join("users");
        maestro::broker::users::add_user(&file, name, b"secret", role).expect("a user");
    }
}

impl House {
    /// `more` stands below the listeners of TLS; `broker` beside `listeners`.
    pub(super) fn with(more: &str, broker: &str) -> House {
        let (builder, authority, [tls, ws, wss]) = House::plan(more, broker);
        House { daemon: builder.start(), authority, tls, ws, wss }
    }

    pub(super) fn plan(more: &str, broker: &str) -> (Builder, Authority, [u16; 3]) {
        let builder = Daemon::build();
        let dir = builder.dir().to_owned();
        let authority = Authority::new(&dir);
        authority.issue("server", &[]);
        users(&dir);
        let ports = [free_port(), free_port(), free_port()];
        let [tls, ws, wss] = ports;
        let dir = dir.display().to_string();
        let pair = format!("    cert: {dir}/server.pem\n    key: {dir}/server.key\n");
        let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
        let more = more.replace("{dir}", &dir);
        let yaml = format!(
            "  - tls: 127.0.0.1:{tls}\n{pair}{more}  - ws: 127.0.0.1:{ws}\n  \
             - wss: 127.0.0.1:{wss}\n{pair}{more}users: {dir}/users\n{broker}"
        );
        (builder.broker(&yaml), authority, ports)
    }

    /// Each listener with its kind, `tls:127.0.0.1:8883`.
    pub(super) fn listeners(&self) -> Vec<String> {
        let (tcp, unix) = (self.daemon.tcp(), self.daemon.socket());
        let ports = [("tls", self.tls), ("ws", self.ws), ("wss", self.wss)];
        let mut all = vec![format!("tcp:{tcp}"), format!("unix:{}", unix.display())];
        all.extend(ports.map(|(kind, port)| format!("{kind}:127.0.0.1:{port}")));
        all
    }

    /// mosquitto_pub of one message over TLS by MQTT 5; what it says of the packets.
    pub(super) fn publishes(&self, id: &str, more: &[&str]) -> String {
        let mut command = tls_peer("mosquitto_pub", self.tls, &self.authority.ca());
        command.args(["-V", "5", "-d", "-q", "1", "-i", id, "-t", "a/b", "-m", "x"]).args(more);
        let output = peers::output(command, PATIENCE);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

pub(super) fn tls_peer(program: &str, port: u16, ca: &Path) -> Command {
    let mut command = peers::peer(program);
    command.args(["-h", "localhost", "-p", &port.to_string(), "--cafile"]).arg(ca);
    command
}

pub(super) const BOB: [&str; 4] = ["-u", "bob", "-P", "secret"];

/// Who came: principal, role and listener, as presence says.
pub(super) fn presence(watcher: &mut Client, id: &str) -> (String, String, String) {
    let topic = format!("maestro/client/{id}");
    let online = watcher.wait_for(PATIENCE, |m| m.topic == topic && !m.payload.is_empty()).json();
    let word = |key: &str| online[key].as_str().unwrap_or_default().to_owned();
    (word("principal"), word("role"), word("listener"))
}

pub(super) fn is(principal: &str, role: &str, listener: &str) -> (String, String, String) {
    (principal.into(), role.into(), listener.into())
}
