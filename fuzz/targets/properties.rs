//! See the trial.

#![no_main]

#[path = "../trials/properties.rs"]
mod trial;

libfuzzer_sys::fuzz_target!(|input: &[u8]| trial::trial(input));
