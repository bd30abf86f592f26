//! Who may do what in a unit's schema: its owner makes the tables, one role writes, others read.
//!
//! | role | may | and never |
//! |---|---|---|
//! | owner | make and change the tables ([`migrate`]) | |
//! | writer | append to the log, change what is live, make tables of rows, which are its own | change or remove a message, drop or alter what is the owner's |
//! | reader | look at the log, live work and rows | write, see the key of digests, see snapshots |
//!
//! Partitions of the log are made for the writer by a function that runs with its owner's rights and makes nothing else. Who may
//! read `row_table` may read the rows, also those that the writer makes later.

use std::fmt::Write;

use factum_core::error::StoreError;
use tokio_postgres::Client;

use super::{
    Options,
    driver::{Driver, quoted},
    error::at_open,
    rows, schema, secret,
};

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Write the log.
    Log,
    /// Make and write rows.
    Rows,
    /// Keep snapshots.
    Snapshots,
    /// Look at the log.
    Look,
}

/// What is needed of each table: by whom writes, and for which use; by whom reads.
const RIGHTS: [(&str, Use, &[&str], &[&str]); 10] = [
    ("unit", Use::Log, &["SELECT", "UPDATE"], &["SELECT"]),
    ("message", Use::Log, &["SELECT", "INSERT"], &["SELECT"]),
    ("stream", Use::Log, &["SELECT", "INSERT", "UPDATE"], &["SELECT"]),
    ("type", Use::Log, &["SELECT", "INSERT"], &["SELECT"]),
    ("cell", Use::Log, &["SELECT", "INSERT", "UPDATE", "DELETE"], &["SELECT"]),
    ("note", Use::Log, &["SELECT", "INSERT", "UPDATE"], &[]),
    ("owner", Use::Log, &["SELECT", "INSERT", "DELETE"], &["SELECT"]),
    ("migration", Use::Log, &["SELECT"], &["SELECT"]),
    ("row_table", Use::Rows, &["SELECT", "INSERT", "UPDATE", "DELETE"], &["SELECT"]),
    ("snapshot", Use::Snapshots, &["SELECT", "INSERT", "UPDATE", "DELETE"], &[]),
];

impl Use {
    /// Tables with the rights that it needs, in order.
    fn needs(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        RIGHTS.into_iter().flat_map(move |(table, of, writer, reader)| {
            let needed: &[&str] = match self {
                Self::Look => reader,
                _ if self == of => writer,
                _ => &[],
            };
            needed.iter().map(move |right| (table, *right))
        })
    }
}

/// The version of the schema for who may use it; `None` if there is no unit in it.
///
/// # Errors
/// [`StoreError::Permanent`] if the role may not look into it.
pub(super) async fn may_use(client: &Client, schema: &str) -> Result<Option<i32>, StoreError> {
    let asked = "SELECT has_schema_privilege(oid, 'USAGE'), current_user::text FROM pg_namespace WHERE nspname = $1";
    let Some(row) = client.query_opt(asked, &[&schema]).await.map_err(at_open)? else { return Ok(None) };
    if !row.get::<_, bool>(0) {
        return Err(lacks(row.get(1), "USAGE", "SCHEMA", &quoted(schema)));
    }
    let table = format!("{}.migration", quoted(schema));
    let asked = "SELECT to_regclass($1) IS NOT NULL, has_table_privilege(to_regclass($1), 'SELECT')";
    let there = client.query_one(asked, &[&table]).await.map_err(at_open)?;
    match (there.get::<_, bool>(0), there.get::<_, Option<bool>>(1)) {
        (false, _) => Ok(None),
        (true, Some(false)) => Err(lacks(row.get(1), "SELECT", "TABLE", &table)),
        _ => {
            let version = client.query_one("SELECT coalesce(max(version), 0) FROM migration", &[]).await;
            Ok(Some(version.map_err(at_open)?.get(0)))
        }
    }
}

/// The same, where a schema that is missing, or of an older version, is to be made or changed.
///
/// # Errors
/// [`StoreError::Permanent`] if the role may not, or if the schema is of a newer version.
pub(super) async fn may_make(client: &Client, schema: &str) -> Result<Option<i32>, StoreError> {
    let known = may_use(client, schema).await?;
    match known {
        Some(version) if version == schema::newest() => return Ok(known),
        Some(version) if version > schema::newest() => return Err(schema::newer(schema, version)),
        _ => {}
    }
    let asked = "SELECT current_user::text, current_database()::text, has_database_privilege(current_database(), 'CREATE'), \
                 nspname IS NOT NULL, coalesce(has_schema_privilege(pg_namespace.oid, 'CREATE'), true), \
                 coalesce(pg_get_userbyid(relowner), ''), coalesce(pg_has_role(relowner, 'USAGE'), true) \
                 FROM (SELECT) AS one LEFT JOIN pg_namespace ON nspname = $1 \
                 LEFT JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = 'migration'";
    let row = client.query_one(asked, &[&schema]).await.map_err(at_open)?;
    let (role, database): (&str, &str) = (row.get(0), row.get(1));
    if !row.get::<_, bool>(3) && !row.get::<_, bool>(2) {
        return Err(StoreError::Permanent(format!(
            "there is no schema {schema} yet, and the role {role} may not make one: grant the role CREATE on the database \
             {database}, or let another make it with `factum log migrate`"
        )));
    }
    if !row.get::<_, bool>(4) {
        return Err(lacks(role, "CREATE", "SCHEMA", &quoted(schema)));
    }
    if !row.get::<_, bool>(6) {
        let (version, newest, owner) = (known.unwrap_or_default(), schema::newest(), row.get::<_, &str>(5));
        return Err(StoreError::Permanent(format!(
            "the schema {schema} is of version {version}, this program writes {newest}, and {owner} owns it: bring it there as \
             {owner} with `factum log migrate`, and then give {role} its rights with `factum log roles`"
        )));
    }
    Ok(known)
}

/// Looks whether the role of this session has the rights that a use needs.
///
/// # Errors
/// [`StoreError::Permanent`], which names the first that is missing.
pub(super) async fn check(client: &Client, schema: &str, wanted: Use) -> Result<(), StoreError> {
    let (tables, rights): (Vec<&str>, Vec<&str>) = wanted.needs().unzip();
    let tables: Vec<String> = tables.iter().map(|table| format!("{}.{table}", quoted(schema))).collect();
    let asked = "SELECT \"right\", name, current_user::text \
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS needed(name, \"right\", n) \
                 WHERE NOT has_table_privilege(name, \"right\") ORDER BY n LIMIT 1";
    if let Some(row) = client.query_opt(asked, &[&tables, &rights]).await.map_err(at_open)? {
        return Err(lacks(row.get(2), row.get(0), "TABLE", row.get(1)));
    }
    let (sql, right, kind, name) = match wanted {
        Use::Log => {
            let name = format!("{}.make_room(bigint)", quoted(schema));
            ("SELECT has_function_privilege($1::text, 'EXECUTE'), current_user::text", "EXECUTE", "FUNCTION", name)
        }
        // Tables of rows are made by who writes them.
        Use::Rows => {
            let sql = "SELECT has_schema_privilege($1::text, 'CREATE'), current_user::text";
            (sql, "CREATE", "SCHEMA", schema.to_owned())
        }
        Use::Snapshots | Use::Look => return Ok(()),
    };
    let row = client.query_one(sql, &[&name]).await.map_err(at_open)?;
    if row.get(0) { Ok(()) } else { Err(lacks(row.get(1), right, kind, &name)) }
}

fn lacks(role: &str, right: &str, kind: &str, name: &str) -> StoreError {
    let on = if kind == "TABLE" { name.to_owned() } else { format!("{kind} {name}") };
    StoreError::Permanent(format!(
        "the role {role} lacks a right: GRANT {right} ON {on} TO {}; what each role needs `factum log roles` prints",
        quoted(role)
    ))
}

/// Makes the unit at this URL if it is missing, and brings its tables to the version that this program writes: all that only
/// their owner can do. Answers that version.
///
/// # Errors
/// [`StoreError::Permanent`] for what a person must mend, [`StoreError::Transient`] if the server is away.
pub fn migrate(url: &str) -> Result<i32, StoreError> {
    let driver = Driver::new(url, &Options::default())?;
    let (client, name) = (driver.connect()?, driver.schema.clone());
    driver.wait(async move {
        schema::check_server(&client).await?;
        schema::migrate(&client, &name).await?;
        let (_, head) = schema::lineage(&client).await?;
        schema::make_room(&*client, head + 1).await
    })??;
    secret::digest_key(&driver)?;
    Ok(schema::newest())
}

/// The statements that give a writer and a reader of the unit at this URL their rights, for its owner to carry out. Those of rows
/// that are there already and not the writer's need a role that is a member of both, or a superuser.
///
/// # Errors
/// As [`migrate`]; [`StoreError::Permanent`] if there is no unit.
pub fn statements(url: &str, writer: Option<&str>, reader: Option<&str>) -> Result<String, StoreError> {
    let driver = Driver::new(url, &Options::default())?;
    let (client, schema) = (driver.connect()?, driver.schema.clone());
    let of_rows = driver.wait({
        let (schema, writer) = (schema.clone(), writer.map(str::to_owned));
        async move {
            schema::check_server(&client).await?;
            if !schema::is_there(&client, &schema).await? {
                let problem = format!("there is no unit in the schema {schema}: make it with `factum log migrate`");
                return Err(StoreError::Permanent(problem));
            }
            match writer {
                Some(writer) => rows::of_others(&client, &writer).await.map_err(at_open),
                None => Ok(Vec::new()),
            }
        }
    })??;
    let (own, secret) = (quoted(&schema), quoted(&secret::schema(&schema)));
    let mut sql = format!("BEGIN;\nSET LOCAL search_path = {own};\n");
    for (role, is_writer) in writer.map(|role| (role, true)).into_iter().chain(reader.map(|role| (role, false))) {
        let role = quoted(role);
        let also = if is_writer { ", CREATE" } else { "" };
        _ = writeln!(sql, "GRANT USAGE{also} ON SCHEMA {own} TO {role};");
        for (table, _, writer, reader) in RIGHTS {
            let rights = if is_writer { writer } else { reader };
            if !rights.is_empty() {
                _ = writeln!(sql, "GRANT {} ON {table} TO {role};", rights.join(", "));
            }
        }
        if is_writer {
            _ = writeln!(sql, "GRANT EXECUTE ON FUNCTION make_room(bigint) TO {role};");
            _ = writeln!(sql, "GRANT USAGE ON SCHEMA {secret} TO {role};");
            _ = writeln!(sql, "GRANT SELECT ON {secret}.digest_key TO {role};");
            for relation in &of_rows {
                _ = writeln!(sql, "ALTER TABLE {relation} OWNER TO {role};");
            }
        }
    }
    sql.push_str("COMMIT;\n");
    Ok(sql)
}
