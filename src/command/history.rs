//! Which commands the ledger knows, and for how long. Pure; the records themselves are in storage.
//!
//! | what | for how long |
//! |---|---|
//! | an id of a principal and verb | as long as the record |
//! | correlation data of a client without an id | a minute |
//! | the retained `task/<id>` | 24 h after its end; the last 100 of each verb as long as the record |
//! | the record | 7 days after its end, and never more than 4096 |

use std::collections::{BTreeMap, HashMap};

use super::record::{Digest, Key};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const CORRELATION_MS: i64 = MINUTE_MS;
const SHOWN_MS: i64 = DAY_MS;
const SHOWN_PER_VERB: usize = 100;
const KEPT_MS: i64 = 7 * DAY_MS;
const KEPT: usize = 4096;

/// Number of a record; its key in storage. They grow with time.
pub(super) type Number = u64;

/// What is known of a record without reading it. Small: there are thousands.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Option<Key>,
    args: Digest,
    /// Which verb, as a place in `commands`.
    command: usize,
    /// On the ledger's clock.
    received_ms: i64,
    ended_ms: Option<i64>,
    /// Its `task/<id>` is retained.
    shown: bool,
}

/// A record as it enters the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'k> {
    pub(super) key: Option<Key>,
    pub(super) args: Digest,
    pub(super) command: &'k str,
    pub(super) received_ms: i64,
    pub(super) ended_ms: Option<i64>,
}

/// What the time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Faded {
    /// To clear the retained `task/<id>`.
    Shown(Number),
    /// To delete the record, and to clear its task.
    Record(Number),
}

/// The same command again?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Never.
    New,
    /// Yes.
    Same(Number),
    /// The id, but other arguments.
    Reused,
}

/// All records, by number and by key.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: BTreeMap<Number, Entry>,
    index: HashMap<Key, Number>,
    commands: Vec<Box<str>>,
}

impl History {
    pub(super) fn seen(&self, now_ms: i64, key: Option<Key>, args: Digest) -> Seen {
        let known = key.and_then(|key| self.index.get(&key));
        let Some((number, entry)) = known.and_then(|n| Some((*n, self.entries.get(n)?))) else {
            return Seen::New;
        };
        match key {
            Some(Key::Correlation(_)) if now_ms - entry.received_ms > CORRELATION_MS => Seen::New,
            Some(Key::Id(_) | Key::Correlation(_)) if entry.args == args => Seen::Same(number),
            Some(Key::Correlation(_)) => Seen::New, // a client may number its requests anew
            Some(Key::Id(_)) | None => Seen::Reused,
        }
    }

    /// Adds a record; one that must go for it, if there are too many.
    pub(super) fn add(&mut self, number: Number, known: Known<'_>) -> Option<Number> {
        let command = self.command(known.command);
        let Known { key, args, received_ms, ended_ms, command: _ } = known;
        if let Some(key) = key {
            self.index.insert(key, number);
        }
        let entry = Entry { key, args, command, received_ms, ended_ms, shown: true };
        self.entries.insert(number, entry);
        if self.entries.len() <= KEPT {
            return None;
        }
        let oldest = self.entries.iter().find(|(_, entry)| entry.ended_ms.is_some());
        let oldest = oldest.map(|(number, _)| *number)?;
        self.remove(oldest);
        Some(oldest)
    }

    pub(super) fn ended(&mut self, number: Number, now_ms: i64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.ended_ms = Some(now_ms);
        }
    }

    pub(super) fn remove(&mut self, number: Number) {
        let Some(entry) = self.entries.remove(&number) else { return };
        if let Some(key) = entry.key
            && self.index.get(&key) == Some(&number)
        {
            self.index.remove(&key);
        }
    }

    /// Forgets what is old enough.
    pub(super) fn fade(&mut self, now_ms: i64) -> Vec<Faded> {
        let mut newer = vec![0_usize; self.commands.len()];
        let mut faded = Vec::new();
        for (number, entry) in self.entries.iter_mut().rev() {
            newer[entry.command] += 1;
            let age = entry.ended_ms.map_or(0, |ended| now_ms - ended);
            if age >= KEPT_MS {
                faded.push(Faded::Record(*number));
            } else if entry.shown && age >= SHOWN_MS && newer[entry.command] > SHOWN_PER_VERB {
                entry.shown = false;
                faded.push(Faded::Shown(*number));
            }
        }
        for faded in &faded {
            if let Faded::Record(number) = faded {
                self.remove(*number);
            }
        }
        faded
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn command(&mut self, name: &str) -> usize {
        self.commands.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.commands.push(name.into());
            self.commands.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Option<Key> {
        Some(Key::Id(Digest::of(&[name.as_bytes()])))
    }
    fn args(value: &str) -> Digest {
        Digest::of(&[value.as_bytes()])
    }
    fn known(key: Option<Key>, at_ms: i64) -> Known<'static> {
        let args = args("a");
        Known { key, args, command: "test/change", received_ms: at_ms, ended_ms: Some(at_ms) }
    }

    #[test]
    fn an_id_is_known_for_seven_days() {
        let mut history = History::default();
        history.add(1, known(id("x"), 0));
        assert_eq!(history.fade(7 * DAY_MS - 1), []);
        assert_eq!(history.seen(7 * DAY_MS - 1, id("x"), args("a")), Seen::Same(1));
        assert_eq!(history.seen(0, id("x"), args("b")), Seen::Reused);
        assert_eq!(history.seen(0, id("y"), args("a")), Seen::New);
        assert_eq!(history.fade(7 * DAY_MS), [Faded::Record(1)]);
        assert_eq!(history.seen(7 * DAY_MS, id("x"), args("a")), Seen::New);
        assert!(history.is_empty());
    }

    #[test]
    fn correlation_data_is_known_for_a_minute() {
        let mut history = History::default();
        let key = Some(Key::Correlation(args("client 1, correlation 7")));
        history.add(1, known(key, 0));
        assert_eq!(history.seen(60_000, key, args("a")), Seen::Same(1));
        assert_eq!(history.seen(60_001, key, args("a")), Seen::New);
        assert_eq!(history.seen(0, key, args("b")), Seen::New);
    }

    #[test]
    fn the_oldest_of_4097_that_has_ended_is_forgotten() {
        let mut history = History::default();
        assert_eq!(history.add(0, Known { ended_ms: None, ..known(id("open"), 0) }), None);
        for number in 1..4096 {
            assert_eq!(history.add(number, known(id(&number.to_string()), 0)), None);
        }
        assert_eq!(history.add(4096, known(id("more"), 0)), Some(1));
        assert_eq!(history.seen(0, id("1"), args("a")), Seen::New);
        assert_eq!(history.seen(0, id("open"), args("a")), Seen::Same(0));
    }

    #[test]
    fn a_day_after_its_end_a_task_is_cleared_unless_it_is_of_the_last_hundred_of_its_verb() {
        let mut history = History::default();
        for number in 0..102 {
            history.add(number, known(None, 0));
        }
        history.add(102, Known { command: "test/other", ..known(None, 0) });
        assert_eq!(history.fade(DAY_MS - 1), []);
        assert_eq!(history.fade(DAY_MS), [Faded::Shown(1), Faded::Shown(0)]);
        assert_eq!(history.fade(DAY_MS), []);
    }
}
