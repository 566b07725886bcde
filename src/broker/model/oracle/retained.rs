//! What each topic may hold: one message when everything is certain, several after a crash.

use super::Number;
use crate::broker::wire::Qos;

/// Longer than a retained message of QoS 0 may lag on disk (design: 5 s).
const LAG_MS: u64 = 5_100;

/// One value a topic had, `None` is nothing.
#[derive(Clone, Copy, Debug)]
struct Value {
    /// The PUBLISH that made it so; a clearing one has a number, too.
    by: Option<Number>,
    kept: Option<Number>,
    at: u64,
    /// It outlives a crash.
    safe: bool,
    /// It certainly was the last at some time.
    taken: bool,
    /// The disk did not take it: the topic holds what it held, unless a kill shows otherwise.
    refused: bool,
    /// A crash has decided already.
    old: bool,
}

/// A topic: everything it held, and which of these it may hold now.
#[derive(Debug)]
pub(super) struct Topic {
    values: Vec<Value>,
    low: usize,
    high: usize,
}

impl Default for Topic {
    fn default() -> Topic {
        let (safe, taken, refused, old) = (true, true, false, true);
        let nothing = Value { by: None, kept: None, at: 0, safe, taken, refused, old };
        Topic { values: vec![nothing], low: 0, high: 0 }
    }
}

impl Topic {
    /// A retained PUBLISH goes to the broker.
    pub(super) fn publishing(&mut self, by: Number, kept: Option<Number>, now: u64) {
        self.values.push(Value {
            by: Some(by),
            kept,
            at: now,
            safe: false,
            taken: false,
            refused: false,
            old: false,
        });
        self.high = self.values.len() - 1;
    }

    /// A will may be its value, or certainly is.
    pub(super) fn may_hold(&mut self, will: Number, now: u64, certain: bool) {
        if self.values.last().is_none_or(|last| last.by != Some(will)) {
            self.publishing(will, Some(will), now);
        }
        if certain {
            self.taken();
        }
    }

    /// The broker has it, and nothing can take it back: it is the last.
    pub(super) fn taken(&mut self) {
        self.low = self.high;
        self.values[self.high].taken = true;
    }

    /// It was refused when it was sent last.
    pub(super) fn refused(&mut self, by: Number) {
        let last = self.values.iter_mut().rfind(|value| value.by == Some(by));
        if let Some(value) = last {
            value.refused = true;
        }
    }

    /// It was acknowledged. Sent again with QoS 2 it counted the first time only.
    pub(super) fn safe(&mut self, by: Number, qos: Qos) {
        let place = match qos {
            Qos::ExactlyOnce => self.values.iter().position(|value| value.by == Some(by)),
            Qos::AtMostOnce | Qos::AtLeastOnce => {
                self.values.iter().rposition(|value| value.by == Some(by))
            }
        };
        if let Some(place) = place {
            self.values[place].safe = true;
            self.low = self.low.max(place);
        }
    }

    /// What it may hold.
    pub(super) fn candidates(&self) -> Vec<Option<Number>> {
        self.possible().map(|value| value.kept).collect()
    }

    fn possible(&self) -> impl Iterator<Item = &Value> {
        self.values[self.low..=self.high].iter().filter(|value| !value.refused)
    }

    /// The power went: back to the last that was safe, or anything after it. Until `known` the disk
    /// took what it was given.
    pub(super) fn crashed(&mut self, known: u64) {
        for value in &mut self.values {
            value.safe |= !value.old && value.taken && value.at + LAG_MS <= known;
            (value.old, value.refused) = (true, false);
        }
        let safe = self.values[..=self.high].iter().rposition(|value| value.safe);
        self.low = safe.unwrap_or(0);
    }

    /// Someone new found this, or nothing; what it should have been, if that is wrong.
    pub(super) fn observed(
        &mut self,
        found: Option<Number>,
        expired: impl Fn(Number) -> bool,
    ) -> Result<(), Vec<Option<Number>>> {
        let fits = |value: &Value| match (found, value.kept) {
            (Some(found), Some(kept)) => found == kept,
            (None, Some(kept)) => expired(kept),
            (None, None) => true,
            (Some(_), None) => false,
        };
        if self.possible().any(fits) {
            return Ok(());
        }
        Err(self.candidates())
    }
}
