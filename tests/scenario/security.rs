//! Who may do what, by real sockets and real users: the table of the roles, and the races around it.
//!
//! Callers are mosquitto_pub under setpriv, so that the kernel says who they are.

use std::process::Command;

use crate::support::{
    client::Client,
    clock::{PATIENCE, until},
    daemon::{Builder, Daemon},
    net::Link,
    peers,
    process::command,
    skip::skip,
};

/// Gid of the group `maestro` in the /etc/group that the daemon sees; `daemon` (uid 1) is in it.
const GROUP: &str = "root:x:0:\nmaestro:x:4242:daemon\n";
const OPERATORS: u32 = 4242;
const NOBODY: u32 = 65_534;

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    Refused,
    /// CONNACK with this reason.
    NotLetIn(u8),
}
use Verdict::{NotLetIn, Refused, Taken};

/// Someone, and a way to the broker.
struct Caller {
    name: &'static str,
    uid: u32,
    groups: Vec<u32>,
    listener: String,
    more: Vec<&'static str>,
    /// Of verbs of class read, of what an operator may, of verbs of class danger.
    may: [Verdict; 3],
}

const TOPICS: [&str; 3] =
    ["maestro/cmd/system/ping", "maestro/app/thermo/cmd/go", "maestro/cmd/system/shutdown"];

impl Caller {
    /// A program as this user.
    fn command(&self, program: &str) -> Command {
        let mut command = command(peers::find("setpriv").expect("setpriv"));
        let groups: Vec<String> = self.groups.iter().map(ToString::to_string).collect();
        command.args([format!("--reuid={}", self.uid), format!("--regid={}", self.uid)]);
        match groups.is_empty() {
            true => command.arg("--clear-groups"),
            false => command.arg(format!("--groups={}", groups.join(","))),
        };
        command.arg(peers::find(program).expect("a peer: run tests/run once"));
        command
    }

    fn publishes(&self, topic: &str, id: &str) -> Verdict {
        let mut command = self.command("mosquitto_pub");
        command.args(["-V", "5", "-d", "-q", "1", "-i", id, "-t", topic, "-m", ""]);
        command.args(self.listener.split(' ')).args(&self.more);
        verdict(&said(command))
    }
}

fn said(command: Command) -> String {
    let output = peers::output(command, PATIENCE);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What `mosquitto_pub -d` prints of the answers.
fn verdict(said: &str) -> Verdict {
    let number = |before: &str| -> Option<u8> {
        let rest = said.split(before).nth(1)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    match (number("received CONNACK ("), number("RC:")) {
        (Some(0), Some(0 | 16)) => Taken,
        (Some(0), Some(135)) => Refused,
        (Some(reason), None) if reason >= 0x80 => NotLetIn(reason),
        _ => panic!("not understood:\n{said}"),
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A daemon that everyone can reach and that sees a group `maestro`.
fn reachable(builder: Builder) -> Result<Builder, String> {
    use std::os::unix::fs::PermissionsExt;
    let dir = builder.dir().to_owned();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).expect("open it");
    std::fs::write(dir.join("group"), GROUP).expect("a group file");
    for (name, role) in [("bob", "operator"), ("carol", "admin"), ("olaf", "observer")] {
        add_user(&dir.join("users"), name, role);
    }
    let dir = dir.display().to_string();
    let more = format!("users: {dir}/users\n");
    builder.broker(&more).over("/etc/group", &std::path::Path::new(&dir).join("group"))
}

fn add_user(file: &std::path::Path, name: &str, role: &str) {
    use maestro::contract::Role;
    let role = match role {
        "observer" => Role::Observer,
        "operator" => Role::Operator,
        _ => Role::Admin,
    };
    maestro::broker::users::add_user(file, name, b"secret", role).expect("a user");
}

fn callers(daemon: &Daemon) -> Vec<Caller> {
    let unix = format!("--unix {}", daemon.socket().display());
    let tcp = format!("-h 127.0.0.1 -p {}", daemon.port());
    let caller = |name, uid, groups: &[u32], listener: &String, may| Caller {
        name,
        uid,
        groups: groups.to_vec(),
        listener: listener.clone(),
        more: vec![],
        may,
    };
    let with = |caller: Caller, more: &[&'static str]| Caller { more: more.to_vec(), ..caller };
    let app = [Taken, Refused, Refused];
    let operator = [Taken, Taken, Refused];
    let unknown = [NotLetIn(0x86); 3];
    vec![
        caller("an ordinary user by Unix", NOBODY, &[], &unix, app),
        caller("an ordinary user by TCP", NOBODY, &[], &tcp, app),
        caller("the operator group by Unix", 12_345, &[OPERATORS], &unix, operator),
        caller("the operator group by TCP", 1, &[], &tcp, operator),
        caller("a group of that gid by TCP only", 12_345, &[OPERATORS], &tcp, app),
        caller("root by TCP", 0, &[], &tcp, operator),
        with(caller("a name without a password", NOBODY, &[], &tcp, app), &["-u", "carol"]),
        with(
            caller("an operator by password", NOBODY, &[], &tcp, operator),
            &["-u", "bob", "-P", "secret"],
        ),
        with(
            caller("an admin by password, capped by TCP", NOBODY, &[], &tcp, operator),
            &["-u", "carol", "-P", "secret"],
        ),
        with(
            caller("an observer by password, root or not", 0, &[], &unix, app),
            &["-u", "olaf", "-P", "secret"],
        ),
        with(
            caller("a wrong password", NOBODY, &[], &tcp, unknown),
            &["-u", "carol", "-P", "guess"],
        ),
        with(
            caller("a wrong password of root by Unix", 0, &[], &unix, unknown),
            &["-u", "carol", "-P", "guess"],
        ),
        caller("root by Unix", 0, &[], &unix, [Taken; 3]),
    ]
}

#[test]
fn every_caller_may_what_its_role_says_and_every_refusal_is_told() {
    if !is_root() {
        return skip("needs root, to be other users");
    }
    let daemon = match reachable(Daemon::build()) {
        Ok(builder) => builder.start(),
        Err(reason) => return skip(&reason),
    };
    let mut told = daemon.client("told");
    assert!(told.subscribe("maestro/event/broker/+/refused", 1) <= 2);
    for (number, caller) in callers(&daemon).iter().enumerate() {
        for (topic, may) in TOPICS.iter().zip(caller.may) {
            let id = format!("c{number}-{}", topic.rsplit('/').next().unwrap_or_default());
            assert_eq!(caller.publishes(topic, &id), may, "{} to {topic}", caller.name);
            let code = match may {
                Taken => continue,
                Refused => "broker.not_authorized",
                NotLetIn(_) => "broker.bad_password",
            };
            let event = told.wait_for(PATIENCE, |m| m.topic.contains(&format!("/{id}/"))).json();
            assert_eq!(event["code"], code, "{}: {event}", caller.name);
        }
    }
    let ends = || std::fs::read_to_string(daemon.dir().join("ends")).unwrap_or_default();
    until("root by Unix to be obeyed", PATIENCE, || (!ends().is_empty()).then_some(()));
    assert_eq!(ends(), "power_off\n", "and nobody else");
}

#[test]
fn a_client_id_belongs_to_the_principal_that_made_the_session() {
    if !is_root() {
        return skip("needs root, to be other users");
    }
    let daemon = match reachable(Daemon::build()) {
        Ok(builder) => builder.start(),
        Err(reason) => return skip(&reason),
    };
    let _owner = daemon.client("mine");
    let thief = &callers(&daemon)[0];
    assert_eq!(thief.publishes(TOPICS[0], "mine"), NotLetIn(0x85));
    assert_eq!(thief.publishes(TOPICS[0], "another"), Taken);
}

#[test]
fn from_elsewhere_only_a_password_lets_anyone_in() {
    let link = match Link::new() {
        Ok(link) => link,
        Err(reason) => return skip(&reason),
    };
    let builder = Daemon::build().on(&link.near);
    let users = builder.dir().join("users");
    add_user(&users, "bob", "operator");
    let yaml = "state_dir: {dir}/state\nbroker:\n  users: {dir}/users\n  listeners:\n    \
                - unix: {dir}/mqtt.sock\n    - tcp: 0.0.0.0:{port}\n";
    let daemon = builder.whole_config(yaml).start();
    let from_far = |more: &[&str]| {
        let mut command = link.far.peer("mosquitto_pub");
        let (host, port) = (link.near.address().to_string(), daemon.port().to_string());
        command.args(["-V", "5", "-d", "-q", "1", "-h", &host, "-p", &port, "-i", "far"]);
        command.args(["-t", "maestro/cmd/system/ping", "-m", ""]).args(more);
        verdict(&said(command))
    };
    assert_eq!(from_far(&[]), NotLetIn(0x87));
    assert_eq!(from_far(&["-u", "bob"]), NotLetIn(0x87));
    assert_eq!(from_far(&["-u", "bob", "-P", "guess"]), NotLetIn(0x86));
    assert_eq!(from_far(&["-u", "bob", "-P", "secret"]), Taken);
}

/// Connects, sends all it has to say at once, and is gone: by FIN or reset, at once or a moment later.
const HIT_AND_RUN: &str = r#"
import socket, struct, sys, time
port, attempts = int(sys.argv[1]), int(sys.argv[2])
def text(s): return struct.pack(">H", len(s)) + s
def packet(kind, body): return bytes([kind, len(body)]) + body
for n in range(attempts):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.connect(("127.0.0.1", port))
    id = b"run%d" % n
    bytes_ = packet(0x10, text(b"MQTT") + b"\x05\x02\x00\x00\x00" + text(id))
    for verb in (b"ping", b"shutdown"):
        bytes_ += packet(0x30, text(b"maestro/cmd/system/" + verb) + b"\x00")
    s.sendall(bytes_)
    if n % 3 == 0: time.sleep(0.001)
    if n % 2:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
"#;

#[test]
fn whoever_connects_publishes_and_is_gone_never_acts_as_another() {
    if !is_root() {
        return skip("needs root, to be another user");
    }
    let daemon = match reachable(Daemon::build()) {
        Ok(builder) => builder.start(),
        Err(reason) => return skip(&reason),
    };
    let mut told = daemon.client("told");
    told.subscribe("maestro/reply/system/ping", 0);
    let mut attack = callers(&daemon)[0].command("python3");
    attack.args(["-c", HIT_AND_RUN, &daemon.port().to_string(), "1000"]);
    // root connects all the while: its sockets are what a confused broker would find
    let root = std::thread::spawn({
        let address = daemon.tcp();
        move || (0..500).filter(|_| std::net::TcpStream::connect(address).is_ok()).count()
    });
    let output = peers::output(attack, PATIENCE);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(root.join().expect("root's connections") > 0);

    let mine = daemon.client("last").publish("maestro/cmd/system/ping", r#"{"id":"last"}"#);
    assert!(mine.code < 0x80, "{mine:?}");
    let actors = actors_until(&mut told, "last");
    let strangers: Vec<&String> = actors.iter().filter(|who| *who != "app:nobody").collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    assert!(!actors.is_empty(), "who stays long enough is let in");
    println!("{} of 1000 were let in, as app:nobody", actors.len());
    assert!(!daemon.dir().join("ends").exists(), "nobody shuts the box down");
}

/// Who was answered, until the command `last` was.
fn actors_until(told: &mut Client, last: &str) -> Vec<String> {
    let mut actors = Vec::new();
    loop {
        let reply = told.on("maestro/reply/system/ping").json();
        if reply["id"] == last {
            return actors;
        }
        actors.push(reply["from"].as_str().unwrap_or_default().to_owned());
    }
}
