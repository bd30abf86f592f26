//! What one commit means. [`check`] is the only place that decides whether a commit may happen; backends find and write.

use std::collections::{BTreeMap, HashMap};

use crate::{
    cell::{CellChange, CellKey, ExpectedRevision, Revision},
    envelope::Message,
    error::Refusal,
    id::{MAX_NAME_BYTES, Name},
    stream::{ExpectedVersion, StreamId, StreamVersion},
};

/// The largest message: data, metadata and envelope, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// The largest commit, in bytes.
pub const MAX_COMMIT_BYTES: usize = 8 << 20;
/// The longest name of a cell, in bytes: a stream's name and one more name fit in.
pub const MAX_CELL_NAME_BYTES: usize = 1024;
/// The largest value of a cell, in bytes: a message of the largest size and what is said of it fit in.
pub const MAX_CELL_BYTES: usize = MAX_MESSAGE_BYTES + (64 << 10);
/// The longest metadata of a message, in bytes.
pub const MAX_METADATA_BYTES: usize = 64 << 10;
/// What a store needs beside a message or a cell and the names in it, at most.
const BESIDE_BYTES: usize = 64;

/// Everything one step changes. It happens whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Messages at the ends of streams.
    pub appends: Vec<Append>,
    /// Cells that change with them.
    pub cells: Vec<CellChange>,
}

/// Messages for one stream.
#[derive(Clone, Debug)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// What the writer believes about it.
    pub expected: ExpectedVersion,
    /// The service that writes; checked against the category's owner.
    pub writer: Name,
    /// In order.
    pub messages: Vec<Message>,
}

impl Append {
    /// Bytes that count against [`MAX_COMMIT_BYTES`].
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(|message| message.bytes() + self.beside()).sum()
    }

    /// What each of its messages needs beside itself.
    fn beside(&self) -> usize {
        beside(&self.stream)
    }
}

/// What a message in a stream needs beside itself.
pub(crate) fn beside(stream: &StreamId) -> usize {
    stream.as_str().len() + BESIDE_BYTES
}

/// Bytes of a cell's change that count against [`MAX_COMMIT_BYTES`].
pub fn cell_bytes(key: &CellKey, value: Option<&[u8]>) -> usize {
    key.name.len() + value.map_or(0, <[u8]>::len) + BESIDE_BYTES
}

impl Commit {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.cells.is_empty()
    }

    /// Bytes that count against [`MAX_COMMIT_BYTES`].
    pub fn bytes(&self) -> usize {
        let messages: usize = self.appends.iter().map(Append::bytes).sum();
        let cells: usize = self.cells.iter().map(|cell| cell_bytes(&cell.key, cell.value.as_deref())).sum();
        messages + cells
    }

    /// What [`check`] must know to judge it.
    pub fn wanted(&self) -> Wanted {
        let matters = |cell: &&CellChange| cell.expected != ExpectedRevision::Any;
        Wanted {
            streams: self.appends.iter().map(|append| append.stream.clone()).collect(),
            cells: self.cells.iter().filter(matters).map(|cell| cell.key.clone()).collect(),
            supposed: None,
        }
    }

    /// What the writer supposes that its streams end at, as far as it supposes anything.
    pub fn supposed(&self) -> HashMap<StreamId, StreamVersion> {
        let mut first = HashMap::with_capacity(self.appends.len());
        for append in &self.appends {
            // What it expects of a stream later on comes of what it has appended itself.
            first.entry(&append.stream).or_insert(append.expected);
        }
        let known = |(stream, expected): (&StreamId, ExpectedVersion)| match expected {
            ExpectedVersion::NoStream => Some((stream.clone(), StreamVersion(0))),
            ExpectedVersion::Exact(version) => Some((stream.clone(), version)),
            ExpectedVersion::Any | ExpectedVersion::StreamExists => None,
        };
        first.into_iter().filter_map(known).collect()
    }
}

/// Heads and cells to look up.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Streams whose last version is wanted.
    pub streams: Vec<StreamId>,
    /// Cells whose revision is wanted.
    pub cells: Vec<CellKey>,
    /// What the writer supposes of the streams ([`Commit::supposed`]), if it can be asked again should that not be so.
    pub supposed: Option<HashMap<StreamId, StreamVersion>>,
}

/// What a backend found. What is missing does not exist.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Last versions.
    pub streams: HashMap<StreamId, StreamVersion>,
    /// Revisions.
    pub cells: BTreeMap<CellKey, Revision>,
}

impl Found {
    /// Takes a plan as done, so that the next commit of the same batch is judged by what it will find.
    ///
    /// The revision that the backend will give is not known yet; a cell that a plan writes is only known to exist.
    pub fn apply(&mut self, plan: &Plan) {
        for append in &plan.appends {
            let last = append.first.0 + append.messages.len() as u64 - 1;
            self.streams.insert(append.stream.clone(), StreamVersion(last));
        }
        for cell in &plan.cells {
            match cell.value {
                Some(_) => self.cells.insert(cell.key.clone(), Revision(u64::MAX)),
                None => self.cells.remove(&cell.key),
            };
        }
    }
}

/// A commit that may happen, with the version of each stream's first message.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Messages with their versions.
    pub appends: Vec<PlannedAppend>,
    /// Cells to write or delete.
    pub cells: Vec<CellChange>,
}

/// Messages for one stream with the version of the first.
#[derive(Clone, Debug)]
pub struct PlannedAppend {
    /// The stream.
    pub stream: StreamId,
    /// The first message's version.
    pub first: StreamVersion,
    /// In order.
    pub messages: Vec<Message>,
}

/// Who owns which stream category.
#[derive(Clone, Debug, Default)]
pub struct Owners(BTreeMap<String, Name>);

impl Owners {
    /// Gives a category to a service; answers the owner that it has already, if another.
    ///
    /// # Errors
    /// The name of the service that owns it.
    pub fn claim(&mut self, category: &str, service: &Name) -> Result<(), Name> {
        match self.0.get(category) {
            Some(owner) if owner != service => Err(owner.clone()),
            _ => {
                self.0.insert(category.to_owned(), service.clone());
                Ok(())
            }
        }
    }

    /// Whether `writer` may write to the category: its owner, or anybody if nobody owns it.
    pub fn allows(&self, category: &str, writer: &Name) -> Result<(), &Name> {
        match self.0.get(category) {
            Some(owner) if owner != writer => Err(owner),
            _ => Ok(()),
        }
    }

    /// Who owns a category; `None` if nobody does.
    pub fn owner(&self, category: &str) -> Option<&Name> {
        self.0.get(category)
    }

    /// Categories and their owners.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Name)> {
        self.0.iter().map(|(category, owner)| (category.as_str(), owner))
    }
}

/// Judges a commit by what was found. Nothing is written before this says yes, and only here can it say no.
///
/// # Errors
/// A [`Refusal`] that names what stands in the way.
pub fn check(owners: &Owners, found: &Found, commit: Commit) -> Result<Plan, Refusal> {
    let mut bytes = 0;
    for change in &commit.cells {
        let revision = found.cells.get(&change.key).copied().unwrap_or_default();
        if !change.expected.holds(revision) {
            return Err(Refusal::CellConflict { key: change.key.clone() });
        }
        bytes += check_cell(&change.key, change.value.as_deref())?;
    }
    let mut heads: HashMap<StreamId, StreamVersion> = HashMap::with_capacity(commit.appends.len());
    let mut appends = Vec::with_capacity(commit.appends.len());
    for append in commit.appends {
        bytes += check_append(owners, &append)?;
        let stored = || found.streams.get(&append.stream).copied().unwrap_or_default();
        let head = heads.get(&append.stream).copied().unwrap_or_else(stored);
        if !append.expected.holds(head) {
            return Err(Refusal::Conflict { stream: append.stream, expected: append.expected, actual: head });
        }
        if append.messages.is_empty() {
            continue;
        }
        heads.insert(append.stream.clone(), StreamVersion(head.0 + append.messages.len() as u64));
        appends.push(PlannedAppend {
            stream: append.stream,
            first: StreamVersion(head.0 + 1),
            messages: append.messages,
        });
    }
    if bytes > MAX_COMMIT_BYTES {
        return Err(Refusal::CommitTooLarge { bytes, limit: MAX_COMMIT_BYTES });
    }
    Ok(Plan { appends, cells: commit.cells })
}

/// Refuses a cell that is over the limits, whatever is in the store; else answers its [`cell_bytes`].
///
/// # Errors
/// [`Refusal::NameTooLong`] or [`Refusal::CommitTooLarge`].
pub fn check_cell(key: &CellKey, value: Option<&[u8]>) -> Result<usize, Refusal> {
    at_most("name of a cell", key.name.len(), MAX_CELL_NAME_BYTES)?;
    match value.map_or(0, <[u8]>::len) {
        bytes if bytes > MAX_CELL_BYTES => Err(Refusal::CommitTooLarge { bytes, limit: MAX_CELL_BYTES }),
        _ => Ok(cell_bytes(key, value)),
    }
}

fn at_most(what: &'static str, bytes: usize, limit: usize) -> Result<(), Refusal> {
    if bytes > limit { Err(Refusal::NameTooLong { what, bytes, limit }) } else { Ok(()) }
}

/// Refuses messages of a foreign stream, or over the limits, whatever is in the store; else answers their
/// [`Append::bytes`].
///
/// # Errors
/// A [`Refusal`] that would come again for ever.
pub fn check_append(owners: &Owners, append: &Append) -> Result<usize, Refusal> {
    if let Err(owner) = owners.allows(append.stream.category(), &append.writer) {
        return Err(Refusal::ForeignStream {
            stream: append.stream.clone(),
            owner: owner.to_string(),
            writer: append.writer.to_string(),
        });
    }
    let mut all = 0;
    for message in &append.messages {
        let envelope = &message.envelope;
        at_most("name of a type", envelope.type_name.len(), MAX_NAME_BYTES)?;
        at_most("name of a source", envelope.source.len(), MAX_NAME_BYTES)?;
        at_most("version of a type", envelope.data_version.len(), MAX_NAME_BYTES)?;
        at_most("partition key", envelope.partition_key.len(), MAX_NAME_BYTES)?;
        at_most("id of a user", envelope.user_id.as_deref().map_or(0, str::len), MAX_NAME_BYTES)?;
        at_most("name of a tenant", envelope.tenant.as_deref().map_or(0, str::len), MAX_NAME_BYTES)?;
        at_most("traceparent", envelope.traceparent.as_deref().map_or(0, str::len), MAX_NAME_BYTES)?;
        at_most("metadata of a message", envelope.metadata.as_deref().map_or(0, str::len), MAX_METADATA_BYTES)?;
        let bytes = message.bytes();
        if bytes > MAX_MESSAGE_BYTES {
            let type_name = envelope.type_name.to_string();
            return Err(Refusal::MessageTooLarge { type_name, bytes, limit: MAX_MESSAGE_BYTES });
        }
        all += bytes + append.beside();
    }
    Ok(all)
}
