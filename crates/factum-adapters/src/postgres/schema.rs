//! The tables: made once, changed by numbered migrations, never by hand.

use factum_core::{error::StoreError, stream::Lineage};
use tokio_postgres::{Client, Error, GenericClient, SimpleQueryMessage, error::SqlState, types::Type};
use uuid::Uuid;

use super::{
    driver::quoted,
    error::{at_open, nothing_written},
    roles,
};

/// The oldest server that is supported.
const OLDEST: i32 = 140_000;

/// Positions in one partition of the log.
pub(super) const PARTITION: u64 = 1 << 22;

/// Each brings the schema from the version before to its own, counted from 1. `{schema}` is its name.
const MIGRATIONS: [&str; 6] = [
    "
CREATE TABLE unit (
    alone boolean PRIMARY KEY DEFAULT true CHECK (alone),
    log_id uuid NOT NULL,
    epoch int NOT NULL,
    term bigint NOT NULL,
    leader text NOT NULL DEFAULT '',
    renewed timestamptz NOT NULL DEFAULT '-infinity',
    position bigint NOT NULL,
    commits bigint NOT NULL
);
CREATE TABLE message (
    position bigint NOT NULL,
    stream text COLLATE \"C\" NOT NULL,
    version bigint NOT NULL,
    type text COLLATE \"C\" NOT NULL,
    source text COLLATE \"C\" NOT NULL,
    size int NOT NULL,
    head bytea NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (position)
) PARTITION BY RANGE (position);
CREATE INDEX message_stream ON message (stream, version);
CREATE TABLE stream (stream text COLLATE \"C\" PRIMARY KEY, version bigint NOT NULL) WITH (fillfactor = 80);
CREATE TABLE type (name text COLLATE \"C\" PRIMARY KEY);
CREATE TABLE cell (
    kind text COLLATE \"C\" NOT NULL,
    name text COLLATE \"C\" NOT NULL,
    revision bigint NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (kind, name)
) WITH (fillfactor = 70);
CREATE UNLOGGED TABLE note (name text COLLATE \"C\" PRIMARY KEY, value bytea NOT NULL) WITH (fillfactor = 50);
",
    "
CREATE TABLE row_table (
    name text COLLATE \"C\" NOT NULL,
    version bigint NOT NULL,
    indexes text[] NOT NULL,
    active boolean NOT NULL DEFAULT false,
    revision uuid NOT NULL,
    log_id uuid,
    epoch bigint,
    position bigint,
    PRIMARY KEY (name, version)
) WITH (fillfactor = 50);
CREATE TABLE snapshot (
    name text COLLATE \"C\" PRIMARY KEY,
    log_id uuid NOT NULL,
    epoch bigint NOT NULL,
    position numeric(20) NOT NULL,
    sealed bytea NOT NULL
);
",
    "CREATE TABLE owner (category text COLLATE \"C\" PRIMARY KEY, service text COLLATE \"C\" NOT NULL)",
    // Whoever writes needs partitions, and must not own the log for that. Names are looked for where no writer can make any.
    "
ALTER TABLE unit ADD COLUMN place text;
CREATE FUNCTION make_room(number bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF number < 0 OR number > (SELECT position / 4194304 + 2 FROM {schema}.unit) THEN
        RAISE 'a partition far from the last position is not made';
    END IF;
    EXECUTE 'CREATE TABLE IF NOT EXISTS {schema}.message_' || number || ' PARTITION OF {schema}.message FOR VALUES FROM ('
        || number * 4194304 || ') TO (' || (number + 1) * 4194304 || ')';
END $$;
REVOKE ALL ON FUNCTION make_room(bigint) FROM PUBLIC;
",
    "ALTER TABLE unit ADD COLUMN arriving text, ADD COLUMN moved text",
    include_str!("at_once.sql"),
];

/// What the migrations make: no view of rows is called so.
pub(super) const TABLES: [&str; 10] =
    ["unit", "message", "stream", "type", "cell", "note", "migration", "row_table", "snapshot", "owner"];

/// Looks at the server: a sentence for each that cannot be used.
pub(super) async fn check_server(client: &Client) -> Result<(), StoreError> {
    let permanent = |problem: String| Err(StoreError::Permanent(problem));
    let seen = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
                pg_is_in_recovery(), current_setting('server_encoding')";
    let row = client.query_one(seen, &[]).await.map_err(at_open)?;
    let (number, version, recovers, encoding): (i32, String, bool, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    if number < OLDEST {
        return permanent(format!("the database is PostgreSQL {version}: 14 is the oldest that is supported"));
    }
    if recovers {
        let problem = "the database is a replica that only reads: name the primary in the URL";
        return permanent(problem.to_owned());
    }
    if encoding != "UTF8" {
        return permanent(format!(
            "the database's encoding is {encoding}: make one with `createdb -E UTF8 -T template0`"
        ));
    }
    Ok(())
}

/// The server's process behind a session; asked in one message, which such a pooler lets through.
async fn process(client: &Client) -> Result<Option<String>, StoreError> {
    let told = client.simple_query("SELECT pg_backend_pid()").await.map_err(at_open)?;
    Ok(told.iter().find_map(|told| match told {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

/// Refuses a line on which two sessions are one: neither locks nor settings of a session hold there.
pub(super) async fn check_line(client: &Client, other: &Client) -> Result<(), StoreError> {
    let (one, other) = (process(client).await?, process(other).await?);
    if one != other {
        return Ok(());
    }
    let problem = "a pooler that shares sessions between transactions stands in front of the database: name the server itself in \
                   the URL, or a pooler in session mode";
    Err(StoreError::Permanent(problem.to_owned()))
}

/// Brings the schema to today's version, in one transaction; one opener at a time. Who owns nothing finds it there.
pub(super) async fn migrate(client: &Client, schema: &str) -> Result<(), StoreError> {
    let name = quoted(schema);
    let known = roles::may_make(client, schema).await?;
    if known.is_some_and(|version| version == newest()) {
        return Ok(());
    }
    client.batch_execute("BEGIN").await.map_err(at_open)?;
    let alone = "SELECT pg_advisory_xact_lock(hashtextextended('factum schema ' || $1, 0::int8))";
    client.execute(alone, &[&schema]).await.map_err(at_open)?;
    let there = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    if !client.query_one(there, &[&schema]).await.map_err(at_open)?.get::<_, bool>(0) {
        client.batch_execute(&format!("CREATE SCHEMA {name}")).await.map_err(at_open)?;
    }
    let known = client
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE relname = 'migration') FROM pg_class \
             WHERE relnamespace = $1::text::regnamespace AND relkind IN ('r', 'p', 'v', 'm')",
            &[&name],
        )
        .await
        .map_err(at_open)?;
    let (tables, own): (i64, i64) = (known.get(0), known.get(1));
    if own == 0 {
        if tables > 0 {
            let problem = format!("the schema {schema} holds something else: name an empty one, or none that is there");
            return Err(StoreError::Permanent(problem));
        }
        let first = "CREATE TABLE migration (version int PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())";
        client.batch_execute(first).await.map_err(at_open)?;
    }
    let version = client.query_one("SELECT coalesce(max(version), 0) FROM migration", &[]).await;
    let version: i32 = version.map_err(at_open)?.get(0);
    if version > newest() {
        return Err(newer(schema, version));
    }
    for (number, change) in (1..).zip(MIGRATIONS) {
        if number > version {
            client.batch_execute(&change.replace("{schema}", &name)).await.map_err(at_open)?;
            client.execute("INSERT INTO migration (version) VALUES ($1)", &[&number]).await.map_err(at_open)?;
            tracing::info!(schema, version = number, "the schema was brought to a new version");
        }
    }
    let id = Uuid::new_v4();
    let unit = "INSERT INTO unit (log_id, epoch, term, position, commits) SELECT $1, 0, 0, 0, 0 \
                WHERE NOT EXISTS (SELECT FROM unit)";
    client.execute(unit, &[&id]).await.map_err(at_open)?;
    client.batch_execute("COMMIT").await.map_err(at_open)
}

/// The version that this program writes.
pub(super) fn newest() -> i32 {
    MIGRATIONS.len() as i32
}

/// The version that the schema is of.
pub(super) async fn written_by(client: &(impl GenericClient + Sync)) -> Result<i32, Error> {
    Ok(client.query_typed_one("SELECT coalesce(max(version), 0) FROM migration", &[]).await?.get(0))
}

/// Whether the schema holds a unit that this program can read; `false` if it is missing or empty.
pub(super) async fn is_there(client: &Client, schema: &str) -> Result<bool, StoreError> {
    match (roles::may_use(client, schema).await?, newest()) {
        (None | Some(0), _) => Ok(false),
        (Some(version), newest) if version > newest => Err(newer(schema, version)),
        (Some(version), newest) if version < newest => Err(StoreError::Permanent(format!(
            "the schema {schema} is of version {version}, this program reads {newest}: start the app on it once with this \
             program, which brings it there, or have its owner do it with `factum log migrate`"
        ))),
        _ => Ok(true),
    }
}

pub(super) fn newer(schema: &str, version: i32) -> StoreError {
    let newest = newest();
    StoreError::Permanent(format!(
        "the schema {schema} is of version {version}, this program knows {newest}: use the newer program"
    ))
}

/// The rest of a query for the session that holds the unit's lock. The types are exact, so that no function that a writer has made
/// in the schema fits better.
pub(super) const HOLDER: &str = "FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('factum ' || $1, 0::int8)";

/// Whether a session holds the unit's lock.
pub(super) async fn is_held(client: &Client, schema: &str) -> Result<bool, StoreError> {
    let held = format!("SELECT EXISTS (SELECT {HOLDER})");
    Ok(client.query_one(&held, &[&schema]).await.map_err(at_open)?.get(0))
}

/// Holds the unit's lock in this session, if nobody else does.
pub(super) async fn hold(client: &Client, schema: &str) -> Result<bool, StoreError> {
    let lock = "SELECT pg_try_advisory_lock(hashtextextended('factum ' || $1, 0::int8))";
    Ok(client.query_one(lock, &[&schema]).await.map_err(at_open)?.get(0))
}

/// Which log it is, and how far it goes.
pub(super) async fn lineage(client: &Client) -> Result<(Lineage, u64), StoreError> {
    let row = client.query_one("SELECT log_id, epoch, position FROM unit", &[]).await.map_err(at_open)?;
    let (id, epoch, position): (Uuid, i32, i64) = (row.get(0), row.get(1), row.get(2));
    Ok((Lineage { log_id: id.into_bytes(), epoch: epoch as u32 }, position as u64))
}

/// Up to where, exclusive, there is room, if there is any for this position.
pub(super) async fn room(client: &(impl GenericClient + Sync), last: u64) -> Result<Option<u64>, Error> {
    let number = last / PARTITION;
    let (there, table) = ("SELECT to_regclass($1) IS NOT NULL", format!("message_{number}"));
    // No statement is prepared: its end would be sent with the commit, and would hear what the commit is told.
    let there = client.query_typed_one(there, &[(&table, Type::TEXT)]).await?;
    Ok(there.get::<_, bool>(0).then_some((number + 1) * PARTITION))
}

/// Makes the partitions for these positions, and one ahead.
pub(super) async fn make_room(client: &(impl GenericClient + Sync), last: u64) -> Result<u64, StoreError> {
    let number = last / PARTITION;
    for number in [number, number + 1] {
        match client.query_typed("SELECT make_room($1)", &[(&(number as i64), Type::INT8)]).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_TABLE) => {}
            Err(error) => return Err(nothing_written(error)),
        }
    }
    Ok((number + 2) * PARTITION)
}

/// Where the log is: the cluster, the timeline of its history, the table. A recovery to an earlier point, a failover, and a dump
/// that was restored are other places.
pub(super) async fn place(client: &Client) -> Result<String, StoreError> {
    let place = "SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), \
                 left(pg_walfile_name(pg_current_wal_lsn()), 8), to_regclass('unit')::oid)";
    Ok(client.query_one(place, &[]).await.map_err(at_open)?.get(0))
}
