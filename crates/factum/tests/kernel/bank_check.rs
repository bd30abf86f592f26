//! Checks of the app from outside: its log, its reactions and its rows, against what callers were told and saw.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use factum::{App, Archive, envelope::Stored, error::StoreError, row::Row};

use crate::{
    bank::{self, AccountRow, BookRow, Deposited, Noted, mix},
    history::History,
    log_check::{self, Found},
};

/// Rows asked for at once; more than there are.
const PAGE: u64 = 1000;

/// All that is known of an app's directory.
#[derive(Default)]
pub struct Bank {
    pub history: History,
    /// Commands without an answer: a second attempt with the same id gets one, whether they are there or not.
    pub again: BTreeSet<u64>,
}

/// The app's facts, by number.
#[derive(Default)]
struct Facts {
    /// Where each deposit stands.
    deposits: HashMap<u64, u64>,
    notes: HashMap<u64, u64>,
    accounts: BTreeMap<String, AccountRow>,
    books: BTreeMap<String, BookRow>,
    /// Numbers by account and book, as deposited and as noted.
    deposited: BTreeMap<(String, String), Vec<u64>>,
    noted: BTreeMap<(String, String), Vec<u64>>,
}

impl Facts {
    fn take(&mut self, stored: &Stored) {
        let position = stored.position.0;
        if stored.type_name() == "account.deposited" {
            let Deposited { account, number, pad } = stored.decode().unwrap();
            let sent = bank::deposit(number);
            assert!((&account, &pad) == (&sent.account, &sent.pad), "I1: the deposit {number} is not as it was sent");
            let before = self.deposits.insert(number, position);
            assert_eq!(before, None, "I1: the deposit {number} is there twice, again at {position}");
            let row = self.accounts.entry(account.clone()).or_default();
            let mixed = mix(row.mixed, number);
            *row = AccountRow { account: account.clone(), count: row.count + 1, last: number, mixed };
            self.deposited.entry((account, bank::book(number))).or_default().push(number);
        } else if stored.type_name() == "book.noted" {
            let Noted { book, account, number } = stored.decode().unwrap();
            let before = self.notes.insert(number, position);
            assert_eq!(before, None, "I5: the deposit {number} was noted twice, again at {position}");
            let row = self.books.entry(book.clone()).or_default();
            let mixed = mix(row.mixed, number);
            *row = BookRow { book: book.clone(), count: row.count + 1, last: number, mixed };
            self.noted.entry((account, book)).or_default().push(number);
        }
    }
}

/// Reads the log beside anybody, and compares it with what callers were told.
pub fn look(dir: &Path, bank: &mut Bank) -> Found {
    let found = log_check::whole(&dir.join("log"));
    drop(read(&Archive::open(dir, &crate::bank::services(1)).unwrap(), bank));
    found
}

fn read(archive: &Archive, bank: &mut Bank) -> Facts {
    let Bank { history, again } = bank;
    let mut facts = Facts::default();
    let mut reading = history.reading();
    archive
        .each::<StoreError>(None, |stored| {
            reading.take(stored.position.0, stored.stream.as_str(), stored.version.0, bank::message_digest(stored));
            facts.take(stored);
            Ok(())
        })
        .unwrap();
    reading.end(archive.head().0);
    for (number, (_, position)) in &history.done {
        let there = facts.deposits.get(number);
        assert!(there.is_some(), "I1: the deposit {number} was acknowledged at {position}, and is gone");
        assert_eq!(there, Some(position), "I1: the deposit {number} is not where its receipt says");
    }
    for number in facts.deposits.keys() {
        assert!(!history.refused.contains(number), "I1: the deposit {number} was refused and is there");
        let known = history.done.contains_key(number) || history.tried.contains_key(number) || again.contains(number);
        assert!(known, "I1: the deposit {number} was never tried");
    }
    for (key, count) in &history.rows {
        let now = facts.accounts.get(key).map_or(0, |row| row.count);
        assert!(*count <= now, "I4: a row of {key} was seen with {count} deposits, there are {now}");
    }
    for (key, noted) in &facts.noted {
        let deposited = &facts.deposited[key][..noted.len()];
        assert_eq!(noted, deposited, "I2: notes of {key:?} are in another order than its deposits");
    }
    for (number, _) in history.tried.drain() {
        if again.insert(number) {
            history.counts.unknown += 1;
            history.counts.unknown_kept += u64::from(facts.deposits.contains_key(&number));
        }
    }
    again.retain(|number| !history.done.contains_key(number) && !history.refused.contains(number));
    facts
}

/// Starts the app, lets it come to rest, compares log, reactions and rows; with `rebuild` also rows that are built anew.
pub fn check(dir: &Path, rebuild: bool, bank: &mut Bank) -> Found {
    let found = look(dir, bank);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let kept = runtime.block_on(at_rest(dir, bank));
    if rebuild {
        for name in ["rows.sqlite", "rows.sqlite-wal", "rows.sqlite-shm"] {
            drop(std::fs::remove_file(dir.join(name)));
        }
        assert_eq!(runtime.block_on(at_rest(dir, bank)), kept, "I11: rows kept up are not the rows built anew");
    }
    let after = log_check::whole(&dir.join("log"));
    assert!(!after.unfinished, "I15: a closed log has the remains of an append at its end");
    found
}

async fn at_rest(dir: &Path, bank: &mut Bank) -> (Vec<AccountRow>, Vec<BookRow>) {
    let app = bank::start(dir).await.unwrap();
    let rows = compare(&app, bank).await;
    app.stop().await;
    rows
}

/// Lets a running app come to rest, and compares everything.
pub async fn compare(app: &App, bank: &mut Bank) -> (Vec<AccountRow>, Vec<BookRow>) {
    app.rest().await.unwrap();
    let health = app.health();
    assert!(health.is_well(), "I6: the app is not well at rest: {health:?}");
    let facts = read(&Archive::of(app.reader()), bank);
    assert_eq!(facts.deposited, facts.noted, "I5: at rest, every deposit is noted once, in order");
    let (accounts, books) = (rows::<AccountRow>(app).await, rows::<BookRow>(app).await);
    assert!(accounts.iter().eq(facts.accounts.values()), "I11: the accounts' rows are not those of the log");
    assert!(books.iter().eq(facts.books.values()), "I11: the books' rows are not those of the log");
    (accounts, books)
}

async fn rows<R: Row>(app: &App) -> Vec<R> {
    app.rows::<R>().after(app.position()).slice(0, PAGE).page().await.unwrap().rows
}
