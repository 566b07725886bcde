//! Each packet of a stream, asked of `rmqtt-codec` too; a difference that is not listed is a finding.
//!
//! The first byte of the input chooses the version.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maestro::broker::wire::{Version, frame};

#[path = "../../tests/wire/oracle/mod.rs"]
#[expect(dead_code, reason = "the lists are compared by the test")]
mod oracle;

fuzz_target!(|input: &[u8]| {
    let Some((version, mut stream)) = input.split_first() else { return };
    let version = if version & 1 == 0 { Version::V311 } else { Version::V5 };
    while !stream.is_empty() {
        let size = match frame(stream, 1 << 16) {
            Ok(Some(frame)) => frame.size,
            Ok(None) | Err(_) => stream.len(),
        };
        if let Err(difference) = oracle::compare(version, &stream[..size]) {
            panic!("{version:?} {:02X?}\n{difference}", &stream[..size]);
        }
        stream = &stream[size..];
    }
});
