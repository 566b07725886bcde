//! YAML 1.2 to a tree with places, on granit's events.
//!
//! Goes on after a mistake, so that a file with five of them is told five: a section that is no YAML
//! is told and left out, and the rest is read again. `{{VAR}}` stands for text wherever it is written,
//! also bare, where YAML would see a map in a map. Bounded: size, nesting, and what anchors expand to.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle};

use super::macros::Macros;
use super::node::{Entry, Node, Scalar, Style, Value};
use super::page::{Broken, Page, count, options};
use super::problem::{Mark, Report, Severity};

/// No configuration is larger; a log or a disk image given by mistake is.
pub(super) const LARGEST: u64 = 1 << 20;
/// Values in one file with all its anchors expanded.
const MOST_NODES: usize = 100_000;

/// The tree of a file's bytes. What is wrong is in the report; an unusable file is an empty tree.
pub(super) fn parse(bytes: &[u8], file: u16, report: &Report) -> Node {
    let start = Mark { file, line: 1, column: 1 };
    if bytes.len() as u64 > LARGEST {
        let whole = Mark { file, line: 0, column: 0 };
        report.add(whole, "", Severity::Error, "larger than 1MiB: not a configuration");
        return Node::empty(start);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = place(&bytes[..error.valid_up_to()], file);
            report.add(at, "", Severity::Error, "not UTF-8 text");
            return Node::empty(start);
        }
    };
    let macros = Macros::of(text);
    let mut page = Page::new(&macros.hide(text), file);
    let first = match build(&page, &macros, report) {
        Ok(node) => return node,
        Err(first) => first,
    };
    page.mend(report);
    build(&page, &macros, report).unwrap_or_else(|second| {
        let told = if page.mended { second } else { first };
        page.tell(&told, report);
        Node::empty(start)
    })
}

/// The place behind some bytes.
fn place(before: &[u8], file: u16) -> Mark {
    let text = String::from_utf8_lossy(before);
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Mark { file, line: count(line), column: count(column) }
}

fn build(page: &Page, macros: &Macros, report: &Report) -> Result<Node, Broken> {
    let text = page.lines.concat();
    let mut tree =
        Tree { page, macros, report, open: vec![], anchors: HashMap::new(), nodes: 0, root: None };
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(&text, options()) {
        let (event, span) = next.map_err(|error| Broken::new(&error))?;
        if matches!(event, Event::DocumentStart(..)) {
            documents += 1;
            if documents == 2 {
                tree.error(&span.start, "a file is one document: what follows is not read");
                break;
            }
        }
        tree.take(event, &span.start);
        if tree.nodes > MOST_NODES {
            tree.error(&span.start, "too much: the anchors expand to more than 100000 values");
            return Ok(Node::empty(Mark { file: page.file, line: 1, column: 1 }));
        }
    }
    let start = Mark { file: page.file, line: 1, column: 1 };
    Ok(match tree.root {
        Some(node) if matches!(node.value, Value::Map(_)) => node,
        Some(Node { value: Value::Null, .. }) | None => Node::empty(start),
        Some(node) => {
            let message = format!("settings are expected, `key: value`, not {}", node.kind());
            report.add(node.at, "", Severity::Error, message);
            Node::empty(start)
        }
    })
}

/// The tree under construction.
struct Tree<'a> {
    page: &'a Page,
    macros: &'a Macros,
    report: &'a Report,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

/// A list or map that has not ended.
struct Open {
    at: Mark,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merged: Vec<Node>, key: Key },
}

/// What a map waits for.
enum Key {
    /// A key.
    Wanted,
    /// The value of this one.
    Of(String, Mark),
    /// The value of `<<`.
    Merge,
    /// The value of a key that was told already.
    Bad,
}

impl Tree<'_> {
    fn error(&self, at: &Marker, message: &str) {
        let at = self.page.mark(at.line(), at.col());
        self.report.add(at, "", Severity::Error, message);
    }

    fn take(&mut self, event: Event<'_>, start: &Marker) {
        let at = self.page.mark(start.line(), start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if tag.as_ref().is_some_and(|tag| !tag.is_yaml_core_schema()) {
                    self.error(start, "tags have no meaning here");
                }
                let bare = style == ScalarStyle::Plain && tag.is_none();
                self.put(Node { at, value: scalar(self.macros.show(&text), bare) }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { at, anchor, kind: Kind::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, _) => {
                let kind = Kind::Map { entries: vec![], merged: vec![], key: Key::Wanted };
                self.open.push(Open { at, anchor, kind });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let copy = Node { at, ..node.clone() };
                    self.nodes += size(&copy);
                    self.put(copy, 0);
                }
                None => {
                    self.error(start, "this alias refers to what it is part of");
                    self.put(Node { at, value: Value::Null }, 0);
                }
            },
            Event::UnresolvedAlias(name) => {
                self.error(start, &format!("no value is marked `&{name}` before this"));
                self.put(Node { at, value: Value::Null }, 0);
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::Comment(..)
            | _ => {} // not values; nor is what granit may add
        }
    }

    fn close(&mut self) {
        let Some(Open { at, anchor, kind }) = self.open.pop() else { return };
        let value = match kind {
            Kind::List(items) => Value::List(items),
            Kind::Map { mut entries, merged, .. } => {
                for entry in merged.iter().flat_map(Node::entries) {
                    if !entries.iter().any(|own| own.key == entry.key) {
                        entries.push(entry.clone());
                    }
                }
                Value::Map(entries)
            }
        };
        self.put(Node { at, value }, anchor);
    }

    /// Puts a whole value where it belongs.
    fn put(&mut self, node: Node, anchor: usize) {
        self.nodes += 1;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
            self.nodes += size(&node);
        }
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        let (entries, merged, key) = match &mut open.kind {
            Kind::List(items) => return items.push(node),
            Kind::Map { entries, merged, key } => (entries, merged, key),
        };
        match std::mem::replace(key, Key::Wanted) {
            Key::Wanted => *key = key_of(node, entries, self.report),
            Key::Of(name, at) => entries.push(Entry { key: name, at, node }),
            Key::Merge => match node.value {
                Value::List(items) => merged.extend(items),
                Value::Null | Value::Scalar(_) | Value::Map(_) => merged.push(node),
            },
            Key::Bad => {}
        }
    }
}

fn scalar(text: String, bare: bool) -> Value {
    match (bare, text.as_str()) {
        (true, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        (true, _) => Value::Scalar(Scalar { text, style: Style::Plain }),
        (false, _) => Value::Scalar(Scalar { text, style: Style::Quoted }),
    }
}

fn key_of(node: Node, entries: &[Entry], report: &Report) -> Key {
    let name = match node.value {
        Value::Scalar(scalar) if scalar.style == Style::Plain && scalar.text == "<<" => {
            return Key::Merge;
        }
        Value::Scalar(scalar) => scalar.text,
        Value::Null | Value::List(_) | Value::Map(_) => {
            report.add(node.at, "", Severity::Error, "a key is one word before a colon");
            return Key::Bad;
        }
    };
    match entries.iter().find(|entry| entry.key == name) {
        Some(first) => {
            let message = format!("`{name}` is set twice: first in line {}", first.at.line);
            report.add(node.at, "", Severity::Error, message);
            Key::Bad
        }
        None => Key::Of(name, node.at),
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Scalar(_) => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| size(&entry.node)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Node, Vec<String>) {
        let mut report = Report::default();
        let file = report.file("f");
        let node = parse(text.as_bytes(), file, &report);
        (node, report.into_problems().iter().map(ToString::to_string).collect())
    }

    fn at(node: &Node, path: &[&str]) -> Option<String> {
        let mut node = node;
        for key in path {
            node = match (&node.value, key.parse::<usize>()) {
                (Value::List(items), Ok(index)) => items.get(index)?,
                _ => node.child(key)?,
            };
        }
        node.text().map(str::to_owned)
    }

    #[test]
    fn every_value_knows_where_it_stands() {
        let (node, problems) = parsed("a: 1\nb:\n  - x\n  - {c: 'y z'}\n");
        assert_eq!(problems, [""; 0]);
        let b = node.child("b").unwrap();
        assert_eq!((node.entries()[1].at.line, node.entries()[1].at.column), (2, 1));
        let Value::List(items) = &b.value else { panic!("{b:?}") };
        assert_eq!((items[0].at.line, items[0].at.column), (3, 5));
        let c = items[1].child("c").unwrap();
        assert_eq!((c.at.line, c.at.column, c.text()), (4, 9, Some("y z")));
    }

    #[test]
    fn a_macro_is_text_wherever_it_stands_and_moves_nothing() {
        let (node, problems) = parsed(
            "cert: {{CRT}}\npath: {{DIR}}/x.pem\nq: \"{{A}}b\"\nl: [{{A}}, {b: {{C}}}]\n\
             b: |\n  {{#x}} y\n{{KEY}}: 1\nreal: {a: {b: 1}}\n",
        );
        assert_eq!(problems, [""; 0]);
        for (path, text) in [
            (&["cert"][..], "{{CRT}}"),
            (&["path"], "{{DIR}}/x.pem"),
            (&["q"], "{{A}}b"),
            (&["l", "0"], "{{A}}"),
            (&["l", "1", "b"], "{{C}}"),
            (&["b"], "{{#x}} y\n"),
            (&["{{KEY}}"], "1"),
            (&["real", "a", "b"], "1"),
        ] {
            assert_eq!(at(&node, path).as_deref(), Some(text), "{path:?}");
        }
    }

    #[test]
    fn a_key_set_twice_is_told_with_both_places() {
        let (node, problems) = parsed("a: 1\nb: {c: 1, c: 2}\na: 3\n");
        assert_eq!(
            problems,
            [
                "f:2:11: error: `c` is set twice: first in line 2",
                "f:3:1: error: `a` is set twice: first in line 1"
            ]
        );
        assert_eq!(at(&node, &["a"]).as_deref(), Some("1"));
    }

    #[test]
    fn every_indenting_tab_is_told_and_the_rest_is_read() {
        let (node, problems) = parsed("a:\n\tb: 1\n\tc: 2\nd:\n  - x\n\t- y\ne: 5\n");
        assert_eq!(
            problems,
            [
                "f:2:1: error: a tab cannot indent (use spaces)",
                "f:3:1: error: a tab cannot indent (use spaces)",
                "f:6:1: error: a tab cannot indent (use spaces)"
            ]
        );
        assert_eq!(at(&node, &["a", "c"]).as_deref(), Some("2"));
        assert_eq!(node.child("a").unwrap().child("c").unwrap().at.column, 5);
        assert_eq!(at(&node, &["e"]).as_deref(), Some("5"));
    }

    #[test]
    fn a_section_that_is_no_yaml_is_told_and_the_others_are_read() {
        for (broken, line) in [
            ("b: [1, 2\n", 2..=3),
            ("b: {x: 1\n", 2..=3),
            ("b:\n  c: d: e\n", 3..=3),
            ("b: 'x\n", 2..=4),
            ("b:\n   x: 1\n  y: 2\n", 4..=4),
            ("b: *nobody\n", 2..=2),
            ("b: @x\n", 2..=2),
        ] {
            let (node, problems) = parsed(&format!("a: 1\n{broken}c: 3\n"));
            assert_eq!(problems.len(), 1, "{broken:?}: {problems:?}");
            let told: u32 = problems[0].split(':').nth(1).unwrap().parse().unwrap();
            assert!(line.contains(&told), "{broken:?}: {problems:?}");
            assert_eq!(at(&node, &["a"]).as_deref(), Some("1"), "{broken:?}");
            assert_eq!(at(&node, &["c"]).as_deref(), Some("3"), "{broken:?}");
        }
    }

    #[test]
    fn two_broken_sections_are_told_as_two() {
        let (node, problems) = parsed("a: [\nb: 2\nc:\n  d: e: f\ng: 7\n");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(at(&node, &["g"]).as_deref(), Some("7"));
    }

    #[test]
    fn anchors_are_expanded_and_merged_within_bounds() {
        let (node, problems) = parsed("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: *x\n");
        assert_eq!(problems, [""; 0]);
        assert_eq!(at(&node, &["b", "p"]).as_deref(), Some("1"));
        assert_eq!(at(&node, &["b", "q"]).as_deref(), Some("3"));
        assert_eq!(at(&node, &["c", "q"]).as_deref(), Some("2"));

        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let all = format!("*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0}", n - 1);
            bomb.push_str(&format!("a{n}: &a{n} [{all}]\n"));
        }
        let (_, problems) = parsed(&bomb);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("more than 100000 values"), "{problems:?}");

        let (_, problems) = parsed("a: &a [*a]\n");
        assert_eq!(problems, ["f:1:8: error: this alias refers to what it is part of"]);
    }

    #[test]
    fn what_is_no_text_or_too_much_of_it_is_refused_with_its_place() {
        let mut report = Report::default();
        let file = report.file("f");
        parse(b"a: 1\nbc: \xff\xfe\n", file, &report);
        parse(&vec![b'a'; 10 << 20], file, &report);
        let told: Vec<String> = report.into_problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["f: error: larger than 1MiB: not a configuration", "f:2:5: error: not UTF-8 text"]
        );
        for deep in ["[".repeat(5000), "{a: ".repeat(5000), "- ".repeat(5000)] {
            let (_, problems) = parsed(&deep);
            assert_eq!(problems.len(), 1, "{problems:?}");
        }
    }

    #[test]
    fn an_empty_file_says_nothing_and_a_list_is_no_file() {
        for text in ["", "\n\n", "# note\n", "---\n", "~\n", "\u{feff}"] {
            let (node, problems) = parsed(text);
            assert_eq!(problems, [""; 0], "{text:?}");
            assert_eq!(node.entries(), []);
        }
        for text in ["- a\n", "word\n", "[1]"] {
            let (_, problems) = parsed(text);
            assert_eq!(problems.len(), 1, "{text:?}: {problems:?}");
        }
        let (_, problems) = parsed("a: 1\n---\nb: 2\n");
        assert_eq!(problems, ["f:2:1: error: a file is one document: what follows is not read"]);
    }

    #[test]
    fn json_is_yaml() {
        let (node, problems) = parsed(r#"{"a": {"b": ["c", 1, null]}, "d": "e\u00e4"}"#);
        assert_eq!(problems, [""; 0]);
        assert_eq!(at(&node, &["a", "b", "1"]).as_deref(), Some("1"));
        assert_eq!(at(&node, &["d"]).as_deref(), Some("eä"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            let mut report = Report::default();
            let file = report.file("f");
            parse(&bytes, file, &report);
        }

        #[test]
        fn no_soup_of_its_own_signs_makes_it_panic(text in "[\\-:{}\\[\\],&*a0<|> \t\n\"'#!%@{]{0,120}") {
            parsed(&text);
        }
    }
}
