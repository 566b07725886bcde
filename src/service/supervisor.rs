//! Builds the subsystems, watches them, rebuilds what fails, and says how they are.
//!
//! A subsystem that ends by error or panic is rebuilt from what is in storage, later each time; too
//! often within its window and it is given up, `failed` for all to see. Clients notice nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::board::{Backoff, Board};
use super::message::{self, State};
use super::scope::{Health, Said};
use super::{BoxError, Scope, Spec, Stamper};
use crate::{broker, bus, command, config, contract, storage, topic};

/// How long the subsystems have to end at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// What every scope is made from.
pub struct World {
    /// Makes links.
    pub broker: broker::Handle,
    /// Takes the inlets for commands.
    pub registry: command::Registry,
    /// The store.
    pub store: storage::Store,
    /// The effective configuration.
    pub config: Arc<config::Config>,
    /// The root of the topic tree.
    pub root: topic::Root,
    /// Stamps the messages.
    pub stamper: Stamper,
}

/// Watches over the subsystems.
pub struct Supervisor {
    world: World,
    bus: bus::Link,
    specs: HashMap<&'static str, (Spec, Backoff)>,
    tasks: JoinSet<Result<(), BoxError>>,
    names: HashMap<Id, &'static str>,
    board: Board,
    health: (mpsc::UnboundedSender<Said>, mpsc::UnboundedReceiver<Said>),
    /// Whose delay is over when.
    due: Vec<(Instant, &'static str)>,
}

impl Supervisor {
    /// A supervisor with nothing to watch yet.
    pub fn new(world: World) -> Supervisor {
        let bus = world.broker.attach("supervisor");
        Supervisor {
            world,
            bus,
            specs: HashMap::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            board: Board::default(),
            health: mpsc::unbounded_channel(),
            due: Vec::new(),
        }
    }

    /// A voice for what is not a subsystem of its own but has a status: `storage`, `config`.
    pub fn health(&self, name: &'static str) -> Health {
        Health { tx: self.health.0.clone(), name }
    }

    /// Builds a subsystem and watches it from now on.
    pub fn start(&mut self, spec: Spec, stop: &CancellationToken) {
        let name = spec.name;
        let backoff = Backoff::new(spec.restart);
        self.specs.insert(name, (spec, backoff));
        self.build(name, stop);
    }

    /// Runs until `stop`, then until every subsystem has ended or its grace is over.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let due = self.due.iter().map(|(at, _)| *at).min();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                Some((name, said)) = self.health.1.recv() => self.said(name, said),
                () = super::machine::sleep_until(due) => self.rebuild(&stop),
            }
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "subsystems did not end within their grace");
        }
    }

    fn build(&mut self, name: &'static str, stop: &CancellationToken) {
        let scope = Scope {
            bus: self.world.broker.attach(name),
            commands: self.world.registry.attach(name),
            store: self.world.store.clone(),
            config: self.world.config.clone(),
            root: self.world.root.clone(),
            stamper: self.world.stamper.clone(),
            health: self.health(name),
            stop: stop.child_token(),
        };
        let Some((spec, _)) = self.specs.get(name) else { return };
        let task = (spec.build)(scope);
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, name);
        self.note(name, State::Starting, None);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the supervisor is where failures meet the clock"
    )]
    fn rebuild(&mut self, stop: &CancellationToken) {
        let now = Instant::now();
        let (over, later) = self.due.drain(..).partition(|(at, _)| *at <= now);
        self.due = later;
        let over: Vec<(Instant, &'static str)> = over;
        for (_, name) in over {
            self.board.rebuilt(name);
            tracing::info!(subsystem = name, "subsystem rebuilt");
            self.build(name, stop);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the supervisor is where failures meet the clock"
    )]
    fn ended(&mut self, ended: Result<(Id, Result<(), BoxError>), JoinError>) {
        let (id, failure) = match ended {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => {
                (id, Some(contract::Error::new("daemon.failed", chain(&*error))))
            }
            Err(join) => (join.id(), Some(panicked(join))),
        };
        let Some(name) = self.names.remove(&id) else { return };
        let Some(cause) = failure else { return }; // it has done what it was there for
        let Some((_, backoff)) = self.specs.get_mut(name) else { return };
        let now = Instant::now();
        let cause = match backoff.failed(now) {
            Some(delay) => {
                tracing::error!(subsystem = name, cause = %cause.message, ?delay, "subsystem failed");
                self.due.push((now + delay, name));
                cause.retryable()
            }
            None => {
                tracing::error!(subsystem = name, cause = %cause.message, "subsystem given up");
                cause.hint("given up after repeated failures; restart maestro once it is mended")
            }
        };
        self.note(name, State::Failed, Some(cause));
    }

    fn said(&mut self, name: &'static str, said: super::scope::State) {
        match said {
            super::scope::State::Ok => self.note(name, State::Ok, None),
            super::scope::State::Degraded(cause) => self.note(name, State::Degraded, Some(cause)),
            super::scope::State::Off(cause) => self.note(name, State::Off, Some(cause)),
        }
    }

    /// The only place where states change, and where they are told.
    fn note(&mut self, name: &'static str, state: State, cause: Option<contract::Error>) {
        let time = self.world.stamper.time();
        let before = self.board.overall();
        if !self.board.note(name, state, cause, &time) {
            return;
        }
        let Some(entry) = self.board.entry(name).cloned() else { return };
        let status = message::SubsystemStatus {
            state: entry.state,
            since: entry.since,
            cause: entry.cause,
            last_cause: entry.last_cause,
            restarts: entry.restarts,
            stamp: self.world.stamper.stamp(),
        };
        self.post(&format!("status/{name}"), &status);
        let overall = self.board.overall();
        if overall != before || name == "storage" && entry.restarts == 0 {
            self.post_overall(overall);
        }
    }

    fn post_overall(&self, (state, not_ok): (State, std::collections::BTreeMap<String, String>)) {
        let stamp = self.world.stamper.stamp();
        self.post("status", &message::Status { state, not_ok, stamp });
    }

    fn post(&self, tail: &str, payload: &impl serde::Serialize) {
        let payload = serde_json::to_vec(payload).unwrap_or_default();
        self.bus.sender().post(bus::Message::new(self.world.root.join(tail), payload).retained());
    }
}

/// An error with everything that caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}

fn panicked(join: JoinError) -> contract::Error {
    let text = match join.try_into_panic() {
        Ok(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast_ref::<&str>().map_or("?", |text| *text).to_string(),
        },
        Err(join) => join.to_string(),
    };
    contract::Error::new("daemon.panicked", format!("it panicked: {text}"))
}
