//! fjall, an LSM tree: a write batch over two keyspaces is one journal entry, and one sync.

use std::path::Path;

use anyhow::{Context as _, ensure};
use factum_core::stream::StreamId;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::CACHE_BYTES;
use crate::work::{Append, Entry, Reads, Store};

#[derive(Clone)]
struct Fjall {
    db: Database,
    events: Keyspace,
    streams: Keyspace,
    last: u64,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Store>> {
    let db = Database::builder(dir).cache_size(CACHE_BYTES as u64).open()?;
    let events = db.keyspace("events", KeyspaceCreateOptions::default)?;
    let streams = db.keyspace("streams", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { db, events, streams, last: 0 }))
}

/// Names of streams have no zero byte, so that no stream's keys stand among another's.
fn key(stream: &StreamId, version: u64) -> Vec<u8> {
    let mut key = prefix(stream);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

fn prefix(stream: &StreamId) -> Vec<u8> {
    let mut key = Vec::with_capacity(stream.as_str().len() + 9);
    key.extend_from_slice(stream.as_str().as_bytes());
    key.push(0);
    key
}

impl Store for Fjall {
    fn append(&mut self, batch: Vec<Append>) -> anyhow::Result<()> {
        let mut heads = super::Heads::default();
        let (mut last, mut writes) = (self.last, self.db.batch().durability(Some(PersistMode::SyncData)));
        for append in batch {
            let Append { stream, expected, body, .. } = &append;
            if !heads.follows(stream, *expected) {
                // Two questions that filters answer, instead of a search for the stream's last version.
                let there = *expected == 0 || self.streams.contains_key(key(stream, *expected))?;
                let taken = self.streams.contains_key(key(stream, expected + 1))?;
                ensure!(there && !taken, "{stream} is not at version {expected}");
            }
            last += 1;
            writes.insert(&self.streams, key(stream, expected + 1), last.to_be_bytes());
            writes.insert(&self.events, last.to_be_bytes(), body.as_slice());
            heads.set(append.stream, append.expected + 1);
        }
        writes.commit()?;
        self.last = last;
        Ok(())
    }

    fn reader(&self) -> anyhow::Result<Box<dyn Reads>> {
        Ok(Box::new(self.clone()))
    }
}

impl Reads for Fjall {
    fn scan(&mut self, visit: &mut dyn FnMut(Entry<'_>)) -> anyhow::Result<()> {
        for pair in self.events.iter() {
            let (position, body) = pair.into_inner()?;
            visit(Entry { position: u64::from_be_bytes((*position).try_into()?), body: &body });
        }
        Ok(())
    }

    fn streams(&mut self, streams: &[StreamId], visit: &mut dyn FnMut(usize, Entry<'_>)) -> anyhow::Result<()> {
        for (number, stream) in streams.iter().enumerate() {
            for pair in self.streams.prefix(prefix(stream)) {
                let position = pair.value()?;
                let body = self.events.get(&position)?.context("an event is missing")?;
                visit(number, Entry { position: u64::from_be_bytes((*position).try_into()?), body: &body });
            }
        }
        Ok(())
    }
}
