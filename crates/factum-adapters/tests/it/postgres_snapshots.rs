//! Snapshots in PostgreSQL: the suite of snapshots, and a server that crashes.

use std::sync::Arc;

use factum_adapters::postgres::{
    Options,
    snapshots::{self, SnapshotTable},
};
use factum_core::{
    ports::{SnapshotError, Snapshots},
    snapshot::Snapshot,
    stream::{Cursor, Lineage, Position},
};
use factum_testing::conformance::{self, Cannot, snapshots::Subject};

use super::postgres::{Schemas, eventually};

struct InSchemas(Schemas);

impl InSchemas {
    fn open(&self) -> SnapshotTable {
        snapshots::open(&self.0.url(), Options::default()).unwrap()
    }
}

impl Subject for InSchemas {
    fn fresh(&mut self) -> Arc<dyn Snapshots> {
        self.0.next();
        Arc::new(self.open())
    }
    fn reopen(&mut self) -> Result<Arc<dyn Snapshots>, Cannot> {
        Ok(Arc::new(self.open()))
    }
}

#[test]
fn keeps_every_promise() {
    let Some(schemas) = Schemas::start() else { return };
    conformance::snapshots::run(&mut InSchemas(schemas));
}

fn snapshot(position: u64) -> Snapshot {
    let lineage = Lineage { log_id: [7; 16], epoch: u32::MAX };
    Snapshot { model: u64::MAX, at: Cursor { lineage, position: Position(position) }, state: vec![7; 100] }
}

#[test]
fn what_the_server_holds_damaged_is_nothing_and_is_replaced() {
    let Some(schemas) = Schemas::start() else { return };
    let subject = InSchemas(schemas);
    let store = subject.open();
    for damage in ["set_byte(sealed, 60, 0)", "substring(sealed from 1 for 70)", "''"] {
        store.put("a\0b", snapshot(5)).unwrap();
        assert_eq!(store.get("a\0b").unwrap(), Some(snapshot(5)));
        subject.0.server.sql(&format!("UPDATE unit_0.snapshot SET sealed = {damage}")).unwrap();
        assert_eq!(store.get("a\0b").unwrap(), None, "{damage}");
    }
    store.put("c", snapshot(6)).unwrap();
    subject
        .0
        .server
        .sql("UPDATE unit_0.snapshot SET sealed = (SELECT sealed FROM unit_0.snapshot WHERE name = 'c')")
        .unwrap();
    assert_eq!((store.get("a\0b").unwrap(), store.get("c").unwrap()), (None, Some(snapshot(6))), "of another name");
}

#[test]
fn a_server_that_crashes_is_waited_for() {
    let Some(schemas) = Schemas::start() else { return };
    let mut subject = InSchemas(schemas);
    let store = subject.open();
    store.put("a", snapshot(1)).unwrap();
    subject.0.server.kill();
    for _ in 0..2 {
        assert!(matches!(store.get("a"), Err(SnapshotError::Store(_))));
        assert!(matches!(store.put("a", snapshot(2)), Err(SnapshotError::Store(_))));
    }
    subject.0.server.go_on().unwrap();
    let found = eventually(|| store.get("a"));
    assert!(found.is_none_or(|found| found == snapshot(1)), "the last ones may be lost");
    eventually(|| store.put("a", snapshot(3)));
    assert_eq!(store.get("a").unwrap(), Some(snapshot(3)));
}
