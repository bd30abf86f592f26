//! Factum's own store as one of those that are compared: the embedded adapter, which finds, checks and writes as the
//! committer does, and the log's reader.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use factum_adapters::embedded::{self, Embedded};
use factum_core::{
    commit::{Append as Addition, Commit, Owners, Plan, Wanted, check},
    id::Name,
    ports::Backend as _,
    stream::{ExpectedVersion, StreamId, StreamVersion},
};
use factum_log::{Reader, RealDisk};

use crate::work::{Append, Entry, Reads, Store};

/// What its figures are called.
pub const NAME: &str = "factum";

struct Ours {
    dir: PathBuf,
    backend: Embedded,
    owners: Owners,
}

/// Opens a fresh store.
///
/// # Errors
/// If the directory holds something else.
pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Store>> {
    let (backend, _) = embedded::open(dir)?;
    Ok(Box::new(Ours { dir: dir.to_owned(), backend, owners: Owners::default() }))
}

impl Store for Ours {
    fn append(&mut self, batch: Vec<Append>) -> anyhow::Result<()> {
        let streams = batch.iter().map(|append| append.stream.clone()).collect();
        let (mut batch, mut refused) = (batch.into_iter(), Ok(()));
        let owners = &self.owners;
        self.backend.transact(&Wanted { streams, ..Wanted::default() }, &mut |mut found| {
            let mut plans: Vec<Plan> = Vec::with_capacity(batch.len());
            for Append { stream, expected, message, .. } in &mut batch {
                let expected = match expected {
                    0 => ExpectedVersion::NoStream,
                    version => ExpectedVersion::Exact(StreamVersion(version)),
                };
                let append = Addition { stream, expected, writer: Name::Static("order"), messages: vec![message] };
                match check(owners, &found, Commit { appends: vec![append], cells: Vec::new() }) {
                    Ok(plan) => {
                        found.apply(&plan);
                        plans.push(plan);
                    }
                    Err(refusal) => {
                        refused = Err(refusal);
                        return Vec::new();
                    }
                }
            }
            plans
        })?;
        Ok(refused?)
    }

    fn reader(&self) -> anyhow::Result<Box<dyn Reads>> {
        Ok(Box::new(Entries(factum_log::Observer::open(&self.dir, Arc::new(RealDisk))?.reader())))
    }
}

/// Bytes to read at once.
const SCAN_BYTES: usize = 8 << 20;

struct Entries(Reader);

impl Reads for Entries {
    fn scan(&mut self, visit: &mut dyn FnMut(Entry<'_>)) -> anyhow::Result<()> {
        let mut after = 0;
        while after < self.0.head() {
            after = self.0.scan(after, SCAN_BYTES, &mut |entry| {
                visit(Entry { position: entry.position, body: entry.body });
            })?;
        }
        Ok(())
    }

    fn streams(&mut self, streams: &[StreamId], visit: &mut dyn FnMut(usize, Entry<'_>)) -> anyhow::Result<()> {
        for (number, stream) in streams.iter().enumerate() {
            self.0.stream(stream.as_str(), 0, &mut |entry| {
                visit(number, Entry { position: entry.position, body: entry.body });
            })?;
        }
        Ok(())
    }
}
