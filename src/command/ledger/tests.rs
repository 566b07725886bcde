use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::*;
use crate::command::message::Task;
use crate::command::testing::{CHANGE, DANGER, READ};

const CALENDAR_MS: i64 = 1_795_341_600_000;

fn at(ms: i64) -> Now {
    Now { ms, calendar_ms: CALENDAR_MS + ms }
}

fn ledger() -> Ledger {
    Ledger::restore(at(0), "boot-1", std::iter::empty()).0
}

/// A command of `alice` with an id and one argument; its publish has the number `held`.
fn command(verb: &'static Verb, held: u64, id: &str, value: &str) -> Incoming {
    let args = Map::from_iter([("name".to_owned(), Value::from(value))]);
    let id = Some(id.to_owned()).filter(|id| !id.is_empty());
    let request = Request { verb, args, id, expires: None, dry_run: false, if_rev: None };
    Incoming {
        request,
        asker: Asker { held, principal: "operator:alice".into(), respond: None },
        over_bridge: false,
        correlation: None,
        fresh_id: format!("fresh-{held}"),
        room: Room::Kept,
    }
}

/// The effects as words, in order.
fn words(fx: &[Effect]) -> Vec<String> {
    let code = |verdict: &Result<(), Error>| {
        verdict.as_ref().map_or_else(|e| e.code.clone(), |()| "ok".to_owned())
    };
    let task = |task: &Task| {
        let again = if task.duplicate { " again" } else { "" };
        format!("{:?}{again}", task.state)
    };
    fx.iter()
        .map(|effect| match effect {
            Effect::Commit { number, purpose, .. } => format!("commit {number} {purpose:?}"),
            Effect::Release { held, verdict } => format!("release {held} {}", code(verdict)),
            Effect::Vacate { held } => format!("vacate {held}"),
            Effect::Call { held, number, .. } => format!("call {held} as {number}"),
            Effect::Reply { asker, task: t } => format!("reply {} {}", asker.held, task(t)),
            Effect::Replay { asker, number } => format!("replay {number} to {}", asker.held),
            Effect::Show { task: t } => format!("show {}", task(t)),
            Effect::Clear { number } => format!("clear {number}"),
            Effect::Forget { number } => format!("forget {number}"),
            Effect::MayEndBoot { number, verdict } => format!("leave {number} {}", code(verdict)),
        })
        .collect()
}

/// The record that a commit writes.
fn record(fx: &[Effect]) -> Record {
    let row = |effect: &Effect| {
        if let Effect::Commit { row, .. } = effect { Record::of_row(row) } else { None }
    };
    fx.iter().find_map(row).unwrap()
}

fn accept(ledger: &mut Ledger, incoming: Incoming) -> Number {
    let number = ledger.next;
    ledger.receive(at(0), incoming);
    ledger.committed(at(0), (number, Purpose::Accept), Ok(()));
    number
}

fn full() -> Error {
    Error::new("storage.full", "no room")
}

#[test]
fn a_change_is_on_disk_before_its_puback_and_before_it_is_done() {
    let mut ledger = ledger();
    let fx = ledger.receive(at(0), command(&CHANGE, 7, "a", "x"));
    assert_eq!(words(&fx), ["commit 1 Accept"]);
    assert_eq!(record(&fx).state, TaskState::Accepted);
    let fx = ledger.committed(at(1), (1, Purpose::Accept), Ok(()));
    assert_eq!(words(&fx), ["release 7 ok", "show Accepted", "call 7 as 1"]);
    assert_eq!(words(&ledger.running(1, "working".into(), Some(140))), ["show Running"]);
    let fx = ledger.answered(at(2), 1, Outcome::Succeeded(json!({"n": 1})));
    assert_eq!(words(&fx), ["commit 1 End"]);
    assert_eq!(record(&fx).result, Some(json!({"n": 1})));
    let fx = ledger.committed(at(3), (1, Purpose::End), Ok(()));
    assert_eq!(words(&fx), ["reply 7 Succeeded", "show Succeeded"]);
}

#[test]
fn a_read_and_a_dry_run_leave_no_record() {
    let mut ledger = ledger();
    let mut dry = command(&DANGER, 8, "a", "x");
    dry.request.dry_run = true;
    dry.over_bridge = true;
    for (number, incoming) in [(1, command(&READ, 7, "a", "x")), (2, dry)] {
        let held = incoming.asker.held;
        let fx = ledger.receive(at(0), incoming);
        let called = [format!("release {held} ok"), format!("call {held} as {number}")];
        assert_eq!(words(&fx), called);
        let fx = ledger.answered(at(1), number, Outcome::Succeeded(Value::Null));
        assert_eq!(words(&fx), [format!("reply {held} Succeeded")]);
    }
    assert_eq!(ledger.wake_ms(), None);
}

#[test]
fn the_same_id_again_gets_the_stored_outcome_and_is_not_done_again() {
    let mut ledger = ledger();
    let number = accept(&mut ledger, command(&CHANGE, 1, "a", "x"));
    ledger.answered(at(1), number, Outcome::Failed(Error::new("command.failed", "no")));
    ledger.committed(at(2), (number, Purpose::End), Ok(()));
    let fx = ledger.receive(at(3), command(&CHANGE, 2, "a", "x"));
    assert_eq!(words(&fx), ["vacate 2", "release 2 ok", "replay 1 to 2"]);
}

#[test]
fn the_same_id_with_other_arguments_is_refused() {
    let mut ledger = ledger();
    accept(&mut ledger, command(&CHANGE, 1, "a", "x"));
    let fx = ledger.receive(at(3), command(&CHANGE, 2, "a", "y"));
    assert_eq!(words(&fx), ["vacate 2", "reply 2 Rejected", "release 2 command.id_reused"]);
    // another verb, or another principal, is another command
    assert_eq!(words(&ledger.receive(at(3), command(&DANGER, 3, "a", "y"))), ["commit 2 Accept"]);
    let mut bob = command(&CHANGE, 4, "a", "y");
    bob.asker.principal = "operator:bob".into();
    assert_eq!(words(&ledger.receive(at(3), bob)), ["commit 3 Accept"]);
}

#[test]
fn one_who_sends_a_running_command_again_waits_with_the_first() {
    let mut ledger = ledger();
    ledger.receive(at(0), command(&CHANGE, 1, "a", "x"));
    assert_eq!(words(&ledger.receive(at(0), command(&CHANGE, 2, "a", "x"))), ["vacate 2"]);
    let fx = ledger.committed(at(1), (1, Purpose::Accept), Ok(()));
    let told = ["release 1 ok", "release 2 ok", "show Accepted", "call 1 as 1"];
    assert_eq!(words(&fx), told);
    let fx = ledger.receive(at(2), command(&CHANGE, 3, "a", "x"));
    assert_eq!(words(&fx), ["vacate 3", "release 3 ok"]);
    ledger.answered(at(3), 1, Outcome::Succeeded(Value::Null));
    // ended, but the end is not on disk yet
    let fx = ledger.receive(at(3), command(&CHANGE, 4, "a", "x"));
    assert_eq!(words(&fx), ["vacate 4", "release 4 ok"]);
    let fx = ledger.committed(at(4), (1, Purpose::End), Ok(()));
    let told = [
        "reply 1 Succeeded",
        "reply 2 Succeeded again",
        "reply 3 Succeeded again",
        "reply 4 Succeeded again",
        "show Succeeded",
    ];
    assert_eq!(words(&fx), told);
}

#[test]
fn without_an_id_client_and_correlation_data_tell_a_repetition_for_a_minute() {
    let mut ledger = ledger();
    let correlated = |held, client: &str, data: &'static [u8]| {
        let mut incoming = command(&CHANGE, held, "", "x");
        incoming.correlation = Some((Arc::from(client), data.into()));
        incoming
    };
    assert_eq!(words(&ledger.receive(at(0), correlated(1, "c", b"1"))), ["commit 1 Accept"]);
    assert_eq!(words(&ledger.receive(at(60_000), correlated(2, "c", b"1"))), ["vacate 2"]);
    assert_eq!(words(&ledger.receive(at(60_001), correlated(3, "c", b"1"))), ["commit 2 Accept"]);
    assert_eq!(words(&ledger.receive(at(60_001), correlated(4, "d", b"1"))), ["commit 3 Accept"]);
    assert_eq!(
        words(&ledger.receive(at(60_001), command(&CHANGE, 5, "", "x"))),
        ["commit 4 Accept"]
    );
    assert_eq!(
        words(&ledger.receive(at(60_001), command(&CHANGE, 6, "", "x"))),
        ["commit 5 Accept"]
    );
}

#[test]
fn a_full_disk_refuses_the_command_and_it_may_come_again() {
    let mut ledger = ledger();
    ledger.receive(at(0), command(&CHANGE, 1, "a", "x"));
    let fx = ledger.committed(at(1), (1, Purpose::Accept), Err(full()));
    let told = ["forget 1", "vacate 1", "reply 1 Rejected", "release 1 storage.full"];
    assert_eq!(words(&fx), told);
    assert_eq!(words(&ledger.receive(at(2), command(&CHANGE, 2, "a", "x"))), ["commit 2 Accept"]);
}

#[test]
fn an_expired_command_does_not_begin() {
    let mut ledger = ledger();
    let mut late = command(&CHANGE, 1, "a", "x");
    late.request.expires = Some(Expires::At(CALENDAR_MS));
    let fx = ledger.receive(at(0), late);
    assert_eq!(words(&fx), ["vacate 1", "reply 1 Expired", "release 1 command.expired"]);
    let mut in_time = command(&CHANGE, 2, "a", "x");
    in_time.request.expires = Some(Expires::At(CALENDAR_MS + 1));
    assert_eq!(words(&ledger.receive(at(0), in_time)), ["commit 1 Accept"]);
}

#[test]
fn danger_over_a_bridge_must_say_how_long_it_is_good_for() {
    let mut ledger = ledger();
    let bridged = |verb, held, expires| {
        let mut incoming = command(verb, held, "", "x");
        incoming.over_bridge = true;
        incoming.request.expires = expires;
        incoming
    };
    let fx = ledger.receive(at(0), bridged(&DANGER, 1, None));
    assert_eq!(words(&fx), ["vacate 1", "reply 1 Rejected", "release 1 command.undated"]);
    let span = Some(Expires::In(Duration::from_secs(90)));
    assert_eq!(words(&ledger.receive(at(0), bridged(&DANGER, 2, span))), ["commit 1 Accept"]);
    assert_eq!(words(&ledger.receive(at(0), bridged(&CHANGE, 3, None))), ["commit 2 Accept"]);
    assert_eq!(words(&ledger.receive(at(0), command(&DANGER, 4, "", "x"))), ["commit 3 Accept"]);
}

#[test]
fn a_subsystem_that_is_down_or_full_refuses_before_anything_is_recorded() {
    let mut ledger = ledger();
    for (room, code) in [(Room::Down, "command.unavailable"), (Room::Full, "command.busy")] {
        let mut incoming = command(&CHANGE, 1, "a", "x");
        incoming.room = room;
        let fx = ledger.receive(at(0), incoming);
        assert_eq!(words(&fx)[2], format!("release 1 {code}"));
    }
}

#[test]
fn what_is_under_way_is_bounded_and_one_principal_cannot_take_every_place() {
    let mut ledger = ledger();
    let by = |who: usize, held| {
        let mut incoming = command(&CHANGE, held, "", "x");
        incoming.asker.principal = format!("operator:{who}").into();
        incoming
    };
    for held in 1..=64 {
        assert_eq!(words(&ledger.receive(at(0), by(0, held))).len(), 1);
    }
    assert_eq!(words(&ledger.receive(at(0), by(0, 65)))[2], "release 65 command.busy");
    for (who, held) in (66..258).map(|held| (1 + held / 60, held as u64)) {
        assert_eq!(words(&ledger.receive(at(0), by(who, held))).len(), 1);
    }
    assert_eq!(words(&ledger.receive(at(0), by(99, 999)))[2], "release 999 command.busy");
}

#[test]
fn a_command_that_is_not_answered_in_time_ends_and_a_late_answer_changes_nothing() {
    let mut ledger = ledger();
    ledger.receive(at(0), command(&CHANGE, 1, "a", "x"));
    // the disk is slow: that is not the subsystem's time
    assert_eq!(words(&ledger.due(at(40_000))), [""; 0]);
    ledger.committed(at(40_000), (1, Purpose::Accept), Ok(()));
    assert_eq!(ledger.wake_ms(), Some(70_000));
    assert_eq!(words(&ledger.due(at(69_999))), [""; 0]);
    assert_eq!(words(&ledger.due(at(70_000))), ["commit 1 End"]);
    assert_eq!(words(&ledger.answered(at(70_001), 1, Outcome::Succeeded(Value::Null))), [""; 0]);
    let fx = ledger.committed(at(70_002), (1, Purpose::End), Ok(()));
    assert_eq!(words(&fx), ["reply 1 TimedOut", "show TimedOut"]);
}

#[test]
fn a_dropped_answer_is_an_interrupted_command() {
    let mut ledger = ledger();
    let number = accept(&mut ledger, command(&CHANGE, 1, "a", "x"));
    let fx = ledger.answered(at(1), number, Outcome::Interrupted);
    assert_eq!(record(&fx).state, TaskState::Interrupted);
}

#[test]
fn a_reboot_has_leave_when_its_record_is_on_disk_and_the_next_boot_is_its_success() {
    let mut ledger = ledger();
    let number = accept(&mut ledger, command(&DANGER, 1, "a", "x"));
    let fx = ledger.ends_boot(number);
    assert_eq!(words(&fx), ["commit 1 EndsBoot"]);
    let row = record(&fx);
    let fx = ledger.committed(at(1), (number, Purpose::EndsBoot), Ok(()));
    assert_eq!(words(&fx), ["leave 1 ok"]);
    // the daemon is ended with everything else; that is no answer
    assert_eq!(words(&ledger.answered(at(2), number, Outcome::Interrupted)), [""; 0]);

    let rows = || std::iter::once((number, Some(row.clone())));
    let (mut next, fx) = Ledger::restore(at(3), "boot-2", rows());
    assert_eq!(record(&fx).state, TaskState::Succeeded);
    let boots = json!({"boot_before": "boot-1", "boot_after": "boot-2"});
    assert_eq!(record(&fx).result, Some(boots));
    let fx = next.committed(at(4), (number, Purpose::End), Ok(()));
    assert_eq!(words(&fx), ["reply 0 Succeeded", "show Succeeded"]);

    let (_, fx) = Ledger::restore(at(3), "boot-1", rows());
    assert_eq!(record(&fx).state, TaskState::Interrupted);
}

#[test]
fn a_reboot_has_no_leave_when_the_disk_did_not_take_its_record() {
    let mut ledger = ledger();
    let number = accept(&mut ledger, command(&DANGER, 1, "a", "x"));
    ledger.ends_boot(number);
    let fx = ledger.committed(at(1), (number, Purpose::EndsBoot), Err(full()));
    assert_eq!(words(&fx), ["leave 1 storage.full"]);
    ledger.due(at(30_000));
    assert_eq!(words(&ledger.ends_boot(number)), ["leave 1 command.timed_out"]);
}

#[test]
fn what_was_open_at_the_last_end_is_interrupted_and_known_by_its_id() {
    let mut ledger = ledger();
    let row = record(&ledger.receive(at(0), command(&CHANGE, 1, "a", "x")));
    let rows = [(5, Some(row)), (6, None)];
    let (mut next, fx) = Ledger::restore(at(0), "boot-1", rows.into_iter());
    assert_eq!(words(&fx), ["forget 6", "commit 5 End"]);
    assert_eq!(record(&fx).state, TaskState::Interrupted);
    next.committed(at(1), (5, Purpose::End), Ok(()));
    let fx = next.receive(at(2), command(&CHANGE, 9, "a", "x"));
    assert_eq!(words(&fx), ["vacate 9", "release 9 ok", "replay 5 to 9"]);
    assert_eq!(words(&next.receive(at(2), command(&CHANGE, 10, "b", "x"))), ["commit 7 Accept"]);
}

#[test]
fn a_clock_that_was_not_set_makes_no_record_old() {
    let mut ledger = ledger();
    let mut row = record(&ledger.receive(at(0), command(&CHANGE, 1, "a", "x")));
    row.state = TaskState::Succeeded;
    let day_ms = 24 * 60 * 60 * 1000;
    for (ended_ms, known) in
        [(5_000, true), (CALENDAR_MS - day_ms, true), (CALENDAR_MS - 8 * day_ms, false)]
    {
        row.ended_ms = Some(ended_ms);
        let rows = std::iter::once((1, Some(row.clone())));
        let (_, fx) = Ledger::restore(at(0), "boot-1", rows);
        let shown = ["show Succeeded", "forget 1"];
        let forgotten = if known { &shown[..1] } else { &shown };
        assert_eq!(words(&fx), forgotten, "{ended_ms}");
    }
}

#[test]
fn what_ended_in_the_minute_before_a_kill_is_shown_again() {
    let mut ledger = ledger();
    let row = record(&ledger.receive(at(0), command(&CHANGE, 1, "a", "x")));
    let ended = |number: Number, ended_ms| {
        let state = TaskState::Succeeded;
        let id = number.to_string();
        (number, Some(Record { state, id, ended_ms: Some(CALENDAR_MS + ended_ms), ..row.clone() }))
    };
    let rows = [ended(1, 0), ended(2, 1), ended(3, 60_000)];
    let (_, fx) = Ledger::restore(at(90_000), "boot-1", rows.into_iter());
    let shown = |effect: &Effect| {
        if let Effect::Show { task } = effect { Some(task.id.clone()) } else { None }
    };
    assert_eq!(fx.iter().filter_map(shown).collect::<Vec<_>>(), ["2", "3"]);
}

mod any_order {
    use std::collections::{HashMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    /// What can happen to a ledger.
    #[derive(Clone, Debug)]
    enum Step {
        Send { id: u8, value: u8, verb: u8 },
        Commit { works: bool },
        Answer { which: usize, how: u8 },
        Wait { ms: i64 },
        Restart { new_boot: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u8..6, 0_u8..2, 0_u8..3).prop_map(|(id, value, verb)| Step::Send { id, value, verb }),
            4 => prop::bool::weighted(0.9).prop_map(|works| Step::Commit { works }),
            3 => (0_usize..8, 0_u8..4).prop_map(|(which, how)| Step::Answer { which, how }),
            1 => (0_i64..40_000).prop_map(|ms| Step::Wait { ms }),
            1 => any::<bool>().prop_map(|new_boot| Step::Restart { new_boot }),
        ]
    }

    /// A desk without a bus: a disk that commits in order, and what everybody was told.
    struct World {
        ledger: Ledger,
        now: Now,
        boot: u32,
        disk: std::collections::BTreeMap<Number, Vec<u8>>,
        writing: VecDeque<(Number, Purpose, Vec<u8>)>,
        /// Publishes not released yet.
        held: HashMap<u64, ()>,
        called: Vec<Number>,
        calls_of_id: HashMap<String, u32>,
        replies: HashMap<u64, u32>,
        released: HashMap<u64, bool>,
        ends: HashMap<Number, TaskState>,
    }

    impl World {
        fn perform(&mut self, fx: Vec<Effect>) {
            for effect in fx {
                match effect {
                    Effect::Commit { number, row, purpose } => {
                        if purpose == Purpose::End {
                            let state = Record::of_row(&row).unwrap().state;
                            assert!(state.is_end());
                            assert_eq!(
                                self.ends.insert(number, state),
                                None,
                                "two ends of {number}"
                            );
                        }
                        self.writing.push_back((number, purpose, row));
                    }
                    Effect::Release { held, verdict } => {
                        assert!(self.held.remove(&held).is_some(), "{held} released twice");
                        self.released.insert(held, verdict.is_ok());
                    }
                    Effect::Call { held, number, id } => {
                        assert!(self.released.get(&held) == Some(&true), "done before its PUBACK");
                        if let Some(row) = self.disk.get(&number) {
                            assert_eq!(Record::of_row(row).unwrap().state, TaskState::Accepted);
                            *self.calls_of_id.entry(id).or_default() += 1;
                        }
                        self.called.push(number);
                    }
                    Effect::Reply { asker, .. } | Effect::Replay { asker, .. } => {
                        *self.replies.entry(asker.held).or_default() += 1;
                    }
                    Effect::Forget { number } => drop(self.disk.remove(&number)),
                    Effect::Vacate { .. }
                    | Effect::Show { .. }
                    | Effect::Clear { .. }
                    | Effect::MayEndBoot { .. } => {}
                }
            }
        }

        fn step(&mut self, step: Step, next: u64) {
            match step {
                Step::Send { id, value, verb } => {
                    let verb = [&READ, &CHANGE, &DANGER][usize::from(verb)];
                    let name = format!("{}-{id}", verb.name);
                    self.held.insert(next, ());
                    let fx = self
                        .ledger
                        .receive(self.now, command(verb, next, &name, &value.to_string()));
                    self.perform(fx);
                }
                Step::Commit { works } => {
                    let Some((number, purpose, row)) = self.writing.pop_front() else { return };
                    // the store keeps an end in RAM until the disk takes it
                    let kept = works || purpose == Purpose::End;
                    if kept {
                        self.disk.insert(number, row);
                    }
                    let verdict = if works { Ok(()) } else { Err(full()) };
                    let fx = self.ledger.committed(self.now, (number, purpose), verdict);
                    self.perform(fx);
                }
                Step::Answer { which, how } => {
                    if self.called.is_empty() {
                        return;
                    }
                    let number = self.called[which % self.called.len()];
                    let fx = match how {
                        0 => self.ledger.ends_boot(number),
                        1 => self.ledger.running(number, "step".into(), None),
                        2 => self.ledger.answered(self.now, number, Outcome::Interrupted),
                        _ => {
                            self.ledger.answered(self.now, number, Outcome::Succeeded(Value::Null))
                        }
                    };
                    self.perform(fx);
                }
                Step::Wait { ms } => {
                    self.now = at(self.now.ms + ms);
                    let fx = self.ledger.due(self.now);
                    self.perform(fx);
                }
                Step::Restart { new_boot } => {
                    self.boot += u32::from(new_boot);
                    self.writing.clear();
                    self.called.clear();
                    self.held.clear(); // their clients see the connection close
                    self.ends.retain(|number, state| {
                        self.disk
                            .get(number)
                            .is_some_and(|row| Record::of_row(row).unwrap().state == *state)
                    });
                    let rows = self.disk.iter().map(|(n, row)| (*n, Record::of_row(row)));
                    let rows: Vec<_> = rows.collect();
                    let boot = format!("boot-{}", self.boot);
                    let (ledger, fx) = Ledger::restore(self.now, &boot, rows.into_iter());
                    self.ledger = ledger;
                    self.perform(fx);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_command_is_told_one_end_and_no_id_is_done_twice(
            steps in prop::collection::vec(step(), 0..120)
        ) {
            let mut world = World {
                ledger: ledger(),
                now: at(0),
                boot: 1,
                disk: Default::default(),
                writing: VecDeque::new(),
                held: HashMap::new(),
                called: Vec::new(),
                calls_of_id: HashMap::new(),
                replies: HashMap::new(),
                released: HashMap::new(),
                ends: HashMap::new(),
            };
            let mut sent = 1000;
            for step in steps {
                sent += 1;
                world.step(step, sent);
            }
            // let everything come to its end
            for round in 0..4 {
                while !world.writing.is_empty() {
                    world.step(Step::Commit { works: true }, 0);
                }
                let ms = if round == 0 { 31_000 } else { 0 };
                world.step(Step::Wait { ms }, 0);
            }
            prop_assert!(world.held.is_empty(), "not released: {:?}", world.held);
            prop_assert!(world.ledger.open.is_empty() && world.ledger.ending.is_empty());
            for (id, calls) in &world.calls_of_id {
                prop_assert!(*calls <= 1, "{id} done {calls} times");
            }
            for (held, replies) in world.replies.iter().filter(|(held, _)| **held > 0) {
                prop_assert!(*replies == 1, "{held} told {replies} outcomes");
            }
            for row in world.disk.values() {
                prop_assert!(Record::of_row(row).unwrap().state.is_end());
            }
        }
    }
}
