//! Looking at letters and held keys: lists by what is asked for, one letter whole. Also of a stopped unit, of which
//! letters can be discarded here, too.

use std::time::Duration;

use factum_core::{
    cell::{CellChange, CellKind, ExpectedRevision},
    commit::{Append, Commit},
    envelope::{Draft, Envelope, Kind, Message, Stored},
    error::{CommitError, StoreError},
    id::{MessageId, Name, check_id},
    letter::{Failed, Held, Letter, LetterId, MAX_REASON_BYTES, Retry, Standing, Subject, Why, short},
    ports::{Reader, Scan},
    stream::{ExpectedVersion, Position, StreamId, StreamVersion},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    acts::{ActError, By},
    committer::Committer,
    registry::PLATFORM,
};

/// Letters on a page if the question does not say.
const PAGE: usize = 100;

/// Which letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    /// Of this consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// About messages of this type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// That hold this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of this business transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Whose last reason has this in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Behind this one, in the order of names: for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<LetterId>,
    /// At most so many; 100 if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Query {
    /// Whether a letter is one of those, wherever it stands in their order.
    pub fn takes(&self, letter: &Letter) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        same(&self.consumer, &letter.id.consumer)
            && same(&self.type_name, &letter.type_name)
            && same(&self.key, letter.key.as_str())
            && same(&self.correlation, &letter.correlation_id)
            && self.reason.as_ref().is_none_or(|part| letter.reason().contains(part))
    }
}

/// A letter in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Its name, by which everything is done about it.
    pub id: LetterId,
    /// The consumer that failed.
    pub consumer: String,
    /// The message's place in the log; nothing if it is a timer's command or the answer of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The message's type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The message's id.
    pub message_id: String,
    /// The business transaction.
    pub correlation_id: String,
    /// What is held behind it: `key/…` or `stream/…`.
    pub key: String,
    /// How many messages wait behind it.
    pub waiting: u64,
    /// What the handler said last.
    pub failure_reason: String,
    /// How often it has failed.
    pub failure_count: u32,
    /// When it failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// When it failed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failed_at: Option<Timestamp>,
    /// When it is tried again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_retry: Option<Retry>,
}

impl Listed {
    fn of(letter: &Letter, waiting: u64) -> Self {
        Self {
            id: letter.id.clone(),
            consumer: letter.id.consumer.clone(),
            position: match letter.id.subject {
                Subject::Message(position) => Some(position),
                Subject::Timer(_) | Subject::Answer(_) | Subject::Arrival(_) => None,
            },
            type_name: letter.type_name.clone(),
            message_id: letter.message_id.clone(),
            correlation_id: letter.correlation_id.clone(),
            key: letter.key.to_string(),
            waiting,
            failure_reason: letter.reason().to_owned(),
            failure_count: letter.failure_count,
            failed_at: letter.failed_at(),
            first_failed_at: letter.failures.first().map(|failed| failed.at),
            next_retry: letter.retry.clone(),
        }
    }

    /// How long it has waited.
    pub fn age(&self, now: Timestamp) -> Duration {
        let first = self.first_failed_at.unwrap_or(now);
        Duration::try_from(now.duration_since(first)).unwrap_or_default()
    }
}

/// A page of letters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// In the order of their names.
    pub letters: Vec<Listed>,
    /// How many fit the question in all.
    pub total: usize,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<LetterId>,
}

/// A letter whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// What the list says.
    #[serde(flatten)]
    pub listed: Listed,
    /// Its failures: the first, and the last ones.
    pub failures: Vec<Failed>,
    /// The message as it is stored, in the public form of an envelope.
    pub original_event: Value,
    /// Fields of it that are not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
}

/// The letters that fit.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn list(reader: &dyn Reader, query: &Query) -> Result<Page, StoreError> {
    let mut page = Page::default();
    let limit = query.limit.unwrap_or(PAGE);
    for letter in open(reader)?.into_iter().filter(|letter| query.takes(letter)) {
        page.total += 1;
        if query.after.as_ref().is_some_and(|after| letter.id <= *after) {
            continue;
        }
        if page.letters.len() < limit {
            page.letters.push(Listed::of(&letter, waiting_behind(reader, &letter)?));
        } else if page.next.is_none() {
            page.next = page.letters.last().map(|last| last.id.clone());
        }
    }
    Ok(page)
}

/// One letter whole; `None` if there is none of that name.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn show(reader: &dyn Reader, id: &LetterId) -> Result<Option<Shown>, StoreError> {
    let Some(cell) = reader.cell(&id.cell())? else { return Ok(None) };
    let letter = Letter::decode(&cell.value)?;
    if letter.standing != Standing::Open {
        return Ok(None);
    }
    let original_event = match (&letter.id.subject, &letter.kept) {
        (Subject::Arrival(_), Some(kept)) => as_it_came(kept.bytes()),
        _ => message(reader, &letter)?.map_or(Value::Null, |stored| written(&stored)),
    };
    let listed = Listed::of(&letter, waiting_behind(reader, &letter)?);
    Ok(Some(Shown { listed, failures: letter.failures, original_event, hidden: Vec::new() }))
}

/// What came from a broker: what it says, or if that is no JSON, its text.
fn as_it_came(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}

/// Ends a letter of a unit that does not run, without running anything: what the engine does at a discard, in one
/// commit. What waits behind it follows at the unit's next start. An engine over the store would do more than that: its
/// cursor would move past what the unit's own program has not read.
///
/// # Errors
/// [`ActError`]; nothing was stored then, unless the store's outcome is unknown.
pub fn discard(
    committer: &Committer,
    id: &LetterId,
    by: &By,
    at: Timestamp,
    event_id: MessageId,
) -> Result<(), ActError> {
    check_id("name of who acts", &by.who)?;
    let reader = committer.plain_reader();
    let none = || ActError::NoLetter(id.clone());
    let cell = reader.cell(&id.cell())?.ok_or_else(none)?;
    let letter = Letter::decode(&cell.value)?;
    if letter.standing != Standing::Open || letter.id != *id {
        return Err(none());
    }
    // Whenever its consumer's state is rebuilt, a message that could not be taken into it is left out again.
    let left_out = letter.unfolded.then(|| Letter { standing: Standing::LeftOut, retry: None, ..letter.clone() });
    let value = left_out.map(|letter| letter.encode()).transpose()?;
    let mut cells = vec![CellChange { key: cell.key, expected: ExpectedRevision::Exact(cell.revision), value }];
    let key = Held::cell(&id.consumer, &letter.key);
    if let Some(cell) = reader.cell(&key)?
        && let Some(held) = Held::decode(&cell.value)?.released_from(id)
    {
        let expected = ExpectedRevision::Exact(cell.revision);
        cells.push(CellChange { key, expected, value: Some(held.encode()?) });
    }
    let appends = vec![discarded(&letter, by, at, event_id)?];
    match committer.commit(Commit { appends, cells }) {
        Ok(_) => Ok(()),
        Err(CommitError::Store(error)) => Err(error.into()),
        Err(CommitError::Refused(refusal)) => Err(ActError::NotNow(refusal.to_string())),
    }
}

/// The event that says who discarded a letter, and why.
fn discarded(letter: &Letter, by: &By, at: Timestamp, id: MessageId) -> Result<Append, StoreError> {
    let unfit = |error: &dyn std::fmt::Display| StoreError::Unfit(error.to_string());
    let data = json!({
        "letter": letter.id.to_string(),
        "consumer": letter.id.consumer,
        "messageId": letter.message_id,
        "messageType": letter.type_name,
        "by": by.who,
        "why": short(&by.why, MAX_REASON_BYTES),
        "reason": letter.reason(),
    });
    let draft = Draft::named(Name::Static("letter.discarded"), &data).map_err(|error| unfit(&error))?;
    let stream = StreamId::new("letter", &letter.id.consumer).map_err(|error| unfit(&error))?;
    let envelope = Envelope {
        id: id.clone(),
        kind: Kind::Event,
        type_name: draft.type_name,
        source: Name::Static(PLATFORM),
        data_version: draft.version,
        timestamp: at,
        correlation_id: id.clone(),
        causation_id: Some(id),
        partition_key: stream.key().into(),
        user_id: None,
        tenant: None,
        traceparent: None,
        metadata: None,
        depth: 1,
        digest: None,
        repeat_key: None,
    };
    let messages = vec![Message { envelope, data: draft.data }];
    Ok(Append { stream, expected: ExpectedVersion::Any, writer: Name::Static(PLATFORM), messages })
}

/// All letters that wait, in the order of their names.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn open(reader: &dyn Reader) -> Result<Vec<Letter>, StoreError> {
    let mut letters = Vec::new();
    for cell in reader.cells(CellKind::Letter)? {
        let letter = Letter::decode(&cell.value)?;
        if letter.standing == Standing::Open {
            letters.push(letter);
        }
    }
    letters.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(letters)
}

/// All held keys.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub fn held(reader: &dyn Reader) -> Result<Vec<Held>, StoreError> {
    reader.cells(CellKind::Held)?.iter().map(|cell| Held::decode(&cell.value)).collect()
}

/// A message in its public form. Data that is no JSON is shown as text: it is what stands there.
pub(crate) fn written(stored: &Stored) -> Value {
    serde_json::to_value(stored).unwrap_or_else(|_| {
        let data = String::from_utf8_lossy(&stored.message.data).into_owned();
        serde_json::json!({ "id": stored.envelope().id, "type": stored.type_name(), "data": data })
    })
}

fn waiting_behind(reader: &dyn Reader, letter: &Letter) -> Result<u64, StoreError> {
    let Some(cell) = reader.cell(&Held::cell(&letter.id.consumer, &letter.key))? else { return Ok(0) };
    let held = Held::decode(&cell.value)?;
    Ok(if held.why == Why::Letter(letter.id.clone()) { held.waiting() } else { 0 })
}

fn message(reader: &dyn Reader, letter: &Letter) -> Result<Option<Stored>, StoreError> {
    match (&letter.id.subject, &letter.kept) {
        (Subject::Message(position), _) => {
            let after = Position(position.0.saturating_sub(1));
            let scanned = reader.scan(&Scan { after, until: *position, bytes: 1, types: None })?;
            Ok(scanned.messages.into_iter().find(|stored| stored.position == *position))
        }
        // It is shown as it came.
        (Subject::Arrival(_), _) => Ok(None),
        (_, Some(kept)) => {
            let stream = StreamId::parse(&kept.sender).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            let message = kept.message()?;
            Ok(Some(Stored { position: Position::START, stream, version: StreamVersion(0), message }))
        }
        // A call that was given up: its message stands in the log.
        (Subject::Answer(id), None) => {
            let key = factum_core::cell::CellKey::new(CellKind::Call, id.clone());
            let Some(cell) = reader.cell(&key)? else { return Ok(None) };
            let call = crate::outward::OpenCall::decode(&cell)?;
            crate::outward::message_of(reader, id, &call).map(Some)
        }
        (Subject::Timer(_), None) => Ok(None),
    }
}
