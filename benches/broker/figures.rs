//! Figures of both brokers, side by side.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::subject::Which;

struct Row {
    case: String,
    unit: &'static str,
    peer: Vec<f64>,
    ours: Vec<f64>,
}

/// Everything measured, in the order it came.
pub(crate) struct Figures {
    host: String,
    rows: Vec<Row>,
}

impl Figures {
    /// Remembers how busy the machine is.
    pub(crate) fn new() -> Figures {
        Figures { host: host(), rows: Vec::new() }
    }
    /// One value of one round.
    pub(crate) fn add(&mut self, which: Which, case: &str, unit: &'static str, value: f64) {
        let at = self.rows.iter().position(|row| row.case == case && row.unit == unit);
        let at = at.unwrap_or_else(|| {
            let row = Row { case: case.to_owned(), unit, peer: Vec::new(), ours: Vec::new() };
            self.rows.push(row);
            self.rows.len() - 1
        });
        match which {
            Which::Mosquitto => self.rows[at].peer.push(value),
            Which::Maestro => self.rows[at].ours.push(value),
        }
    }
    /// The size of our binary.
    pub(crate) fn size(&mut self, name: &str, file: &str) {
        let bytes = std::fs::metadata(file).expect("the binary was built").len();
        self.add(Which::Maestro, name, "bytes of the binary", bytes as f64);
    }
    /// As a table: medians, ratio as the median of the rounds' ratios, and its range.
    pub(crate) fn print(&self) {
        println!("{}", self.host);
        println!(
            "{:<38} {:<46} {:>12} {:>12} {:>7}  range of the ratio",
            "case", "figure", "mosquitto", "maestro", "ratio"
        );
        for row in &self.rows {
            let ratios = row.ratios();
            let mut line = format!("{:<38} {:<46}", row.case, row.unit);
            for values in [&row.peer, &row.ours] {
                let _ = write!(line, " {:>12}", number(median(values)));
            }
            if let Some(ratio) = median(&ratios) {
                let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
                let most = ratios.iter().copied().fold(0.0, f64::max);
                let _ = write!(line, " {ratio:>7.2}  {least:.2} .. {most:.2}");
            }
            println!("{line}");
        }
        println!("at the end: {}", host());
    }
    /// As JSON, every round kept.
    pub(crate) fn write(&self, file: &str) {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let document = json!({ "host": self.host, "host_at_the_end": host(), "rows": rows });
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("target/bench");
        std::fs::write(&file, format!("{document:#}\n")).expect("write the figures");
        println!("as JSON: {}", file.display());
    }
}

impl Row {
    fn ratios(&self) -> Vec<f64> {
        let pairs = self.ours.iter().zip(&self.peer).filter(|(_, peer)| **peer != 0.0);
        pairs.map(|(ours, peer)| ours / peer).collect()
    }
    fn json(&self) -> Value {
        let ratio = median(&self.ratios());
        json!({ "case": self.case, "figure": self.unit, "mosquitto": self.peer,
                "maestro": self.ours, "ratio": ratio })
    }
}

/// The middle value; of an even number, the mean of the two.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted[low] + sorted[high]) / 2.0)
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.2}"),
    }
}

fn host() -> String {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let model = processor.lines().find_map(|line| line.strip_prefix("model name\t: "));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    format!("{} x {}, load {}", count, model.unwrap_or("processor"), load.trim())
}
