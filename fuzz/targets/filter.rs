//! Topic filters: is it one, and does the tree find what a list of them finds (`src/broker/core/trial`).

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| whole::broker::trial::filter(input));
