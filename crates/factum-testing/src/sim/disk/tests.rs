//! Each promise of the model.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_log::disk::{Access, Disk, DiskFile};

use super::*;

const SEEDS: u64 = 200;

fn dir() -> &'static Path {
    Path::new("/log")
}

fn path() -> PathBuf {
    dir().join("file")
}

/// A disk with one file, name and bytes durable.
fn with_file(bytes: &[u8]) -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new(1);
    disk.create_dir(dir()).unwrap();
    let file = disk.open(&path(), Access::Create).unwrap();
    write(&*file, bytes, 0);
    file.sync_data().unwrap();
    disk.sync_dir(dir()).unwrap();
    (disk, file)
}

fn write(file: &dyn DiskFile, bytes: &[u8], offset: u64) {
    assert_eq!(file.write_at(bytes, offset).unwrap(), bytes.len());
}

fn left(disk: &SimDisk, keep: Keep) -> Option<Vec<u8>> {
    disk.crash(keep).bytes(&path())
}

/// All that a crash of this kind may leave of the file.
fn all_left(disk: &SimDisk, keep: fn(u64) -> Keep) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| left(disk, keep(seed))).collect()
}

#[test]
fn what_was_synced_survives_every_crash() {
    let (disk, _) = with_file(&[7; 2000]);
    assert_eq!(disk.unsynced(), 0);
    for keep in [Keep::Lost, Keep::All, Keep::Some(1), Keep::Torn(1), Keep::TornSector(1)] {
        assert_eq!(left(&disk, keep), Some(vec![7; 2000]), "{keep:?}");
    }
}

#[test]
fn what_was_not_synced_is_lost_or_kept_as_the_test_says_and_seen_meanwhile() {
    let (disk, file) = with_file(&[1; 1024]);
    write(&*file, &[2; 1024], 0);
    write(&*file, &[3; 10], 1024);
    assert_eq!((left(&disk, Keep::Lost), disk.bytes(&path()).unwrap().len()), (Some(vec![1; 1024]), 1034));
    assert_eq!(left(&disk, Keep::All), disk.bytes(&path()));
}

#[test]
fn sectors_survive_one_by_one_in_any_of_their_versions() {
    let (disk, file) = with_file(&[1; 1024]);
    write(&*file, &[2; 1024], 0);
    write(&*file, &[3; 512], 512);
    let two = |first: u8, second: u8| Some([[first; 512], [second; 512]].concat());
    let expected = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)].map(|(first, second)| two(first, second));
    assert_eq!(all_left(&disk, Keep::Some), BTreeSet::from(expected));
}

#[test]
fn a_length_survives_on_its_own_and_what_was_not_written_is_zeroes() {
    let (disk, file) = with_file(&[1; 512]);
    write(&*file, &[2; 512], 512);
    let expected = [vec![1; 512], [[1; 512], [0; 512]].concat(), [[1; 512], [2; 512]].concat()].map(Some);
    assert_eq!(all_left(&disk, Keep::Some), BTreeSet::from(expected));
    let after = (0..SEEDS).map(|seed| disk.crash(Keep::Some(seed))).find(|d| d.bytes(&path()).unwrap().len() == 512);
    let again = after.unwrap().open(&path(), Access::Write).unwrap();
    again.set_len(1024).unwrap();
    let mut bytes = [9; 512];
    assert_eq!((again.read_at(&mut bytes, 512).unwrap(), bytes), (512, [0; 512]), "nothing comes back from behind");
}

#[test]
fn a_torn_write_ends_at_a_border_of_sectors_with_all_calls_before_it_whole() {
    let (disk, file) = with_file(&[1; 512]);
    write(&*file, &[2; 512], 0);
    write(&*file, &[3; 1536], 0);
    for bytes in all_left(&disk, Keep::Torn).into_iter().flatten() {
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        let torn = sectors.iter().position(|byte| *byte != 3).unwrap_or(sectors.len());
        assert!(sectors[torn..].iter().all(|byte| *byte < 3), "{sectors:?}");
    }
    assert!(all_left(&disk, Keep::Torn).len() > 2);
}

#[test]
fn a_torn_sector_has_two_versions_and_no_garbage() {
    let (disk, file) = with_file(&[1; 512]);
    write(&*file, &[2; 512], 0);
    let all = all_left(&disk, Keep::TornSector);
    let mixed = all.iter().flatten().filter(|bytes| bytes.contains(&1) && bytes.contains(&2)).count();
    assert!(mixed > 10 && all.iter().flatten().flatten().all(|byte| [1, 2].contains(byte)));
}

#[test]
fn a_cut_file_is_cut_after_its_sync_and_grows_again_with_zeroes() {
    let (disk, file) = with_file(&[1; 1000]);
    file.set_len(100).unwrap();
    assert_eq!(left(&disk, Keep::Lost), Some(vec![1; 1000]));
    file.sync_data().unwrap();
    assert_eq!(left(&disk, Keep::Lost), Some(vec![1; 100]));
    file.set_len(600).unwrap();
    assert_eq!((disk.bytes(&path()).unwrap()[100..].to_vec(), file.size().unwrap()), (vec![0; 500], 600));
}

#[test]
fn a_name_that_was_not_synced_is_lost_with_a_file_whose_bytes_were() {
    let disk = SimDisk::new(1);
    disk.create_dir(dir()).unwrap();
    let file = disk.open(&path(), Access::Create).unwrap();
    write(&*file, b"bytes", 0);
    file.sync_data().unwrap();
    assert_eq!((left(&disk, Keep::Lost), left(&disk, Keep::All)), (None, Some(b"bytes".to_vec())));
    disk.sync_dir(dir()).unwrap();
    assert_eq!(left(&disk, Keep::Lost), Some(b"bytes".to_vec()));
}

#[test]
fn a_rename_that_was_not_synced_is_lost_or_kept_whole() {
    let (disk, _) = with_file(b"bytes");
    let to = dir().join("new");
    disk.rename(&path(), &to).unwrap();
    assert_eq!(disk.crash(Keep::Lost).paths(), [path()]);
    let all: BTreeSet<_> = (0..SEEDS).map(|seed| disk.crash(Keep::Some(seed)).paths()).collect();
    assert_eq!(all, BTreeSet::from([vec![path()], vec![to.clone()]]));
    disk.sync_dir(dir()).unwrap();
    assert_eq!(disk.crash(Keep::Lost).paths(), [to]);
}

#[test]
fn a_removal_that_was_not_synced_may_come_back() {
    let (disk, file) = with_file(b"bytes");
    disk.remove(&path()).unwrap();
    assert!(disk.paths().is_empty() && file.size().unwrap() == 5, "an open file outlives its name");
    assert_eq!(left(&disk, Keep::Lost), Some(b"bytes".to_vec()));
    assert_eq!(left(&disk, Keep::All), None);
}

#[test]
fn names_survive_one_by_one() {
    let (disk, _) = with_file(b"");
    for name in ["a", "b"] {
        disk.open(&dir().join(name), Access::Create).unwrap();
    }
    let all: BTreeSet<_> = (0..SEEDS).map(|seed| disk.crash(Keep::Some(seed)).paths().len()).collect();
    assert_eq!(all, BTreeSet::from([1, 2, 3]));
    let only_b = |seed| disk.crash(Keep::Some(seed)).paths() == [dir().join("b"), path()];
    assert!((0..SEEDS).any(only_b), "also the later one without the earlier");
}

#[test]
fn a_sync_that_forgets_is_followed_by_one_that_says_ok_and_a_crash_that_loses_the_bytes() {
    let (disk, file) = with_file(&[1; 512]);
    write(&*file, &[2; 512], 0);
    disk.plan(Fault::SyncForgets, When::At(disk.calls() + 1));
    assert!(file.sync_data().is_err());
    assert_eq!(disk.bytes(&path()), Some(vec![2; 512]), "the cache shows what the disk has not got");
    file.sync_data().unwrap();
    assert_eq!((left(&disk, Keep::Lost), left(&disk, Keep::All)), (Some(vec![1; 512]), Some(vec![1; 512])));
    assert_eq!(left(&disk.restart(), Keep::Lost), Some(vec![1; 512]), "the next process fares no better");
    assert_eq!(all_left(&disk, Keep::Some).len(), 2, "it may have been written after all");
    write(&*file, &[2; 512], 0);
    file.sync_data().unwrap();
    assert_eq!(left(&disk, Keep::Lost), Some(vec![2; 512]), "written again, it is synced again");
    assert_eq!((disk.counts().of(Fault::SyncForgets), disk.counts().total()), (1, 1));
}

#[test]
fn a_length_that_a_sync_forgot_comes_with_what_is_written_up_to_it_again() {
    let (disk, file) = with_file(b"");
    write(&*file, &[2; 700], 0);
    disk.plan(Fault::SyncForgets, When::At(disk.calls() + 1));
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(left(&disk, Keep::Lost), Some(vec![]));
    write(&*file, &[2; 700], 0);
    file.sync_data().unwrap();
    assert_eq!(left(&disk, Keep::Lost), Some(vec![2; 700]));
}

#[test]
fn what_grows_a_file_again_after_a_cut_that_a_sync_forgot_is_as_long_as_it_says() {
    let (disk, file) = with_file(&[1; 900]);
    file.set_len(100).unwrap();
    disk.plan(Fault::SyncForgets, When::At(disk.calls() + 1));
    assert!(file.sync_data().is_err());
    write(&*file, &[2; 200], 100);
    file.sync_data().unwrap();
    assert_eq!(all_left(&disk, Keep::Some).into_iter().flatten().map(|bytes| bytes.len()).min(), Some(300));
}

#[test]
fn a_failed_sync_of_the_other_kind_can_be_tried_again() {
    let (disk, file) = with_file(&[1; 512]);
    write(&*file, &[2; 512], 0);
    disk.plan(Fault::Io, When::At(disk.calls() + 1));
    assert!(file.sync_data().is_err());
    assert_eq!(left(&disk, Keep::Lost), Some(vec![1; 512]));
    file.sync_data().unwrap();
    assert_eq!(left(&disk, Keep::Lost), Some(vec![2; 512]));
}

#[test]
fn a_fault_strikes_at_its_call_once_or_for_good_and_is_counted_when_it_did() {
    let (disk, file) = with_file(b"12345678");
    disk.plan(Fault::Io, When::At(disk.calls() + 2));
    assert!(file.size().is_ok() && file.size().is_err() && file.size().is_ok());
    disk.plan(Fault::ShortWrite, When::At(disk.calls() + 1));
    assert_eq!(file.size().unwrap(), 8);
    assert_eq!((disk.counts().of(Fault::ShortWrite), disk.counts().of(Fault::Io)), (0, 1), "a size takes no bytes");
    disk.plan(Fault::Io, When::From(disk.calls() + 2));
    assert!(disk.list(dir()).is_ok() && disk.list(dir()).is_err() && disk.sync_dir(dir()).is_err());
    assert!(disk.open(&path(), Access::Read).is_err() && disk.rename(&path(), &dir().join("x")).is_err());
    assert_eq!(disk.paths(), [path()]);
    disk.heal();
    assert!(disk.list(dir()).is_ok());
    assert_eq!(disk.counts().to_string(), "5 Io");
}

#[test]
fn reads_and_writes_may_be_short_or_interrupted() {
    let (disk, file) = with_file(b"12345678");
    for (fault, call) in [(Fault::ShortRead, Call::Read), (Fault::ShortWrite, Call::Write)] {
        disk.plan(fault, When::From(1));
        for _ in 0..20 {
            let done = match call {
                Call::Read => file.read_at(&mut [0; 8], 0).unwrap(),
                _ => file.write_at(b"12345678", 0).unwrap(),
            };
            assert!((1..8).contains(&done));
        }
        disk.heal();
    }
    disk.plan(Fault::Interrupted, When::From(1));
    assert_eq!(file.read_at(&mut [0; 8], 0).unwrap_err().kind(), io::ErrorKind::Interrupted);
    assert_eq!(file.write_at(b"x", 0).unwrap_err().kind(), io::ErrorKind::Interrupted);
    assert_eq!((disk.counts().total(), disk.bytes(&path())), (42, Some(b"12345678".to_vec())));
}

#[test]
fn a_bit_is_wrong_once_when_read_and_for_good_when_stored() {
    let (disk, file) = with_file(&[0x55; 600]);
    let wrong = |bytes: &[u8]| bytes.iter().map(|byte| (byte ^ 0x55).count_ones()).sum::<u32>();
    let mut bytes = [0; 600];
    disk.plan(Fault::FlipRead, When::At(disk.calls() + 1));
    file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(wrong(&bytes), 1);
    file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(wrong(&bytes), 0);
    disk.plan(Fault::FlipStored, When::At(disk.calls() + 1));
    write(&*file, &[0x55; 600], 0);
    file.sync_data().unwrap();
    assert_eq!(wrong(&left(&disk, Keep::Lost).unwrap()), 1);
    assert!(disk.flip(&path(), 599 * 8) && !disk.flip(&path(), 600 * 8));
    assert!(disk.cut(&path(), 10) && !disk.cut(&path(), 10) && disk.lose(&path()) && !disk.lose(&path()));
    assert!(disk.crash(Keep::All).paths().is_empty());
}

#[test]
fn a_stale_read_shows_a_sector_as_it_was() {
    let disk = with_file(&[1; 1024]).0.crash(Keep::Lost);
    let file = disk.open(&path(), Access::Write).unwrap();
    let mut bytes = [0; 1000];
    disk.plan(Fault::Stale, When::At(disk.calls() + 1));
    file.read_at(&mut bytes, 20).unwrap();
    assert!(bytes == [1; 1000] && disk.counts().total() == 0, "no sector was ever different");
    write(&*file, &[2; 512], 512);
    disk.plan(Fault::Stale, When::At(disk.calls() + 1));
    file.read_at(&mut bytes, 20).unwrap();
    assert!(bytes == [1; 1000] && disk.counts().of(Fault::Stale) == 1);
    file.read_at(&mut bytes, 20).unwrap();
    assert_eq!(bytes[492..], [2; 508]);
}

#[test]
fn a_full_disk_takes_what_goes_in_and_then_nothing() {
    let (disk, file) = with_file(&[1; 100]);
    disk.set_space(Some(150));
    assert_eq!((disk.used(), file.write_at(&[2; 100], 100).unwrap()), (100, 50));
    assert_eq!(file.write_at(&[2; 100], 150).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.set_len(151).unwrap_err().kind(), io::ErrorKind::StorageFull);
    write(&*file, &[3; 150], 0);
    file.set_len(10).unwrap();
    write(&*file, &[2; 100], 10);
    disk.set_space(None);
    disk.plan(Fault::Full, When::At(disk.calls() + 1));
    assert_eq!(file.write_at(&[4; 100], 110).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(file.size().unwrap() < 210, "any part of it but not all");
    assert_eq!(disk.counts().of(Fault::Full), 3);
}

#[test]
fn a_lock_is_exclusive_and_free_after_its_guard_a_crash_or_a_restart() {
    let (disk, _) = with_file(b"");
    let lock = dir().join("lock");
    let guard = disk.lock(&lock).unwrap();
    assert!(guard.is_some() && disk.lock(&lock).unwrap().is_none());
    assert!(disk.crash(Keep::Lost).lock(&lock).unwrap().is_some());
    assert!(disk.restart().lock(&lock).unwrap().is_some());
    drop(guard);
    assert!(disk.lock(&lock).unwrap().is_some());
}

#[test]
fn whoever_watches_is_told_of_each_call_twice_and_may_crash_the_disk() {
    let (disk, file) = with_file(&[1; 10]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let lengths = Arc::new(AtomicU64::new(0));
    let (noted, at_crash, watched) = (Arc::clone(&told), Arc::clone(&lengths), disk.clone());
    disk.watch(Some(Arc::new(move |io| {
        noted.lock().unwrap().push((io.call, io.done));
        at_crash.store(left(&watched, Keep::Lost).unwrap().len() as u64, Ordering::SeqCst);
    })));
    write(&*file, &[2; 10], 10);
    assert_eq!(lengths.load(Ordering::SeqCst), 10);
    file.sync_data().unwrap();
    assert_eq!(lengths.load(Ordering::SeqCst), 20);
    let twice = |call| [(call, false), (call, true)];
    assert_eq!(*told.lock().unwrap(), [twice(Call::Write), twice(Call::Sync)].concat());
    disk.watch(None);
}

#[test]
fn one_seed_gives_one_disk() {
    let made = |seed| {
        let disk = SimDisk::new(seed);
        disk.create_dir(dir()).unwrap();
        let file = disk.open(&path(), Access::Create).unwrap();
        disk.plan(Fault::ShortWrite, When::Chance(0.5));
        let taken: Vec<_> = (0..50).map(|_| file.write_at(&[7; 300], 0).unwrap()).collect();
        (disk.fresh_id().unwrap(), disk.fresh_id().unwrap(), taken, disk.counts())
    };
    assert_eq!(made(5), made(5));
    assert!(made(5).0 != made(6).0 && made(5).0 != made(5).1 && made(5).2 != made(6).2);
    let (disk, file) = with_file(&[1; 5000]);
    write(&*file, &[2; 5000], 0);
    assert_eq!(left(&disk, Keep::Some(9)), left(&disk, Keep::Some(9)));
}

#[test]
fn a_missing_directory_file_or_right_is_an_error_and_so_is_a_taken_name() {
    let (disk, file) = with_file(b"");
    let kind = |error: Option<io::Error>| error.map(|error| error.kind());
    let nowhere = Path::new("/other/file");
    assert_eq!(kind(disk.list(Path::new("/other")).err()), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(disk.open(nowhere, Access::Create).err()), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(disk.open(nowhere, Access::Read).err()), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(disk.remove(nowhere).err()), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(disk.open(&path(), Access::Create).err()), Some(io::ErrorKind::AlreadyExists));
    assert_eq!(disk.list(dir()).unwrap(), ["file"]);
    let reads = disk.open(&path(), Access::Read).unwrap();
    assert_eq!(kind(reads.write_at(b"x", 0).err()), Some(io::ErrorKind::PermissionDenied));
    assert!(reads.sync_data().is_ok() && file.write_at(b"x", 0).is_ok());
}

#[test]
fn a_directory_that_was_renamed_has_one_name_or_the_other_with_all_that_is_in_it() {
    let (disk, file) = with_file(b"before");
    let (moved, inside) = (Path::new("/moved"), Path::new("/moved/file"));
    let there = |disk: &SimDisk| (disk.bytes(&path()), disk.bytes(inside));
    disk.rename(dir(), moved).unwrap();
    assert_eq!((there(&disk), disk.list(dir()).is_err()), ((None, Some(b"before".to_vec())), true));
    write(&*file, b"after.", 0);
    file.sync_data().unwrap();
    let other = disk.open(&moved.join("other"), Access::Create).unwrap();
    other.sync_data().unwrap();
    disk.sync_dir(moved).unwrap();
    // What was synced inside is there, under the name that the directory has.
    let (old, new) = (disk.crash(Keep::Lost), disk.crash(Keep::All));
    assert_eq!(there(&old), (Some(b"after.".to_vec()), None));
    assert_eq!(there(&new), (None, Some(b"after.".to_vec())));
    assert_eq!(old.paths(), ["/log/file", "/log/other"].map(PathBuf::from));
    assert_eq!((old.list(dir()).unwrap().len(), old.list(moved).is_err()), (2, true));
    disk.sync_dir(Path::new("/")).unwrap();
    assert_eq!(there(&disk.crash(Keep::Lost)), there(&new));
    assert_eq!(disk.unsynced(), 0);
}

#[test]
fn a_directory_is_not_renamed_over_one_that_has_something_in_it() {
    let (disk, _) = with_file(b"there");
    let other = Path::new("/other");
    disk.create_dir(other).unwrap();
    assert_eq!(disk.rename(other, dir()).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    disk.rename(dir(), other).unwrap();
    assert_eq!(disk.bytes(&other.join("file")), Some(b"there".to_vec()));
    let back = disk.crash(Keep::Lost);
    assert_eq!((back.list(other).unwrap(), back.bytes(&path())), (Vec::new(), Some(b"there".to_vec())));
}

#[test]
fn open_files_and_locks_are_counted() {
    let (disk, file) = with_file(b"open");
    let lock = disk.lock(&dir().join("lock")).unwrap();
    let again = disk.open(&path(), Access::Read).unwrap();
    assert_eq!((disk.open_files(), disk.take_most_open()), (3, 3));
    drop((file, again));
    assert_eq!((disk.open_files(), disk.take_most_open()), (1, 3));
    drop(lock);
    assert_eq!((disk.open_files(), disk.take_most_open()), (0, 1));
}
