//! What one session asked for: its filters, and what they take up, alone and for all sessions together.

use std::collections::BTreeMap;

use super::session::Options;
use super::total::{Tally, Total};
use crate::topic::Shared;

/// What a level takes up in the tree, bytes.
const LEVEL_BYTES: usize = 128;
/// What a shared subscription takes up beside.
const GROUP_BYTES: usize = 512;

/// The filters of one session.
#[derive(Debug)]
pub(crate) struct Filters {
    all: BTreeMap<Box<str>, Options>,
    bytes: Tally,
}

/// What a filter takes up, bytes: as if nobody else had one that begins alike.
pub(crate) fn weight(filter: &str) -> usize {
    let group = if Shared::parse(filter).is_some() { GROUP_BYTES } else { 0 };
    filter.len() + LEVEL_BYTES * filter.split('/').count() + group
}

impl Filters {
    /// None yet, counted in this sum.
    pub(crate) fn new(total: &Total) -> Filters {
        Filters { all: BTreeMap::new(), bytes: Tally::new(total) }
    }

    /// What all of them take up.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.bytes()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn has(&self, filter: &str) -> bool {
        self.all.contains_key(filter)
    }

    pub(crate) fn get(&self, filter: &str) -> Option<&Options> {
        self.all.get(filter)
    }

    /// In the order of their bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Options)> {
        self.all.iter().map(|(filter, options)| (&**filter, options))
    }

    /// Adds one, or changes what it asks for; gives what that was.
    pub(crate) fn insert(&mut self, filter: &str, options: Options) -> Option<Options> {
        let before = self.all.insert(filter.into(), options);
        if before.is_none() {
            self.bytes.add(weight(filter));
        }
        before
    }

    pub(crate) fn remove(&mut self, filter: &str) -> Option<Options> {
        let before = self.all.remove(filter)?;
        self.bytes.subtract(weight(filter));
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_they_take_up_goes_with_them() {
        let total = Total::default();
        let mut filters = Filters::new(&total);
        filters.insert("a/b", Options::default());
        filters.insert("a/b", Options { identifier: 1, ..Options::default() });
        filters.insert("$share/g/a", Options::default());
        assert_eq!(total.bytes(), weight("a/b") + weight("$share/g/a"));
        assert_eq!(filters.remove("b"), None);
        assert!(filters.remove("$share/g/a").is_some());
        assert_eq!(filters.bytes(), weight("a/b"));
        drop(filters);
        assert_eq!(total.bytes(), 0);
    }
}
