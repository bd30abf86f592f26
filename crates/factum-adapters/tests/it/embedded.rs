//! The embedded store: the suite of stores, and what is said when it cannot be opened.

use std::fs;

use factum_adapters::embedded::{self, Options};
use factum_core::{commit::Plan, error::StoreError, ports::Backend};
use factum_testing::conformance::{
    self, Cannot,
    store::{self, Subject},
};
use tempfile::TempDir;

/// A store in a directory of its own, with segments of this length.
struct InDirectory {
    dir: TempDir,
    segment_bytes: u64,
}

impl InDirectory {
    fn new(segment_bytes: u64) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), segment_bytes }
    }

    fn open(&self) -> Box<dyn Backend> {
        let options = Options { segment_bytes: self.segment_bytes, ..Options::default() };
        Box::new(embedded::open_with(self.dir.path(), options).unwrap().0)
    }
}

impl Subject for InDirectory {
    fn fresh(&mut self) -> Box<dyn Backend> {
        self.dir = tempfile::tempdir().unwrap();
        self.open()
    }
    fn reopen(&mut self) -> Result<Box<dyn Backend>, Cannot> {
        Ok(self.open())
    }
}

#[test]
fn keeps_every_promise() {
    conformance::store::run(&mut InDirectory::new(64 << 20));
}

#[test]
fn keeps_every_promise_over_many_segments() {
    conformance::store::run(&mut InDirectory::new(64 << 10));
}

#[test]
fn runs_random_programs_as_the_model() {
    let seeds = conformance::random::seeds(12);
    conformance::random::run(seeds.clone(), 150, &mut InDirectory::new(64 << 20));
    conformance::random::run(seeds, 150, &mut InDirectory::new(64 << 10));
}

#[test]
fn a_directory_without_a_store_cannot_be_read_and_the_answer_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("missing"), dir.path().to_owned()] {
        let error = embedded::open_read_only(&path).err().unwrap();
        assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
        assert!(error.to_string().contains("name the directory of a store"), "{error}");
    }
    assert!(!dir.path().join("missing").exists(), "nothing was made");
    fs::write(dir.path().join("letter.txt"), "hello").unwrap();
    for error in [embedded::open_read_only(dir.path()).err().unwrap(), embedded::open(dir.path()).err().unwrap()] {
        assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
    }
}

#[test]
fn a_second_writer_is_refused_and_a_reader_beside_the_first_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, opened) = embedded::open(dir.path()).unwrap();
    assert!(opened.created && !opened.unclean);
    let error = embedded::open(dir.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::Permanent(_)) && error.to_string().contains("open in another process"),
        "{error}"
    );
    store::write(&mut first, &[Plan::default()]).unwrap();
    assert_eq!(embedded::open_read_only(dir.path()).unwrap().lineage(), first.reader().lineage());
}

#[test]
fn dropping_closes_and_a_reader_may_outlive_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut subject = InDirectory { dir, segment_bytes: 64 << 20 };
    let backend = subject.open();
    let reader = backend.reader();
    drop(backend);
    let (store, opened) = embedded::open(subject.dir.path()).unwrap();
    assert!(!opened.unclean && opened.cut.is_none());
    assert_eq!(reader.lineage(), store.reader().lineage());
    store.close().unwrap();
    drop(subject.fresh());
}

#[test]
fn damage_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    drop(embedded::open(dir.path()).unwrap());
    let mut segments = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let segment = segments.find(|path| path.extension().is_some_and(|name| name == "segment")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[20] ^= 0xff;
    fs::write(&segment, bytes).unwrap();
    let error = embedded::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
}
