//! The key of digests on a disk that fails and loses power at any call of its making.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use factum_adapters::embedded::digest_key::{FILE, OpenedKey, open};
use factum_core::error::StoreError;
use factum_log::Disk;
use factum_testing::sim::disk::{Fault, Keep, SimDisk, When};

const DIR: &str = "app";
/// More calls than it takes to make a key and to read it.
const CALLS: u64 = 12;

fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir(Path::new(DIR)).unwrap();
    disk
}

fn key(disk: &SimDisk) -> Result<OpenedKey, StoreError> {
    open(Path::new(DIR), disk)
}

fn left(seed: u64) -> [Keep; 5] {
    [Keep::Lost, Keep::All, Keep::Some(seed), Keep::Torn(seed), Keep::TornSector(seed)]
}

#[test]
fn a_key_that_is_used_is_found_again_whatever_is_lost_with_the_power() {
    for seed in 0..20 {
        for keep in left(seed) {
            let disk = disk(seed);
            let made = key(&disk).unwrap();
            assert!(made.unkept.is_none());
            let again = key(&disk.crash(keep)).unwrap();
            assert_eq!(again.key, made.key, "I1: {keep:?} of seed {seed}");
        }
    }
}

#[test]
fn a_loss_of_power_at_any_call_leaves_no_key_or_a_whole_one() {
    for seed in 0..20 {
        let crashed: Arc<Mutex<Vec<SimDisk>>> = Arc::default();
        let (disk, seen) = (disk(seed), crashed.clone());
        let watched = disk.clone();
        disk.watch(Some(Arc::new(move |_| {
            let mut seen = seen.lock().unwrap();
            seen.extend(left(seed).map(|keep| watched.crash(keep)));
            // The process alone ends.
            seen.push(watched.restart());
        })));
        key(&disk).unwrap();
        disk.watch(None);
        let crashed = std::mem::take(&mut *crashed.lock().unwrap());
        assert!(crashed.len() > 60, "{}", crashed.len());
        for after in crashed {
            let before = after.bytes(&Path::new(DIR).join(FILE));
            assert!(before.is_none_or(|bytes| bytes.len() == 16));
            let opened = key(&after).unwrap();
            assert!(opened.unkept.is_none());
            assert_eq!(key(&after.crash(Keep::Lost)).unwrap().key, opened.key, "one that is found is durable too");
        }
    }
}

#[test]
fn a_disk_that_fails_at_any_call_says_that_the_key_may_not_be_found_again() {
    let mut unkept = 0;
    for (seed, call) in (0..4).flat_map(|seed| (2..=CALLS).map(move |call| (seed, call))) {
        for fault in [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::Interrupted, Fault::SyncForgets] {
            for when in [When::At(call), When::From(call)] {
                // A call that is always interrupted is made again for ever.
                if (fault, when) == (Fault::Interrupted, When::From(call)) {
                    continue;
                }
                let disk = disk(seed);
                disk.plan(fault, when);
                let opened = match key(&disk) {
                    Ok(opened) => opened,
                    // The look for it.
                    Err(error) => {
                        assert!(call == 2 && fault == Fault::Io, "{fault:?} at call {call}: {error}");
                        continue;
                    }
                };
                disk.heal();
                match opened.unkept {
                    None => assert_eq!(key(&disk.crash(Keep::Lost)).unwrap().key, opened.key, "{fault:?} {when:?}"),
                    Some(_) => unkept += 1,
                }
                let next = key(&disk.restart()).unwrap();
                assert!(next.unkept.is_none(), "the next start makes one: {fault:?} {when:?}");
            }
        }
    }
    assert!(unkept > 50, "{unkept}");
}
