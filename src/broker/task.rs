//! The broker as a subsystem: its status, its figures each minute, and its verbs.

use std::time::Duration;

use super::door::Troubles;
use super::handle::Handle;
use super::notice::{DisconnectArgs, Disconnected, Metric};
use crate::bus::Message;
use crate::command::Call;
use crate::contract::Error;
use crate::service::{BoxError, Restart, Scope, Spec};

/// Figures are told this often.
const MINUTE: Duration = Duration::from_secs(60);

/// The subsystem; `trouble` is what could not be listened on.
pub fn spec(broker: Handle, trouble: Option<Error>) -> Spec {
    Spec {
        name: "broker",
        restart: Restart::default(),
        build: Box::new(move |scope| Box::pin(run(scope, broker.clone(), trouble.clone()))),
    }
}

async fn run(mut scope: Scope, broker: Handle, trouble: Option<Error>) -> Result<(), BoxError> {
    let mut troubles = broker.troubles();
    say(&scope, trouble.as_ref(), &troubles.borrow_and_update());
    let mut minutes = tokio::time::interval(MINUTE);
    loop {
        tokio::select! {
            Ok(()) = troubles.changed() => {
                say(&scope, trouble.as_ref(), &troubles.borrow_and_update());
            }
            () = scope.stop.cancelled() => return Ok(()),
            _ = minutes.tick() => tell(&scope, &broker).await,
            call = scope.commands.recv() => match call {
                Some(call) => take(call, &broker).await,
                None => return Ok(()),
            },
        }
    }
}

/// What could not be listened on, and what is wrong where it could.
fn say(scope: &Scope, unheard: Option<&Error>, troubles: &Troubles) {
    let mut all = unheard.into_iter().chain(troubles.values()).cloned();
    match all.next() {
        None => scope.health.ok(),
        Some(first) => scope.health.degraded(all.fold(first, Error::because)),
    }
}

async fn tell(scope: &Scope, broker: &Handle) {
    let Some(counters) = broker.counters().await else { return };
    let metric = Metric {
        clients: counters.clients,
        sessions: counters.sessions,
        retained: counters.retained,
        published: counters.published,
        delivered: counters.delivered,
        dropped: counters.dropped,
        drops: counters.drops.iter().collect(),
        refused: counters.refused,
        limits: counters.limits.iter().map(|(key, hits)| (key.to_string(), hits)).collect(),
        stamp: scope.stamper.stamp(),
    };
    let payload = serde_json::to_vec(&metric).unwrap_or_default();
    scope.bus.sender().post(Message::new(scope.root.join("metric/broker"), payload));
}

async fn take(call: Call, broker: &Handle) {
    let args = match call.arguments::<DisconnectArgs>() {
        Ok(args) => args,
        Err(error) => return call.answer.fail(error),
    };
    if broker.disconnect(&args.client).await {
        call.answer.succeed(Disconnected { client: args.client });
    } else {
        let message = format!("no client with the id {} is connected", args.client);
        call.answer.fail(Error::new("broker.no_client", message).at("/client"));
    }
}
