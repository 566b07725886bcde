//! `maestro status`: one screen from what is retained on the box, and one sample of its figures.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::Request;
use super::client::Address;
use super::exit::{Exit, Stop};
use super::paint::{Cell, Paint, Style, table};
use super::reply::Progress;
use super::session::Session;
use super::terminal::{Reader, Terminal};
use crate::bus::{Message, Qos};
use crate::topic::Root;

/// All that is retained and belongs on the screen.
const SHOWN: [&str; 5] = ["info", "status", "status/+", "state/bridge/+", "client/+"];

/// What the screen is made of: payloads by tail.
struct Facts<'a> {
    root: &'a Root,
    retained: Vec<(String, Value)>,
    sample: Value,
    now: Timestamp,
    paint: Paint,
}

/// `maestro status`.
pub(super) fn run(session: &mut Session, terminal: Terminal) -> Result<Exit, Stop> {
    let topics = SHOWN.map(|tail| session.root.join(tail));
    session.client.subscribe(&topics.each_ref().map(String::as_str), Qos::AtMostOnce)?;
    let mut messages = session.client.settled()?;
    let sample = sample(session, terminal, &mut messages)?;
    let root = session.root.clone();
    let retained: Vec<(String, Value)> =
        messages.iter().filter_map(|message| fact(&root, message)).collect();
    if retained.is_empty() {
        let (address, root) = (&session.address, &session.root);
        return Err(Stop::new(
            Exit::Unreachable,
            format!("nothing at {address} below {root}: name the box with --root"),
        ));
    }
    if terminal.reader == Reader::Program {
        let mut all = serde_json::Map::from_iter(retained);
        all.insert("sample".into(), sample);
        terminal.show(&Value::Object(all))?;
    } else {
        let paint = terminal.paint;
        let facts = Facts { root: &root, retained, sample, now: Timestamp::now(), paint };
        terminal.print(facts.screen(&session.address))?;
    }
    Ok(Exit::Succeeded)
}

/// Figures measured now; whoever may not ask sees the screen without them.
fn sample(
    session: &mut Session,
    terminal: Terminal,
    messages: &mut Vec<Message>,
) -> Result<Value, Stop> {
    let request = Request::plain("stats/sample", std::time::Duration::from_secs(2))?;
    match request.send(session, terminal) {
        Ok((_, Progress::Succeeded(result))) => {
            messages.extend(session.client.settled()?);
            Ok(result)
        }
        Ok(_) => Ok(Value::Null),
        Err(stop) if matches!(stop.exit, Exit::Refused | Exit::Late) => Ok(Value::Null),
        Err(stop) => Err(stop),
    }
}

fn fact(root: &Root, message: &Message) -> Option<(String, Value)> {
    let tail = root.tail(&message.topic)?;
    let shown = ["info", "status"].contains(&tail)
        || ["status/", "state/bridge/", "client/"].iter().any(|start| tail.starts_with(start));
    let value = serde_json::from_slice(&message.payload).ok()?;
    shown.then(|| (tail.to_owned(), value))
}

impl Facts<'_> {
    fn screen(&self, address: &Address) -> String {
        let parts =
            [self.head(), self.subsystems(), self.bridges(), self.clients(), self.figures()];
        let mut screen = String::new();
        for part in parts.iter().filter(|part| !part.is_empty()) {
            screen += part;
            screen.push('\n');
        }
        screen + &self.invitation(address)
    }

    fn one(&self, tail: &str) -> Value {
        let found = self.retained.iter().find(|(name, _)| name == tail);
        found.map_or(Value::Null, |(_, value)| value.clone())
    }
    fn below<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.retained
            .iter()
            .filter_map(move |(tail, value)| Some((tail.strip_prefix(start)?, value)))
    }

    /// Who it is and how it is, on one line.
    fn head(&self) -> String {
        let (info, status) = (self.one("info"), self.one("status"));
        let mut row = vec![
            Cell::head(text(&info, "gateway_id").unwrap_or(self.root.as_str())),
            state(&status),
        ];
        row.extend(text(&info, "version").map(|it| Cell::plain(format!("maestro {it}"))));
        row.extend(text(&info, "boot").map(|it| Cell::plain(format!("boot {it}"))));
        row.extend(self.since(&info, "started").map(|it| Cell::plain(format!("running for {it}"))));
        table(&[row], 0, self.paint)
    }

    fn subsystems(&self) -> String {
        let mut rows: Vec<Vec<Cell>> = self
            .below("status/")
            .map(|(name, status)| {
                let cause = status.get("cause").map_or_else(String::new, |cause| {
                    let code = text(cause, "code").unwrap_or_default();
                    format!("{} ({code})", text(cause, "message").unwrap_or("?"))
                });
                self.row(name, state(status), status, cause)
            })
            .collect();
        self.listed("subsystem", &mut rows)
    }

    fn bridges(&self) -> String {
        let mut rows: Vec<Vec<Cell>> = self
            .below("state/bridge/")
            .map(|(name, bridge)| {
                let cause = bridge.get("cause").or_else(|| bridge.get("reason"));
                let cause = cause.and_then(|cause| {
                    cause.as_str().or_else(|| text(cause, "message")).map(str::to_owned)
                });
                let more = [text(bridge, "url").map(str::to_owned), cause];
                let more = more.into_iter().flatten().collect::<Vec<_>>().join(": ");
                self.row(name, state(bridge), bridge, more)
            })
            .collect();
        self.listed("bridge", &mut rows)
    }

    fn clients(&self) -> String {
        let mut rows: Vec<Vec<Cell>> = self
            .below("client/")
            .filter(|(_, client)| client.is_object())
            .map(|(name, client)| {
                let who = [text(client, "principal"), text(client, "listener")];
                let who = who.into_iter().flatten().collect::<Vec<_>>().join(" by ");
                self.row(name, state(client), client, who)
            })
            .collect();
        const MOST: usize = 8;
        let more = rows.len().saturating_sub(MOST);
        rows.sort_by_key(|row| format!("{:?}", row.first()));
        rows.truncate(MOST);
        let mut shown = self.listed("client", &mut rows);
        if more > 0 {
            shown +=
                &table(&[vec![Cell::new(format!("and {more} more"), Style::Dim)]], 0, self.paint);
        }
        shown
    }

    fn row(&self, name: &str, state: Cell, dated: &Value, more: String) -> Vec<Cell> {
        let since = self.since(dated, "since").unwrap_or_default();
        vec![Cell::plain(name), state, Cell::new(since, Style::Dim), Cell::plain(more)]
    }

    /// Rows by name under a heading; nothing when there are none.
    fn listed(&self, what: &str, rows: &mut Vec<Vec<Cell>>) -> String {
        if rows.is_empty() {
            return String::new();
        }
        rows.sort_by_key(|row| format!("{:?}", row.first()));
        rows.insert(0, vec![Cell::head(what), Cell::head("state"), Cell::head("for")]);
        table(rows, 0, self.paint)
    }

    /// The figures that tell a healthy box from another.
    fn figures(&self) -> String {
        let number = |pointer: &str| self.sample.pointer(pointer).and_then(Value::as_f64);
        let mut row = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            row.extend(value.map(|value| vec![Cell::new(name, Style::Dim), Cell::plain(value)]));
        };
        add("cpu", number("/cpu/used_pct").map(|it| format!("{it:.1} %")));
        add(
            "load",
            number("/load/load1").map(|it| {
                let rest = ["/load/load5", "/load/load15"].map(|at| number(at).unwrap_or(0.0));
                format!("{it:.2} {:.2} {:.2}", rest[0], rest[1])
            }),
        );
        add("memory", number("/memory/available_bytes").zip(number("/memory/total_bytes")).map(of));
        for mount in ["/", "/data"] {
            let disk = self.sample.get("disk").and_then(|disk| disk.get(mount));
            let disk = disk.cloned().unwrap_or_else(|| json!({}));
            let number = |key: &str| disk.get(key).and_then(Value::as_f64);
            add(
                &format!("disk {mount}"),
                number("available_bytes").zip(number("total_bytes")).map(of),
            );
        }
        let hottest = self.sample.get("temperature").and_then(Value::as_object).and_then(|all| {
            let all = all.values().filter_map(|one| one.get("temperature_c")?.as_f64());
            all.reduce(f64::max)
        });
        add("hottest", hottest.map(|it| format!("{it:.1} °C")));
        add("maestro", number("/daemon/rss_bytes").map(|it| format!("{} in RAM", size(it))));
        table(&row, 0, self.paint)
    }

    /// A line to copy: the same, live.
    fn invitation(&self, address: &Address) -> String {
        let root = self.root;
        match address {
            Address::Unix(path) => {
                format!("mosquitto_sub -v --unix {} -t '{root}/#'\n", path.display())
            }
            Address::Tcp(host, port) => {
                format!("mosquitto_sub -v -h {host} -p {port} -t '{root}/#'\n")
            }
            Address::Tls(host, port) => {
                format!("mosquitto_sub -v -h {host} -p {port} --cafile CA.pem -t '{root}/#'\n")
            }
        }
    }

    /// How long ago, in the two largest units.
    fn since(&self, value: &Value, key: &str) -> Option<String> {
        let then: Timestamp = text(value, key)?.parse().ok()?;
        let seconds = self.now.duration_since(then).as_secs().max(0);
        let (days, hours) = (seconds / 86_400, seconds % 86_400 / 3600);
        let (minutes, rest) = (seconds % 3600 / 60, seconds % 60);
        Some(match (days, hours, minutes) {
            (0, 0, 0) => format!("{rest} s"),
            (0, 0, _) => format!("{minutes} min {rest} s"),
            (0, _, _) => format!("{hours} h {minutes} min"),
            _ => format!("{days} d {hours} h"),
        })
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn state(value: &Value) -> Cell {
    let word = text(value, "state").unwrap_or("unknown");
    let style = match word {
        "ok" | "connected" | "online" => Style::Good,
        "starting" | "connecting" | "degraded" => Style::Warn,
        "failed" | "disconnected" | "invalid" => Style::Bad,
        _ => Style::Dim,
    };
    Cell::new(word, style)
}

fn of((available, total): (f64, f64)) -> String {
    format!("{} free of {}", size(available), size(total))
}

fn size(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = usize::from(value < 10.0 && unit != "B");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(retained: &[(&str, Value)], sample: Value) -> String {
        let facts = Facts {
            root: &Root::default(),
            retained: retained
                .iter()
                .map(|(tail, value)| ((*tail).into(), value.clone()))
                .collect(),
            sample,
            now: "2026-11-22T12:00:05Z".parse().unwrap(),
            paint: Paint::Plain,
        };
        facts.screen(&Address::Unix("/run/maestro/mqtt.sock".into()))
    }

    #[test]
    fn the_screen_shows_the_box_its_parts_and_its_figures() {
        let status = |state: &str, since: &str| json!({"state": state, "since": since});
        let mut bridge = status("degraded", "2026-11-22T11:59:00Z");
        bridge["cause"] = json!({"code":"bridge.unreachable","message":"connection refused"});
        let screen = facts(
            &[
                (
                    "info",
                    json!({"gateway_id":"GW-0001","version":"0.1.0","boot":"1f0c9a3e",
                                "started":"2026-11-20T10:00:00Z"}),
                ),
                ("status", json!({"state":"degraded","not_ok":{"bridge":"bridge.unreachable"}})),
                ("status/stats", status("ok", "2026-11-22T10:00:00Z")),
                ("status/bridge", bridge),
                (
                    "state/bridge/cloud",
                    json!({"state":"disconnected","since":"2026-11-22T11:59:00Z",
                    "url":"mqtts://cloud.example:8883","cause":{"code":"x","message":"connection refused"}}),
                ),
                (
                    "client/thermo",
                    json!({"state":"online","principal":"app:thermo","listener":"unix",
                    "since":"2026-11-22T12:00:00Z"}),
                ),
            ],
            json!({"cpu":{"used_pct":3.25},"load":{"load1":0.1,"load5":0.2,"load15":0.3},
                   "memory":{"available_bytes":2811088896_u64,"total_bytes":3976482816_u64},
                   "disk":{"/":{"available_bytes":1e9,"total_bytes":8e9}},
                   "temperature":{"cpu":{"temperature_c":51.2},"board":{"temperature_c":40.0}},
                   "daemon":{"rss_bytes":7340032}}),
        );
        assert_eq!(
            screen,
            "\
GW-0001  degraded  maestro 0.1.0  boot 1f0c9a3e  running for 2 d 2 h

subsystem  state     for
bridge     degraded  1 min 5 s  connection refused (bridge.unreachable)
stats      ok        2 h 0 min

bridge  state         for
cloud   disconnected  1 min 5 s  mqtts://cloud.example:8883: connection refused

client  state   for
thermo  online  5 s  app:thermo by unix

cpu      3.2 %
load     0.10 0.20 0.30
memory   2.6 GiB free of 3.7 GiB
disk /   954 MiB free of 7.5 GiB
hottest  51.2 °C
maestro  7.0 MiB in RAM

mosquitto_sub -v --unix /run/maestro/mqtt.sock -t 'maestro/#'
"
        );
    }

    #[test]
    fn what_is_not_there_takes_no_room() {
        assert_eq!(
            facts(&[("status", json!({"state":"ok"}))], Value::Null),
            "maestro  ok\n\nmosquitto_sub -v --unix /run/maestro/mqtt.sock -t 'maestro/#'\n"
        );
    }

    #[test]
    fn many_clients_do_not_push_the_rest_off_the_screen() {
        let many: Vec<(String, Value)> =
            (0..20).map(|n| (format!("client/c{n:02}"), json!({"state":"online"}))).collect();
        let many: Vec<(&str, Value)> =
            many.iter().map(|(tail, value)| (tail.as_str(), value.clone())).collect();
        let screen = facts(&many, Value::Null);
        assert!(screen.contains("c07     online\nand 12 more\n"), "{screen}");
    }
}
