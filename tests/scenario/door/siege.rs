//! Those who only want to be in the way, and a healthy client meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::Message;

use super::web::upgraded;
use super::{BOB, House, tls_peer};
use crate::support::{
    clock::{PATIENCE, now, until},
    peers,
};

fn client(house: &House) -> ClientConnection {
    client_with(house, rustls::ALL_VERSIONS, &[])
}

fn client_with(
    house: &House,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> ClientConnection {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(house.authority.ca()).expect("ca.pem");
    roots.add(ca).expect("an authority");
    let builder = ClientConfig::builder_with_protocol_versions(versions);
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a read time-out");
    stream.set_nodelay(true).expect("no delay");
    stream
}

fn hello(house: &House) -> Vec<u8> {
    let mut bytes = Vec::new();
    client(house).write_tls(&mut bytes).expect("a ClientHello");
    bytes
}

/// CONNECT by MQTT 3.1.1 as bob.
fn connect_as_bob(password: &[u8; 6]) -> Vec<u8> {
    [&b"\x10\x1C\x00\x04MQTT\x04\xC2\x00\x00\x00\x03low\x00\x03bob\x00\x06"[..], password].concat()
}

/// What is answered to that; `None` when the connection ends.
fn answer(stream: &mut (impl Read + Write), password: &[u8; 6]) -> Option<u8> {
    let mut answer = [0; 4];
    stream.write_all(&connect_as_bob(password)).ok()?;
    stream.read_exact(&mut answer).ok()?;
    (answer[0] == 0x20).then_some(answer[3])
}

fn is_let_in(stream: &mut (impl Read + Write)) -> bool {
    answer(stream, b"secret") == Some(0)
}

#[test]
fn a_handshake_in_steps_of_one_byte_is_a_handshake() {
    let house = House::with("", "");
    let mut connection = client(&house);
    let mut stream = connect(house.tls);
    while connection.is_handshaking() {
        if connection.wants_write() {
            let mut bytes = Vec::new();
            connection.write_tls(&mut bytes).expect("our own records");
            for byte in bytes {
                stream.write_all(&[byte]).expect("sent");
            }
            continue;
        }
        let read = connection.read_tls(&mut stream).expect("records");
        assert!(read > 0, "closed in the handshake");
        connection.process_new_packets().expect("TLS");
    }
    assert!(is_let_in(&mut StreamOwned::new(connection, stream)));
}

#[test]
fn two_hundred_half_open_handshakes_keep_nobody_out() {
    let house = House::with("", "");
    let hello = hello(&house);
    let mut crowd = Vec::new();
    for n in 0..200 {
        let port = [house.tls, house.ws, house.wss][n % 3];
        let mut stream = connect(port);
        let said = [0, 1, hello.len() / 2, hello.len() - 1][n % 4];
        let _ = stream.write_all(&hello[..said]); // ws hangs up on what is no request
        crowd.push(stream);
    }
    for n in 0..20 {
        let begun = now();
        let mut stream = StreamOwned::new(client(&house), connect(house.tls));
        assert!(is_let_in(&mut stream), "{n}");
        assert!(now() - begun < Duration::from_secs(10), "{n}: {:?}", now() - begun);
        crowd.push(connect(house.wss));
    }
    assert!(house.publishes("me", &BOB).contains("received CONNACK (0)"));
}

#[test]
fn who_says_nothing_is_let_go_in_time() {
    let house = House::with("", "limits: {connect_timeout: 1s}\n");
    for port in [house.tls, house.ws, house.wss] {
        let begun = now();
        let mut byte = [0];
        assert_eq!(connect(port).read(&mut byte).unwrap_or(0), 0, "it is closed");
        let waited = now() - begun;
        assert!(waited >= Duration::from_millis(900) && waited < PATIENCE, "{waited:?}");
    }
    let mut stream = StreamOwned::new(client(&house), connect(house.tls));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).expect("a handshake");
    }
    let begun = now();
    let _ = stream.read(&mut [0]);
    assert!(now() - begun < PATIENCE, "nor after the handshake");
}

#[test]
fn mqtt_where_tls_is_and_tls_where_mqtt_is_end_at_once() {
    let house = House::with("", "");
    for (port, cafile) in [(house.tls, false), (house.ws, false), (house.daemon.port(), true)] {
        let mut command = match cafile {
            true => tls_peer("mosquitto_pub", port, &house.authority.ca()),
            false => peers::peer("mosquitto_pub"),
        };
        if !cafile {
            command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        }
        command.args(["-t", "a", "-m", "x"]).args(BOB);
        assert!(!peers::output(command, PATIENCE).status.success(), "{port} {cafile}");
    }
    assert!(house.publishes("me", &BOB).contains("received CONNACK (0)"));
}

/// Bytes that depend on a seed only.
fn noise(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn records_that_were_tampered_with_cost_their_own_connection_only() {
    let house = House::with("", "");
    let mut healthy = StreamOwned::new(client(&house), connect(house.tls));
    assert!(is_let_in(&mut healthy));
    let mut seed = 0x5eed_u64;
    for round in 0..crate::support::long::count(150, 5000) {
        let mut stream = connect(house.tls);
        let mut connection = client(&house);
        let in_handshake = round % 2 == 0;
        if !in_handshake {
            while connection.is_handshaking() {
                connection.complete_io(&mut stream).expect("a handshake");
            }
            connection.writer().write_all(&[0; 300]).expect("buffered");
        }
        let mut bytes = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut bytes).expect("records");
        }
        for _ in 0..=noise(&mut seed) % 4 {
            let at = usize::try_from(noise(&mut seed)).unwrap_or(0) % bytes.len();
            bytes[at] ^= u8::try_from(noise(&mut seed) % 255).unwrap_or(0) + 1;
        }
        let _ = stream.write_all(&bytes);
        if round % 8 == 0 {
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    }
    healthy.write_all(b"\xC0\x00").expect("PINGREQ");
    let mut answer = [0; 2];
    healthy.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, [0xD0, 0]);
    let log = house.daemon.stderr();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_reader_that_stops_over_tls_is_bounded_and_goes_on_when_it_reads() {
    let house = House::with("", "");
    let mut stream = StreamOwned::new(client(&house), connect(house.tls));
    assert!(is_let_in(&mut stream));
    stream.write_all(b"\x82\x09\x00\x01\x00\x04slow\x01").expect("SUBSCRIBE");
    let mut suback = [0; 5];
    stream.read_exact(&mut suback).expect("SUBACK");
    let mut writer = house.daemon.client("writer");
    let payload = vec![7; 100_000];
    for _ in 0..60 {
        writer.publish("slow", &payload); // 6 MB: beyond the socket and the outbox
    }
    let mut seen = 0;
    until("all sixty", PATIENCE, || {
        seen += messages(&mut stream, payload.len());
        (seen >= 60).then_some(())
    });
}

/// Reads and acknowledges one PUBLISH of QoS 1.
fn messages(stream: &mut StreamOwned<ClientConnection, TcpStream>, payload: usize) -> usize {
    // fixed header of a packet of that size: four bytes; topic 2 + 4, identifier 2
    let mut packet = vec![0; 4 + 6 + 2 + payload];
    stream.read_exact(&mut packet).expect("a PUBLISH");
    assert_eq!((packet[0] & 0xF0, &packet[6..10]), (0x30, &b"slow"[..]));
    let ack = [0x40, 2, packet[10], packet[11]];
    stream.write_all(&ack).expect("PUBACK");
    1
}

#[test]
fn the_end_of_a_connection_is_said_in_tls() {
    let house = House::with("", "");
    let mut stream = StreamOwned::new(client(&house), connect(house.tls));
    assert!(is_let_in(&mut stream));
    stream.write_all(b"\xE0\x00").expect("DISCONNECT");
    // without close_notify rustls calls it an error
    assert_eq!(stream.read(&mut [0]).expect("an end in order"), 0);
}

#[test]
fn both_versions_of_tls_are_served_with_the_protocol_mqtt_or_none() {
    let house = House::with("", "");
    for version in [&TLS12, &TLS13] {
        for (protocols, served) in
            [(&[][..], true), (&["mqtt"], true), (&["h2", "mqtt"], true), (&["h2"], false)]
        {
            let connection = client_with(&house, &[version], protocols);
            let mut stream = StreamOwned::new(connection, connect(house.tls));
            assert_eq!(is_let_in(&mut stream), served, "{:?} {protocols:?}", version.version);
            if served && !protocols.is_empty() {
                assert_eq!(stream.conn.alpn_protocol(), Some(&b"mqtt"[..]));
            }
        }
    }
}

/// Milliseconds that a thread of the daemon has run (proc_pid_schedstat(5)); `None` without it.
fn ran_ms(pid: u32, thread: &str) -> Option<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon's threads");
    let task = tasks.map(|task| task.expect("a thread").path()).find(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == thread)
    })?;
    let stat = std::fs::read_to_string(task.join("schedstat")).expect("schedstat");
    let nanoseconds: u64 = stat.split(' ').next()?.parse().ok()?;
    Some(nanoseconds / 1_000_000)
}

#[test]
fn a_flood_of_handshakes_costs_the_brokers_thread_nothing() {
    let mut house = House::with("", "");
    let pid = house.daemon.process().pid();
    let before = ran_ms(pid, "broker").expect("the broker's thread");
    let hello = hello(&house);
    let count = crate::support::long::count(500, 20_000);
    for n in 0..count {
        let mut stream = connect([house.tls, house.wss][n % 2]);
        let _ = stream.write_all(&hello); // answered, which is the dear part, and never finished
        if n % 4 == 0 {
            let _ = stream.read(&mut [0; 64]);
        }
    }
    let broker = ran_ms(pid, "broker").expect("the broker's thread") - before;
    let door = ran_ms(pid, "door").expect("the door's thread");
    println!("{count} handshakes: door {door} ms, broker {broker} ms");
    assert!(broker < 50 + door / 20, "door {door} ms, broker {broker} ms");
    assert!(house.publishes("me", &BOB).contains("received CONNACK (0)"));
}

#[test]
fn there_is_no_thread_at_a_door_that_nobody_needs() {
    let mut daemon = crate::support::daemon::Daemon::build().unwatched().start();
    let pid = daemon.process().pid();
    assert_eq!(ran_ms(pid, "door"), None);
    let mut command = daemon.peer("mosquitto_pub");
    command.args(["-t", "a", "-m", "x"]).args(BOB);
    assert!(!peers::output(command, PATIENCE).status.success(), "there is no bob");
    assert!(ran_ms(pid, "door").is_some(), "somebody had to look");
}

#[test]
fn a_house_full_of_silent_websockets_keeps_nobody_out() {
    let house = House::with("", "limits: {max_connections: 40, connect_timeout: 60s}\n");
    let mut crowd: Vec<_> = (0..100).map(|_| upgraded(house.ws)).collect();
    for n in 0..10 {
        let mut stream = StreamOwned::new(client(&house), connect(house.tls));
        assert!(is_let_in(&mut stream), "{n}: with a password");
        crowd.push(upgraded(house.ws));
    }
    let mut operator = house.daemon.client("operator");
    operator.publish("a/b", b"by Unix");
    assert!(house.publishes("me", &BOB).contains("received CONNACK (0)"));
}

#[test]
fn ten_wrong_passwords_close_a_place_by_every_listener_and_no_other_place() {
    let house = House::with("", "");
    let tls = |password| {
        let mut stream = StreamOwned::new(client(&house), connect(house.tls));
        answer(&mut stream, password)
    };
    let ws = |password| {
        let mut socket = upgraded(house.ws);
        socket.send(Message::binary(connect_as_bob(password))).expect("sent");
        Some(socket.read().expect("a CONNACK").into_data()[3])
    };
    const WRONG: Option<u8> = Some(4);
    for _ in 0..5 {
        assert_eq!((tls(b"guess1"), ws(b"guess2")), (WRONG, WRONG));
    }
    let unseen = Some(3); // 3.1.1 has no more than "server unavailable" for it
    assert_eq!((tls(b"secret"), ws(b"secret")), (unseen, unseen));
    let mut by_tcp = connect(house.daemon.port());
    assert_eq!(answer(&mut by_tcp, b"secret"), Some(0), "there the kernel says whose it is");
}
