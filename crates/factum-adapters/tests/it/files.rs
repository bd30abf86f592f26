//! Snapshots in files: the suite of stores of snapshots, and what is done with files that are not whole.

use std::{fs, path::PathBuf, sync::Arc};

use factum_adapters::files;
use factum_core::{
    ports::Snapshots,
    snapshot::Snapshot,
    stream::{Cursor, Lineage, Position},
};
use factum_testing::conformance::{self, Cannot, snapshots::Subject};
use tempfile::TempDir;

struct InDirectory(TempDir);

impl Subject for InDirectory {
    fn fresh(&mut self) -> Arc<dyn Snapshots> {
        self.0 = tempfile::tempdir().unwrap();
        Arc::new(files::open(self.0.path()).unwrap())
    }
    fn reopen(&mut self) -> Result<Arc<dyn Snapshots>, Cannot> {
        Ok(Arc::new(files::open(self.0.path()).unwrap()))
    }
}

#[test]
fn keeps_every_promise() {
    conformance::snapshots::run(&mut InDirectory(tempfile::tempdir().unwrap()));
}

const LOG: Lineage = Lineage { log_id: [1; 16], epoch: 1 };

fn snapshot(state: &str) -> Snapshot {
    Snapshot { model: 1, at: Cursor { lineage: LOG, position: Position(5) }, state: state.into() }
}

fn listed(dir: &TempDir) -> Vec<PathBuf> {
    fs::read_dir(dir.path().join(files::DIRECTORY)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_file_that_is_not_whole_is_nothing_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = files::open(dir.path()).unwrap();
    store.put("a", snapshot("{}")).unwrap();
    let file = &listed(&dir)[0];
    let whole = fs::read(file).unwrap();
    let damages = [&b""[..], b"x", &whole[..whole.len() - 1], &[&whole[..], b"x"].concat()];
    for damage in damages {
        fs::write(file, damage).unwrap();
        assert_eq!(store.get("a").unwrap(), None);
        store.put("a", snapshot("{}")).unwrap();
        assert_eq!(store.get("a").unwrap(), Some(snapshot("{}")));
    }
    assert_eq!(listed(&dir).len(), 1);
}

#[test]
fn a_file_of_one_name_under_that_of_another_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = files::open(dir.path()).unwrap();
    store.put("a", snapshot("a")).unwrap();
    let a = listed(&dir).remove(0);
    store.put("b", snapshot("b")).unwrap();
    let b = listed(&dir).into_iter().find(|path| *path != a).unwrap();
    fs::copy(a, b).unwrap();
    assert_eq!((store.get("a").unwrap(), store.get("b").unwrap()), (Some(snapshot("a")), None));
}

#[test]
fn sifting_removes_what_is_torn_or_unfinished_and_leaves_what_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let store = files::open(dir.path()).unwrap();
    store.put("a", snapshot("a")).unwrap();
    let within = dir.path().join(files::DIRECTORY);
    for name in ["0123.snapshot", "0123.7.unfinished", "notes.txt"] {
        fs::write(within.join(name), "torn").unwrap();
    }
    store.retain(LOG, Position(5)).unwrap();
    let mut left: Vec<String> =
        listed(&dir).iter().map(|path| path.extension().unwrap().to_str().unwrap().to_owned()).collect();
    left.sort();
    assert_eq!(left, ["snapshot", "txt"]);
    assert_eq!(store.get("a").unwrap(), Some(snapshot("a")));
}

#[test]
fn the_directory_may_be_removed_under_a_running_program() {
    let dir = tempfile::tempdir().unwrap();
    let store = files::open(dir.path()).unwrap();
    store.put("a", snapshot("a")).unwrap();
    fs::remove_dir_all(dir.path().join(files::DIRECTORY)).unwrap();
    assert_eq!(store.get("a").unwrap(), None);
    store.retain(LOG, Position(5)).unwrap();
    store.remove("a").unwrap();
    store.put("a", snapshot("a")).unwrap();
    assert_eq!(store.get("a").unwrap(), Some(snapshot("a")));
}

#[test]
fn a_place_that_cannot_be_written_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(files::DIRECTORY), "a file").unwrap();
    let error = files::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("snapshots cannot be made") && error.contains("folded from the log instead"), "{error}");
}
