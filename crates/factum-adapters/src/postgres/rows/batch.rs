//! What a batch writes: for each table its rows as arrays, in statements of a bounded size, behind the check of where it stands.

use std::{collections::BTreeMap, pin::Pin};

use factum_core::{
    error::RowError,
    ports::{RowChange, TableBatch, TableSpec},
    row::IndexValue,
};
use tokio_postgres::{Error, types::ToSql};
use uuid::Uuid;

use super::{
    super::{
        pool::{Derived, in_order},
        text,
    },
    store::Tables,
    table,
};

/// Rows that one statement writes at most.
const ROWS: usize = 4_096;
/// Bytes of their bodies, behind which another statement begins.
const BYTES: usize = 8 << 20;

/// Moves the cursors of tables that nobody else has taken or written; of others it divides by zero, which ends the transaction.
const MOVE: &str = "WITH moved AS (\
        UPDATE row_table SET revision = $4, log_id = next.log_id, epoch = next.epoch, position = next.position \
        FROM unnest($1::text[], $2::int8[], $3::uuid[], $5::uuid[], $6::int8[], $7::int8[]) \
            AS next(name, version, revision, log_id, epoch, position) \
        WHERE row_table.name = next.name AND row_table.version = next.version AND row_table.revision = next.revision \
        RETURNING 1) \
     SELECT 1 / (count(*) = cardinality($1))::int FROM moved";

type Parameter = Box<dyn ToSql + Sync + Send>;

/// Statements with their parameters, in order.
pub(super) struct Writing(Vec<(String, Vec<Parameter>)>);

impl Writing {
    pub(super) fn of(batches: &[TableBatch], tables: &Tables, revision: Uuid) -> Result<Self, RowError> {
        let (mut names, mut versions, mut revisions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut logs, mut epochs, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let mut statements = Vec::new();
        for TableBatch { table, changes, cursor } in batches {
            let known = tables.get(&(table.name, table.version)).ok_or_else(|| table.not_open())?;
            names.push(table.name);
            versions.push(i64::from(table.version));
            revisions.push(*known);
            logs.push(Uuid::from_bytes(cursor.lineage.log_id));
            epochs.push(i64::from(cursor.lineage.epoch));
            // A log would have to take a million messages a second for 292,000 years to reach the sign bit.
            positions.push(cursor.position.0 as i64);
            rows(table, changes, &mut statements)?;
        }
        let mut moved: Vec<Parameter> = vec![Box::new(names), Box::new(versions), Box::new(revisions)];
        moved.extend([Box::new(revision) as Parameter, Box::new(logs), Box::new(epochs), Box::new(positions)]);
        // First, so that whoever comes second waits before it has written anything.
        statements.insert(0, (MOVE.to_owned(), moved));
        Ok(Self(statements))
    }

    /// Sends all in one transaction, behind each other.
    pub(super) async fn write(self, session: Derived) -> Result<(), Error> {
        let mut statements = Vec::new();
        for (sql, parameters) in &self.0 {
            statements.push((session.statement(sql).await?, parameters));
        }
        let client = &session.client;
        type Sent<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;
        let mut sent: Vec<Sent<'_>> = vec![Box::pin(client.batch_execute("BEGIN"))];
        for (statement, parameters) in &statements {
            let parameters = parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync));
            let parameters: Vec<_> = parameters.collect();
            sent.push(Box::pin(async move { client.execute(statement, &parameters).await.map(|_| ()) }));
        }
        // Behind a statement that failed it takes everything back.
        sent.push(Box::pin(client.batch_execute("COMMIT")));
        in_order(sent).await.into_iter().collect()
    }
}

/// The statements of one table.
fn rows(
    spec: &TableSpec,
    changes: &[RowChange],
    statements: &mut Vec<(String, Vec<Parameter>)>,
) -> Result<(), RowError> {
    changes.iter().try_for_each(|change| spec.check_change(change))?;
    // In the order of the keys, so that pages of the index are met once.
    let changes: BTreeMap<&str, _> = changes.iter().map(|change| (change.key.as_str(), &change.row)).collect();
    let key = |key: &str| text::fitted(key).into_owned();
    let gone: Vec<String> = changes.iter().filter(|(_, row)| row.is_none()).map(|(gone, _)| key(gone)).collect();
    if !gone.is_empty() {
        statements.push((table::remove(spec), vec![Box::new(gone)]));
    }
    let mut put = Arrays::of(spec);
    for (name, row) in changes {
        let Some((body, values)) = row else { continue };
        let body = std::str::from_utf8(body)
            .map_err(|error| RowError::Store(format!("the body of row {name} of {} is no text: {error}", spec.name)))?;
        put.push(key(name), body, values);
        if put.keys.len() >= ROWS || put.bytes >= BYTES {
            statements.push((table::put(spec), std::mem::replace(&mut put, Arrays::of(spec)).parameters()));
        }
    }
    if !put.keys.is_empty() {
        statements.push((table::put(spec), put.parameters()));
    }
    Ok(())
}

/// Texts and numbers of an indexed field.
type Field = (Vec<Option<String>>, Vec<Option<i64>>);

/// Rows by columns.
struct Arrays {
    keys: Vec<String>,
    bodies: Vec<String>,
    fields: Vec<Field>,
    bytes: usize,
}

impl Arrays {
    fn of(spec: &TableSpec) -> Self {
        let fields = spec.indexes.iter().map(|_| Field::default()).collect();
        Self { keys: Vec::new(), bodies: Vec::new(), fields, bytes: 0 }
    }

    fn push(&mut self, key: String, body: &str, values: &[IndexValue]) {
        self.bytes += body.len();
        self.keys.push(key);
        self.bodies.push(body.to_owned());
        for ((texts, numbers), value) in self.fields.iter_mut().zip(values) {
            let (text, number) = match value {
                IndexValue::Null => (None, None),
                IndexValue::Integer(number) => (None, Some(*number)),
                IndexValue::Text(text) => (Some(text::fitted(text).into_owned()), None),
            };
            texts.push(text);
            numbers.push(number);
        }
    }

    fn parameters(self) -> Vec<Parameter> {
        let mut parameters: Vec<Parameter> = vec![Box::new(self.keys), Box::new(self.bodies)];
        for (texts, numbers) in self.fields {
            parameters.extend([Box::new(texts) as Parameter, Box::new(numbers)]);
        }
        parameters
    }
}
