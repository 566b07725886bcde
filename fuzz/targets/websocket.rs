//! See the trial.

#![no_main]

#[path = "../trials/websocket.rs"]
mod trial;

libfuzzer_sys::fuzz_target!(|input: &[u8]| trial::trial(input));
