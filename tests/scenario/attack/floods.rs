//! As much as one user can ask for: of topics, filters, retained messages, queues, answers.

use std::time::Duration;

use super::field::{Enemy, Field};
use super::launch::Attack;
use super::packet::{self, Connect, KEPT, VERSIONS};

pub(crate) const ALL: &[Attack] = &[
    flood("huge-lengths", huge_lengths),
    flood("deep-topics", deep_topics),
    flood("overlapping-filters", overlapping_filters),
    flood("retained-flood", retained_flood),
    flood("wildcards-over-a-full-store", wildcards_over_a_full_store),
    flood("one-subscribe-with-everything", one_subscribe_with_everything),
    flood("subscription-churn", subscription_churn),
    flood("expiries-all-at-once", expiries_all_at_once),
    flood("queues-of-the-absent", queues_of_the_absent),
    flood("never-released", never_released),
    flood("acknowledgements-of-nothing", acknowledgements_of_nothing),
    flood("everything-of-everyone", everything_of_everyone),
    flood("commands", commands),
    flood("refusals", refusals),
    flood("pings", pings),
];

const fn flood(name: &'static str, deed: fn(&mut Field) -> usize) -> Attack {
    Attack { name, amount: [100, 1_000_000], seconds: [2, 12], promised: false, deed }
}

const LITTLE: Duration = Duration::from_millis(1);

/// A client that comes again whenever it was thrown out.
struct Steady<'f> {
    field: &'f Field,
    version: u8,
    id: &'static str,
    enemy: Option<Enemy>,
}

impl<'f> Steady<'f> {
    fn new(field: &'f Field, version: u8, id: &'static str) -> Steady<'f> {
        Steady { field, version, id, enemy: None }
    }

    fn send(&mut self, bytes: &[u8]) {
        if self.enemy.as_ref().is_none_or(|enemy| enemy.dead) {
            self.enemy = self.field.named(self.version, self.id);
        }
        if let Some(enemy) = &mut self.enemy {
            enemy.send(bytes);
        }
    }

    fn drain(&mut self) {
        if let Some(enemy) = &mut self.enemy {
            enemy.drain(LITTLE);
        }
    }
}

/// 256 MiB are announced, and some of it comes.
fn huge_lengths(field: &mut Field) -> usize {
    field.repeat(|n| {
        let Some(mut enemy) = field.dial() else { return };
        if n % 2 == 0 {
            enemy.send(&Connect::new(VERSIONS[n / 2 % 2], "huge").bytes());
        }
        enemy.send(&[[0x30, 0x82, 0x10][n % 3], 0xFF, 0xFF, 0xFF, 0x7F]);
        enemy.send(&vec![b'x'; 100_000]);
    })
}

fn deep_topics(field: &mut Field) -> usize {
    let mut client = Steady::new(field, 5, "deep");
    let slashes = "/".repeat(65_535);
    let plus = vec!["+"; 32_000].join("/");
    let filters = ["+/".repeat(127) + "#", vec!["+"; 128].join("/"), "a/".repeat(100) + "#", plus];
    field.repeat(|n| {
        client.send(&packet::subscribe(5, &[&filters[n % filters.len()]], 1));
        client.send(&packet::publish(5, &slashes, b"x", 1, 1));
        client.send(&packet::publish(5, "a/".repeat(100), b"x", 1, 2));
        client.send(&packet::retained(5, format!("{}{n}", "deep/".repeat(200)), b"", 0, 1));
        client.drain();
    })
}

/// Many sessions, each with a thousand filters that all match the one topic.
fn overlapping_filters(field: &mut Field) -> usize {
    let levels = 10;
    let filters: Vec<String> = (0..1000_u32)
        .map(|bits| {
            let level = |at| if bits >> at & 1 == 1 { "+" } else { "a" };
            (0..levels).map(level).collect::<Vec<_>>().join("/")
        })
        .collect();
    let mut readers: Vec<Enemy> = Vec::new();
    for n in 0..20 {
        let Some(mut reader) = field.named(5, &format!("overlap{n}")) else { continue };
        for some in filters.chunks(100) {
            reader.send(&packet::subscribe(5, some, 0));
        }
        readers.push(reader);
    }
    let mut writer = Steady::new(field, 4, "overlapped");
    let one = packet::publish(4, vec!["a"; levels].join("/"), b"", 0, 0);
    let many = one.repeat(1000);
    field.repeat(|_| {
        writer.send(&many);
        for reader in &mut readers {
            reader.drain(LITTLE);
        }
    })
}

/// To the bound of the whole store, each time under other names.
fn retained_flood(field: &mut Field) -> usize {
    let mut writer = Steady::new(field, 5, "hoarder");
    let done = fill(field, &mut writer, 25_000, b"kept for ever");
    clear(&mut writer, done);
    done
}

fn fill(field: &Field, writer: &mut Steady<'_>, count: usize, payload: &[u8]) -> usize {
    let mut done = 0;
    while done == 0 || done < count && field.on() {
        let bytes: Vec<u8> = (done..done + 500)
            .flat_map(|n| {
                packet::retained(5, format!("hoard/{n}"), payload, u8::from(n % 10 == 0), 1)
            })
            .collect();
        writer.send(&bytes);
        writer.drain();
        done += 500;
    }
    done
}

fn clear(writer: &mut Steady<'_>, count: usize) {
    for first in (0..count).step_by(500) {
        let clear = |n| packet::retained(5, format!("hoard/{n}"), b"", 0, 0);
        let bytes: Vec<u8> = (first..first + 500).flat_map(clear).collect();
        writer.send(&bytes);
    }
    writer.drain();
}

/// Each SUBSCRIBE asks for the whole store again, thousands in one write.
fn wildcards_over_a_full_store(field: &mut Field) -> usize {
    let mut writer = Steady::new(field, 5, "hoarder");
    let kept = fill(field, &mut writer, 20_000, b"x");
    let mut readers: Vec<_> =
        (0..4).filter_map(|n| field.named(5, &format!("greedy{n}"))).collect();
    let some = ["#", "+/#", "hoard/+", "+/+", "+/1", "nothing/+"]
        .map(|filter| packet::subscribe(5, &[filter], 1));
    let many = some.concat().repeat(500);
    let done = field.repeat(|_| {
        for reader in &mut readers {
            reader.send(&many);
            reader.drain(LITTLE);
        }
    });
    drop(readers);
    clear(&mut writer, kept);
    done
}

/// One packet of nearly a megabyte, the same filter over and over.
fn one_subscribe_with_everything(field: &mut Field) -> usize {
    let mut writer = Steady::new(field, 5, "hoarder");
    let kept = fill(field, &mut writer, 20_000, b"x");
    let whole = packet::subscribe(5, &vec!["#"; 200_000], 1);
    let done = field.repeat(|n| {
        let Some(mut reader) = field.named(5, "everything") else { return };
        reader.send(&whole);
        if n % 2 == 0 {
            reader.drain(Duration::from_millis(100));
        }
    });
    clear(&mut writer, kept);
    done
}

/// A session on disk with a thousand filters, of which one comes and goes.
fn subscription_churn(field: &mut Field) -> usize {
    let kept = Connect { flags: KEPT, expiry_s: 600, ..Connect::new(5, "churn") };
    let Some(mut client) = field.enter(&kept) else { return 0 };
    let filters: Vec<String> =
        (0..990).map(|n| format!("churn/{n}/{}", "long".repeat(20))).collect();
    for some in filters.chunks(90) {
        client.send(&packet::subscribe(5, some, 1));
    }
    let once =
        [packet::subscribe(5, &["churn/again"], 1), packet::unsubscribe(5, &["churn/again"])];
    let many = once.concat().repeat(200);
    let done = field.repeat(|_| {
        client.send(&many);
        client.drain(LITTLE);
    });
    drop(client);
    let _ = field.named(5, "churn"); // the session ends
    done
}

/// Thousands of retained messages that expire within one second, each at its own moment.
fn expiries_all_at_once(field: &mut Field) -> usize {
    let mut writer = Steady::new(field, 5, "mayflies");
    field.repeat(|round| {
        let bytes: Vec<u8> = (0..200)
            .flat_map(|n| {
                let mut body = packet::text(format!("mayfly/{}", (round * 200 + n) % 18_000));
                body.extend([5, 2, 0, 0, 0, 2]); // message expiry interval: 2 s
                body.push(b'x');
                packet::packet(0x31, &body)
            })
            .collect();
        writer.send(&bytes);
    })
}

/// Sessions of clients that left, each with all a queue may hold.
fn queues_of_the_absent(field: &mut Field) -> usize {
    for n in 0..30 {
        let id = format!("absent{n}");
        let kept = Connect { flags: KEPT, expiry_s: 600, ..Connect::new(5, &id) };
        if let Some(mut absent) = field.enter(&kept) {
            absent.send(&packet::subscribe(5, &["absent/#"], 1));
            absent.wait(5);
        }
    }
    let mut writer = Steady::new(field, 4, "filler");
    let payload = vec![b'x'; 10_000];
    let done = field.repeat(|n| {
        let id = u16::try_from(n % 60_000).expect("below 60 000") + 1;
        writer.send(&packet::publish(4, "absent/t", &payload, 1, id));
        if n % 20 == 0 {
            writer.drain();
        }
    });
    for n in 0..30 {
        let _ = field.named(5, &format!("absent{n}"));
    }
    done
}

/// QoS 2 that is begun and never ended.
fn never_released(field: &mut Field) -> usize {
    let mut clients = VERSIONS.map(|version| {
        Steady::new(field, version, ["begins4", "begins5"][usize::from(version) - 4])
    });
    field.repeat(|n| {
        let client = &mut clients[n % 2];
        let ids = (0..100).map(|id| u16::try_from(n * 50 % 65_000 + id).expect("below 65 535") + 1);
        let version = client.version;
        let bytes: Vec<u8> =
            ids.flat_map(|id| packet::publish(version, "begun/t", b"x", 2, id)).collect();
        client.send(&bytes);
        client.drain();
    })
}

fn acknowledgements_of_nothing(field: &mut Field) -> usize {
    let mut client = Steady::new(field, 4, "yes-yes");
    let heads = [0x40, 0x50, 0x62, 0x70];
    field.repeat(|n| {
        let id = |k: usize| u16::try_from((n * 97 + k * 31) % 65_535).expect("below 65 536") + 1;
        let bytes: Vec<u8> = (0..1000).flat_map(|k| packet::ack(heads[k % 4], id(k))).collect();
        client.send(&bytes);
        client.drain();
    })
}

/// `#` and `$SYS/#` by many, and much to tell them.
fn everything_of_everyone(field: &mut Field) -> usize {
    let mut readers = Vec::new();
    for n in 0..100 {
        let Some(mut reader) = field.named(5, &format!("all{n}")) else { continue };
        reader.send(&packet::subscribe(5, &["#", "$SYS/#", "+/+/#", "$share/all/#"], 1));
        readers.push(reader);
    }
    let mut writer = Steady::new(field, 5, "talker");
    let many = packet::publish(5, "talk/t", b"to everyone", 0, 0).repeat(200);
    field.repeat(|n| {
        writer.send(&many);
        if let Some(reader) = readers.get_mut(n % 150) {
            reader.drain(LITTLE);
        }
    })
}

/// What is held until the ledger has decided.
fn commands(field: &mut Field) -> usize {
    let mut client = Steady::new(field, 5, "commander");
    let payloads =
        [b"{}".to_vec(), vec![b'['; 60_000], b"{\"dry_run\":true}".to_vec(), vec![b'x'; 500_000]];
    let verbs =
        ["system/ping", "system/reboot", "broker/disconnect", "nothing/here", "system/history"];
    field.repeat(|n| {
        let topic = format!("maestro/cmd/{}", verbs[n % verbs.len()]);
        let payload = &payloads[n / verbs.len() % payloads.len()];
        for id in 1..50 {
            client.send(&packet::publish(5, &topic, payload, 1, id));
        }
        client.drain();
    })
}

/// What is not allowed, as often as it goes: each refusal could be a message to somebody.
fn refusals(field: &mut Field) -> usize {
    let mut client = Steady::new(field, 5, "denied");
    client.send(&packet::subscribe(5, &["maestro/event/#"], 1));
    let denied =
        ["maestro/status/broker", "maestro/cmd/system/shutdown", "$SYS/x", "maestro/nowhere"];
    field.repeat(|n| {
        let many = packet::publish(5, denied[n % denied.len()], b"x", 1, 1).repeat(1000);
        client.send(&many);
        client.send(&packet::subscribe(5, &vec!["maestro/log/#"; 200], 1));
        client.drain();
    })
}

/// The cheapest question there is, and nobody reads the answers.
fn pings(field: &mut Field) -> usize {
    let mut clients: Vec<Enemy> =
        (0..4).filter_map(|n| field.named(4, &format!("ping{n}"))).collect();
    let many = packet::PING.repeat(32_000);
    field.repeat(|n| {
        if let Some(client) = clients.get_mut(n % 4) {
            client.send(&many);
            client.drain(LITTLE);
        }
    })
}
