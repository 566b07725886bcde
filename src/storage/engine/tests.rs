//! Examples of what the engine survives. The random ones are in `storm`.

use super::super::disk::{Disk, DiskFile, TREE};
use super::super::faulty::{Faults, FaultyDisk};
use super::super::view::Health;
use super::super::{Batch, Rows, Table};
use super::testing::SMALL;
use super::{Engine, Sizes};

fn open(disk: &FaultyDisk) -> Engine<FaultyDisk> {
    Engine::open(disk.clone(), SMALL).unwrap()
}

fn put(key: u32, len: usize) -> Batch {
    Batch::default().put(Table::Queue, key.to_be_bytes(), vec![7; len])
}

fn keys(engine: &Engine<FaultyDisk>) -> Vec<u32> {
    let mut keys = Vec::new();
    let number = |key: &[u8]| u32::from_be_bytes(key.try_into().unwrap());
    engine.scan(Table::Queue, &mut |key, _| keys.push(number(key)));
    keys
}

#[test]
fn a_commit_is_one_frame_and_one_sync_and_outlives_a_crash() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    engine.apply(put(1, 100)).unwrap();
    let before = disk.operations();
    engine.apply(put(2, 100)).unwrap();
    let after = disk.operations();
    assert_eq!((after.writes - before.writes, after.syncs - before.syncs), (1, 1));
    let bytes = after.written_bytes - before.written_bytes;
    assert!(bytes < 100 + 60, "{bytes}");
    for seed in 0..20 {
        let engine = open(&disk.crash(seed));
        assert_eq!((keys(&engine), engine.trouble()), (vec![1, 2], None));
    }
}

#[test]
fn what_is_put_and_removed_between_two_checkpoints_never_reaches_the_tree() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    for key in 0..10 {
        engine.apply(put(key, 100)).unwrap();
        engine.apply(Batch::default().delete(Table::Queue, key.to_be_bytes())).unwrap();
    }
    assert!(engine.view.fresh().is_empty());
    assert!(keys(&open(&disk.crash(1))).is_empty());
}

#[test]
fn a_full_journal_is_a_checkpoint_and_begins_anew() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    for key in 0..100 {
        engine.apply(put(key, 300)).unwrap();
    }
    let all: Vec<_> = (0..100).collect();
    assert_eq!(keys(&engine), all);
    assert!(engine.view.tally.checkpoints.load(super::Relaxed) > 5);
    for seed in 0..20 {
        assert_eq!(keys(&open(&disk.crash(seed))), all);
    }
}

#[test]
fn a_long_rest_gives_the_ram_back_and_then_nothing_is_written() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    for key in 0..5 {
        engine.apply(put(key, 300)).unwrap();
    }
    engine.rest();
    assert!(engine.view.fresh().is_empty());
    let before = disk.operations().changes;
    engine.rest();
    engine.apply(put(1, 300)).unwrap();
    assert_eq!(disk.operations().changes, before);
}

#[test]
fn a_full_disk_refuses_what_grows_takes_removals_and_is_well_when_there_is_room() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    engine.apply(put(0, 300)).unwrap();
    disk.schedule(Faults { room: Some(disk.used_bytes()), ..Faults::default() });
    let full = (1..2000).find(|key| engine.apply(put(*key, 300)).is_err()).unwrap();
    assert!(matches!(engine.health(), Health::Tight(_)), "{:?}", engine.health());
    assert_eq!(engine.apply(put(full + 1, 300)).unwrap_err().code, "storage.full");
    for key in 0..full / 2 {
        engine.apply(Batch::default().delete(Table::Queue, key.to_be_bytes())).unwrap();
    }
    let safe: Vec<_> = (full / 2..full).collect();
    assert_eq!(keys(&open(&disk.crash(1)))[..safe.len()], safe);
    disk.schedule(Faults::default());
    engine.mend();
    assert_eq!((engine.health(), engine.trouble()), (Health::Well, None));
    let all: Vec<_> = (full / 2..full + 2).collect();
    assert_eq!(keys(&engine), all);
    assert_eq!(keys(&open(&disk.crash(1))), all);
}

#[test]
fn a_sync_of_the_journal_that_fails_is_made_good_by_a_checkpoint_and_another_journal() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    engine.apply(put(0, 300)).unwrap();
    let next = disk.operations().syncs;
    disk.schedule(Faults { failing_syncs: vec![next], ..Faults::default() });
    engine.apply(put(1, 300)).unwrap();
    engine.apply(put(2, 300)).unwrap();
    assert_eq!(engine.health(), Health::Well);
    for seed in 0..20 {
        assert_eq!(keys(&open(&disk.crash(seed))), [0, 1, 2]);
    }
}

#[test]
fn damage_in_the_middle_of_the_journal_is_said_and_the_rest_set_aside() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    for key in 0..5 {
        engine.apply(put(key, 300)).unwrap();
    }
    disk.damage("maestro.journal", |bytes| bytes[2 * 350 + 100] ^= 1);
    let engine = open(&disk.crash(1));
    let told = engine.trouble().unwrap();
    assert_eq!(told.code, "storage.corrupt");
    assert!(told.message.contains("maestro.journal.corrupt-1"), "{told}");
    assert_eq!(keys(&engine), [0, 1]);
    assert_eq!(engine.read(Table::Queue, &2_u32.to_be_bytes()), None);
}

#[test]
fn a_torn_last_frame_is_no_damage() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    for key in 0..5 {
        engine.apply(put(key, 300)).unwrap();
    }
    disk.damage("maestro.journal", |bytes| bytes[4 * 350 + 100] ^= 1);
    let engine = open(&disk.crash(1));
    assert_eq!((keys(&engine), engine.trouble()), (vec![0, 1, 2, 3], None));
}

#[test]
fn a_corrupt_tree_is_made_anew_from_its_readable_rows_and_the_journal() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    for key in 0..200 {
        engine.apply(put(key, 300)).unwrap();
    }
    engine.rest();
    engine.apply(put(200, 300)).unwrap();
    engine.close();
    let crashed = disk.crash(1);
    crashed.damage("maestro.redb", |bytes| {
        let places = 0..bytes.len() - 300;
        let at = places.clone().filter(|at| bytes[*at..*at + 300] == [7; 300]).nth(50).unwrap();
        bytes[at] = 0;
    });
    let mut engine = open(&crashed);
    let found = keys(&engine);
    assert!(found.len() >= 199 && found.contains(&200), "{}", found.len());
    if let Some(stumble) = engine.view.take_stumble() {
        engine.verify(&stumble);
    }
    assert_eq!(engine.trouble().unwrap().code, "storage.corrupt");
    assert_eq!(engine.health(), Health::Well);
    engine.apply(put(1, 10)).unwrap();
}

#[test]
fn a_tree_that_is_made_anew_is_not_older_than_the_frames_of_its_last_generation_but_one() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    engine.apply(put(1, 10)).unwrap();
    let large = SMALL.journal.hard_bytes.try_into().unwrap();
    engine.apply(put(1, large)).unwrap(); // no room in the journal, whose frame is now an old one
    let disk = disk.crash(1);
    let next = disk.operations().syncs;
    disk.schedule(Faults { failing_syncs: vec![next, next + 1], ..Faults::default() });
    let engine = open(&disk);
    assert_eq!(engine.trouble().unwrap().code, "storage.corrupt", "it is made anew");
    let found = engine.read(Table::Queue, &1_u32.to_be_bytes());
    assert_eq!(found.map(|value| value.len()), Some(large));
}

#[test]
fn a_file_that_was_full_once_is_small_again_after_a_rest_and_a_kill_at_any_write_of_it_loses_nothing()
 {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    for key in 0..200 {
        engine.apply(put(key, 8000)).unwrap();
    }
    for key in 0..195_u32 {
        let gone = Batch::default().delete(Table::Queue, key.to_be_bytes());
        engine.apply(gone).unwrap();
    }
    let size = |disk: &FaultyDisk| disk.open_to_read(TREE).unwrap().len().unwrap();
    let (full, left) = (size(&disk), (195..200).collect::<Vec<_>>());
    let before = disk.crash(3);
    engine.rest();
    assert!(size(&disk) * 2 < full, "{full} to {}", size(&disk));
    engine.apply(put(200, 10)).unwrap();
    assert_eq!(keys(&open(&disk.crash(7))), [left.as_slice(), &[200]].concat());
    for deadly in 1..200 {
        let disk = before.crash(deadly);
        let mut engine = open(&disk);
        let dead_at = Some(disk.operations().writes + deadly);
        disk.schedule(Faults { dead_at, ..Faults::default() });
        engine.rest();
        if !disk.is_dead() {
            return;
        }
        assert_eq!(keys(&open(&disk.crash(deadly))), left, "dead at write {deadly}");
    }
    panic!("a rest has fewer writes");
}

#[test]
fn a_message_of_256_bytes_that_stays_writes_less_than_a_kibibyte() {
    let disk = FaultyDisk::new(1);
    let mut engine = Engine::open(disk.clone(), Sizes::default()).unwrap();
    let before = disk.operations().written_bytes;
    for commit in 0..50_u64 {
        let mut batch = Batch::default();
        for message in 0..200 {
            let key = [1_u64.to_be_bytes(), (commit * 200 + message).to_be_bytes()].concat();
            batch = batch.put(Table::Queue, key, vec![7; 300]);
        }
        engine.apply(batch).unwrap();
    }
    let each = (disk.operations().written_bytes - before) / 10_000;
    assert!(each < 1024, "{each} bytes for a row of 300");
}

#[test]
fn what_was_written_while_the_disk_could_not_be_is_newer_than_the_journal_that_is_read_once_more() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    engine.apply(put(1, 10)).unwrap();
    engine.apply(put(2, 10)).unwrap();
    let disk = disk.crash(1);
    disk.schedule(Faults { read_only: true, ..Faults::default() });
    let mut engine = open(&disk);
    engine.apply(put(1, 20)).unwrap();
    engine.apply(Batch::default().delete(Table::Queue, 2_u32.to_be_bytes())).unwrap();
    engine.mend(); // in vain
    assert_eq!(keys(&engine), [1]);
    disk.schedule(Faults::default());
    engine.mend();
    assert_eq!(engine.health(), Health::Well);
    engine.rest();
    let engine = open(&disk.crash(2));
    assert_eq!(keys(&engine), [1]);
    assert_eq!(engine.read(Table::Queue, &1_u32.to_be_bytes()).map(|value| value.len()), Some(20));
}

#[test]
fn what_is_removed_while_a_checkpoint_fails_does_not_come_back_with_the_next() {
    let disk = FaultyDisk::new(1);
    let mut engine = open(&disk);
    let first = engine.generation;
    for key in 0..11 {
        engine.apply(put(key, 300)).unwrap();
    }
    assert_eq!(engine.generation, first, "all of them are in the journal only");
    disk.schedule(Faults { room: Some(disk.used_bytes()), ..Faults::default() });
    let mut removed = Vec::new();
    for key in 0..11_u32 {
        let batch = Batch::default().delete(Table::Queue, key.to_be_bytes());
        let batch = batch.put(Table::Queue, [200], vec![7; 250]);
        if engine.apply(batch).is_ok() {
            removed.push(key);
        }
    }
    assert!(matches!(engine.health(), Health::Tight(_)), "a checkpoint failed");
    disk.schedule(Faults::default());
    engine.mend();
    engine.rest();
    let engine = open(&disk.crash(2));
    assert!(removed.len() > 5);
    for key in removed {
        assert_eq!(engine.read(Table::Queue, &key.to_be_bytes()), None, "{key} is back");
    }
}
