//! The faulty disk is as bad as it says, and no worse.

use super::*;

fn written(seed: u64) -> FaultyDisk {
    let disk = FaultyDisk::new(seed);
    let file = disk.open("f").unwrap();
    file.write(0, &[1; 2000]).unwrap();
    file.sync().unwrap();
    file.write(500, &[2; 3000]).unwrap();
    disk
}

fn bytes(disk: &FaultyDisk) -> Vec<u8> {
    let file = disk.open("f").unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_was_synced_outlives_every_crash_and_the_rest_is_kept_lost_or_torn_sector_by_sector() {
    let disk = written(1);
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let after = bytes(&disk.crash(seed));
        assert_eq!(after[..500], [1; 500]);
        assert!([2000, 3500].contains(&after.len()));
        outcomes.insert(after);
    }
    assert!(outcomes.len() > 50, "{}", outcomes.len());
    assert_eq!(bytes(&disk.crash(7)), bytes(&disk.crash(7)));
    assert_eq!(bytes(&disk)[500..], [2; 3000]);
}

#[test]
fn after_a_sync_that_failed_another_does_not_help_and_the_cache_lies_until_forgotten() {
    let disk = written(2);
    let file = disk.open("f").unwrap();
    let nth = disk.operations().syncs;
    disk.schedule(Faults { failing_syncs: vec![nth], ..Faults::default() });
    assert!(file.sync().is_err());
    assert!(file.len().is_ok());
    assert_eq!(bytes(&disk)[500..], [2; 3000]);
    let lost = bytes(&disk.crash(0));
    assert_eq!(lost, bytes(&disk.crash(1)));
    file.forget();
    let told = bytes(&disk);
    assert_eq!(told[..lost.len()], lost);
    assert_ne!(told, [[1; 500].as_slice(), &[2; 3000]].concat());
}

#[test]
fn a_full_disk_refuses_growth_only_and_a_dead_one_everything() {
    let disk = written(3);
    let file = disk.open("f").unwrap();
    disk.schedule(Faults { room: Some(disk.used_bytes()), ..Faults::default() });
    file.set_len(20_000).unwrap();
    let full = file.write(3500, &[0; 1000]).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    file.write(3000, &[0; 1000]).unwrap();
    disk.schedule(Faults { dead_at: Some(disk.operations().changes), ..Faults::default() });
    assert!(file.write(0, &[0]).is_err());
    assert!(file.len().is_err() && disk.is_dead());
}
