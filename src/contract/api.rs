//! `$maestro/api/#`: the contract as documents that a program reads.
//!
//! | topic | document |
//! |---|---|
//! | `$maestro/api/asyncapi` | AsyncAPI 3.0.0: every topic with its schema, retain, QoS, role |
//! | `$maestro/api/schema/<type>` | JSON Schema 2020-12 of one type, complete in itself |
//! | `$maestro/api/errors` | every error code, its meaning and its MQTT 5 reason code |
//!
//! Made once at the start, published, and dropped: the broker's retained store has them then.

use bytes::Bytes;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{Kept, Kind, TYPES, TopicSpec, Type, errors, topics};
use crate::topic::{Root, Topic};

/// Every document with its topic.
pub fn documents(root: &Root) -> Vec<(String, Bytes)> {
    let mut all = vec![
        (Topic::ApiDocument.to_string(), bytes(&asyncapi(root))),
        (Topic::ApiErrors.to_string(), bytes(&error_list())),
    ];
    all.extend(TYPES.iter().map(|known| {
        let topic = Topic::ApiSchema { name: known.name.into() };
        (topic.to_string(), bytes(&schema(known)))
    }));
    all
}

fn bytes(document: &Value) -> Bytes {
    document.to_string().into()
}

/// The JSON Schema of one type, complete in itself.
pub fn schema(known: &Type) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schema = (known.schema)(&mut generator);
    let definitions = generator.take_definitions(true);
    let mut document = Map::new();
    document.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    document.insert("title".into(), json!(known.name));
    document.extend(schema.as_object().cloned().unwrap_or_default());
    document.insert("title".into(), json!(known.name)); // not the Rust type's
    if !definitions.is_empty() {
        document.insert("$defs".into(), Value::Object(definitions));
    }
    Value::Object(document)
}

fn error_list() -> Value {
    let told = |error: &super::ErrorSpec| {
        (error.code.into(), json!({ "meaning": error.meaning, "reason_code": error.puback }))
    };
    Value::Object(errors().iter().map(told).collect())
}

/// The whole contract below `root`.
pub fn asyncapi(root: &Root) -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for spec in topics() {
        channels.insert(id(spec), channel(root, spec));
        operations.insert(id(spec), operation(spec));
    }
    json!({
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
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages(), "schemas": schemas() },
    })
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
        "messages": { message(spec): { "$ref": format!("#/components/messages/{}", message(spec)) } },
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

/// One message per channel, because the examples are the channel's.
fn message(spec: &TopicSpec) -> String {
    id(spec)
}

fn messages() -> Map<String, Value> {
    let mut all = Map::new();
    for spec in topics() {
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
        all.insert(
            message(spec),
            json!({
                "name": spec.payload,
                "contentType": content_type,
                "payload": payload,
                "examples": examples,
            }),
        );
    }
    all
}

/// An example as JSON; a bare word or nothing becomes a string.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// Every type by its name, and what they share by its Rust name.
fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut all = Map::new();
    for known in TYPES {
        all.insert(known.name.into(), (known.schema)(&mut generator).to_value());
    }
    all.extend(generator.take_definitions(true));
    all
}
