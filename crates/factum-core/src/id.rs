//! Names and ids: cheap to copy, checked once where they come in.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, de};
use uuid::Uuid;

use crate::error::NameError;

/// The longest id, stream key or name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// The id of a message: any non-empty printable text of at most 128 bytes. Ours are UUIDs, and nothing
/// depends on their order.
///
/// A text that is a canonical UUID is kept as its 16 bytes, so that copying one never allocates.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Inner);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Inner {
    Uuid(Uuid),
    Text(Arc<str>),
}

impl MessageId {
    /// Reads an id of any maker.
    ///
    /// # Errors
    /// [`NameError`] if the text is empty, longer than 128 bytes or not printable.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() == 36
            && !text.bytes().any(|byte| byte.is_ascii_uppercase())
            && let Ok(uuid) = Uuid::try_parse(text)
        {
            return Ok(Self(Inner::Uuid(uuid)));
        }
        check_id("message id", text)?;
        Ok(Self(Inner::Text(Arc::from(text))))
    }

    /// The id as 16 bytes, if it is a UUID.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match &self.0 {
            Inner::Uuid(uuid) => Some(*uuid),
            Inner::Text(_) => None,
        }
    }

    /// The text of an id that is not a UUID.
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Inner::Uuid(_) => None,
            Inner::Text(text) => Some(text),
        }
    }

    /// An id that anybody derives again from the same parts: for effects that must be the same on every attempt, and for
    /// what a request makes that may be sent again. Then its first part says what it is the id of, and the second is the
    /// client's key: `MessageId::derived(&["order", key])`. The parts are told apart; the text is that of a UUID of version 8,
    /// the same in every version of the program.
    pub fn derived(parts: &[&str]) -> Self {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self(Inner::Uuid(uuid::Builder::from_custom_bytes(hash.digest128().to_be_bytes()).into_uuid()))
    }
}

impl From<Uuid> for MessageId {
    fn from(uuid: Uuid) -> Self {
        Self(Inner::Uuid(uuid))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Uuid(uuid) => fmt::Display::fmt(uuid.as_hyphenated(), f),
            Inner::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// A name of a type, service, consumer or version. Static names are free, names read from outside are shared.
#[derive(Clone)]
pub enum Name {
    /// Written in the program.
    Static(&'static str),
    /// Read from a log or from a request.
    Shared(Arc<str>),
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }

    /// Reads a name of a type, service or consumer: `[a-z0-9][a-z0-9._-]{0,127}`.
    ///
    /// # Errors
    /// [`NameError`] that says what is wrong.
    pub fn parse(what: &'static str, text: &str) -> Result<Self, NameError> {
        check_name(what, text)?;
        Ok(Self::Shared(Arc::from(text)))
    }
}

impl std::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&'static str> for Name {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for Name {}
impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}
impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}
impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}
impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}
impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::Shared(Arc::from(String::deserialize(deserializer)?)))
    }
}

/// Checks an id: 1 to 128 bytes, all printable.
///
/// # Errors
/// [`NameError`] that says what is wrong.
pub fn check_id(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError { what, problem: "is empty".to_owned() });
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError { what, problem: format!("has {} bytes; {MAX_NAME_BYTES} are allowed", text.len()) });
    }
    if text.chars().any(char::is_control) {
        return Err(NameError {
            what,
            problem: "holds a control character; only printable text is allowed".to_owned(),
        });
    }
    Ok(())
}

/// Whether a character cannot be seen, or changes how its neighbours are shown: Unicode's default ignorable ones, and all
/// white space but the plain space.
pub fn unseen(char: char) -> bool {
    let ignorable = matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    ignorable || (char.is_whitespace() && char != ' ' && !char.is_control())
}

/// Checks a name of a type, service or consumer.
///
/// # Errors
/// [`NameError`] that says what is wrong.
pub fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    check_id(what, text)?;
    let starts_well = text.as_bytes().first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let fits = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
    if starts_well && fits {
        return Ok(());
    }
    let problem = format!("`{text}` must start with a-z or 0-9 and hold only a-z, 0-9, `.`, `_`, `-`");
    Err(NameError { what, problem })
}

/// Checks a name of a type, also an adopted one: 1 to 128 printable ASCII characters, no space and no `/`.
///
/// # Errors
/// [`NameError`] that says what is wrong.
pub fn check_type_name(text: &str) -> Result<(), NameError> {
    check_id("type", text)?;
    if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') {
        return Ok(());
    }
    let problem = format!("`{text}` must hold only printable ASCII characters, no space and no `/`");
    Err(NameError { what: "type", problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_uuid_and_a_foreign_id_both_keep_their_text() {
        for text in ["018f2f3a-5a77-7cc0-b7a4-0242ac120002", "evt-12345", "018F2F3A-5A77-7CC0-B7A4-0242AC120002", "Ü"]
        {
            assert_eq!(MessageId::parse(text).unwrap().to_string(), text);
        }
        assert!(MessageId::parse("018f2f3a-5a77-7cc0-b7a4-0242ac120002").unwrap().as_uuid().is_some());
    }

    #[test]
    fn ids_that_are_empty_long_or_unprintable_are_refused_with_the_reason() {
        assert!(MessageId::parse("").unwrap_err().to_string().contains("empty"));
        assert!(MessageId::parse(&"x".repeat(129)).unwrap_err().to_string().contains("129 bytes"));
        assert!(MessageId::parse("a\nb").unwrap_err().to_string().contains("control"));
    }

    #[test]
    fn derived_ids_tell_their_parts_apart_and_stay_what_they_are() {
        assert_eq!(MessageId::derived(&["order", "key-1"]).to_string(), "025378c7-d5b6-8014-aed6-0a5827c71e48");
        assert_eq!(MessageId::derived(&["a", "bc"]), MessageId::derived(&["a", "bc"]));
        assert_ne!(MessageId::derived(&["a", "bc"]), MessageId::derived(&["ab", "c"]));
    }

    #[test]
    fn names_are_lower_case() {
        assert!(check_name("type", "order.created").is_ok());
        assert!(check_name("type", "Order.created").is_err());
        assert!(check_name("type", ".created").is_err());
    }

    #[test]
    fn an_adopted_name_holds_what_other_systems_write() {
        for name in ["OrderCreated", "com.example.order.created.v1", "order:created", "ORDER_CREATED"] {
            assert!(check_type_name(name).is_ok(), "{name}");
        }
        for name in ["", "order created", "order/created", "bestellung.erhöht", "a\nb"] {
            assert!(check_type_name(name).is_err(), "{name}");
        }
        assert!(check_type_name(&"x".repeat(129)).is_err());
    }
}
