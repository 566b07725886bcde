//! The contract holds: `topics/*.toml`, the Rust types, the codes in the source and the documents on
//! `$maestro/api` say the same. Any drift fails here with the entry that drifted.

#[path = "support/contract_check.rs"]
mod contract_check;
#[path = "support/skip.rs"]
mod skip;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use maestro::contract::{self, Kind, RESERVED, TYPES, api};
use maestro::topic::{Root, overlaps};
use serde_json::{Value, json};

const PLAIN: [&str; 3] = ["text", "any", "none"];

/// Names of types in `topics/*.toml`, each with a place that names it.
fn named_types() -> Vec<(&'static str, String)> {
    let payloads = contract::topics().iter().map(|spec| (spec.payload, spec.pattern.to_string()));
    let verbs = contract::verbs().iter().flat_map(|verb| {
        let place = format!("{}/{}", verb.subsystem, verb.name);
        verb.args.iter().copied().chain([verb.result]).map(move |name| (name, place.clone()))
    });
    payloads.chain(verbs).filter(|(name, _)| !PLAIN.contains(name)).collect()
}

fn fail_with(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_type_that_a_topic_names_is_registered_and_every_registered_type_is_named() {
    let named = named_types();
    let mut problems = Vec::new();
    for (name, place) in &named {
        if contract::type_named(name).is_none() {
            problems.push(format!("{place}: `{name}` is not in src/contract/types.rs"));
        }
    }
    for known in TYPES {
        if !named.iter().any(|(name, _)| *name == known.name) {
            problems
                .push(format!("src/contract/types.rs: no topic or verb names `{}`", known.name));
        }
    }
    let names: BTreeSet<&str> = TYPES.iter().map(|known| known.name).collect();
    assert_eq!(names.len(), TYPES.len(), "a name is registered twice");
    fail_with(&problems);
}

#[test]
fn every_example_is_of_its_type_and_comes_back_key_by_key() {
    let mut problems = Vec::new();
    for spec in contract::topics().iter().filter(|spec| spec.is_typed() && spec.kind != Kind::Cmd) {
        for example in spec.examples {
            if let Err(problem) = contract_check::payload(spec.payload, example) {
                problems.push(format!("{}: {problem}", spec.pattern));
            }
        }
    }
    for verb in contract::verbs() {
        for example in verb.examples {
            let args = arguments(verb.subject, example.args);
            let args = match verb.args {
                Some(name) => contract_check::payload(name, &args).map(drop),
                None if args == "{}" => Ok(()),
                None => Err(format!("takes no arguments, its example has {args}")),
            };
            let result = contract_check::payload(verb.result, example.result).map(drop);
            for problem in [args, result].into_iter().filter_map(Result::err) {
                problems.push(format!("{}/{}: {problem}", verb.subsystem, verb.name));
            }
        }
    }
    fail_with(&problems);
}

/// The arguments that a command's payload stands for, without the reserved keys.
fn arguments(subject: Option<&str>, payload: &str) -> String {
    match (serde_json::from_str::<Value>(payload), subject) {
        (Ok(Value::Object(mut object)), _) => {
            RESERVED.iter().for_each(|key| drop(object.shift_remove(*key)));
            Value::Object(object).to_string()
        }
        (Ok(number), Some(subject)) => json!({ subject: number }).to_string(),
        (Err(_), Some(subject)) if !payload.is_empty() => json!({ subject: payload }).to_string(),
        _ => "{}".to_string(),
    }
}

#[test]
fn every_topic_is_found_by_its_name_and_every_example_passes_the_check_of_the_scenarios() {
    let root = Root::default();
    let mut problems = Vec::new();
    for spec in contract::topics() {
        let name = spec.pattern.replace(['{', '}', '*'], "");
        let topic = if spec.kind.is_absolute() { name } else { root.join(&name) };
        match contract::lookup_topic(&root, &topic) {
            Some(found) if std::ptr::eq(found, spec) => {}
            found => problems.push(format!("{topic} is found as {:?}", found.map(|f| f.pattern))),
        }
        for example in spec.examples.iter().filter(|_| spec.kind != Kind::Cmd) {
            if let Err(problem) = contract_check::check(&topic, example.as_bytes()) {
                problems.push(format!("{topic}: {problem}"));
            }
        }
    }
    fail_with(&problems);
}

#[test]
fn the_check_of_the_scenarios_tells_what_is_wrong() {
    let wrong =
        |topic, payload: &str| contract_check::check(topic, payload.as_bytes()).unwrap_err();
    assert_eq!(wrong("maestro/sate/x", "{}"), "the contract has no such topic");
    assert_eq!(wrong("$maestro/x", "{}"), "the contract has no such topic");
    assert!(wrong("maestro/info", "{").contains("EOF"));
    assert!(wrong("maestro/info", "{}").starts_with("not a daemon.Info"));
    assert_eq!(wrong("maestro/reply/system/ping", ""), "an empty payload only ends what is kept");
    assert!(contract_check::check("sensors/hall", b"\xff").is_ok());
    let seen = contract_check::Seen {
        topic: "maestro/info",
        payload: b"",
        retain: Some(false),
        qos: Some(1),
    };
    assert!(contract_check::check_seen(&Root::default(), &seen).unwrap_err().contains("retain"));
    let seen = contract_check::Seen { retain: Some(true), qos: Some(0), ..seen };
    assert!(contract_check::check_seen(&Root::default(), &seen).unwrap_err().contains("QoS"));
}

/// Every Rust file of a folder, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    found
}

/// The string literals of a source, its tests left out.
fn literals(source: &str) -> impl Iterator<Item = &str> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split('"').skip(1).step_by(2))
}

fn is_code(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.contains('.') && text.split('.').all(word)
}

/// The folders of `src`: an error code begins with one of them, or with a word that has a list.
fn rooms() -> Vec<String> {
    let rooms = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("src");
    let folders = rooms.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_error_code_in_the_source_is_listed_and_every_listed_one_is_used() {
    let listed = contract::errors().iter().filter_map(|error| error.code.split('.').next());
    let mut domains: BTreeSet<String> = listed.map(str::to_string).collect();
    domains.extend(rooms());
    let (mut used, mut problems) = (BTreeSet::new(), Vec::new());
    for (path, text) in sources("src") {
        if path.components().any(|part| part.as_os_str() == "compile") || path.ends_with("tests.rs")
        {
            continue; // its literals are examples
        }
        for code in literals(&text).filter(|text| is_code(text)) {
            used.insert(code.to_string());
            let ours = code.split('.').next().is_some_and(|domain| domains.contains(domain));
            if ours && contract::error(code).is_none() {
                problems.push(format!("{}: `{code}` is not in topics/*.toml", path.display()));
            }
        }
    }
    for error in contract::errors().iter().filter(|error| !used.contains(error.code)) {
        problems.push(format!("topics/*.toml: nothing in src says `{}`", error.code));
    }
    fail_with(&problems);
}

#[test]
fn every_verb_has_a_handler_in_its_subsystem() {
    let mut problems = Vec::new();
    for verb in contract::verbs() {
        let sources = sources(&format!("src/{}", verb.subsystem));
        // one with a single verb need not tell them apart
        let single =
            contract::verbs().iter().filter(|v| v.subsystem == verb.subsystem).count() == 1;
        let handled = sources.iter().any(|(_, text)| {
            literals(text).any(|literal| literal == verb.name) || single && text.contains("Call")
        });
        if !handled {
            problems.push(format!("src/{} has no handler for `{}`", verb.subsystem, verb.name));
        }
    }
    fail_with(&problems);
}

#[test]
fn every_topic_in_the_readme_is_one_of_the_contract() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("README.md");
    let filters: Vec<String> = contract::topics()
        .iter()
        .filter(|spec| !spec.kind.is_absolute())
        .map(|spec| Root::default().join(&as_filter(spec.pattern)))
        .collect();
    let mut problems = Vec::new();
    for word in readme.split(|c: char| c.is_whitespace() || "`'\"|(),".contains(c)) {
        let topic = word.trim_end_matches(['.', ':', ';']);
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-+#<>".contains(c);
        if !topic.starts_with("maestro/") || topic.ends_with('/') || !topic.chars().all(plain) {
            continue;
        }
        let topic = as_filter(&topic.replace('<', "{").replace('>', "}"));
        if !filters.iter().any(|filter| overlaps(filter, &topic)) {
            problems.push(format!("README.md: `{topic}` is no topic"));
        }
    }
    fail_with(&problems);
}

/// A pattern as a filter: `{x}` is `+`, `{x*}` is `#`.
fn as_filter(pattern: &str) -> String {
    let level = |level: &str| match level {
        level if level.ends_with("*}") => "#".to_string(),
        level if level.starts_with('{') => "+".to_string(),
        level => level.to_string(),
    };
    pattern.split('/').map(level).collect::<Vec<_>>().join("/")
}

#[test]
fn the_documents_are_complete_and_every_reference_in_them_leads_somewhere() {
    let root = Root::new("gw/GW1");
    let document = document(&root);
    for key in ["asyncapi", "info", "channels", "operations", "components"] {
        assert!(document.get(key).is_some(), "{key}");
    }
    assert_eq!(document["channels"]["info"]["address"], "gw/GW1/info");
    assert_eq!(document["channels"].as_object().map(|c| c.len()), Some(contract::topics().len()));
    let mut problems = Vec::new();
    follow(&document, &document, &mut problems);
    fail_with(&problems);
    let topics: BTreeSet<String> = api::documents(&root).map(|(topic, _)| topic).collect();
    assert_eq!(topics.len(), TYPES.len() + 2);
    for (topic, bytes) in api::documents(&root) {
        contract_check::check(&topic, &bytes).unwrap_or_else(|e| panic!("{topic}: {e}"));
    }
}

fn document(root: &Root) -> Value {
    serde_json::from_str(&api::asyncapi(root)).expect("the document is JSON")
}

#[test]
fn two_types_of_one_rust_name_are_the_same_type() {
    let mut held = std::collections::BTreeMap::<String, (Value, &str)>::new();
    let mut problems = Vec::new();
    for known in TYPES {
        for (name, held_schema) in api::schema(known)["$defs"].as_object().into_iter().flatten() {
            let (first, by) = held.entry(name.clone()).or_insert((held_schema.clone(), known.name));
            if first != held_schema {
                problems.push(format!("{by} and {} hold different `{name}`", known.name));
            }
        }
    }
    fail_with(&problems);
}

/// Follows every `$ref` of a value.
fn follow(document: &Value, value: &Value, problems: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap_or(reference);
                if document.pointer(pointer).is_none() {
                    problems.push(format!("{reference} leads nowhere"));
                }
            }
            object.values().for_each(|value| follow(document, value, problems));
        }
        Value::Array(items) => items.iter().for_each(|item| follow(document, item, problems)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_schema_compiles_and_tells_what_each_key_means() {
    let mut problems = Vec::new();
    for known in TYPES {
        let schema = api::schema(known);
        if let Err(problem) = contract_check::compile(&schema) {
            problems.push(format!("{}: {problem}", known.name));
        }
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        for (key, property) in properties.iter().filter(|(_, p)| p.get("description").is_none()) {
            problems.push(format!("{}: `{key}` has no doc comment: {property}", known.name));
        }
    }
    fail_with(&problems);
}

/// The schema of AsyncAPI itself, from the npm package `@asyncapi/specs` (schemas/3.0.0.json), put into
/// `target/peers/asyncapi` by hand.
#[test]
fn the_document_is_valid_asyncapi_3() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/asyncapi/3.0.0.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return skip::skip("needs schemas/3.0.0.json of the npm package @asyncapi/specs");
    };
    let official: Value = serde_json::from_str(&text).expect("a JSON schema");
    let (schemas, index) = contract_check::compile(&official).expect("a schema that compiles");
    let mut document = document(&Root::default());
    if let Err(e) = schemas.validate(&document, index) {
        panic!("{e:#}");
    }
    document["operations"]["info"]["action"] = json!("shout");
    assert!(schemas.validate(&document, index).is_err(), "the schema refuses nothing");
}
