//! What a store in PostgreSQL says of a server that is slow, full, read-only, or another one than it was.

use std::{path::PathBuf, process::Command, time::Duration};

use factum_adapters::postgres::{self, Options, upkeep};
use factum_core::{
    commit::Plan,
    error::StoreError,
    ports::{Backend, RowStore, Scan},
    stream::Position,
};
use factum_testing::conformance::store::write;

use super::{
    faults::plan,
    outbox::session,
    postgres::{Schemas, eventually},
    postgres_rows::{ORDERS, batch, order},
};

/// Ends all sessions but the own.
const END: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND datname = 'postgres'";

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_tried_again() {
    let Some(schemas) = Schemas::start() else { return };
    let quick = Options { statement: Duration::from_millis(200), ..Options::default() };
    let mut store = postgres::open(&schemas.url(), quick).unwrap();
    let other = session(&schemas.server.url()).await;
    other.batch_execute("BEGIN; SELECT FROM unit_0.unit FOR UPDATE").await.unwrap();
    let told = write(&mut store, &[Plan::default()]).unwrap_err();
    assert!(matches!(&told, StoreError::Transient(why) if why.contains("longer than a statement may")), "{told:?}");
    other.batch_execute("ROLLBACK").await.unwrap();
    write(&mut store, &[Plan::default()]).unwrap();
}

#[test]
fn a_server_that_only_reads_for_now_is_waited_for() {
    let Some(schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    let set = |value: &str| {
        let sql = format!("ALTER DATABASE postgres SET default_transaction_read_only = {value}");
        // From beside: here nothing could be set back.
        schemas.server.tool("psql", &["-X", "-q", "-d", "template1", "-c", &sql, "-c", END]).unwrap();
    };
    set("on");
    let told = eventually(|| match write(&mut store, &[Plan::default()]) {
        Err(StoreError::Transient(why)) if why.contains("it only reads now") => Ok(why),
        other => Err(format!("{other:?}")),
    });
    assert!(told.contains("default_transaction_read_only"), "{told}");
    store.look().unwrap();
    set("off");
    eventually(|| write(&mut store, &[Plan::default()]));
    assert_eq!(schemas.server.sql("SELECT commits FROM unit_0.unit").unwrap(), "1");
}

#[test]
fn a_server_without_room_for_sessions_is_waited_for() {
    let Some(schemas) = Schemas::start() else { return };
    let few = "CREATE ROLE few LOGIN CONNECTION LIMIT 1; GRANT CREATE ON DATABASE postgres TO few";
    schemas.server.sql(few).unwrap();
    let told = postgres::open(&schemas.url().replace("factum@", "few@"), Options::default()).unwrap_err();
    assert!(matches!(&told, StoreError::Transient(why) if why.contains("raise max_connections")), "{told:?}");
}

/// A file system of its own, which goes with this value.
struct Small(PathBuf);

impl Small {
    /// `None`, and a line that says why, if this machine does not let us.
    fn mount(below: &std::path::Path) -> Option<Self> {
        let path = below.join("small");
        std::fs::create_dir(&path).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs"]).arg(&path).output();
        match mount {
            Ok(done) if done.status.success() => {
                let small = Self(path);
                assert!(Command::new("chown").arg("postgres").arg(&small.0).status().unwrap().success());
                Some(small)
            }
            _ => {
                eprintln!("left out: no small file system can be mounted, which takes root");
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_as_one_and_goes_by() {
    let Some(schemas) = Schemas::start() else { return };
    let Some(small) = Small::mount(schemas.server.dir()) else { return };
    let mut store = schemas.open().unwrap();
    schemas.server.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", small.0.display())).unwrap();
    schemas.server.sql("ALTER TABLE unit_0.message_0 SET TABLESPACE small").unwrap();
    let mut written = 0;
    let told = loop {
        let mut next = plan(written + 1);
        next.appends.iter_mut().flat_map(|append| &mut append.messages).for_each(|message| {
            // What cannot be compressed.
            let noise: String = (0..40_000).map(|_| fastrand::alphanumeric()).collect();
            message.data = format!("{{\"noise\":\"{noise}\"}}").into_bytes().into();
        });
        match write(&mut store, &[next]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "a disk of 1 MiB does not hold so much");
    };
    assert!(matches!(&told, StoreError::Full(why) if why.contains("make room")), "{told:?}");
    let read =
        store.reader().scan(&Scan { after: Position(0), until: Position(99), bytes: 1 << 20, types: None }).unwrap();
    assert_eq!(read.messages.len() as u64, written, "reading goes on");
    assert!(matches!(write(&mut store, &[plan(written + 1)]), Ok(_) | Err(StoreError::Full(_))));
    schemas.server.sql("ALTER TABLE unit_0.message_0 SET TABLESPACE pg_default").unwrap();
    let head = schemas.server.sql("SELECT position FROM unit_0.unit").unwrap().parse::<u64>().unwrap();
    assert_eq!(write(&mut store, &[plan(head + 1)]).unwrap(), Some(Position(head + 1)));
}

#[test]
fn a_database_that_was_brought_back_to_an_earlier_point_begins_a_new_epoch() {
    let Some(mut schemas) = Schemas::start() else { return };
    let mut store = schemas.open().unwrap();
    let first = store.reader().lineage();
    write(&mut store, &[plan(1), plan(2)]).unwrap();
    let mut tables = postgres::rows::open(&schemas.url(), Options::default()).unwrap();
    tables.open(&ORDERS).unwrap();
    schemas.server.back_up().unwrap();
    write(&mut store, &[plan(3)]).unwrap();
    tables.write(&batch(3, vec![order("1", "open", 3)])).unwrap();
    schemas.server.recover().unwrap();
    // What this process knows, and has told others, is not there any more.
    let told = eventually(|| match write(&mut store, &[plan(4)]) {
        Err(error @ StoreError::Fenced(_)) => Ok(error.to_string()),
        other => Err(format!("{other:?}")),
    });
    assert!(told.contains("was restored, or has failed over"), "{told}");
    assert!(matches!(store.look(), Err(StoreError::Fenced(_))));
    assert!(!store.lease().unwrap().lasts(Duration::ZERO));
    let past = Scan { after: Position(2), until: Position(3), bytes: 1 << 20, types: None };
    let read = eventually(|| match store.reader().scan(&past) {
        Err(error @ StoreError::Fenced(_)) => Ok(error),
        other => Err(format!("{other:?}")),
    });
    assert!(read.to_string().contains("it must begin anew"), "what is gone is not passed over");
    // Nor are rows written that were computed of it.
    eventually(|| match tables.write(&batch(4, vec![order("1", "open", 4)])) {
        Err(error) if error.to_string().contains("it must begin anew") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    drop(store);
    let store = eventually(|| schemas.open());
    let second = store.reader().lineage();
    assert_eq!((second.log_id, store.reader().head()), (first.log_id, Position(2)));
    assert!(second.epoch > first.epoch, "I3: {second} is no other than {first}");
    drop(store);
    let store = eventually(|| schemas.open());
    assert_eq!(store.reader().lineage(), second, "once");
    assert!(upkeep::verify(&schemas.url(), &mut |_, _| {}).unwrap().damage.is_empty());
}

#[test]
fn a_server_that_was_only_started_again_is_the_same() {
    let Some(mut schemas) = Schemas::start() else { return };
    let store = schemas.open().unwrap();
    let first = store.reader().lineage();
    drop(store);
    schemas.server.kill();
    schemas.server.go_on().unwrap();
    assert_eq!(schemas.open().unwrap().reader().lineage(), first);
}

#[test]
fn a_dump_is_restored_as_another_epoch_of_the_same_log() {
    let Some(schemas) = Schemas::start() else { return };
    if !schemas.server.has("pg_dump") {
        return eprintln!("left out: there is no pg_dump of this version");
    }
    let mut store = schemas.open().unwrap();
    let key = store.digest_key().unwrap();
    write(&mut store, &[plan(1), plan(2)]).unwrap();
    let mut tables = postgres::rows::open(&schemas.url(), Options::default()).unwrap();
    tables.open(&ORDERS).unwrap();
    tables.write(&batch(2, vec![order("1", "open", 2)])).unwrap();
    let server = &schemas.server;
    let file = server.dir().join("dump");
    let file = file.to_str().unwrap();
    // Beside the process that writes.
    server.tool("pg_dump", &["-Fc", "-f", file]).unwrap();
    write(&mut store, &[plan(3)]).unwrap();
    server.sql("CREATE DATABASE copy").unwrap();
    server.tool("pg_restore", &["-d", "copy", "--exit-on-error", file]).unwrap();
    let copy = schemas.url().replace("/postgres", "/copy");
    let findings = upkeep::verify(&copy, &mut |_, _| {}).unwrap();
    assert_eq!((findings.damage.as_slice(), findings.head), ([].as_slice(), Position(2)));
    let mut restored = postgres::open(&copy, Options::default()).unwrap();
    let (old, new) = (store.reader().lineage(), restored.reader().lineage());
    assert!(new.log_id == old.log_id && new.epoch > old.epoch, "{new} of {old}");
    assert_eq!(restored.digest_key().unwrap(), key, "a dump of the whole database has it");
    assert_eq!(write(&mut restored, &[plan(3)]).unwrap(), Some(Position(3)));
    let mut tables = postgres::rows::open(&copy, Options::default()).unwrap();
    let at = tables.open(&ORDERS).unwrap().unwrap();
    assert_ne!(at.lineage, new, "rows of another epoch are built anew by who reads them");
}
