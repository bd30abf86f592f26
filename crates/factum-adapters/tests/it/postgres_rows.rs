//! Rows in PostgreSQL: the suite of row stores, lost sessions, and what a batch costs.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Barrier, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use factum_adapters::postgres::{
    Options,
    rows::{self, RowTables},
};
use factum_core::{
    error::RowError,
    ports::{Query, RowChange, RowStore, TableBatch, TableKeys, TableSpec},
    row::IndexValue,
    stream::{Cursor, Lineage, Position},
};
use factum_testing::{
    conformance::{self, Cannot, rows::Subject},
    engines::line::{Cut, Line},
};

use super::postgres::{Schemas, eventually};

pub(super) struct InSchemas(pub(super) Schemas);

impl InSchemas {
    pub(super) fn start() -> Option<Self> {
        Schemas::start().map(Self)
    }

    pub(super) fn open(&self) -> RowTables {
        rows::open(&self.0.url(), Options::default()).unwrap()
    }

    /// Through a line of one's own.
    fn open_at(&self, port: u16) -> RowTables {
        rows::open(
            &format!("postgres://factum@127.0.0.1:{port}/postgres?schema=unit_{}", self.0.made),
            Options::default(),
        )
        .unwrap()
    }

    pub(super) fn sql(&self, sql: &str) -> String {
        self.0
            .server
            .sql(&format!("SET search_path = unit_0; {sql}"))
            .unwrap()
            .trim_start_matches("SET")
            .trim()
            .to_owned()
    }
}

impl Subject for InSchemas {
    fn fresh(&mut self) -> Box<dyn RowStore> {
        self.0.next();
        Box::new(self.open())
    }
    fn reopen(&mut self) -> Result<Box<dyn RowStore>, Cannot> {
        Ok(Box::new(self.open()))
    }
}

#[test]
fn keeps_every_promise() {
    let Some(mut schemas) = InSchemas::start() else { return };
    conformance::rows::run(&mut schemas);
}

pub(super) const ORDERS: TableSpec = TableSpec { name: "orders", version: 1, indexes: &["status", "total"] };
const PLAIN: TableSpec = TableSpec { name: "plain", version: 1, indexes: &[] };

pub(super) fn cursor(position: u64) -> Cursor {
    Cursor { lineage: Lineage { log_id: [7; 16], epoch: 3 }, position: Position(position) }
}

pub(super) fn order(key: &str, status: &str, total: i64) -> RowChange {
    let body = format!(r#"{{"id":"{key}","total":{total}}}"#).into_bytes();
    let values = vec![IndexValue::Text(status.to_owned()), IndexValue::Integer(total)];
    RowChange { key: key.to_owned(), row: Some((body, values)) }
}

pub(super) fn batch(position: u64, changes: Vec<RowChange>) -> [TableBatch; 1] {
    [TableBatch { table: ORDERS, changes, cursor: cursor(position) }]
}

/// The total that the row says, and how far the rows are.
fn stands(store: &mut RowTables) -> Result<(Option<u64>, Option<u64>), RowError> {
    let at = store.open(&ORDERS)?.map(|cursor| cursor.position.0);
    let row = store.get(&ORDERS, "1")?.map(|body| String::from_utf8(body).unwrap());
    let total = |body: String| body.trim_end_matches('}').rsplit(':').next().unwrap().parse().unwrap();
    Ok((row.map(total), at))
}

#[test]
fn an_old_owner_writes_nothing_over_newer_rows_and_goes_on_from_where_they_stand() {
    let Some(schemas) = InSchemas::start() else { return };
    let (mut old, mut new) = (schemas.open(), schemas.open());
    assert_eq!(old.open(&ORDERS).unwrap(), None);
    old.write(&batch(5, vec![order("1", "open", 5)])).unwrap();
    assert_eq!(stands(&mut new).unwrap(), (Some(5), Some(5)));
    new.write(&batch(9, vec![order("1", "open", 9)])).unwrap();
    let refused = old.write(&batch(6, vec![order("1", "open", 6), order("2", "open", 6)])).unwrap_err().to_string();
    assert!(refused.contains("another process has written these rows"), "{refused}");
    let refused = old.write(&batch(6, Vec::new())).unwrap_err().to_string();
    assert!(refused.contains("open them first"), "it is to look first: {refused}");
    assert_eq!(schemas.sql("SELECT string_agg(key, ',') FROM orders_v1"), "1");
    assert_eq!(stands(&mut old).unwrap(), (Some(9), Some(9)));
    old.write(&batch(12, vec![order("1", "open", 12)])).unwrap();
    assert!(new.write(&batch(13, vec![order("1", "open", 13)])).is_err());
    assert_eq!(stands(&mut new).unwrap(), (Some(12), Some(12)));
}

#[test]
fn rows_that_were_built_anew_up_to_the_same_place_are_others() {
    let Some(schemas) = InSchemas::start() else { return };
    let (mut old, mut new) = (schemas.open(), schemas.open());
    old.open(&ORDERS).unwrap();
    old.write(&batch(5, vec![order("1", "open", 5)])).unwrap();
    new.discard(&ORDERS).unwrap();
    new.open(&ORDERS).unwrap();
    new.write(&batch(5, vec![order("1", "open", 50)])).unwrap();
    assert!(old.write(&batch(6, vec![order("1", "open", 6)])).is_err());
    assert_eq!(stands(&mut new).unwrap(), (Some(50), Some(5)));
}

#[test]
fn an_old_owner_does_not_bring_a_version_back_that_was_dropped() {
    let Some(schemas) = InSchemas::start() else { return };
    let (mut old, mut new) = (schemas.open(), schemas.open());
    let second = TableSpec { version: 2, ..ORDERS };
    old.open(&ORDERS).unwrap();
    new.open(&second).unwrap();
    new.activate(&second).unwrap();
    assert!(old.activate(&ORDERS).is_err());
    assert!(old.write(&batch(6, vec![order("1", "open", 6)])).is_err());
    assert_eq!(schemas.sql("SELECT version, active FROM row_table"), "2|t");
}

/// The line is cut at the commit, on either side of it. What the server has got may still be on its way to the table when it is
/// opened again: what `open` tells stays true all the same.
#[test]
fn rows_and_cursor_change_together_whenever_the_line_is_cut() {
    let Some(schemas) = InSchemas::start() else { return };
    let line = Line::to(schemas.0.server.port()).unwrap();
    let mut store = schemas.open_at(line.port());
    store.open(&ORDERS).unwrap();
    let mut now = 0;
    for round in 0..40 {
        now += 1;
        store.write(&batch(now, vec![order("1", "open", now as i64)])).unwrap();
        let cut = [Cut::Before, Cut::Behind][round % 2];
        line.cut(cut);
        store.write(&batch(now + 1, vec![order("1", "open", now as i64 + 1)])).unwrap_err();
        assert!(line.was_cut());
        let (total, at) = eventually(|| stands(&mut store));
        assert_eq!(total, at, "round {round}");
        assert!(at == Some(now) || cut == Cut::Behind && at == Some(now + 1), "round {round}: {at:?}");
        now = at.unwrap_or_default();
    }
}

/// The worst of such lines: all of a batch comes to the server when the table was opened again.
#[test]
fn what_a_lost_session_still_sends_is_refused() {
    let Some(schemas) = InSchemas::start() else { return };
    let mut lost = schemas.open();
    lost.open(&ORDERS).unwrap();
    lost.write(&batch(1, vec![order("1", "open", 1)])).unwrap();
    let mut own = schemas.open();
    assert_eq!(stands(&mut own).unwrap(), (Some(1), Some(1)));
    assert!(lost.write(&batch(2, vec![order("1", "open", 2)])).is_err());
    own.write(&batch(3, vec![order("1", "open", 3)])).unwrap();
    assert_eq!(stands(&mut own).unwrap(), (Some(3), Some(3)));
}

#[test]
fn sessions_that_are_killed_under_load_leave_whole_batches() {
    let Some(schemas) = InSchemas::start() else { return };
    let mut store = schemas.open();
    store.open(&ORDERS).unwrap();
    let (mut at, mut cuts) = (0, 0);
    let (landed, wait) = mpsc::sync_channel(0);
    std::thread::scope(|scope| {
        // A batch lands between any two kills, however slow the machine is.
        let schemas = &schemas;
        scope.spawn(move || {
            for () in wait {
                schemas.sql(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'factum'",
                );
            }
        });
        let landed = landed;
        while cuts < 10 {
            let many = (0..500).map(|n| order(&n.to_string(), "open", at as i64 + 1)).collect();
            match store.write(&batch(at + 1, many)) {
                Ok(()) => {
                    at += 1;
                    _ = landed.try_send(());
                }
                Err(_) => {
                    cuts += 1;
                    let (total, stands) = eventually(|| stands(&mut store));
                    assert_eq!(total, stands);
                    let stands = stands.unwrap_or(0);
                    assert!(stands == at || stands == at + 1, "{stands} behind {at}");
                    at = stands;
                }
            }
        }
    });
    let each = schemas.sql("SELECT count(*), min(total_number), max(total_number) FROM orders_v1");
    assert_eq!(each, format!("500|{at}|{at}"));
}

#[test]
fn a_server_that_crashes_is_waited_for_and_may_take_the_last_batches_with_their_cursors() {
    let Some(mut schemas) = InSchemas::start() else { return };
    let mut store = schemas.open();
    let reader = store.reader();
    store.open(&ORDERS).unwrap();
    for round in 1..=3 {
        for position in 1..=20 {
            let position = round * 100 + position;
            store.write(&batch(position, vec![order("1", "open", position as i64)])).unwrap();
        }
        schemas.0.server.kill();
        for _ in 0..2 {
            assert!(store.write(&batch(999, vec![order("1", "open", 999)])).is_err());
            assert!(store.get(&ORDERS, "1").is_err());
            assert!(reader.get("orders", "1").is_err());
        }
        schemas.0.server.go_on().unwrap();
        let (total, at) = eventually(|| stands(&mut store));
        assert_eq!(total, at);
        assert!(at.is_none_or(|at| at <= round * 100 + 20), "{at:?}");
        eventually(|| reader.get("orders", "1"));
    }
}

#[test]
fn pages_are_read_from_the_index() {
    let Some(schemas) = InSchemas::start() else { return };
    let mut store = schemas.open();
    store.open(&ORDERS).unwrap();
    let many = (0..20_000_i64).map(|n| order(&format!("{n:05}"), ["open", "paid"][(n % 2) as usize], n % 1_000));
    store.write(&batch(1, many.collect())).unwrap();
    // What a session has counted is told when it ends.
    drop(store);
    let written = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'orders_v1'";
    eventually(|| if schemas.sql(written) == "20000" { Ok(()) } else { Err("not told yet") });
    schemas.0.server.sql("VACUUM ANALYZE unit_0.orders_v1").unwrap();
    let read = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'orders_v1'";
    let scanned = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'orders_v1'";
    let before: (i64, String) = (schemas.sql(read).parse().unwrap(), schemas.sql(scanned));
    let reading = schemas.open();
    let reader = reading.reader();
    let field = || "status".to_owned();
    let number = IndexValue::Integer;
    let open = || Query { equal: vec![(field(), IndexValue::Text("open".to_owned()))], limit: 1, ..Query::default() };
    // None of them is full, so that nothing is counted.
    let range = |from, to| Query {
        range: Some(("total".to_owned(), Some(number(from)), Some(number(to)))),
        limit: 100,
        ..Query::default()
    };
    assert_eq!(reader.page("orders", &range(10, 12)).unwrap().rows.len(), 40);
    let last = Query { behind: Some("19990".to_owned()), limit: 10, ..open() };
    assert_eq!(reader.page("orders", &last).unwrap().rows.len(), 4);
    let largest = Query { range: Some(("total".to_owned(), Some(number(998)), None)), limit: 50, ..Query::default() };
    assert_eq!(reader.page("orders", &largest).unwrap().rows.len(), 40);
    drop((reader, reading));
    let read = eventually(|| match schemas.sql(read).parse::<i64>().unwrap() - before.0 {
        0 => Err("not told yet"),
        read => Ok(read),
    });
    assert!(read < 300, "{read} entries were read");
    assert_eq!(schemas.sql(scanned), before.1, "nothing was read from end to end");
}

/// A line that holds the server's answers back until the client has sent a text, or for a time that nobody should need.
#[derive(Default)]
struct Held {
    until: Mutex<Option<Vec<u8>>>,
    came: Condvar,
    /// Sessions that were made.
    made: AtomicUsize,
}

impl Held {
    fn line_to(self: &Arc<Self>, port: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let held = self.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                held.made.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (mut from, mut to, answers) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap(), held.clone());
                std::thread::spawn(move || {
                    let mut bytes = [0; 8192];
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        let until = answers.until.lock().unwrap();
                        let wait =
                            answers.came.wait_timeout_while(until, Duration::from_secs(20), |until| until.is_some());
                        drop(wait);
                        if to.write_all(&bytes[..count]).is_err() {
                            break;
                        }
                    }
                    _ = to.shutdown(Shutdown::Both);
                });
                let (mut from, mut to, asked) = (client, server, held.clone());
                std::thread::spawn(move || {
                    let (mut bytes, mut seen) = ([0; 8192], Vec::new());
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        seen.extend_from_slice(&bytes[..count]);
                        let mut until = asked.until.lock().unwrap();
                        if until.as_ref().is_some_and(|text| seen.windows(text.len()).any(|part| part == text)) {
                            *until = None;
                            asked.came.notify_all();
                        }
                        drop(until);
                        seen.drain(..seen.len().saturating_sub(64));
                        if to.write_all(&bytes[..count]).is_err() {
                            break;
                        }
                    }
                    _ = to.shutdown(Shutdown::Both);
                });
            }
        });
        own
    }

    /// Does what must send this text before it hears any answer.
    fn while_silent<T>(&self, until: &str, work: impl FnOnce() -> T) -> T {
        *self.until.lock().unwrap() = Some(until.as_bytes().to_vec());
        let done = work();
        assert!(self.until.lock().unwrap().take().is_none(), "`{until}` was sent only behind an answer");
        done
    }
}

#[test]
fn a_batch_of_any_size_is_read_in_one_round_trip_and_written_in_one() {
    let Some(schemas) = InSchemas::start() else { return };
    let held = Arc::new(Held::default());
    let mut store = schemas.open_at(held.line_to(schemas.0.server.port()));
    let tables = [ORDERS, TableSpec { version: 2, ..ORDERS }, TableSpec { name: "others", ..ORDERS }];
    tables.iter().for_each(|table| assert_eq!(store.open(table).unwrap(), None));
    let batches = |count: usize, position| {
        tables.clone().map(|table| {
            let gone = RowChange { key: "gone".to_owned(), row: None };
            let rows = (0..count).map(|n| order(&n.to_string(), "open", position as i64));
            TableBatch { table, changes: rows.chain([gone]).collect(), cursor: cursor(position) }
        })
    };
    let keys = |count: usize| {
        let key = |n: usize| if n + 1 == count { "the last one".to_owned() } else { n.to_string() };
        let plain: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        let last: Vec<String> = (0..count).map(key).collect();
        let [first, second, third] = tables.clone();
        [(first, plain.clone()), (second, plain), (third, last)].map(|(table, keys)| TableKeys { table, keys })
    };
    // Statements are prepared when they are met first.
    store.write(&batches(1, 1)).unwrap();
    store.get_many(&keys(1)).unwrap();
    for (position, count) in [(2, 1), (3, 10_000)] {
        held.while_silent("COMMIT", || store.write(&batches(count, position))).unwrap();
        let read = held.while_silent("the last one", || store.get_many(&keys(count))).unwrap();
        assert_eq!(read.iter().flatten().flatten().count(), 3 * count - 1);
    }
}

#[test]
fn many_threads_share_few_sessions() {
    let Some(schemas) = InSchemas::start() else { return };
    let line = Arc::new(Held::default());
    let mut store = schemas.open_at(line.line_to(schemas.0.server.port()));
    store.open(&ORDERS).unwrap();
    store.write(&batch(1, vec![order("1", "open", 7)])).unwrap();
    let reader = store.reader();
    let before = line.made.load(Ordering::SeqCst);
    let all = Barrier::new(40);
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                all.wait();
                for _ in 0..20 {
                    assert!(reader.get("orders", "1").unwrap().is_some());
                }
            });
        }
    });
    let made = line.made.load(Ordering::SeqCst) - before;
    assert!((1..=4).contains(&made), "{made} sessions");
}

#[test]
fn all_parts_of_a_unit_may_be_opened_at_once_in_a_schema_that_is_not_there() {
    let Some(schemas) = InSchemas::start() else { return };
    let (url, options) = (&schemas.0.url(), Options::default);
    std::thread::scope(|scope| {
        let rows = scope.spawn(|| rows::open(url, options()).map(|_| ()).map_err(|error| error.to_string()));
        let other = scope.spawn(|| rows::open(url, options()).map(|_| ()).map_err(|error| error.to_string()));
        let snapshots = factum_adapters::postgres::snapshots::open(url, options());
        factum_adapters::postgres::open(url, options()).unwrap();
        snapshots.unwrap();
        rows.join().unwrap().unwrap();
        other.join().unwrap().unwrap();
    });
    let once = "SELECT count(*), (SELECT count(*) = max(version) FROM migration) FROM unit";
    assert_eq!(schemas.sql(once), "1|t");
}

#[test]
fn what_a_person_must_mend_is_a_sentence_without_the_password() {
    let Some(schemas) = InSchemas::start() else { return };
    let url = schemas.0.server.url().replace("/postgres", "/none").replace("factum@", "factum:sesame@");
    let told = rows::open(&url, Options::default()).unwrap_err().to_string();
    assert!(told.contains("createdb") && !told.contains("sesame"), "{told}");
    let mut store = schemas.open();
    store.open(&PLAIN).unwrap();
    for body in [&b"{"[..], b"\xff", b"\0"] {
        let change = RowChange { key: "1".to_owned(), row: Some((body.to_vec(), Vec::new())) };
        store.write(&[TableBatch { table: PLAIN, changes: vec![change], cursor: cursor(1) }]).unwrap_err();
        assert_eq!(store.open(&PLAIN).unwrap(), None);
    }
}
