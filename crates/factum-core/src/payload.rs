//! What a message carries: typed JSON objects with a registered name and a version.
//!
//! [`Event`] and [`Command`] are derived; both are a [`Payload`]. A struct is one type, an enum of such structs is
//! several, so that a handler can take exactly the types it needs.

use schemars::Schema;
use serde::Serialize;

/// One message type as its owner declares it.
#[derive(Clone, Copy, Debug)]
pub struct TypeInfo {
    /// `domain.event_name` for an event, `domain.verb` for a command.
    pub name: &'static str,
    /// Semantic version of the data's shape.
    pub version: &'static str,
    /// Names that it had before: what is stored under them is read under today's.
    pub was: &'static [&'static str],
    /// The name is an existing one, taken as it is, and need not follow our rules.
    pub adopted: bool,
    /// An event that only its own service reads, a command that only this program sends; all others are public: a contract
    /// for other services.
    pub own: bool,
    /// Fields that tell of a person.
    pub personal: &'static [Personal],
    /// The JSON Schema of the data, made on demand.
    pub schema: fn() -> Schema,
}

/// A field of a message's data that tells of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Personal {
    /// Its name in JSON.
    pub field: &'static str,
    /// The field that says of whom, by its name in JSON.
    pub subject: &'static str,
}

impl TypeInfo {
    /// A type under a name of ours that it always had.
    pub const fn new(name: &'static str, version: &'static str, schema: fn() -> Schema) -> Self {
        Self { name, version, was: &[], adopted: false, own: false, personal: &[], schema }
    }
}

/// Whether data of a type carries a text, as far as its schema tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarriesText {
    /// It does, or the schema cannot tell.
    Perhaps,
    /// It has no such field.
    Missing,
    /// The field is something else.
    Other,
}

impl TypeInfo {
    /// Whether a top-level field of the data can be a text.
    pub fn carries_text(&self, field: &str) -> CarriesText {
        let schema = (self.schema)();
        let open = ["$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties"];
        let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) else {
            return CarriesText::Perhaps;
        };
        match properties.get(field).map(|property| property.get("type")) {
            None => {
                let adds = schema.get("additionalProperties").is_some_and(|adds| *adds != false);
                let unsure = adds || open.iter().any(|word| schema.get(*word).is_some());
                if unsure { CarriesText::Perhaps } else { CarriesText::Missing }
            }
            Some(Some(serde_json::Value::String(one))) if one != "string" => CarriesText::Other,
            Some(Some(serde_json::Value::Array(several))) if several.iter().all(|one| one != "string") => {
                CarriesText::Other
            }
            Some(_) => CarriesText::Perhaps,
        }
    }
}

/// The semantic version of a shape. Readers of a major read all its minors: a minor only adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Another one has another shape.
    pub major: u64,
    /// A later one has more in it.
    pub minor: u64,
    /// Changes nothing that a reader sees.
    pub patch: u64,
}

impl Version {
    /// Reads `major.minor.patch`, three plain numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |part: &str| part == "0" || !part.starts_with(['0', '+']);
        let mut parts = text.split('.').map(|part| part.parse::<u64>().ok().filter(|_| plain(part)));
        let version = Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
        parts.next().is_none().then_some(version)
    }
}

/// Typed data that can be stored in a message and read back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of message",
    label = "neither an event nor a command",
    note = "derive it: `#[derive(Event)] #[event(\"order.created\")]` for a fact, `#[derive(Command)] #[command(\"order.create\")]` for a request; above an enum of such structs the derive stands alone"
)]
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event",
    label = "an event is expected here",
    note = "derive it: `#[derive(Event)] #[event(\"order.created\")]`, in the past tense; above an enum of events `#[derive(Event)]` alone"
)]
pub trait Event: Payload {}

/// A request to one service, which may be rejected. Derive it: `#[derive(Command)] #[command("order.create")]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no command",
    label = "a command is expected here",
    note = "derive it: `#[derive(Command)] #[command(\"order.create\")]`; above an enum of commands `#[derive(Command)]` alone"
)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_tells_whether_a_field_can_be_a_text() {
        fn told(schema: fn() -> Schema, field: &str) -> CarriesText {
            TypeInfo::new("a.b", "1.0.0", schema).carries_text(field)
        }
        use CarriesText as C;
        let plain = || {
            schemars::json_schema!({"type": "object", "properties": {
                "id": {"type": "string"}, "note": {"type": ["string", "null"]}, "pieces": {"type": "integer"},
                "sizes": {"type": ["array", "null"]}, "newtype": {"$ref": "#/$defs/Id"}, "any": true,
            }})
        };
        assert_eq!(["id", "note", "newtype", "any"].map(|field| told(plain, field)), [C::Perhaps; 4]);
        assert_eq!(["pieces", "sizes"].map(|field| told(plain, field)), [C::Other; 2]);
        assert_eq!(told(plain, "orderId"), C::Missing);
        let others: [fn() -> Schema; 4] = [
            || schemars::json_schema!(true),
            || schemars::json_schema!({"type": "object"}),
            || schemars::json_schema!({"properties": {"a": true}, "additionalProperties": true}),
            || schemars::json_schema!({"properties": {"a": true}, "oneOf": [{"properties": {"id": true}}]}),
        ];
        assert_eq!(others.map(|schema| told(schema, "id")), [C::Perhaps; 4]);
        let closed = || schemars::json_schema!({"properties": {"a": true}, "additionalProperties": false});
        assert_eq!(told(closed, "id"), C::Missing);
    }

    #[test]
    fn a_version_is_three_plain_numbers_and_ordered_by_them() {
        let read = |text| Version::parse(text).unwrap();
        assert!(read("1.10.0") > read("1.9.9") && read("2.0.0") > read("1.10.0"));
        for text in ["", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.x", "01.0.0", "1.+1.0", "1..0", "1.0.-1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
