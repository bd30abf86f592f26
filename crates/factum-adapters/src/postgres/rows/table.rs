//! A table of rows in SQL: what it and its columns are called, how it is made, written and read.

use std::fmt::Write;

use factum_core::{
    ports::{Query, TableSpec},
    row::IndexValue,
    stream::{Cursor, Lineage, Position},
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::{driver::quoted, schema, text};

/// Where rows stand: three columns from this one on.
pub(super) fn cursor(row: &Row, at: usize) -> Option<Cursor> {
    let log_id = row.get::<_, Option<Uuid>>(at)?;
    let (epoch, position): (i64, i64) = (row.get(at + 1), row.get(at + 2));
    let lineage = Lineage { log_id: log_id.into_bytes(), epoch: epoch as u32 };
    Some(Cursor { lineage, position: Position(position as u64) })
}

/// Where the rows stand that queries of tables read. `$1` are their names.
pub(super) const STAND: &str = "SELECT DISTINCT ON (name) name, log_id, epoch, position FROM row_table \
     WHERE name = ANY($1) ORDER BY name, active DESC, version";

/// The version that queries of a table read: the active one, else the oldest. `$1` is its name.
pub(super) const QUERIED: &str =
    "SELECT version, indexes FROM row_table WHERE name = $1 ORDER BY active DESC, version LIMIT 1";

/// The same, as a value.
const QUERIED_VERSION: &str = "(SELECT version FROM row_table WHERE name = $1 ORDER BY active DESC, version LIMIT 1)";

/// The name of a table's version, quoted. No two of them are the same: what follows the last `_v` is all digits.
pub(super) fn relation(name: &str, version: i64) -> String {
    quoted(&text::name(name, &format!("_v{version}")))
}

/// The name of the view for people that shows the queried version: the table's own, unless something else of the schema could
/// be called so. Then it ends in `_rows`, as do those of tables whose own name ends so.
pub(super) fn shown(name: &str) -> String {
    let is_version = name.rsplit_once("_v").is_some_and(|(_, end)| end.bytes().all(|byte| byte.is_ascii_digit()));
    let is_ours = schema::TABLES.contains(&name) || ["message_", "row_table_"].iter().any(|it| name.starts_with(it));
    let is_index = ["_pkey", "_idx"].iter().any(|ending| name.ends_with(ending));
    let ending = if is_version || is_ours || is_index || name.ends_with("_rows") { "_rows" } else { "" };
    text::name(name, ending)
}

/// The two columns of an indexed field, quoted: one of them is null, and both are where the field is absent.
struct Columns {
    text: String,
    number: String,
}

impl Columns {
    fn of(field: &str) -> Self {
        Self { text: quoted(&text::name(field, "_text")), number: quoted(&text::name(field, "_number")) }
    }
}

/// The columns of the view for people, in order.
pub(super) fn columns(indexes: &[String]) -> Vec<String> {
    let fields = indexes.iter().flat_map(|field| ["_text", "_number"].map(|ending| text::name(field, ending)));
    ["key".to_owned(), "body".to_owned()].into_iter().chain(fields).collect()
}

/// Makes the view for people. JSONB cannot hold U+0000, and so shows U+FFFD instead.
pub(super) fn show(name: &str, version: i64, indexes: &[String]) -> String {
    let columns: Vec<String> = columns(indexes).iter().skip(2).map(|column| format!(", {}", quoted(column))).collect();
    format!(
        r"CREATE OR REPLACE VIEW {} AS SELECT key, replace(body::text, '\u0000', '\ufffd')::jsonb AS body{} FROM {}",
        quoted(&shown(name)),
        columns.concat(),
        relation(name, version)
    )
}

/// Makes a table with its indexes: absent before numbers before text, each by value and then by key.
pub(super) fn create(spec: &TableSpec) -> String {
    let relation = relation(spec.name, i64::from(spec.version));
    let mut sql = format!("CREATE TABLE {relation} (key text COLLATE \"C\" PRIMARY KEY, body json NOT NULL");
    let fields = || spec.indexes.iter().map(|field| Columns::of(field));
    for Columns { text, number } in fields() {
        _ = write!(sql, ", {text} text COLLATE \"C\", {number} bigint");
    }
    sql.push_str(") WITH (fillfactor = 80)");
    for Columns { text, number } in fields() {
        _ = write!(sql, "; CREATE INDEX ON {relation} ({text} NULLS FIRST, {number} NULLS FIRST, key)");
    }
    sql
}

/// Reads rows by their keys.
pub(super) fn get(spec: &TableSpec) -> String {
    format!("SELECT key, body::text FROM {} WHERE key = ANY($1)", relation(spec.name, i64::from(spec.version)))
}

/// Removes rows by their keys.
pub(super) fn remove(spec: &TableSpec) -> String {
    format!("DELETE FROM {} WHERE key = ANY($1)", relation(spec.name, i64::from(spec.version)))
}

/// Puts rows: arrays of keys, bodies, and for each field of texts and of numbers.
pub(super) fn put(spec: &TableSpec) -> String {
    let (mut columns, mut types, mut update) = (String::new(), String::new(), "body = excluded.body".to_owned());
    for (index, Columns { text, number }) in spec.indexes.iter().map(|field| Columns::of(field)).enumerate() {
        _ = write!(columns, ", {text}, {number}");
        _ = write!(types, ", ${}::text[], ${}::int8[]", 2 * index + 3, 2 * index + 4);
        _ = write!(update, ", {text} = excluded.{text}, {number} = excluded.{number}");
    }
    format!(
        "INSERT INTO {} (key, body{columns}) \
         SELECT key, body::json{columns} FROM unnest($1::text[], $2::text[]{types}) AS put(key, body{columns}) \
         ON CONFLICT (key) DO UPDATE SET {update}",
        relation(spec.name, i64::from(spec.version))
    )
}

/// Rows of the queried version, if that is this one, in the order of the keys `$2`.
pub(super) fn get_queried(name: &str, version: i64) -> String {
    format!(
        "SELECT {QUERIED_VERSION}, ARRAY(SELECT body::text FROM unnest($2::text[]) WITH ORDINALITY AS wanted(key, at) \
         LEFT JOIN {} USING (key) ORDER BY at)",
        relation(name, version)
    )
}

/// A value of a question.
#[derive(Clone)]
pub(super) enum Value {
    Texts(Vec<String>),
    Text(String),
    Number(i64),
}

/// A page as one statement, so that version, rows and total are of one moment, and its values behind `$1`, which is the name.
pub(super) fn page(name: &str, version: i64, query: &Query) -> (String, Vec<Value>) {
    let number = |number: u64| Value::Number(i64::try_from(number).unwrap_or(i64::MAX));
    let mut values = vec![number(query.limit), number(query.offset)];
    let relation = relation(name, version);
    let conditions = conditions(query, &mut values);
    let order = order(query);
    // A page that is not full and not beyond the end is the last one, which tells the total for nothing.
    let sql = format!(
        "WITH page AS MATERIALIZED (\
            SELECT body::text AS body FROM {relation}{conditions} ORDER BY {order} LIMIT $2 OFFSET $3), \
         found AS MATERIALIZED (SELECT count(*) AS rows FROM page) \
         SELECT {QUERIED_VERSION}, ARRAY(SELECT body FROM page), \
         CASE WHEN (SELECT rows < $2 AND (rows > 0 OR $3 = 0) FROM found) THEN (SELECT rows + $3 FROM found) \
         ELSE (SELECT count(*) FROM {relation}{conditions}) END"
    );
    (sql, values)
}

fn order(query: &Query) -> String {
    let (first, last) = if query.descending { ("DESC NULLS LAST", "DESC") } else { ("ASC NULLS FIRST", "ASC") };
    // Rows of one value stand in its index by their keys: sorting by what is the same for all lets the index be read in order.
    let field = query.order_by.as_ref().or(query.equal.first().map(|(field, _)| field));
    let columns = field.map(|field| Columns::of(field));
    let columns = columns.map(|Columns { text, number }| format!("{text} {first}, {number} {first}, "));
    format!("{}key {last}", columns.unwrap_or_default())
}

fn conditions(query: &Query, values: &mut Vec<Value>) -> String {
    let mut value = |value: Value| {
        values.push(value);
        format!("${}", values.len() + 1)
    };
    let mut all = Vec::new();
    if let Some(key) = &query.behind {
        all.push(format!("key > {}", value(Value::Text(text::fitted(key).into_owned()))));
    }
    for (field, wanted) in &query.equal {
        let Columns { text, number } = Columns::of(field);
        all.push(match wanted {
            IndexValue::Null => format!("{text} IS NULL AND {number} IS NULL"),
            IndexValue::Integer(wanted) => format!("{text} IS NULL AND {number} = {}", value(Value::Number(*wanted))),
            IndexValue::Text(wanted) => {
                format!("{text} = {} AND {number} IS NULL", value(Value::Text(text::fitted(wanted).into_owned())))
            }
        });
    }
    if let Some((field, from, to)) = &query.range {
        let Columns { text, number } = Columns::of(field);
        // What is absent lies in no range, and texts stand behind all numbers.
        match from {
            None => {}
            Some(IndexValue::Null) => all.push("false".to_owned()),
            Some(IndexValue::Integer(from)) => {
                let from = format!("{text} IS NULL AND {number} >= {}", value(Value::Number(*from)));
                // An index is read from there to the end of the numbers.
                let ends = matches!(to, Some(IndexValue::Integer(_)));
                all.push(if ends { from } else { format!("({from} OR {text} IS NOT NULL)") });
            }
            Some(IndexValue::Text(from)) => {
                all.push(format!("{text} >= {}", value(Value::Text(text::fitted(from).into_owned()))));
            }
        }
        match to {
            None => {}
            Some(IndexValue::Null) => all.push("false".to_owned()),
            Some(IndexValue::Integer(to)) => {
                all.push(format!("{text} IS NULL AND {number} < {}", value(Value::Number(*to))));
            }
            Some(IndexValue::Text(to)) => {
                let to = value(Value::Text(text::fitted(to).into_owned()));
                all.push(format!("({text} < {to} OR ({text} IS NULL AND {number} IS NOT NULL))"));
            }
        }
    }
    if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
}
