//! What the fuzzer starts from and what it once found, again: `fuzz/seeds` through the trials of `fuzz/targets`.

#[path = "../../fuzz/trials/packets.rs"]
mod packets;
#[path = "../../fuzz/trials/properties.rs"]
mod properties;
#[path = "../../fuzz/trials/topics.rs"]
mod topics;
#[path = "../../fuzz/trials/websocket.rs"]
mod websocket;

use crate::oracle;
use maestro::broker::wire::{Version, frame};

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seeds in {folder}");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn what_was_found_in_streams_of_packets_stays_mended() {
    for seed in seeds("packets") {
        packets::trial(&seed);
        let Some((version, mut stream)) = seed.split_first() else { continue };
        let version = if version & 1 == 0 { Version::V311 } else { Version::V5 };
        while !stream.is_empty() {
            let whole = frame(stream, 1 << 16).ok().flatten();
            let (one, rest) = stream.split_at(whole.map_or(stream.len(), |whole| whole.size));
            oracle::compare(version, one).unwrap();
            stream = rest;
        }
    }
}

#[test]
fn what_was_found_in_properties_topics_and_frames_of_websockets_stays_mended() {
    seeds("properties").iter().for_each(|seed| properties::trial(seed));
    seeds("websocket").iter().for_each(|seed| websocket::trial(seed));
    let texts = seeds("topics").into_iter().filter_map(|seed| String::from_utf8(seed).ok());
    texts.for_each(|text| topics::trial(&text));
}
