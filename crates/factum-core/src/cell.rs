//! Cells: small keyed state of live work inside the log (cursors, timers, open calls).

use std::fmt;

/// What a cell is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CellKind {
    /// How far a consumer has read: the engine's, or one of its own while it is apart.
    Cursor,
    /// A command that waits for its time.
    Timer,
    /// A call to the outside that has no answer yet.
    Call,
    /// A delivery that has failed and waits for a person: see [`crate::letter`].
    Letter,
    /// A consumer's key whose messages wait behind one that failed, or that is not due yet.
    Held,
    /// A plan that was approved and is being carried out.
    Job,
    /// An open instance of a saga.
    Saga,
    /// The names and versions under which events may be stored.
    Shapes,
    /// Under which key digests of requests are stored, and since when.
    Digests,
    /// How far a pipeline has told its windows.
    Windows,
    /// How far a pull group is: what of its messages is settled, and what has failed.
    Group,
    /// How far a unit has published what others are to hear.
    Relay,
    /// What a unit has read of a lane.
    Lane,
}

impl CellKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Cursor,
        Self::Timer,
        Self::Call,
        Self::Letter,
        Self::Held,
        Self::Job,
        Self::Saga,
        Self::Shapes,
        Self::Digests,
        Self::Windows,
        Self::Group,
        Self::Relay,
        Self::Lane,
    ];

    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cursor => "cursor",
            Self::Timer => "timer",
            Self::Call => "call",
            Self::Letter => "letter",
            Self::Held => "held",
            Self::Job => "job",
            Self::Saga => "saga",
            Self::Shapes => "shapes",
            Self::Digests => "digests",
            Self::Windows => "windows",
            Self::Group => "group",
            Self::Relay => "relay",
            Self::Lane => "lane",
        }
    }
}

/// A cell's name: its kind and a name within the kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// The kind.
    pub kind: CellKind,
    /// The name within it.
    pub name: String,
}

impl CellKey {
    /// A cell's key.
    pub fn new(kind: CellKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    /// The key as `<kind>/<name>`.
    pub fn to_text(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.name)
    }

    /// Reads `<kind>/<name>`.
    pub fn from_text(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let kind = CellKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        Some(Self::new(kind, name))
    }
}

impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}
impl fmt::Debug for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Changes with every write of the cell; 0 means that there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// What a writer believes about a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedRevision {
    /// Nothing.
    Any,
    /// There is none.
    Absent,
    /// It was last written so.
    Exact(Revision),
}

impl ExpectedRevision {
    /// Whether a cell at `actual` is as expected.
    pub fn holds(self, actual: Revision) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => actual.0 == 0,
            Self::Exact(revision) => revision == actual,
        }
    }
}

/// One change of a cell in a commit.
#[derive(Clone, Debug)]
pub struct CellChange {
    /// Which cell.
    pub key: CellKey,
    /// What the writer believes about it.
    pub expected: ExpectedRevision,
    /// The new value; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

/// A cell as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its key.
    pub key: CellKey,
    /// Its revision.
    pub revision: Revision,
    /// Its value.
    pub value: Vec<u8>,
}
