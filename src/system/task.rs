//! The hands: answers, and ends the box.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::message::{Ending, Facts, Pong, RebootArgs, Rebooted, Whoami};
use super::power::{self, Situation};
use crate::bus::Message;
use crate::command::{Answer, Call};
use crate::contract;
use crate::linux::proc::{Buffer, ProcFile};
use crate::linux::reboot::{End, Hand};
use crate::linux::{boot, machine, meminfo};
use crate::service::{BoxError, Scope, rfc3339};
use crate::topic::Topic;

/// What the broker has is then on its way to the cloud, too.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Answers until the daemon, or the box, goes down.
pub(super) async fn run(mut scope: Scope, hand: Hand) -> Result<(), BoxError> {
    let machine = machine::look();
    publish_facts(&scope, &machine);
    scope.health.ok();
    let mut pending: Option<Pending> = None;
    // Answers of commands that the next boot answers: dropped unanswered they would be interrupted.
    let mut gone: Vec<Answer> = Vec::new();
    loop {
        let due = pending.as_ref().map(|pending| pending.at);
        tokio::select! {
            biased;
            () = scope.stop.cancelled() => break,
            () = until(due) => {
                if let Some(pending) = pending.take() {
                    gone.extend(end(&scope, &hand, pending).await);
                }
            }
            call = scope.commands.recv() => match call {
                Some(call) => {
                    let waiting = pending.as_ref().map(|pending| pending.end);
                    if let Some(new) = take(&scope, &machine, call, &hand, waiting) {
                        pending = Some(new);
                    }
                }
                None => break,
            },
        }
    }
    Ok(())
}

/// An end of the box that has been promised.
struct Pending {
    end: End,
    at: Instant,
    answer: Answer,
    event: Ending,
}

fn take(
    scope: &Scope,
    machine: &machine::Machine,
    call: Call,
    hand: &Hand,
    waiting: Option<End>,
) -> Option<Pending> {
    match call.verb {
        "ping" => call.answer.succeed(Pong { pong: true }),
        "whoami" => call.answer.succeed(whoami(&call.from)),
        "facts" => {
            let uptime_s = Some(Duration::from_secs_f64(boot::uptime_s()).as_secs());
            call.answer.succeed(Facts { uptime_s, ..facts(scope, machine) });
        }
        "reboot" => return promise(scope, call, hand, (End::Reboot, waiting)),
        "shutdown" => return promise(scope, call, hand, (End::PowerOff, waiting)),
        other => {
            let error = contract::Error::new("command.unknown_verb", format!("system/{other}"));
            call.answer.fail(error);
        }
    }
    None
}

fn promise(
    scope: &Scope,
    call: Call,
    hand: &Hand,
    (end, waiting): (End, Option<End>),
) -> Option<Pending> {
    let situation = Situation { permitted: hand.permitted(), ending: waiting };
    let decided = call.arguments::<RebootArgs>().and_then(|args| {
        let delay = power::delay(&args, situation)?;
        Ok((args, delay))
    });
    match decided {
        Err(error) => call.answer.fail(error),
        Ok(_) if call.dry_run => {
            let boot_before = scope.stamper.boot().to_owned();
            call.answer.succeed(Rebooted { boot_before, boot_after: None });
        }
        Ok((args, delay)) => {
            if !delay.is_zero() {
                call.answer.running(&format!("{} in {} s", call.verb, delay.as_secs()), None);
            }
            let from = call.from.name.clone();
            let event =
                Ending { from, reason: args.reason, id: call.id, stamp: scope.stamper.stamp() };
            return Some(Pending { end, at: Instant::now() + delay, answer: call.answer, event });
        }
    }
    None
}

/// Records, tells, ends; gives the answer back when the next boot is to answer.
async fn end(scope: &Scope, hand: &Hand, pending: Pending) -> Option<Answer> {
    let Pending { end, answer, event, .. } = pending;
    if let Err(error) = answer.until_reboot().await {
        answer.fail(error); // not on disk: the next boot would know nothing of it
        return None;
    }
    tell(scope, end, event).await;
    tokio::time::sleep(LAST_WORDS).await;
    tracing::warn!(end = power::name(end), "the box goes down by command");
    match hand.end(end) {
        Ok(()) => Some(answer),
        Err(error) => {
            let message = format!("reboot(2): {error}");
            answer.fail(contract::Error::new("system.not_permitted", message));
            None
        }
    }
}

/// So that whoever watches knows why the box falls silent; never a reason to wait for long.
async fn tell(scope: &Scope, end: End, event: Ending) {
    let event = Ending { stamp: scope.stamper.stamp(), ..event };
    let kind = power::name(end);
    let topic =
        Topic::Event { subsystem: "system".into(), object: "box".into(), kind: kind.into() };
    if let Ok(json) = serde_json::to_vec(&event) {
        let message = Message::new(topic.on(&scope.root), json).at_least_once();
        let published = scope.bus.sender().publish(message);
        let _ = tokio::time::timeout(Duration::from_secs(1), published).await;
    }
}

fn whoami(principal: &crate::broker::Principal) -> Whoami {
    Whoami {
        principal: principal.name.clone(),
        role: principal.role,
        uid: principal.uid,
        app: principal.app.clone(),
    }
}

fn publish_facts(scope: &Scope, machine: &machine::Machine) {
    let topic = Topic::State { subsystem: "system".into(), object: "facts".into() };
    if let Ok(json) = serde_json::to_vec(&facts(scope, machine)) {
        scope.bus.sender().post(Message::new(topic.on(&scope.root), json).retained());
    }
}

fn facts(scope: &Scope, machine: &machine::Machine) -> Facts {
    let machine = machine.clone();
    let up = Duration::from_secs_f64(boot::uptime_s());
    let booted = SystemTime::now().checked_sub(up).unwrap_or(SystemTime::UNIX_EPOCH);
    let memory = ProcFile::open("/proc/meminfo").ok().and_then(|file| {
        let mut buffer = Buffer::default();
        meminfo::parse(file.read_head(&mut buffer).ok()?)
    });
    Facts {
        hostname: boot::hostname().unwrap_or_default(),
        model: machine.model,
        machine: machine.machine,
        kernel: machine.kernel,
        os: machine.os,
        processor: machine.processor,
        processors: machine.processors,
        memory_bytes: memory.map(|memory| memory.total).unwrap_or_default(),
        maestro: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: boot::boot_id(),
        booted: to_the_second(&rfc3339(booted)),
        uptime_s: None,
        stamp: scope.stamper.stamp(),
    }
}

/// `2026-11-22T10:00:00.123Z` -> `2026-11-22T10:00:00Z`
fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_past_are_told_to_the_second() {
        assert_eq!(to_the_second("2026-11-22T10:00:00.123Z"), "2026-11-22T10:00:00Z");
    }
}
