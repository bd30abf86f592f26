//! What a running unit says of itself, while it cannot store anything and when it can again.

use std::{sync::Arc, time::Duration};

use factum_core::{
    memory::Memory, memory_notes::MemoryNotes, memory_rows::MemoryRows, memory_snapshots::MemorySnapshots,
};
use factum_runtime::{
    clock::LiveClock,
    engine::{Arrange, Limits},
    ids::UuidSource,
    supervisor::{Unit, UnitParts},
};

use super::bank::*;
use super::bench::*;

async fn until(unit: &Unit, well: bool) {
    let comes = async {
        while unit.health().is_well() != well {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), comes).await.unwrap();
}

#[tokio::test]
async fn a_unit_that_cannot_store_says_so_and_finds_out_by_itself_when_it_can() {
    let faults = Faults::default();
    // The command, and the first tries of the unit itself.
    (1..=3).for_each(|write| faults.at(write, Fault::Transient));
    let unit = Unit::start(UnitParts {
        services: bank(),
        backend: faulty(&Memory::new(), &faults),
        rows: Box::new(MemoryRows::new()),
        snapshots: Arc::new(MemorySnapshots::new()),
        notes: Arc::new(MemoryNotes::new()),
        program: "test".to_owned(),
        clock: Arc::new(LiveClock::default()),
        ids: Box::new(UuidSource::seeded(1)),
        arrange: Arrange::AsTaken,
        limits: Limits::default(),
    })
    .unwrap();
    assert!(unit.health().is_well());
    assert!(unit.execute(vec![request("p1", pay("a", 30))]).await.is_err());
    until(&unit, false).await;
    assert!(unit.health().engine.waiting.unwrap().contains("as told"));
    // Nobody sends anything any more, because it says that it is not well.
    until(&unit, true).await;
    assert!(faults.writes() > 3, "it has tried");
    unit.execute(vec![request("p1", pay("a", 30))]).await.unwrap();
    unit.stop().await;
}
