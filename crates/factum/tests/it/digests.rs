//! The key of digests: where it is, where it is not, and what becomes of a log without it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use factum::{ExecuteError, operate, prelude::*};
use factum_core::{
    envelope::{Draft, digest},
    ports::Scan,
    stream::Position,
};

use crate::snapshots::{Count, start};

const KEY: &str = "digest.key";

/// Whether the command under this key of its sender's was carried out before; `None` if its first body was another one.
async fn asked(app: &App, id: &str, by: u64) -> Option<bool> {
    match app.execute(Count { by }).id(id).await {
        Ok(receipt) => Some(receipt.repeated),
        Err(ExecuteError::IdReused(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn stop(app: App) {
    app.stop().await;
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Every form in which a number may be written.
fn written(number: u64) -> Vec<Vec<u8>> {
    let varint = postcard_of(number);
    let texts = [format!("{number}"), format!("{number:016x}"), format!("{number:016X}")].map(String::into_bytes);
    [number.to_le_bytes().to_vec(), number.to_be_bytes().to_vec(), varint].into_iter().chain(texts).collect()
}

/// Seven bits a byte, the lowest first.
fn postcard_of(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The files below a directory that hold this number, and those that hold these bytes.
fn holding(dir: &Path, needles: &[Vec<u8>]) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        needles.iter().any(|needle| bytes.windows(needle.len()).any(|part| part == needle))
    };
    files(dir).into_iter().filter(holds).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_holds_a_plain_digest_of_what_was_sent_or_the_key_but_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let app = start(dir.path()).await;
    for _ in 0..20 {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        (0..100).fold(app.together(), |together, _| together.add(&Count { by: 1 }, at)).execute().await.unwrap();
    }
    asked(&app, "r1", 4_711).await;
    let scan = Scan { after: Position::START, until: app.position(), bytes: usize::MAX, types: None };
    let stored = app.reader().scan(&scan).unwrap().messages.last().unwrap().envelope().digest.unwrap();
    stop(app).await;
    let of = |number| holding(dir.path(), &written(number));
    let (log, snapshots) = (dir.path().join("log"), dir.path().join("snapshots"));
    for place in [&log, &snapshots] {
        assert!(of(stored).iter().any(|path| path.starts_with(place)), "the digest under the key is found: {place:?}");
    }
    let draft = Draft::of(&Count { by: 4_711 }).unwrap();
    assert_eq!(of(digest(&draft.type_name, &draft.data)), Vec::<PathBuf>::new(), "I17: a plain digest is stored");
    let key = fs::read(dir.path().join(KEY)).unwrap();
    assert_eq!(holding(dir.path(), &[key]), [dir.path().join(KEY)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_for_its_owner_alone_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(KEY);
    let app = start(dir.path()).await;
    asked(&app, "r1", 1).await;
    stop(app).await;
    let first = fs::read(&path).unwrap();
    assert_eq!((first.len(), fs::metadata(&path).unwrap().permissions().mode() & 0o777), (16, 0o600));
    let app = start(dir.path()).await;
    assert_eq!((asked(&app, "r1", 1).await, asked(&app, "r1", 2).await), (Some(true), None));
    stop(app).await;
    assert_eq!(fs::read(&path).unwrap(), first);
    let other = tempfile::tempdir().unwrap();
    stop(start(other.path()).await).await;
    assert_ne!(fs::read(other.path().join(KEY)).unwrap(), first, "each directory has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_lost_key_nothing_is_refused_that_was_carried_out_before() {
    let dir = tempfile::tempdir().unwrap();
    let app = start(dir.path()).await;
    asked(&app, "r1", 1).await;
    stop(app).await;
    fs::remove_file(dir.path().join(KEY)).unwrap();
    let app = start(dir.path()).await;
    assert_eq!((asked(&app, "r1", 1).await, asked(&app, "r1", 2).await), (Some(true), Some(true)));
    assert_eq!((asked(&app, "r2", 1).await, asked(&app, "r2", 2).await), (Some(false), None));
    stop(app).await;
    let app = start(dir.path()).await;
    assert_eq!((asked(&app, "r1", 2).await, asked(&app, "r2", 2).await), (Some(true), None));
    stop(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_without_the_key_and_a_restored_log_takes_it_back_or_does_without() {
    let parent = tempfile::tempdir().unwrap();
    let [dir, to, with, without] = ["data", "backup", "with", "without"].map(|name| parent.path().join(name));
    let app = start(&dir).await;
    asked(&app, "r1", 1).await;
    stop(app).await;
    operate::backup(&dir, &to, true, &mut |_, _| {}).unwrap();
    let key = fs::read(dir.join(KEY)).unwrap();
    assert!(holding(&to, &[key]).is_empty() && files(&to).iter().all(|path| !path.ends_with(KEY)));
    for (new, other_body) in [(&with, None), (&without, Some(true))] {
        operate::restore(&to, new, &mut |_, _| {}).unwrap();
        if new == &with {
            fs::copy(dir.join(KEY), new.join(KEY)).unwrap();
        }
        let app = start(new).await;
        assert_eq!((asked(&app, "r1", 1).await, asked(&app, "r1", 2).await), (Some(true), other_body));
        stop(app).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_key_refuses_the_start_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    stop(start(dir.path()).await).await;
    for length in [0, 15, 17] {
        fs::write(dir.path().join(KEY), vec![7; length]).unwrap();
        let refused = App::open(dir.path()).map(drop).unwrap_err().to_string();
        for part in [&format!("digest.key has {length} bytes and not 16"), "put it back", "remove the file"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
    fs::remove_file(dir.path().join(KEY)).unwrap();
    stop(start(dir.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_key_cannot_be_kept_the_app_works_and_the_next_start_makes_one() {
    let dir = tempfile::tempdir().unwrap();
    // Stands where the new key is written, and cannot be removed as a file.
    let in_the_way = dir.path().join("digest.key.unfinished");
    fs::create_dir_all(&in_the_way).unwrap();
    let app = start(dir.path()).await;
    assert_eq!((asked(&app, "r1", 1).await, asked(&app, "r1", 2).await), (Some(false), None));
    stop(app).await;
    assert!(!dir.path().join(KEY).exists());
    fs::remove_dir(&in_the_way).unwrap();
    let app = start(dir.path()).await;
    assert_eq!((asked(&app, "r1", 1).await, asked(&app, "r1", 2).await), (Some(true), Some(true)));
    stop(app).await;
    assert!(dir.path().join(KEY).exists());
}
