//! A full disk under an app: commands are refused, reading goes on, and with room again everything follows.

use std::{fs, path::Path};

use factum::{
    App, ExecuteError,
    error::{CommitError, StoreError},
};
use factum_testing::chaos::{Ballast, Volume};
use tokio::task::JoinSet;

use crate::{
    Outcome,
    bank::{self, AccountRow, deposit},
    bank_check::{self, Bank},
    child::{Level, Order, Phase},
    count,
    full::MIB,
    history::Counts,
    kills::names,
    report::Report,
};

/// Commands at once.
const AT_ONCE: u64 = 32;
/// Commands before the disk is full.
const BEFORE: u64 = 8 * AT_ONCE;
/// The first number of the writer that is killed, and more than it gets to.
const KILLED: u64 = 1 << 32;

/// How the app was left before it is started on the full disk.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// Stopped in order before the disk was full: SQLite's files beside the rows are gone, and have to be made.
    Stopped,
    /// Stopped while the disk was full: SQLite could not copy its changes, and left its files there.
    StoppedFull,
    /// Killed: SQLite's files beside it are there, and the last rows are in them only.
    Killed,
    /// Stopped, and the rows were removed: their file cannot even be made.
    WithoutRows,
    /// Stopped before the disk was full, and the next program has views of another version: their tables cannot be made.
    Renewed,
}

const LEFT: [Left; 5] = [Left::Stopped, Left::StoppedFull, Left::Killed, Left::WithoutRows, Left::Renewed];

/// The cycles.
pub fn run() -> Outcome {
    let cycles = count("FACTUM_CYCLES", 1);
    let volume = match Volume::new(MIB) {
        Ok(volume) => volume,
        Err(why) => {
            println!("kernel: skipped: {cycles} full disks under an app: {why}");
            return Outcome::Skipped(why);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut counts, mut refused, mut restarts) = (Counts::default(), 0, 0);
    for left in (0..cycles).flat_map(|_| LEFT) {
        let dir = volume.path().join("data");
        let mut bank = Bank::default();
        refused += runtime.block_on(one(&dir, &volume.path(), left, &mut bank));
        restarts += 1;
        bank_check::check(&dir, true, &mut bank);
        counts.add(bank.history.counts);
        fs::remove_dir_all(&dir).unwrap();
    }
    println!(
        "kernel: {restarts} full disks of {MIB} MiB under the app: {refused} commands refused as full, {restarts} \
         restarts while full (each of: {LEFT:?}), {restarts} times gone on; {counts}"
    );
    Outcome::Passed
}

async fn one(dir: &Path, volume: &Path, left: Left, bank: &mut Bank) -> u64 {
    let mut next = 1;
    let app = bank::start(dir).await.unwrap();
    while next < BEFORE {
        assert_eq!(call(&app, bank, &mut next).await.1, 0, "the disk was full too early");
    }
    bank_check::compare(&app, bank).await;
    let ballast = Ballast::take(volume, 0).unwrap();
    let mut refused = fill(&app, bank, &mut next).await;
    assert!(rows(&app).await > 0, "no rows are read while the disk is full");
    bank_check::look(dir, bank);
    app.stop().await;
    drop(app);
    match left {
        Left::StoppedFull => {}
        Left::Stopped | Left::Renewed => {
            ballast.free().unwrap();
            bank::start(dir).await.unwrap().stop().await;
            assert!(!dir.join("rows.sqlite-shm").exists(), "SQLite has left its files there");
        }
        Left::Killed => {
            ballast.free().unwrap();
            kill_one(dir, bank);
        }
        Left::WithoutRows => remove(dir, |name| name.starts_with("rows.sqlite")),
    }
    let ballast = Ballast::take(volume, 0).unwrap();

    let version = if matches!(left, Left::Renewed) { 2 } else { 1 };
    let app = bank::start_with(dir, version).await;
    let app = app.unwrap_or_else(|why| panic!("I6: the app does not start on a full disk ({left:?}): {why}"));
    // What the start gave back is taken too.
    ballast.take_more().unwrap();
    refused += fill(&app, bank, &mut next).await;
    let there = rows(&app).await;
    assert_eq!(there > 0, !matches!(left, Left::WithoutRows), "rows are read, if there are any ({left:?})");
    ballast.free().unwrap();
    let mut taken = 0;
    for _ in 0..16 {
        taken += call(&app, bank, &mut next).await.0;
    }
    assert!(taken > BEFORE, "I6: there is room again, and the app does not go on: {:?}", app.health());
    bank_check::compare(&app, bank).await;
    app.stop().await;
    refused
}

/// Lets a writer of its own go on for a while, and kills it.
fn kill_one(dir: &Path, bank: &mut Bank) {
    let order = Order { level: Level::App, dir, first: KILLED, writes: KILLED, again: Vec::new() };
    let mut writer = order.start(&[]);
    writer.wait_for(Phase::Running);
    let answers = |reports: &[Report]| reports.iter().filter(|report| matches!(report, Report::Done { .. })).count();
    writer.wait_until(|reports| answers(reports) > 50);
    bank.history.hear(&writer.kill().reports);
    // What the next start would remove, to make room for itself.
    remove(&dir.join("log"), |name| name.ends_with(".tmp"));
    assert!(dir.join("rows.sqlite-wal").exists(), "the writer left no rows behind it");
}

fn remove(dir: &Path, is_wanted: impl Fn(&str) -> bool) {
    for name in names(dir).iter().filter(|name| is_wanted(name)) {
        fs::remove_file(dir.join(name)).unwrap();
    }
}

/// How many accounts can be read.
async fn rows(app: &App) -> u64 {
    app.rows::<AccountRow>().page().await.unwrap().total
}

/// Executes commands until one is refused as full, and some more; answers how many were.
async fn fill(app: &App, bank: &mut Bank, next: &mut u64) -> u64 {
    let (mut refused, mut tries) = (0, 0);
    while refused < 2 * AT_ONCE {
        refused += call(app, bank, next).await.1;
        tries += 1;
        assert!(tries < 10_000, "the disk does not get full");
    }
    refused
}

/// Executes a few commands at once; answers how many were taken, and how many refused as full.
async fn call(app: &App, bank: &mut Bank, next: &mut u64) -> (u64, u64) {
    let mut calls = JoinSet::new();
    for number in *next..*next + AT_ONCE {
        let app = app.clone();
        bank.history.hear(&[Report::Try { first: number, count: 1 }]);
        calls.spawn(async move { (number, app.execute(deposit(number)).id(&format!("d{number}")).await) });
    }
    *next += AT_ONCE;
    let (mut taken, mut refused) = (0, 0);
    while let Some(call) = calls.join_next().await {
        let (number, answer) = call.unwrap();
        let report = match &answer {
            Ok(receipt) => {
                taken += 1;
                Report::Done { first: number, count: 1, position: receipt.position.0 }
            }
            Err(error) => {
                refused += u64::from(matches!(error, ExecuteError::Commit(CommitError::Store(StoreError::Full(_)))));
                bank::told(error, number)
            }
        };
        bank.history.hear(&[report]);
    }
    (taken, refused)
}
