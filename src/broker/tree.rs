//! Which sessions want a topic: the filters of all subscriptions as a tree of levels.
//!
//! ```text
//!   maestro ─┬─ metric ── #            a node holds the subscriptions that end there
//!            └─ + ── state             `+` and `#` are ordinary children with their own field
//! ```
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
    children: HashMap<Box<str>, Node>,
    /// The `+` child.
    any: Option<Box<Node>>,
    /// Subscriptions that end here.
    here: Vec<Subscriber>,
    /// Subscriptions that end here with a `#` behind.
    below: Vec<Subscriber>,
    /// Shared groups that end here, and with a `#` behind.
    groups_here: Vec<Group>,
    groups_below: Vec<Group>,
}

/// Members of `$share/<name>/<filter>`: each message goes to one.
#[derive(Debug)]
struct Group {
    name: Box<str>,
    members: Vec<Subscriber>,
    next: usize,
}

/// A filter taken apart: `$share/group/filter`, or a plain one.
fn parts(filter: &str) -> (Option<&str>, &str) {
    match filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
        Some((group, inner)) => (Some(group), inner),
        None => (None, filter),
    }
}

impl Tree {
    /// Adds a subscription, or replaces the session's earlier one with the same filter.
    pub(crate) fn insert(&mut self, filter: &str, subscriber: Subscriber) {
        let (group, inner) = parts(filter);
        let (node, below) = self.root.make(inner);
        let members = match group {
            None if below => &mut node.below,
            None => &mut node.here,
            Some(name) => {
                let groups = if below { &mut node.groups_below } else { &mut node.groups_here };
                let place = groups.iter().position(|group| &*group.name == name);
                let place = place.unwrap_or_else(|| {
                    groups.push(Group { name: name.into(), members: Vec::new(), next: 0 });
                    groups.len() - 1
                });
                &mut groups[place].members
            }
        };
        match members.iter_mut().find(|member| member.session == subscriber.session) {
            Some(member) => *member = subscriber,
            None => members.push(subscriber),
        }
    }

    /// Removes a session's subscription and whatever nodes it leaves empty.
    pub(crate) fn remove(&mut self, filter: &str, session: Key) {
        let (group, inner) = parts(filter);
        self.root.prune(inner, group, session);
    }

    /// Gathers who wants `topic`; a session stands in `out` once per matching filter.
    pub(crate) fn matching(&mut self, topic: &str, out: &mut Vec<Subscriber>) {
        let dollar = topic.starts_with('$');
        self.root.gather(Some(topic), dollar, out);
    }
}

impl Node {
    /// The node a filter ends at, and whether a `#` follows there.
    fn make(&mut self, filter: &str) -> (&mut Node, bool) {
        let mut node = self;
        for level in filter.split('/') {
            node = match level {
                "#" => return (node, true),
                "+" => node.any.get_or_insert_default(),
                name => node.children.entry(name.into()).or_default(),
            };
        }
        (node, false)
    }

    /// Removes below this node; true when nothing is left of it.
    fn prune(&mut self, filter: &str, group: Option<&str>, session: Key) -> bool {
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        match (level, rest) {
            ("#", _) => leave(&mut self.below, &mut self.groups_below, group, session),
            ("+", rest) => {
                if let Some(any) = &mut self.any
                    && any.prune_rest(rest, group, session)
                {
                    self.any = None;
                }
            }
            (name, rest) => {
                if let Some(child) = self.children.get_mut(name)
                    && child.prune_rest(rest, group, session)
                {
                    self.children.remove(name);
                    if self.children.is_empty() {
                        self.children = HashMap::new(); // gives the table back
                    }
                }
            }
        }
        self.is_empty()
    }

    fn prune_rest(&mut self, rest: Option<&str>, group: Option<&str>, session: Key) -> bool {
        match rest {
            Some(rest) => self.prune(rest, group, session),
            None => {
                leave(&mut self.here, &mut self.groups_here, group, session);
                self.is_empty()
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.any.is_none()
            && self.here.is_empty()
            && self.below.is_empty()
            && self.groups_here.is_empty()
            && self.groups_below.is_empty()
    }

    /// `rest` is what of the topic is still to match; `None` when the topic ends at this node.
    /// `dollar` is true only at the root of a `$` topic, where no wildcard matches.
    fn gather(&mut self, rest: Option<&str>, dollar: bool, out: &mut Vec<Subscriber>) {
        if !dollar {
            out.extend_from_slice(&self.below);
            choose(&mut self.groups_below, out);
        }
        let Some(rest) = rest else {
            out.extend_from_slice(&self.here);
            choose(&mut self.groups_here, out);
            return;
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if let Some(any) = &mut self.any
            && !dollar
        {
            any.gather(rest, false, out);
        }
        if let Some(child) = self.children.get_mut(level) {
            child.gather(rest, false, out);
        }
    }
}

/// One member of each group, in turn.
fn choose(groups: &mut [Group], out: &mut Vec<Subscriber>) {
    for group in groups {
        group.next = (group.next + 1) % group.members.len().max(1);
        out.extend(group.members.get(group.next));
    }
}

fn leave(plain: &mut Vec<Subscriber>, groups: &mut Vec<Group>, group: Option<&str>, session: Key) {
    match group {
        None => plain.retain(|member| member.session != session),
        Some(name) => {
            for group in groups.iter_mut().filter(|group| &*group.name == name) {
                group.members.retain(|member| member.session != session);
            }
            groups.retain(|group| !group.members.is_empty());
        }
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
        let mut out = Vec::new();
        tree.matching(topic, &mut out);
        let mut found: Vec<usize> = out
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
    fn a_shared_group_gets_each_message_once_in_turn() {
        let mut slots = Slots::default();
        let mut tree = Tree::default();
        let keys: Vec<Key> = (0..3).map(|_| slots.insert(())).collect();
        for &session in &keys {
            tree.insert("$share/g/a/#", Subscriber { session, options: Options::default() });
        }
        let mut turns = Vec::new();
        for _ in 0..6 {
            let mut out = Vec::new();
            tree.matching("a/b", &mut out);
            assert_eq!(out.len(), 1);
            turns.push(out[0].session);
        }
        assert_eq!(turns[..3], turns[3..]);
        let mut seen = turns[..3].to_vec();
        seen.sort_unstable();
        assert_eq!(seen, keys);
        for &session in &keys {
            tree.remove("$share/g/a/#", session);
        }
        assert!(tree.root.is_empty());
    }
}
