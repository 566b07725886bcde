//! From what the kernel counts to what is told: the counters of the sample before are kept here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::choice;
use super::message::{Cpu, Daemon, Disk, Io, Load, Memory, Network};
use super::rate::{Meter, Step, pct, tenths};
use super::table::Table;
use crate::linux::{diskstats, loadavg, meminfo, mount, netdev, stat, usage};

/// The counters of the sample before, by family and instance.
#[derive(Debug, Default)]
pub(super) struct Meters {
    cpu: Meter<stat::Ticks>,
    io: Table<Meter<Device>>,
    network: Table<Meter<Bytes>>,
    daemon: Meter<usage::Usage>,
}

/// What of a block device becomes a rate.
#[derive(Clone, Copy, Debug)]
struct Device {
    read: u64,
    written: u64,
    busy_ms: u64,
}

/// What of an interface becomes a rate.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    rx: u64,
    tx: u64,
}

impl Meters {
    /// The processors, from `/proc/stat`.
    pub(super) fn cpu(&mut self, at: Instant, ticks: stat::Ticks, processors: u32) -> Cpu {
        let without = Cpu { processors, ..Cpu::default() };
        match self.cpu.step(at, ticks).map(shares) {
            Some(shares) => Cpu { processors, ..shares },
            None => without,
        }
    }

    /// The block devices worth telling, from `/proc/diskstats`.
    pub(super) fn io(&mut self, at: Instant, bytes: &[u8]) -> BTreeMap<Arc<str>, Io> {
        let mut told = BTreeMap::new();
        let mut whole: Option<&[u8]> = None;
        for device in diskstats::parse(bytes) {
            if !choice::is_disk(device.name, whole) {
                continue;
            }
            whole = Some(device.name);
            if device.reads == 0 && device.writes == 0 {
                continue; // an empty card reader
            }
            let Some(row) = self.io.row(device.name) else { break };
            let counters = Device {
                read: device.read_bytes,
                written: device.written_bytes,
                busy_ms: device.busy_ms,
            };
            let step = row.kept.step(at, counters);
            told.insert(row.name.clone(), io(&device, step));
        }
        self.io.forget_unseen();
        told
    }

    /// The interfaces worth telling, from `/proc/net/dev`.
    pub(super) fn network(&mut self, at: Instant, bytes: &[u8]) -> BTreeMap<Arc<str>, Network> {
        let mut told = BTreeMap::new();
        for interface in netdev::parse(bytes) {
            let used = interface.rx.packets > 0 || interface.tx.packets > 0;
            if !used || !choice::is_interface(interface.name) {
                continue; // a port without a cable has nothing to tell, either
            }
            let Some(row) = self.network.row(interface.name) else { break };
            let counters = Bytes { rx: interface.rx.bytes, tx: interface.tx.bytes };
            let step = row.kept.step(at, counters);
            told.insert(row.name.clone(), network(&interface, step));
        }
        self.network.forget_unseen();
        told
    }

    /// This process; `pss` is looked at elsewhere, and rarely.
    pub(super) fn daemon(&mut self, at: Instant, usage: usage::Usage, pss: Option<u64>) -> Daemon {
        let step = self.daemon.step(at, usage);
        let per_s = |counter: fn(&usage::Usage) -> u64| {
            step.and_then(|step| Some(step.counted(counter)? as f64 / step.seconds))
        };
        Daemon {
            rss_bytes: usage.resident,
            anon_bytes: usage.anonymous,
            pss_bytes: pss,
            cpu_pct: per_s(|usage| usage.cpu_us).map(|us| hundredths(us / 10_000.0)),
            wakeups_per_s: per_s(|usage| usage.wakeups).map(tenths),
            cpu_ms: usage.cpu_us / 1000,
            threads: usage.threads,
            fds: usage.fds,
            written_bytes: usage.written,
        }
    }
}

/// A daemon that uses 0.04 % of a processor must not show as 0.0.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Idle time and time spent waiting for disks can go back by a tick on some kernels: that is no time.
fn shares(step: Step<stat::Ticks>) -> Cpu {
    let spent = |of: fn(&stat::Ticks) -> u64| of(&step.now).saturating_sub(of(&step.before));
    let (user, system) = (spent(|t| t.user), spent(|t| t.system));
    let (idle, iowait) = (spent(|t| t.idle), spent(|t| t.iowait));
    let (irq, steal) = (spent(|t| t.irq), spent(|t| t.steal));
    let used = user.saturating_add(system).saturating_add(irq).saturating_add(steal);
    let all = used.saturating_add(idle).saturating_add(iowait);
    let share = |part| (all > 0).then(|| pct(part, all));
    Cpu {
        used_pct: share(used),
        user_pct: share(user),
        system_pct: share(system),
        iowait_pct: share(iowait),
        irq_pct: share(irq),
        steal_pct: share(steal),
        processors: 0,
    }
}

fn io(device: &diskstats::Device<'_>, step: Option<Step<Device>>) -> Io {
    let busy = |step: Step<Device>| {
        let busy_ms = step.counted(|device| device.busy_ms)? as f64;
        Some(tenths((busy_ms / 10.0 / step.seconds).min(100.0)))
    };
    Io {
        busy_pct: step.and_then(busy),
        read_bytes_per_s: step.and_then(|step| step.per_second(|device| device.read)),
        written_bytes_per_s: step.and_then(|step| step.per_second(|device| device.written)),
        read_bytes: device.read_bytes,
        written_bytes: device.written_bytes,
        reads: device.reads,
        writes: device.writes,
    }
}

fn network(interface: &netdev::Interface<'_>, step: Option<Step<Bytes>>) -> Network {
    let (rx, tx) = (interface.rx, interface.tx);
    Network {
        rx_bytes_per_s: step.and_then(|step| step.per_second(|bytes| bytes.rx)),
        tx_bytes_per_s: step.and_then(|step| step.per_second(|bytes| bytes.tx)),
        rx_bytes: rx.bytes,
        tx_bytes: tx.bytes,
        rx_packets: rx.packets,
        tx_packets: tx.packets,
        rx_errors: rx.errors,
        tx_errors: tx.errors,
        rx_dropped: rx.dropped,
        tx_dropped: tx.dropped,
    }
}

/// The memory, from `/proc/meminfo`.
pub(super) fn memory(memory: meminfo::Memory) -> Memory {
    let swap = memory.swap_total > 0;
    Memory {
        used_pct: pct(memory.total.saturating_sub(memory.available), memory.total),
        total_bytes: memory.total,
        available_bytes: memory.available,
        free_bytes: memory.free,
        buffers_bytes: memory.buffers,
        cached_bytes: memory.cached,
        active_bytes: memory.active,
        inactive_bytes: memory.inactive,
        shared_bytes: memory.shared,
        slab_bytes: memory.slab,
        dirty_bytes: memory.dirty,
        committed_bytes: memory.committed,
        swap_total_bytes: swap.then_some(memory.swap_total),
        swap_used_bytes: swap.then(|| memory.swap_total.saturating_sub(memory.swap_free)),
    }
}

/// The load, from `/proc/loadavg`.
pub(super) fn load(load: loadavg::Load) -> Load {
    let [load1, load5, load15] = load.averages;
    Load { load1, load5, load15, runnable: load.runnable, threads: load.threads }
}

/// A file system, as df(1) counts: what root keeps for itself is not there for others.
pub(super) fn disk(
    space: mount::Space,
    mount: Arc<str>,
    fstype: Arc<str>,
    device: Arc<str>,
) -> Disk {
    let used = space.total.saturating_sub(space.free);
    let inodes_used = space.inodes.saturating_sub(space.inodes_free);
    Disk {
        used_pct: pct(used, used.saturating_add(space.available)),
        total_bytes: space.total,
        available_bytes: space.available,
        free_bytes: space.free,
        inodes_used_pct: (space.inodes > 0).then(|| pct(inodes_used, space.inodes)),
        mount,
        fstype,
        device,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    fn ticks(user: u64, idle: u64, iowait: u64) -> stat::Ticks {
        stat::Ticks { user, idle, iowait, ..stat::Ticks::default() }
    }

    #[test]
    fn processor_shares_need_two_samples() {
        let mut meters = Meters::default();
        let first = meters.cpu(at(0), ticks(1000, 9000, 0), 4);
        assert_eq!((first.used_pct, first.processors), (None, 4));
        let second = meters.cpu(at(10), ticks(1100, 9250, 50), 4);
        assert_eq!((second.used_pct, second.iowait_pct), (Some(25.0), Some(12.5)));
    }

    #[test]
    fn a_tick_that_goes_back_is_no_time() {
        let mut meters = Meters::default();
        meters.cpu(at(0), ticks(0, 100, 7), 1);
        assert_eq!(meters.cpu(at(1), ticks(0, 200, 6), 1).iowait_pct, Some(0.0));
    }

    #[test]
    fn a_disk_is_told_with_its_rates_and_its_partitions_are_not() {
        let mut meters = Meters::default();
        let first =
            b" 8 0 sda 10 0 100 5 20 0 200 9 0 1000 14\n 8 1 sda1 10 0 100 5 20 0 200 9 0 100 14\n\
            11 0 sr0 1 0 0 0 0 0 0 0 0 0 0\n 8 16 sdb 0 0 0 0 0 0 0 0 0 0 0\n";
        let told = meters.io(at(0), first);
        assert_eq!(told.keys().map(|name| &**name).collect::<Vec<_>>(), ["sda"]);
        assert_eq!((told["sda"].busy_pct, told["sda"].written_bytes), (None, 200 * 512));
        let second = b" 8 0 sda 10 0 100 5 30 0 2200 9 0 1500 14\n";
        let told = meters.io(at(10), second);
        assert_eq!(told["sda"].written_bytes_per_s, Some(102_400));
        assert_eq!((told["sda"].busy_pct, told["sda"].read_bytes_per_s), (Some(5.0), Some(0)));
    }

    #[test]
    fn an_interface_that_comes_back_counts_from_zero() {
        let mut meters = Meters::default();
        let up =
            b" lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\nwwan0: 5000 1 0 0 0 0 0 0 700 1 0 0 0 0 0 0\n";
        assert_eq!(meters.network(at(0), up).len(), 1);
        assert!(meters.network(at(10), b"").is_empty());
        let told = meters.network(at(20), up);
        assert_eq!((told["wwan0"].rx_bytes_per_s, told["wwan0"].rx_bytes), (None, 5000));
    }

    #[test]
    fn the_daemons_processor_share_is_of_one_processor() {
        let mut meters = Meters::default();
        let usage = usage::Usage::default();
        assert_eq!(meters.daemon(at(0), usage, None).cpu_pct, None);
        let later = usage::Usage { cpu_us: 4000, wakeups: 25, ..usage };
        let told = meters.daemon(at(10), later, Some(7));
        assert_eq!((told.cpu_pct, told.wakeups_per_s), (Some(0.04), Some(2.5)));
    }

    #[test]
    fn a_disk_is_as_full_as_df_says() {
        let space =
            mount::Space { total: 1000, free: 400, available: 350, inodes: 0, inodes_free: 0 };
        let told = disk(space, "/".into(), "vfat".into(), "/dev/sda1".into());
        assert_eq!((told.used_pct, told.inodes_used_pct), (63.2, None));
    }
}
