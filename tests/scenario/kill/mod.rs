//! SIGKILL at any instant, and a disk without room: what was acknowledged is there.
//!
//! ```text
//!   2 publishers (QoS 1, QoS 2, retained) ──> daemon ──> one who is there, one who is away,
//!        |  |                                  ^ |        two who share
//!        |  └─ again, with DUP                 | └─ SIGKILL at a random instant
//!        └──── acknowledged ── must be there ──┘
//! ```

mod full;
mod peer;
mod publisher;
mod subscriber;

use std::path::Path;
use std::time::Duration;

use peer::{Got, Peer};
use publisher::{Publisher, Topic};
use subscriber::{Seen, Subscriber};

use crate::support::clock::{PATIENCE, now, until};
use crate::support::daemon::Daemon;
use crate::support::long;

/// Nothing more comes to a subscriber when nothing came for so long.
const QUIET: Duration = Duration::from_millis(700);

/// Everyone who takes part.
struct Load {
    publishers: Vec<Publisher>,
    /// There all the time.
    online: Subscriber,
    /// There between the kills only.
    away: Subscriber,
    /// Members of one group.
    sharing: Vec<Subscriber>,
}

impl Load {
    fn on(socket: &Path) -> Load {
        let share = |id: &str| Subscriber::new(id, "$share/group/load/#", socket);
        Load {
            publishers: (0..2).map(Publisher::new).collect(),
            online: Subscriber::new("online", "load/#", socket),
            away: Subscriber::new("away", "load/#", socket),
            sharing: vec![share("share-0"), share("share-1")],
        }
    }

    /// Everyone works until the daemon is killed.
    fn until_killed(&mut self, daemon: &mut Daemon, after: Duration) {
        let socket = daemon.socket();
        std::thread::scope(|scope| {
            for publisher in &mut self.publishers {
                scope.spawn(|| publisher.until_killed(&socket));
            }
            let others = self.sharing.iter_mut().chain([&mut self.online]);
            for subscriber in others {
                scope.spawn(|| subscriber.take_all(&socket, PATIENCE));
            }
            std::thread::sleep(after);
            daemon.kill();
        });
    }

    /// Everyone comes to an end, and everything is compared.
    fn settle(&mut self, socket: &Path) {
        for publisher in &mut self.publishers {
            publisher.finish(socket);
        }
        std::thread::scope(|scope| {
            let others = self.sharing.iter_mut().chain([&mut self.online, &mut self.away]);
            for subscriber in others {
                scope.spawn(|| subscriber.take_all(socket, QUIET));
            }
        });
        for topic in self.publishers.iter().flat_map(|publisher| &publisher.topics) {
            if topic.name.starts_with("keep/") {
                check_retained(topic, socket);
            } else {
                check("online", topic, &self.online);
                check("away", topic, &self.away);
                check_shared(topic, &self.sharing);
            }
        }
    }
}

/// All that was acknowledged came, in order, once, or again with DUP.
fn check(who: &str, topic: &Topic, subscriber: &Subscriber) {
    let nothing = Seen::default();
    let seen = subscriber.seen.get(&topic.name).unwrap_or(&nothing);
    let lost: Vec<_> =
        topic.acknowledged.iter().filter(|number| !seen.fresh.contains_key(number)).collect();
    assert!(lost.is_empty(), "{who} lost {lost:?} of {}", topic.name);
    let disorder = seen.order.windows(2).find(|pair| pair[0] > pair[1]);
    assert_eq!(disorder, None, "{who}, {}", topic.name);
    check_twice(who, topic, seen);
}

fn check_twice(who: &str, topic: &Topic, seen: &Seen) {
    for (number, &times) in &seen.fresh {
        let sent = 1 + topic.again.get(number).copied().unwrap_or(0);
        assert!(times <= sent, "{who}: {} {number} came {times} times without DUP", topic.name);
    }
    let twice: Vec<_> = seen.once.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{who}: {} more than once: {twice:?}", topic.name);
}

/// Each came to one member.
fn check_shared(topic: &Topic, members: &[Subscriber]) {
    let nothing = Seen::default();
    let seen: Vec<_> =
        members.iter().map(|one| one.seen.get(&topic.name).unwrap_or(&nothing)).collect();
    for number in &topic.acknowledged {
        let having = seen.iter().filter(|one| one.fresh.contains_key(number)).count();
        assert!(having > 0, "the group lost {} {number}", topic.name);
        let once = seen.iter().filter(|one| one.once.contains_key(number)).count();
        assert!(once <= 1, "{once} members have {} {number}", topic.name);
    }
    for one in seen {
        check_twice("a member", topic, one);
    }
}

/// The last one is kept: everything is acknowledged by now.
fn check_retained(topic: &Topic, socket: &Path) {
    let Some(&last) = topic.acknowledged.last() else { return };
    let (mut peer, _) = Peer::connect_as(socket, "new", maestro::broker::wire::Version::V5, 0)
        .expect("the broker lives");
    peer.subscribe(&topic.name);
    match peer.next(PATIENCE) {
        Some(Got::Publish { number, retain: true, .. }) => {
            assert_eq!(number, last, "{}", topic.name)
        }
        other => panic!("{} is kept as {other:?}", topic.name),
    }
}

#[test]
fn a_kill_at_any_instant_loses_nothing_acknowledged_and_every_start_succeeds() {
    let limits = "limits: {max_queued: 1000000, max_queued_size: 512MiB}";
    let mut daemon = Daemon::build().broker(limits).unwatched().start();
    let mut load = Load::on(&daemon.socket());
    let mut starts = Vec::new();
    for round in 0..long::count(20, 200) {
        let mut random = [0; 2];
        getrandom::fill(&mut random).expect("random bytes");
        let after = Duration::from_micros(u64::from(u16::from_le_bytes(random)) * 5);
        load.until_killed(&mut daemon, after);
        let killed = now();
        daemon.start_again();
        starts.push(killed.elapsed());
        if round % 5 == 4 {
            load.settle(&daemon.socket());
        }
    }
    load.settle(&daemon.socket());
    let all = load.publishers.iter().flat_map(|publisher| &publisher.topics);
    let acknowledged: usize = all.map(|topic| topic.acknowledged.len()).sum();
    starts.sort();
    let (middle, last) = (starts[starts.len() / 2], starts[starts.len() - 1]);
    println!(
        "{} kills, {acknowledged} messages acknowledged, none lost; \
         spawn to CONNACK: median {middle:?}, longest {last:?}",
        starts.len()
    );
    until("a load worth the name", Duration::ZERO, || (acknowledged > 100).then_some(()));
}
