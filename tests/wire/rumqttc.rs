//! What a server sends, read by the client library that the bridge and most Rust programs use.

use bytes::BytesMut;
use maestro::broker::wire::Version;
use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5};

use crate::{
    bytes::{read, written},
    valid,
};

/// What `rumqttc` cannot read though it is right: it has no AUTH.
const AUTH: u8 = 0xF0;

#[test]
fn every_packet_that_a_server_may_send_is_read_by_rumqttc() {
    let mut misread = Vec::new();
    for (version, bytes) in valid::packets() {
        let packet = read(version, &bytes).unwrap();
        if packet.from_server().is_err() || bytes[0] == AUTH {
            continue;
        }
        let mut bytes = BytesMut::from(&written(version, &packet)[..]);
        let result = match version {
            Version::V311 => v4::Packet::read(&mut bytes, 4096)
                .map(|p| format!("{p:?}"))
                .map_err(|e| format!("{e:?}")),
            Version::V5 => v5::Packet::read(&mut bytes, Some(4096))
                .map(|p| format!("{p:?}"))
                .map_err(|e| format!("{e:?}")),
        };
        if result.is_err() || !bytes.is_empty() {
            misread.push(format!("{version:?} {packet:?}: {result:?}"));
        }
    }
    assert!(misread.is_empty(), "{}", misread.join("\n"));
}
