//! A unit that moves: what is noted of it in the row of the unit, and what a move does that nothing else may.

use factum_core::{
    digest_key::DigestKey,
    error::StoreError,
    moving::Marks,
    ports::Backend,
    stream::{Lineage, Position},
};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{
    Options, Postgres,
    address::shown,
    driver::{Driver, quoted},
    error::{at_open, nothing_written},
    schema, secret,
};

/// Who opens a store.
#[derive(Clone)]
pub(super) enum Opening {
    /// Whoever works on it: named as people see it. What is a part of a move is refused.
    Usual(String),
    /// A move, whatever is noted. An empty unit becomes one of this lineage, which takes in what stands in that place.
    Moving(Option<(Lineage, String)>),
}

/// Opens the store of a unit for a move, whatever marks it bears. With `new`, one is made if there is none, or an empty one
/// taken: of that lineage, and marked as arriving from there.
///
/// # Errors
/// As [`super::open`]; without `new`, [`StoreError::Permanent`] if there is none.
pub fn open(url: &str, options: Options, new: Option<(Lineage, &str)>) -> Result<Postgres, StoreError> {
    if new.is_none() {
        super::upkeep::open_read_only(url)?;
    }
    Postgres::open(url, options, &Opening::Moving(new.map(|(lineage, from)| (lineage, from.to_owned()))))
}

/// Behind the unit's lock, and before its term: what is noted, or a refusal.
pub(super) async fn begin(client: &Client, opening: &Opening) -> Result<Marks, StoreError> {
    if let Opening::Moving(Some((lineage, from))) = opening {
        // In one statement: an empty unit of another's lineage would be taken for a whole one.
        let take = "UPDATE unit SET log_id = $1, epoch = $2, arriving = $3 \
                    WHERE position = 0 AND arriving IS NULL AND moved IS NULL AND NOT EXISTS (SELECT FROM cell)";
        let (log_id, epoch) = (Uuid::from_bytes(lineage.log_id), lineage.epoch as i32);
        client.execute(take, &[&log_id, &epoch, from]).await.map_err(at_open)?;
    }
    let row = client.query_one("SELECT arriving, moved FROM unit", &[]).await.map_err(at_open)?;
    let marks = of(&row, 0);
    if let Opening::Usual(place) = opening {
        marks.check(place)?;
    }
    Ok(marks)
}

/// The marks in two columns of a row.
pub(super) fn of(row: &Row, at: usize) -> Marks {
    Marks { arriving: row.get(at), moved: row.get(at + 1) }
}

/// Notes it, as the process that leads in this term. Answers whose term it is, and where the log ends.
pub(super) async fn mark(
    client: &Client,
    term: i64,
    marks: &Marks,
    head: Position,
) -> Result<(i64, Position), StoreError> {
    client.batch_execute("BEGIN").await.map_err(at_open)?;
    let row = client.query_one("SELECT term, position FROM unit FOR UPDATE", &[]).await.map_err(nothing_written)?;
    let (now, last) = (row.get(0), Position(row.get::<_, i64>(1) as u64));
    if (now, last) == (term, head) {
        let note = "UPDATE unit SET arriving = $1, moved = $2";
        client.execute(note, &[&marks.arriving, &marks.moved]).await.map_err(nothing_written)?;
    }
    client.batch_execute("COMMIT").await.map_err(nothing_written)?;
    Ok((now, last))
}

/// The key of the digests of the unit at a URL; made if there is none.
///
/// # Errors
/// [`StoreError`] if it cannot be read or kept.
pub fn digest_key(url: &str) -> Result<DigestKey, StoreError> {
    secret::digest_key(&Driver::new(url, &Options::default())?)
}

/// Keeps a key of digests in the place of the one that is there.
///
/// # Errors
/// [`StoreError`] if it cannot be kept.
pub fn keep_digest_key(url: &str, key: &DigestKey) -> Result<(), StoreError> {
    let driver = Driver::new(url, &Options::default())?;
    secret::digest_key(&driver)?;
    let (client, table) = (driver.connect()?, format!("{}.digest_key", quoted(&format!("{}_secret", driver.schema))));
    let bytes = key.to_bytes().to_vec();
    driver.wait(async move {
        let keep = format!("UPDATE {table} SET key = $1");
        client.execute(&keep, &[&bytes]).await.map(|_| ()).map_err(nothing_written)
    })?
}

/// Empties a unit that takes in what stands elsewhere, and was never whole: its tables stay, with the rights on them.
///
/// # Errors
/// [`StoreError::Permanent`] if it does not take in; else as [`super::open`].
pub fn empty(url: &str) -> Result<(), StoreError> {
    // Whoever leads it is alone with it.
    let store = open(url, Options::default(), None)?;
    let marks = store.marks();
    if !marks.takes_in() || marks.moved.is_some() {
        return Err(StoreError::Permanent(format!("{} is a whole store: it is not emptied", shown(url))));
    }
    let driver = Driver::new(url, &Options::default())?;
    let (client, schema) = (driver.connect()?, driver.schema.clone());
    driver.wait(async move {
        let read = "SELECT name, version FROM row_table";
        let tables = client.query(read, &[]).await.map_err(at_open)?;
        let mut sql = "BEGIN; ".to_owned();
        for row in &tables {
            sql += &super::rows::dropped(row.get(0), row.get(1));
        }
        sql += "TRUNCATE message, stream, type, cell, note, owner, snapshot, row_table; ";
        let id = Uuid::new_v4();
        sql += &format!("UPDATE unit SET log_id = '{id}', epoch = 0, position = 0, commits = 0, arriving = NULL; ");
        let key = format!("{}.digest_key", quoted(&format!("{schema}_secret")));
        let there = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&key]).await.map_err(at_open)?;
        if there.get::<_, bool>(0) {
            sql += &format!("DELETE FROM {key}; ");
        }
        client.batch_execute(&(sql + "COMMIT")).await.map_err(nothing_written)
    })??;
    drop(store);
    Ok(())
}

/// What is noted of the unit at a URL; nothing if there is none.
///
/// # Errors
/// As [`super::upkeep::open_read_only`].
pub fn marks(url: &str) -> Result<Marks, StoreError> {
    let driver = Driver::new(url, &Options::default())?;
    let (client, schema) = (driver.connect()?, driver.schema.clone());
    driver.wait(async move {
        schema::check_server(&client).await?;
        if !schema::is_there(&client, &schema).await? {
            return Ok(Marks::default());
        }
        let row = client.query_one("SELECT arriving, moved FROM unit", &[]).await.map_err(at_open)?;
        Ok(of(&row, 0))
    })?
}
