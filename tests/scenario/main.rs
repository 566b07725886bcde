//! Scenario tests: the built daemon on real sockets, with real clients and real peers.
//!
//! One binary, so that the harness is compiled once. Each file tells one story of the gates;
//! what they share is in `support`. `tests/run` gets the peers they need.

#[expect(dead_code, reason = "the house is being built; every piece has a test that waits for it")]
#[path = "../support/mod.rs"]
mod support;

mod activation;
mod attack;
mod bridge;
mod broker;
mod cli;
mod client;
mod clients;
mod cloud;
mod commands;
mod config;
mod door;
mod harness;
mod kill;
mod once;
mod paho;
mod security;
mod soak;
mod stats;
mod storage;
mod system;
mod tour;
