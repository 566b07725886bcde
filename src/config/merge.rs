//! Layers of files: what stands in a higher one holds.
//!
//! Groups are merged key by key. A list whose items all have a `name` is merged by it, so that a drop-in
//! can add a bridge or change one setting of it. Any other list is replaced as a whole: whoever writes
//! `listeners` says all of them. Nothing (`key:`) takes a lower layer's value away.

use super::node::{Entry, Node, Value};

/// What holds when `over` lies above `under`.
pub(super) fn merge(under: Node, over: Node) -> Node {
    let value = match (under.value, over.value) {
        (Value::Map(under), Value::Map(over)) => Value::Map(maps(under, over)),
        (Value::List(under), Value::List(over)) if named(&under) && named(&over) => {
            Value::List(lists(under, over))
        }
        (_, over) => over,
    };
    Node { at: over.at, value }
}

fn maps(mut under: Vec<Entry>, over: Vec<Entry>) -> Vec<Entry> {
    for entry in over {
        match under.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => {
                let lower = std::mem::replace(&mut known.node, Node::empty(entry.at));
                *known = Entry { node: merge(lower, entry.node), ..entry };
            }
            None => under.push(entry),
        }
    }
    under
}

fn lists(mut under: Vec<Node>, over: Vec<Node>) -> Vec<Node> {
    for item in over {
        match under.iter_mut().find(|known| name(known) == name(&item)) {
            Some(known) => {
                let lower = std::mem::replace(known, Node::empty(item.at));
                *known = merge(lower, item);
            }
            None => under.push(item),
        }
    }
    under
}

fn name(item: &Node) -> Option<&str> {
    item.child("name")?.text()
}

/// Every item has a name of its own; two of one name stay, to be told.
fn named(items: &[Node]) -> bool {
    let twice = |item: &Node| items.iter().filter(|other| name(other) == name(item)).count() > 1;
    items.iter().all(|item| name(item).is_some() && !twice(item))
}

#[cfg(test)]
mod tests {
    use super::super::problem::Report;
    use super::super::yaml;
    use super::*;

    /// Without places, as one writes it.
    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Null => "~".into(),
            Value::Scalar(scalar) => scalar.text.clone(),
            Value::List(items) => {
                format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(","))
            }
            Value::Map(entries) => {
                let entry = |entry: &Entry| format!("{}:{}", entry.key, shown(&entry.node));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
            }
        }
    }

    fn merged(under: &str, over: &str) -> String {
        let mut report = Report::default();
        let file = report.file("f");
        let tree = |text: &str| yaml::parse(text.as_bytes(), file, &report);
        shown(&merge(tree(under), tree(over)))
    }

    #[test]
    fn groups_are_merged_key_by_key() {
        assert_eq!(merged("a: {b: 1, c: 2}", "a: {c: 3}\nd: 4"), "{a:{b:1,c:3},d:4}");
        assert_eq!(merged("a: {b: 1}", "a: 2"), "{a:2}");
        assert_eq!(merged("a: {b: 1}", "a:"), "{a:~}");
        assert_eq!(merged("a: 1", ""), "{a:1}");
    }

    #[test]
    fn a_list_of_named_things_is_merged_by_name_and_any_other_replaced() {
        assert_eq!(
            merged("l: [{name: a, x: 1}, {name: b}]", "l: [{name: c}, {name: a, y: 2}]"),
            "{l:[{name:a,x:1,y:2},{name:b},{name:c}]}"
        );
        assert_eq!(merged("l: [1, 2]", "l: [3]"), "{l:[3]}");
        assert_eq!(merged("l: [{tcp: a}]", "l: [{unix: b}]"), "{l:[{unix:b}]}");
        assert_eq!(
            merged("l: [{name: a}]", "l: [{name: b}, {name: b}]"),
            "{l:[{name:b},{name:b}]}"
        );
    }
}
