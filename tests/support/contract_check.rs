//! Holds one publish of the daemon against the contract: a known topic, the schema of its type, no
//! key that the type does not have, keys in the type's order, stamps last, the class's retain and QoS.

use std::cell::RefCell;
use std::collections::HashMap;

use maestro::contract::{self, Kept, Kind, TopicSpec};
use maestro::topic::Root;
use serde_json::Value;

/// A message as it was seen on the bus.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'s> {
    /// The whole topic.
    pub(crate) topic: &'s str,
    /// The payload.
    pub(crate) payload: &'s [u8],
    /// The retain flag it was published with, where the watcher can know it (Retain As Published).
    pub(crate) retain: Option<bool>,
    /// The quality it came with, where the watcher asked for 2.
    pub(crate) qos: Option<u8>,
}

/// What is wrong with a publish, in one sentence; `Ok` when the contract holds, or when the topic is
/// not the daemon's.
pub(crate) fn check(topic: &str, payload: &[u8]) -> Result<(), String> {
    check_seen(&Root::default(), &Seen { topic, payload, retain: None, qos: None })
}

/// [`check`] with all that a watcher may know.
pub(crate) fn check_seen(root: &Root, seen: &Seen<'_>) -> Result<(), String> {
    let Some(spec) = contract::lookup_topic(root, seen.topic) else {
        let ours = seen.topic.starts_with('$') || root.tail(seen.topic).is_some();
        return if ours { Err("the contract has no such topic".into()) } else { Ok(()) };
    };
    match spec.kind {
        Kind::App | Kind::Cmd | Kind::Desired => return Ok(()), // its publisher's business
        Kind::Info | Kind::Status | Kind::State | Kind::Reply | Kind::Task | Kind::Event => {}
        Kind::Log | Kind::Metric | Kind::Client | Kind::Api | Kind::Batch | Kind::Sys => {}
    }
    manner(spec, seen)?;
    if seen.payload.is_empty() {
        let kept = spec.kind.rules().kept == Kept::Always;
        return if kept { Ok(()) } else { Err("an empty payload only ends what is kept".into()) };
    }
    let text = std::str::from_utf8(seen.payload).map_err(|e| e.to_string())?;
    match spec.payload {
        "text" => Ok(()),
        "any" => serde_json::from_str::<Value>(text).map(|_| ()).map_err(|e| e.to_string()),
        name => {
            let value = payload(name, text)?;
            stamped_last(&value)?;
            match (spec.kind, spec.verb, value.get("result")) {
                (Kind::Reply, Some(verb), Some(result)) => {
                    payload(verb.result, &result.to_string()).map(|_| ())
                }
                _ => Ok(()),
            }
        }
    }
}

fn manner(spec: &TopicSpec, seen: &Seen<'_>) -> Result<(), String> {
    let rules = spec.kind.rules();
    if let Some(retain) = seen.retain.filter(|retain| *retain != (rules.kept == Kept::Always)) {
        return Err(format!("published with retain {retain}; its class says {:?}", rules.kept));
    }
    match seen.qos.filter(|qos| *qos != rules.qos as u8) {
        Some(qos) => Err(format!("published with QoS {qos}; its class says {}", rules.qos as u8)),
        None => Ok(()),
    }
}

/// Checks a payload against its type, and returns it.
pub(crate) fn payload(name: &str, text: &str) -> Result<Value, String> {
    let known = contract::type_named(name).ok_or(format!("`{name}` is no registered type"))?;
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    valid(name, &value)?;
    let again = (known.round_trip)(text.as_bytes()).map_err(|e| format!("not a {name}: {e}"))?;
    let again: Value = serde_json::from_slice(&again).map_err(|e| e.to_string())?;
    // as text: the order of the keys is part of it
    let (written, read) = (value.to_string(), again.to_string());
    if written != read {
        return Err(format!("a {name} reads as {again}"));
    }
    Ok(value)
}

/// Checks a value against the JSON Schema of a type.
fn valid(name: &str, value: &Value) -> Result<(), String> {
    thread_local! {
        static COMPILED: RefCell<HashMap<String, (boon::Schemas, boon::SchemaIndex)>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        if !compiled.contains_key(name) {
            let known =
                contract::type_named(name).ok_or(format!("`{name}` is no registered type"))?;
            compiled.insert(name.into(), compile(&contract::api::schema(known))?);
        }
        let (schemas, index) = &compiled[name];
        schemas.validate(value, *index).map_err(|e| format!("not a {name}: {e:#}"))
    })
}

/// Compiles a schema document.
pub(crate) fn compile(document: &Value) -> Result<(boon::Schemas, boon::SchemaIndex), String> {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("mem:///schema", document.clone()).map_err(|e| e.to_string())?;
    let index = compiler.compile("mem:///schema", &mut schemas).map_err(|e| format!("{e:#}"))?;
    Ok((schemas, index))
}

/// `time`, `boot`, `seq` stand last where they stand, in this order.
fn stamped_last(value: &Value) -> Result<(), String> {
    let Some(object) = value.as_object() else { return Ok(()) };
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    if !keys.contains(&"boot") || keys.ends_with(&["time", "boot", "seq"]) {
        return Ok(());
    }
    Err(format!("`time`, `boot`, `seq` are not the last keys: {}", keys.join(", ")))
}
