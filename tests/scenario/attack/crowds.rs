//! More connections and sessions than there is room for.

use std::time::Duration;

use super::field::{Enemy, Field};
use super::launch::Attack;
use super::packet::{self, CLEAN, Connect, KEPT, VERSIONS};

pub(crate) const ALL: &[Attack] = &[
    thousands("connection-attempts", connection_attempts),
    thousands("connect-and-close", connect_and_close),
    Attack { amount: [1500, 10_000], ..crowd("client-id-flood", client_id_flood) },
    Attack { amount: [300, 5000], ..crowd("takeover-ping-pong", takeover_ping_pong) },
    Attack { amount: [300, 5000], ..crowd("will-flood", will_flood) },
    Attack { amount: [200, 2000], ..crowd("same-id-at-the-limit", same_id_at_the_limit) },
];

const fn crowd(name: &'static str, deed: fn(&mut Field) -> usize) -> Attack {
    Attack { name, amount: [300, 5000], seconds: [10, 60], promised: false, deed }
}

/// So many that each is let in, refused or closed, however long that takes.
const fn thousands(name: &'static str, deed: fn(&mut Field) -> usize) -> Attack {
    Attack { name, amount: [1000, 10_000], seconds: [60, 300], promised: true, deed }
}

/// All are kept open: at the limit of this user the broker has no room for more, for others it has.
fn connection_attempts(field: &mut Field) -> usize {
    let mut open = Vec::new();
    field.repeat(|n| {
        let Some(mut enemy) = field.dial() else { return };
        enemy.send(&Connect::new(VERSIONS[n % 2], &format!("crowd{n}")).bytes());
        open.push(enemy);
        if open.len() > 800 {
            open.truncate(400);
        }
    })
}

/// Some end with a FIN, those with unread bytes by a reset.
fn connect_and_close(field: &mut Field) -> usize {
    let plain = field.plain();
    field.repeat(|n| {
        let listener = &plain[n % plain.len()];
        let Some(mut enemy) = Enemy::dial(listener) else { return };
        if n % 2 == 0 {
            enemy.send(&Connect::new(4, "in-and-out").bytes());
            if n % 4 == 0 {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    })
}

/// Sessions that are to stay for an hour, until there is no room for another.
fn client_id_flood(field: &mut Field) -> usize {
    let made = field.repeat(|n| {
        let id = format!("stays{n}");
        let kept = Connect { flags: KEPT, expiry_s: 3600, ..Connect::new(VERSIONS[n % 2], &id) };
        if let Some(mut enemy) = field.enter(&kept) {
            enemy.send(&packet::subscribe(kept.version, &["stays/#", "also/+/this"], 1));
        }
    });
    // What is made is cleared away again: others are tested on the same broker.
    for n in 0..made {
        let _ = field.enter(&Connect { flags: CLEAN, ..Connect::new(5, &format!("stays{n}")) });
    }
    made
}

/// Two who both say they are the same, each time with a queue to hand over.
fn takeover_ping_pong(field: &mut Field) -> usize {
    let kept = Connect { flags: KEPT, expiry_s: 600, keep_alive_s: 30, ..Connect::new(5, "twin") };
    let mut other = None;
    field.repeat(|n| {
        let next = field.enter(&kept).map(|mut twin| {
            twin.send(&packet::subscribe(5, &["twin/#"], 2));
            for id in 1..10 {
                twin.send(&packet::publish(
                    5,
                    "twin/t",
                    b"again",
                    u8::try_from(n % 3).expect("below 3"),
                    id,
                ));
            }
            twin
        });
        other = next;
    })
}

/// Each death is a publish to whoever listens.
fn will_flood(field: &mut Field) -> usize {
    let mut heirs = Vec::new();
    for n in 0..20 {
        let Some(mut heir) = field.named(5, &format!("heir{n}")) else { continue };
        heir.send(&packet::subscribe(5, &["will/#"], 1));
        heirs.push(heir);
    }
    let payload = vec![b'w'; 10_000];
    field.repeat(|n| {
        let id = format!("dying{n}");
        let will = Some(("will/t", &payload[..], u8::try_from(n % 3).expect("below 3")));
        drop(field.enter(&Connect { will, ..Connect::new(VERSIONS[n % 2], &id) }));
    })
}

/// The listener of rumqttd dies when somebody comes again while there is no room.
fn same_id_at_the_limit(field: &mut Field) -> usize {
    let full: Vec<_> = (0..600).filter_map(|n| field.named(4, &format!("full{n}"))).collect();
    let done = field.repeat(|n| drop(field.named(VERSIONS[n % 2], ["full0", "+", "#"][n % 3])));
    drop(full);
    done
}
