//! The messages of `topics/stats.toml`.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract;
use crate::service::Stamp;

/// One measurement on `metric/<family>[/<instance>]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric<T> {
    /// What was measured.
    #[serde(flatten)]
    pub values: T,
    /// When.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// What the processors did since the sample before, all together; each share with one decimal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cpu {
    /// Not idle and not waiting for a disk; null in the first sample, which has none before it.
    pub used_pct: Option<f64>,
    /// In programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_pct: Option<f64>,
    /// In the kernel, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_pct: Option<f64>,
    /// Idle, waiting for a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iowait_pct: Option<f64>,
    /// In interrupts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irq_pct: Option<f64>,
    /// Taken by the hypervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal_pct: Option<f64>,
    /// Processors online.
    pub processors: u32,
}

/// What the memory is used for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Not available to a new program, of all.
    pub used_pct: f64,
    /// Usable RAM.
    pub total_bytes: u64,
    /// What a new program could have without swapping.
    pub available_bytes: u64,
    /// Not used for anything.
    pub free_bytes: u64,
    /// Raw disk blocks.
    pub buffers_bytes: u64,
    /// Page cache.
    pub cached_bytes: u64,
    /// Recently used pages.
    pub active_bytes: u64,
    /// Pages not used for a while.
    pub inactive_bytes: u64,
    /// Shared memory and tmpfs.
    pub shared_bytes: u64,
    /// The kernel's own structures.
    pub slab_bytes: u64,
    /// Waits to be written to disk.
    pub dirty_bytes: u64,
    /// Promised to programs.
    pub committed_bytes: u64,
    /// Swap space; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_total_bytes: Option<u64>,
    /// Swap space in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_used_bytes: Option<u64>,
}

/// How many threads wanted to run, or waited for a disk, on average.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Over the last minute.
    pub load1: f64,
    /// Over the last 5 minutes.
    pub load5: f64,
    /// Over the last 15 minutes.
    pub load15: f64,
    /// Threads that want to run now.
    pub runnable: u32,
    /// Threads there are.
    pub threads: u32,
}

/// How full one file system is; the instance is its mount point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    /// Used, of what an ordinary user could use: as df(1).
    pub used_pct: f64,
    /// All of it.
    pub total_bytes: u64,
    /// What an ordinary user can still write.
    pub available_bytes: u64,
    /// Not used, root's reserve included.
    pub free_bytes: u64,
    /// Inodes used; absent where there is no table of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inodes_used_pct: Option<f64>,
    /// Where it is mounted.
    pub mount: Arc<str>,
    /// What it is: `ext4`.
    pub fstype: Arc<str>,
    /// What it is on: `/dev/mmcblk0p2`.
    pub device: Arc<str>,
}

/// What went to and from one block device; the instance is its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Io {
    /// Share of the time since the sample before in which it had something to do; null in the first.
    pub busy_pct: Option<f64>,
    /// Read per second since the sample before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes_per_s: Option<u64>,
    /// Written per second since the sample before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes_per_s: Option<u64>,
    /// Read since boot.
    pub read_bytes: u64,
    /// Written since boot.
    pub written_bytes: u64,
    /// Reads since boot.
    pub reads: u64,
    /// Writes since boot.
    pub writes: u64,
}

/// What went over one network interface; the instance is its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Network {
    /// Received per second since the sample before; null in the first.
    pub rx_bytes_per_s: Option<u64>,
    /// Sent per second since the sample before; null in the first.
    pub tx_bytes_per_s: Option<u64>,
    /// Received since the interface was made.
    pub rx_bytes: u64,
    /// Sent since the interface was made.
    pub tx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Received packets lost to errors.
    pub rx_errors: u64,
    /// Packets not sent because of errors.
    pub tx_errors: u64,
    /// Received packets lost for want of room.
    pub rx_dropped: u64,
    /// Packets not sent for want of room.
    pub tx_dropped: u64,
}

/// One sensor; the instance is its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Temperature {
    /// Degrees Celsius, one decimal.
    pub temperature_c: f64,
}

/// What this daemon costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Daemon {
    /// In RAM, what is shared with others included.
    pub rss_bytes: u64,
    /// In RAM, its own and of no file.
    pub anon_bytes: u64,
    /// In RAM, what is shared with others by share; looked at once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pss_bytes: Option<u64>,
    /// Processor time since the sample before, of one processor; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pct: Option<f64>,
    /// Times per second that a thread of it was woken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wakeups_per_s: Option<f64>,
    /// Processor time since its start.
    pub cpu_ms: u64,
    /// Threads.
    pub threads: u64,
    /// Open files; absent before Linux 6.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fds: Option<u64>,
    /// Written to disks since its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
}

/// Measurements of one moment, by family, those of several instances by instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// File systems by mount point.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disk: BTreeMap<Arc<str>, Disk>,
    /// Block devices by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub io: BTreeMap<Arc<str>, Io>,
    /// Network interfaces by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub network: BTreeMap<Arc<str>, Network>,
    /// Sensors by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub temperature: BTreeMap<Arc<str>, Temperature>,
    /// This daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<Daemon>,
}

/// One entry of a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gathered {
    /// What was measured.
    #[serde(flatten)]
    pub sample: Sample,
    /// When, RFC 3339 in UTC.
    pub time: String,
}

/// Samples gathered for the cloud, on `$maestro/batch/stats/<name>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Batch {
    /// Oldest first.
    pub samples: Vec<Gathered>,
    /// When it was closed.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// Arguments of `cmd/stats/sample`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleArgs {
    /// One family (`cpu`, `memory`, `load`, `disk`, `io`, `network`, `temperature`, `daemon`; `vm` is
    /// `memory`); all that are on when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
}

/// What is measured, how often, and what is not and why: `state/stats/families`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Families {
    /// By name.
    pub families: BTreeMap<String, FamilyState>,
    /// Since when.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// How one family is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FamilyState {
    /// How it is.
    pub state: Measured,
    /// The time from one sample to the next, as it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Why it is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<contract::Error>,
}

/// Whether a family is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Measured {
    /// It is.
    Ok,
    /// It should be, but the kernel does not give it, or not all of it.
    Degraded,
    /// This machine has nothing of the kind.
    Absent,
    /// Switched off.
    Off,
}
