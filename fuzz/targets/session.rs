//! Several clients, a link, the disk, the gate and the clock in any order, on the pure core; after each deed
//! everything that must hold is looked at (`src/broker/core/trial`).

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| whole::broker::trial::session(input));
