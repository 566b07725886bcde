//! The tree of filters against a list of them.

use super::Chance;
use crate::broker::session::Options;
use crate::broker::slots::{Key, Slots};
use crate::broker::tree::{Matched, Subscriber, Tree};
use crate::topic::{self, Shared};

const WORDS: [&str; 8] = ["a", "b", "", "é", "$x", "+", "#", "$share"];

/// Puts filters in, takes them out, asks who wants a topic.
///
/// # Panics
/// When the tree and the list do not agree.
pub fn trial(bytes: &[u8]) {
    let mut chance = Chance(bytes);
    let mut slots = Slots::default();
    let keys: Vec<Key> = (0..5).map(|_| slots.insert(())).collect();
    let mut tree = Tree::default();
    let mut list: Vec<(String, Subscriber)> = Vec::new();
    while !chance.is_over() {
        let session = chance.one_of(&keys);
        match chance.below(4) {
            0 | 1 => {
                let filter = words(&mut chance);
                assert_eq!(topic::is_filter(&filter), plainly_a_filter(&filter), "{filter}");
                if topic::is_filter(&filter) {
                    let options =
                        Options { identifier: chance.byte().into(), ..Options::default() };
                    put(&mut tree, &mut list, filter, Subscriber { session, options });
                }
            }
            2 if !list.is_empty() => {
                let (filter, subscriber) = list.swap_remove(chance.below(list.len()));
                take(&mut tree, &filter, subscriber.session);
            }
            _ => ask(&tree, &list, &words(&mut chance)),
        }
    }
    for (filter, subscriber) in list {
        take(&mut tree, &filter, subscriber.session);
    }
    tree.each(|filter, _| panic!("{filter} is left"));
    assert!(tree.is_empty(), "an empty tree keeps no node");
}

/// A shared filter has one place for its group, whose key stands for its members here.
fn put(tree: &mut Tree, list: &mut Vec<(String, Subscriber)>, filter: String, who: Subscriber) {
    match Shared::parse(&filter) {
        Some(_) if list.iter().any(|(other, by)| (other, by.session) == (&filter, who.session)) => {
            return;
        }
        Some(shared) => tree.insert_group(shared.filter, who.session),
        None => tree.insert(&filter, who),
    }
    list.retain(|(other, by)| (other, by.session) != (&filter, who.session));
    list.push((filter, who));
}

fn take(tree: &mut Tree, filter: &str, session: Key) {
    match Shared::parse(filter) {
        Some(shared) => tree.remove_group(shared.filter, session),
        None => tree.remove(filter, session),
    }
}

fn words(chance: &mut Chance<'_>) -> String {
    let count = 1 + chance.below(5);
    let words: Vec<&str> = (0..count).map(|_| chance.one_of(&WORDS)).collect();
    words.join("/")
}

fn ask(tree: &Tree, list: &[(String, Subscriber)], name: &str) {
    let is_name = !name.is_empty() && !name.contains(['+', '#']);
    assert_eq!(topic::is_name(name), is_name, "{name}");
    if !is_name {
        return;
    }
    let mut found = Matched::default();
    tree.matching(name, &mut found);
    for (filter, who) in list {
        let (inner, shared) = match filter.strip_prefix("$share/").and_then(|f| f.split_once('/')) {
            Some((_, inner)) => (inner, true),
            None => (filter.as_str(), false),
        };
        if !plainly_matches(inner, name) {
            continue;
        }
        let there = if shared {
            let at = found.groups.iter().position(|key| *key == who.session);
            at.map(|at| found.groups.swap_remove(at)).is_some()
        } else {
            let at = found.plain.iter().position(|other| other == who);
            at.map(|at| found.plain.swap_remove(at)).is_some()
        };
        assert!(there, "{name}: {filter} is not found");
    }
    assert!(found.plain.is_empty() && found.groups.is_empty(), "{name}: too many: {found:?}");
}

/// MQTT 5.0 §4.7.1, §4.8.2, level by level.
fn plainly_a_filter(filter: &str) -> bool {
    let mut levels: Vec<&str> = filter.split('/').collect();
    if levels[0] == "$share" && levels.len() > 1 {
        if levels.len() < 3 || levels[1].is_empty() || levels[1].contains(['+', '#']) {
            return false;
        }
        levels.drain(..2);
        if levels == [""] {
            return false;
        }
    }
    let last = levels.len() - 1;
    !filter.is_empty() && levels.iter().enumerate().all(|(at, level)| *level != "#" || at == last)
}

/// §4.7.1 and §4.7.2, by recursion.
pub(super) fn plainly_matches(filter: &str, name: &str) -> bool {
    fn rest(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, name @ ..]) => rest(filter, name),
            ([word, filter @ ..], [found, name @ ..]) => word == found && rest(filter, name),
            ([], _) | (_, []) => false,
        }
    }
    let (filter, name): (Vec<_>, Vec<_>) = (filter.split('/').collect(), name.split('/').collect());
    let wild = matches!(filter[0], "+" | "#");
    !(wild && name[0].starts_with('$')) && rest(&filter, &name)
}
