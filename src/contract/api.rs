//! `$maestro/api/#`: the contract as documents that a program reads.
//!
//! | topic | document |
//! |---|---|
//! | `$maestro/api/asyncapi` | AsyncAPI 3.0.0: every topic with its schema, retain, QoS, role |
//! | `$maestro/api/schema/<type>` | JSON Schema 2020-12 of one type, complete in itself |
//! | `$maestro/api/errors` | every error code, its meaning and its MQTT 5 reason code |
//!
//! Made once at the start, published, and dropped: the broker's retained store has them then.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{Kept, Kind, TYPES, TopicSpec, Type, errors, topics};
use crate::topic::{Root, Topic};

/// Every document with its topic, each made when it is asked for.
pub fn documents(root: &Root) -> impl Iterator<Item = (String, Bytes)> {
    let whole = std::iter::once_with(|| (Topic::ApiDocument.to_string(), asyncapi(root).into()));
    let codes =
        std::iter::once_with(|| (Topic::ApiErrors.to_string(), error_list().to_string().into()));
    let schemas = TYPES.iter().map(|known| {
        let topic = Topic::ApiSchema { name: known.name.into() };
        (topic.to_string(), schema(known).to_string().into())
    });
    whole.chain(codes).chain(schemas)
}

/// The JSON Schema of one type, complete in itself.
pub fn schema(known: &Type) -> Value {
    let (schema, definitions) = schema_in("/$defs", known);
    let mut document = Map::new();
    document.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    document.insert("title".into(), json!(known.name));
    document.extend(schema);
    if !definitions.is_empty() {
        document.insert("$defs".into(), Value::Object(definitions));
    }
    Value::Object(document)
}

/// The schema of a type and of what it holds, where the latter stand at `path`.
fn schema_in(path: &'static str, known: &Type) -> (Map<String, Value>, Map<String, Value>) {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = path.into());
    let mut generator = settings.into_generator();
    let schema = (known.schema)(&mut generator).to_value();
    let Value::Object(schema) = schema else { return (Map::new(), Map::new()) };
    (schema, generator.take_definitions(true))
}

fn error_list() -> Value {
    let told = |error: &super::ErrorSpec| {
        (error.code.into(), json!({ "meaning": error.meaning, "reason_code": error.puback }))
    };
    Value::Object(errors().iter().map(told).collect())
}

/// The whole contract below `root`.
///
/// Written piece by piece: the tree of it all would take a megabyte that an allocator does not give
/// back, on boxes that have few.
pub fn asyncapi(root: &Root) -> String {
    let mut out = String::with_capacity(96 << 10); // its size, and some
    let head = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "maestro",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": { "host": "localhost:1883", "protocol": "mqtt", "protocolVersion": "5.0" },
        },
    });
    out.push_str(head.to_string().trim_end_matches('}'));
    out.push_str("}},");
    let each = || topics().iter();
    object(&mut out, "channels", each().map(|spec| (id(spec), channel(root, spec).to_string())));
    out.push(',');
    object(&mut out, "operations", each().map(|spec| (id(spec), operation(spec).to_string())));
    out.push_str(",\"components\":{");
    object(&mut out, "messages", each().map(|spec| (id(spec), message(spec).to_string())));
    out.push(',');
    object(&mut out, "schemas", schemas());
    out.push_str("}}");
    out
}

/// Writes `"name":{..}`.
fn object(out: &mut String, name: &str, entries: impl Iterator<Item = (String, String)>) {
    let _ = write!(out, "\"{name}\":{{");
    for (index, (key, value)) in entries.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{}:{value}", Value::String(key));
    }
    out.push('}');
}

const INTRODUCTION: &str = "Everything the daemon says and takes. `send` is what it publishes, `receive` \
    what it takes. A command's payload is a JSON object with the arguments, or nothing, or a bare word \
    or number for its subject; beside its arguments an object may have `id`, `expires`, `dry_run`, \
    `if_rev` and `sig`.";

/// `state/stats/{family}` -> `state.stats.family`.
fn id(spec: &TopicSpec) -> String {
    spec.pattern.replace(['{', '}', '*', '$'], "").replace('/', ".")
}

fn channel(root: &Root, spec: &TopicSpec) -> Value {
    let tail = spec.pattern.replace('*', "");
    let address = if spec.kind.is_absolute() { tail } else { root.join(&tail) };
    let mut channel = json!({
        "address": address,
        "description": spec.meaning,
        "messages": { id(spec): { "$ref": format!("#/components/messages/{}", id(spec)) } },
    });
    let parameters: Map<String, Value> = spec
        .parameters
        .iter()
        .map(|(name, told)| ((*name).into(), json!({ "description": told })))
        .collect();
    if !parameters.is_empty() {
        channel["parameters"] = Value::Object(parameters);
    }
    channel
}

fn operation(spec: &TopicSpec) -> Value {
    let rules = spec.kind.rules();
    let takes = matches!(spec.kind, Kind::Cmd | Kind::Desired);
    let mut operation = json!({
        "action": if takes { "receive" } else { "send" },
        "channel": { "$ref": format!("#/channels/{}", id(spec)) },
        "summary": spec.meaning,
        "bindings": { "mqtt": {
            "qos": rules.qos as u8,
            "retain": rules.kept == Kept::Always,
            "bindingVersion": "0.2.0",
        } },
        "x-since": spec.since,
        "x-bridged": format!("{:?}", spec.bridged).to_lowercase(),
        "x-reader": spec.role,
    });
    if let (Kind::Cmd, Some(verb)) = (spec.kind, spec.verb) {
        let reply = format!("#/channels/reply.{}.{}", verb.subsystem, verb.name);
        operation["reply"] = json!({
            "address": { "location": "$message.header#/responseTopic" },
            "channel": { "$ref": reply },
        });
        operation["x-class"] = json!(verb.class);
        operation["x-role"] = json!(verb.role);
        operation["x-timeout_s"] = json!(verb.timeout.as_secs_f64());
        operation["x-dry_run"] = json!(verb.dry_run);
        operation["x-result"] = json!({ "$ref": format!("#/components/schemas/{}", verb.result) });
        if let Some(subject) = verb.subject {
            operation["x-subject"] = json!(subject);
        }
    }
    operation
}

/// What is on a channel; one per channel, because the examples are the channel's.
fn message(spec: &TopicSpec) -> Value {
    let payload = match spec.payload {
        "any" => json!({}),
        "text" => json!({ "type": "string" }),
        "none" => json!({ "type": ["object", "null"], "maxProperties": 5 }), // the reserved keys
        name => json!({ "$ref": format!("#/components/schemas/{name}") }),
    };
    let subject = spec.verb.and_then(|verb| verb.subject);
    let payload = match subject.filter(|_| spec.kind == Kind::Cmd) {
        Some(_) => json!({ "anyOf": [payload, { "type": ["string", "number"] }] }),
        None => payload,
    };
    let examples: Vec<Value> =
        spec.examples.iter().map(|text| json!({ "payload": value(text) })).collect();
    let content_type = if spec.payload == "text" { "text/plain" } else { "application/json" };
    json!({
        "name": spec.payload,
        "contentType": content_type,
        "payload": payload,
        "examples": examples,
    })
}

/// An example as JSON; a bare word or nothing becomes a string.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// Every type by its name, and after them what they hold by its Rust name.
fn schemas() -> impl Iterator<Item = (String, String)> {
    let mut held = BTreeMap::new();
    let mut types = TYPES.iter();
    std::iter::from_fn(move || {
        let Some(known) = types.next() else { return held.pop_first() };
        let (schema, definitions) = schema_in("/components/schemas", known);
        held.extend(definitions.into_iter().map(|(name, schema)| (name, schema.to_string())));
        Some((known.name.into(), Value::Object(schema).to_string()))
    })
}
