//! evento with its embedded engine: an event of one aggregate, with ten indexes over fjall; one write, one sync.

use std::{path::Path, sync::Arc};

use evento::{Event, EventFilter, Executor as _, Fjall, TenantFilter, cursor::Args};
use factum_core::stream::StreamId;
use tokio::runtime::{Builder, Runtime};
use ulid::Ulid;

use crate::work::{Append, Entry, Reads, Store};

/// The aggregate that all streams are of.
const AGGREGATE: &str = "bench/order";
/// Events to read at once.
const PAGE: u16 = 4_096;

struct Evento {
    engine: Fjall,
    runtime: Runtime,
    made: u64,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Store>> {
    Ok(Box::new(Evento { engine: Fjall::open(dir)?, runtime: runtime()?, made: 0 }))
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

impl Store for Evento {
    fn append(&mut self, batch: Vec<Append>) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(batch.len());
        for Append { stream, expected, message, body, .. } in batch {
            self.made += 1;
            events.push(Event {
                // In order, which is what its engine likes best.
                id: Ulid::from_parts(self.made, u128::from(self.made)),
                aggregate_id: stream.as_str().to_owned(),
                aggregate_type: AGGREGATE.to_owned(),
                version: u16::try_from(expected + 1)?,
                name: message.envelope.type_name.to_string(),
                data: body,
                ..Event::default()
            });
        }
        Ok(self.runtime.block_on(self.engine.write(events))?)
    }

    fn reader(&self) -> anyhow::Result<Box<dyn Reads>> {
        Ok(Box::new(Events { engine: self.engine.clone(), runtime: runtime()? }))
    }
}

struct Events {
    engine: Fjall,
    runtime: Runtime,
}

impl Events {
    fn read(&self, filter: Option<EventFilter>, visit: &mut dyn FnMut(Entry<'_>)) -> anyhow::Result<()> {
        let filters = filter.map(|filter| Arc::from([filter]));
        // A stream belongs to a tenant, here to the default one; all streams may be of all tenants.
        let tenant = if filters.is_some() { TenantFilter::Only(String::new()) } else { TenantFilter::All };
        let mut after = None;
        loop {
            let page = self.engine.read(filters.clone(), None, tenant.clone(), Args::forward(PAGE, after), None);
            let page = self.runtime.block_on(page)?;
            for edge in &page.edges {
                // It knows no position.
                visit(Entry { position: 0, body: &edge.node.data });
            }
            after = page.page_info.end_cursor;
            if !page.page_info.has_next_page || after.is_none() {
                return Ok(());
            }
        }
    }
}

impl Reads for Events {
    fn scan(&mut self, visit: &mut dyn FnMut(Entry<'_>)) -> anyhow::Result<()> {
        self.read(None, visit)
    }

    fn streams(&mut self, streams: &[StreamId], visit: &mut dyn FnMut(usize, Entry<'_>)) -> anyhow::Result<()> {
        for (number, stream) in streams.iter().enumerate() {
            let filter = EventFilter::by_id_raw(AGGREGATE, stream.as_str());
            self.read(Some(filter), &mut |entry| visit(number, entry))?;
        }
        Ok(())
    }
}
