//! Says what was measured: metrics that are news, the state of the families, batches.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use super::probe::{Probe, Trouble};
use crate::bus::{Message, Sender};
use crate::config::Span;
use crate::contract;
use crate::service::{Health, Stamp, Stamper};
use crate::stats::config::Config;
use crate::stats::family::{ALL, COUNT, Family};
use crate::stats::message::{Families, FamilyState, Measured, Sample};
use crate::stats::notice::{Answer, Notice};
use crate::stats::plan::section;
use crate::stats::table::Table;
use crate::topic::{Root, Topic};

/// What goes out of the subsystem, and what was told last.
pub(super) struct Outlet {
    sender: Sender,
    health: Health,
    stamper: Stamper,
    root: Root,
    thresholds: [f64; COUNT],
    told: [Table<Told>; COUNT],
    families: BTreeMap<String, FamilyState>,
    /// What one sample makes, so that the broker wakes once for it.
    outbox: Vec<Message>,
}

/// What was told of one instance, and where.
#[derive(Debug, Default)]
struct Told {
    topic: String,
    notice: Notice,
}

/// Whether the change threshold holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// Only what is news.
    News,
    /// Everything: somebody asked.
    All,
}

/// [`crate::stats::message::Metric`], borrowed.
#[derive(Serialize)]
struct MetricRef<'m, T> {
    #[serde(flatten)]
    values: &'m T,
    #[serde(flatten)]
    stamp: Stamp,
}

impl Outlet {
    /// Has told nothing yet.
    pub(super) fn new(sender: Sender, health: Health, stamper: Stamper, root: Root) -> Outlet {
        Outlet {
            sender,
            health,
            stamper,
            root,
            thresholds: [0.0; COUNT],
            told: Default::default(),
            families: BTreeMap::new(),
            outbox: Vec::new(),
        }
    }

    /// With the thresholds of the configuration.
    pub(super) fn with_thresholds(mut self, config: &Config) -> Outlet {
        self.thresholds = ALL.map(|family| section(config, family).threshold_pct);
        self
    }

    /// The time of a sample.
    pub(super) fn time(&self) -> String {
        self.stamper.time()
    }

    /// Publishes a sample.
    pub(super) fn publish(&mut self, at: Instant, sample: &Sample, tell: Tell) {
        let mut to = Teller { outlet: self, at, tell };
        if let Some(cpu) = &sample.cpu {
            to.tell(Family::Cpu, "", cpu, cpu.used_pct.map(Answer::Points));
        }
        if let Some(memory) = &sample.memory {
            to.tell(Family::Memory, "", memory, Some(Answer::Points(memory.used_pct)));
        }
        if let Some(load) = &sample.load {
            to.tell(Family::Load, "", load, Some(Answer::Amount(load.load1)));
        }
        for (mount, disk) in &sample.disk {
            to.tell(Family::Disk, mount, disk, Some(Answer::Points(disk.used_pct)));
        }
        for (device, io) in &sample.io {
            to.tell(Family::Io, device, io, io.busy_pct.map(Answer::Points));
        }
        for (name, network) in &sample.network {
            let both = network.rx_bytes_per_s.zip(network.tx_bytes_per_s);
            let answer = both.map(|(rx, tx)| Answer::Amount(rx.saturating_add(tx) as f64));
            to.tell(Family::Network, name, network, answer);
        }
        for (name, sensor) in &sample.temperature {
            to.tell(Family::Temperature, name, sensor, Some(Answer::Points(sensor.temperature_c)));
        }
        if let Some(daemon) = &sample.daemon {
            to.tell(Family::Daemon, "", daemon, Some(Answer::Amount(daemon.rss_bytes as f64)));
        }
        let instances = [
            (Family::Disk, sample.disk.len()),
            (Family::Io, sample.io.len()),
            (Family::Network, sample.network.len()),
            (Family::Temperature, sample.temperature.len()),
        ];
        for (family, _) in instances.into_iter().filter(|(_, count)| *count > 0) {
            self.told[family as usize].forget_unseen();
        }
        self.sender.post_all(self.outbox.drain(..));
    }

    /// Publishes how the families are, if that changed, and says what it means for the subsystem.
    pub(super) fn publish_families(&mut self, config: &Config, probe: &Probe) {
        let state =
            |family: Family| (family.name().to_owned(), family_state(config, probe, family));
        let families: BTreeMap<_, _> = ALL.into_iter().map(state).collect();
        if families == self.families {
            return;
        }
        let degraded = |(name, state): (&String, &FamilyState)| {
            (state.state == Measured::Degraded).then(|| (name.clone(), state.cause.clone()))
        };
        let degraded: Vec<_> = families.iter().filter_map(degraded).collect();
        match degraded.is_empty() {
            true => self.health.ok(),
            false => self.health.degraded(incomplete(degraded)),
        }
        let object =
            Topic::State { subsystem: "stats".into(), object: "families".into() }.on(&self.root);
        let told = Families { families: families.clone(), stamp: self.stamper.stamp() };
        if let Ok(json) = serde_json::to_vec(&told) {
            self.sender.post(Message::new(object, json).retained());
        }
        self.families = families;
    }

    /// Publishes a batch.
    pub(super) fn publish_batch(&self, name: &str, batch: &mut crate::stats::batch::Gathering) {
        if let Some(json) = batch.close(&self.stamper.stamp()) {
            let topic =
                Topic::Batch { subsystem: "stats".into(), name: name.into() }.on(&self.root);
            self.sender.post(Message::new(topic, json).at_least_once());
        }
    }
}

/// Publishing one sample.
struct Teller<'o> {
    outlet: &'o mut Outlet,
    at: Instant,
    tell: Tell,
}

impl Teller<'_> {
    fn tell<T: Serialize>(
        &mut self,
        family: Family,
        instance: &str,
        values: &T,
        answer: Option<Answer>,
    ) {
        let outlet = &mut *self.outlet;
        let threshold = match self.tell {
            Tell::News => outlet.thresholds[family as usize],
            Tell::All => 0.0,
        };
        let Some(row) = outlet.told[family as usize].row(instance.as_bytes()) else { return };
        if !row.kept.notice.is_due(self.at, answer, threshold) {
            return;
        }
        if row.kept.topic.is_empty() {
            let instance = (!instance.is_empty()).then(|| instance.into());
            row.kept.topic =
                Topic::Metric { family: family.name().into(), instance }.on(&outlet.root);
        }
        let metric = MetricRef { values, stamp: outlet.stamper.stamp() };
        let mut json = Vec::with_capacity(512); // the longest, memory, has 450
        if serde_json::to_writer(&mut json, &metric).is_ok() {
            outlet.outbox.push(Message::new(row.kept.topic.clone(), json));
        }
    }
}

fn family_state(config: &Config, probe: &Probe, family: Family) -> FamilyState {
    let section = section(config, family);
    if !section.on {
        return FamilyState { state: Measured::Off, interval: None, cause: None };
    }
    let (state, cause) = match probe.trouble(family) {
        None => (Measured::Ok, None),
        Some(trouble @ Trouble::Absent(_)) => (Measured::Absent, Some(trouble.error())),
        Some(trouble @ Trouble::Failed(_)) => (Measured::Degraded, Some(trouble.error())),
    };
    FamilyState { state, interval: Some(Span(section.interval).to_string()), cause }
}

fn incomplete(degraded: Vec<(String, Option<contract::Error>)>) -> contract::Error {
    let names: Vec<&str> = degraded.iter().map(|(name, _)| name.as_str()).collect();
    let message = format!("not measured, or not all of it: {}", names.join(", "));
    let error = contract::Error::new("stats.unreadable", message).retryable();
    degraded.into_iter().filter_map(|(_, cause)| cause).fold(error, contract::Error::because)
}
