//! Decides when what is measured, and when a batch goes out. Pure: no file, no clock.
//!
//! ```text
//!   start: every family at once, and again 1, 2 and 4 s later: the first rates, and something to see for
//!          whoever starts the daemon and then subscribes
//!   then : each at the multiples of its interval, counted from the start, so that families of
//!          10 s and 60 s wake the processor once, not twice
//!   batch: opened by the first sample gathered; goes out with the sample that fills it, or when the
//!          oldest sample is as old as it may become
//! ```

use std::time::{Duration, Instant};

use super::family::{ALL, COUNT, Families, Family};
use super::message::SampleArgs;
use super::plan::Plan;
use crate::command::{Answer, Call};
use crate::contract;
use crate::service::{Event, Machine, Wake};

/// After the start, everything is measured at these times, too.
const EARLY: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// What the task is asked to do.
#[derive(Debug)]
pub(super) enum Effect {
    /// Measure, publish and gather.
    Sample {
        /// What.
        families: Families,
        /// When, for rates.
        at: Instant,
    },
    /// Measure, publish all of it whatever its change, and answer.
    Asked {
        /// What.
        families: Families,
        /// When, for rates.
        at: Instant,
        /// To whom.
        answer: Answer,
    },
    /// Publish the batch of this index and begin it anew.
    Send(usize),
    /// Answer that it will not be done.
    Refuse(Answer, contract::Error),
}

/// The machine.
#[derive(Debug)]
pub(super) struct Sampler {
    plan: Plan,
    origin: Instant,
    due: [Option<Instant>; COUNT],
    /// How many of [`EARLY`] are over.
    early: usize,
    gathering: Vec<Gathering>,
    closing: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gathering {
    count: u32,
    send_at: Option<Instant>,
}

impl Sampler {
    /// Everything that is on is due at `now`.
    pub(super) fn new(plan: Plan, now: Instant) -> Sampler {
        let due = plan.every.map(|every| every.map(|_| now));
        let gathering = vec![Gathering::default(); plan.batches.len()];
        Sampler { plan, origin: now, due, early: 0, gathering, closing: false }
    }

    /// The families that are on.
    pub(super) fn on(&self) -> Families {
        ALL.into_iter().filter(|family| self.plan.every[*family as usize].is_some()).collect()
    }

    fn due(&mut self, now: Instant) -> Vec<Effect> {
        let mut families = self.take_due(now);
        while self.next_early().is_some_and(|at| at <= now) {
            self.early += 1;
            families = self.on();
        }
        let mut effects = Vec::new();
        if !families.is_empty() {
            effects.push(Effect::Sample { families, at: now });
            self.gather(now, families);
        }
        effects.extend(self.full(now));
        effects
    }

    fn next_early(&self) -> Option<Instant> {
        let after = EARLY.get(self.early)?;
        (!self.on().is_empty()).then(|| self.origin + *after)
    }

    /// The families whose time has come; their next time is the next multiple of their interval, so
    /// that a box that slept does not catch up.
    fn take_due(&mut self, now: Instant) -> Families {
        let mut families = Vec::new();
        for family in ALL {
            let (Some(every), Some(due)) =
                (self.plan.every[family as usize], self.due[family as usize])
            else {
                continue;
            };
            if due <= now {
                families.push(family);
                self.due[family as usize] = Some(next_multiple(self.origin, every, now));
            }
        }
        families.into_iter().collect()
    }

    fn gather(&mut self, now: Instant, families: Families) {
        for (batch, plan) in self.gathering.iter_mut().zip(&self.plan.batches) {
            if !plan.families.and(families).is_empty() {
                batch.count += 1;
                batch.send_at.get_or_insert(now + plan.max_age);
            }
        }
    }

    /// The batches that go out: full, or nearly as old as they may become, so that they need no
    /// wake-up of their own just after this one.
    fn full(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (index, batch) in self.gathering.iter_mut().enumerate() {
            let plan = &self.plan.batches[index];
            let slack = (plan.max_age / 10).min(Duration::from_secs(1));
            let old = batch.send_at.is_some_and(|at| at <= now + slack);
            if old || batch.count >= plan.max_count {
                *batch = Gathering::default();
                effects.push(Effect::Send(index));
            }
        }
        effects
    }

    fn asked(&self, now: Instant, call: Call) -> Vec<Effect> {
        let wanted = match call.arguments::<SampleArgs>() {
            Ok(SampleArgs { family: None }) => Ok(self.on()),
            Ok(SampleArgs { family: Some(name) }) => {
                Family::named(&name).map(|family| [family].into_iter().collect())
            }
            Err(error) => Err(error),
        };
        vec![match wanted {
            Ok(families) => Effect::Asked { families, at: now, answer: call.answer },
            Err(error) => Effect::Refuse(call.answer, error),
        }]
    }

    fn shut_down(&mut self) -> Vec<Effect> {
        self.closing = true;
        let begun = |(_, batch): &(usize, &Gathering)| batch.count > 0;
        let begun = self.gathering.iter().enumerate().filter(begun);
        begun.map(|(index, _)| Effect::Send(index)).collect()
    }
}

impl Machine for Sampler {
    type Input = Call;
    type Effect = Effect;

    fn handle(&mut self, now: Instant, event: Event<Call>) -> Vec<Effect> {
        match event {
            Event::Input(call) => self.asked(now, call),
            Event::Due => self.due(now),
            Event::Shutdown => self.shut_down(),
        }
    }

    fn wake(&self) -> Wake {
        if self.closing {
            return Wake::Done;
        }
        let sends = self.gathering.iter().filter_map(|batch| batch.send_at);
        let next = self.due.iter().flatten().copied().chain(self.next_early()).chain(sends).min();
        next.map_or(Wake::OnInput, Wake::At)
    }
}

fn next_multiple(origin: Instant, every: Duration, now: Instant) -> Instant {
    let passed = now.saturating_duration_since(origin).as_nanos() / every.as_nanos().max(1);
    let passed = u32::try_from(passed + 1).unwrap_or(u32::MAX);
    origin + every * passed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;
    use crate::stats::plan::BatchPlan;

    fn plan(families: &[(Family, u64)], batch: (u32, u64)) -> Plan {
        let mut every = [None; COUNT];
        for (family, seconds) in families {
            every[*family as usize] = Some(Duration::from_secs(*seconds));
        }
        let gathers = BatchPlan {
            name: "system".into(),
            families: families.iter().map(|(family, _)| *family).collect(),
            max_count: batch.0,
            max_age: Duration::from_secs(batch.1),
        };
        Plan { every, batches: vec![gathers] }
    }

    /// Runs the machine to `until` and tells what it did, a line a wake-up.
    fn run(sampler: &mut Sampler, until: u64) -> Vec<String> {
        let mut told = Vec::new();
        while let Wake::At(when) = sampler.wake() {
            if when > at(until) {
                break;
            }
            let effects = sampler.handle(when, Event::Due);
            let shown: Vec<String> = effects.iter().map(show).collect();
            told.push(format!("{} {}", (when - at(0)).as_secs(), shown.join(" ")));
        }
        told
    }

    fn show(effect: &Effect) -> String {
        match effect {
            Effect::Sample { families, .. } => {
                families.iter().map(Family::name).collect::<Vec<_>>().join("+")
            }
            Effect::Send(index) => format!("send{index}"),
            Effect::Asked { .. } | Effect::Refuse(..) => "answer".into(),
        }
    }

    #[test]
    fn everything_is_measured_at_once_and_a_few_times_more_in_the_first_seconds() {
        let plan = plan(&[(Family::Cpu, 10), (Family::Memory, 10)], (100, 100));
        let told = run(&mut Sampler::new(plan, at(0)), 20);
        assert_eq!(told, [0, 1, 2, 4, 10, 20].map(|second| format!("{second} cpu+memory")));
    }

    #[test]
    fn intervals_that_fit_into_each_other_share_their_wake_ups() {
        let families = [(Family::Memory, 10), (Family::Disk, 30), (Family::Load, 15)];
        let mut sampler = Sampler::new(plan(&families, (100, 100)), at(0));
        run(&mut sampler, 9);
        let told = run(&mut sampler, 30);
        assert_eq!(told, ["10 memory", "15 load", "20 memory", "30 memory+load+disk"]);
    }

    #[test]
    fn a_full_batch_goes_out_with_the_sample_that_fills_it() {
        let told = run(&mut Sampler::new(plan(&[(Family::Load, 10)], (3, 100)), at(0)), 30);
        let expected = ["0 load", "1 load", "2 load send0", "4 load", "10 load", "20 load send0"];
        assert_eq!(told[..6], expected);
    }

    #[test]
    fn an_old_batch_goes_out_with_the_next_sample_or_on_its_own() {
        let mut sampler = Sampler::new(plan(&[(Family::Load, 10)], (100, 20)), at(0));
        run(&mut sampler, 9);
        assert_eq!(run(&mut sampler, 30), ["10 load", "20 load send0", "30 load"]);
        let mut sampler = Sampler::new(plan(&[(Family::Load, 600)], (100, 60)), at(0));
        run(&mut sampler, 9);
        assert_eq!(run(&mut sampler, 100), ["60 send0"]);
    }

    #[test]
    fn a_box_that_slept_does_not_catch_up() {
        let mut sampler = Sampler::new(plan(&[(Family::Load, 10)], (100, 1000)), at(0));
        run(&mut sampler, 10);
        assert_eq!(sampler.handle(at(95), Event::Due).len(), 1);
        assert_eq!(sampler.wake(), Wake::At(at(100)));
    }

    #[test]
    fn what_was_gathered_goes_out_before_the_end() {
        let mut sampler = Sampler::new(plan(&[(Family::Load, 10)], (100, 1000)), at(0));
        run(&mut sampler, 10);
        assert!(matches!(sampler.handle(at(11), Event::Shutdown)[..], [Effect::Send(0)]));
        assert_eq!(sampler.wake(), Wake::Done);
    }

    #[test]
    fn with_everything_off_it_waits_for_commands() {
        let plan = Plan { every: [None; COUNT], batches: vec![] };
        assert_eq!(Sampler::new(plan, at(0)).wake(), Wake::OnInput);
    }
}
