//! Streams: the messages of one aggregate, in order; positions in a unit's log; lineages.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    error::NameError,
    id::{MAX_NAME_BYTES, check_id, check_name},
};

/// The name of a stream: `<category>-<key>`. The category names the owner and the ordering key's kind, so it holds no
/// hyphen; the key may.
#[derive(Clone)]
pub struct StreamId {
    text: Arc<str>,
    category: u8,
}

impl StreamId {
    /// Puts a stream's name together.
    ///
    /// # Errors
    /// [`NameError`] if the category is not a name without hyphen or the key is not an id.
    pub fn new(category: &str, key: &str) -> Result<Self, NameError> {
        check_category(category)?;
        check_id("stream key", key)?;
        let mut text = String::with_capacity(category.len() + 1 + key.len());
        text.push_str(category);
        text.push('-');
        text.push_str(key);
        Ok(Self { text: Arc::from(text), category: category.len() as u8 })
    }

    /// Reads `<category>-<key>`.
    ///
    /// # Errors
    /// [`NameError`] as for [`StreamId::new`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let Some((category, key)) = text.split_once('-') else {
            let problem = format!("`{text}` must have the form category-key, such as order-1042");
            return Err(NameError { what: "stream", problem });
        };
        Self::new(category, key)
    }

    /// What stands before the first hyphen.
    pub fn category(&self) -> &str {
        &self.text[..usize::from(self.category)]
    }

    /// What stands after the first hyphen.
    pub fn key(&self) -> &str {
        &self.text[usize::from(self.category) + 1..]
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Checks a category: a name without hyphen, short enough to leave room for a key.
///
/// # Errors
/// [`NameError`] that says what is wrong.
pub fn check_category(category: &str) -> Result<(), NameError> {
    check_name("stream category", category)?;
    debug_assert!(category.len() <= MAX_NAME_BYTES);
    if category.contains('-') {
        let problem = format!("`{category}` holds a hyphen, which separates category and key; use `_` instead");
        return Err(NameError { what: "stream category", problem });
    }
    Ok(())
}

impl PartialEq for StreamId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for StreamId {}
impl PartialOrd for StreamId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for StreamId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}
impl std::hash::Hash for StreamId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The place of a message in its stream; the first is 1, 0 means that nothing is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamVersion(pub u64);

/// The place of a message in a unit's log, gapless; the first is 1, 0 is before all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first message.
    pub const START: Self = Self(0);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
impl fmt::Display for StreamVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which log a position belongs to. A restore from a backup makes a new epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Random, given to a log when it is made.
    pub log_id: [u8; 16],
    /// Counts restores.
    pub epoch: u32,
}

/// `<log id in hexadecimal>/<epoch>`.
impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "/{}", self.epoch)
    }
}

/// A position that knows its log. A cursor kept outside the log refuses to run against another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The log.
    pub lineage: Lineage,
    /// The last message that was taken.
    pub position: Position,
}

/// What a writer believes about a stream's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Nothing.
    Any,
    /// The stream does not exist.
    NoStream,
    /// The stream exists.
    StreamExists,
    /// The stream's last version is this one.
    Exact(StreamVersion),
}

impl ExpectedVersion {
    /// Whether a stream at `actual` is as expected.
    pub fn holds(self, actual: StreamVersion) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual.0 == 0,
            Self::StreamExists => actual.0 > 0,
            Self::Exact(version) => version == actual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_splits_at_its_first_hyphen() {
        let stream = StreamId::parse("order-2026-11-1").unwrap();
        assert_eq!((stream.category(), stream.key()), ("order", "2026-11-1"));
        assert_eq!(StreamId::new("order", "2026-11-1").unwrap(), stream);
    }

    #[test]
    fn a_category_with_a_hyphen_is_refused_with_the_remedy() {
        let error = StreamId::new("my-order", "1").unwrap_err().to_string();
        assert!(error.contains("use `_` instead"), "{error}");
    }
}
