//! Who may do what, by real sockets and real users: the table of the roles, and the races around it.
//!
//! Callers are mosquitto_pub under setpriv, so that the kernel says who they are.

use std::process::Command;

use crate::support::{
    certificates::Authority,
    client::{Client, PublishProperties},
    clock::{PATIENCE, until},
    daemon::{Builder, Daemon},
    net::Link,
    peers,
    ports::free_port,
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
    more: Vec<String>,
    /// Of verbs of class read and change, of an operator's word to an app, of verbs of class danger.
    may: [Verdict; 4],
}

/// Topics and payloads.
const DEEDS: [(&str, &str); 4] = [
    ("maestro/cmd/system/ping", ""),
    ("maestro/cmd/broker/disconnect", "whoever"),
    ("maestro/app/thermo/cmd/go", ""),
    ("maestro/cmd/system/shutdown", ""),
];

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

    fn publishes(&self, (topic, payload): (&str, &str), id: &str) -> Verdict {
        let mut command = self.command("mosquitto_pub");
        command.args(["-V", "5", "-d", "-q", "1", "-i", id, "-t", topic, "-m", payload]);
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
    let authority = Authority::new(&dir);
    for name in ["server", "valve", "chief", "boss"] {
        authority.issue(name, &[]);
    }
    let tls = free_port();
    std::fs::write(dir.join("tls.port"), tls.to_string()).expect("for the callers");
    let dir = dir.display().to_string();
    let more = format!(
        "  - tls: 127.0.0.1:{tls}\n    cert: {dir}/server.pem\n    key: {dir}/server.key\n    \
         client_ca: {dir}/ca.pem\nusers: {dir}/users\ncertificates:\n  \
         - {{subject: chief, role: operator}}\n  - {{subject: boss, role: admin}}\n"
    );
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

const APP: [Verdict; 4] = [Taken, Refused, Refused, Refused];
const OPERATOR: [Verdict; 4] = [Taken, Taken, Taken, Refused];

fn caller(
    name: &'static str,
    uid: u32,
    groups: &[u32],
    listener: &str,
    may: [Verdict; 4],
) -> Caller {
    let (groups, listener) = (groups.to_vec(), listener.to_owned());
    Caller { name, uid, groups, listener, more: vec![], may }
}

fn with(caller: Caller, more: &[&str]) -> Caller {
    Caller { more: more.iter().map(ToString::to_string).collect(), ..caller }
}

fn callers_by_tls(daemon: &Daemon) -> Vec<Caller> {
    let dir = daemon.dir().display().to_string();
    let port = std::fs::read_to_string(daemon.dir().join("tls.port")).expect("its TLS port");
    let tls = format!("-h localhost -p {port} --cafile {dir}/ca.pem");
    let bearing = |caller: Caller, name: &str| {
        let [cert, key] = ["pem", "key"].map(|end| format!("{dir}/{name}.{end}"));
        with(caller, &["--cert", &cert, "--key", &key])
    };
    let (app, operator, nobody) = (APP, OPERATOR, [NotLetIn(0x87); 4]);
    vec![
        caller("root by TLS without a word", 0, &[], &tls, nobody),
        with(caller("a name by TLS without a password", 0, &[], &tls, nobody), &["-u", "carol"]),
        with(
            caller("an admin by password, capped by TLS", NOBODY, &[], &tls, operator),
            &["-u", "carol", "-P", "secret"],
        ),
        bearing(caller("a certificate", NOBODY, &[], &tls, app), "valve"),
        bearing(caller("an operator by certificate", NOBODY, &[], &tls, operator), "chief"),
        bearing(caller("an admin by certificate, capped", 0, &[], &tls, operator), "boss"),
    ]
}

fn callers(daemon: &Daemon) -> Vec<Caller> {
    let unix = format!("--unix {}", daemon.socket().display());
    let tcp = format!("-h 127.0.0.1 -p {}", daemon.port());
    let (app, operator, unknown) = (APP, OPERATOR, [NotLetIn(0x86); 4]);
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
        caller("root by Unix", 0, &[], &unix, [Taken; 4]),
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
    let by_tls = callers_by_tls(&daemon); // before root by Unix ends the box
    for (number, caller) in by_tls.into_iter().chain(callers(&daemon)).enumerate() {
        for (deed, may) in DEEDS.into_iter().zip(caller.may) {
            let (topic, _) = deed;
            let id = format!("c{number}-{}", topic.rsplit('/').next().unwrap_or_default());
            assert_eq!(caller.publishes(deed, &id), may, "{} to {topic}", caller.name);
            let code = match may {
                Taken => continue,
                Refused => "broker.not_authorized",
                NotLetIn(0x87) => "broker.anonymous",
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
    assert_eq!(thief.publishes(DEEDS[0], "mine"), NotLetIn(0x85));
    assert_eq!(thief.publishes(DEEDS[0], "another"), Taken);
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

#[test]
fn an_answer_never_goes_to_a_command_topic() {
    let daemon = Daemon::start();
    let mut client = daemon.client("me");
    for (topic, allowed) in
        [("me/1", true), ("maestro/cmd/system/reboot", false), ("maestro/desired/x/y", false)]
    {
        let properties = PublishProperties {
            response_topic: Some(topic.into()),
            ..PublishProperties::default()
        };
        let answer = client.publish_with("maestro/cmd/system/ping", b"", false, properties);
        assert_eq!(answer.code < 0x80, allowed, "{topic}: {answer:?}");
    }
}

#[test]
fn a_filter_wider_than_the_role_is_trimmed() {
    if !is_root() {
        return skip("needs root, to be another user");
    }
    let daemon = match reachable(Daemon::build()) {
        Ok(builder) => builder.start(),
        Err(reason) => return skip(&reason),
    };
    let unix = format!("--unix {}", daemon.socket().display());
    let app = Caller {
        name: "an ordinary user",
        uid: NOBODY,
        groups: vec![],
        listener: unix,
        more: vec![],
        may: [Taken; 4],
    };
    let mut admin = daemon.client("admin");
    admin.publish("maestro/cmd/broker/disconnect", r#"{"client":"whoever","id":"trim-1"}"#);
    let sees = |filter: &str| {
        let mut command = app.command("mosquitto_sub");
        command.args(["-V", "5", "-d", "-v", "-W", "2", "-q", "1", "-t", filter]);
        said({
            command.args(app.listener.split(' '));
            command
        })
    };
    let wide = sees("#");
    assert!(wide.contains("maestro/info {"), "{wide}");
    assert!(!wide.contains("maestro/task/"), "{wide}");
    let narrow = sees("maestro/log/#");
    assert!(narrow.contains("Subscribed (mid: 1): 135"), "{narrow}");
    let mut operator = daemon.tcp_client("operator");
    operator.subscribe("maestro/#", 1);
    operator.wait_for(PATIENCE, |message| message.topic == "maestro/task/trim-1");
}
