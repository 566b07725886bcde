//! Reads the kernel's files and makes a sample of them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::contract;
use crate::linux::proc::{Buffer, ProcFile};
use crate::linux::{loadavg, meminfo, mount, stat, thermal, usage};
use crate::stats::choice;
use crate::stats::config::Disks;
use crate::stats::family::{COUNT, Families, Family};
use crate::stats::message::{Daemon, Disk, Sample, Temperature};
use crate::stats::meters::{self, Meters};
use crate::stats::rate::tenths;

/// The proportional share of memory costs the kernel a walk over all pages.
const PSS_INTERVAL: Duration = Duration::from_secs(60);

/// To look for sensors, the folders of /sys are read.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Why a family has nothing, or not all, to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This machine has nothing of the kind.
    Absent(&'static str),
    /// The kernel does not give it.
    Failed(String),
}

impl Trouble {
    /// As it stands on the bus.
    pub fn error(&self) -> contract::Error {
        match self {
            Trouble::Absent(why) => contract::Error::new("stats.absent", *why),
            Trouble::Failed(why) => {
                contract::Error::new("stats.unreadable", why.clone()).retryable()
            }
        }
    }
}

/// The open files, and the counters of the sample before.
#[derive(Debug)]
pub struct Probe {
    buffer: Buffer,
    meters: Meters,
    stat: Kept,
    meminfo: Kept,
    loadavg: Kept,
    diskstats: Kept,
    netdev: Kept,
    mounts: Mounts,
    sensors: Sensors,
    own: Own,
    troubles: [Option<Trouble>; COUNT],
}

/// A file that is opened when it is first read, and again after trouble.
#[derive(Debug)]
struct Kept {
    path: &'static str,
    file: Option<ProcFile>,
}

/// The file systems to ask.
#[derive(Debug)]
struct Mounts {
    mountinfo: Kept,
    disks: Disks,
    chosen: Vec<FileSystem>,
}

#[derive(Debug)]
struct FileSystem {
    point: Arc<str>,
    kind: Arc<str>,
    source: Arc<str>,
}

#[derive(Debug, Default)]
struct Sensors {
    found: Vec<Sensor>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Sensor {
    name: Arc<str>,
    sensor: thermal::Sensor,
}

#[derive(Debug, Default)]
struct Own {
    files: Option<usage::Own>,
    pss: Option<(Instant, Option<u64>)>,
}

impl Probe {
    /// Opens nothing yet.
    pub fn new(disks: Disks) -> Probe {
        let mountinfo = Kept::new("/proc/self/mountinfo");
        Probe {
            buffer: Buffer::default(),
            meters: Meters::default(),
            stat: Kept::new("/proc/stat"),
            meminfo: Kept::new("/proc/meminfo"),
            loadavg: Kept::new("/proc/loadavg"),
            diskstats: Kept::new("/proc/diskstats"),
            netdev: Kept::new("/proc/net/dev"),
            mounts: Mounts { mountinfo, disks, chosen: Vec::new() },
            sensors: Sensors::default(),
            own: Own::default(),
            troubles: Default::default(),
        }
    }

    /// Measures `families`. What cannot be measured is missing in the sample and told by
    /// [`Probe::trouble`]; the others are not touched by it.
    pub fn sample(&mut self, families: Families, at: Instant) -> Sample {
        let mut sample = Sample::default();
        for family in families.iter() {
            let done = match family {
                Family::Cpu => self.cpu(at, &mut sample),
                Family::Memory => self.memory(&mut sample),
                Family::Load => self.load(&mut sample),
                Family::Disk => self.mounts.disks(&mut self.buffer, &mut sample),
                Family::Io => self.io(at, &mut sample),
                Family::Network => self.network(at, &mut sample),
                Family::Temperature => self.sensors.sample(at, &mut self.buffer, &mut sample),
                Family::Daemon => self.daemon(at, &mut sample),
            };
            self.troubles[family as usize] = done.err();
        }
        sample
    }

    /// What was wrong with the last sample of a family.
    pub fn trouble(&self, family: Family) -> Option<&Trouble> {
        self.troubles[family as usize].as_ref()
    }

    fn cpu(&mut self, at: Instant, into: &mut Sample) -> Result<(), Trouble> {
        let bytes = self.stat.head(&mut self.buffer)?;
        let (ticks, processors) = stat::parse(bytes).ok_or_else(|| self.stat.foreign())?;
        into.cpu = Some(self.meters.cpu(at, ticks, processors));
        Ok(())
    }

    fn memory(&mut self, into: &mut Sample) -> Result<(), Trouble> {
        let bytes = self.meminfo.head(&mut self.buffer)?;
        let memory = meminfo::parse(bytes).ok_or_else(|| self.meminfo.foreign())?;
        into.memory = Some(meters::memory(memory));
        Ok(())
    }

    fn load(&mut self, into: &mut Sample) -> Result<(), Trouble> {
        let bytes = self.loadavg.head(&mut self.buffer)?;
        let load = loadavg::parse(bytes).ok_or_else(|| self.loadavg.foreign())?;
        into.load = Some(meters::load(load));
        Ok(())
    }

    fn io(&mut self, at: Instant, into: &mut Sample) -> Result<(), Trouble> {
        into.io = self.meters.io(at, self.diskstats.whole(&mut self.buffer)?);
        if into.io.is_empty() {
            return Err(Trouble::Absent("no block device that was ever used"));
        }
        Ok(())
    }

    fn network(&mut self, at: Instant, into: &mut Sample) -> Result<(), Trouble> {
        into.network = self.meters.network(at, self.netdev.whole(&mut self.buffer)?);
        if into.network.is_empty() {
            return Err(Trouble::Absent("no network interface that was ever used"));
        }
        Ok(())
    }

    fn daemon(&mut self, at: Instant, into: &mut Sample) -> Result<(), Trouble> {
        let (usage, pss) = self.own.read(at, &mut self.buffer).map_err(failed)?;
        let daemon: Daemon = self.meters.daemon(at, usage, pss);
        into.daemon = Some(daemon);
        Ok(())
    }
}

impl Kept {
    fn new(path: &'static str) -> Kept {
        Kept { path, file: None }
    }

    fn open(&mut self) -> Result<&ProcFile, Trouble> {
        let file = match self.file.take() {
            Some(file) => file,
            None => ProcFile::open(self.path).map_err(failed)?,
        };
        Ok(self.file.insert(file))
    }

    /// A file of one piece.
    fn head<'b>(&mut self, buffer: &'b mut Buffer) -> Result<&'b [u8], Trouble> {
        let read = self.open()?.read_head(buffer).map_err(failed);
        if read.is_err() {
            self.file = None;
        }
        read
    }

    /// A table.
    fn whole<'b>(&mut self, buffer: &'b mut Buffer) -> Result<&'b [u8], Trouble> {
        let read = self.open()?.read(buffer).map_err(failed);
        if read.is_err() {
            self.file = None;
        }
        read
    }

    fn foreign(&self) -> Trouble {
        Trouble::Failed(format!("{}: not in the form the kernel documents", self.path))
    }
}

impl Mounts {
    fn disks(&mut self, buffer: &mut Buffer, into: &mut Sample) -> Result<(), Trouble> {
        self.look(buffer)?;
        if self.chosen.is_empty() {
            return Err(Trouble::Absent("no local file system"));
        }
        let mut trouble = None;
        for system in &self.chosen {
            match mount::space(&system.point) {
                Ok(space) => {
                    let (kind, source) = (system.kind.clone(), system.source.clone());
                    let told: Disk = meters::disk(space, system.point.clone(), kind, source);
                    into.disk.insert(system.point.clone(), told);
                }
                Err(error) => trouble = Some(format!("{}: {error}", system.point)),
            }
        }
        trouble.map_or(Ok(()), |why| Err(Trouble::Failed(why)))
    }

    /// Chooses anew after something was mounted or unmounted.
    fn look(&mut self, buffer: &mut Buffer) -> Result<(), Trouble> {
        let known = self.mountinfo.file.is_some();
        if known && !mount::changed(self.mountinfo.open()?) {
            return Ok(());
        }
        let bytes = self.mountinfo.whole(buffer)?;
        let chosen = choice::mounts(mount::parse(bytes), &self.disks);
        let system = |mount: mount::Mount| FileSystem {
            point: mount.point.into(),
            kind: mount.kind.into(),
            source: mount.source.into(),
        };
        self.chosen = chosen.into_iter().map(system).collect();
        Ok(())
    }
}

impl Sensors {
    fn sample(
        &mut self,
        at: Instant,
        buffer: &mut Buffer,
        into: &mut Sample,
    ) -> Result<(), Trouble> {
        self.look(at);
        if self.found.is_empty() {
            return Err(Trouble::Absent("no temperature sensor"));
        }
        for Sensor { name, sensor } in &self.found {
            if let Some(degrees) = sensor.read(buffer) {
                let told = Temperature { temperature_c: tenths(degrees) };
                into.temperature.insert(name.clone(), told);
            }
        }
        if into.temperature.is_empty() {
            return Err(Trouble::Failed("no temperature sensor answers".to_owned()));
        }
        Ok(())
    }

    /// Drivers come and go, but rarely.
    fn look(&mut self, at: Instant) {
        if self.looked.is_some_and(|then| at.saturating_duration_since(then) < LOOK_INTERVAL) {
            return;
        }
        let named = |sensor: thermal::Sensor| Sensor { name: sensor.name.as_str().into(), sensor };
        self.found = thermal::sensors(Path::new("/sys")).into_iter().map(named).collect();
        self.looked = Some(at);
    }
}

impl Own {
    fn read(
        &mut self,
        at: Instant,
        buffer: &mut Buffer,
    ) -> io::Result<(usage::Usage, Option<u64>)> {
        let files = match self.files.take() {
            Some(files) => files,
            None => usage::Own::open()?,
        };
        let usage = files.read(buffer)?;
        self.files = Some(files);
        let pss = match self.pss {
            Some((then, pss)) if at.saturating_duration_since(then) < PSS_INTERVAL => pss,
            Some(_) | None => {
                let pss = usage::proportional(buffer);
                self.pss = Some((at, pss));
                pss
            }
        };
        Ok((usage, pss))
    }
}

fn failed(error: io::Error) -> Trouble {
    Trouble::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;
    use crate::stats::family::ALL;

    #[test]
    fn this_machine_has_processors_memory_load_and_a_root() {
        let mut probe = Probe::new(Disks::default());
        let all: Families = ALL.into_iter().collect();
        let sample = probe.sample(all, at(0));
        assert!(sample.cpu.as_ref().is_some_and(|cpu| cpu.processors > 0));
        assert!(sample.memory.as_ref().is_some_and(|memory| memory.total_bytes > 1 << 20));
        assert!(sample.load.is_some() && sample.daemon.is_some());
        for family in [Family::Cpu, Family::Memory, Family::Load, Family::Daemon] {
            assert_eq!(probe.trouble(family), None);
        }
    }

    #[test]
    fn a_file_that_is_not_there_degrades_its_own_family_only() {
        let mut probe = Probe::new(Disks::default());
        probe.meminfo = Kept::new("/proc/no_such_meminfo");
        let sample = probe.sample([Family::Memory, Family::Load].into_iter().collect(), at(0));
        assert!(sample.memory.is_none() && sample.load.is_some());
        let trouble = probe.trouble(Family::Memory).unwrap();
        assert!(
            matches!(trouble, Trouble::Failed(why) if why.starts_with("/proc/no_such_meminfo"))
        );
        probe.meminfo = Kept::new("/proc/meminfo");
        probe.sample([Family::Memory].into_iter().collect(), at(1));
        assert_eq!(probe.trouble(Family::Memory), None);
    }

    #[test]
    fn a_mount_that_has_gone_is_named_and_the_others_are_told() {
        let mut probe = Probe::new(Disks::default());
        probe.sample([Family::Disk].into_iter().collect(), at(0));
        let gone = FileSystem { point: "/no/such".into(), kind: "ext4".into(), source: "x".into() };
        let root = FileSystem { point: "/".into(), kind: "ext4".into(), source: "y".into() };
        probe.mounts.chosen = vec![gone, root];
        let sample = probe.sample([Family::Disk].into_iter().collect(), at(1));
        assert_eq!(sample.disk.len(), 1);
        let trouble = probe.trouble(Family::Disk).unwrap();
        assert!(matches!(trouble, Trouble::Failed(why) if why.starts_with("/no/such: ")));
    }
}
