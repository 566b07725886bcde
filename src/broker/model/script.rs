//! What happens in one run, as a list a person can read and shorten. Every step carries its own chance
//! (which sectors survive, how many packets are read), so that leaving one out changes nothing in the
//! others.

use std::collections::VecDeque;

use super::chance::Chance;
use super::packet::TOPICS;
use crate::broker::queue::Policy;
use crate::broker::wire::{Qos, Version};
use crate::topic::{Shared, matches};

/// One run: where, who takes part, and what happens.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) house: House,
    pub(super) profiles: Vec<Profile>,
    pub(super) steps: Vec<Step>,
}

/// What the broker and its disk are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct House {
    /// Messages that may wait for a session, and for a group. With few nothing is promised of what was
    /// not begun.
    pub(super) queued: usize,
    pub(super) policy: Policy,
    /// Retained messages that go to a new subscription at once, and that may wait while it gets more.
    pub(super) piece: usize,
    /// How long a commit takes, ms.
    pub(super) commit_ms: u64,
}

impl House {
    /// Roomy and quick.
    pub(super) const USUAL: House =
        House { queued: 10_000, policy: Policy::Oldest, piece: 64, commit_ms: 0 };

    /// Whether a queue may be full.
    pub(super) fn is_small(self) -> bool {
        self.queued < House::USUAL.queued
    }

    /// Whether what is retained may go to a new subscription a while later.
    pub(super) fn goes_piece_by_piece(self) -> bool {
        self.piece < House::USUAL.piece
    }
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
    /// `expiry_s` 0 is none.
    Publish {
        client: usize,
        topic: &'static str,
        qos: Qos,
        keep: Keep,
        expiry_s: u32,
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
    /// What the client sends from now on the broker reads together, and with what the next sends that
    /// bursts, when something else happens or something comes of itself.
    Burst {
        client: usize,
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

impl Step {
    /// Whether it belongs to what these clients say together, each in its turn.
    pub(super) fn goes_on(&self, bursting: &[usize]) -> bool {
        match *self {
            Step::Publish { client, .. }
            | Step::Subscribe { client, .. }
            | Step::Unsubscribe { client, .. }
            | Step::Read { client, .. }
            | Step::Answer { client, .. } => bursting.last() == Some(&client),
            Step::Burst { client } => !bursting.contains(&client),
            Step::Connect { .. }
            | Step::Cut { .. }
            | Step::Disconnect { .. }
            | Step::Pass { .. }
            | Step::Crash { .. }
            | Step::CrashAtWrite { .. }
            | Step::Restart
            | Step::Trouble { .. }
            | Step::Mend => false,
        }
    }
}

const FILTERS: [&str; 8] =
    ["a/x", "a/+", "a/#", "b/y", "+/x", "b/#", "$share/one/s/#", "$share/two/t/v"];
const PASSES_MS: [u64; 8] = [1, 2, 4, 6, 20, 300, 6_000, 40_000];
const EXPIRIES_S: [u32; 4] = [0, 30, 300, u32::MAX];

impl Script {
    /// The script of a seed.
    pub(super) fn of(seed: u64, steps: usize, luck: Luck) -> Script {
        let mut chance = Chance::of(seed);
        let house = house(&mut chance);
        let count = 2 + chance.below(4);
        let profiles: Vec<_> = (0..count).map(|_| profile(&mut chance)).collect();
        let (filters, topics) = ground(&mut chance);
        let (there, next) = (vec![false; count], VecDeque::new());
        let mut writer = Writer { chance, luck, filters, topics, there, next };
        let mut script = Script { house, profiles, steps: Vec::with_capacity(steps) };
        while script.steps.len() < steps {
            let step = writer.step();
            script.steps.push(step);
        }
        script
    }
}

fn house(chance: &mut Chance) -> House {
    let (queued, policy) = match chance.below(8) {
        0 | 1 => (1 + chance.below(4), Policy::Oldest),
        2 => (1 + chance.below(4), Policy::Newest),
        _ => (House::USUAL.queued, Policy::Oldest),
    };
    let piece = if chance.one_in(3) { 1 } else { House::USUAL.piece };
    House { queued, policy, piece, commit_ms: chance.of_these(&[0, 0, 3, 20]) }
}

/// What a script is about: everything, or so little that what happens meets what happened before.
fn ground(chance: &mut Chance) -> (Vec<&'static str>, Vec<&'static str>) {
    if chance.one_in(2) {
        return (FILTERS.to_vec(), TOPICS.to_vec());
    }
    let filters: Vec<_> = (0..=chance.below(2)).map(|_| chance.of_these(&FILTERS)).collect();
    let topics = TOPICS.into_iter();
    let wanted =
        topics.filter(|topic| filters.iter().any(|filter| matches(Shared::inner(filter), topic)));
    (filters.clone(), wanted.collect())
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
    filters: Vec<&'static str>,
    topics: Vec<&'static str>,
    there: Vec<bool>,
    /// What comes next, whatever chance says.
    next: VecDeque<Step>,
}

impl Writer {
    fn step(&mut self) -> Step {
        if let Some(step) = self.next.pop_front() {
            return step;
        }
        let client = self.chance.below(self.there.len());
        if !self.there[client] && !self.chance.one_in(4) {
            return self.connect(client);
        }
        match self.chance.below(100) {
            0..28 => self.publish(client),
            28..34 => self.burst(client),
            34..46 => self.subscribe(client),
            46..49 => Step::Unsubscribe { client, filter: self.chance.of_these(&self.filters) },
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
            topic: self.chance.of_these(&self.topics),
            qos: self.qos(),
            retain: self.chance.one_in(4),
            delay_s: self.chance.of_these(&[0, 1, 60]),
        });
        Step::Connect { client, clean: self.chance.one_in(12), will }
    }

    fn publish(&mut self, client: usize) -> Step {
        let topic = self.chance.of_these(&self.topics);
        self.publish_of(client, topic)
    }

    /// Something that a filter matches.
    fn publish_to(&mut self, client: usize, filter: &str) -> Step {
        let matching = self.topics.iter().filter(|topic| matches(Shared::inner(filter), topic));
        let matching: Vec<_> = matching.copied().collect();
        let topic = self.chance.of_these(&matching);
        self.publish_of(client, topic)
    }

    fn publish_of(&mut self, client: usize, topic: &'static str) -> Step {
        let keep = match self.chance.below(12) {
            0..3 => Keep::Retain,
            3 => Keep::Clear,
            _ => Keep::Not,
        };
        let expiry_s = if self.chance.one_in(8) { self.chance.of_these(&[2, 50]) } else { 0 };
        Step::Publish { client, topic, qos: self.qos(), keep, expiry_s }
    }

    /// Several packets in one write, about one filter.
    fn burst(&mut self, client: usize) -> Step {
        let filter = self.chance.of_these(&self.filters);
        for _ in 0..2 + self.chance.below(6) {
            let step = match self.chance.below(4) {
                0 => self.publish_to(client, filter),
                1 => self.subscribe_to(client, filter),
                2 => Step::Unsubscribe { client, filter },
                _ => Step::Answer { client, which: self.chance.below(3) },
            };
            self.next.push_back(step);
        }
        if self.chance.one_in(2) {
            let other = self.chance.below(self.there.len());
            let publish = self.publish_to(other, filter);
            self.next.extend([Step::Burst { client: other }, publish]);
        }
        Step::Burst { client }
    }

    fn subscribe(&mut self, client: usize) -> Step {
        let filter = self.chance.of_these(&self.filters);
        self.subscribe_to(client, filter)
    }

    fn subscribe_to(&mut self, client: usize, filter: &'static str) -> Step {
        let weak = !filter.starts_with("$share") || self.chance.one_in(8);
        let qos = if weak { self.qos() } else { self.qos().max(Qos::AtLeastOnce) };
        Step::Subscribe {
            client,
            filter,
            qos,
            no_local: self.chance.one_in(8),
            kept: !self.chance.one_in(3),
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
