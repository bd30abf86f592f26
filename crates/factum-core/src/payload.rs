//! What a message carries: typed JSON objects with a registered name and a version.
//!
//! [`Event`] and [`Command`] are derived; both are a [`Payload`]. A struct is one type, an enum of such structs is
//! several, so that a handler can take exactly the types it needs.

use schemars::Schema;

/// One message type as its owner declares it.
#[derive(Clone, Copy, Debug)]
pub struct TypeInfo {
    /// `domain.event_name` for an event, `domain.verb` for a command.
    pub name: &'static str,
    /// Semantic version of the data's shape.
    pub version: &'static str,
    /// The JSON Schema of the data, made on demand.
    pub schema: fn() -> Schema,
}

/// Typed data that can be stored in a message and read back.
pub trait Payload: Sized + Send + Sync + 'static {
    /// Every type that a value of this Rust type can hold.
    fn types() -> Vec<TypeInfo>;

    /// The registered name of this value's type.
    fn type_info(&self) -> TypeInfo;

    /// Reads the data of a message of type `name`.
    ///
    /// # Errors
    /// [`PayloadError::UnknownType`] if `name` is not one of [`Payload::types`], [`PayloadError::Decode`] if the data
    /// does not have the declared shape. Unknown fields are ignored.
    fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError>;

    /// Appends the data as one JSON object to `out`.
    ///
    /// # Errors
    /// [`PayloadError::Encode`] if a value has no JSON form (a map with keys that are not strings).
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError>;
}

/// The text of one top-level field of a JSON object, found without building the rest.
///
/// # Errors
/// What the JSON reader found, if it is no object or the field is no text.
pub fn field(data: &[u8], name: &str) -> Result<Option<String>, serde_json::Error> {
    struct Find<'a>(&'a str);
    impl<'de> serde::de::Visitor<'de> for Find<'_> {
        type Value = Option<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a JSON object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                if found.is_none() && key == self.0 {
                    found = map.next_value::<Option<String>>()?;
                } else {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(data);
    serde::Deserializer::deserialize_map(&mut deserializer, Find(name))
}

/// A fact in the past tense. Derive it: `#[derive(Event)] #[event("order.created")]`.
pub trait Event: Payload {}

/// A request to one service, which may be rejected. Derive it: `#[derive(Command)] #[command("order.create")]`.
pub trait Command: Payload {}

/// Data that is not what its type declares.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The Rust type does not know this message type.
    #[error("type `{0}` is not one that this handler reads")]
    UnknownType(String),
    /// The JSON does not fit the shape.
    #[error("the data of `{name}` does not fit its declared shape: {cause}")]
    Decode {
        /// The message type.
        name: String,
        /// What the JSON reader found, with line and column.
        cause: String,
    },
    /// The value has no JSON form.
    #[error("the data of `{name}` cannot be written as JSON: {cause}")]
    Encode {
        /// The message type.
        name: String,
        /// What the JSON writer said.
        cause: String,
    },
}

impl PayloadError {
    /// Wraps a reader's error; used by the derives.
    pub fn decode(name: &str, cause: &serde_json::Error) -> Self {
        Self::Decode { name: name.to_owned(), cause: cause.to_string() }
    }

    /// Wraps a writer's error; used by the derives.
    pub fn encode(name: &str, cause: &serde_json::Error) -> Self {
        Self::Encode { name: name.to_owned(), cause: cause.to_string() }
    }
}
