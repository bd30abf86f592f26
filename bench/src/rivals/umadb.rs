//! UmaDB's engine without its server: a copy-on-write file in which a stream is a tag. It has no versions; what is
//! checked is that no event with the stream's tag came after the last one seen. Many appends share one commit, as in
//! the writer thread of its server.

use std::{path::Path, sync::Arc};

use factum_core::stream::StreamId;
use umadb_core::{
    db::{UmaDb, process_append_request},
    mvcc::{Mvcc, StorageOptions},
};
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreSync as _, DcbQuery, DcbQueryItem};

use crate::work::{Append, Entry, Reads, Store};

/// Events to read at once.
const PAGE: u32 = 4_096;

struct Uma(Arc<Mvcc>);

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Store>> {
    Ok(Box::new(Uma(Arc::new(Mvcc::new(false, StorageOptions::default().db_path(dir))?))))
}

fn tagged(stream: &StreamId) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([stream.as_str()]))
}

impl Store for Uma {
    fn append(&mut self, batch: Vec<Append>) -> anyhow::Result<()> {
        let mut writer = self.0.writer()?;
        for Append { stream, seen, message, body, .. } in batch {
            let event = DcbEvent::new().event_type(&*message.envelope.type_name).tags([stream.as_str()]).data(body);
            let unchanged = DcbAppendCondition::new(tagged(&stream)).after(Some(seen));
            process_append_request(vec![event], Some(unchanged), None, &*self.0, &mut writer, None)?;
        }
        self.0.commit(&mut writer)?;
        Ok(())
    }

    fn reader(&self) -> anyhow::Result<Box<dyn Reads>> {
        Ok(Box::new(Events(UmaDb::from_arc(Arc::clone(&self.0)))))
    }
}

struct Events(UmaDb);

impl Reads for Events {
    fn scan(&mut self, visit: &mut dyn FnMut(Entry<'_>)) -> anyhow::Result<()> {
        let mut from = 1;
        loop {
            let (events, _) = self.0.read_with_head(None, Some(from), false, Some(PAGE))?;
            let Some(last) = events.last() else { return Ok(()) };
            from = last.position + 1;
            for sequenced in &events {
                visit(Entry { position: sequenced.position, body: &sequenced.event.data });
            }
        }
    }

    fn streams(&mut self, streams: &[StreamId], visit: &mut dyn FnMut(usize, Entry<'_>)) -> anyhow::Result<()> {
        for (number, stream) in streams.iter().enumerate() {
            for sequenced in self.0.read_with_head(Some(tagged(stream)), None, false, None)?.0 {
                visit(number, Entry { position: sequenced.position, body: &sequenced.event.data });
            }
        }
        Ok(())
    }
}
