//! A seeded random program of commits, refused commits, reads and reopenings, which a store must run as the model does.
//!
//! The same seed gives the same program on every machine. A failure prints its seed and step; `FACTUM_SEED=<seed>` runs
//! that one again.

use std::ops::Range;

use factum_core::{
    cell::{Cell, CellChange, CellKey, CellKind, ExpectedRevision, Revision},
    commit::{Append, Commit, Found, Owners, Plan, Wanted, check},
    envelope::Message,
    error::Refusal,
    memory::Memory,
    ports::{Backend, Reader, Scan},
    stream::{ExpectedVersion, Position, StreamId, StreamVersion},
};
use fastrand::Rng;

use super::{
    drive::{append, event, stream_id},
    store::{Subject, write},
};

const TYPES: [&str; 4] = ["order.created", "order.paid", "stock.reserved", "a"];

/// The seeds to run: `FACTUM_SEED` alone if it is set, else as many as `FACTUM_SEEDS` says, else `count`.
pub fn seeds(count: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("FACTUM_SEED") {
        Some(seed) => seed..seed.saturating_add(1),
        None => 0..number("FACTUM_SEEDS").unwrap_or(count),
    }
}

/// Runs a program of so many steps for each seed.
///
/// # Panics
/// If the store does anything else than the model.
pub fn run(seeds: Range<u64>, steps: u32, subject: &mut dyn Subject) {
    for seed in seeds {
        let mut told = Told { seed, step: 0, steps };
        let backend = subject.fresh();
        let reader = backend.reader();
        let mut program = Program {
            rng: Rng::with_seed(seed),
            model: Memory::new(),
            backend: Some(backend),
            reader,
            remembered: Vec::new(),
            numbered: 0,
        };
        while told.step < steps {
            told.step += 1;
            program.step(subject);
        }
        program.compare_all();
    }
}

/// Says which program was running when a panic passes by.
struct Told {
    seed: u64,
    step: u32,
    steps: u32,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, step, steps } = self;
            eprintln!("failed at step {step} of {steps} of seed {seed}; FACTUM_SEED={seed} runs it again");
        }
    }
}

struct Program {
    rng: Rng,
    model: Memory,
    /// Gone only between closing and opening again.
    backend: Option<Box<dyn Backend>>,
    reader: std::sync::Arc<dyn Reader>,
    /// Revisions that a cell once had, in the model and in the store.
    remembered: Vec<(CellKey, Revision, Revision)>,
    numbered: u64,
}

/// A commit, with what differs between the model and the store: revisions of cells.
struct Twins {
    model: Commit,
    store: Commit,
}

impl Program {
    fn step(&mut self, subject: &mut dyn Subject) {
        match self.rng.u32(0..100) {
            0..50 => self.write(),
            50..70 => self.compare_scan(),
            70..82 => self.compare_streams(),
            82..90 => self.compare_cells(),
            90..94 => self.backend().idle().expect("a store may be idle"),
            _ => self.reopen(subject),
        }
    }

    fn backend(&mut self) -> &mut dyn Backend {
        self.backend.as_mut().expect("the store is open").as_mut()
    }

    fn reopen(&mut self, subject: &mut dyn Subject) {
        let lineage = self.reader.lineage();
        self.backend = None;
        match subject.reopen() {
            Ok(backend) => {
                self.reader = backend.reader();
                self.backend = Some(backend);
                assert_eq!(self.reader.lineage(), lineage, "opening again keeps the lineage");
            }
            Err(_) => {
                // Nothing is left: both begin anew.
                let backend = subject.fresh();
                self.reader = backend.reader();
                self.backend = Some(backend);
                self.model = Memory::new();
                self.remembered.clear();
            }
        }
        assert_eq!(self.reader.head(), self.model.head());
    }

    fn write(&mut self) {
        let twins: Vec<Twins> = (0..self.rng.usize(1..5)).map(|_| self.commit()).collect();
        let (model, store): (Vec<_>, Vec<_>) = twins.into_iter().map(|twins| (twins.model, twins.store)).unzip();
        let wanted = wanted(&model);
        let model_found = self.model.find(&wanted).expect("the model can be searched");
        let store_found = self.backend().find(&wanted).expect("the store can be searched");
        assert_eq!(model_found.streams, store_found.streams);
        assert!(model_found.cells.keys().eq(store_found.cells.keys()), "{model_found:?} {store_found:?}");
        self.remember(&model_found, &store_found);
        let (model_plans, model_refused) = judge(model_found, model);
        let one = match &store[..] {
            [one] => Some(one.clone()).filter(|_| self.backend().supposes()),
            _ => None,
        };
        let (store_plans, store_refused) = judge(store_found, store);
        assert_eq!(model_refused, store_refused);
        let model_last = write(&mut self.model, &model_plans).expect("the model can be written");
        let store_last = match one {
            Some(one) => {
                let wanted = Wanted { supposed: Some(one.supposed()), ..one.wanted() };
                let written = self.backend().transact(&wanted, &mut |found| judge(found, vec![one.clone()]).0);
                written.expect("the store can be written").map(|written| written.last)
            }
            None => write(self.backend(), &store_plans).expect("the store can be written"),
        };
        assert_eq!(model_last, store_last);
        assert_eq!(self.reader.head(), self.model.head());
    }

    fn remember(&mut self, model: &Found, store: &Found) {
        for (key, revision) in &model.cells {
            if let Some(other) = store.cells.get(key) {
                self.remembered.push((key.clone(), *revision, *other));
            }
        }
        let surplus = self.remembered.len().saturating_sub(50);
        self.remembered.drain(..surplus);
    }

    fn commit(&mut self) -> Twins {
        let appends: Vec<Append> = (0..self.rng.usize(0..4)).map(|_| self.append()).collect();
        let mut twins = Twins {
            model: Commit { appends: appends.clone(), cells: Vec::new() },
            store: Commit { appends, cells: Vec::new() },
        };
        for _ in 0..self.rng.usize(0..3) {
            let key = CellKey::new(CellKind::ALL[self.rng.usize(0..3)], format!("cell-{}", self.rng.u32(0..6)));
            let length = self.rng.usize(0..40);
            let value = self.rng.bool().then(|| (0..length).map(|_| self.rng.u8(..)).collect::<Vec<u8>>());
            let (model, store) = self.expected_revisions(&key);
            let change = |expected| CellChange { key: key.clone(), expected, value: value.clone() };
            twins.model.cells.push(change(model));
            twins.store.cells.push(change(store));
        }
        twins
    }

    /// Any, absent, the revision that is there, or one that was there once.
    fn expected_revisions(&mut self, key: &CellKey) -> (ExpectedRevision, ExpectedRevision) {
        let both = |expected| (expected, expected);
        match self.rng.u32(0..10) {
            0..5 => both(ExpectedRevision::Any),
            5 | 6 => both(ExpectedRevision::Absent),
            7 | 8 => {
                let wanted = Wanted { cells: vec![key.clone()], ..Wanted::default() };
                let now = |found: Found| ExpectedRevision::Exact(found.cells.get(key).copied().unwrap_or_default());
                let model = self.model.find(&wanted).expect("the model can be searched");
                let store = self.backend().find(&wanted).expect("the store can be searched");
                (now(model), now(store))
            }
            _ => {
                let once: Vec<_> = self.remembered.iter().filter(|(known, ..)| known == key).collect();
                match once.get(self.rng.usize(0..once.len().max(1))) {
                    Some((_, model, store)) => (ExpectedRevision::Exact(*model), ExpectedRevision::Exact(*store)),
                    None => both(ExpectedRevision::Exact(Revision(u64::MAX - 1))),
                }
            }
        }
    }

    fn append(&mut self) -> Append {
        let stream = self.stream();
        let head = self.model.stream(&stream, StreamVersion(0)).expect("the model can be read").len() as u64;
        let expected = match self.rng.u32(0..8) {
            0..4 => ExpectedVersion::Any,
            4 => ExpectedVersion::NoStream,
            5 => ExpectedVersion::StreamExists,
            6 => ExpectedVersion::Exact(StreamVersion(head)),
            _ => ExpectedVersion::Exact(StreamVersion(self.rng.u64(0..=head + 1))),
        };
        let messages = (0..self.rng.usize(0..5)).map(|_| self.message()).collect();
        append(stream.as_str(), expected, messages)
    }

    fn stream(&mut self) -> StreamId {
        stream_id(&format!("{}-{}", ["order", "stock"][self.rng.usize(0..2)], self.rng.u32(0..12)))
    }

    fn message(&mut self) -> Message {
        self.numbered += 1;
        let length = if self.rng.u32(0..40) == 0 { self.rng.usize(0..200_000) } else { self.rng.usize(0..300) };
        let data = format!(r#"{{"number":{},"text":"{}"}}"#, self.numbered, "x".repeat(length));
        event(TYPES[self.rng.usize(0..TYPES.len())], &data)
    }

    fn compare_scan(&mut self) {
        let head = self.model.head().0;
        let after = Position(self.rng.u64(0..=head + 1));
        let until = Position(if self.rng.bool() { u64::MAX } else { self.rng.u64(0..=head + 2) });
        let bytes = [1, 1_000, 30_000, usize::MAX][self.rng.usize(0..4)];
        let wanted_type = self.rng.usize(0..TYPES.len());
        let filter = |name: &str| name == TYPES[wanted_type];
        let types: Option<&dyn Fn(&str) -> bool> = if self.rng.bool() { Some(&filter) } else { None };
        let found = self.reader.scan(&Scan { after, until, bytes, types }).expect("the log can be read");
        // How much is answered at once is the store's business; that nothing is missing in it is not.
        let whole = Scan { after, until: found.through, bytes: usize::MAX, types };
        let expected = self.model.scan(&whole).expect("the model can be read").messages;
        assert!(found.messages == expected, "a scan behind {after} answers other messages than the model");
        assert!(found.through >= after && (found.through == after || found.through <= until));
        let all = Scan { after, until, bytes: usize::MAX, types };
        let all = self.model.scan(&all).expect("the model can be read");
        assert_eq!(found.messages.is_empty(), all.messages.is_empty(), "at least one message, if there is one");
        assert!(!found.messages.is_empty() || found.through == all.through, "all was looked at");
        let size = |messages: &[_]| messages.iter().map(|m: &factum_core::envelope::Stored| m.message.bytes()).sum();
        let (size, largest): (usize, usize) = (size(&found.messages), 201_000);
        assert!(bytes == usize::MAX || size <= 4 * bytes + largest, "{size} bytes answered for {bytes}");
    }

    fn compare_streams(&mut self) {
        let stream = self.stream();
        let known = self.model.stream(&stream, StreamVersion(0)).expect("the model can be read").len() as u64;
        let after = StreamVersion(self.rng.u64(0..=known + 1));
        let expected = self.model.stream(&stream, after).expect("the model can be read");
        assert!(self.reader.stream(&stream, after).expect("a stream can be read") == expected, "{stream} {after}");
        let several = [stream, self.stream(), self.stream()];
        let expected = self.model.streams(&several).expect("the model can be read");
        assert!(self.reader.streams(&several).expect("streams can be read") == expected, "{several:?}");
    }

    fn compare_cells(&self) {
        let contents = |cells: Vec<Cell>| cells.into_iter().map(|cell| (cell.key, cell.value)).collect::<Vec<_>>();
        for kind in CellKind::ALL {
            let expected = self.model.cells(kind).expect("the model can be read");
            let found = self.reader.cells(kind).expect("cells can be read");
            assert_eq!(contents(found), contents(expected));
        }
    }

    fn compare_all(&self) {
        self.compare_cells();
        let all = Scan { after: Position::START, until: Position(u64::MAX), bytes: usize::MAX, types: None };
        let expected = self.model.scan(&all).expect("the model can be read").messages;
        assert!(super::drive::read_all(&*self.reader) == expected, "the logs differ at the end");
    }
}

fn wanted(commits: &[Commit]) -> Wanted {
    let mut wanted = Wanted::default();
    for commit in commits {
        let more = commit.wanted();
        wanted.streams.extend(more.streams);
        // Also those of which nothing is expected: what they have become is remembered.
        wanted.cells.extend(commit.cells.iter().map(|change| change.key.clone()));
    }
    wanted
}

fn judge(mut found: Found, commits: Vec<Commit>) -> (Vec<Plan>, Vec<Option<Refusal>>) {
    let (mut plans, mut refused) = (Vec::new(), Vec::new());
    for commit in commits {
        match check(&Owners::default(), &found, commit) {
            Ok(plan) => {
                found.apply(&plan);
                plans.push(plan);
                refused.push(None);
            }
            Err(refusal) => refused.push(Some(refusal)),
        }
    }
    (plans, refused)
}
