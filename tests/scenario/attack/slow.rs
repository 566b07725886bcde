//! Those who take their time: a byte now and then, an answer never read, a connection left half open.

use std::time::Duration;

use super::field::{Enemy, Field};
use super::launch::Attack;
use super::packet::{self, Connect, VERSIONS};

pub(crate) const ALL: &[Attack] = &[
    slow("a-byte-at-a-time-before-connect", a_byte_at_a_time_before_connect),
    slow("a-byte-at-a-time-within-a-big-publish", a_byte_at_a_time_within_a_big_publish),
    slow("readers-that-never-read", readers_that_never_read),
    slow("half-open", half_open),
];

const fn slow(name: &'static str, deed: fn(&mut Field) -> usize) -> Attack {
    Attack { name, amount: [100, 400], seconds: [4, 15], promised: false, deed }
}

/// Between two bytes.
pub(crate) const BEAT: Duration = Duration::from_millis(100);

fn everywhere(field: &Field) -> Vec<Enemy> {
    let listeners = field.plain();
    let listeners = listeners.iter().cycle().take(field.amount);
    listeners.filter_map(|listener| Enemy::dial(listener)).collect()
}

/// One byte to each, again and again.
pub(crate) fn trickle(field: &Field, enemies: &mut [Enemy], bytes: &[u8]) -> usize {
    let mut at = 0;
    while field.on() {
        for enemy in enemies.iter_mut() {
            enemy.send(&[bytes[at % bytes.len()]]);
        }
        at += 1;
        std::thread::sleep(BEAT);
    }
    enemies.len()
}

fn a_byte_at_a_time_before_connect(field: &mut Field) -> usize {
    let mut enemies = everywhere(field);
    let connect = Connect { will: Some(("w", &[b'x'; 8000], 0)), ..Connect::new(5, "slow") };
    trickle(field, &mut enemies, &connect.bytes())
}

/// A megabyte is announced; most of it comes at once, the rest in drops.
fn a_byte_at_a_time_within_a_big_publish(field: &mut Field) -> usize {
    let mut enemies = everywhere(field);
    let whole = packet::publish(4, "big", &vec![b'x'; 900_000], 1, 1);
    for (n, enemy) in enemies.iter_mut().enumerate() {
        enemy.send(&Connect::new(4, &format!("drops{n}")).bytes());
        enemy.wait(4);
        enemy.send(&whole[..whole.len() - 1000]);
    }
    trickle(field, &mut enemies, &whole[whole.len() - 1000..][..900])
}

/// Subscribed to a flood with each quality, and never a byte read.
fn readers_that_never_read(field: &mut Field) -> usize {
    let mut readers = Vec::new();
    for n in 0..field.amount {
        let version = VERSIONS[n % 2];
        let Some(mut reader) = field.named(version, &format!("deaf{n}")) else { continue };
        let qos = u8::try_from(n % 3).expect("below 3");
        reader.send(&packet::subscribe(version, &["flood/#"], qos));
        readers.push(reader);
    }
    let Some(mut writer) = field.named(4, "flooder") else { return 0 };
    let payload = vec![b'x'; 4096];
    let mut id = 0_u16;
    while field.on() && !writer.dead {
        id = id % 60_000 + 1;
        writer.send(&packet::publish(
            4,
            "flood/t",
            &payload,
            u8::try_from(id % 3).expect("below 3"),
            id,
        ));
        if id.is_multiple_of(50) {
            writer.drain(Duration::from_millis(1));
        }
    }
    readers.len()
}

/// Some say hello and stop; some shut their half and wait.
fn half_open(field: &mut Field) -> usize {
    let mut enemies = everywhere(field);
    for (n, enemy) in enemies.iter_mut().enumerate() {
        let id = format!("half{n}");
        let connect = Connect { keep_alive_s: 1, ..Connect::new(5, &id) };
        let bytes = connect.bytes();
        let part = [bytes.len(), bytes.len() / 2, 1, 0][n % 4];
        enemy.send(&bytes[..part]);
    }
    while field.on() {
        std::thread::sleep(BEAT);
    }
    enemies.len()
}
