//! The compact form of a batch on its way to the cloud, `proto/envelope.proto` as Rust types.
//!
//! ```text
//!   $maestro/batch/stats/system, JSON          on the box
//!        \--> Envelope{gateway_id, boot, seq, .., entries}   on <prefix>/<id>/batch/stats/system
//! ```
//! The `.proto` file is the contract for readers in the cloud; a test here compiles it and holds these
//! types and the golden bytes against it, so that building the daemon needs no `protoc`.

/// One batch. The fields are told in `proto/envelope.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// Who sent it.
    #[prost(string, tag = "1")]
    pub gateway_id: String,
    /// The boot it was gathered in: the 8 hex digits of `boot` elsewhere, as a number.
    #[prost(fixed32, tag = "2")]
    pub boot: u32,
    /// Counts the envelopes of one subsystem and name since that boot: a gap is a loss.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// When it was closed, milliseconds since 1970-01-01T00:00:00Z.
    #[prost(int64, tag = "4")]
    pub time_unix_ms: i64,
    /// The clock was not trusted then.
    #[prost(bool, tag = "5")]
    pub time_untrusted: bool,
    /// Where it comes from: `stats`, `logs`.
    #[prost(string, tag = "6")]
    pub subsystem: String,
    /// Which of its batches: `system`.
    #[prost(string, tag = "7")]
    pub name: String,
    /// What one entry is.
    #[prost(enumeration = "ContentType", tag = "8")]
    pub content_type: i32,
    /// How the entries are carried.
    #[prost(enumeration = "ContentEncoding", tag = "9")]
    pub content_encoding: i32,
    /// Entries dropped since the envelope before this one, because a bound was reached.
    #[prost(uint64, tag = "10")]
    pub dropped: u64,
    /// The entries, oldest first, when the encoding is [`ContentEncoding::Identity`].
    #[prost(bytes = "vec", repeated, tag = "11")]
    pub entries: Vec<Vec<u8>>,
    /// Else an [`Entries`] message, encoded so.
    #[prost(bytes = "vec", tag = "12")]
    pub packed: Vec<u8>,
}

/// What is packed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entries {
    /// The entries, oldest first.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub entries: Vec<Vec<u8>>,
}

/// What one entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ContentType {
    /// One JSON document, as the topic on the box carries it.
    Json = 0,
    /// Text in UTF-8.
    Text = 1,
}

/// How the entries are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ContentEncoding {
    /// As they are.
    Identity = 0,
    /// RFC 1951.
    Deflate = 1,
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};

    use super::*;

    fn contract(message: &str) -> MessageDescriptor {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
        let files = protox::compile(["envelope.proto"], [folder]).unwrap();
        let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
        pool.get_message_by_name(&format!("maestro.bridge.v1.{message}")).unwrap()
    }

    /// Every field set to what its default is not, so that each is on the wire.
    fn full() -> Envelope {
        Envelope {
            gateway_id: "GW-0001".into(),
            boot: 0x1f0c_9a3e,
            seq: 300,
            time_unix_ms: 1_795_341_600_000,
            time_untrusted: true,
            subsystem: "stats".into(),
            name: "system".into(),
            content_type: ContentType::Text.into(),
            content_encoding: ContentEncoding::Deflate.into(),
            dropped: 7,
            entries: vec![br#"{"memory":1}"#.to_vec(), Vec::new()],
            packed: vec![0xff, 0x00],
        }
    }

    fn golden(hex: &str) -> Vec<u8> {
        let data = hex.lines().map(|line| line.split('#').next().unwrap());
        let digits: String = data.flat_map(str::split_whitespace).collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn an_envelope_is_what_its_proto_file_says() {
        let contract = contract("Envelope");
        let envelope = full();
        let entries = envelope.entries.iter().cloned().map(bytes).collect();
        let text = |text: &str| Value::String(text.into());
        let fields = [
            ("gateway_id", 1, Kind::String, text(&envelope.gateway_id)),
            ("boot", 2, Kind::Fixed32, Value::U32(envelope.boot)),
            ("seq", 3, Kind::Uint64, Value::U64(envelope.seq)),
            ("time_unix_ms", 4, Kind::Int64, Value::I64(envelope.time_unix_ms)),
            ("time_untrusted", 5, Kind::Bool, Value::Bool(true)),
            ("subsystem", 6, Kind::String, text(&envelope.subsystem)),
            ("name", 7, Kind::String, text(&envelope.name)),
            ("content_type", 8, enumeration(&contract, "ContentType"), Value::EnumNumber(1)),
            (
                "content_encoding",
                9,
                enumeration(&contract, "ContentEncoding"),
                Value::EnumNumber(1),
            ),
            ("dropped", 10, Kind::Uint64, Value::U64(7)),
            ("entries", 11, Kind::Bytes, Value::List(entries)),
            ("packed", 12, Kind::Bytes, bytes(envelope.packed.clone())),
        ];
        assert_eq!(contract.fields().len(), fields.len());
        let read = DynamicMessage::decode(contract.clone(), &*envelope.encode_to_vec()).unwrap();
        assert_eq!(read.unknown_fields().count(), 0);
        for (name, number, kind, value) in fields {
            let field = contract.get_field_by_name(name).unwrap();
            assert_eq!((field.number(), field.kind()), (number, kind), "{name}");
            assert_eq!(field.is_list(), name == "entries", "{name}");
            assert_eq!(*read.get_field(&field), value, "{name}");
        }
        assert_eq!(read.encode_to_vec(), envelope.encode_to_vec());
    }

    fn bytes(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes.into())
    }

    fn enumeration(contract: &MessageDescriptor, name: &str) -> Kind {
        let mut kinds = contract.fields().map(|field| field.kind());
        kinds.find(|k| k.as_enum().is_some_and(|e| e.name() == name)).unwrap()
    }

    #[test]
    fn entries_are_what_the_proto_file_says() {
        let entries = Entries { entries: vec![b"a".to_vec(), b"bc".to_vec()] };
        let read = DynamicMessage::decode(contract("Entries"), &*entries.encode_to_vec()).unwrap();
        assert_eq!(read.unknown_fields().count(), 0);
        assert_eq!(read.encode_to_vec(), entries.encode_to_vec());
        assert_eq!(contract("Entries").fields().len(), 1);
    }

    #[test]
    fn enumerations_have_the_names_and_numbers_of_the_proto_file() {
        let contract = contract("Envelope");
        let values = |name: &str| -> Vec<(String, i32)> {
            let kind = enumeration(&contract, name);
            let values = kind.as_enum().unwrap().values();
            values.map(|value| (value.name().to_owned(), value.number())).collect()
        };
        let types = [ContentType::Json, ContentType::Text];
        assert_eq!(values("ContentType"), types.map(|t| (upper(t), t.into())));
        let encodings = [ContentEncoding::Identity, ContentEncoding::Deflate];
        assert_eq!(values("ContentEncoding"), encodings.map(|e| (upper(e), e.into())));
    }

    fn upper(name: impl std::fmt::Debug) -> String {
        format!("{name:?}").to_uppercase()
    }

    #[test]
    fn golden_bytes_are_read_and_written_for_ever() {
        let bytes = golden(include_str!("../../proto/golden/envelope.hex"));
        assert_eq!(Envelope::decode(&*bytes).unwrap(), full());
        assert_eq!(full().encode_to_vec(), bytes);
    }

    #[test]
    fn a_reader_ignores_fields_it_does_not_know() {
        let mut bytes = full().encode_to_vec();
        bytes.extend([0xa2, 0x06, 0x01, 0x78]); // field 100, length-delimited, "x"
        assert_eq!(Envelope::decode(&*bytes).unwrap(), full());
    }
}
