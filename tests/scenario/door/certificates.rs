//! Certificates: of the server, of clients, and what a new one does.

use nix::sys::signal::Signal;
use rcgen::{SanType, SerialNumber, date_time_ymd};

use super::{BOB, House, is, presence, tls_peer};
use crate::support::{
    certificates::Authority,
    clock::{PATIENCE, until},
    peers,
    process::Lines,
};

#[test]
fn over_tls_a_password_or_a_certificate_says_who_it_is_and_nothing_else_does() {
    let rules = "certificates:\n  - {subject: GW-2, role: admin}\n  - {san: 'urn:thermo', \
                 role: observer, app: thermo}\n";
    let house = House::with("client_ca: '{dir}/ca.pem'", rules);
    let mut watcher = house.daemon.client("watcher");
    watcher.subscribe("maestro/client/+", 1);
    house.authority.issue("GW-1", &[]);
    house.authority.issue("GW-2", &[]);
    house.authority.issue_with("GW-3", &[], |params| {
        params.subject_alt_names.push(SanType::URI("urn:thermo".try_into().expect("a URI")));
    });
    let dir = house.daemon.dir().display().to_string();
    let by = |id: &str, name: &str, more: &[&str]| {
        let (cert, key) = (format!("{dir}/{name}.pem"), format!("{dir}/{name}.key"));
        house.publishes(id, &[&["--cert", &cert, "--key", &key], more].concat())
    };
    assert!(house.publishes("c1", &BOB).contains("received CONNACK (0)"));
    assert_eq!(presence(&mut watcher, "c1"), is("user:bob", "operator", "tls"));
    assert!(by("c2", "GW-1", &[]).contains("received CONNACK (0)"));
    assert_eq!(presence(&mut watcher, "c2"), is("cert:GW-1", "app", "tls"));
    assert!(by("c3", "GW-2", &[]).contains("received CONNACK (0)"));
    assert_eq!(presence(&mut watcher, "c3"), is("cert:GW-2", "operator", "tls"), "capped");
    assert!(by("c4", "GW-3", &[]).contains("received CONNACK (0)"));
    assert_eq!(presence(&mut watcher, "c4"), is("cert:urn:thermo", "observer", "tls"));
    assert!(by("c5", "GW-1", &BOB).contains("received CONNACK (0)"));
    assert_eq!(presence(&mut watcher, "c5"), is("user:bob", "operator", "tls"), "it was said");
    let said = by("c6", "GW-2", &["-u", "bob", "-P", "guess"]);
    assert!(said.contains("received CONNACK (134)"), "a wrong password is no one: {said}");
    for more in [&[][..], &["-u", "bob"]] {
        let said = house.publishes("c7", more);
        assert!(said.contains("received CONNACK (135)"), "never a uid: {said}");
    }
}

#[test]
fn only_a_good_certificate_of_the_right_authority_comes_in() {
    let (builder, authority, [tls, ws, wss]) = House::plan(
        "client_ca: '{dir}/ca.pem'\nrequire_client_cert: true\ncrl: '{dir}/crl.pem'",
        "",
    );
    authority.revoke(&[7]);
    authority
        .issue_with("good", &[], |params| params.serial_number = Some(SerialNumber::from(6u64)));
    authority
        .issue_with("gone", &[], |params| params.serial_number = Some(SerialNumber::from(7u64)));
    authority.issue_with("past", &[], |params| params.not_after = date_time_ymd(2020, 1, 1));
    authority.issue_with("new", &[], |params| params.not_before = date_time_ymd(2090, 1, 1));
    let elsewhere = Authority::new(&builder.dir().join("elsewhere"));
    elsewhere.issue("stranger", &[]);
    let house = House { daemon: builder.start(), authority, tls, ws, wss };
    let dir = house.daemon.dir().display().to_string();
    let by = |name: &str| {
        let (cert, key) = (format!("{dir}/{name}.pem"), format!("{dir}/{name}.key"));
        house.publishes("me", &["--cert", &cert, "--key", &key])
    };
    let said = by("good");
    assert!(said.contains("received CONNACK (0)"), "{said}");
    for name in ["gone", "past", "new", "elsewhere/stranger"] {
        let said = by(name);
        assert!(!said.contains("received CONNACK"), "{name}: {said}");
    }
    let said = house.publishes("me", &BOB);
    assert!(!said.contains("received CONNACK"), "a password is not enough there: {said}");
    assert!(by("good").contains("received CONNACK (0)"));
    let log = house.daemon.stderr();
    assert!(log.contains("TLS handshake failed"), "{log}");
}

#[test]
fn a_client_of_another_authority_does_not_talk_to_us() {
    let house = House::with("", "");
    let other = Authority::new(&house.daemon.dir().join("other"));
    let mut command = tls_peer("mosquitto_pub", house.tls, &other.ca());
    command.args(["-t", "a", "-m", "x"]).args(BOB);
    let output = peers::output(command, PATIENCE);
    assert!(!output.status.success());
    assert!(house.publishes("me", &BOB).contains("received CONNACK (0)"));
}

#[test]
fn a_new_certificate_serves_the_next_connection_and_the_old_ones_stay() {
    let house = House::with("", "");
    let dir = house.daemon.dir().to_owned();
    let subscriber = |ca: &std::path::Path| {
        let mut command = tls_peer("mosquitto_sub", house.tls, ca);
        command.args(["-t", "news", "-t", "maestro/info", "-q", "1", "-F", "%t %p"]).args(BOB);
        Lines::start(command)
    };
    let mut before = subscriber(&house.authority.ca());
    before.wait_for(PATIENCE, |line| line.starts_with("maestro/info"));
    let other = Authority::new(&dir.join("other"));
    other.issue("server", &[]);
    for name in ["server.pem", "server.key"] {
        std::fs::rename(dir.join("other").join(name), dir.join(name)).expect("renew");
    }
    let mut after = until("the new certificate", 3 * PATIENCE, || {
        let mut lines = subscriber(&other.ca());
        let seen = lines.collect(std::time::Duration::from_secs(3));
        seen.iter().any(|line| line.starts_with("maestro/info")).then_some(lines)
    });
    let mut old = tls_peer("mosquitto_pub", house.tls, &house.authority.ca());
    old.args(["-t", "news", "-m", "never"]).args(BOB);
    assert!(!peers::output(old, PATIENCE).status.success(), "the old authority is not ours now");
    house.daemon.client("me").publish("news", "both");
    before.wait_for(PATIENCE, |line| line == "news both");
    after.wait_for(PATIENCE, |line| line == "news both");
}

#[test]
fn a_bad_new_certificate_leaves_the_old_in_service_and_the_status_says_so() {
    let mut house = House::with("", "");
    let mut watcher = house.daemon.client("watcher");
    watcher.subscribe("maestro/status/broker", 1);
    watcher.wait_for(PATIENCE, |m| m.json()["state"] == "ok");
    let cert = house.daemon.dir().join("server.pem");
    let good = std::fs::read(&cert).expect("the certificate");
    std::fs::write(&cert, "not PEM").expect("break it");
    house.daemon.process().signal(Signal::SIGHUP);
    let status = watcher.wait_for(PATIENCE, |m| m.json()["state"] == "degraded").json();
    assert_eq!(status["cause"]["code"], "broker.certificate", "{status}");
    let message = status["cause"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("server.pem") && message.contains("serves on"), "{message}");
    assert!(house.publishes("me", &BOB).contains("received CONNACK (0)"));
    std::fs::write(&cert, good).expect("mend it");
    house.daemon.process().signal(Signal::SIGHUP);
    watcher.wait_for(PATIENCE, |m| m.json()["state"] == "ok");
}

#[test]
fn without_its_certificate_a_listener_waits_and_the_daemon_runs() {
    let (builder, authority, [tls, ws, wss]) = House::plan("", "");
    let key = builder.dir().join("server.key");
    std::fs::rename(&key, builder.dir().join("later")).expect("take it away");
    let mut house = House { daemon: builder.start(), authority, tls, ws, wss };
    let mut watcher = house.daemon.client("watcher");
    watcher.subscribe("maestro/status/broker", 1);
    let status = watcher.wait_for(PATIENCE, |m| m.json()["state"] == "degraded").json();
    let message = status["cause"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("server.key: No such file"), "{status}");
    assert!(message.contains(&format!("tls 127.0.0.1:{tls}")), "{status}");
    assert_eq!(status["cause"]["hint"], "see `key` of this listener");
    assert!(!house.publishes("me", &BOB).contains("received CONNACK"));
    std::fs::rename(house.daemon.dir().join("later"), &key).expect("bring it");
    house.daemon.process().signal(Signal::SIGHUP);
    watcher.wait_for(PATIENCE, |m| m.json()["state"] == "ok");
    assert!(house.publishes("me", &BOB).contains("received CONNACK (0)"));
}

#[test]
fn our_own_command_line_comes_in_by_tls() {
    let house = House::with("client_ca: '{dir}/ca.pem'", "");
    house.authority.issue("laptop", &[]);
    let dir = house.daemon.dir();
    let mut command = crate::support::process::command(env!("CARGO_BIN_EXE_maestro"));
    command.arg("--url").arg(format!("mqtts://localhost:{}", house.tls));
    command.arg("--ca").arg(house.authority.ca());
    command.arg("--cert").arg(dir.join("laptop.pem")).arg("--key").arg(dir.join("laptop.key"));
    command.args(["--json", "whoami"]).env("HOME", dir);
    let output = peers::output(command, PATIENCE);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("cert:laptop"), "{said}");
}
