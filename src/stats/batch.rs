//! Samples on their way to the cloud, kept as the JSON they will go out as: that takes a third of the
//! room, and no second pass.

use serde::Serialize;

use super::family::{Families, Family};
use super::message::Sample;
use crate::service::Stamp;

/// A batch never grows beyond this, whatever its count and age may be: what a small box can spare.
const LIMIT_BYTES: usize = 64 << 10;

/// One batch that is being filled.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    json: Vec<u8>,
}

/// [`super::message::Gathered`], borrowed.
#[derive(Serialize)]
struct Entry<'s> {
    #[serde(flatten)]
    sample: &'s Sample,
    time: &'s str,
}

impl Gathering {
    /// Adds a sample; one of nothing is not added.
    pub(super) fn add(&mut self, sample: &Sample, time: &str) {
        if *sample == Sample::default() {
            return;
        }
        if !self.json.is_empty() {
            self.json.push(b',');
        }
        let before = self.json.len();
        if serde_json::to_writer(&mut self.json, &Entry { sample, time }).is_err() {
            self.json.truncate(before.saturating_sub(1)); // its own types: cannot happen
        }
    }

    /// Whether it should go out now, for its size.
    pub(super) fn is_large(&self) -> bool {
        self.json.len() >= LIMIT_BYTES
    }

    /// The message ([`super::message::Batch`]), and an empty batch in its place; `None` when nothing
    /// was gathered.
    pub(super) fn close(&mut self, stamp: &Stamp) -> Option<Vec<u8>> {
        if self.json.is_empty() {
            return None;
        }
        let stamp = serde_json::to_vec(stamp).ok()?;
        let mut message = Vec::with_capacity(self.json.len() + stamp.len() + 16);
        message.extend_from_slice(b"{\"samples\":[");
        message.append(&mut self.json);
        message.extend_from_slice(b"],");
        message.extend_from_slice(&stamp[1..]); // without its `{`
        Some(message)
    }
}

/// Only these families of a sample.
pub(super) fn only(sample: &Sample, families: Families) -> Sample {
    let mut only = Sample::default();
    for family in families.iter() {
        match family {
            Family::Cpu => only.cpu.clone_from(&sample.cpu),
            Family::Memory => only.memory.clone_from(&sample.memory),
            Family::Load => only.load.clone_from(&sample.load),
            Family::Disk => only.disk.clone_from(&sample.disk),
            Family::Io => only.io.clone_from(&sample.io),
            Family::Network => only.network.clone_from(&sample.network),
            Family::Temperature => only.temperature.clone_from(&sample.temperature),
            Family::Daemon => only.daemon.clone_from(&sample.daemon),
        }
    }
    only
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::message::{Batch, Load};

    fn sample(load1: f64) -> Sample {
        Sample { load: Some(Load { load1, ..Load::default() }), ..Sample::default() }
    }

    #[test]
    fn a_batch_is_the_message_of_the_contract_and_begins_anew() {
        let stamp = Stamp { time: "t".into(), boot: "1f0c9a3e".into(), seq: 7 };
        let mut gathering = Gathering::default();
        assert_eq!(gathering.close(&stamp), None);
        gathering.add(&sample(0.5), "t1");
        gathering.add(&Sample::default(), "t2");
        gathering.add(&sample(0.7), "t3");
        let batch: Batch = serde_json::from_slice(&gathering.close(&stamp).unwrap()).unwrap();
        assert_eq!(batch.samples.len(), 2);
        assert_eq!((batch.samples[1].sample.clone(), batch.stamp), (sample(0.7), stamp.clone()));
        assert_eq!(gathering.close(&stamp), None);
    }

    #[test]
    fn a_batch_takes_only_its_families() {
        let load: Families = [Family::Load].into_iter().collect();
        let memory: Families = [Family::Memory].into_iter().collect();
        assert_eq!(only(&sample(1.0), load), sample(1.0));
        assert_eq!(only(&sample(1.0), memory), Sample::default());
    }
}
