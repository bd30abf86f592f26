//! Snapshots in a directory: written at a stop, used at a start, thrown away at will.

use std::{
    fs,
    path::{Path, PathBuf},
};

use factum::{ExecuteError, prelude::*, snapshot::Snapshot};
use serde::{Deserialize, Serialize};

#[derive(Event)]
#[event("meter.counted")]
struct Counted {
    by: u64,
}

#[derive(Command)]
#[command("meter.count")]
pub struct Count {
    pub by: u64,
}

#[derive(Debug, Rejection)]
enum No {
    #[rejection("over", "the meter stands at {at}")]
    Over { at: u64 },
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Meter {
    at: u64,
}

impl Decider for Meter {
    const CATEGORY: &'static str = "meter";
    type Id = &'static str;
    type Command = Count;
    type Event = Counted;
    type Rejection = No;

    fn address(_: &Count, _: &Envelope) -> &'static str {
        "1"
    }

    fn decide(&self, _: &&'static str, Count { by }: Count, _: &Context) -> Result<Vec<Counted>, No> {
        if by == u64::MAX { Err(No::Over { at: self.at }) } else { Ok(vec![Counted { by }]) }
    }

    fn evolve(&mut self, event: &Counted) {
        self.at += event.by;
    }
}

pub async fn start(dir: &Path) -> App {
    let meters = Service::new("meters").decider_with_snapshots::<Meter>(1);
    App::open(dir).unwrap().with(meters).start().await.unwrap()
}

/// What the meter says, after a start and before a stop.
async fn stands(dir: &Path) -> String {
    let app = start(dir).await;
    let Err(ExecuteError::Rejected(refused)) = app.execute(Count { by: u64::MAX }).await else {
        panic!("it was counted")
    };
    app.stop().await;
    refused.message
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir.join("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_used_and_may_be_lost_or_damaged_at_the_price_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let app = start(dir).await;
    for _ in 0..20 {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        (0..100).fold(app.together(), |together, _| together.add(&Count { by: 1 }, at)).execute().await.unwrap();
    }
    let first = app.execute(Count { by: 5 }).id("once").await.unwrap();
    app.stop().await;
    drop(app);
    assert_eq!(files(dir).len(), 1, "a stop in order writes what the next start needs");

    // It is seen to be used by a wrong state in it.
    let (file, name) = (&files(dir)[0], "stream/meter-1");
    let whole = fs::read(file).unwrap();
    let mut snapshot = Snapshot::unseal(name, &whole).unwrap();
    let text = snapshot.state.windows(4).rposition(|text| text == b"2005").unwrap();
    snapshot.state[text] = b'7';
    fs::write(file, snapshot.seal(name)).unwrap();
    assert_eq!(stands(dir).await, "the meter stands at 7005");

    // Damage is noticed, and what is lost is folded again.
    let mut damaged = snapshot.seal(name);
    damaged.pop();
    fs::write(file, damaged).unwrap();
    assert_eq!(stands(dir).await, "the meter stands at 2005");
    fs::remove_dir_all(dir.join("snapshots")).unwrap();
    assert_eq!(stands(dir).await, "the meter stands at 2005");
    fs::remove_dir_all(dir.join("snapshots")).unwrap();
    fs::write(dir.join("snapshots"), "in the way").unwrap();
    assert_eq!(stands(dir).await, "the meter stands at 2005");
    fs::remove_file(dir.join("snapshots")).unwrap();

    let app = start(dir).await;
    let again = app.execute(Count { by: 5 }).id("once").await.unwrap();
    assert_eq!((again.repeated, again.version, again.position), (true, first.version, first.position));
    app.stop().await;
}
