//! A full disk under an app: commands are refused, reading goes on, and with room again everything follows.

use std::{fs, path::Path};

use factum::{
    App, ExecuteError,
    error::{CommitError, StoreError},
};
use tokio::task::JoinSet;

use crate::{
    Outcome,
    bank::{self, AccountRow, deposit},
    bank_check::{self, Bank},
    count,
    full::{Ballast, MIB},
    history::Counts,
    report::Report,
    volume::Volume,
};

/// Commands at once.
const AT_ONCE: u64 = 32;
/// Commands before the disk is full.
const BEFORE: u64 = 8 * AT_ONCE;

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
    for _ in 0..cycles {
        let dir = volume.path().join("data");
        let mut bank = Bank::default();
        let (times, restarted) = runtime.block_on(one(&dir, &volume.path(), &mut bank));
        refused += times;
        restarts += u64::from(restarted);
        bank_check::check(&dir, true, &mut bank);
        counts.add(bank.history.counts);
        fs::remove_dir_all(&dir).unwrap();
    }
    println!(
        "kernel: {cycles} full disks of {MIB} MiB under the app: {refused} commands refused as full, {restarts} of \
         {cycles} restarts while full possible, {cycles} times gone on; {counts}"
    );
    Outcome::Passed
}

async fn one(dir: &Path, volume: &Path, bank: &mut Bank) -> (u64, bool) {
    let mut next = 1;
    let app = bank::start(dir).await.unwrap();
    while next < BEFORE {
        assert_eq!(call(&app, bank, &mut next).await.1, 0, "the disk was full too early");
    }
    bank_check::compare(&app, bank).await;
    let ballast = Ballast::take(volume, 0);
    let mut refused = fill(&app, bank, &mut next).await;
    bank_check::look(dir, bank);
    app.stop().await;
    drop(app);

    // The rows need a little room to be opened at all. If there is none, that is said.
    let app = match bank::start(dir).await {
        Ok(app) => {
            refused += fill(&app, bank, &mut next).await;
            Some(app)
        }
        Err(why) => {
            println!("kernel: no restart of the app while full: {why}");
            assert!(why.contains("full"), "what keeps the app from starting is not named: {why}");
            None
        }
    };
    let restarted = app.is_some();
    ballast.free();
    let app = match app {
        Some(app) => app,
        None => bank::start(dir).await.unwrap(),
    };
    let mut taken = 0;
    for _ in 0..16 {
        taken += call(&app, bank, &mut next).await.0;
    }
    assert!(taken > BEFORE, "I6: there is room again, and the app does not go on: {:?}", app.health());
    bank_check::compare(&app, bank).await;
    app.stop().await;
    (refused, restarted)
}

/// Executes commands until one is refused as full, and some more; answers how many were.
async fn fill(app: &App, bank: &mut Bank, next: &mut u64) -> u64 {
    let (mut refused, mut tries) = (0, 0);
    while refused < 2 * AT_ONCE {
        refused += call(app, bank, next).await.1;
        tries += 1;
        assert!(tries < 10_000, "the disk does not get full");
    }
    // What can be read, can be read on.
    let page = app.rows::<AccountRow>().page().await.unwrap();
    assert!(page.total > 0, "no rows are read while the disk is full");
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
