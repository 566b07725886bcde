//! A state directory without room: refused, not acknowledged; what was acknowledged is there; service
//! returns with the room. In a mount namespace of its own, on a small tmpfs.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use maestro::broker::wire::{Packet, Properties, Publish, Qos, Reason, Version};

use super::peer::{Got, Peer};
use super::{QUIET, Subscriber};
use crate::support::clock::{PATIENCE, until};
use crate::support::daemon::Daemon;
use crate::support::process::command;
use crate::support::skip::skip;

/// Set in the child: where the tmpfs is.
const PLACE: &str = "MAESTRO_TEST_FULL";
const TOPIC: &str = "load/full";

/// Runs this test again in a mount namespace of its own, on a tmpfs.
fn in_small_tmpfs(test: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().display();
    let script =
        format!("mount -t tmpfs -o size=8m,mode=700 tmpfs {place} || exit 77; exec \"$@\"");
    let own = if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" };
    let mut again = command("unshare");
    again.args([own, "--propagation", "private", "sh", "-c", &script, "sh"]);
    again.arg(std::env::current_exe().expect("this program"));
    again.args(["--exact", test, "--nocapture"]).env(PLACE, directory.path());
    let Ok(output) = again.output() else { return skip("unshare is not there") };
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || errors.contains("unshare: ") {
        return skip("no mount namespace can be made");
    }
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{errors}");
}

/// Publishes one message; `None` when the connection was closed instead.
fn publish(peer: &mut Peer, number: u32) -> Option<Reason> {
    let payload = format!("{number} {}", "x".repeat(2000));
    let id = u16::try_from(number % 60_000 + 1).ok().and_then(NonZeroU16::new);
    peer.send(&Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: TOPIC,
        packet_id: id,
        properties: Properties::NONE,
        payload: payload.as_bytes(),
    }));
    loop {
        let got = peer.next(PATIENCE)?;
        if let Got::PubAck(_, reason) = got {
            return Some(reason);
        }
        assert_eq!(got, Got::Other, "instead of a PUBACK or a DISCONNECT");
    }
}

/// Publishes until it is refused; those that were acknowledged.
fn until_refused(socket: &Path, from: u32) -> Vec<u32> {
    let (mut peer, _) =
        Peer::connect_as(socket, "writer", Version::V5, 0).expect("the broker lives");
    let mut acknowledged = Vec::new();
    for number in from.. {
        match publish(&mut peer, number) {
            Some(Reason::Success) => acknowledged.push(number),
            Some(refused) => {
                assert_eq!(refused, Reason::ImplementationSpecificError, "storage.full"); // design 3: 0x83 else
                break;
            }
            None => panic!("5.0 is refused, not closed"),
        }
        assert!(acknowledged.len() < 20_000, "the disk never fills up");
    }
    acknowledged
}

fn fill(place: &Path) -> PathBuf {
    let ballast = place.join("ballast");
    let mut file = std::fs::File::create(&ballast).expect("a file");
    let zeros = vec![0; 4096];
    while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
    ballast
}

/// Everything acknowledged is there, in order.
fn drained(away: &mut Subscriber, socket: &Path, acknowledged: &[u32]) {
    away.take_all(socket, QUIET);
    let seen = &away.seen[TOPIC].order;
    let lost: Vec<_> = acknowledged.iter().filter(|number| !seen.contains(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(seen.is_sorted(), "{seen:?}");
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_service_returns_with_the_room() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return in_small_tmpfs(
            "kill::full::a_full_disk_loses_nothing_acknowledged_and_service_returns_with_the_room",
        );
    };
    let yaml = format!(
        "gateway_id: GW-TEST\nstate_dir: {}/state\nbroker:\n  listeners:\n    \
         - unix: {{dir}}/mqtt.sock\n  limits: {{max_queued: 1000000, max_queued_size: 512MiB}}\n",
        place.display()
    );
    let mut daemon = Daemon::build().unwatched().whole_config(&yaml).start();
    let socket = daemon.socket();
    let mut away = Subscriber::new("away", "load/#", &socket);
    let (mut early, _) = Peer::connect_as(&socket, "early", Version::V5, 0).expect("it lives");
    let mut acknowledged: Vec<u32> = (1..=50).collect();
    for number in &acknowledged {
        assert_eq!(publish(&mut early, *number), Some(Reason::Success));
    }
    let ballast = fill(&place);
    acknowledged.extend(until_refused(&socket, 51));
    let next = acknowledged.last().map_or(51, |last| last + 2);
    let (mut old, _) = Peer::connect_as(&socket, "old", Version::V311, 0).expect("it lives");
    assert_eq!(publish(&mut old, next), None, "3.1.1 knows no refusal: it is closed");

    daemon.kill();
    daemon.start_again(); // with no room at all
    drained(&mut away, &socket, &acknowledged);
    assert!(acknowledged.len() >= 50);

    std::fs::remove_file(ballast).expect("room again");
    let (mut late, _) = Peer::connect_as(&socket, "late", Version::V5, 0).expect("it lives");
    let mut number = next + 1000;
    until("service to return", Duration::from_secs(40), || {
        number += 1;
        (publish(&mut late, number)? == Reason::Success).then_some(())
    });
    drained(&mut away, &socket, &[number]);
    daemon.kill();
    daemon.start_again();
    assert_eq!(publish_anew(&socket, number + 1), Some(Reason::Success));
    drained(&mut away, &socket, &[number + 1]);
}

fn publish_anew(socket: &Path, number: u32) -> Option<Reason> {
    let (mut peer, _) = Peer::connect_as(socket, "anew", Version::V5, 0)?;
    publish(&mut peer, number)
}
