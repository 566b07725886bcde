//! What happens in one run, as a list a person can read and shorten. Every step carries its own chance
//! (which sectors survive, how many packets are read), so that leaving one out changes nothing in the
//! others.

use super::chance::Chance;
use super::packet::TOPICS;
use crate::broker::wire::{Qos, Version};

/// One run: who takes part, and what happens.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) profiles: Vec<Profile>,
    pub(super) steps: Vec<Step>,
}

/// What a client is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Profile {
    pub(super) version: Version,
    /// Seconds its session outlives its connection; `u32::MAX` is for ever.
    pub(super) expiry_s: u32,
    pub(super) receive_maximum: u16,
    /// Bytes its socket holds before the broker must wait.
    pub(super) room: usize,
    /// Reads and answers everything at once; otherwise only when the script says so.
    pub(super) eager: bool,
}

/// How a client says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bye {
    /// Its will is forgotten.
    Plain,
    /// "Disconnect with Will Message" (5.0).
    WithWill,
    /// Its session ends (5.0: session expiry 0).
    Forget,
}

/// What a PUBLISH does to the retained message of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Not,
    Retain,
    Clear,
}

/// What may happen to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Luck {
    /// The power goes, at any write.
    PowerCuts,
    /// It is full, read-only or broken at times, too.
    BadDisk,
}

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// ENOSPC, for what takes up more room.
    Full,
    /// EIO from every write.
    Writes,
    /// EIO from every sync.
    Syncs,
    ReadOnly,
}

/// A will as CONNECT has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Testament {
    pub(super) topic: &'static str,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) delay_s: u32,
}

/// One thing that happens. What cannot happen (a PUBLISH of someone who is not there) does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Takes the session over when the client is connected already.
    Connect {
        client: usize,
        clean: bool,
        will: Option<Testament>,
    },
    /// The connection breaks; what was on its way to the client is lost.
    Cut {
        client: usize,
    },
    Disconnect {
        client: usize,
        bye: Bye,
    },
    /// `expiry_s` 0 is none. With `more` the broker reads it together with the next.
    Publish {
        client: usize,
        topic: &'static str,
        qos: Qos,
        keep: Keep,
        expiry_s: u32,
        more: bool,
    },
    Subscribe {
        client: usize,
        filter: &'static str,
        qos: Qos,
        no_local: bool,
        kept: bool,
    },
    Unsubscribe {
        client: usize,
        filter: &'static str,
    },
    /// The client reads packets.
    Read {
        client: usize,
        packets: usize,
    },
    /// The client sends one of the answers it owes, not always the oldest.
    Answer {
        client: usize,
        which: usize,
    },
    Pass {
        ms: u64,
    },
    /// The power goes now; it returns after a while, and may go `again` at that write of the start.
    Crash {
        chance: u64,
        down_ms: u64,
        again: Option<u32>,
    },
    /// The power will go at this write of the disk from now.
    CrashAtWrite {
        writes: u32,
        chance: u64,
        down_ms: u64,
        again: Option<u32>,
    },
    /// The daemon is stopped in order and started again.
    Restart,
    Trouble {
        fault: Fault,
    },
    Mend,
}

const FILTERS: [&str; 8] =
    ["a/x", "a/+", "a/#", "b/y", "+/x", "b/#", "$share/one/s/#", "$share/two/t/v"];
const PASSES_MS: [u64; 8] = [1, 2, 4, 6, 20, 300, 6_000, 40_000];
const EXPIRIES_S: [u32; 4] = [0, 30, 300, u32::MAX];

impl Script {
    /// The script of a seed.
    pub(super) fn of(seed: u64, steps: usize, luck: Luck) -> Script {
        let mut chance = Chance::of(seed);
        let count = 2 + chance.below(4);
        let profiles: Vec<_> = (0..count).map(|_| profile(&mut chance)).collect();
        let mut writer = Writer { chance, luck, there: vec![false; count] };
        let mut script = Script { profiles, steps: Vec::with_capacity(steps) };
        while script.steps.len() < steps {
            let step = writer.step();
            script.steps.push(step);
        }
        script
    }
}

fn profile(chance: &mut Chance) -> Profile {
    let version = if chance.one_in(3) { Version::V311 } else { Version::V5 };
    let expiry_s = match version {
        Version::V311 => u32::MAX,
        Version::V5 => chance.of_these(&EXPIRIES_S),
    };
    Profile {
        version,
        expiry_s,
        receive_maximum: if version == Version::V5 { chance.of_these(&[1, 3, 100]) } else { 100 },
        room: chance.of_these(&[60, 400, 100_000]),
        eager: !chance.one_in(3),
    }
}

/// Writes a script that makes some sense: who is away comes back.
struct Writer {
    chance: Chance,
    luck: Luck,
    there: Vec<bool>,
}

impl Writer {
    fn step(&mut self) -> Step {
        let client = self.chance.below(self.there.len());
        if !self.there[client] && !self.chance.one_in(4) {
            return self.connect(client);
        }
        match self.chance.below(100) {
            0..34 => self.publish(client),
            34..46 => self.subscribe(client),
            46..49 => Step::Unsubscribe { client, filter: self.chance.of_these(&FILTERS) },
            49..60 => Step::Read { client, packets: 1 + self.chance.below(4) },
            60..68 => Step::Answer { client, which: self.chance.below(3) },
            68..83 => Step::Pass { ms: self.chance.of_these(&PASSES_MS) },
            83..86 => self.away(client, |_| Step::Cut { client }),
            86..88 => self.connect(client),
            88..90 => self.away(client, |chance| {
                let bye = chance.of_these(&[Bye::Plain, Bye::WithWill, Bye::Forget]);
                Step::Disconnect { client, bye }
            }),
            96 if self.luck == Luck::BadDisk => Step::Trouble {
                fault: self.chance.of_these(&[
                    Fault::Full,
                    Fault::Writes,
                    Fault::Syncs,
                    Fault::ReadOnly,
                ]),
            },
            90..97 => self.crash(),
            97 => {
                self.there.fill(false);
                Step::Restart
            }
            _ => Step::Mend,
        }
    }

    fn connect(&mut self, client: usize) -> Step {
        self.there[client] = true;
        let will = self.chance.one_in(3).then(|| Testament {
            topic: self.chance.of_these(&TOPICS),
            qos: self.qos(),
            retain: self.chance.one_in(4),
            delay_s: self.chance.of_these(&[0, 1, 60]),
        });
        Step::Connect { client, clean: self.chance.one_in(12), will }
    }

    fn publish(&mut self, client: usize) -> Step {
        let keep = match self.chance.below(12) {
            0..3 => Keep::Retain,
            3 => Keep::Clear,
            _ => Keep::Not,
        };
        let expiry_s = if self.chance.one_in(8) { self.chance.of_these(&[2, 50]) } else { 0 };
        let topic = self.chance.of_these(&TOPICS);
        let more = self.chance.one_in(4);
        Step::Publish { client, topic, qos: self.qos(), keep, expiry_s, more }
    }

    fn subscribe(&mut self, client: usize) -> Step {
        let filter = self.chance.of_these(&FILTERS);
        let weak = !filter.starts_with("$share") || self.chance.one_in(8);
        let qos = if weak { self.qos() } else { self.qos().max(Qos::AtLeastOnce) };
        Step::Subscribe {
            client,
            filter,
            qos,
            no_local: self.chance.one_in(8),
            kept: !self.chance.one_in(4),
        }
    }

    fn crash(&mut self) -> Step {
        let chance = self.chance.next();
        let down_ms = self.chance.of_these(&[0, 10, 3_000, 60_000]);
        let mut writes = |below| u32::try_from(self.chance.below(below)).unwrap_or(0);
        let again = (writes(4) == 0).then(|| writes(8));
        if writes(3) == 0 {
            self.there.fill(false);
            return Step::Crash { chance, down_ms, again };
        }
        Step::CrashAtWrite { writes: writes(12), chance, down_ms, again }
    }

    fn away(&mut self, client: usize, how: impl FnOnce(&mut Chance) -> Step) -> Step {
        self.there[client] = false;
        how(&mut self.chance)
    }

    fn qos(&mut self) -> Qos {
        match self.chance.below(5) {
            0 => Qos::AtMostOnce,
            1 | 2 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        }
    }
}
