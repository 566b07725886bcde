//! The hands of the gate: takes held publishes, asks the ledger, commits, calls, answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::Word;
use super::history::Number;
use super::ledger::{Asker, Effect, Incoming, Ledger, Now, Purpose, refusal};
use super::message::{Task, TaskState};
use super::record::Record;
use super::registry::{Registry, Room};
use super::request::{self, Request};
use super::{Answer, Call};
use crate::broker::{Gate, Held, Principal};
use crate::bus;
use crate::contract::{self, Error};
use crate::service::Stamper;
use crate::storage::{Batch, Store, Table, Unsafe, Window};
use crate::topic::{Root, Topic};

/// What a desk works with.
pub struct Parts {
    /// Where commands come from.
    pub gate: Gate,
    /// Its own link (`maestro:command`) for replies and task records.
    pub bus: bus::Link,
    /// Where records are kept.
    pub store: Store,
    /// Where calls go.
    pub registry: Registry,
    /// The root of the topic tree.
    pub root: Root,
    /// Stamps what is told; knows this boot.
    pub stamper: Stamper,
}

/// Takes commands from the gate until the daemon goes down.
pub struct Desk {
    parts: Parts,
    ledger: Ledger,
    began: Instant,
    /// Publishes whose PUBACK waits, by the desk's number.
    held: HashMap<u64, Held>,
    /// What is handed to the subsystem when the record is on disk.
    prepared: HashMap<u64, Prepared>,
    /// Subsystems that wait for leave to end the boot.
    leave: HashMap<Number, oneshot::Sender<Result<(), Error>>>,
    next_held: u64,
    /// Rows of the broker for the commit that accepts a command.
    beside: HashMap<Number, Batch>,
    words: Channel<(Number, Word)>,
    commits: Channel<Committed>,
}

type Committed = (Number, Purpose, Result<(), Unsafe>);
/// Unbounded in type only: what is said is bounded by what is open, which the ledger bounds.
type Channel<T> = (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>);

struct Prepared {
    place: OwnedPermit<Call>,
    request: Request,
    from: Arc<Principal>,
}

impl Desk {
    /// Reads the ledger and resolves what the last run left open. Runs inside tokio.
    pub fn new(parts: Parts) -> Desk {
        let began = Instant::now();
        let mut rows = Vec::new();
        parts.store.scan(Table::Ledger, &mut |key, row| {
            if let Ok(number) = key.try_into().map(Number::from_be_bytes) {
                rows.push((number, Record::of_row(row)));
            }
        });
        let now = Now { ms: 0, calendar_ms: calendar_ms() };
        let (ledger, fx) = Ledger::restore(now, parts.stamper.boot(), rows.into_iter());
        let mut desk = Desk {
            parts,
            ledger,
            began,
            held: HashMap::new(),
            prepared: HashMap::new(),
            leave: HashMap::new(),
            next_held: 1,
            beside: HashMap::new(),
            words: mpsc::unbounded_channel(),
            commits: mpsc::unbounded_channel(),
        };
        desk.perform(fx);
        desk
    }

    /// Runs until `stop`, or until the broker is gone. Stop it after the subsystems: what they say last
    /// is recorded.
    pub async fn run(mut self, stop: CancellationToken) {
        let _vital = Vital;
        loop {
            let wake = self.ledger.wake_ms();
            let fx = tokio::select! {
                biased;
                () = stop.cancelled() => return self.last_words(),
                Some((number, purpose, verdict)) = self.commits.1.recv() => {
                    let verdict = verdict.map_err(not_safe);
                    self.ledger.committed(self.now(), (number, purpose), verdict)
                }
                Some((number, word)) = self.words.1.recv() => self.said(number, word),
                () = sleep_until(self.began, wake) => self.ledger.due(self.now()),
                held = self.parts.gate.recv() => match held {
                    Some(held) => self.arrived(held),
                    None => return,
                },
            };
            self.perform(fx);
        }
    }

    fn last_words(&mut self) {
        while let Ok((number, word)) = self.words.1.try_recv() {
            let fx = self.said(number, word);
            self.perform(fx);
        }
    }

    fn now(&self) -> Now {
        let ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX / 4);
        Now { ms, calendar_ms: calendar_ms() }
    }

    fn arrived(&mut self, mut held: Held) -> Vec<Effect> {
        let topic = Topic::parse(&self.parts.root, &held.message.topic);
        let named = if let Some(Topic::Cmd { subsystem, verb }) = &topic {
            contract::verb(subsystem, verb)
        } else {
            None
        };
        let Some(verb) = named else {
            let error = Error::new("command.unknown_verb", "there is no such verb");
            held.release(Err(error));
            return Vec::new();
        };
        if held.message.retain {
            let message = "a command must not be retained: it would repeat at every start";
            held.release(Err(Error::new("command.retained", message)));
            return Vec::new();
        }
        let number = self.next_held;
        self.next_held += 1;
        let asker = asker(number, &held);
        let read = request::parse(verb, &held.message.payload, held.message.expiry_s);
        let from = held.from.clone();
        let correlation =
            held.message.correlation_data.clone().map(|data| (held.client.clone(), data));
        let beside = std::mem::take(&mut held.beside);
        self.held.insert(number, held);
        let request = match read {
            Ok(request) => request,
            Err(error) => {
                let payload = &self.held[&number].message.payload;
                let id = request::given_id(payload).unwrap_or_else(fresh_id);
                return refusal(self.now(), (verb, id), asker, (TaskState::Rejected, error));
            }
        };
        let over_bridge = from.bridge.is_some();
        let room = match self.parts.registry.keep_place(verb.subsystem) {
            Ok(place) => {
                let prepared = Prepared { place, request: request.clone(), from };
                self.prepared.insert(number, prepared);
                Room::Kept
            }
            Err(room) => room,
        };
        let fresh_id = fresh_id();
        let incoming = Incoming { request, asker, over_bridge, correlation, fresh_id, room };
        let fx = self.ledger.receive(self.now(), incoming);
        for effect in &fx {
            if let Effect::Commit { number, .. } = effect {
                self.beside.insert(*number, beside.clone());
            }
        }
        fx
    }

    fn said(&mut self, number: Number, word: Word) -> Vec<Effect> {
        match word {
            Word::Running { step, progress_pct } => self.ledger.running(number, step, progress_pct),
            Word::UntilReboot(told) => {
                self.leave.insert(number, told);
                self.ledger.ends_boot(number)
            }
            Word::Ended(outcome) => self.ledger.answered(self.now(), number, outcome),
        }
    }

    fn perform(&mut self, fx: Vec<Effect>) {
        for effect in fx {
            match effect {
                Effect::Commit { number, row, purpose } => {
                    let done = self.commits.0.clone();
                    let beside = self.beside.remove(&number).unwrap_or_default();
                    let batch = beside.put(Table::Ledger, key(number), row);
                    self.parts.store.write(batch, Window::Promise, move |verdict| {
                        let _ = done.send((number, purpose, verdict)); // the desk has ended: no matter
                    });
                }
                Effect::Release { held, verdict } => {
                    if let Some(held) = self.held.remove(&held) {
                        held.release(verdict);
                    }
                }
                Effect::Vacate { held } => drop(self.prepared.remove(&held)),
                Effect::Call { held, number, id } => self.call(held, number, id),
                Effect::Reply { asker, task } => self.reply(asker, task),
                Effect::Replay { asker, number } => {
                    if let Some(record) = self.record(number) {
                        let mut task = record.task(crate::service::Stamp::default());
                        task.duplicate = true;
                        self.reply(asker, task);
                    }
                }
                Effect::Show { task } => self.show(task),
                Effect::Clear { number } => self.clear(number),
                Effect::Forget { number } => {
                    self.clear(number);
                    let batch = Batch::default().delete(Table::Ledger, key(number));
                    self.parts.store.write(batch, Window::Background, |_| ());
                }
                Effect::MayEndBoot { number, verdict } => {
                    if let Some(told) = self.leave.remove(&number) {
                        let _ = told.send(verdict); // the subsystem has gone: nobody ends the boot
                    }
                }
            }
        }
    }

    fn call(&mut self, held: u64, number: Number, id: String) {
        let Some(Prepared { place, request, from }) = self.prepared.remove(&held) else { return };
        let answer = Answer::new(number, self.words.0.clone());
        let Request { verb, args, dry_run, if_rev, .. } = request;
        let verb = verb.name;
        place.send(Call { id, verb, args, from, dry_run, if_rev, answer });
    }

    fn record(&self, number: Number) -> Option<Record> {
        Record::of_row(&self.parts.store.read(Table::Ledger, &key(number))?)
    }

    fn reply(&self, asker: Asker, mut task: Task) {
        task.stamp = self.parts.stamper.stamp();
        let payload = Bytes::from(serde_json::to_vec(&task).unwrap_or_default());
        let message = |topic| bus::Message {
            audience: Some(asker.principal.to_string()),
            content_type: Some("application/json".to_owned()),
            ..bus::Message::new(topic, payload.clone()).at_least_once()
        };
        let (subsystem, verb) = task.command.split_once('/').unwrap_or((&task.command, ""));
        let topic = Topic::Reply { subsystem: subsystem.into(), verb: verb.into() };
        let bus = self.parts.bus.sender();
        bus.post(message(topic.on(&self.parts.root)));
        if let Some((topic, correlation_data)) = asker.respond {
            bus.post(bus::Message { correlation_data, ..message(topic) });
        }
    }

    fn show(&self, mut task: Task) {
        task.stamp = self.parts.stamper.stamp();
        let topic = Topic::Task { id: task.id.as_str().into() }.on(&self.parts.root);
        let payload = serde_json::to_vec(&task).unwrap_or_default();
        let message = bus::Message::new(topic, payload).retained();
        self.parts.bus.sender().post(bus::Message { audience: Some(task.from), ..message });
    }

    fn clear(&self, number: Number) {
        let Some(record) = self.record(number) else { return };
        let topic = Topic::Task { id: record.id.as_str().into() }.on(&self.parts.root);
        let message = bus::Message::new(topic, Bytes::new()).retained();
        self.parts.bus.sender().post(bus::Message { audience: Some(record.from), ..message });
    }
}

/// A daemon whose commands nobody hears must not look alive: a panic of the desk ends it.
struct Vital;

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("maestro: the command desk panicked, the daemon ends");
            std::process::abort();
        }
    }
}

fn asker(number: u64, held: &Held) -> Asker {
    let respond = held.message.response_topic.clone().filter(|_| held.response_allowed);
    Asker {
        held: number,
        principal: held.from.name.as_str().into(),
        respond: respond.map(|topic| (topic, held.message.correlation_data.clone())),
    }
}

fn key(number: Number) -> [u8; 8] {
    number.to_be_bytes()
}

fn not_safe(refused: Unsafe) -> Error {
    Error::new(refused.code, refused.message).retryable()
}

fn fresh_id() -> String {
    let mut random = [0; 16];
    // without randomness the time alone still tells commands of different milliseconds apart
    let _ = getrandom::fill(&mut random);
    super::ulid(u64::try_from(calendar_ms()).unwrap_or(0), u128::from_ne_bytes(random))
}

fn calendar_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

async fn sleep_until(began: Instant, at_ms: Option<i64>) {
    match at_ms.and_then(|ms| u64::try_from(ms).ok()) {
        // a deadline beyond all times is none
        Some(ms) if ms < u64::MAX / 4 => {
            tokio::time::sleep_until(began + Duration::from_millis(ms)).await;
        }
        Some(_) | None => std::future::pending().await,
    }
}
