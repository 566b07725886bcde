//! Where all bridges stand together: the health of the subsystem.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::link::Standing;
use super::message::Link;
use crate::contract::Error;
use crate::service::Health;

/// Where each bridge notes how it stands. Cheap to clone.
#[derive(Clone)]
pub(super) struct Board {
    health: Health,
    bridges: Arc<Mutex<BTreeMap<String, Note>>>,
}

/// How one bridge stands.
#[derive(Clone, Debug, PartialEq)]
enum Note {
    /// It has not yet come to anything.
    Starting,
    Well,
    Amiss(Error),
}

impl Board {
    /// A board for these bridges.
    pub(super) fn new<'n>(health: Health, names: impl Iterator<Item = &'n str>) -> Board {
        let bridges = names.map(|name| (name.to_string(), Note::Starting)).collect();
        Board { health, bridges: Arc::new(Mutex::new(bridges)) }
    }

    /// Notes how a bridge stands, and says how all do.
    pub(super) fn say(&self, name: &str, standing: &Standing) {
        let note = match (&standing.reason, standing.link) {
            (Some(reason), _) => Note::Amiss(reason.clone()),
            (None, Link::Connected) => Note::Well,
            (None, Link::Connecting | Link::Disconnected) => Note::Starting,
        };
        let mut bridges = self.bridges.lock().unwrap_or_else(PoisonError::into_inner);
        bridges.insert(name.to_string(), note);
        match worst(&bridges) {
            Note::Starting => {}
            Note::Well => self.health.ok(),
            Note::Amiss(reason) => self.health.degraded(reason),
        }
    }
}

/// One that is amiss, by name; else one that is not there yet; else all are well.
fn worst(bridges: &BTreeMap<String, Note>) -> Note {
    let mut worst = Note::Well;
    for (name, note) in bridges {
        match note {
            Note::Amiss(reason) => {
                let message = format!("bridge {name}: {}", reason.message);
                return Note::Amiss(Error { message, ..reason.clone() });
            }
            Note::Starting => worst = Note::Starting,
            Note::Well => {}
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bridge_that_is_amiss_speaks_for_all() {
        let amiss = |text: &str| Note::Amiss(Error::new("bridge.closed", text));
        let bridges = |notes: [Note; 3]| {
            ["a", "b", "c"].map(String::from).into_iter().zip(notes).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(worst(&bridges([Note::Well, Note::Well, Note::Well])), Note::Well);
        assert_eq!(worst(&bridges([Note::Well, Note::Starting, Note::Well])), Note::Starting);
        assert_eq!(worst(&bridges([Note::Starting, amiss("x"), amiss("y")])), amiss("bridge b: x"));
    }
}
