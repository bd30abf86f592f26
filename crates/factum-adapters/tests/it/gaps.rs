//! Order and gaps, by one program over two ways to number events: sixteen writers with long transactions, a fifth of them rolled
//! back, and three readers that ask for what stands behind their position. Behind the counter's row nothing is lost; by an
//! identity column it is, which shows that the program can find it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use factum_adapters::postgres::{
    outbox::Outbox,
    tokio_postgres::{Client, Transaction},
    upkeep,
};
use factum_core::{
    commit::{Commit, Owners, Wanted, check},
    ports::Backend,
    stream::ExpectedVersion,
};

use super::{
    outbox::{append, session},
    postgres::Schemas,
};

const WRITERS: usize = 16;
const READERS: usize = 3;
/// Events of a transaction at most.
const TOGETHER: u64 = 20;
/// Streams that all writers share.
const STREAMS: u64 = 4;
/// The number of an event that was rolled back.
const GHOST: i64 = -1;

/// One who writes, and the number of an event among its own, counted from 1.
type Event = (usize, i64);

/// Draws numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A way to number events.
#[derive(Clone)]
enum Numbering {
    /// By the counter's row, behind the lock.
    Counter(Arc<Outbox>),
    /// By an identity column, when it is inserted.
    Identity,
}

impl Numbering {
    /// What stands behind a position.
    fn query(&self) -> &'static str {
        match self {
            Self::Counter(_) => {
                "SELECT position, data FROM unit_0.message WHERE position > $1 ORDER BY position LIMIT 5000"
            }
            Self::Identity => "SELECT id, data FROM plain WHERE id > $1 ORDER BY id LIMIT 5000",
        }
    }

    /// Writes events in a transaction that takes its time, and ends it. Those of a transaction that is to be rolled back are ghosts.
    async fn write(&self, transaction: Transaction<'_>, events: Vec<Event>, dice: &mut Dice, stands: bool) {
        let events: Vec<Event> =
            events.into_iter().map(|(who, number)| (who, if stands { number } else { GHOST })).collect();
        let data = || events.iter().map(|(who, number)| format!("[{who},{number}]"));
        let pause = Duration::from_millis(if dice.below(4) == 0 { dice.below(30) } else { 0 });
        let long = format!("INSERT INTO bill VALUES (0); SELECT pg_sleep({})", pause.as_secs_f64());
        match self {
            Self::Identity => {
                let put = "INSERT INTO plain (data) SELECT * FROM unnest($1::bytea[])";
                let data: Vec<Vec<u8>> = data().map(String::into_bytes).collect();
                transaction.execute(put, &[&data]).await.unwrap();
                transaction.batch_execute(&long).await.unwrap();
                if stands { transaction.commit().await } else { transaction.rollback().await }.unwrap();
            }
            Self::Counter(outbox) => {
                transaction.batch_execute(&long).await.unwrap();
                if !stands && dice.below(2) == 0 {
                    return transaction.rollback().await.unwrap();
                }
                let stream = format!("bill-{}", dice.below(STREAMS));
                let mut appends = vec![append(&stream, ExpectedVersion::Any, data())];
                if !stands {
                    // It is refused behind the lock.
                    appends.push(append(&stream, ExpectedVersion::NoStream, ["[0,0]".to_owned()]));
                }
                let ended = outbox.commit_with(transaction, Commit { appends, cells: Vec::new() }).await;
                assert_eq!(ended.is_ok(), stands, "{ended:?}");
            }
        }
    }
}

/// What a reader found wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wrong {
    skipped: i64,
    again_or_out_of_order: u64,
    ghosts: u64,
}

/// What a reader has read.
#[derive(Default)]
struct Read {
    position: i64,
    /// The last number of each writer.
    last: [i64; WRITERS + 1],
    wrong: Wrong,
}

impl Read {
    fn take(&mut self, (who, number): Event) {
        let last = &mut self.last[who];
        if number == GHOST {
            self.wrong.ghosts += 1;
        } else if number <= *last {
            self.wrong.again_or_out_of_order += 1;
        } else {
            self.wrong.skipped += number - *last - 1;
            *last = number;
        }
    }

    /// Reads until the writers are done and nothing is left.
    async fn all(mut self, client: Client, query: &'static str, done: Arc<AtomicBool>) -> Self {
        let query = client.prepare(query).await.unwrap();
        loop {
            let last_look = done.load(Ordering::SeqCst);
            let rows = client.query(&query, &[&self.position]).await.unwrap();
            for row in &rows {
                self.position = row.get(0);
                self.take(serde_json::from_slice(row.get::<_, &[u8]>(1)).unwrap());
            }
            if rows.is_empty() && last_look {
                return self;
            }
        }
    }
}

/// Lets all of them run, `events` in sum; answers what each reader found.
async fn run(url: String, numbering: Numbering, events: u64) -> Vec<Wrong> {
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let client = session(&url).await;
        readers.push(tokio::spawn(Read::default().all(client, numbering.query(), done.clone())));
    }
    let mut writers = Vec::new();
    for who in 0..WRITERS {
        let (mut client, numbering) = (session(&url).await, numbering.clone());
        writers.push(tokio::spawn(async move {
            let (mut dice, mut last, share) = (Dice(who as u64 + 1), 0, (events / WRITERS as u64) as i64);
            while last < share {
                let count = (1 + dice.below(TOGETHER) as i64).min(share - last);
                let stands = dice.below(5) > 0;
                let transaction = client.transaction().await.unwrap();
                numbering
                    .write(
                        transaction,
                        (last + 1..=last + count).map(|number| (who, number)).collect(),
                        &mut dice,
                        stands,
                    )
                    .await;
                if stands {
                    last += count;
                }
            }
            last
        }));
    }
    let mut written = [0; WRITERS];
    for (who, writer) in writers.into_iter().enumerate() {
        written[who] = writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let mut found = Vec::new();
    for reader in readers {
        let Read { last, mut wrong, .. } = reader.await.unwrap();
        wrong.skipped += written.iter().zip(last).map(|(written, read)| written - read).sum::<i64>();
        found.push(wrong);
    }
    found
}

/// The unit's own writer, until it is told to end.
fn unit(mut store: impl Backend + 'static, done: Arc<AtomicBool>) -> std::thread::JoinHandle<i64> {
    std::thread::spawn(move || {
        let (mut dice, mut last) = (Dice(99), 0);
        while !done.load(Ordering::SeqCst) {
            let count = 1 + dice.below(TOGETHER) as i64;
            let stream = format!("bill-{}", dice.below(STREAMS));
            let data = (last + 1..=last + count).map(|number| format!("[{WRITERS},{number}]"));
            let commit = Commit { appends: vec![append(&stream, ExpectedVersion::Any, data)], cells: Vec::new() };
            let wanted = Wanted { supposed: Some(commit.supposed()), ..commit.wanted() };
            let written = store
                .transact(&wanted, &mut |found| vec![check(&Owners::default(), &found, commit.clone()).unwrap()])
                .unwrap();
            assert!(written.is_some());
            last += count;
        }
        last
    })
}

async fn by_the_counter(events: u64) {
    let Some(schemas) = Schemas::start() else { return };
    let store = schemas.open().unwrap();
    schemas.server.sql("CREATE TABLE bill (id int)").unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let unit = unit(store, done.clone());
    let outbox = Arc::new(Outbox::open(&schemas.url(), "bills").await.unwrap());
    let found = run(schemas.server.url(), Numbering::Counter(outbox), events).await;
    done.store(true, Ordering::SeqCst);
    let own = unit.join().unwrap();
    assert_eq!(found, [Wrong::default(); READERS], "I13: what was committed is read once and in its order");
    let findings = upkeep::verify(&schemas.url(), &mut |_, _| {}).unwrap();
    assert!(findings.damage.is_empty(), "I3: positions and versions are gapless: {:?}", findings.damage);
    let all = events / WRITERS as u64 * WRITERS as u64 + own as u64;
    assert_eq!(findings.head.0, all, "I1: everything stands once");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_counters_row_nothing_is_skipped_and_nothing_comes_twice() {
    by_the_counter(20_000).await;
}

/// On demand: it takes some minutes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a million events take some minutes: run it with --ignored"]
async fn behind_the_counters_row_a_million_events_are_read_once_and_in_order() {
    by_the_counter(1_000_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_an_identity_column_the_same_program_finds_losses() {
    let Some(schemas) = Schemas::start() else { return };
    let table = "CREATE TABLE bill (id int); \
                 CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data bytea)";
    schemas.server.sql(table).unwrap();
    let found = run(schemas.server.url(), Numbering::Identity, 20_000).await;
    for wrong in found {
        assert!(wrong.skipped > 0 && wrong.ghosts == 0, "{wrong:?}: who reads by identity skips events");
    }
}
