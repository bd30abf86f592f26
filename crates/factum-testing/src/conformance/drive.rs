//! Drives a store as the committer does: find, check, write; and builds the messages for it.

use std::sync::Arc;

use factum_core::{
    Timestamp,
    cell::{CellChange, CellKey, CellKind, ExpectedRevision, Revision},
    commit::{Append, Commit, Owners, Plan, Wanted, check},
    envelope::{Envelope, Kind, Message, Stored},
    error::{CommitError, Refusal},
    id::{MessageId, Name},
    ports::{Backend, Reader, Scan},
    stream::{ExpectedVersion, Position, StreamId, StreamVersion},
};

use super::{Cannot, store::Subject};

/// A store under test.
pub(super) struct Driven<'s> {
    subject: &'s mut dyn Subject,
    /// Gone only between closing and opening again.
    backend: Option<Box<dyn Backend>>,
    pub reader: Arc<dyn Reader>,
    owners: Owners,
}

impl<'s> Driven<'s> {
    pub fn fresh(subject: &'s mut dyn Subject) -> Self {
        let backend = subject.fresh();
        let reader = backend.reader();
        Self { subject, backend: Some(backend), reader, owners: Owners::default() }
    }

    pub fn backend(&mut self) -> &mut dyn Backend {
        self.backend.as_mut().expect("the store is open").as_mut()
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) -> Result<(), Cannot> {
        self.backend = None;
        let backend = self.subject.reopen();
        let (backend, outcome) = match backend {
            Ok(backend) => (backend, Ok(())),
            Err(cannot) => (self.subject.fresh(), Err(cannot)),
        };
        self.reader = backend.reader();
        self.backend = Some(backend);
        outcome
    }

    /// Commits all in one write; answers what became of each.
    pub fn commit_all(&mut self, commits: Vec<Commit>) -> Vec<Result<Plan, Refusal>> {
        let mut wanted = Wanted::default();
        for commit in &commits {
            let more = commit.wanted();
            wanted.streams.extend(more.streams);
            wanted.cells.extend(more.cells);
        }
        // What several suppose of one stream comes of each other.
        if let [one] = &commits[..] {
            wanted.supposed = self.backend().supposes().then(|| one.supposed());
        }
        let before = self.reader.head();
        let (owners, mut judged, mut asked) = (self.owners.clone(), Vec::new(), 0);
        let most = if wanted.supposed.is_some() { 2 } else { 1 };
        let written = self.backend().transact(&wanted, &mut |mut found| {
            let mut judge = |commit| -> Result<Plan, Refusal> {
                let plan = check(&owners, &found, commit)?;
                found.apply(&plan);
                Ok(plan)
            };
            asked += 1;
            assert!(asked <= most, "the judge is asked once, and once more if what was supposed is not so");
            judged = commits.iter().cloned().map(&mut judge).collect();
            judged.iter().filter_map(|plan| plan.as_ref().ok().cloned()).collect()
        });
        let written = written.expect("the store can be written");
        let plans: Vec<&Plan> = judged.iter().filter_map(|plan| plan.as_ref().ok()).collect();
        let count: usize = plans.iter().flat_map(|plan| &plan.appends).map(|append| append.messages.len()).sum();
        match written {
            None => assert!(plans.is_empty(), "what was let through is written"),
            Some(written) => {
                assert_eq!(written.plans.len(), plans.len(), "a write answers what it was given");
                assert_eq!(written.last.0, before.0 + count as u64, "a write answers the position of its last message");
            }
        }
        assert_eq!(self.reader.head().0, before.0 + count as u64, "what a write returned for can be read");
        judged
    }

    /// Commits one.
    pub fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        let mut judged = self.commit_all(vec![commit]);
        judged.pop().expect("one commit has one outcome").map(|_| ()).map_err(CommitError::from)
    }

    /// Appends messages to a stream, whatever stands there.
    pub fn append(&mut self, stream: &str, messages: Vec<Message>) {
        let commit = Commit { appends: vec![append(stream, ExpectedVersion::Any, messages)], cells: Vec::new() };
        self.commit(commit).expect("an append without expectations is never refused");
    }

    /// Changes one cell.
    pub fn change(
        &mut self,
        kind: CellKind,
        name: &str,
        expected: ExpectedRevision,
        value: Option<&[u8]>,
    ) -> Result<(), CommitError> {
        let value = value.map(<[u8]>::to_vec);
        let change = CellChange { key: CellKey::new(kind, name), expected, value };
        self.commit(Commit { appends: Vec::new(), cells: vec![change] })
    }

    /// A cell's revision; 0 if there is none.
    pub fn revision(&mut self, kind: CellKind, name: &str) -> Revision {
        let key = CellKey::new(kind, name);
        let wanted = Wanted { cells: vec![key.clone()], ..Wanted::default() };
        let found = self.backend().find(&wanted).expect("the store can be searched");
        found.cells.get(&key).copied().unwrap_or_default()
    }

    /// A stream's version; 0 if it does not exist.
    pub fn version(&mut self, stream: &str) -> StreamVersion {
        let stream = stream_id(stream);
        let wanted = Wanted { streams: vec![stream.clone()], ..Wanted::default() };
        let found = self.backend().find(&wanted).expect("the store can be searched");
        found.streams.get(&stream).copied().unwrap_or_default()
    }

    /// Everything in the log.
    pub fn all(&self) -> Vec<Stored> {
        read_all(&*self.reader)
    }

    pub fn stream(&self, stream: &str, after: u64) -> Vec<Stored> {
        self.reader.stream(&stream_id(stream), StreamVersion(after)).expect("a stream can be read")
    }
}

/// Reads a log to its end, in steps.
pub(super) fn read_all(reader: &dyn Reader) -> Vec<Stored> {
    let (mut all, mut after) = (Vec::new(), Position::START);
    loop {
        let scan = Scan { after, until: Position(u64::MAX), bytes: 1 << 20, types: None };
        let scanned = reader.scan(&scan).expect("the log can be read");
        if scanned.messages.is_empty() {
            assert_eq!(scanned.through, after, "an empty answer without a filter has looked at nothing");
            return all;
        }
        after = scanned.through;
        all.extend(scanned.messages);
    }
}

pub(super) fn stream_id(text: &str) -> StreamId {
    StreamId::parse(text).expect("the suite's stream names are valid")
}

pub(super) fn append(stream: &str, expected: ExpectedVersion, messages: Vec<Message>) -> Append {
    Append { stream: stream_id(stream), expected, writer: Name::Static("conformance"), messages }
}

/// An event with nothing said that need not be.
pub(super) fn event(type_name: &str, data: &str) -> Message {
    let id = MessageId::derived(&[type_name, data]);
    let envelope = Envelope {
        correlation_id: id.clone(),
        id,
        kind: Kind::Event,
        type_name: Name::Shared(Arc::from(type_name)),
        source: Name::Static("conformance"),
        data_version: Name::Static("1.0.0"),
        timestamp: Timestamp::UNIX_EPOCH,
        causation_id: None,
        partition_key: Arc::from("1"),
        user_id: None,
        tenant: None,
        traceparent: None,
        metadata: None,
        depth: 0,
        digest: None,
        repeat_key: None,
    };
    Message { envelope, data: Arc::from(data.as_bytes()) }
}

/// As many different events of one type.
pub(super) fn events(type_name: &str, count: usize) -> Vec<Message> {
    (0..count).map(|number| event(type_name, &format!(r#"{{"number":{number}}}"#))).collect()
}
