//! Random batches, marks and reopenings, compared with a plain model in memory.

use std::collections::BTreeMap;

use factum_log::{Batch, Log, Options};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::tempdir;

use crate::support::{Seen, all, of_stream};

#[derive(Clone, Debug)]
enum Change {
    Entry(u8, u8, Vec<u8>),
    Put(u8, Vec<u8>),
    Delete(u8),
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Change>),
    Idle,
    Close,
    Kill,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..6_u8, 0..20_u8, vec(any::<u8>(), 0..900)).prop_map(|(s, k, body)| Change::Entry(s, k, body)),
        2 => (0..5_u8, vec(any::<u8>(), 0..300)).prop_map(|(key, value)| Change::Put(key, value)),
        1 => (0..5_u8).prop_map(Change::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec(change(), 0..8).prop_map(Step::Append),
        1 => Just(Step::Idle),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
    ]
}

#[derive(Default)]
struct Model {
    entries: Vec<Seen>,
    cells: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
}

impl Model {
    fn version(&self, stream: &str) -> u64 {
        self.entries.iter().filter(|entry| entry.1 == stream).count() as u64
    }

    fn apply(&mut self, change: &Change, frame: u64, batch: &mut Batch) {
        match change {
            Change::Entry(stream, kind, body) => {
                let (stream, kind) = (format!("stream-{stream}"), format!("kind-{kind}"));
                batch.entry(&stream, &kind, "test", body);
                let (position, version) = (self.entries.len() as u64 + 1, self.version(&stream) + 1);
                self.entries.push((position, stream, version, kind, "test".into(), body.clone()));
            }
            Change::Put(key, value) => {
                batch.put(&[*key], value);
                self.cells.insert(vec![*key], (frame, value.clone()));
            }
            Change::Delete(key) => {
                batch.delete(&[*key]);
                self.cells.remove(&vec![*key]);
            }
        }
    }

    fn check(&self, log: &Log) {
        let reader = log.reader();
        assert_eq!(all(&reader).unwrap(), self.entries);
        for number in 0..7 {
            let stream = format!("stream-{number}");
            let expected: Vec<_> = self.entries.iter().filter(|entry| entry.1 == stream).cloned().collect();
            assert_eq!(log.version(&stream), expected.len() as u64);
            assert_eq!(of_stream(&reader, &stream).unwrap(), expected);
        }
        let cells = log.cells(b"").map(|(key, cell)| (key.to_vec(), (cell.revision, cell.value.to_vec())));
        assert_eq!(cells.collect::<BTreeMap<_, _>>(), self.cells);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_batches_and_reopenings_matches_the_model(steps in vec(step(), 1..40)) {
        let dir = tempdir().unwrap();
        let options = Options { segment_bytes: 3000, ..Options::default() };
        let (mut log, _) = Log::open(dir.path(), options.clone()).unwrap();
        let mut model = Model::default();
        // A batch is applied to the model before its frame has a number: the frame after the last one.
        let mut frames = 0;
        for step in &steps {
            match step {
                Step::Append(changes) => {
                    frames = log.append(&Batch::new()).unwrap().frame;
                    let mut batch = Batch::new();
                    changes.iter().for_each(|change| model.apply(change, frames + 1, &mut batch));
                    let appended = log.append(&batch).unwrap();
                    prop_assert_eq!(appended.last, model.entries.len() as u64);
                    prop_assert_eq!(appended.frame, if changes.is_empty() { frames } else { frames + 1 });
                    prop_assert!(batch.is_empty() == changes.is_empty());
                }
                Step::Idle => log.idle().unwrap(),
                Step::Close => {
                    log.close().unwrap();
                    let (opened, report) = Log::open(dir.path(), options.clone()).unwrap();
                    prop_assert!(!report.unclean && report.cut.is_none());
                    log = opened;
                }
                Step::Kill => {
                    drop(log);
                    let (opened, report) = Log::open(dir.path(), options.clone()).unwrap();
                    prop_assert_eq!((report.entries, report.cut), (model.entries.len() as u64, None));
                    log = opened;
                }
            }
        }
        model.check(&log);
        drop(log);
        model.check(&Log::open(dir.path(), options).unwrap().0);
        prop_assert!(frames < 1000);
    }
}
