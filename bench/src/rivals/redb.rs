//! redb, a copy-on-write B-tree: a write transaction over two tables, synced by its commit.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use factum_core::stream::StreamId;
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::CACHE_BYTES;
use crate::work::{Append, Entry, Reads, Store};

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const STREAMS: TableDefinition<'_, (&str, u64), u64> = TableDefinition::new("streams");

struct Redb {
    db: Arc<Database>,
    last: u64,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Store>> {
    let db = Database::builder().set_cache_size(CACHE_BYTES).create(dir.join("redb"))?;
    let tables = db.begin_write()?;
    tables.open_table(EVENTS)?;
    tables.open_table(STREAMS)?;
    tables.commit()?;
    Ok(Box::new(Redb { db: Arc::new(db), last: 0 }))
}

impl Store for Redb {
    fn append(&mut self, batch: Vec<Append>) -> anyhow::Result<()> {
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        let mut last = self.last;
        {
            let (mut events, mut streams) = (write.open_table(EVENTS)?, write.open_table(STREAMS)?);
            for Append { stream, expected, body, .. } in &batch {
                let stream = stream.as_str();
                let head = streams.range((stream, 0)..=(stream, u64::MAX))?.next_back();
                let head = head.transpose()?.map_or(0, |(key, _)| key.value().1);
                ensure!(head == *expected, "{stream} is at version {head}, not {expected}");
                last += 1;
                streams.insert((stream, expected + 1), last)?;
                events.insert(last, body.as_slice())?;
            }
        }
        write.commit()?;
        self.last = last;
        Ok(())
    }

    fn reader(&self) -> anyhow::Result<Box<dyn Reads>> {
        Ok(Box::new(Tables(Arc::clone(&self.db))))
    }
}

struct Tables(Arc<Database>);

impl Reads for Tables {
    fn scan(&mut self, visit: &mut dyn FnMut(Entry<'_>)) -> anyhow::Result<()> {
        for pair in self.0.begin_read()?.open_table(EVENTS)?.iter()? {
            let (position, body) = pair?;
            visit(Entry { position: position.value(), body: body.value() });
        }
        Ok(())
    }

    fn streams(&mut self, wanted: &[StreamId], visit: &mut dyn FnMut(usize, Entry<'_>)) -> anyhow::Result<()> {
        let read = self.0.begin_read()?;
        let (events, streams) = (read.open_table(EVENTS)?, read.open_table(STREAMS)?);
        for (number, stream) in wanted.iter().enumerate() {
            for pair in streams.range((stream.as_str(), 0)..=(stream.as_str(), u64::MAX))? {
                let position = pair?.1.value();
                let body = events.get(position)?.context("an event is missing")?;
                visit(number, Entry { position, body: body.value() });
            }
        }
        Ok(())
    }
}
