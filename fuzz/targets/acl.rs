//! Rights of somebody under some rules, against the table said plainly (`src/broker/core/trial`).

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| whole::broker::trial::acl(input));
