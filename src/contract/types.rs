//! Every message type, once: its name on the bus and the Rust type it is.
//!
//! A type in `topics/*.toml` that is not here, or the reverse, fails `tests/contract.rs`.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde_json::{Map, Value};

use super::{Error, arguments};
use crate::command;

use crate::bridge::message as bridge;
use crate::broker::notice as broker;
use crate::daemon::message as daemon;
use crate::service::message as service;
use crate::stats::message as stats;
use crate::system::message as system;

/// A message type as the contract sees it.
#[derive(Clone, Copy, Debug)]
pub struct Type {
    /// `<subsystem>.<Type>`.
    pub name: &'static str,
    /// Its JSON Schema; the doc comments of its fields are the descriptions.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Decodes and encodes again.
    pub round_trip: fn(&[u8]) -> Result<Vec<u8>, String>,
    /// Whether a command's arguments are of this type, with one precise refusal.
    pub arguments: fn(&Map<String, Value>) -> Result<(), Error>,
}

impl Type {
    const fn of<T: Serialize + DeserializeOwned + JsonSchema>(name: &'static str) -> Type {
        Type {
            name,
            schema: T::json_schema,
            round_trip: round_trip::<T>,
            arguments: |args| arguments::<T>(args).map(drop),
        }
    }
}

/// Every message type there is, by name.
pub static TYPES: &[Type] = &[
    Type::of::<bridge::Metric>("bridge.Metric"),
    Type::of::<bridge::State>("bridge.State"),
    Type::of::<broker::DisconnectArgs>("broker.DisconnectArgs"),
    Type::of::<broker::Disconnected>("broker.Disconnected"),
    Type::of::<broker::Metric>("broker.Metric"),
    Type::of::<broker::Presence>("broker.Presence"),
    Type::of::<broker::Refused>("broker.Refused"),
    Type::of::<broker::Dropped>("broker.Dropped"),
    Type::of::<command::message::Task>("command.Task"),
    Type::of::<daemon::Info>("daemon.Info"),
    Type::of::<service::Status>("daemon.Status"),
    Type::of::<service::SubsystemStatus>("daemon.SubsystemStatus"),
    Type::of::<stats::Batch>("stats.Batch"),
    Type::of::<stats::Metric<stats::Cpu>>("stats.Cpu"),
    Type::of::<stats::Metric<stats::Daemon>>("stats.Daemon"),
    Type::of::<stats::Metric<stats::Disk>>("stats.Disk"),
    Type::of::<stats::Families>("stats.Families"),
    Type::of::<stats::Metric<stats::Io>>("stats.Io"),
    Type::of::<stats::Metric<stats::Load>>("stats.Load"),
    Type::of::<stats::Metric<stats::Memory>>("stats.Memory"),
    Type::of::<stats::Metric<stats::Network>>("stats.Network"),
    Type::of::<stats::Sample>("stats.Sample"),
    Type::of::<stats::SampleArgs>("stats.SampleArgs"),
    Type::of::<stats::Metric<stats::Temperature>>("stats.Temperature"),
    Type::of::<crate::storage::message::Metric>("storage.Metric"),
    Type::of::<system::Ending>("system.Ending"),
    Type::of::<system::Facts>("system.Facts"),
    Type::of::<system::Pong>("system.Pong"),
    Type::of::<system::RebootArgs>("system.RebootArgs"),
    Type::of::<system::Rebooted>("system.Rebooted"),
    Type::of::<system::Whoami>("system.Whoami"),
];

/// One message type.
pub fn type_named(name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|known| known.name == name)
}

fn round_trip<T: Serialize + DeserializeOwned>(json: &[u8]) -> Result<Vec<u8>, String> {
    let value: T = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    serde_json::to_vec(&value).map_err(|e| e.to_string())
}

/// The keys of a struct as serde knows them, without a value of it: a deserializer is handed the list
/// before it is asked for anything, and stops there.
pub(super) fn keys<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    let _ = T::deserialize(Keys(&mut keys)); // always stops
    keys
}

struct Keys<'k>(&'k mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Keys<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only the keys are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_struct_are_known_without_a_value() {
        assert_eq!(
            keys::<crate::contract::Error>(),
            ["code", "message", "field", "hint", "retryable", "cause"]
        );
        assert!(keys::<Vec<u8>>().is_empty());
    }
}
