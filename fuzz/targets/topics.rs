//! See the trial.

#![no_main]

#[path = "../trials/topics.rs"]
mod trial;

libfuzzer_sys::fuzz_target!(|input: &str| trial::trial(input));
