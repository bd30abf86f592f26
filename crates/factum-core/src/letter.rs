//! Dead letters and held keys: what waits for a person after a handler has failed, and what waits behind it.
//!
//! ```text
//!             fails                    discard, redrive done
//!  delivery ────────► letter ─────────────────────────────────► ended
//!                       │ ▲ redrive failed        │
//!                       └─┘                       ▼ the messages that were passed over, in order
//!  key:  free ───────► held ──────────────────► releasing ────► free
//!          │            ▲  not yet                │
//!          └────────────┘◄────────────────────────┘ one of them fails
//! ```
//!
//! Both are cells: they stand in the commit that fails, passes over or ends something. A letter names its message by its
//! position; only of a timer or an answer, which stand in no stream, it keeps the bytes.

mod kept;

use std::{collections::VecDeque, fmt};

use jiff::Timestamp;
pub use kept::{Kept, Raw};
use serde::{Deserialize, Serialize};

use crate::{
    cell::{CellKey, CellKind},
    commit::MAX_CELL_NAME_BYTES,
    error::{NameError, NotYet, StoreError},
    stream::{Position, StreamId},
};

/// The longest reason that a letter keeps, in bytes.
pub const MAX_REASON_BYTES: usize = 1 << 10;
/// Failures that a letter keeps: the first, and the last ones.
pub const MAX_FAILURES: usize = 10;
/// Positions that a held key lists; what is passed over behind them is found again by reading the log.
pub const MAX_PASSED: usize = 1_024;
/// The first byte of both cells.
const VERSION: u8 = 1;

/// What failed, within its consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A message of the log.
    Message(Position),
    /// A timer, by its name.
    Timer(String),
    /// The answer of a call, by the call's id.
    Answer(String),
    /// What came from a broker, by its offset on the lane that the consumer reads.
    Arrival(String),
}

/// A letter's name: the consumer and what it failed on. As text `books.note@42`, `books.note@timer/…`,
/// `books.note@answer/…`, `import:order-events/3@arrival/42`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// The consumer.
    pub consumer: String,
    /// What it failed on.
    pub subject: Subject,
}

impl LetterId {
    /// The letter of a consumer.
    pub fn new(consumer: impl Into<String>, subject: Subject) -> Self {
        Self { consumer: consumer.into(), subject }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`NameError`] that shows the form.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError {
            what: "letter",
            problem: format!("`{}` has not the form consumer@position, such as order.notify@42", short(text, 128)),
        };
        let (consumer, subject) = text.split_once('@').ok_or_else(wrong)?;
        let subject = match subject.split_once('/') {
            Some(("timer", name)) => Subject::Timer(name.to_owned()),
            Some(("answer", id)) => Subject::Answer(id.to_owned()),
            Some(("arrival", offset)) => Subject::Arrival(offset.to_owned()),
            _ => Subject::Message(Position(subject.parse().map_err(|_| wrong())?)),
        };
        Ok(Self { consumer: consumer.to_owned(), subject })
    }

    /// Its cell. Names too long for a cell end in a digest.
    pub fn cell(&self) -> CellKey {
        CellKey::new(CellKind::Letter, bounded(self.to_string()))
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Message(position) => write!(f, "{}@{position}", self.consumer),
            Subject::Timer(name) => write!(f, "{}@timer/{name}", self.consumer),
            Subject::Answer(id) => write!(f, "{}@answer/{id}", self.consumer),
            Subject::Arrival(offset) => write!(f, "{}@arrival/{offset}", self.consumer),
        }
    }
}

impl Serialize for LetterId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LetterId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// One failure of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// When.
    pub at: Timestamp,
    /// What the handler said; at most [`MAX_REASON_BYTES`].
    pub reason: String,
    /// The program's version.
    pub program: String,
}

/// When a letter is tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Retry {
    /// At this time.
    At(Timestamp),
    /// As soon as a program of another version than this one runs.
    OtherThan(String),
}

/// How a letter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It waits.
    Open,
    /// It was discarded, and its message is left out whenever the consumer's state is rebuilt. Does not count.
    LeftOut,
}

/// A delivery that has failed and waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its name.
    pub id: LetterId,
    /// How it stands.
    pub standing: Standing,
    /// What its consumer orders by: messages of this key wait behind it.
    pub key: Key,
    /// The message's type.
    pub type_name: String,
    /// The message's id.
    pub message_id: String,
    /// The business transaction.
    pub correlation_id: String,
    /// Its failures, oldest first: the first one and the last ones.
    pub failures: Vec<Failed>,
    /// How often it has failed.
    pub failure_count: u32,
    /// The log ended here when it failed last: what tells a letter from itself later.
    pub changed_at: Position,
    /// When it is tried again by itself, if it was so planned.
    pub retry: Option<Retry>,
    /// Whether its message could not be taken into its consumer's state: when it ends, the state is made anew.
    pub unfolded: bool,
    /// The message, if it stands in no stream: type, source, and the stored form.
    pub kept: Option<Kept>,
}

impl Letter {
    /// Notes one more failure; the reason is cut to [`MAX_REASON_BYTES`].
    pub fn failed(&mut self, at: Timestamp, reason: &str, program: &str) {
        self.failure_count = self.failure_count.saturating_add(1);
        if self.failures.len() >= MAX_FAILURES {
            self.failures.remove(1);
        }
        let (reason, program) = (short(reason, MAX_REASON_BYTES), short(program, 128));
        self.failures.push(Failed { at, reason, program });
    }

    /// When it failed last.
    pub fn failed_at(&self) -> Option<Timestamp> {
        self.failures.last().map(|failed| failed.at)
    }

    /// What the handler said last.
    pub fn reason(&self) -> &str {
        self.failures.last().map_or("", |failed| &failed.reason)
    }

    /// The cell's value.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] if it has no stored form.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        encode(self)
    }

    /// Reads a cell's value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        decode("letter", bytes)
    }
}

/// What a consumer's messages are held by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// What the consumer orders by.
    Ordered(String),
    /// A stream whose state cannot be folded: every command to it waits.
    Stream(String),
}

impl Key {
    /// The key of a stream that cannot be folded.
    pub fn stream(stream: &StreamId) -> Self {
        Self::Stream(stream.to_string())
    }

    /// The text without its kind.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ordered(text) | Self::Stream(text) => text,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ordered(key) => write!(f, "key/{key}"),
            Self::Stream(stream) => write!(f, "stream/{stream}"),
        }
    }
}

/// Why a key is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Behind this letter.
    Letter(LetterId),
    /// Its first message said that it is too early.
    NotYet {
        /// What it waits for.
        wait: NotYet,
        /// It is called once more then.
        until: Timestamp,
    },
    /// What was passed over is being run; new messages of the key wait behind that.
    Releasing,
    /// It is an instance of a saga whose version the program lacks.
    Version(u32),
}

/// A held key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The consumer.
    pub consumer: String,
    /// The key.
    pub key: Key,
    /// Why.
    pub why: Why,
    /// Since when.
    pub since: Timestamp,
    /// The message that said that it is too early, and until when it may.
    pub too_early: Option<(Position, Timestamp)>,
    /// Messages that wait, in the order in which they are run.
    #[serde(with = "steps")]
    pub passed: VecDeque<Position>,
    /// More of them stand from here on in the log, if any do.
    pub more_from: Option<Position>,
    /// Messages among those that did not wait: they ended in another way.
    pub skipped: Vec<Position>,
    /// How many those are; not stored, but counted again at a start.
    #[serde(skip)]
    pub more: u64,
}

impl Held {
    /// Its cell.
    pub fn cell(consumer: &str, key: &Key) -> CellKey {
        CellKey::new(CellKind::Held, bounded(format!("{consumer}/{key}")))
    }

    /// Whether it is held by this letter.
    pub fn is_behind(&self, letter: &LetterId) -> bool {
        self.why == Why::Letter(letter.clone())
    }

    /// The same key when this letter has ended; nothing if it is not behind that one.
    pub fn released_from(self, letter: &LetterId) -> Option<Self> {
        self.is_behind(letter).then_some(Self { why: Why::Releasing, ..self })
    }

    /// How many messages wait.
    pub fn waiting(&self) -> u64 {
        self.passed.len() as u64 + self.more
    }

    /// At least the size of its cell, in bytes.
    pub fn bytes(&self) -> usize {
        512 + 2 * (self.consumer.len() + self.key.as_str().len()) + 10 * (self.passed.len() + self.skipped.len())
    }

    /// The cell's value.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] if it has no stored form.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        encode(self)
    }

    /// Reads a cell's value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        decode("held key", bytes)
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(value, vec![VERSION]).map_err(|error| StoreError::Unfit(error.to_string()))
}

fn decode<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, StoreError> {
    let corrupt = |problem: &str| StoreError::Corrupt(format!("a {what} cannot be read: {problem}"));
    match bytes.split_first() {
        Some((&VERSION, bytes)) => postcard::from_bytes(bytes).map_err(|error| corrupt(&error.to_string())),
        Some((version, _)) => Err(corrupt(&format!("it has format {version}, this program knows {VERSION}"))),
        None => Err(corrupt("it is empty")),
    }
}

/// Positions as steps from one to the next, which take a byte or two instead of up to ten.
mod steps {
    use std::collections::VecDeque;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::stream::Position;

    pub(super) fn serialize<S: Serializer>(positions: &VecDeque<Position>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        let steps = positions.iter().map(|position| {
            let step = position.0.wrapping_sub(before) as i64;
            before = position.0;
            step
        });
        steps.collect::<Vec<i64>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VecDeque<Position>, D::Error> {
        let mut position = 0_u64;
        let steps = Vec::<i64>::deserialize(deserializer)?;
        let at = |step: i64| {
            position = position.wrapping_add(step as u64);
            Position(position)
        };
        Ok(steps.into_iter().map(at).collect())
    }
}

/// A text cut to so many bytes, at a character.
pub fn short(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// A cell's name that fits: one that is too long keeps its start and ends in a digest of the whole.
fn bounded(name: String) -> String {
    if name.len() <= MAX_CELL_NAME_BYTES {
        return name;
    }
    let digest = xxhash_rust::xxh3::xxh3_128(name.as_bytes());
    format!("{}…{digest:032x}", short(&name, MAX_CELL_NAME_BYTES - 40))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            id: LetterId::new("books.note", Subject::Message(Position(42))),
            standing: Standing::Open,
            key: Key::Ordered("a".to_owned()),
            type_name: "account.paid".to_owned(),
            message_id: "m".to_owned(),
            correlation_id: "c".to_owned(),
            failures: Vec::new(),
            failure_count: 0,
            changed_at: Position::START,
            retry: Some(Retry::At(Timestamp::UNIX_EPOCH)),
            unfolded: false,
            kept: None,
        }
    }

    #[test]
    fn a_name_reads_back_whatever_is_in_it() {
        for subject in [
            Subject::Message(Position(7)),
            Subject::Timer("books.note-a/b@c/d".to_owned()),
            Subject::Answer("evt/1@2".to_owned()),
        ] {
            let id = LetterId::new("books.note", subject);
            assert_eq!(LetterId::parse(&id.to_string()).unwrap(), id);
        }
        for wrong in ["", "books.note", "books.note@", "books.note@x", "@timer"] {
            assert!(LetterId::parse(wrong).unwrap_err().to_string().contains("order.notify@42"), "{wrong}");
        }
    }

    #[test]
    fn reasons_are_cut_and_the_first_and_last_failures_are_kept() {
        let mut letter = letter();
        for number in 0..100 {
            letter.failed(Timestamp::UNIX_EPOCH, &format!("{number} {}", "ä".repeat(9 << 20 >> 8)), "1.0");
        }
        assert_eq!((letter.failure_count, letter.failures.len()), (100, MAX_FAILURES));
        assert!(letter.failures[0].reason.starts_with("0 ") && letter.reason().starts_with("99 "));
        assert!(letter.failures.iter().all(|failed| failed.reason.len() <= MAX_REASON_BYTES));
        assert_eq!(Letter::decode(&letter.encode().unwrap()).unwrap(), letter);
    }

    #[test]
    fn long_names_make_cells_that_fit_and_differ() {
        let cell = |end: &str| LetterId::new("c", Subject::Timer("é".repeat(600) + end)).cell().name;
        assert!(cell("a").len() <= MAX_CELL_NAME_BYTES && cell("a") != cell("b"));
    }

    #[test]
    fn a_held_key_is_never_larger_than_it_says() {
        let passed: VecDeque<Position> = (0..3_000).map(|number| Position(u64::MAX - number)).collect();
        let key = Key::Stream("s-".to_owned() + &"k".repeat(128));
        let why = Why::Letter(letter().id);
        let (since, more_from) = (Timestamp::UNIX_EPOCH, Some(Position(u64::MAX)));
        let held = Held {
            consumer: "c".repeat(128),
            key,
            why,
            since,
            too_early: None,
            passed,
            more_from,
            skipped: Vec::new(),
            more: 0,
        };
        let bytes = held.encode().unwrap();
        assert!(bytes.len() <= held.bytes(), "{} > {}", bytes.len(), held.bytes());
        assert_eq!(Held::decode(&bytes).unwrap(), held);
    }
}
