//! The box itself: what it is, who asks, and its end.
//!
//! `cmd/system/{facts,ping,whoami,reboot,shutdown}`. The facts also stand retained on
//! `state/system/facts`, without anything that counts. A reboot or shutdown is recorded on disk, told
//! on `event/system/box/..`, and then done by reboot(2) after sync(2); its command ends in the next
//! boot, which has another boot id. What ends the box is a [`Hand`]: in tests one that only writes.

pub mod message;
mod power;
mod task;

use crate::linux::reboot::Hand;
use crate::service::{Restart, Spec};

/// How to (re)build the subsystem. `hand` is what ends the box: the kernel, or in tests a recorder.
pub fn spec(hand: Hand) -> Spec {
    Spec {
        name: "system",
        restart: Restart::default(),
        build: Box::new(move |scope| Box::pin(task::run(scope, hand.clone()))),
    }
}
