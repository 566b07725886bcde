//! Our broker against mosquitto, in one run on the same machine: `cargo bench --bench broker`.
//!
//! ```text
//!   round 1..5:  mosquitto  cases..      every case is paired: the ratio is taken within a round,
//!                maestro    cases..      figures and ratios are medians over the rounds
//!   then: start to first PUBACK, memory after load, messages for somebody who is away and a SIGKILL,
//!         idle for 60 s, size of the binary
//! ```
//! Prints a table, and the same as JSON in `target/bench/broker.json`. Both brokers listen on loopback
//! without TLS, Nagle off; mosquitto keeps nothing (but where it is said), maestro runs as it does by default. The generator
//! shares the processors, so CPU per message says more than messages per second.
//!
//! Arguments after `--`: `quick` (one round, a tenth of the messages, 10 s of idleness), and any of
//! `load`, `start`, `memory`, `durable`, `idle` to run only those.

mod durable;
mod figures;
mod load;
mod measure;
mod subject;
#[expect(dead_code, reason = "the scenario tests' harness; a benchmark needs a part of it")]
#[path = "../../tests/support/mod.rs"]
mod support;

use figures::Figures;
use load::Case;
use subject::{Keeps, Subject};

/// How much to do.
struct Plan {
    rounds: usize,
    share: u64,
    idle_s: u64,
    parts: Vec<String>,
}

impl Plan {
    fn from_arguments() -> Plan {
        let words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
        let (quick, parts): (Vec<_>, Vec<_>) = words.partition(|word| word == "quick");
        match quick.is_empty() {
            true => Plan { rounds: 5, share: 1, idle_s: 60, parts },
            false => Plan { rounds: 1, share: 10, idle_s: 10, parts },
        }
    }
    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

const CASES: [Case; 4] = [
    Case { name: "QoS 0, 1 to 1", qos: 0, readers: 1, messages: 100_000, rate: 0 },
    Case { name: "QoS 1, 1 to 1", qos: 1, readers: 1, messages: 50_000, rate: 0 },
    Case { name: "QoS 0, 1 to 10", qos: 0, readers: 10, messages: 30_000, rate: 0 },
    Case { name: "QoS 1, 1 to 10", qos: 1, readers: 10, messages: 10_000, rate: 0 },
];
/// Slow enough that nothing queues: what a message takes from publisher to reader.
const PACED: [Case; 2] = [
    Case { name: "QoS 0 at 1000/s", qos: 0, readers: 1, messages: 3_000, rate: 1_000 },
    Case { name: "QoS 1 at 1000/s", qos: 1, readers: 1, messages: 3_000, rate: 1_000 },
];

fn main() {
    let plan = Plan::from_arguments();
    let mut figures = Figures::new();
    if plan.wants("load") {
        load_rounds(&plan, &mut figures);
    }
    if plan.wants("start") {
        start(&plan, &mut figures);
    }
    if plan.wants("memory") {
        memory(&plan, &mut figures);
    }
    if plan.wants("durable") {
        durable(&plan, &mut figures);
    }
    if plan.wants("idle") {
        idle(&plan, &mut figures);
    }
    figures.size("maestro", env!("CARGO_BIN_EXE_maestro"));
    figures.print();
    figures.write("target/bench/broker.json");
}

fn load_rounds(plan: &Plan, figures: &mut Figures) {
    for round in 0..plan.rounds {
        for which in subject::BOTH {
            let broker = Subject::start(which);
            for case in CASES {
                let messages = case.messages / plan.share;
                let before = measure::cpu_ns(broker.pid());
                let seen = load::run(broker.address(), &Case { messages, ..case });
                let used = measure::cpu_ns(broker.pid()) - before;
                let micros = used as f64 / 1e3 / seen.received as f64;
                figures.add(which, case.name, "broker CPU, us per delivered message", micros);
                let rate = seen.received as f64 / seen.seconds;
                figures.add(which, case.name, "delivered messages per second", rate);
            }
            for case in PACED {
                let messages = case.messages / plan.share;
                let seen = load::run(broker.address(), &Case { messages, ..case });
                figures.add(which, case.name, "latency p50, us", seen.latency_us(50));
                figures.add(which, case.name, "latency p99, us", seen.latency_us(99));
            }
            let rss = measure::rss_kb(broker.pid());
            figures.add(which, "after the load", "RSS, kB", rss);
        }
        eprintln!("round {} of {}", round + 1, plan.rounds);
    }
}

fn start(plan: &Plan, figures: &mut Figures) {
    for _ in 0..plan.rounds * 2 {
        for which in subject::BOTH {
            let (_broker, millis) = Subject::start_timed(which);
            figures.add(which, "exec to first PUBACK", "ms", millis);
        }
    }
}

fn memory(plan: &Plan, figures: &mut Figures) {
    let connections = 900 / plan.share;
    let filters = 10_000 / plan.share;
    for which in subject::BOTH {
        let broker = Subject::start(which);
        let idle = measure::rss_kb(broker.pid());
        figures.add(which, "just started", "RSS, kB", idle);
        let held = load::idle_connections(broker.address(), connections);
        let each = (measure::rss_kb(broker.pid()) - idle) / connections as f64;
        figures.add(which, "idle connections with a subscription", "RSS, kB each", each);
        drop(held);
        let broker = Subject::start(which);
        let idle = measure::rss_kb(broker.pid());
        load::one_shot_filters(broker.address(), filters);
        let more = measure::rss_kb(broker.pid()) - idle;
        let case = format!("after {filters} one-shot reply filters");
        figures.add(which, &case, "RSS growth, kB", more);
    }
}

/// The cases name what mosquitto was told to keep; ours keeps what it acknowledged, always.
fn durable(plan: &Plan, figures: &mut Figures) {
    let styles = [
        ("10 000 x 256 B away, persistence", Keeps::Now, 10_000, 256),
        ("10 000 x 256 B away, autosave_on_changes", Keeps::Everything, 10_000, 256),
        ("62 MiB away, persistence", Keeps::Now, 31_000, 2048),
    ];
    for _ in 0..plan.rounds {
        for (case, keeps, messages, size) in styles {
            for which in subject::BOTH {
                let seen = durable::run(which, keeps, messages / plan.share, size);
                figures.add(which, case, "acknowledged per second", seen.per_second);
                figures.add(which, case, "bytes written per message", seen.written);
                figures.add(which, case, "lost by SIGKILL after the last PUBACK", seen.lost);
                figures.add(which, case, "start after the SIGKILL, ms", seen.start_ms);
                figures.add(which, case, "delivered per second when back", seen.drained_per_second);
                figures.add(which, case, "MiB of files", seen.kept_bytes as f64 / (1 << 20) as f64);
            }
        }
    }
}

fn idle(plan: &Plan, figures: &mut Figures) {
    let both = subject::BOTH.map(|which| (which, Subject::start(which)));
    std::thread::sleep(std::time::Duration::from_secs(5));
    let before = both.each_ref().map(|(_, broker)| measure::Footprint::of(broker.pid()));
    std::thread::sleep(std::time::Duration::from_secs(plan.idle_s));
    for ((which, broker), before) in both.iter().zip(before) {
        let after = measure::Footprint::of(broker.pid());
        let seconds = plan.idle_s as f64;
        let rows = [
            ("PSS, kB", after.pss_kb),
            ("anonymous, kB", after.anon_kb),
            ("anonymous + page tables + kernel stacks, kB", after.own_kb),
            ("threads", after.threads),
            ("wake-ups per second", (after.switches - before.switches) / seconds),
            ("CPU, ms per second", (after.cpu_ns - before.cpu_ns) / 1e6 / seconds),
            ("bytes written", after.written - before.written),
        ];
        for (unit, value) in rows {
            figures.add(*which, "idle", unit, value);
        }
    }
}
