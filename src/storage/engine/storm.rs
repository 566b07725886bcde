//! Random batches, checkpoints, faults and power cuts against a list of what was told.
//!
//! The promise: whatever was told safe is there after each power cut, every batch is there whole or not
//! at all, what was not there after one start does not come back at the next, every start succeeds, and
//! a disk that works again is used again. Where a file is not what was written, rows may be gone, but
//! none is there that was never written.

use std::collections::{BTreeMap, BTreeSet};

use super::super::disk::Disk;
use super::super::faulty::{Faults, FaultyDisk, Random};
use super::super::view::Health;
use super::super::{Batch, Rows, Table};
use super::Engine;
use super::testing::SMALL;

const KEYS: usize = 24;

/// What went wrong, and all that came before.
type Outcome = Result<(), (String, Vec<String>)>;

/// A value is the number of the batch that wrote it, then filler.
fn value(batch: u32, len: usize) -> Vec<u8> {
    let mut value = batch.to_be_bytes().to_vec();
    value.resize(4 + len, u8::try_from(batch % 251).unwrap_or(0));
    value
}

fn author(value: &[u8]) -> u32 {
    u32::from_be_bytes(value[..4].try_into().unwrap())
}

/// One batch: which keys it put (`true`) or removed, and whether it was told safe.
struct Told {
    rows: BTreeMap<u8, bool>,
    safe: bool,
}

/// What was written since the last start, by number from 1; 0 is what was there.
struct Ledger {
    before: BTreeMap<u8, u32>,
    told: BTreeMap<u32, Told>,
}

impl Ledger {
    /// The newest safe batch that wrote the key.
    fn last_safe(&self, key: u8) -> u32 {
        let safe =
            self.told.iter().rev().find(|(_, told)| told.safe && told.rows.contains_key(&key));
        safe.map_or(0, |(number, _)| *number)
    }
    /// Whether the key may be as it is, considering what batches from this one on did.
    fn allows(&self, key: u8, found: Option<u32>, since: u32) -> bool {
        let before = self.before.get(&key).copied();
        let mut later = self.told.range(since.max(1)..);
        match found {
            Some(author) if self.told.contains_key(&author) => author >= since,
            Some(author) => since == 0 && before == Some(author),
            None => {
                since == 0 && before.is_none()
                    || later.any(|(_, told)| told.rows.get(&key) == Some(&false))
            }
        }
    }
    fn check(&self, found: &BTreeMap<u8, u32>) -> Result<(), String> {
        for key in 0..u8::try_from(KEYS).unwrap() {
            let (there, since) = (found.get(&key).copied(), self.last_safe(key));
            if !self.allows(key, there, since) {
                return Err(format!("key {key} has {there:?}, batch {since} was told safe"));
            }
        }
        for number in found.values() {
            let Some(told) = self.told.get(number) else { continue };
            for key in told.rows.keys() {
                let there = found.get(key).copied();
                if !self.allows(*key, there, *number) {
                    return Err(format!("half of batch {number}: key {key} has {there:?}"));
                }
            }
        }
        Ok(())
    }
}

fn rows(engine: &Engine<FaultyDisk>) -> BTreeMap<u8, u32> {
    let mut rows = BTreeMap::new();
    engine.scan(Table::Queue, &mut |key, value| rows.extend([(key[0], author(value))]));
    rows
}

struct Storm {
    random: Random,
    disk: FaultyDisk,
    next: u32,
    /// Every value that a row was given.
    written: BTreeSet<(u8, Vec<u8>)>,
    trace: Vec<String>,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        Storm {
            random: Random::new(seed),
            disk: FaultyDisk::new(seed),
            next: 1,
            written: BTreeSet::new(),
            trace: Vec::new(),
        }
    }
    fn chance(&mut self, of: usize) -> bool {
        self.random.below(of) == 0
    }

    fn batch(&mut self) -> (Batch, BTreeMap<u8, bool>) {
        let (mut batch, mut rows) = (Batch::default(), BTreeMap::new());
        for _ in 0..=self.random.below(4) {
            let key = u8::try_from(self.random.below(KEYS)).unwrap();
            let put = !self.chance(3);
            rows.insert(key, put);
            batch = if put {
                let len = if self.chance(20) { 5000 } else { self.random.below(400) };
                let value = value(self.next, len);
                self.written.insert((key, value.clone()));
                batch.put(Table::Queue, [key], value)
            } else {
                batch.delete(Table::Queue, [key])
            };
        }
        (batch, rows)
    }

    /// Something that goes wrong soon, or nothing.
    fn faults(&mut self) -> Faults {
        let done = self.disk.operations();
        let mut soon = |after: u64, within: usize| after + self.random.below(within) as u64;
        let (write, sync, read) =
            (soon(done.writes, 40), soon(done.syncs, 15), soon(done.reads, 30));
        let dead = soon(done.changes, 60);
        let room = self.disk.used_bytes() + 4096 * self.random.below(20) as u64;
        let one = |n| vec![n];
        let run = |n: u64| (n..n + 6).collect();
        match self.random.below(13) {
            0..4 => Faults { dead_at: Some(dead), ..Faults::default() },
            4 => Faults { failing_writes: one(write), ..Faults::default() },
            5 => Faults { failing_writes: run(write), ..Faults::default() },
            6 => Faults { failing_syncs: one(sync), ..Faults::default() },
            7 => Faults { failing_syncs: run(sync), dead_at: Some(dead + 60), ..Faults::default() },
            8 => Faults { failing_reads: one(read), ..Faults::default() },
            9 => Faults { room: Some(room), ..Faults::default() },
            11 => Faults { read_only: true, ..Faults::default() },
            10 => Faults { room: Some(room), dead_at: Some(dead + 60), ..Faults::default() },
            _ => Faults::default(),
        }
    }

    /// One life of a process: start, write, get into trouble, lose power. What must be there then.
    fn life(&mut self, before: BTreeMap<u8, u32>) -> Ledger {
        let mut ledger = Ledger { before, told: BTreeMap::new() };
        if self.chance(4) {
            let faults = self.faults();
            self.trace.push(format!("start with {faults:?}"));
            self.disk.schedule(faults);
        }
        let mut engine = Engine::open(self.disk.clone(), SMALL).expect("every start succeeds");
        let steps = 5 + self.random.below(60);
        for _ in 0..steps {
            match self.random.below(30) {
                0 => {
                    let faults = self.faults();
                    self.trace.push(format!("{faults:?}"));
                    self.disk.schedule(faults);
                }
                1 => self.disk.schedule(Faults::default()),
                2 | 3 => engine.mend(),
                4 => engine.rest(),
                _ => self.write(&mut engine, &mut ledger),
            }
            if let Some(stumble) = engine.view.take_stumble() {
                self.trace.push(format!("stumble: {stumble}"));
                engine.verify(&stumble);
            }
            if self.disk.is_dead() {
                break;
            }
        }
        ledger
    }

    fn write(&mut self, engine: &mut Engine<FaultyDisk>, ledger: &mut Ledger) {
        let (batch, rows) = self.batch();
        let in_ram = matches!(engine.health(), Health::InRam(_));
        let told = engine.apply(batch);
        self.trace.push(format!("{}: {rows:?} {told:?} {:?}", self.next, engine.health()));
        ledger.told.insert(self.next, Told { rows, safe: told.is_ok() && !in_ram });
        self.next += 1;
    }

    /// After a power cut: what was found, if it is what was told.
    fn after(&mut self, ledger: &Ledger) -> Result<BTreeMap<u8, u32>, String> {
        self.disk = self.disk.crash(self.random.next());
        self.trace.push("power cut".to_owned());
        let mut engine = Engine::open(self.disk.clone(), SMALL).map_err(|e| e.to_string())?;
        if engine.health() != Health::Well {
            return Err(format!("not well: {:?}", engine.health()));
        }
        let found = rows(&engine);
        ledger.check(&found)?;
        engine.apply(Batch::default().put(Table::Meta, "k", [1])).map_err(|e| e.to_string())?;
        engine.close();
        Ok(found)
    }
}

impl Storm {
    /// Some file is not what was written: a bit, a stretch of zeros, or its end is off.
    fn damage(&mut self) {
        let names = self.disk.names("").unwrap();
        if names.is_empty() {
            return; // the power went before there was a file
        }
        let name = &names[self.random.below(names.len())];
        let (how, place) = (self.random.below(3), self.random.next());
        let count = 1 + self.random.below(2000);
        self.disk.damage(name, |bytes| {
            let len = bytes.len();
            let at = usize::try_from(place).unwrap() % len.max(1);
            match how {
                0 if len > 0 => bytes[at] ^= 1 << (count % 8),
                1 => bytes[at.min(len)..len.min(at + count)].fill(0),
                _ => bytes.truncate(at),
            }
        });
        self.trace.push(format!("{name} is damaged: {how} at {place}, {count}"));
    }

    /// After a power cut that damaged a file: what was found, if all of it was written once, and if
    /// the store takes something again.
    fn after_damage(
        &mut self,
        written: &BTreeSet<(u8, Vec<u8>)>,
    ) -> Result<BTreeMap<u8, u32>, String> {
        self.disk = self.disk.crash(self.random.next());
        self.damage();
        let mut engine = Engine::open(self.disk.clone(), SMALL).map_err(|e| e.to_string())?;
        for _ in 0..3 {
            drop(genuine(&engine, written)?);
            let Some(stumble) = engine.view.take_stumble() else { break };
            self.trace.push(format!("stumble: {stumble}"));
            engine.verify(&stumble);
            engine.mend();
        }
        engine.apply(Batch::default().put(Table::Meta, "k", [1])).map_err(|e| e.to_string())?;
        let found = genuine(&engine, written)?;
        engine.close();
        Ok(found)
    }
}

fn genuine(
    engine: &Engine<FaultyDisk>,
    written: &BTreeSet<(u8, Vec<u8>)>,
) -> Result<BTreeMap<u8, u32>, String> {
    let mut strange = None;
    engine.scan(Table::Queue, &mut |key, value| {
        if !written.contains(&(key[0], value.to_vec())) {
            strange = Some(format!("key {key:?} has {value:?}, which nobody wrote"));
        }
    });
    strange.map_or_else(|| Ok(rows(engine)), Err)
}

fn storm_with_damage(seed: u64) -> Outcome {
    let mut storm = Storm::new(seed);
    let (mut found, mut written) = (BTreeMap::new(), BTreeSet::new());
    for _ in 0..4 {
        storm.life(found);
        written.append(&mut storm.written);
        found = match storm.after_damage(&written) {
            Ok(found) => found,
            Err(what) => return Err((what, storm.trace)),
        };
    }
    Ok(())
}

fn storm(seed: u64) -> Outcome {
    let mut storm = Storm::new(seed);
    let mut found = BTreeMap::new();
    for _ in 0..4 {
        let ledger = storm.life(found);
        found = match storm.after(&ledger) {
            Ok(found) => found,
            Err(what) => return Err((what, storm.trace)),
        };
    }
    Ok(())
}

/// Storms per test, in short and in full.
const POWER_CUTS: (u64, u64) = (150, 25_000);

/// Storms whose seeds are these; all of them, or a few thousand power cuts where that is enough.
fn storms(nth: u64, (short, long): (u64, u64), storm: fn(u64) -> Outcome) {
    let each = if std::env::var_os("MAESTRO_LONG").is_some() { long } else { short };
    let seed = std::env::var("MAESTRO_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = seed.map_or(nth * each..(nth + 1) * each, |seed| seed..seed + 1);
    for seed in seeds {
        if let Err((what, trace)) = storm(seed) {
            panic!("MAESTRO_SEED={seed}: {what}\n{}", trace.join("\n"));
        }
    }
}

// the same promise four times, so that it is tried on every core

#[test]
fn whatever_goes_wrong_what_was_told_safe_is_there_whole_after_every_power_cut() {
    storms(0, POWER_CUTS, storm);
}

#[test]
fn whatever_else_goes_wrong_what_was_told_safe_is_there_whole_after_every_power_cut() {
    storms(1, POWER_CUTS, storm);
}

#[test]
fn whatever_goes_wrong_now_what_was_told_safe_is_there_whole_after_every_power_cut() {
    storms(2, POWER_CUTS, storm);
}

#[test]
fn whatever_goes_wrong_then_what_was_told_safe_is_there_whole_after_every_power_cut() {
    storms(3, POWER_CUTS, storm);
}

#[test]
fn a_damaged_file_costs_rows_at_most_and_every_start_after_it_succeeds() {
    storms(4, (100, 5000), storm_with_damage);
}
