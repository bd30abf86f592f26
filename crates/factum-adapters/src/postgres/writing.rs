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
use tokio_postgres::{Client, Error, GenericClient, Statement, types::ToSql};

use super::{moving, sabotage};

/// A commit in one statement; the types are exact, so that no function that a writer has made in the schema fits better.
pub(super) const AT_ONCE: &str = "SELECT last, shifts FROM commit_at_once($1::int8, $2::int8, $3::text[], $4::int8[], $5::int8[], \
     $6::bool[], $7::int4[], $8::text[], $9::int8[], $10::text[], $11::text[], $12::int4[], $13::bytea[], $14::bytea[], \
     $15::text[], $16::text[], $17::text[], $18::bytea[], $19::text[], $20::text[])";

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
        let (Self { types, commits, .. }, Messages { position, stream, version, name, source, size, head, data }) =
            (self, self.rows());
        let (heads, versions) = self.heads();
        let (put, delete) = self.changes();
        let end = self.last as i64;
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
                if put.names.is_empty() { return Ok(0) }
                client.execute(&asked.put, &[&put.kinds, &put.names, commits, &put.values]).await
            },
            async {
                if delete.names.is_empty() { return Ok(0) }
                client.execute(&asked.delete, &[&delete.kinds, &delete.names]).await
            },
            async { client.execute(&asked.count, &[&end, commits]).await },
        );
        let outcomes = [outcomes.0, outcomes.1, outcomes.2, outcomes.3, outcomes.4, outcomes.5];
        outcomes.into_iter().try_for_each(|outcome| outcome.map(|_| ()))
    }

    /// Looks, writes and commits in one statement, if all is as was supposed: what is `sure` must be, and of other streams the end
    /// is told. Answers where it has come to stand.
    pub(super) async fn write_at_once(
        &self,
        client: &Client,
        at_once: &Statement,
        term: i64,
        sure: Vec<bool>,
    ) -> Result<Standing, Error> {
        let (Self { types, commits, .. }, Messages { stream, version, name, source, size, head, data, .. }) =
            (self, self.rows());
        let (heads, versions) = self.heads();
        let (put, delete) = self.changes();
        let places: HashMap<&str, i32> = heads.iter().copied().zip(1..).collect();
        let place: Vec<i32> = stream.iter().map(|stream| places[stream]).collect();
        let mut counts = vec![0_i64; heads.len()];
        place.iter().for_each(|place| counts[*place as usize - 1] += 1);
        let arguments: [&(dyn ToSql + Sync); 20] = [
            &term,
            commits,
            &heads,
            &counts,
            &versions,
            &sure,
            &place,
            &stream,
            &version,
            &name,
            &source,
            &size,
            &head,
            &data,
            types,
            &put.kinds,
            &put.names,
            &put.values,
            &delete.kinds,
            &delete.names,
        ];
        let row = client.query_one(at_once, &arguments).await?;
        let shifts = row.get::<_, Option<Vec<i64>>>(1).unwrap_or_default();
        let moved = self.streams.keys().cloned().zip(shifts).filter(|(_, shift)| *shift != 0).collect();
        Ok(Standing { last: row.get::<_, i64>(0) as u64, moved })
    }

    /// Whether each stream of which something is supposed is written.
    pub(super) fn covers(&self, supposed: &HashMap<StreamId, StreamVersion>) -> bool {
        supposed.keys().all(|stream| self.streams.contains_key(stream))
    }

    /// Of which streams it is supposed that they end where they are written to end, in their order.
    pub(super) fn sure(&self, supposed: &HashMap<StreamId, StreamVersion>) -> Vec<bool> {
        let is_sure = |stream| supposed.contains_key(stream) && !sabotage::is("supposed-not-checked");
        self.streams.keys().map(is_sure).collect()
    }

    /// Where it has come to stand: it was written, at once, and its last message stands at this position.
    pub(super) async fn find_again(&self, client: &Client, last: u64) -> Result<Standing, Error> {
        let (first, end) = (last as i64 - self.messages.len() as i64, last as i64);
        let ask = "SELECT stream, max(version) FROM message WHERE position > $1 AND position <= $2 GROUP BY stream";
        let reached: HashMap<String, i64> =
            client.query(ask, &[&first, &end]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
        let shift = |(stream, end): (&StreamId, &u64)| {
            let shift = reached.get(stream.as_str())? - *end as i64;
            (shift != 0).then(|| (stream.clone(), shift))
        };
        Ok(Standing { last, moved: self.streams.iter().filter_map(shift).collect() })
    }

    /// The plans, as they have come to stand.
    pub(super) fn standing(&self, moved: &HashMap<StreamId, i64>) -> Vec<Plan> {
        let mut plans = self.plans.clone();
        if !moved.is_empty() {
            for append in plans.iter_mut().flat_map(|plan| &mut plan.appends) {
                let shift = moved.get(&append.stream).copied().unwrap_or_default();
                append.first.0 = append.first.0.wrapping_add_signed(shift);
            }
        }
        plans
    }

    /// The rows of messages, column by column.
    fn rows(&self) -> Messages<'_> {
        let Self { plans, messages, last, .. } = self;
        let of = || {
            plans
                .iter()
                .flat_map(|plan| &plan.appends)
                .flat_map(|append| append.messages.iter().map(move |message| (append, message)))
        };
        let (version, head): (Vec<i64>, Vec<&[u8]>) =
            messages.iter().map(|(version, head)| (*version as i64, head.as_slice())).unzip();
        let data: Vec<&[u8]> = of().map(|(_, message)| &*message.data).collect();
        let count = messages.len() as i64;
        Messages {
            position: (0..count).map(|index| *last as i64 - count + 1 + index).collect(),
            stream: of().map(|(append, _)| append.stream.as_str()).collect(),
            name: of().map(|(_, message)| message.envelope.type_name.as_str()).collect(),
            source: of().map(|(_, message)| message.envelope.source.as_str()).collect(),
            size: head.iter().zip(&data).map(|(head, data)| (head.len() + data.len()) as i32).collect(),
            version,
            head,
            data,
        }
    }

    /// Streams, and the version that each ends at.
    fn heads(&self) -> (Vec<&str>, Vec<i64>) {
        self.streams.iter().map(|(stream, version)| (stream.as_str(), *version as i64)).unzip()
    }

    /// Cells to write, and to delete.
    fn changes(&self) -> (Cells<'_>, Cells<'_>) {
        let put = || self.put.iter();
        (
            Cells {
                kinds: put().map(|(key, _)| key.kind.as_str()).collect(),
                names: put().map(|(key, _)| key.name.as_str()).collect(),
                values: put().map(|(_, value)| value.as_slice()).collect(),
            },
            Cells {
                kinds: self.delete.iter().map(|key| key.kind.as_str()).collect(),
                names: self.delete.iter().map(|key| key.name.as_str()).collect(),
                values: Vec::new(),
            },
        )
    }
}

/// Rows of messages, column by column.
struct Messages<'a> {
    position: Vec<i64>,
    stream: Vec<&'a str>,
    version: Vec<i64>,
    name: Vec<&'a str>,
    source: Vec<&'a str>,
    size: Vec<i32>,
    head: Vec<&'a [u8]>,
    data: Vec<&'a [u8]>,
}

/// Cells, column by column.
struct Cells<'a> {
    kinds: Vec<&'a str>,
    names: Vec<&'a str>,
    values: Vec<&'a [u8]>,
}

/// Where a commit has come to stand.
pub(super) struct Standing {
    /// The position of its last message.
    pub(super) last: u64,
    /// Streams that ended elsewhere than was supposed, and by how many versions.
    pub(super) moved: HashMap<StreamId, i64>,
}
