//! The families of measurements, and sets of them.

use crate::contract;

/// What is measured together, at one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// Load averages.
    Load,
    /// Space of file systems.
    Disk,
    /// Traffic of block devices.
    Io,
    /// Traffic of network interfaces.
    Network,
    /// Sensors.
    Temperature,
    /// This daemon.
    Daemon,
}

/// How many there are.
pub(super) const COUNT: usize = 8;

/// All of them, in the order they are measured.
pub const ALL: [Family; COUNT] = [
    Family::Cpu,
    Family::Memory,
    Family::Load,
    Family::Disk,
    Family::Io,
    Family::Network,
    Family::Temperature,
    Family::Daemon,
];

impl Family {
    /// As on topics and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Family::Cpu => "cpu",
            Family::Memory => "memory",
            Family::Load => "load",
            Family::Disk => "disk",
            Family::Io => "io",
            Family::Network => "network",
            Family::Temperature => "temperature",
            Family::Daemon => "daemon",
        }
    }

    /// By its name; `vm` is what the original calls memory.
    ///
    /// # Errors
    /// `stats.unknown_family`, with the nearest name.
    pub fn named(name: &str) -> Result<Family, contract::Error> {
        let wanted = if name == "vm" { "memory" } else { name };
        ALL.into_iter().find(|family| family.name() == wanted).ok_or_else(|| {
            let error = contract::Error::new("stats.unknown_family", format!("no family `{name}`"));
            let names = ALL.map(Family::name);
            match contract::nearest(name, names) {
                Some(near) => error.at("/family").hint(format!("`{near}`?")),
                None => error.at("/family").hint(format!("one of {}", names.join(", "))),
            }
        })
    }
}

/// A set of families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families(u8);

impl Families {
    /// Whether `family` is among them.
    pub fn has(self, family: Family) -> bool {
        self.0 & (1 << family as u8) != 0
    }
    /// Those that both have.
    pub fn and(self, other: Families) -> Families {
        Families(self.0 & other.0)
    }
    /// None at all.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Each, in the order of measuring.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        ALL.into_iter().filter(move |family| self.has(*family))
    }
}

impl FromIterator<Family> for Families {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Families {
        Families(families.into_iter().fold(0, |set, family| set | 1 << family as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_found_by_its_name() {
        for family in ALL {
            assert_eq!(Family::named(family.name()), Ok(family));
        }
        assert_eq!(Family::named("vm"), Ok(Family::Memory));
    }

    #[test]
    fn a_misspelled_family_is_refused_with_the_nearest_name() {
        let error = Family::named("memroy").unwrap_err();
        assert_eq!(error.code, "stats.unknown_family");
        assert_eq!(error.hint.as_deref(), Some("`memory`?"));
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: Families = [Family::Cpu, Family::Daemon].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Family::Cpu, Family::Daemon]);
        assert!(set.and([Family::Load].into_iter().collect()).is_empty());
    }
}
