//! Decides what becomes of a command. Pure: no bus, no disk, no clock.
//!
//! ```text
//!   receive --+- refused -----------------------------------> reply rejected | expired
//!             +- seen: ended --------------------------------> reply with the stored outcome
//!             +- seen: open ------> waits with the first one
//!             +- read ------------> call ----------- answered > reply
//!             +- change, danger --> commit the record
//!                                      | committed: PUBACK, task, then the call
//!                                      v
//!                                   open -- answered, timed out, dropped --> commit the end
//!                                      |                                       | committed
//!                   until_reboot: commit "ends this boot"                      v
//!                                                                        reply, task
//! ```
//! Nothing is done before its record is on disk, every record reaches one end, and what is open when
//! the daemon starts is ended then: a reboot has succeeded if this is another boot.

mod effect;
mod open;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use serde_json::json;

use super::history::{Faded, History, Known, Number, Seen};
use super::message::TaskState;
use super::record::{Digest, Key, Record};
use super::request::{Expires, Request};
use super::{Outcome, Room};
use crate::contract::{Class, Error, Verb};
use crate::service::Stamp;
pub(super) use effect::{Asker, Effect, Incoming, Now, Purpose};
use open::{Again, End, Open};

/// Commands under way at once, all in all and of one principal: what waits is bounded, and one client
/// cannot take every place.
const OPEN: usize = 256;
const OPEN_PER_PRINCIPAL: usize = 64;
/// Askers that wait for one command, by sending its id again.
const ASKERS: usize = 8;
const HOUSEKEEPING_MS: i64 = 60 * 60 * 1000;
const LONGEST_STEP: usize = 200;
const MINUTE_MS: i64 = 60 * 1000;
/// Tasks of the last minute that are shown again at the start, at most.
const SHOWN_AGAIN: usize = 100;
/// 2020: before it, the clock was not set.
const CLOCK_SET_MS: i64 = 1_577_836_800_000;

/// All commands that are known.
#[derive(Debug)]
pub(super) struct Ledger {
    boot: String,
    next: Number,
    history: History,
    open: HashMap<Number, Open>,
    /// Ended, the end not on disk yet.
    ending: HashMap<Number, Open>,
    housekeeping_ms: i64,
}

impl Ledger {
    /// A ledger from its rows, in order; ends what the last run left open.
    pub(super) fn restore(
        now: Now,
        boot: &str,
        rows: impl Iterator<Item = (Number, Option<Record>)>,
    ) -> (Ledger, Vec<Effect>) {
        let mut ledger = Ledger {
            boot: boot.to_owned(),
            next: 1,
            history: History::default(),
            open: HashMap::new(),
            ending: HashMap::new(),
            housekeeping_ms: now.ms + HOUSEKEEPING_MS,
        };
        let mut fx = Vec::new();
        let mut left_open = Vec::new();
        let mut latest: VecDeque<Record> = VecDeque::new();
        for (number, record) in rows {
            ledger.next = ledger.next.max(number + 1);
            let Some(record) = record else {
                fx.push(Effect::Forget { number }); // nobody can read it
                continue;
            };
            let ago = |then: i64| now.ms - age_ms(now, then);
            let known = Known {
                key: record.key,
                args: record.args,
                command: &record.command,
                received_ms: ago(record.received_ms),
                ended_ms: record.ended_ms.map(ago),
            };
            fx.extend(ledger.history.add(number, known).map(|number| Effect::Forget { number }));
            if record.state.is_end() {
                latest.truncate(SHOWN_AGAIN - 1);
                latest.push_front(record);
            } else {
                left_open.push((number, record));
            }
        }
        fx.extend(shown_again(&latest));
        for (number, record) in left_open {
            ledger.resolve(now, number, record, &mut fx);
        }
        fx.extend(ledger.fade(now));
        (ledger, fx)
    }

    fn resolve(&mut self, now: Now, number: Number, record: Record, fx: &mut Vec<Effect>) {
        let asker = Asker { held: 0, principal: record.from.as_str().into(), respond: None };
        let ends_boot = record.ends_boot.clone();
        let open = Open {
            record,
            recorded: true,
            dry_run: false,
            accepted: true,
            step: None,
            deadline_ms: i64::MAX,
            timeout_ms: i64::MAX,
            askers: vec![(asker, Again::First)],
        };
        self.open.insert(number, open);
        let end = match ends_boot {
            Some(before) if before != self.boot => {
                End::succeeded(json!({ "boot_before": before, "boot_after": self.boot }))
            }
            Some(_) => End::interrupted("the daemon started again, but the box did not"),
            None => {
                End::interrupted("the daemon or the box went down before the command had ended")
            }
        };
        self.end(now, number, end, fx);
    }

    /// A command arrived.
    pub(super) fn receive(&mut self, now: Now, incoming: Incoming) -> Vec<Effect> {
        let recorded = incoming.request.is_recorded();
        let args = Digest::of_args(&incoming.request.args, incoming.request.if_rev);
        let key = if recorded { key(&incoming) } else { None };
        match self.history.seen(now.ms, key, args) {
            Seen::Same(number) => return self.again(number, incoming.asker),
            Seen::Reused => {
                let error =
                    Error::new("command.id_reused", "this id was used with other arguments")
                        .at("/id")
                        .hint("give each command an id of its own");
                return refuse(now, incoming, TaskState::Rejected, error);
            }
            Seen::New => {}
        }
        if let Err((state, error)) = self.admit(now, &incoming, recorded) {
            return refuse(now, incoming, state, error);
        }
        self.accept(now, incoming, (recorded, key, args))
    }

    fn admit(
        &self,
        now: Now,
        incoming: &Incoming,
        recorded: bool,
    ) -> Result<(), (TaskState, Error)> {
        let Request { verb, expires, .. } = &incoming.request;
        let rejected = |error| Err((TaskState::Rejected, error));
        if recorded && verb.class == Class::Danger && incoming.over_bridge && expires.is_none() {
            let message = "a command of class danger over a bridge needs `expires`: nobody can know how \
                           long it waited";
            return rejected(Error::new("command.undated", message).at("/expires"));
        }
        if let Some(Expires::At(at)) = expires
            && *at <= now.calendar_ms
        {
            let error = Error::new("command.expired", "its `expires` has passed").at("/expires");
            return Err((TaskState::Expired, error));
        }
        let name = verb.subsystem;
        match incoming.room {
            Room::Kept => {}
            Room::Full => {
                let message = format!("too many commands wait at {name}");
                return rejected(Error::new("command.busy", message).retryable());
            }
            Room::Down => {
                let message = format!("{name} is not running; see status/{name}");
                return rejected(Error::new("command.unavailable", message).retryable());
            }
        }
        let open = self.open.values().chain(self.ending.values());
        let own = open.filter(|o| *o.record.from == *incoming.asker.principal).count();
        if own >= OPEN_PER_PRINCIPAL || self.open.len() + self.ending.len() >= OPEN {
            return rejected(
                Error::new("command.busy", "too many commands are under way").retryable(),
            );
        }
        Ok(())
    }

    fn accept(
        &mut self,
        now: Now,
        incoming: Incoming,
        (recorded, key, args): (bool, Option<Key>, Digest),
    ) -> Vec<Effect> {
        let Incoming { request, asker, fresh_id, .. } = incoming;
        let number = self.next;
        self.next += 1;
        let record = Record {
            state: TaskState::Accepted,
            result: None,
            error: None,
            command: format!("{}/{}", request.verb.subsystem, request.verb.name),
            from: asker.principal.to_string(),
            id: request.id.unwrap_or(fresh_id),
            key,
            args,
            received_ms: now.calendar_ms,
            ended_ms: None,
            ends_boot: None,
        };
        let held = asker.held;
        let timeout_ms = i64::try_from(request.verb.timeout.as_millis()).unwrap_or(i64::MAX / 4);
        let mut fx = Vec::new();
        if recorded {
            let command = &record.command;
            let known = Known { key, args, command, received_ms: now.ms, ended_ms: None };
            fx.extend(self.history.add(number, known).map(|number| Effect::Forget { number }));
            fx.push(Effect::Commit { number, row: record.to_row(), purpose: Purpose::Accept });
        } else {
            fx.push(Effect::Release { held, verdict: Ok(()) });
            fx.push(Effect::Call { held, number, id: record.id.clone() });
        }
        let open = Open {
            record,
            recorded,
            dry_run: request.dry_run,
            accepted: !recorded,
            step: None,
            // while the disk is busy with its record, a command is not late
            deadline_ms: if recorded { i64::MAX } else { now.ms + timeout_ms },
            timeout_ms,
            askers: vec![(asker, Again::First)],
        };
        self.open.insert(number, open);
        fx
    }

    /// The same command once more.
    fn again(&mut self, number: Number, asker: Asker) -> Vec<Effect> {
        let held = asker.held;
        let vacate = Effect::Vacate { held };
        let waiting = match self.open.get_mut(&number) {
            Some(open) => Some(open),
            None => self.ending.get_mut(&number),
        };
        let Some(open) = waiting else {
            let release = Effect::Release { held, verdict: Ok(()) };
            return vec![vacate, release, Effect::Replay { asker, number }];
        };
        if open.askers.len() >= ASKERS {
            let error = Error::new("command.busy", "too many wait for this command").retryable();
            return vec![vacate, Effect::Release { held, verdict: Err(error) }];
        }
        open.askers.push((asker, Again::Duplicate));
        if open.accepted {
            return vec![vacate, Effect::Release { held, verdict: Ok(()) }];
        }
        vec![vacate] // its PUBACK waits for the record, too
    }

    /// A row of [`Effect::Commit`] is on disk, or the disk did not take it.
    pub(super) fn committed(
        &mut self,
        now: Now,
        (number, purpose): (Number, Purpose),
        verdict: Result<(), Error>,
    ) -> Vec<Effect> {
        match (purpose, verdict) {
            (Purpose::Accept, Ok(())) => self.accepted(now, number),
            (Purpose::Accept, Err(error)) => self.not_recorded(now, number, &error),
            (Purpose::EndsBoot, verdict) => vec![Effect::MayEndBoot { number, verdict }],
            // not on disk: it is over all the same, and the store tries again
            (Purpose::End, _) => self.tell_end(number),
        }
    }

    fn accepted(&mut self, now: Now, number: Number) -> Vec<Effect> {
        let Some(open) = self.open.get_mut(&number) else { return Vec::new() };
        open.accepted = true;
        open.deadline_ms = now.ms.saturating_add(open.timeout_ms);
        let mut fx: Vec<_> = open
            .askers
            .iter()
            .map(|(asker, _)| Effect::Release { held: asker.held, verdict: Ok(()) })
            .collect();
        fx.push(Effect::Show { task: open.task() });
        let first = open.askers.first().map_or(0, |(asker, _)| asker.held);
        fx.push(Effect::Call { held: first, number, id: open.record.id.clone() });
        fx
    }

    fn not_recorded(&mut self, now: Now, number: Number, error: &Error) -> Vec<Effect> {
        let Some(mut open) = self.open.remove(&number) else { return Vec::new() };
        self.history.remove(number);
        open.record.state = TaskState::Rejected;
        open.record.error = Some(error.clone());
        open.record.ended_ms = Some(now.calendar_ms);
        let mut fx = vec![Effect::Forget { number }];
        let held = || open.askers.iter().map(|(asker, _)| asker.held);
        fx.extend(held().map(|held| Effect::Vacate { held }));
        fx.extend(open.replies());
        let verdict = || Err(error.clone());
        fx.extend(held().map(|held| Effect::Release { held, verdict: verdict() }));
        fx
    }

    /// The subsystem is at work.
    pub(super) fn running(
        &mut self,
        number: Number,
        mut step: String,
        pct: Option<u8>,
    ) -> Vec<Effect> {
        let Some(open) = self.open.get_mut(&number) else { return Vec::new() };
        if let Some((end, _)) = step.char_indices().nth(LONGEST_STEP) {
            step.truncate(end);
        }
        open.record.state = TaskState::Running;
        open.step = Some((step, pct.map(|pct| pct.min(100))));
        if open.recorded { vec![Effect::Show { task: open.task() }] } else { Vec::new() }
    }

    /// The subsystem is about to end the boot.
    pub(super) fn ends_boot(&mut self, number: Number) -> Vec<Effect> {
        match self.open.get_mut(&number).filter(|open| open.recorded) {
            Some(open) => {
                open.record.ends_boot = Some(self.boot.clone());
                let row = open.record.to_row();
                vec![Effect::Commit { number, row, purpose: Purpose::EndsBoot }]
            }
            None => {
                let error = Error::new("command.timed_out", "the command has ended already");
                vec![Effect::MayEndBoot { number, verdict: Err(error) }]
            }
        }
    }

    /// The subsystem is done with it.
    pub(super) fn answered(&mut self, now: Now, number: Number, outcome: Outcome) -> Vec<Effect> {
        let mut fx = Vec::new();
        let waits_for_boot = |open: &Open| open.record.ends_boot.is_some();
        let end = match outcome {
            Outcome::Succeeded(result) => End::succeeded(result),
            Outcome::Failed(error) => {
                End { state: TaskState::Failed, result: None, error: Some(error) }
            }
            // the daemon goes down with the box: the next boot knows
            Outcome::Interrupted if self.open.get(&number).is_some_and(waits_for_boot) => {
                return fx;
            }
            Outcome::Interrupted => End::interrupted("the subsystem ended before the command had"),
        };
        self.end(now, number, end, &mut fx);
        fx
    }

    /// The time of [`Ledger::wake_ms`] has come.
    pub(super) fn due(&mut self, now: Now) -> Vec<Effect> {
        let mut fx = Vec::new();
        let late = self.open.iter().filter(|(_, open)| open.deadline_ms <= now.ms);
        let mut late: Vec<Number> = late.map(|(number, _)| *number).collect();
        late.sort_unstable();
        for number in late {
            let timeout_s = self.open.get(&number).map_or(0, |open| open.timeout_ms / 1000);
            let message = format!("no answer in {timeout_s} s");
            let error = Some(Error::new("command.timed_out", message));
            self.end(now, number, End { state: TaskState::TimedOut, result: None, error }, &mut fx);
        }
        if self.housekeeping_ms <= now.ms {
            fx.extend(self.fade(now));
        }
        fx
    }

    /// When to call [`Ledger::due`]; nothing known, nothing to wake up for.
    pub(super) fn wake_ms(&self) -> Option<i64> {
        let housekeeping = (!self.history.is_empty()).then_some(self.housekeeping_ms);
        let deadlines = self.open.values().map(|open| open.deadline_ms);
        deadlines.chain(housekeeping).min()
    }

    fn fade(&mut self, now: Now) -> Vec<Effect> {
        self.housekeeping_ms = now.ms + HOUSEKEEPING_MS;
        let faded = self.history.fade(now.ms).into_iter();
        faded
            .map(|faded| match faded {
                Faded::Shown(number) => Effect::Clear { number },
                Faded::Record(number) => Effect::Forget { number },
            })
            .collect()
    }

    /// The one way to an end.
    fn end(&mut self, now: Now, number: Number, end: End, fx: &mut Vec<Effect>) {
        let Some(mut open) = self.open.remove(&number) else { return };
        open.record.state = end.state;
        open.record.result = end.result;
        open.record.error = end.error;
        open.record.ended_ms = Some(now.calendar_ms);
        open.step = None;
        if !open.recorded {
            fx.extend(open.replies());
            return;
        }
        self.history.ended(number, now.ms);
        fx.push(Effect::Commit { number, row: open.record.to_row(), purpose: Purpose::End });
        self.ending.insert(number, open);
    }

    fn tell_end(&mut self, number: Number) -> Vec<Effect> {
        let Some(open) = self.ending.remove(&number) else { return Vec::new() };
        let mut fx = open.replies();
        fx.push(Effect::Show { task: open.task() });
        fx
    }
}

/// The retained `task/<id>` of the last minute may have been in RAM only when the daemon was killed.
fn shown_again(latest: &VecDeque<Record>) -> impl Iterator<Item = Effect> {
    let newest = latest.iter().filter_map(|record| record.ended_ms).max().unwrap_or(0);
    let recent = move |record: &&Record| record.ended_ms.is_some_and(|ms| newest - ms < MINUTE_MS);
    let shown = latest.iter().rev().filter(recent);
    shown.map(|record| Effect::Show { task: record.task(Stamp::default()) })
}

/// How old a record of this time is. A box without a clock of its own lives in 1970 until it is told the
/// time: what was recorded then, or seems to come from the future, counts as new.
fn age_ms(now: Now, then_calendar_ms: i64) -> i64 {
    if then_calendar_ms < CLOCK_SET_MS { 0 } else { (now.calendar_ms - then_calendar_ms).max(0) }
}

fn key(incoming: &Incoming) -> Option<Key> {
    let verb = incoming.request.verb;
    let name = [verb.subsystem.as_bytes(), verb.name.as_bytes()];
    if let Some(id) = &incoming.request.id {
        let from = incoming.asker.principal.as_bytes();
        return Some(Key::Id(Digest::of(&[from, name[0], name[1], id.as_bytes()])));
    }
    let (client, data) = incoming.correlation.as_ref()?;
    Some(Key::Correlation(Digest::of(&[client.as_bytes(), name[0], name[1], data])))
}

fn refuse(now: Now, incoming: Incoming, state: TaskState, error: Error) -> Vec<Effect> {
    let Incoming { request, asker, fresh_id, .. } = incoming;
    let id = request.id.unwrap_or(fresh_id);
    refusal(now, (request.verb, id), asker, (state, error))
}

/// Nothing is recorded; the publish is refused and the outcome told.
pub(super) fn refusal(
    now: Now,
    (verb, id): (&Verb, String),
    asker: Asker,
    (state, error): (TaskState, Error),
) -> Vec<Effect> {
    let record = Record {
        state,
        result: None,
        error: Some(error.clone()),
        command: format!("{}/{}", verb.subsystem, verb.name),
        from: asker.principal.to_string(),
        id,
        key: None,
        args: Digest::of(&[]),
        received_ms: now.calendar_ms,
        ended_ms: Some(now.calendar_ms),
        ends_boot: None,
    };
    let held = asker.held;
    vec![
        Effect::Vacate { held },
        // The reply, which tells more, is there when the PUBACK comes.
        Effect::Reply { asker, task: record.task(Stamp::default()) },
        Effect::Release { held, verdict: Err(error) },
    ]
}
