//! A cloud that does what none should: the bridge keeps its memory, its link and its manners.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::attack::packet::{self, publish};
use crate::support::{
    clock::{Deadline, PATIENCE},
    daemon::Daemon,
    ports::free_port,
};

/// What the daemon may take more than before, in kB: what may wait is 1 MiB or little more, and the
/// rest of the daemon is at work, too. Without a bound a debug build takes 12 MiB more each second.
const SLACK_KB: u64 = 8 << 10;

/// The bridge's connection, as the cloud has it.
struct Cloud {
    stream: TcpStream,
}

impl Cloud {
    /// Takes the bridge in.
    fn welcome(listener: &TcpListener) -> Cloud {
        let (stream, _) = listener.accept().expect("the bridge connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read time-out");
        let mut cloud = Cloud { stream };
        assert_eq!(cloud.packet().expect("a CONNECT")[0], 0x10);
        cloud.send(&packet::packet(0x20, &[0, 0, 0]));
        cloud
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the bridge reads on");
    }

    /// The next packet, its length left out; `None` when the connection ended.
    fn packet(&mut self) -> Option<Vec<u8>> {
        let byte = |stream: &mut TcpStream| {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok().map(|()| byte[0])
        };
        let mut packet = vec![byte(&mut self.stream)?];
        let (mut length, mut shift) = (0, 0);
        loop {
            let part = byte(&mut self.stream)?;
            length |= usize::from(part & 0x7F) << shift;
            shift += 7;
            if part < 0x80 {
                break;
            }
        }
        packet.resize(1 + length, 0);
        self.stream.read_exact(&mut packet[1..]).ok()?;
        Some(packet)
    }

    /// What the bridge sends from now on, read beside whatever else is done.
    fn heard(&self) -> mpsc::Receiver<Vec<u8>> {
        let mut beside = Cloud { stream: self.stream.try_clone().expect("a second handle") };
        let (tell, heard) = mpsc::channel();
        std::thread::spawn(move || {
            while let Some(packet) = beside.packet() {
                let _ = tell.send(packet); // the test may be over
            }
        });
        heard
    }
}

/// A daemon with a bridge to a cloud of ours.
fn bridged() -> (Daemon, TcpListener) {
    let port = free_port();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port of ours");
    let config = format!(
        "bridges:\n  - name: cloud\n    url: mqtt://127.0.0.1:{port}\n    keepalive: 5s\n    \
         rules:\n      - local: sensors/#\n"
    );
    (Daemon::build().unwatched().config(&config).start(), listener)
}

/// Resident memory, kB.
fn resident(daemon: &mut Daemon) -> u64 {
    let pid = daemon.process().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

#[test]
fn a_cloud_that_sends_faster_than_our_broker_takes_is_held_back_and_still_gets_ours() {
    let (mut daemon, listener) = bridged();
    let mut cloud = Cloud::welcome(&listener);
    let heard = cloud.heard();
    let before = resident(&mut daemon);
    let flood = publish(5, "gw/GW-TEST/app/x/cmd/y", b"0123456789", 0, 0).repeat(1000);
    let over = Deadline::after(Duration::from_secs(3));
    let mut sent = 0;
    while over.left().is_some() {
        cloud.send(&flood);
        sent += 1000;
    }
    let after = resident(&mut daemon);
    eprintln!("{sent} messages: {before} kB, then {after} kB");
    assert!(after <= before + SLACK_KB, "{before} kB, then {after} kB");
    daemon.client("thermo").publish("sensors/hall/t", "21.5");
    let ours = |packet: &[u8]| packet.ends_with(b"21.5") && packet[0] >> 4 == 3;
    while !ours(&heard.recv_timeout(PATIENCE).expect("the bridge is there, and sends")) {}
}

#[test]
fn a_cloud_that_does_not_wait_for_acknowledgements_is_told_so_and_may_come_again() {
    let (_daemon, listener) = bridged();
    for qos in [1, 2] {
        let mut cloud = Cloud::welcome(&listener);
        // One write, so that they are there before the first can be acknowledged.
        let ping = |id| publish(5, "gw/GW-TEST/cmd/system/ping", b"", qos, id);
        let pings: Vec<u8> = (1..=17).flat_map(ping).collect();
        cloud.send(&pings);
        let end = std::iter::from_fn(|| cloud.packet()).find(|packet| packet[0] == 0xE0);
        assert_eq!(end.expect("a DISCONNECT")[1], 0x93, "receive maximum exceeded");
        assert_eq!(cloud.packet(), None, "and nothing follows it");
    }
    Cloud::welcome(&listener);
}
