//! Those who stay in the doors of TLS and of WebSockets, or come in and say as little as they can.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::field::{Enemy, Field};
use super::launch::Attack;
use super::packet::{self, Connect};
use super::slow::{BEAT, trickle};

pub(crate) const ALL: &[Attack] = &[
    many("half-open-handshakes", half_open_handshakes),
    many("handshakes-and-away", handshakes_and_away),
    many("noise-for-a-handshake", noise_for_a_handshake),
    many("broken-upgrades", broken_upgrades),
    slow("a-byte-at-a-time-of-a-hello", a_byte_at_a_time_of_a_hello),
    slow("handshakes-that-never-end", handshakes_that_never_end),
    slow("upgrades-that-never-end", upgrades_that_never_end),
    slow("frames-of-one-byte", frames_of_one_byte),
    slow("slow-loris-on-every-listener", slow_loris_on_every_listener),
];

const fn many(name: &'static str, deed: fn(&mut Field) -> usize) -> Attack {
    Attack { name, amount: [300, 10_000], seconds: [4, 20], promised: false, deed }
}

const fn slow(name: &'static str, deed: fn(&mut Field) -> usize) -> Attack {
    Attack { name, amount: [100, 400], seconds: [4, 15], promised: false, deed }
}

/// A request that is accepted, without the empty line at its end.
const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: localhost:1\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n";

/// Those who may come in by TLS are known by this name (tests of the door).
const LOGIN: Option<(&str, &str)> = Some(("bob", "secret"));

struct Hellos(Arc<ClientConfig>);

impl Hellos {
    fn new(field: &Field) -> Hellos {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(field.dir.join("ca.pem")).expect("ca.pem");
        roots.add(ca).expect("an authority");
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Hellos(Arc::new(config))
    }

    fn connection(&self) -> ClientConnection {
        let name = ServerName::try_from("localhost").expect("a name");
        ClientConnection::new(self.0.clone(), name).expect("a client")
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.connection().write_tls(&mut bytes).expect("a ClientHello");
        bytes
    }

    /// A stream behind a whole handshake.
    fn shaken(&self, address: &str) -> Option<StreamOwned<ClientConnection, TcpStream>> {
        let stream = TcpStream::connect(address).ok()?;
        let second = Some(Duration::from_secs(1));
        stream.set_read_timeout(second).ok()?;
        stream.set_write_timeout(second).ok()?;
        stream.set_nodelay(true).ok()?;
        let mut stream = StreamOwned::new(self.connection(), stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).ok()?;
        }
        Some(stream)
    }
}

/// A whole hello, or a part of one: the dear part is answered, and nobody goes on.
fn half_open_handshakes(field: &mut Field) -> usize {
    let (hello, doors) = (Hellos::new(field).bytes(), field.of(&["tls", "wss"]));
    let mut open = Vec::new();
    field.repeat(|n| {
        let Some(mut enemy) = Enemy::dial(&doors[n % doors.len()]) else { return };
        let said = [hello.len(), hello.len(), hello.len() / 2, 1, 0][n % 5];
        enemy.send(&hello[..said]);
        open.push(enemy);
        if open.len() > 800 {
            open.drain(..400);
        }
    })
}

/// Each is worth as much of the door's time as a client that stays.
fn handshakes_and_away(field: &mut Field) -> usize {
    let (hellos, doors) = (Hellos::new(field), field.of(&["tls", "wss"]));
    field.repeat(|n| {
        let Some(address) = doors[n % doors.len()].split_once(':') else { return };
        let Some(mut stream) = hellos.shaken(address.1) else { return };
        let id = format!("away{n}");
        if n % 4 == 0 {
            let _ = stream.write_all(&Connect::new(5, &id).bytes());
        }
    })
}

fn noise_for_a_handshake(field: &mut Field) -> usize {
    let (hello, doors) = (Hellos::new(field).bytes(), field.of(&["tls", "wss", "ws"]));
    let connect = Connect::new(5, "noise").bytes();
    let mut dice = std::mem::replace(&mut field.dice, super::field::Dice(1));
    field.repeat(|n| {
        let Some(mut enemy) = Enemy::dial(&doors[n % doors.len()]) else { return };
        match n % 4 {
            0 => enemy.send(&(0..5000).map(|_| dice.byte()).collect::<Vec<_>>()),
            1 => enemy.send(&connect),
            2 => enemy.send(&[&[0x16, 3, 1, 0x3F, 0xFF][..], &[0; 16_000]].concat()),
            _ => {
                let mut hello = hello.clone();
                for _ in 0..4 {
                    let at = dice.roll(hello.len());
                    hello[at] = dice.byte();
                }
                enemy.send(&hello)
            }
        };
        if n % 8 == 0 {
            enemy.drain(Duration::from_millis(1));
        }
    })
}

/// One thing is wrong with each, or it is not finished.
fn broken_upgrades(field: &mut Field) -> usize {
    let doors = field.of(&["ws"]);
    let long = format!("{REQUEST}X: {}\r\n\r\n", "x".repeat(9000));
    let many = format!("{REQUEST}{}\r\n", "A: b\r\n".repeat(1300));
    let whole = |from: &str, to: &str| format!("{REQUEST}\r\n").replace(from, to).into_bytes();
    let broken = [
        whole("GET", "POST"),
        whole("/mqtt", "/other"),
        whole("/mqtt", &format!("/{}", "a/../".repeat(1000))),
        whole("Upgrade: websocket\r\n", ""),
        whole("13", "-1"),
        whole("dGhlIHNhbXBsZSBub25jZQ==", "%"),
        whole("\r\nHost", "\r\nOrigin: http://evil.example\r\nHost"),
        long.into_bytes(),
        many.into_bytes(),
        vec![0; 9000],
        b"GET ".repeat(3000),
        whole("\r\n\r\n", "\r\n\r\nmore than was asked"),
    ];
    field.repeat(|n| {
        let Some(mut enemy) = Enemy::dial(&doors[n % doors.len()]) else { return };
        enemy.send(&broken[n % broken.len()]);
        if n % 3 == 0 {
            enemy.end();
        }
    })
}

fn crowd(field: &Field, kinds: &[&str]) -> Vec<Enemy> {
    let doors = field.of(kinds);
    doors.iter().cycle().take(field.amount).filter_map(|door| Enemy::dial(door)).collect()
}

fn a_byte_at_a_time_of_a_hello(field: &mut Field) -> usize {
    let hello = Hellos::new(field).bytes();
    let mut enemies = crowd(field, &["tls", "wss"]);
    trickle(field, &mut enemies, &hello)
}

/// After the server's answer a record is announced that comes in drops.
fn handshakes_that_never_end(field: &mut Field) -> usize {
    let hello = Hellos::new(field).bytes();
    let mut enemies = crowd(field, &["tls", "wss"]);
    for enemy in &mut enemies {
        enemy.send(&hello);
        enemy.send(&[0x14, 3, 3, 0, 1, 1]); // ChangeCipherSpec, which TLS 1.3 passes over
    }
    let record = [&[0x17, 3, 3, 0x40, 0][..], &[0x55; 1000]].concat();
    trickle(field, &mut enemies, &record)
}

fn upgrades_that_never_end(field: &mut Field) -> usize {
    let mut enemies = crowd(field, &["ws"]);
    trickle(field, &mut enemies, format!("{REQUEST}{}", "X: y\r\n".repeat(200)).as_bytes())
}

/// Each byte of MQTT in a frame of its own, each frame a byte at a time; half of them were let in.
fn frames_of_one_byte(field: &mut Field) -> usize {
    let mut enemies = Vec::new();
    let doors = field.of(&["ws"]);
    for n in 0..field.amount {
        let Some(mut enemy) = Enemy::dial(&doors[n % doors.len()]) else { continue };
        enemy.send(format!("{REQUEST}\r\n").as_bytes());
        if enemy.wait(12).is_some_and(|answer| answer.starts_with(b"HTTP/1.1 101")) {
            if n % 8 == 0 {
                let id = format!("frames{n}");
                let connect = Connect { login: LOGIN, ..Connect::new(4, &id) };
                enemy.send(&framed(&connect.bytes()));
                enemy.wait(6);
            }
            enemies.push(enemy);
        }
    }
    let big = packet::publish(4, "frames", &[b'x'; 8000], 0, 0);
    let frames: Vec<u8> = big.iter().flat_map(|&byte| framed(&[byte])).collect();
    trickle(field, &mut enemies, &frames)
}

/// A binary frame, masked with nothing (RFC 6455 §5.2).
fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("short");
    assert!(length < 126, "one byte of length");
    [&[0x82, 0x80 | length, 0, 0, 0, 0][..], bytes].concat()
}

/// What each listener wants to hear, a byte at a time: CONNECT, a hello, a request; behind a handshake,
/// too, where a byte is a record.
fn slow_loris_on_every_listener(field: &mut Field) -> usize {
    let hellos = Hellos::new(field);
    let (hello, connect) = (hellos.bytes(), Connect::new(5, "slow-loris").bytes());
    let each = field.amount / field.listeners.len();
    let mut crowds = Vec::new();
    let mut behind = Vec::new();
    for listener in &field.listeners {
        let (kind, address) = listener.split_once(':').expect("a kind and an address");
        let words = match kind {
            "tls" | "wss" => hello.clone(),
            "ws" => REQUEST.as_bytes().to_vec(),
            _ => connect.clone(),
        };
        let enemies: Vec<_> = (0..each).filter_map(|_| Enemy::dial(listener)).collect();
        crowds.push((words, enemies));
        if kind == "tls" {
            behind.extend((0..each.min(60)).filter_map(|_| hellos.shaken(address)));
        }
    }
    let mut at = 0;
    while field.on() {
        for (words, enemies) in &mut crowds {
            for enemy in enemies {
                enemy.send(&[words[at % words.len()]]);
            }
        }
        for stream in &mut behind {
            let _ = stream.write_all(&[connect[at % connect.len()]]);
        }
        at += 1;
        std::thread::sleep(BEAT);
    }
    for stream in &mut behind {
        let _ = stream.sock.set_nonblocking(true);
        let _ = stream.read(&mut [0; 64]);
    }
    crowds.iter().map(|(_, enemies)| enemies.len()).sum::<usize>() + behind.len()
}
