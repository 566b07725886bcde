//! The bridge: relays chosen topics between the broker and a cloud, any broker of MQTT 5.
//!
//! ```text
//!   broker <──> session "bridge:<name>" <──> Machine <──> TLS <──> cloud
//!               judged by the bridge's role     | queue: in order, bounded
//!
//!   maestro/state/x        ──>  <prefix>/<gateway id>/state/x          rule.rs says what, and where to
//!   maestro/cmd/x/y        <──  <prefix>/<gateway id>/cmd/x/y
//!                               <prefix>/<gateway id>/availability     online | offline (will)
//! ```
//! A message of the box leaves its session only when the cloud has acknowledged it, and goes again,
//! in its old place, when the connection broke before. A message of the cloud is acknowledged to it
//! when our broker has it safe, or refused with our broker's reason. Both at least once: what comes
//! twice has the same id, and the ledger knows it.
//!
//! Not here yet: the queue on disk, budgets, signatures (`sig`), groups, and MQTT 3.1.1.

pub mod config;
mod connection;
mod dial;
pub mod envelope;
pub mod link;
pub mod message;
pub mod queue;
pub mod rule;
mod standing;
mod task;
mod tls;

pub use config::Config;

use tokio::task::JoinSet;

use crate::broker::{self, Principal};
use crate::contract::Error;
use crate::service::{self, BoxError, Scope};

/// How to (re)build the bridges of the configuration. The subsystem is `off` when there is none.
pub fn spec(broker: broker::Handle) -> service::Spec {
    service::Spec {
        name: "bridge",
        restart: service::Restart::default(),
        build: Box::new(move |scope| Box::pin(run(scope, broker.clone()))),
    }
}

/// Runs every bridge in a task of its own; one that fails takes the others along, and the supervisor
/// rebuilds them all: their messages wait in their sessions.
async fn run(scope: Scope, broker: broker::Handle) -> Result<(), BoxError> {
    let configs = &scope.config.bridges;
    if configs.is_empty() {
        scope.health.off(Error::new("bridge.not_configured", "no bridge is configured"));
        scope.stop.cancelled().await;
        return Ok(());
    }
    let names = configs.iter().map(|config| config.name.as_str());
    let board = standing::Board::new(scope.health.clone(), names);
    let mut bridges = JoinSet::new();
    for config in configs {
        let principal = Principal::bridge(&config.name, config.role, config.unsigned.clone());
        bridges.spawn(task::run(task::Bridge {
            config: config.clone(),
            gateway_id: scope.config.gateway_id.clone(),
            root: scope.root.clone(),
            link: broker.attach_as(principal),
            bus: scope.bus.sender().clone(),
            stamper: scope.stamper.clone(),
            board: board.clone(),
            stop: scope.stop.clone(),
        }));
    }
    while let Some(ended) = bridges.join_next().await {
        ended??;
    }
    Ok(())
}
