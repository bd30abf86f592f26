//! The one way to write, for the unit and for others: what is looked up behind the lock of the counter's row, and what is
//! written by it. Who calls it begins the transaction and ends it.

use std::collections::{BTreeMap, HashMap, HashSet};

use factum_core::{
    cell::{CellKey, Revision},
    commit::{Found, Plan, Wanted},
    envelope::binary,
    error::StoreError,
    moving::Marks,
    stream::{StreamId, StreamVersion},
};
use tokio_postgres::{Error, GenericClient, Statement, types::ToSql};

use super::{moving, sabotage};

/// What is asked again and again.
pub(super) struct Asked {
    lock: Statement,
    heads: Statement,
    revisions: Statement,
    messages: Statement,
    streams: Statement,
    types: Statement,
    put: Statement,
    delete: Statement,
    count: Statement,
}

impl Asked {
    /// One round trip.
    pub(super) async fn over(client: &(impl GenericClient + Sync)) -> Result<Self, Error> {
        let (lock, heads, revisions, messages, streams, types, put, delete, count) = tokio::try_join!(
            client.prepare("SELECT term, position, commits, arriving, moved FROM unit FOR UPDATE"),
            client.prepare("SELECT stream, version FROM stream WHERE stream = ANY($1)"),
            client.prepare(
                "SELECT kind, name, revision FROM unnest($1::text[], $2::text[]) AS wanted(kind, name) \
                 JOIN cell USING (kind, name)",
            ),
            client.prepare(
                "INSERT INTO message (position, stream, version, type, source, size, head, data) \
                 SELECT * FROM unnest($1::int8[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::int4[], \
                 $7::bytea[], $8::bytea[])",
            ),
            client.prepare(
                "INSERT INTO stream (stream, version) SELECT * FROM unnest($1::text[], $2::int8[]) \
                 ON CONFLICT (stream) DO UPDATE SET version = excluded.version",
            ),
            client.prepare("INSERT INTO type (name) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING"),
            client.prepare(
                "INSERT INTO cell (kind, name, revision, value) \
                 SELECT kind, name, $3, value FROM unnest($1::text[], $2::text[], $4::bytea[]) AS put(kind, name, value) \
                 ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, value = excluded.value",
            ),
            client.prepare(
                "DELETE FROM cell USING unnest($1::text[], $2::text[]) AS gone(kind, name) \
                 WHERE cell.kind = gone.kind AND cell.name = gone.name",
            ),
            client.prepare("UPDATE unit SET position = $1, commits = $2"),
        )?;
        Ok(Self { lock, heads, revisions, messages, streams, types, put, delete, count })
    }

    /// Locks the counter's row, and looks up what is wanted: one round trip.
    pub(super) async fn look(&self, client: &(impl GenericClient + Sync), wanted: &Wanted) -> Result<Looked, Error> {
        let streams: Vec<&str> = wanted.streams.iter().map(StreamId::as_str).collect();
        let kinds: Vec<&str> = wanted.cells.iter().map(|key| key.kind.as_str()).collect();
        let names: Vec<&str> = wanted.cells.iter().map(|key| key.name.as_str()).collect();
        let lock = client.query_one(&self.lock, &[]);
        let heads =
            async { if streams.is_empty() { Ok(Vec::new()) } else { client.query(&self.heads, &[&streams]).await } };
        let revisions = async {
            if names.is_empty() { Ok(Vec::new()) } else { client.query(&self.revisions, &[&kinds, &names]).await }
        };
        // Each statement sees what was committed before it began, and so before the lock was got.
        let (locked, heads, revisions) = if sabotage::is("counter-locked-last") {
            let (heads, revisions) = tokio::join!(biased; heads, revisions);
            (lock.await, heads, revisions)
        } else {
            tokio::join!(biased; lock, heads, revisions)
        };
        let locked = locked?;
        let mut found = Found::default();
        let known: HashMap<&str, &StreamId> = wanted.streams.iter().map(|stream| (stream.as_str(), stream)).collect();
        for row in heads? {
            if let Some(stream) = known.get(row.get::<_, &str>(0)) {
                found.streams.insert((*stream).clone(), StreamVersion(row.get::<_, i64>(1) as u64));
            }
        }
        for row in revisions? {
            let (kind, name): (&str, &str) = (row.get(0), row.get(1));
            if let Some(key) = CellKey::from_text(&format!("{kind}/{name}")) {
                found.cells.insert(key, Revision(row.get::<_, i64>(2) as u64));
            }
        }
        let position = locked.get::<_, i64>(1) as u64;
        Ok(Looked { term: locked.get(0), position, commits: locked.get(2), marks: moving::of(&locked, 3), found })
    }
}

/// What was found behind the lock of the counter's row.
pub(super) struct Looked {
    pub(super) term: i64,
    pub(super) position: u64,
    pub(super) commits: i64,
    pub(super) marks: Marks,
    pub(super) found: Found,
}

/// What a transaction writes.
pub(super) struct Writing {
    pub(super) plans: Vec<Plan>,
    /// Version and head of each message, in order.
    messages: Vec<(u64, Vec<u8>)>,
    streams: BTreeMap<StreamId, u64>,
    /// Types that may be new.
    pub(super) types: Vec<String>,
    put: Vec<(CellKey, Vec<u8>)>,
    delete: Vec<CellKey>,
    pub(super) last: u64,
    pub(super) commits: i64,
}

impl Writing {
    /// Of plans, behind a position. `known` types are not written again; `commits` counts the unit's own transactions.
    pub(super) fn of(
        plans: Vec<Plan>,
        position: u64,
        commits: i64,
        known: &HashSet<String>,
    ) -> Result<Self, StoreError> {
        let (mut messages, mut streams, mut types) = (Vec::new(), BTreeMap::new(), HashSet::new());
        for append in plans.iter().flat_map(|plan| &plan.appends) {
            for (version, message) in (append.first.0..).zip(&append.messages) {
                let mut head = Vec::new();
                binary::encode(message, &mut head)
                    .map_err(|error| StoreError::Unfit(format!("a message has no stored form: {error}")))?;
                head.truncate(head.len() - message.data.len());
                messages.push((version, head));
                streams.insert(append.stream.clone(), version);
                let name = message.envelope.type_name.as_str();
                if !known.contains(name) {
                    types.insert(name.to_owned());
                }
            }
        }
        // Of changes of one cell the last one counts.
        let mut cells = BTreeMap::new();
        for change in plans.iter().flat_map(|plan| &plan.cells) {
            cells.insert(&change.key, &change.value);
        }
        let (mut put, mut delete) = (Vec::new(), Vec::new());
        for (key, value) in cells {
            match value {
                Some(value) => put.push((key.clone(), value.clone())),
                None => delete.push(key.clone()),
            }
        }
        let last = position + messages.len() as u64;
        let types = types.into_iter().collect();
        Ok(Self { messages, streams, types, put, delete, last, commits, plans })
    }

    /// Writes: one round trip.
    pub(super) async fn write(&self, client: &(impl GenericClient + Sync), asked: &Asked) -> Result<(), Error> {
        let Self { plans, messages, streams, types, put, delete, last, commits } = self;
        let of = || {
            plans
                .iter()
                .flat_map(|plan| &plan.appends)
                .flat_map(|append| append.messages.iter().map(move |message| (append, message)))
        };
        let position: Vec<i64> =
            (0..messages.len() as i64).map(|index| *last as i64 - messages.len() as i64 + 1 + index).collect();
        let stream: Vec<&str> = of().map(|(append, _)| append.stream.as_str()).collect();
        let name: Vec<&str> = of().map(|(_, message)| message.envelope.type_name.as_str()).collect();
        let source: Vec<&str> = of().map(|(_, message)| message.envelope.source.as_str()).collect();
        let data: Vec<&[u8]> = of().map(|(_, message)| &*message.data).collect();
        let (version, head): (Vec<i64>, Vec<&[u8]>) =
            messages.iter().map(|(version, head)| (*version as i64, head.as_slice())).unzip();
        let size: Vec<i32> = head.iter().zip(&data).map(|(head, data)| (head.len() + data.len()) as i32).collect();
        let (heads, versions): (Vec<&str>, Vec<i64>) =
            streams.iter().map(|(stream, version)| (stream.as_str(), *version as i64)).unzip();
        let kinds = |keys: &[(CellKey, Vec<u8>)]| keys.iter().map(|(key, _)| key.kind.as_str()).collect::<Vec<_>>();
        let values: Vec<&[u8]> = put.iter().map(|(_, value)| value.as_slice()).collect();
        let put_names: Vec<&str> = put.iter().map(|(key, _)| key.name.as_str()).collect();
        let put_kinds = kinds(put);
        let gone_names: Vec<&str> = delete.iter().map(|key| key.name.as_str()).collect();
        let gone_kinds: Vec<&str> = delete.iter().map(|key| key.kind.as_str()).collect();
        let end = *last as i64;
        let outcomes = tokio::join!(
            biased;
            async {
                if position.is_empty() { return Ok(0) }
                let row: [&(dyn ToSql + Sync); 8] =
                    [&position, &stream, &version, &name, &source, &size, &head, &data];
                client.execute(&asked.messages, &row).await
            },
            async { if heads.is_empty() { Ok(0) } else { client.execute(&asked.streams, &[&heads, &versions]).await } },
            async { if types.is_empty() { Ok(0) } else { client.execute(&asked.types, &[types]).await } },
            async {
                if put.is_empty() { return Ok(0) }
                client.execute(&asked.put, &[&put_kinds, &put_names, commits, &values]).await
            },
            async {
                if delete.is_empty() { return Ok(0) }
                client.execute(&asked.delete, &[&gone_kinds, &gone_names]).await
            },
            async { client.execute(&asked.count, &[&end, commits]).await },
        );
        let outcomes = [outcomes.0, outcomes.1, outcomes.2, outcomes.3, outcomes.4, outcomes.5];
        outcomes.into_iter().try_for_each(|outcome| outcome.map(|_| ()))
    }
}
