//! `stats:` in the configuration, and the original's `sys_stats:` with the same keys and meaning.
//!
//! ```yaml
//! stats:
//!   cpu: {interval: 10s}
//!   disk: {interval: 60s, threshold_pct: 1}
//!   temperature: off
//!   batch: {max_count: 10, max_age: 60s, max_buffers: 100}
//! ```

use std::time::Duration;

use crate::config::{Decode, Reader, Span};

/// The section.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Processor time.
    pub cpu: Family,
    /// Memory; `vm_stats` in the original.
    pub memory: Family,
    /// Load averages.
    pub load: Family,
    /// Space of file systems; `disk_stats` in the original.
    pub disk: Family,
    /// Reads and writes of block devices.
    pub io: Family,
    /// Bytes and packets of interfaces.
    pub network: Family,
    /// Sensors.
    pub temperature: Family,
    /// The daemon itself.
    pub daemon: Family,
    /// Which file systems `disk` looks at.
    pub disks: Disks,
    /// How samples are gathered for the cloud.
    pub batch: Batch,
}

/// How one family is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Whether it is measured at all.
    pub on: bool,
    /// The time from one sample to the next.
    pub interval: Duration,
    /// Published only when a value changed by more than this many percent of its range since it was
    /// published last; 0 publishes every sample.
    pub threshold_pct: f64,
    /// What the original's `name:` says: the name in batches.
    pub name: Option<String>,
}

/// Which file systems are looked at: the original's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disks {
    /// Mount points left out.
    pub ignore_mountpoints: Vec<String>,
    /// Devices left out.
    pub ignore_partitions: Vec<String>,
    /// If any: only these mount points.
    pub white_list_mountpoints: Vec<String>,
    /// If any: only these devices.
    pub white_list_partitions: Vec<String>,
}

/// How samples are gathered for the cloud: the original's `symphony.sys_stats_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Whether batches are made.
    pub on: bool,
    /// Samples after which a batch is sent.
    pub max_count: u32,
    /// The age of the oldest sample after which a batch is sent.
    pub max_age: Duration,
    /// Samples held at most while they cannot be sent.
    pub max_buffers: u32,
}

/// The shortest interval; the original's, too.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(400);
const DAY: Duration = Duration::from_secs(86_400);

impl Default for Family {
    fn default() -> Family {
        Family { on: true, interval: Duration::from_secs(10), threshold_pct: 0.0, name: None }
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch { on: true, max_count: 10, max_age: Duration::from_secs(60), max_buffers: 100 }
    }
}

impl Default for Config {
    fn default() -> Config {
        let slow = Family { interval: Duration::from_secs(60), ..Family::default() };
        Config {
            cpu: Family::default(),
            memory: Family::default(),
            load: Family::default(),
            disk: slow.clone(),
            io: Family::default(),
            network: Family::default(),
            temperature: slow.clone(),
            daemon: slow,
            disks: Disks::default(),
            batch: Batch::default(),
        }
    }
}

impl Config {
    /// Reads the section over what holds already.
    pub fn decode(from: &Reader<'_>, default: Config) -> Option<Config> {
        let mut f = from.fields()?;
        let mut family = |key, default: Family| match f.take(key) {
            Some(reader) => Family::decode_over(&reader, &default).unwrap_or(default),
            None => default,
        };
        let d = default;
        let config = Config {
            cpu: family("cpu", d.cpu),
            memory: family("memory", d.memory),
            load: family("load", d.load),
            disk: family("disk", d.disk),
            io: family("io", d.io),
            network: family("network", d.network),
            temperature: family("temperature", d.temperature),
            daemon: family("daemon", d.daemon),
            disks: f.or("disks", d.disks),
            batch: f.or("batch", d.batch),
        };
        f.end();
        Some(config)
    }
}

impl Family {
    /// `off`, `30s`, or a group.
    fn decode_over(from: &Reader<'_>, default: &Family) -> Option<Family> {
        match from.node().text() {
            Some("off" | "false" | "no") => return Some(Family { on: false, ..default.clone() }),
            Some("on" | "true" | "yes") => return Some(Family { on: true, ..default.clone() }),
            Some(_) => {
                return Some(Family { interval: Duration::decode(from)?, ..default.clone() });
            }
            None => {}
        }
        let mut f = from.fields()?;
        let range = Span(SHORTEST_INTERVAL)..=Span(DAY);
        let family = Family {
            on: f.or("on", default.on),
            interval: f.within("interval", range, Span(default.interval)).0,
            threshold_pct: f.within("threshold_pct", 0.0..=100.0, default.threshold_pct),
            name: f.optional("name").or(default.name.clone()),
        };
        f.end();
        Some(family)
    }
}

impl Decode for Disks {
    fn decode(from: &Reader<'_>) -> Option<Disks> {
        let mut f = from.fields()?;
        let disks = Disks {
            ignore_mountpoints: f.or("ignore_mountpoints", vec![]),
            ignore_partitions: f.or("ignore_partitions", vec![]),
            white_list_mountpoints: f.or("white_list_mountpoints", vec![]),
            white_list_partitions: f.or("white_list_partitions", vec![]),
        };
        f.end();
        Some(disks)
    }
}

impl Decode for Batch {
    fn decode(from: &Reader<'_>) -> Option<Batch> {
        let mut f = from.fields()?;
        let d = Batch::default();
        let age = Span(SHORTEST_INTERVAL)..=Span(DAY);
        let batch = Batch {
            on: f.or("on", d.on),
            max_count: f.within("max_count", 1..=10_000, d.max_count),
            max_age: f.within("max_age", age, Span(d.max_age)).0,
            max_buffers: f.within("max_buffers", 1..=100_000, d.max_buffers),
        };
        f.end();
        Some(batch)
    }
}
