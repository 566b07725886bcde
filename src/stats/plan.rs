//! From the configuration to what is measured how often, and which batch gathers it.

use std::time::Duration;

use super::config::{self, Config};
use super::family::{ALL, COUNT, Families, Family};

/// The batch of every family that the configuration gives no name of its own.
const COMMON: &str = "system";

/// What is to be measured and gathered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// The interval of each family, in the order of [`ALL`]; `None` is off.
    pub(super) every: [Option<Duration>; COUNT],
    /// The batches for the cloud.
    pub(super) batches: Vec<BatchPlan>,
}

/// One batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BatchPlan {
    /// The last level of its topic.
    pub(super) name: String,
    /// What it gathers.
    pub(super) families: Families,
    /// Samples that fill it.
    pub(super) max_count: u32,
    /// The age its oldest sample may have.
    pub(super) max_age: Duration,
}

impl Plan {
    /// Families of one `name` share a batch.
    pub(super) fn of(config: &Config) -> Plan {
        let on = |family: Family| section(config, family).on;
        let every = ALL.map(|family| on(family).then(|| section(config, family).interval));
        let name = |family| section(config, family).name.as_deref().unwrap_or(COMMON);
        let mut names: Vec<&str> = Vec::new();
        for family in ALL.into_iter().filter(|family| on(*family)) {
            if !names.contains(&name(family)) {
                names.push(name(family));
            }
        }
        let batch = |wanted: &str| BatchPlan {
            name: wanted.to_owned(),
            families: ALL.into_iter().filter(|f| on(*f) && name(*f) == wanted).collect(),
            max_count: config.batch.max_count,
            max_age: config.batch.max_age,
        };
        let batches = match config.batch.on {
            true => names.into_iter().map(batch).collect(),
            false => Vec::new(),
        };
        Plan { every, batches }
    }
}

/// The settings of one family.
pub(super) fn section(config: &Config, family: Family) -> &config::Family {
    match family {
        Family::Cpu => &config.cpu,
        Family::Memory => &config.memory,
        Family::Load => &config.load,
        Family::Disk => &config.disk,
        Family::Io => &config.io,
        Family::Network => &config.network,
        Family::Temperature => &config.temperature,
        Family::Daemon => &config.daemon,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_everything_is_on_and_in_one_batch() {
        let plan = Plan::of(&Config::default());
        assert!(plan.every.iter().all(Option::is_some));
        assert_eq!(plan.batches.len(), 1);
        assert_eq!(plan.batches[0].name, "system");
    }

    #[test]
    fn the_originals_names_make_batches_of_their_own() {
        let mut config = Config::default();
        config.memory.name = Some("vm".into());
        config.disk.name = Some("disk".into());
        config.load.on = false;
        let plan = Plan::of(&config);
        let names: Vec<_> = plan.batches.iter().map(|batch| batch.name.as_str()).collect();
        assert_eq!(names, ["system", "vm", "disk"]);
        assert_eq!(plan.batches[1].families, [Family::Memory].into_iter().collect());
        assert_eq!(plan.every[Family::Load as usize], None);
        assert!(!plan.batches[0].families.has(Family::Load));
    }

    #[test]
    fn without_batches_nothing_is_gathered() {
        let mut config = Config::default();
        config.batch.on = false;
        assert!(Plan::of(&config).batches.is_empty());
    }
}
