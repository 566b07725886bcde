//! Which sessions want a topic: the filters of all subscriptions as a tree of levels.
//!
//! ```text
//!   maestro ─┬─ metric ── #            a node holds the subscriptions that end there
//!            └─ + ── state             `+` and `#` are ordinary children with their own field
//! ```
//! A node takes about 100 bytes: most have one child and nobody who stands there, so what is more than that
//! stands in boxes of its own.
//!
//! Matching follows MQTT 5.0 §4.7: `#` also matches its parent, and a filter that starts with a
//! wildcard does not match a topic that starts with `$`.

use std::collections::HashMap;

use super::session::Options;
use super::slots::Key;

/// One session's wish at one filter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Subscriber {
    pub(crate) session: Key,
    pub(crate) options: Options,
}

/// All subscriptions of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    children: Children,
    /// The `+` child.
    any: Option<Box<Node>>,
    /// Who ends here.
    here: Option<Box<Members>>,
    /// Who ends here with a `#` behind.
    below: Option<Box<Members>>,
}

/// The children that have names.
#[derive(Debug)]
enum Children {
    Few(Option<(Box<str>, Box<Node>)>),
    #[expect(
        clippy::box_collection,
        reason = "every node has this field, and few have many children"
    )]
    Many(Box<HashMap<Box<str>, Node>>),
}

impl Default for Children {
    fn default() -> Children {
        Children::Few(None)
    }
}

/// Who stands at a filter.
#[derive(Debug, Default)]
struct Members {
    plain: Vec<Subscriber>,
    groups: Vec<Key>,
}

/// Who wants a topic.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    /// A session stands here once for each filter that matches.
    pub(crate) plain: Vec<Subscriber>,
    /// Shared subscriptions.
    pub(crate) groups: Vec<Key>,
}

/// Who stands at a filter.
#[cfg(any(test, fuzzing))]
#[derive(Debug)]
pub(crate) enum Found {
    Session(Subscriber),
    Group(Key),
}

impl Matched {
    pub(crate) fn clear(&mut self) {
        self.plain.clear();
        self.groups.clear();
    }

    fn add(&mut self, members: &Members) {
        self.plain.extend_from_slice(&members.plain);
        self.groups.extend_from_slice(&members.groups);
    }
}

impl Tree {
    /// Adds a subscription, or replaces the session's earlier one with the same filter.
    pub(crate) fn insert(&mut self, filter: &str, subscriber: Subscriber) {
        let members = &mut self.root.make(filter).plain;
        match members.iter_mut().find(|member| member.session == subscriber.session) {
            Some(member) => *member = subscriber,
            None => members.push(subscriber),
        }
    }

    /// Adds a shared subscription under the filter it shares.
    pub(crate) fn insert_group(&mut self, filter: &str, group: Key) {
        self.root.make(filter).groups.push(group);
    }

    /// Removes a session's subscription and whatever nodes it leaves empty.
    pub(crate) fn remove(&mut self, filter: &str, session: Key) {
        self.root.prune(filter, Who::Session(session));
    }

    /// The same for a shared subscription.
    pub(crate) fn remove_group(&mut self, filter: &str, group: Key) {
        self.root.prune(filter, Who::Group(group));
    }

    /// Each filter with who stands there, in no promised order.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn each(&self, mut found: impl FnMut(String, Found)) {
        self.root.each("", &mut found);
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Gathers who wants `topic`.
    pub(crate) fn matching(&self, topic: &str, out: &mut Matched) {
        let dollar = topic.starts_with('$');
        self.root.gather(Some(topic), dollar, out);
    }
}

/// Who leaves.
#[derive(Clone, Copy)]
enum Who {
    Session(Key),
    Group(Key),
}

impl Children {
    fn get(&self, name: &str) -> Option<&Node> {
        match self {
            Children::Few(only) => {
                only.as_ref().filter(|(own, _)| **own == *name).map(|(_, node)| &**node)
            }
            Children::Many(all) => all.get(name),
        }
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        match self {
            Children::Few(only) => {
                only.as_mut().filter(|(own, _)| **own == *name).map(|(_, node)| &mut **node)
            }
            Children::Many(all) => all.get_mut(name),
        }
    }

    fn get_or_make(&mut self, name: &str) -> &mut Node {
        if let Children::Few(only) = self
            && let Some((own, node)) = only.take_if(|(own, _)| **own != *name)
        {
            *self = Children::Many(Box::new(HashMap::from([(own, *node)])));
        }
        match self {
            Children::Few(only) => &mut only.get_or_insert_with(|| (name.into(), Box::default())).1,
            Children::Many(all) => all.entry(name.into()).or_default(),
        }
    }

    fn remove(&mut self, name: &str) {
        match self {
            Children::Few(only) => *only = None,
            Children::Many(all) => {
                all.remove(name);
                if all.len() == 1 {
                    // The table is given back.
                    let last = all.drain().next().map(|(own, node)| (own, Box::new(node)));
                    *self = Children::Few(last);
                }
            }
        }
    }

    #[cfg(any(test, fuzzing))]
    fn each(&self, mut found: impl FnMut(&str, &Node)) {
        match self {
            Children::Few(only) => only.iter().for_each(|(own, node)| found(own, node)),
            Children::Many(all) => all.iter().for_each(|(own, node)| found(own, node)),
        }
    }
}

impl Node {
    /// Who stands where a filter ends.
    fn make(&mut self, filter: &str) -> &mut Members {
        let mut node = self;
        for level in filter.split('/') {
            node = match level {
                "#" => return node.below.get_or_insert_default(),
                "+" => node.any.get_or_insert_default(),
                name => node.children.get_or_make(name),
            };
        }
        node.here.get_or_insert_default()
    }

    /// Removes below this node; true when nothing is left of it.
    fn prune(&mut self, filter: &str, who: Who) -> bool {
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        match (level, rest) {
            ("#", _) => leave(&mut self.below, who),
            ("+", rest) => {
                if let Some(any) = &mut self.any
                    && any.prune_rest(rest, who)
                {
                    self.any = None;
                }
            }
            (name, rest) => {
                if let Some(child) = self.children.get_mut(name)
                    && child.prune_rest(rest, who)
                {
                    self.children.remove(name);
                }
            }
        }
        self.is_empty()
    }

    fn prune_rest(&mut self, rest: Option<&str>, who: Who) -> bool {
        match rest {
            Some(rest) => self.prune(rest, who),
            None => {
                leave(&mut self.here, who);
                self.is_empty()
            }
        }
    }

    /// `path` is the filter of this node, with a `/` behind it; empty at the root.
    #[cfg(any(test, fuzzing))]
    fn each(&self, path: &str, found: &mut dyn FnMut(String, Found)) {
        let (here, below) = (path.strip_suffix('/').unwrap_or(path), format!("{path}#"));
        for (filter, members) in [(here, &self.here), (&below, &self.below)] {
            let Some(Members { plain, groups }) = members.as_deref() else { continue };
            plain.iter().for_each(|one| found(filter.to_string(), Found::Session(*one)));
            groups.iter().for_each(|one| found(filter.to_string(), Found::Group(*one)));
        }
        self.children.each(|name, child| child.each(&format!("{path}{name}/"), found));
        if let Some(any) = &self.any {
            any.each(&format!("{path}+/"), found);
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self.children, Children::Few(None))
            && self.any.is_none()
            && self.here.is_none()
            && self.below.is_none()
    }

    /// `rest` is what of the topic is still to match; `None` when the topic ends at this node.
    /// `dollar` is true only at the root of a `$` topic, where no wildcard matches.
    fn gather(&self, rest: Option<&str>, dollar: bool, out: &mut Matched) {
        if let Some(below) = &self.below
            && !dollar
        {
            out.add(below);
        }
        let Some(rest) = rest else {
            return self.here.iter().for_each(|here| out.add(here));
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if let Some(any) = &self.any
            && !dollar
        {
            any.gather(rest, false, out);
        }
        if let Some(child) = self.children.get(level) {
            child.gather(rest, false, out);
        }
    }
}

fn leave(members: &mut Option<Box<Members>>, who: Who) {
    let Some(Members { plain, groups }) = members.as_deref_mut() else { return };
    match who {
        Who::Session(session) => plain.retain(|member| member.session != session),
        Who::Group(group) => {
            if let Some(place) = groups.iter().position(|other| *other == group) {
                groups.remove(place);
            }
        }
    }
    if plain.is_empty() && groups.is_empty() {
        *members = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::Slots;
    use super::*;
    use crate::bus::Qos;

    fn wanting(filters: &[&str], topic: &str) -> Vec<usize> {
        let mut slots = Slots::default();
        let mut tree = Tree::default();
        let keys: Vec<Key> = filters.iter().map(|_| slots.insert(())).collect();
        for (filter, &session) in filters.iter().zip(&keys) {
            let options = Options { qos: Qos::AtMostOnce, ..Options::default() };
            tree.insert(filter, Subscriber { session, options });
        }
        let mut out = Matched::default();
        tree.matching(topic, &mut out);
        let mut found: Vec<usize> = out
            .plain
            .iter()
            .map(|found| keys.iter().position(|key| *key == found.session).expect("known"))
            .collect();
        found.sort_unstable();
        for (filter, &session) in filters.iter().zip(&keys) {
            tree.remove(filter, session);
        }
        assert!(tree.root.is_empty(), "an empty tree keeps no node");
        found
    }

    #[test]
    fn wildcards_match_as_4_7_1_says() {
        let filters = ["sport/#", "sport/tennis/+", "+", "#", "/+", "+/+", "sport"];
        assert_eq!(wanting(&filters, "sport"), [0, 2, 3, 6]);
        assert_eq!(wanting(&filters, "sport/tennis/one"), [0, 1, 3]);
        assert_eq!(wanting(&filters, "sport/"), [0, 3, 5]);
        assert_eq!(wanting(&filters, "/finance"), [3, 4, 5]);
    }

    #[test]
    fn a_filter_that_starts_with_a_wildcard_does_not_match_a_dollar_topic() {
        let filters = ["#", "+/info", "$SYS/#", "$SYS/+", "$SYS/info/#"];
        assert_eq!(wanting(&filters, "$SYS/info"), [2, 3, 4]);
    }

    #[test]
    fn a_shared_subscription_stands_beside_the_plain_ones() {
        let mut slots = Slots::default();
        let mut tree = Tree::default();
        let (group, session) = (slots.insert(()), slots.insert(()));
        tree.insert_group("a/#", group);
        tree.insert("a/#", Subscriber { session, options: Options::default() });
        let mut out = Matched::default();
        tree.matching("a/b", &mut out);
        assert_eq!((out.plain.len(), &out.groups[..]), (1, &[group][..]));
        tree.remove_group("a/#", group);
        tree.remove("a/#", session);
        assert!(tree.root.is_empty());
    }
}
