//! The app under test: accounts that are deposited to, books that note each deposit, rows of both; and its writer.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use factum::{
    ExecuteError, LogSizes, Stores,
    error::{CommitError, StoreError},
    ports::{Reader, Scan},
    prelude::*,
    stream::Position,
};
use fastrand::Rng;

use crate::{child::Order, history::digest, report::Report};

const ACCOUNTS: u64 = 40;
const BOOKS: u64 = 5;
/// Small, so that a short run rolls and writes checkpoints.
const SIZES: LogSizes = LogSizes { segment_bytes: 64 << 10, checkpoint_bytes: 256 << 10 };
/// Callers at once.
const CALLERS: usize = 8;

#[derive(Command)]
#[command("account.deposit")]
pub struct Deposit {
    pub account: String,
    pub number: u64,
    pub pad: String,
}

#[derive(Event)]
#[event("account.deposited")]
pub struct Deposited {
    pub account: String,
    pub number: u64,
    pub pad: String,
}

#[derive(Debug, Rejection)]
pub enum Unlucky {
    #[rejection("unlucky_number", "the number {number} is not taken")]
    Unlucky { number: u64 },
}

#[derive(Default)]
struct Account;

impl Decider for Account {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Command = Deposit;
    type Event = Deposited;
    type Rejection = Unlucky;

    fn address(command: &Deposit, _: &Envelope) -> String {
        command.account.clone()
    }

    fn decide(&self, _: &String, command: Deposit, _: &Context) -> Result<Vec<Deposited>, Unlucky> {
        let Deposit { account, number, pad } = command;
        if is_unlucky(number) { Err(Unlucky::Unlucky { number }) } else { Ok(vec![Deposited { account, number, pad }]) }
    }

    fn evolve(&mut self, _: &Deposited) {}
}

#[derive(Command)]
#[command("book.note")]
struct Note {
    book: String,
    account: String,
    number: u64,
}

#[derive(Event)]
#[event("book.noted")]
pub struct Noted {
    pub book: String,
    pub account: String,
    pub number: u64,
}

#[derive(Default)]
struct Book;

impl Decider for Book {
    const CATEGORY: &'static str = "book";
    type Id = String;
    type Command = Note;
    type Event = Noted;
    type Rejection = Never;

    fn address(command: &Note, _: &Envelope) -> String {
        command.book.clone()
    }

    fn decide(&self, _: &String, note: Note, _: &Context) -> Result<Vec<Noted>, Never> {
        Ok(vec![Noted { book: note.book, account: note.account, number: note.number }])
    }

    fn evolve(&mut self, _: &Noted) {}
}

fn noting(event: &Recorded<Deposited>, fx: &mut Effects) {
    fx.send(Note { book: book(event.number), account: event.account.clone(), number: event.number });
}

#[derive(Clone, Debug, Default, PartialEq, Row)]
#[row("accounts")]
pub struct AccountRow {
    #[key]
    pub account: String,
    #[index]
    pub count: u64,
    pub last: u64,
    pub mixed: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Row)]
#[row("books")]
pub struct BookRow {
    #[key]
    pub book: String,
    pub count: u64,
    pub last: u64,
    pub mixed: u64,
}

/// Depends on the order, so that rows of other events, or of the same in another order, differ.
pub fn mix(before: u64, number: u64) -> u64 {
    (before.rotate_left(7) ^ number).wrapping_mul(0x9e37_79b9) >> 8
}

fn accounts(rows: &mut Rows<AccountRow>, event: &Recorded<Deposited>) {
    let new = || AccountRow { account: event.account.clone(), ..AccountRow::default() };
    rows.upsert(&event.account, new, |row| {
        (row.count, row.last, row.mixed) = (row.count + 1, event.number, mix(row.mixed, event.number));
    });
}

fn books(rows: &mut Rows<BookRow>, event: &Recorded<Noted>) {
    let new = || BookRow { book: event.book.clone(), ..BookRow::default() };
    rows.upsert(&event.book, new, |row| {
        (row.count, row.last, row.mixed) = (row.count + 1, event.number, mix(row.mixed, event.number));
    });
}

/// The services, with views of this version.
pub fn services(version: u32) -> [Service; 2] {
    [
        Service::new("bank").decider::<Account>().react("noting", noting).view(version, accounts),
        Service::new("books").decider::<Book>().view(version, books),
    ]
}

/// Whether the decider refuses the command of this number.
pub fn is_unlucky(number: u64) -> bool {
    number % 13 == 12
}

/// The book that a deposit of this number is noted in.
pub fn book(number: u64) -> String {
    format!("book{}", number % BOOKS)
}

/// The command of this number; the id is the number too.
pub fn deposit(number: u64) -> Deposit {
    let mut rng = Rng::with_seed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let account = format!("a{}", rng.u64(..ACCOUNTS));
    let length = if rng.u32(..5) == 0 { rng.usize(..40_000) } else { rng.usize(..300) };
    Deposit { account, number, pad: (0..length).map(|_| rng.alphanumeric()).collect() }
}

/// Starts the app on a directory.
pub async fn start(dir: &Path) -> Result<App, String> {
    start_with(dir, 1).await
}

/// Starts the app on a directory, with views of this version.
pub async fn start_with(dir: &Path, version: u32) -> Result<App, String> {
    let builder = App::on(Stores::at(dir).log_sizes(SIZES)).map_err(|error| error.to_string())?;
    let builder = services(version).into_iter().fold(builder, |builder, service| builder.with(service));
    builder.start().await.map_err(|error| error.to_string())
}

/// The writer: opens the app, deposits from several callers, reads beside, stops.
pub fn run(order: &Order<'_>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(live(order));
}

async fn live(order: &Order<'_>) {
    Report::Opening.tell();
    let app = match start(order.dir).await {
        Ok(app) => app,
        Err(why) => return Report::Closed { why }.tell(),
    };
    let head = app.position().0;
    Report::Open { head }.tell();
    let next = Arc::new(AtomicU64::new(order.first));
    let until = order.first + order.writes;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let again: Vec<u64> = order.again.iter().copied().skip(caller).step_by(CALLERS).collect();
        let (app, next) = (app.clone(), Arc::clone(&next));
        callers.spawn(async move {
            for number in again {
                call(&app, number).await;
            }
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= until || !call(&app, number).await {
                    return;
                }
            }
        });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(read(app.clone(), head, Arc::clone(&stop)));
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    reading.await.unwrap();
    Report::Closing.tell();
    let why = app.health().engine.failed.unwrap_or_default();
    app.stop().await;
    drop(app);
    Report::End { why }.tell();
}

/// Tells what an execution was answered with; `None` if it was carried out.
pub fn told(error: &ExecuteError, first: u64) -> Report {
    let why = error.to_string();
    match error {
        ExecuteError::Rejected(_)
        | ExecuteError::Busy
        | ExecuteError::NoHandler(_)
        | ExecuteError::IdReused(_)
        | ExecuteError::Commit(CommitError::Refused(_) | CommitError::Store(StoreError::Full(_))) => {
            Report::Refused { first, why }
        }
        _ => Report::Unknown { first, why },
    }
}

/// Executes the command of a number; says whether there is a point in another one.
async fn call(app: &App, number: u64) -> bool {
    Report::Try { first: number, count: 1 }.tell();
    match app.execute(deposit(number)).id(&format!("d{number}")).await {
        Ok(receipt) => {
            Report::Done { first: number, count: 1, position: receipt.position.0 }.tell();
            true
        }
        Err(error) => {
            let report = told(&error, number);
            report.tell();
            if !matches!(error, ExecuteError::Rejected(_)) {
                // What is full may have room in a moment.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            matches!(report, Report::Refused { .. })
        }
    }
}

async fn read(app: App, mut after: u64, stop: Arc<AtomicBool>) {
    let reader = app.reader();
    while !stop.load(Ordering::Relaxed) {
        match look(&*reader, after) {
            Some((through, sum)) if through > after => {
                Report::Seen { after, through, digest: sum }.tell();
                after = through;
            }
            Some(_) => {}
            None => return,
        }
        let Ok(page) = app.rows::<AccountRow>().slice(0, ACCOUNTS).page().await else { return };
        for row in page.rows {
            Report::Row { key: row.account, count: row.count }.tell();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Reads on; `None` from a disk that cannot be read.
fn look(reader: &dyn Reader, after: u64) -> Option<(u64, u64)> {
    let scan = Scan { after: Position(after), until: reader.head(), bytes: 1 << 20, types: None };
    let scanned = reader.scan(&scan).ok()?;
    let sum = scanned.messages.iter().map(message_digest).fold(0_u64, u64::wrapping_add);
    Some((scanned.through.0, sum))
}

/// The digest of a stored message.
pub fn message_digest(stored: &factum::envelope::Stored) -> u64 {
    let (id, data) = (stored.envelope().id.to_string(), &stored.message.data);
    let body = [id.as_bytes(), data].concat();
    digest(stored.position.0, stored.stream.as_str(), stored.version.0, stored.type_name(), &body)
}
