//! Upcasters: stored data of an old version, raised to the shape that today's readers know.
//!
//! An event is never edited; what is read of it is raised on the way. Each step leads from one version of a type to a
//! later one, and steps chain: 1.0.0 → 1.1.0 → 2.0.0.
//!
//! An upcaster that panics spoils its message and nothing else: the data then reads as a JSON text that says what
//! happened, which fits no type, so that each reader of it fails as it does on any data that it cannot decode.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    cell::{Cell, CellKey, CellKind},
    envelope::{Message, Stored},
    error::{StoreError, panic_text},
    id::Name,
    ports::{Reader, Scan, Scanned},
    stream::{Lineage, Position, StreamId, StreamVersion},
};

/// Changes the data of one version into that of a later one. Pure.
pub type Raise = Arc<dyn Fn(Value) -> Value + Send + Sync>;

/// One step, as a service declares it.
#[derive(Clone)]
pub struct Upcast {
    /// The message type.
    pub type_name: &'static str,
    /// The version it reads.
    pub from: &'static str,
    /// The version it makes.
    pub to: &'static str,
    /// How.
    pub raise: Raise,
}

/// A step that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpcastError {
    /// Two steps start at the same version.
    #[error("there are two upcasters of `{type_name}` from {from}: keep one")]
    Twice {
        /// The type.
        type_name: &'static str,
        /// The version.
        from: &'static str,
    },
    /// The step does not lead upwards.
    #[error("the upcaster of `{type_name}` leads from {from} to {to}: it must lead to a later version, such as 1.1.0")]
    NotUp {
        /// The type.
        type_name: &'static str,
        /// From.
        from: &'static str,
        /// To.
        to: &'static str,
    },
}

/// All steps of a unit.
#[derive(Clone, Default)]
pub struct Upcasters(BTreeMap<&'static str, BTreeMap<&'static str, Upcast>>);

impl Upcasters {
    /// Puts steps together.
    ///
    /// # Errors
    /// [`UpcastError`] if two steps start at one version, or one does not lead upwards, so that chains always end.
    pub fn new<'a>(steps: impl IntoIterator<Item = &'a Upcast>) -> Result<Self, UpcastError> {
        let mut table: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for step in steps {
            let Upcast { type_name, from, to, .. } = *step;
            if version(from).zip(version(to)).is_none_or(|(from, to)| from >= to) {
                return Err(UpcastError::NotUp { type_name, from, to });
            }
            if table.entry(type_name).or_default().insert(from, step.clone()).is_some() {
                return Err(UpcastError::Twice { type_name, from });
            }
        }
        Ok(Self(table))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Raises a message as far as steps lead. Data that is no JSON is left as it is: reading it will say so.
    pub fn raise(&self, message: &mut Message) {
        let mut step = self.step(message);
        if step.is_none() {
            return;
        }
        let Ok(mut data) = serde_json::from_slice::<Value>(&message.data) else { return };
        while let Some(Upcast { from, to, raise, .. }) = step {
            data = match catch_unwind(AssertUnwindSafe(|| raise(data))) {
                Ok(raised) => raised,
                Err(panic) => {
                    let (name, panic) = (&message.envelope.type_name, panic_text(&*panic));
                    let problem = format!("the upcaster of {name} from {from} to {to} panicked: {panic}");
                    message.data = Arc::from(Value::String(problem).to_string().into_bytes());
                    return;
                }
            };
            message.envelope.data_version = Name::Static(to);
            step = self.step(message);
        }
        message.data = Arc::from(data.to_string().into_bytes());
    }

    fn step(&self, message: &Message) -> Option<&Upcast> {
        self.0.get(message.envelope.type_name.as_str())?.get(message.envelope.data_version.as_str())
    }
}

fn version(text: &str) -> Option<(u64, u64, u64)> {
    let mut parts = text.split('.').map(str::parse::<u64>);
    let version = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    parts.next().is_none().then_some(version)
}

/// A reader through upcasters: everything that is read is of the newest shape.
pub struct Raised {
    reader: Arc<dyn Reader>,
    upcasters: Upcasters,
}

impl Raised {
    /// Reads through upcasters; without any it is the reader itself.
    pub fn over(reader: Arc<dyn Reader>, upcasters: &Upcasters) -> Arc<dyn Reader> {
        if upcasters.is_empty() {
            return reader;
        }
        Arc::new(Self { reader, upcasters: upcasters.clone() })
    }

    fn all(&self, mut messages: Vec<Stored>) -> Vec<Stored> {
        for stored in &mut messages {
            self.upcasters.raise(&mut stored.message);
        }
        messages
    }
}

impl Reader for Raised {
    fn lineage(&self) -> Lineage {
        self.reader.lineage()
    }

    fn head(&self) -> Position {
        self.reader.head()
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, StoreError> {
        let Scanned { messages, through } = self.reader.scan(scan)?;
        Ok(Scanned { messages: self.all(messages), through })
    }

    fn stream(&self, stream: &StreamId, after: StreamVersion) -> Result<Vec<Stored>, StoreError> {
        Ok(self.all(self.reader.stream(stream, after)?))
    }

    fn streams(&self, streams: &[StreamId]) -> Result<Vec<Vec<Stored>>, StoreError> {
        Ok(self.reader.streams(streams)?.into_iter().map(|messages| self.all(messages)).collect())
    }

    fn cells(&self, kind: CellKind) -> Result<Vec<Cell>, StoreError> {
        self.reader.cells(kind)
    }

    fn cell(&self, key: &CellKey) -> Result<Option<Cell>, StoreError> {
        self.reader.cell(key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        commit::{Append, Commit, Found, Owners, check},
        envelope::{Envelope, Kind},
        id::MessageId,
        memory::Memory,
        ports::Backend,
        stream::ExpectedVersion,
    };

    fn step(from: &'static str, to: &'static str, raise: fn(Value) -> Value) -> Upcast {
        Upcast { type_name: "order.created", from, to, raise: Arc::new(raise) }
    }

    fn chain() -> Upcasters {
        let split = |mut data: Value| {
            data["sku"] = json!(data["article"].as_str().unwrap_or_default().to_uppercase());
            data
        };
        let count = |mut data: Value| {
            data["quantity"] = json!(1);
            data
        };
        Upcasters::new(&[step("1.0.0", "1.1.0", split), step("1.1.0", "2.0.0", count)]).unwrap()
    }

    fn message(version: &'static str, data: &[u8]) -> Message {
        let id = MessageId::parse("e-1").unwrap();
        Message {
            envelope: Envelope {
                id: id.clone(),
                kind: Kind::Event,
                type_name: Name::Static("order.created"),
                source: Name::Static("order"),
                data_version: Name::Static(version),
                timestamp: jiff::Timestamp::UNIX_EPOCH,
                correlation_id: id,
                causation_id: None,
                partition_key: Arc::from("1"),
                user_id: None,
                traceparent: None,
                metadata: None,
                depth: 0,
                digest: None,
            },
            data: Arc::from(data),
        }
    }

    #[test]
    fn steps_chain_and_newer_data_is_left_alone() {
        let mut old = message("1.0.0", br#"{"article":"tea"}"#);
        chain().raise(&mut old);
        assert_eq!(old.envelope.data_version, "2.0.0");
        let data: Value = serde_json::from_slice(&old.data).unwrap();
        assert_eq!(data, json!({"article": "tea", "sku": "TEA", "quantity": 1}));
        let mut new = message("2.0.0", br#"{"sku":"TEA"}"#);
        chain().raise(&mut new);
        assert_eq!(&*new.data, br#"{"sku":"TEA"}"#);
    }

    #[test]
    fn data_that_is_no_json_is_left_for_its_reader_to_refuse() {
        let mut broken = message("1.0.0", b"{");
        chain().raise(&mut broken);
        assert_eq!(broken.envelope.data_version, "1.0.0");
    }

    #[test]
    fn steps_that_do_not_lead_up_or_stand_twice_are_refused() {
        for (from, to) in [("1.0.0", "1.0.0"), ("2.0.0", "1.9.9"), ("1.0", "2.0.0"), ("1.0.0", "two")] {
            assert!(matches!(Upcasters::new(&[step(from, to, |data| data)]), Err(UpcastError::NotUp { .. })), "{from}");
        }
        let twice = [step("1.0.0", "1.1.0", |data| data), step("1.0.0", "2.0.0", |data| data)];
        assert!(matches!(Upcasters::new(&twice), Err(UpcastError::Twice { .. })));
    }

    #[test]
    fn every_way_of_reading_is_raised() {
        let mut memory = Memory::new();
        let stream = StreamId::new("order", "1").unwrap();
        let append = Append {
            stream: stream.clone(),
            expected: ExpectedVersion::NoStream,
            writer: Name::Static("order"),
            messages: vec![message("1.0.0", br#"{"article":"tea"}"#)],
        };
        let commit = Commit { appends: vec![append], cells: vec![] };
        let plan = check(&Owners::default(), &Found::default(), commit).unwrap();
        memory.write(&[plan]).unwrap();
        let reader = Raised::over(Backend::reader(&memory), &chain());
        let scan = Scan { after: Position::START, until: reader.head(), bytes: 1024, types: None };
        let ways = [
            reader.scan(&scan).unwrap().messages,
            reader.stream(&stream, StreamVersion(0)).unwrap(),
            reader.streams(&[stream]).unwrap().concat(),
        ];
        for messages in ways {
            assert_eq!(messages[0].message.envelope.data_version, "2.0.0");
        }
    }
}
