//! The composition root: what starts, in which order, and what happens when a part of it cannot.
//!
//! ```text
//!   configuration ─> store ─> last good configuration ─> listeners ─> broker (own thread)
//!                                                                        │
//!                            supervisor: system, stats, bridges <── gate, desk ──> ready
//! ```
//! What cannot be had (a port, a certificate, a disk) is said in one sentence, and on the bus; the
//! daemon goes on with the rest. Only a second daemon on the same state directory ends it.

mod listen;
pub mod message;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker::{self, Broker, Gate, Handle};
use crate::bus::Message;
use crate::command::{Desk, Registry};
use crate::config::paths::Surroundings;
use crate::config::{self, Config, Loaded, Severity, Sources};
use crate::linux::reboot::Hand;
use crate::service::{Health, Restart, Spec, Stamper, Supervisor, World};
use crate::storage::{self, Batch, Store, Table, Window};
use crate::topic::Root;
use crate::{bridge, bus, command, contract, linux, stats, system};

/// How `maestro run` was called.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file in place of the usual one (`--config`).
    pub config: Option<PathBuf>,
    /// For tests: what would reboot or power off the box is appended here as a line instead
    /// (`--record-reboot`, hidden).
    pub record_reboot: Option<PathBuf>,
    /// For tests: what is to panic a second after the start: `broker`, `storage`, `subsystem`
    /// (`--rehearse-panic`, hidden).
    pub rehearse_panic: Option<String>,
}

/// The key of the last good configuration in its table.
const LAST_GOOD: &[u8] = b"last_good";
/// The key of the gateway id that was made up when nothing else named the box.
const GATEWAY_ID: &[u8] = b"gateway_id";

/// Runs the daemon until it is told to stop.
pub fn run(options: Options) -> ExitCode {
    let inherited = linux::inherited::sockets(); // before there is any other thread
    linux::memory::join_at_once();
    let _ = rustls::crypto::ring::default_provider().install_default(); // only the first counts
    let around = Surroundings::of_process();
    let sources = options.config.clone().map_or(Sources::Search, Sources::Only);
    let read = config::read(&sources, &around);
    let store = match Store::open(read.state_dir()) {
        Ok(store) => store,
        Err(error) => {
            eprintln!("maestro: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(trouble) = &store.status().borrow().trouble {
        eprintln!("maestro: {trouble}");
    }
    let last_good = store.read(Table::Config, LAST_GOOD);
    let loaded = read.settle(&around, last_good.as_deref());
    for problem in &loaded.problems {
        eprintln!("{problem}");
    }
    listen_to_ourselves(&loaded.config);
    linux::limits::raise_open_files();
    let daemon = Daemon { options, around, store, loaded, inherited };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => match runtime.block_on(daemon.run()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("maestro: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("maestro: no event loop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The daemon's own log, to standard error.
fn listen_to_ourselves(config: &Config) {
    let level = match config.log_level {
        config::LogLevel::Error => tracing::Level::ERROR,
        config::LogLevel::Warn => tracing::Level::WARN,
        config::LogLevel::Info => tracing::Level::INFO,
        config::LogLevel::Debug => tracing::Level::DEBUG,
        config::LogLevel::Trace => tracing::Level::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    let _ = log.with_ansi(false).without_time().with_target(false).try_init();
}

/// What is known before anything runs.
struct Daemon {
    options: Options,
    around: Surroundings,
    store: Store,
    loaded: Loaded,
    /// Sockets that whoever started us had open.
    inherited: Vec<OwnedFd>,
}

impl Daemon {
    async fn run(mut self) -> std::io::Result<()> {
        // First of all: whoever stops it early gets an end in order, too.
        let told = Told::listen()?;
        let stop = CancellationToken::new();
        let stamper = Stamper::new(&linux::boot::short_boot_id());
        self.name_the_box();
        let listening =
            listen::open(&self.loaded.config, &self.around, std::mem::take(&mut self.inherited));
        let (broker, gate) = Broker::start(broker::Parts {
            config: self.loaded.config.broker.clone(),
            root: self.loaded.config.root.clone(),
            store: self.store.clone(),
            stamper: stamper.clone(),
            listeners: listening.open,
            own_uid: self.around.uid,
        })?;
        let registry = Registry::default();
        let world = World {
            broker: broker.handle(),
            registry: registry.clone(),
            store: self.store.clone(),
            config: Arc::new(self.loaded.config.clone()),
            root: self.loaded.config.root.clone(),
            stamper: stamper.clone(),
        };
        let mut supervisor = Supervisor::new(world);
        let introduction = self.introduce(&broker.handle(), &stamper);
        self.say_config(&supervisor.health("config"));
        let desk = self.desk(&broker.handle(), gate, registry, &stamper);
        let desk_stop = CancellationToken::new();
        let desk = start(desk.run(desk_stop.clone()));
        let storage = watch_storage(self.store.clone(), supervisor.health("storage"));
        let storage = start(storage);
        let root = self.loaded.config.root.clone();
        let link = broker.handle().attach("storage");
        let figures = start(tell_figures(self.store.clone(), link, root, stamper.clone()));
        for spec in self.specs(&broker.handle(), listening.trouble) {
            supervisor.start(spec, &stop);
        }
        let supervisor = start(supervisor.run(stop.clone()));
        rehearse(self.options.rehearse_panic.as_deref(), &broker.handle(), &self.store);
        listening.greeting.print(&self.loaded.config.root);
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        told.end(&broker.handle()).await;
        tracing::info!("going down");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        stop.cancel();
        let _ = supervisor.await; // how it ended was told
        desk_stop.cancel(); // what the subsystems said last is recorded
        let _ = desk.await;
        storage.abort();
        figures.abort();
        drop(introduction);
        broker.stop();
        self.store.shutdown();
        Ok(())
    }

    /// What an earlier run made up stays the box's name.
    fn name_the_box(&mut self) {
        let config = &mut self.loaded.config;
        if !config.gateway_id.is_empty() {
            return;
        }
        let stored =
            self.store.read(Table::Meta, GATEWAY_ID).and_then(|id| String::from_utf8(id).ok());
        config.gateway_id = stored.unwrap_or_else(|| {
            let id = listen::gateway_id();
            let batch = Batch::default().put(Table::Meta, GATEWAY_ID, id.as_bytes());
            self.store.write(batch, Window::Promise, |_| {});
            id
        });
    }

    /// `info`, and the contract on `$maestro/api`. The link lives as long as the daemon.
    fn introduce(&self, broker: &Handle, stamper: &Stamper) -> bus::Link {
        let root = &self.loaded.config.root;
        let link = broker.attach("daemon");
        let info = message::Info {
            gateway_id: self.loaded.config.gateway_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            features: ["broker", "bridge", "stats", "system"].map(str::to_string).to_vec(),
            root: root.to_string(),
            pid: std::process::id(),
            started: stamper.time(),
            stamp: stamper.stamp(),
        };
        let payload = serde_json::to_vec(&info).unwrap_or_default();
        link.sender().post(Message::new(root.join("info"), payload).retained());
        for (topic, document) in contract::api::documents(root) {
            link.sender().post(Message::new(topic, document).retained());
        }
        link
    }

    /// Keeps what loaded, and says what did not.
    fn say_config(&mut self, health: &Health) {
        if let Some(keep) = self.loaded.keep.take() {
            let batch = Batch::default().put(Table::Config, LAST_GOOD, keep);
            self.store.write(batch, Window::Promise, |_| {});
        }
        let errors = self.loaded.problems.iter().filter(|found| found.severity == Severity::Error);
        let mut errors =
            errors.map(|problem| contract::Error::new("config.invalid", problem.to_string()));
        let Some(first) = errors.next() else { return health.ok() };
        let used = match self.loaded.source {
            config::Source::LastGood => "the last good configuration is used",
            config::Source::Rescue => "defaults are used, with the bridges if they are valid",
            config::Source::Files | config::Source::Defaults => "see the log",
        };
        let cause = contract::Error::new("config.invalid", used);
        health.degraded(errors.fold(cause.because(first), contract::Error::because));
    }

    fn desk(&self, broker: &Handle, gate: Gate, registry: Registry, stamper: &Stamper) -> Desk {
        Desk::new(command::Parts {
            gate,
            bus: broker.attach("command"),
            store: self.store.clone(),
            registry,
            root: self.loaded.config.root.clone(),
            stamper: stamper.clone(),
        })
    }

    /// The subsystems, in start order.
    fn specs(&self, broker: &Handle, trouble: Option<contract::Error>) -> Vec<Spec> {
        let hand = match &self.options.record_reboot {
            Some(file) => Hand::Recorder(file.clone()),
            None => Hand::Kernel,
        };
        let mut specs = vec![
            broker::spec(broker.clone(), trouble),
            system::spec(hand),
            stats::spec(),
            bridge::spec(broker.clone()),
        ];
        if self.options.rehearse_panic.as_deref() == Some("subsystem") {
            specs.push(rehearsal());
        }
        specs
    }
}

/// Starts what is not a subsystem and lives as long as the daemon.
#[expect(clippy::disallowed_methods, reason = "the composition root starts what is no subsystem")]
fn start<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// `status/storage` follows the store.
async fn watch_storage(store: Store, health: Health) {
    let mut status = store.status();
    loop {
        let trouble = status.borrow_and_update().trouble.clone();
        match trouble {
            None => health.ok(),
            Some(trouble) => health.degraded(trouble),
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// `metric/storage`, each minute.
async fn tell_figures(store: Store, link: bus::Link, root: Root, stamper: Stamper) {
    let mut minutes = tokio::time::interval(Duration::from_secs(60));
    loop {
        minutes.tick().await;
        let counters = store.counters();
        let metric = storage::message::Metric {
            written_bytes: counters.written_bytes,
            journal_bytes: counters.journal_bytes,
            commits: counters.commits,
            checkpoints: counters.checkpoints,
            syncs: counters.syncs,
            pending_bytes: counters.pending_bytes,
            stamp: stamper.stamp(),
        };
        let payload = serde_json::to_vec(&metric).unwrap_or_default();
        link.sender().post(Message::new(root.join("metric/storage"), payload));
    }
}

/// The signals that a daemon is told things by.
struct Told {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Told {
    fn listen() -> std::io::Result<Told> {
        Ok(Told {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT; SIGHUP has certificates read again.
    async fn end(mut self, broker: &Handle) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    broker.reload();
                    tracing::warn!("certificates are read again; the rest needs a restart");
                }
            }
        }
    }
}

/// A panic on purpose, for the tests of what a panic does.
fn rehearse(what: Option<&str>, broker: &Handle, store: &Store) {
    match what {
        Some("broker") => broker.panic(),
        Some("storage") => {
            let batch = Batch::default().put(Table::Meta, b"rehearsal".as_slice(), b"x".as_slice());
            store.write(batch, Window::Promise, |_| panic!("rehearsed"));
        }
        Some(_) | None => {}
    }
}

/// A subsystem that panics the first time and works the second.
fn rehearsal() -> Spec {
    let built = AtomicBool::new(false);
    Spec {
        name: "rehearsal",
        restart: Restart::default(),
        build: Box::new(move |scope| {
            let first = !built.swap(true, Ordering::Relaxed);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                assert!(!first, "rehearsed");
                scope.health.ok();
                scope.stop.cancelled().await;
                Ok(())
            })
        }),
    }
}
