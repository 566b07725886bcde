//! `statements.toml` against the numbering of the two standards, and against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Chapter and section, first and last statement: MQTT 5.0, appendix B.
#[rustfmt::skip]
const V5: &[(&str, u32, u32)] = &[
    ("1.5.4", 1, 3), ("1.5.5", 1, 1), ("1.5.7", 1, 1), ("2.1.3", 1, 1), ("2.2.1", 2, 6), ("2.2.2", 1, 1),
    ("3.1.0", 1, 2), ("3.1.2", 1, 30), ("3.1.3", 1, 12), ("3.1.4", 1, 6), ("3.2.0", 1, 2), ("3.2.2", 1, 22),
    ("3.3.1", 1, 13), ("3.3.2", 1, 20), ("3.3.4", 1, 10), ("3.4.2", 1, 3), ("3.5.2", 1, 3), ("3.6.1", 1, 1),
    ("3.6.2", 1, 3), ("3.7.2", 1, 3), ("3.8.1", 1, 1), ("3.8.3", 1, 5), ("3.8.4", 1, 8), ("3.9.2", 1, 2),
    ("3.9.3", 1, 2), ("3.10.1", 1, 1), ("3.10.3", 1, 2), ("3.10.4", 1, 6), ("3.11.2", 1, 2), ("3.11.3", 1, 2),
    ("3.12.4", 1, 1), ("3.14.0", 1, 1), ("3.14.1", 1, 1), ("3.14.2", 1, 4), ("3.14.4", 1, 3), ("3.15.1", 1, 1),
    ("3.15.2", 1, 3), ("4.1.0", 1, 2), ("4.2.0", 1, 1), ("4.3.1", 1, 1), ("4.3.2", 1, 5), ("4.3.3", 1, 13),
    ("4.4.0", 1, 2), ("4.5.0", 1, 2), ("4.6.0", 1, 6), ("4.7.0", 1, 1), ("4.7.1", 1, 2), ("4.7.2", 1, 1),
    ("4.7.3", 1, 4), ("4.8.2", 1, 6), ("4.9.0", 1, 3), ("4.12.0", 1, 7), ("4.12.1", 1, 2), ("4.13.1", 1, 1),
    ("4.13.2", 1, 1), ("6.0.0", 1, 4),
];

/// The same of MQTT 3.1.1.
#[rustfmt::skip]
const V311: &[(&str, u32, u32)] = &[
    ("1.5.3", 1, 3), ("2.2.2", 1, 2), ("2.3.1", 1, 7), ("3.1.0", 1, 2), ("3.1.2", 1, 24), ("3.1.3", 1, 11),
    ("3.1.4", 1, 5), ("3.2.0", 1, 1), ("3.2.2", 1, 6), ("3.3.1", 1, 12), ("3.3.2", 1, 3), ("3.3.4", 1, 1),
    ("3.3.5", 1, 2), ("3.6.1", 1, 1), ("3.8.1", 1, 1), ("3.8.3", 1, 3), ("3-8.3", 4, 4), ("3.8.4", 1, 6),
    ("3.9.3", 1, 2), ("3.10.1", 1, 1), ("3.10.3", 1, 2), ("3.10.4", 1, 6), ("3.12.4", 1, 1), ("3.14.1", 1, 1),
    ("3.14.4", 1, 3), ("4.1.0", 1, 2), ("4.3.1", 1, 1), ("4.3.2", 1, 2), ("4.3.3", 1, 2), ("4.4.0", 1, 1),
    ("4.5.0", 1, 2), ("4.6.0", 1, 6), ("4.7.1", 1, 3), ("4.7.2", 1, 1), ("4.7.3", 1, 4), ("4.8.0", 1, 2),
    ("6.0.0", 1, 4), ("7.0.0", 1, 2), ("7.1.1", 1, 1), ("7.1.2", 1, 1),
];

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    rooms: BTreeMap<String, String>,
    #[serde(rename = "5.0")]
    v5: BTreeMap<String, Row>,
    #[serde(rename = "3.1.1")]
    v311: BTreeMap<String, Row>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    says: String,
    #[serde(default)]
    tests: Vec<String>,
    not_applicable: Option<String>,
}

/// The list; two rows of one number are no TOML.
fn list() -> List {
    toml::from_str(include_str!("statements.toml"))
        .unwrap_or_else(|e| panic!("statements.toml: {e}"))
}

fn ids(sections: &[(&str, u32, u32)]) -> BTreeSet<String> {
    let all = sections.iter().flat_map(|(section, first, last)| {
        (*first..=*last).map(move |number| format!("MQTT-{section}-{number}"))
    });
    all.collect()
}

fn fail_with(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_statement_of_both_standards_is_listed_and_no_other() {
    let list = list();
    let mut problems = Vec::new();
    for (version, rows, sections, count) in
        [("5.0", &list.v5, V5, 251), ("3.1.1", &list.v311, V311, 141)]
    {
        let standard = ids(sections);
        assert_eq!(standard.len(), count, "{version}");
        let listed: BTreeSet<String> = rows.keys().cloned().collect();
        problems
            .extend(standard.difference(&listed).map(|id| format!("{version}: {id} is missing")));
        problems.extend(listed.difference(&standard).map(|id| format!("{version}: no {id}")));
    }
    fail_with(&problems);
}

#[test]
fn every_statement_has_a_test_or_a_clause_and_few_have_no_test() {
    let list = list();
    let mut problems = Vec::new();
    for (version, rows) in [("5.0", &list.v5), ("3.1.1", &list.v311)] {
        for (id, row) in rows {
            let words = row.says.split_whitespace().count();
            if !(2..=20).contains(&words) {
                problems.push(format!("{version} {id}: a few words, not {words}"));
            }
            let clause = row.not_applicable.as_deref();
            let has_clause =
                clause.is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()));
            if row.tests.is_empty() != has_clause || clause.is_some() != has_clause {
                problems.push(format!("{version} {id}: either tests, or the clause and why not"));
            }
        }
        let without = rows.values().filter(|row| row.not_applicable.is_some()).count();
        if without * 10 > rows.len() {
            problems.push(format!("{version}: {without} of {} are not applicable", rows.len()));
        }
    }
    fail_with(&problems);
}

#[test]
fn every_test_that_a_statement_names_is_there() {
    let list = list();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut problems = BTreeSet::new();
    for (id, row) in list.v5.iter().chain(&list.v311) {
        for test in &row.tests {
            if let Err(problem) = find(root, &list.rooms, test) {
                problems.insert(format!("{id}: {test}: {problem}"));
            }
        }
    }
    fail_with(&problems.into_iter().collect::<Vec<_>>());
}

/// Looks for `room/file::function`, a function that is a test.
fn find(root: &Path, rooms: &BTreeMap<String, String>, test: &str) -> Result<(), String> {
    let (place, name) = test.split_once("::").ok_or("not room/file::function")?;
    let (room, file) = place.split_once('/').ok_or("not room/file::function")?;
    let room = rooms.get(room).ok_or("no such room")?;
    let path = root.join(room).join(format!("{file}.rs"));
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") {
            is_test = true;
        } else if line.starts_with(&format!("fn {name}(")) {
            return if is_test { Ok(()) } else { Err("is no test".into()) };
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_test = false;
        }
    }
    Err("is not there".into())
}

#[test]
fn the_search_finds_tests_and_nothing_else() {
    let rooms = BTreeMap::from([("here".to_string(), "tests/mqtt".to_string())]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = |test| find(root, &rooms, test).map_err(|problem| problem.len() > 2);
    assert_eq!(found("here/statements::the_search_finds_tests_and_nothing_else"), Ok(()));
    for wrong in ["here/statements::find", "here/statements::x", "here/x::x", "x/x::x", "x"] {
        assert_eq!(found(wrong), Err(true), "{wrong}");
    }
}
