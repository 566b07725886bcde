//! The box itself: what it is, who asks, and its end.

use crate::linux::reboot::Hand;
use crate::service::{Restart, Spec};

/// How to (re)build the subsystem. `hand` is what ends the box: the kernel, or in tests a recorder.
pub fn spec(hand: Hand) -> Spec {
    Spec {
        name: "system",
        restart: Restart::default(),
        build: Box::new(move |scope| {
            let hand = hand.clone();
            Box::pin(async move {
                let _ = &hand;
                scope.health.ok();
                scope.stop.cancelled().await;
                Ok(())
            })
        }),
    }
}
