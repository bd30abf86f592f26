//! Roles in PostgreSQL: an owner that makes the tables, a writer that owns nothing, a reader.

use std::sync::Arc;

use factum_adapters::postgres::{self, Options, Postgres, roles, rows, snapshots, upkeep};
use factum_core::{
    commit::Plan,
    error::StoreError,
    ports::{Backend, RowStore, Snapshots, TableSpec},
    stream::Position,
};
use factum_testing::conformance::{self, Cannot, store::write};

use super::{
    faults::plan,
    postgres::{Schemas, eventually},
    postgres_rows::{ORDERS, batch, order},
};

/// Units that `boss` owns, `clerk` writes and `guest` reads.
struct Three(Schemas);

impl Three {
    fn start() -> Option<Self> {
        let schemas = Schemas::start()?;
        let made = "CREATE ROLE boss LOGIN; CREATE ROLE clerk LOGIN; CREATE ROLE guest LOGIN; \
                    GRANT CREATE ON DATABASE postgres TO boss";
        schemas.server.sql(made).unwrap();
        Some(Self(schemas))
    }

    fn url(&self, role: &str) -> String {
        self.0.url().replace("factum@", &format!("{role}@"))
    }

    /// What `psql` answers this role.
    fn sql(&self, role: &str, sql: &str) -> Result<String, String> {
        let options = ["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", role, "-c", sql];
        self.0.server.tool("psql", &options).map(|told| told.trim_end().to_owned())
    }

    /// The owner makes a unit and gives the rights that the command prints.
    fn made(&self) {
        assert_eq!(roles::migrate(&self.url("boss")).unwrap(), 6);
        self.sql("boss", &self.statements()).unwrap();
    }

    fn statements(&self) -> String {
        roles::statements(&self.url("boss"), Some("clerk"), Some("guest")).unwrap()
    }

    fn next(&mut self) {
        self.0.next();
        self.made();
    }

    fn open(&self) -> Result<Postgres, StoreError> {
        postgres::open(&self.url("clerk"), Options::default())
    }
}

struct Log(Three);

impl conformance::store::Subject for Log {
    fn fresh(&mut self) -> Box<dyn Backend> {
        self.0.next();
        Box::new(self.0.open().unwrap())
    }
    fn reopen(&mut self) -> Result<Box<dyn Backend>, Cannot> {
        Ok(Box::new(self.0.open().unwrap()))
    }
}

struct InTables(Three);

impl conformance::rows::Subject for InTables {
    fn fresh(&mut self) -> Box<dyn RowStore> {
        self.0.next();
        Box::new(rows::open(&self.0.url("clerk"), Options::default()).unwrap())
    }
    fn reopen(&mut self) -> Result<Box<dyn RowStore>, Cannot> {
        Ok(Box::new(rows::open(&self.0.url("clerk"), Options::default()).unwrap()))
    }
}

struct Kept(Three);

impl conformance::snapshots::Subject for Kept {
    fn fresh(&mut self) -> Arc<dyn Snapshots> {
        self.0.next();
        Arc::new(snapshots::open(&self.0.url("clerk"), Options::default()).unwrap())
    }
    fn reopen(&mut self) -> Result<Arc<dyn Snapshots>, Cannot> {
        Ok(Arc::new(snapshots::open(&self.0.url("clerk"), Options::default()).unwrap()))
    }
}

#[test]
fn a_writer_that_owns_nothing_keeps_every_promise() {
    let Some(units) = Three::start() else { return };
    let mut log = Log(units);
    conformance::store::run(&mut log);
    let mut tables = InTables(log.0);
    conformance::rows::run(&mut tables);
    conformance::snapshots::run(&mut Kept(tables.0));
}

#[test]
fn a_writer_needs_what_the_command_prints_and_is_told_what_is_missing() {
    let Some(units) = Three::start() else { return };
    let told = units.open().unwrap_err().to_string();
    assert!(told.contains("the role clerk may not make one") && told.contains("factum log migrate"), "{told}");
    units.made();
    let open = || {
        let log = units.open().and_then(|log| log.digest_key().map(|_| ()));
        let rows = rows::open(&units.url("clerk"), Options::default()).map(|_| ()).map_err(|error| error.to_string());
        let kept = snapshots::open(&units.url("clerk"), Options::default());
        log.map_err(|error| error.to_string()).and(rows).and(kept.map(|_| ()).map_err(|error| error.to_string()))
    };
    open().unwrap();
    let mut looked = 0;
    for line in units.statements().lines().filter(|line| line.ends_with("TO \"clerk\";")) {
        let (rights, on) =
            line.trim_start_matches("GRANT ").trim_end_matches(" TO \"clerk\";").split_once(" ON ").unwrap();
        for right in rights.split(", ") {
            let sql = |act: &str, role: &str| {
                units.sql("boss", &format!("SET search_path = unit_0; {act} {right} ON {on} {role} clerk")).unwrap()
            };
            sql("REVOKE", "FROM");
            let told = open().unwrap_err();
            if on.contains("secret") {
                assert!(told.contains("permission denied") && told.contains("factum log roles"), "{on}: {told}");
            } else {
                assert!(told.contains(&format!("GRANT {right} ON")), "{right} on {on}: {told}");
            }
            sql("GRANT", "TO");
            looked += 1;
        }
    }
    assert!(looked > 25, "{looked}");
    open().unwrap();
}

#[test]
fn a_writer_leaves_alone_what_the_owner_owns_and_what_was_written() {
    let Some(units) = Three::start() else { return };
    units.made();
    let mut store = units.open().unwrap();
    write(&mut store, &[plan(1)]).unwrap();
    for act in [
        "DROP TABLE unit",
        "DROP SCHEMA unit_0 CASCADE",
        "ALTER TABLE message ADD COLUMN a int",
        "ALTER TABLE message DETACH PARTITION message_0",
        "CREATE TABLE message_9 PARTITION OF message FOR VALUES FROM (90000000) TO (90000001)",
        "DELETE FROM message",
        "UPDATE message SET data = ''",
        "TRUNCATE message",
        "DELETE FROM message_0",
        "DELETE FROM unit",
        "DELETE FROM migration",
        "UPDATE unit_0_secret.digest_key SET key = ''",
        "CREATE TABLE unit_0_secret.mine (a int)",
        "CREATE OR REPLACE FUNCTION make_room(number bigint) RETURNS void LANGUAGE sql AS ''",
    ] {
        let refused = units.sql("clerk", &format!("SET search_path = unit_0; {act}")).unwrap_err();
        assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{act}: {refused}");
    }
    // Partitions are made for it, where they are needed and nowhere else.
    let far = units.sql("clerk", "SELECT unit_0.make_room(1000)").unwrap_err();
    assert!(far.contains("far from the last position"), "{far}");
    units.sql("boss", "UPDATE unit_0.unit SET position = 2 * 4194304 - 5").unwrap();
    let plans: Vec<Plan> = (2..=20).map(plan).collect();
    assert_eq!(write(&mut store, &plans).unwrap(), Some(Position(2 * 4_194_304 + 14)));
    // Nothing that a writer makes in the schema is taken for the database's own by who owns it.
    let trap = "CREATE FUNCTION unit_0.hashtextextended(text, int) RETURNS bigint LANGUAGE sql AS \
                'DELETE FROM unit_0.message RETURNING 1::bigint'";
    units.sql("clerk", trap).unwrap();
    drop(store);
    eventually(|| postgres::open(&units.url("boss"), Options::default()));
    assert_eq!(units.sql("boss", "SELECT count(*) FROM unit_0.message").unwrap(), "20");
}

#[test]
fn a_reader_looks_at_log_and_rows_and_at_nothing_else() {
    let Some(units) = Three::start() else { return };
    units.made();
    let mut store = units.open().unwrap();
    store.digest_key().unwrap();
    write(&mut store, &[plan(1), plan(2)]).unwrap();
    let mut tables = rows::open(&units.url("clerk"), Options::default()).unwrap();
    tables.open(&ORDERS).unwrap();
    tables.write(&batch(1, vec![order("1", "open", 5)])).unwrap();
    let url = units.url("guest");
    assert_eq!(upkeep::about(&url).unwrap().head, Position(2));
    assert!(upkeep::verify(&url, &mut |_, _| {}).unwrap().damage.is_empty());
    assert_eq!(upkeep::follow(&url).unwrap().look().unwrap(), Position(2));
    assert!(upkeep::is_open(&url).unwrap());
    assert_eq!(units.sql("guest", "SELECT key FROM unit_0.orders").unwrap(), "1");
    for act in [
        "SELECT * FROM unit_0_secret.digest_key",
        "SELECT * FROM snapshot",
        "SELECT * FROM note",
        "SELECT make_room(0)",
        "INSERT INTO type VALUES ('a')",
        "UPDATE unit SET term = 9",
        "DELETE FROM cell",
        "DELETE FROM orders",
        "DROP VIEW orders",
        "CREATE TABLE unit_0.mine (a int)",
    ] {
        let refused = units.sql("guest", &format!("SET search_path = unit_0; {act}")).unwrap_err();
        assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{act}: {refused}");
    }
    drop(store);
    let told = eventually(|| match postgres::open(&url, Options::default()) {
        Err(error @ StoreError::Permanent(_)) => Ok(error.to_string()),
        other => Err(format!("{other:?}")),
    });
    assert!(told.contains("GRANT UPDATE ON \"unit_0\".unit TO \"guest\""), "{told}");
    units.sql("boss", "REVOKE SELECT ON unit_0.message FROM guest").unwrap();
    let told = upkeep::about(&url).unwrap_err().to_string();
    assert!(told.contains("GRANT SELECT ON \"unit_0\".message TO \"guest\""), "{told}");
    units.sql("boss", "REVOKE USAGE ON SCHEMA unit_0 FROM guest").unwrap();
    let told = upkeep::about(&url).unwrap_err().to_string();
    assert!(told.contains("GRANT USAGE ON SCHEMA \"unit_0\" TO \"guest\""), "{told}");
}

#[test]
fn who_may_read_the_list_of_rows_reads_them_whenever_they_are_made() {
    let Some(units) = Three::start() else { return };
    units.made();
    let open = || rows::open(&units.url("clerk"), Options::default()).unwrap();
    let mut tables = open();
    tables.open(&ORDERS).unwrap();
    let second = TableSpec { version: 2, indexes: &["customer"], ..ORDERS };
    tables.open(&second).unwrap();
    // The view is made anew, and the first version goes.
    tables.activate(&second).unwrap();
    for relation in ["orders", "orders_v2"] {
        assert_eq!(units.sql("guest", &format!("SELECT count(*) FROM unit_0.{relation}")).unwrap(), "0");
    }
    // One that comes later.
    units.0.server.sql("CREATE ROLE late LOGIN").unwrap();
    units.sql("boss", &roles::statements(&units.url("boss"), None, Some("late")).unwrap()).unwrap();
    assert!(units.sql("late", "SELECT count(*) FROM unit_0.orders").is_err());
    open().open(&second).unwrap();
    assert_eq!(units.sql("late", "SELECT count(*) FROM unit_0.orders").unwrap(), "0");
}

#[test]
fn rows_that_the_owner_has_made_become_the_writers() {
    let Some(units) = Three::start() else { return };
    let mut of_boss = rows::open(&units.url("boss"), Options::default()).unwrap();
    of_boss.open(&ORDERS).unwrap();
    drop(of_boss);
    units.sql("boss", &units.statements()).unwrap_err();
    // Who carries it out must be a member of both, or a superuser.
    units.0.server.sql("GRANT clerk TO boss").unwrap();
    units.made();
    assert!(!units.statements().contains("OWNER"), "{}", units.statements());
    let mut tables = rows::open(&units.url("clerk"), Options::default()).unwrap();
    assert_eq!(tables.open(&ORDERS).unwrap(), None);
    tables.discard(&ORDERS).unwrap();
    assert_eq!(units.sql("guest", "SELECT to_regclass('unit_0.orders') IS NULL").unwrap(), "t");
}

#[test]
fn an_older_schema_is_its_owners_to_change() {
    let Some(units) = Three::start() else { return };
    units.made();
    units.sql("boss", "DELETE FROM unit_0.migration WHERE version = 6").unwrap();
    let told = units.open().unwrap_err().to_string();
    assert!(
        told.contains("is of version 5") && told.contains("bring it there as boss with `factum log migrate`"),
        "{told}"
    );
    let told = upkeep::about(&units.url("guest")).unwrap_err().to_string();
    assert!(told.contains("have its owner do it with `factum log migrate`"), "{told}");
}
