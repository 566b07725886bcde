//! The hands: performs what the [`Sampler`] decides.

mod outlet;
mod probe;

pub use probe::{Probe, Trouble};

use std::sync::Arc;
use std::time::Instant;

use outlet::{Outlet, Tell};

use super::batch::{self, Gathering};
use super::config::Config;
use super::family::Families;
use super::message::Sample;
use super::plan::{BatchPlan, Plan};
use super::sampler::{Effect, Sampler};
use crate::service::{BoxError, Scope, drive};

/// Measures until the daemon goes down.
pub(super) async fn run(mut scope: Scope) -> Result<(), BoxError> {
    let config = Arc::clone(&scope.config);
    let plan = Plan::of(&config.stats);
    let mut hands = Hands::new(&scope, &config.stats, &plan);
    let now = tokio::time::Instant::now().into_std();
    let mut sampler = Sampler::new(plan, now);
    let perform = |effect| hands.perform(effect);
    drive(&mut sampler, &mut scope.commands, &scope.stop, perform).await;
    Ok(())
}

struct Hands<'c> {
    config: &'c Config,
    probe: Probe,
    outlet: Outlet,
    batches: Vec<(BatchPlan, Gathering)>,
}

impl<'c> Hands<'c> {
    fn new(scope: &Scope, config: &'c Config, plan: &Plan) -> Hands<'c> {
        let (sender, health) = (scope.bus.sender().clone(), scope.health.clone());
        let outlet = Outlet::new(sender, health, scope.stamper.clone(), scope.root.clone());
        let batches = plan.batches.iter().map(|plan| (plan.clone(), Gathering::default()));
        Hands {
            config,
            probe: Probe::new(config.disks.clone()),
            outlet: outlet.with_thresholds(config),
            batches: batches.collect(),
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Sample { families, at } => {
                let sample = self.sample(families, at, Tell::News);
                self.gather(&sample, families);
            }
            Effect::Asked { families, at, answer } => {
                let sample = self.sample(families, at, Tell::All);
                let trouble = || families.iter().find_map(|family| self.probe.trouble(family));
                match trouble().filter(|_| sample == Sample::default()) {
                    Some(trouble) => answer.fail(trouble.error()),
                    None => answer.succeed(sample),
                }
            }
            Effect::Send(index) => self.send(index),
            Effect::Refuse(answer, error) => answer.fail(error),
        }
    }

    fn sample(&mut self, families: Families, at: Instant, tell: Tell) -> Sample {
        let sample = self.probe.sample(families, at);
        self.outlet.publish(at, &sample, tell);
        self.outlet.publish_families(self.config, &self.probe);
        sample
    }

    fn gather(&mut self, sample: &Sample, families: Families) {
        let time = self.outlet.time();
        for index in 0..self.batches.len() {
            let (plan, gathering) = &mut self.batches[index];
            if plan.families.and(families) == families {
                gathering.add(sample, &time);
            } else {
                gathering.add(&batch::only(sample, plan.families), &time);
            }
            if gathering.is_large() {
                self.send(index);
            }
        }
    }

    fn send(&mut self, index: usize) {
        if let Some((plan, gathering)) = self.batches.get_mut(index) {
            self.outlet.publish_batch(&plan.name, gathering);
        }
    }
}
