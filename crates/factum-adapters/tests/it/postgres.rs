//! The store in PostgreSQL: the suite of stores, several processes, and what is said when it cannot be opened.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use factum_adapters::postgres::{self, Options, Postgres, upkeep};
use factum_core::{
    commit::Plan,
    error::StoreError,
    ports::{Backend, Note},
    stream::{Position, StreamId, StreamVersion},
};
use factum_testing::{
    conformance::{
        self, Cannot,
        store::{Subject, write},
    },
    engines::{
        line::{Cut, Line},
        postgres::Server,
    },
};

use super::faults::plan;

/// Units of one server, each in a schema of its own.
pub(super) struct Schemas {
    pub(super) server: Server,
    pub(super) made: u32,
}

impl Schemas {
    /// `None`, and a line that says why, if there is no PostgreSQL.
    pub(super) fn start() -> Option<Self> {
        match Server::start() {
            Ok(server) => Some(Self { server, made: 0 }),
            Err(why) => {
                eprintln!("left out: {why}");
                None
            }
        }
    }

    pub(super) fn url(&self) -> String {
        format!("{}?schema=unit_{}", self.server.url(), self.made)
    }

    /// From now on an empty schema.
    pub(super) fn next(&mut self) {
        self.made += 1;
    }

    pub(super) fn open(&self) -> Result<Postgres, StoreError> {
        postgres::open(&self.url(), Options::default())
    }
}

impl Subject for Schemas {
    fn fresh(&mut self) -> Box<dyn Backend> {
        self.next();
        Box::new(self.open().unwrap())
    }
    fn reopen(&mut self) -> Result<Box<dyn Backend>, Cannot> {
        Ok(Box::new(self.open().unwrap()))
    }
}

#[test]
fn keeps_every_promise() {
    let Some(mut schemas) = Schemas::start() else { return };
    conformance::store::run(&mut schemas);
}

#[test]
fn runs_random_programs_as_the_model() {
    let Some(mut schemas) = Schemas::start() else { return };
    conformance::random::run(conformance::random::seeds(6), 100, &mut schemas);
}

#[test]
fn one_process_writes_a_unit_and_the_next_one_fences_it_off() {
    let Some(schemas) = Schemas::start() else { return };
    let mut first = schemas.open().unwrap();
    let error = schemas.open().unwrap_err();
    assert!(matches!(&error, StoreError::Fenced(why) if why.contains("open in another process")), "{error:?}");
    write(&mut first, &[Plan::default()]).unwrap();
    drop(first);
    let mut second = schemas.open().unwrap();
    assert_eq!(write(&mut second, &[Plan::default()]).unwrap(), Some(Position(0)));
}

#[test]
fn who_comes_back_when_another_leads_is_fenced_off() {
    let Some(schemas) = Schemas::start() else { return };
    let mut first = schemas.open().unwrap();
    write(&mut first, &[Plan::default()]).unwrap();
    let mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'factum'";
    schemas.server.sql(mine).unwrap();
    let mut second = eventually(|| schemas.open());
    write(&mut second, &[Plan::default()]).unwrap();
    // Also when the other one leads no more: what it wrote is not known here.
    let mut second = Some(second);
    for _ in 0..2 {
        let written = write(&mut first, &[Plan::default()]);
        assert!(matches!(&written, Err(StoreError::Fenced(why)) if why.contains("term 2")), "I14: {written:?}");
        assert!(matches!(first.look(), Err(StoreError::Fenced(_))), "I14: it is told when it looks, too");
        second = None;
    }
    drop(second);
    assert_eq!(schemas.server.sql("SELECT term, commits FROM unit_0.unit").unwrap(), "2|2");
}

#[test]
fn partitions_are_made_before_they_are_needed() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    let partitions = || {
        let inherited = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'unit_0.message'::regclass";
        schemas.server.sql(inherited).unwrap()
    };
    assert_eq!(partitions(), "2");
    // A few before the end of the second one.
    schemas.server.sql("UPDATE unit_0.unit SET position = 2 * 4194304 - 5").unwrap();
    let plans: Vec<Plan> = (1..=20).map(plan).collect();
    assert_eq!(write(&mut store, &plans).unwrap(), Some(Position(2 * 4_194_304 + 15)));
    assert_eq!(partitions(), "4");
    let stream = StreamId::parse("order-1").unwrap();
    assert_eq!(store.reader().stream(&stream, StreamVersion(0)).unwrap().len(), 20);
    assert_eq!(write(&mut store, &[plan(21)]).unwrap(), Some(Position(2 * 4_194_304 + 16)));
}

/// Tries until it can be done; the server frees a lost session's lock when it notices.
pub(super) fn eventually<T, E: Display>(mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        std::thread::yield_now();
    }
}

/// The classical gap: the line is cut while the commit is on its way. It is found out whether it stands.
#[test]
fn a_commit_whose_answer_is_lost_is_looked_up() {
    let Some(schemas) = Schemas::start() else { return };
    let line = Line::to(schemas.server.port()).unwrap();
    let url = format!("postgres://factum@127.0.0.1:{}/postgres?schema=unit_0", line.port());
    let mut store = postgres::open(&url, Options::default()).unwrap();
    for round in 0..5 {
        line.cut(Cut::Behind);
        let written = eventually(|| match write(&mut store, &[Plan::default()]) {
            Err(StoreError::Transient(why)) if !why.contains("nothing was written") => Err(StoreError::Transient(why)),
            other => Ok(other),
        });
        let told = written.map_err(|error| error.to_string());
        assert_eq!(told, Ok(Some(Position(0))), "I1: round {round}: it stands, so it is told as done");
        line.cut(Cut::Before);
        let refused = eventually(|| match write(&mut store, &[Plan::default()]) {
            Err(StoreError::Transient(why)) if !why.contains("nothing was written") => Err(StoreError::Transient(why)),
            other => Ok(other),
        });
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("nothing was written"), "{told}");
        assert!(line.was_cut());
    }
    assert_eq!(schemas.server.sql("SELECT commits FROM unit_0.unit").unwrap(), "5");
}

#[test]
fn a_server_that_crashes_is_waited_for() {
    let Some(mut schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    write(&mut store, &[Plan::default()]).unwrap();
    schemas.server.kill();
    for _ in 0..2 {
        let error = write(&mut store, &[Plan::default()]).unwrap_err();
        assert!(matches!(error, StoreError::Transient(_)), "{error:?}");
        assert!(matches!(store.look(), Err(StoreError::Transient(_))));
    }
    schemas.server.go_on().unwrap();
    write(&mut store, &[Plan::default()]).unwrap();
    store.look().unwrap();
}

#[test]
fn what_a_person_must_mend_is_a_sentence_without_the_password() {
    let Some(schemas) = Schemas::start() else { return };
    let url = schemas.server.url();
    let sentence = |url: &str| {
        let error = postgres::open(url, Options::default()).unwrap_err();
        let told = error.to_string();
        assert!(!told.contains("sesame"), "{told}");
        (matches!(error, StoreError::Permanent(_)), told)
    };
    let (is_final, told) = sentence("mysql://sesame");
    assert!(is_final && told.contains("postgres://user:password@host:port/database"), "{told}");
    let (is_final, told) = sentence(&url.replace("/postgres", "/none").replace("factum@", "factum:sesame@"));
    assert!(is_final && told.contains("createdb"), "{told}");
    let (is_final, told) = sentence(&url.replace("factum@", "nobody:sesame@"));
    assert!(is_final && told.contains("check user and password"), "{told}");
    let (is_final, told) = sentence("postgres://factum:sesame@127.0.0.1:1/postgres");
    assert!(!is_final && told.contains("cannot be reached"), "{told}");
    let (is_final, told) = sentence(&format!("{url}?schema=pg_catalog"));
    assert!(is_final && told.contains("no name of a schema"), "{told}");
    schemas.server.sql("CREATE SCHEMA taken; CREATE TABLE taken.customers (id int)").unwrap();
    let (is_final, told) = sentence(&format!("{url}?schema=taken"));
    assert!(is_final && told.contains("holds something else"), "{told}");
    schemas.server.sql("CREATE ROLE clerk LOGIN; REVOKE CREATE ON DATABASE postgres FROM PUBLIC").unwrap();
    let (is_final, told) = sentence(&url.replace("factum@", "clerk:sesame@"));
    assert!(is_final && told.contains("grant the role CREATE on the database"), "{told}");
    assert_eq!(
        schemas.server.sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'taken'::regnamespace").unwrap(),
        "1"
    );
}

/// So many messages for a stream, behind so many.
fn several(stream: &str, behind: u64, count: u64) -> Vec<Plan> {
    let of = |version| {
        let mut plan = plan(version);
        plan.appends.iter_mut().for_each(|append| append.stream = StreamId::parse(stream).unwrap());
        plan
    };
    (behind + 1..=behind + count).map(of).collect()
}

#[test]
fn who_looks_after_a_store_sees_it_beside_the_process_that_writes() {
    let Some(schemas) = Schemas::start() else { return };
    let url = schemas.url();
    let none = upkeep::open_read_only(&url).err().unwrap().to_string();
    assert!(none.contains("holds no store"), "{none}");
    assert!(upkeep::open_read_only_if_any(&url).unwrap().is_none());
    assert!(!upkeep::is_open(&url).unwrap());
    let mut store = schemas.open().unwrap();
    write(&mut store, &several("order-1", 0, 3)).unwrap();
    assert!(upkeep::is_open(&url).unwrap());
    let mut followed = upkeep::follow(&url).unwrap();
    write(&mut store, &[several("order-1", 3, 2), several("order-2", 0, 1)].concat()).unwrap();
    assert_eq!(followed.reader().head(), Position(3), "what was there at the last look");
    assert_eq!(followed.look().unwrap(), Position(6));
    assert_eq!(followed.reader().head(), Position(6));
    let about = upkeep::about(&url).unwrap();
    assert_eq!((about.head, about.streams, about.is_closed), (Position(6), 2, false));
    assert_eq!(about.segments.len(), 2, "{:?}", about.segments);
    assert_eq!(about.segments[0].first, Position(1));
    drop(store);
    assert!(upkeep::about(&url).unwrap().is_closed);
    let mut heard = 0;
    let findings = upkeep::verify(&url, &mut |done, _| heard = done).unwrap();
    assert_eq!((findings.damage.as_slice(), findings.streams, heard), ([].as_slice(), 2, 6));
}

#[test]
fn damage_is_found_where_it_is() {
    let Some(mut schemas) = Schemas::start() else { return };
    for (harm, what) in [
        ("DELETE FROM message WHERE position = 4", "missing up to 4"),
        ("UPDATE message SET version = 9 WHERE position = 5", "version 9 of order-1 follows 4"),
        ("UPDATE message SET head = 'x' WHERE position = 3", "behind this position"),
        ("UPDATE stream SET version = 2", "the head of order-1 is behind"),
        ("DELETE FROM message WHERE position > 4", "missing up to 5"),
    ] {
        schemas.made += 1;
        let url = schemas.url();
        write(&mut schemas.open().unwrap(), &several("order-1", 0, 5)).unwrap();
        schemas.server.sql(&format!("SET search_path = unit_{}; {harm}", schemas.made)).unwrap();
        let findings = upkeep::verify(&url, &mut |_, _| {}).unwrap();
        assert!(findings.damage.iter().any(|place| place.what.contains(what)), "{harm}: {:?}", findings.damage);
    }
}

#[test]
fn notes_outlive_the_process_and_are_kept_for_who_leads() {
    let Some(schemas) = Schemas::start() else { return };
    let store = schemas.open().unwrap();
    let notes = store.notes();
    assert_eq!(notes.get("engine"), None);
    let running = Note { running: Some("order.notify@7".to_owned()), ..Note::default() };
    notes.put("engine", &running);
    notes.put("views", &Note { ended: true, ..Note::default() });
    drop(store);
    let next = schemas.open().unwrap();
    assert_eq!(next.notes().get("engine"), Some(running.clone()));
    notes.put("engine", &Note { ended: true, ..Note::default() });
    assert_eq!(next.notes().get("engine"), Some(running), "who leads no more has nothing to say");
    let later = Note { suspect: Some(("x".to_owned(), 2)), ..Note::default() };
    next.notes().put("engine", &later);
    assert_eq!(next.notes().get("engine"), Some(later));
}

#[test]
fn a_lease_ends_with_the_session_that_holds_the_lock() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    let (lease, second) = (store.lease().unwrap(), Duration::from_secs(1));
    assert!(lease.lasts(second) && !lease.lasts(lease.length() + second));
    let holder = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
    schemas.server.sql(holder).unwrap();
    // Another process could lead from now on, long before the row says so.
    eventually(|| if lease.lasts(Duration::ZERO) { Err(StoreError::Transient("it lasts".to_owned())) } else { Ok(()) });
    eventually(|| store.look());
    assert!(lease.lasts(second), "it leads again");
    drop(schemas.open().unwrap_err());
}

#[test]
fn the_key_of_digests_stays_and_lies_apart_from_the_log() {
    let Some(mut schemas) = Schemas::start() else { return };
    let key = |schemas: &Schemas| schemas.open().unwrap().digest_key();
    let first = key(&schemas).unwrap();
    assert_eq!(key(&schemas).unwrap(), first);
    let tables =
        "SELECT nspname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = 'digest_key'";
    assert_eq!(schemas.server.sql(tables).unwrap(), "unit_0_secret");
    schemas.made += 1;
    assert_ne!(key(&schemas).unwrap(), first, "each unit has its own");
    schemas.server.sql("UPDATE unit_1_secret.digest_key SET key = 'short'").unwrap();
    let told = key(&schemas).unwrap_err().to_string();
    assert!(told.contains("5 bytes and not 16") && told.contains("remove its row"), "{told}");
}
