//! Snapshots: folded states beside the log, so that a start need not fold everything again. Derived, thrown away freely.

use std::any::{Any, type_name};

use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    error::HandlerError,
    payload::TypeInfo,
    stream::{Cursor, Lineage, Position},
};

/// Names the layout of [`Snapshot::seal`]; another one is not read.
const FORMAT: [u8; 4] = *b"fsn1";
/// Format, log, epoch, position, model, checksum.
const HEADER: usize = 4 + 16 + 4 + 8 + 8 + 8;

/// A folded state as it was at a place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What folded it: [`Codec::model`].
    pub model: u64,
    /// Nothing behind this place is in it.
    pub at: Cursor,
    /// The state.
    pub state: Vec<u8>,
}

impl Snapshot {
    /// As bytes with a checksum, which also covers the name; for implementations that keep bytes.
    pub fn seal(&self, name: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.state.len());
        bytes.extend_from_slice(&FORMAT);
        bytes.extend_from_slice(&self.at.lineage.log_id);
        bytes.extend_from_slice(&self.at.lineage.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.at.position.0.to_le_bytes());
        bytes.extend_from_slice(&self.model.to_le_bytes());
        let sum = checksum(name, &bytes, &self.state);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.extend_from_slice(&self.state);
        bytes
    }

    /// Reads sealed bytes; `None` if they are torn, changed, of another format or of another name.
    pub fn unseal(name: &str, bytes: &[u8]) -> Option<Self> {
        let at = Self::place(bytes)?;
        let (header, state) = bytes.split_at_checked(HEADER)?;
        let (covered, sum) = header.split_last_chunk()?;
        let model = u64::from_le_bytes(*covered.last_chunk()?);
        let whole = u64::from_le_bytes(*sum) == checksum(name, covered, state);
        whole.then(|| Self { model, at, state: state.to_vec() })
    }

    /// The place that sealed bytes claim to stand for, from their first 48; whether they are whole is not looked at.
    pub fn place(bytes: &[u8]) -> Option<Cursor> {
        let rest = bytes.get(..HEADER)?.strip_prefix(&FORMAT)?;
        let (log_id, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let lineage = Lineage { log_id: *log_id, epoch: u32::from_le_bytes(*epoch) };
        Some(Cursor { lineage, position: Position(u64::from_le_bytes(*rest.first_chunk()?)) })
    }
}

fn checksum(name: &str, header: &[u8], state: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(&(name.len() as u64).to_le_bytes());
    for part in [name.as_bytes(), header, state] {
        sum.update(part);
    }
    sum.digest()
}

/// A snapshot whose state is not written as bytes yet. Writing a large one takes long, a copy of it need not: so the copy
/// is taken where the state lives, and written elsewhere.
pub struct Unwritten {
    /// What folded it: [`Codec::model`].
    pub model: u64,
    /// Nothing behind this place is in it.
    pub at: Cursor,
    /// About how many bytes it will have.
    pub about: usize,
    /// Writes it.
    pub write: Box<dyn FnOnce() -> Result<Vec<u8>, HandlerError> + Send>,
}

impl Unwritten {
    /// As bytes.
    ///
    /// # Errors
    /// [`HandlerError`] if the state has no JSON form.
    pub fn write(self) -> Result<Snapshot, HandlerError> {
        Ok(Snapshot { model: self.model, at: self.at, state: (self.write)()? })
    }
}

/// A state without its type.
type State = Box<dyn Any + Send>;

/// How a state is written into a snapshot and read back. A state is written as JSON.
///
/// A snapshot that was written by other code must not become a wrong state. It is not used if
///
/// - the version, the name of the state's type, or a name or version of the events that are folded is another one;
/// - the JSON does not fit the type;
/// - what was read is not written as the same bytes again: so a field that came or went is noticed wherever the data
///   holds it, also an `Option`. A state whose JSON has no fixed order (a `HashMap`) is therefore never read back.
///
/// What cannot be noticed, so that the version must be raised for it: folding that changed its meaning over the same
/// events and fields; an upcaster that changed under the same versions; fields that serde skips, both ways.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// Tells the code that folded one snapshot from the code that folded another.
    pub model: u64,
    copy: fn(&dyn Any) -> Result<State, HandlerError>,
    encode: fn(&dyn Any) -> Result<Vec<u8>, HandlerError>,
    decode: fn(&[u8]) -> Result<State, HandlerError>,
}

impl Codec {
    /// For states of type `S` that are folded from these events.
    pub fn of<S: Clone + Serialize + DeserializeOwned + Send + 'static>(version: u32, folded: &[TypeInfo]) -> Self {
        let mut model = Xxh3::new();
        let mut part = |text: &str| {
            model.update(&(text.len() as u64).to_le_bytes());
            model.update(text.as_bytes());
        };
        part(type_name::<S>());
        for info in folded {
            part(info.name);
            part(info.version);
        }
        model.update(&version.to_le_bytes());
        Self { model: model.digest(), copy: copy::<S>, encode: encode::<S>, decode: decode::<S> }
    }

    /// Copies a state, to be written later.
    ///
    /// # Errors
    /// [`HandlerError`] if it is the state of another model.
    pub fn copy(&self, state: &dyn Any) -> Result<Box<dyn Any + Send>, HandlerError> {
        (self.copy)(state)
    }

    /// Writes a state.
    ///
    /// # Errors
    /// [`HandlerError`] if the state has no JSON form, such as a map with keys that are not texts or numbers.
    pub fn encode(&self, state: &dyn Any) -> Result<Vec<u8>, HandlerError> {
        (self.encode)(state)
    }

    /// Reads a state.
    ///
    /// # Errors
    /// [`HandlerError`] if it is not what this code would have written.
    pub fn decode(&self, bytes: &[u8]) -> Result<Box<dyn Any + Send>, HandlerError> {
        (self.decode)(bytes)
    }
}

fn copy<S: Clone + Send + 'static>(state: &dyn Any) -> Result<State, HandlerError> {
    Ok(Box::new(known::<S>(state)?.clone()))
}

fn encode<S: Serialize + 'static>(state: &dyn Any) -> Result<Vec<u8>, HandlerError> {
    serde_json::to_vec(known::<S>(state)?).map_err(HandlerError::failed)
}

fn known<S: 'static>(state: &dyn Any) -> Result<&S, HandlerError> {
    state.downcast_ref::<S>().ok_or_else(|| HandlerError::failed("it is the state of another model"))
}

fn decode<S: Serialize + DeserializeOwned + Send + 'static>(bytes: &[u8]) -> Result<State, HandlerError> {
    let state: S = serde_json::from_slice(bytes).map_err(HandlerError::failed)?;
    if encode::<S>(&state)? != bytes {
        return Err(HandlerError::failed(
            "its state is not written as it was read: the shape of the state has changed",
        ));
    }
    Ok(Box::new(state))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde::Deserialize;

    use super::*;

    fn snapshot() -> Snapshot {
        let lineage = Lineage { log_id: [7; 16], epoch: 3 };
        Snapshot { model: 5, at: Cursor { lineage, position: Position(9) }, state: b"{\"a\":1}".to_vec() }
    }

    #[test]
    fn what_is_sealed_comes_back_and_says_its_place() {
        let sealed = snapshot().seal("fold/a");
        assert_eq!(Snapshot::unseal("fold/a", &sealed), Some(snapshot()));
        assert_eq!(Snapshot::place(&sealed[..HEADER]), Some(snapshot().at));
    }

    #[test]
    fn a_torn_changed_or_renamed_snapshot_is_not_read() {
        let sealed = snapshot().seal("fold/a");
        assert_eq!(Snapshot::unseal("fold/b", &sealed), None);
        for length in 0..sealed.len() {
            assert_eq!(Snapshot::unseal("fold/a", &sealed[..length]), None, "{length} bytes of it");
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Snapshot::unseal("fold/a", &changed), None, "bit {bit}");
        }
    }

    #[derive(Clone, Serialize, Deserialize)]
    struct Old {
        items: BTreeMap<String, OldItem>,
    }
    #[derive(Clone, Serialize, Deserialize)]
    struct OldItem {
        pieces: u32,
    }
    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct New {
        items: BTreeMap<String, NewItem>,
    }
    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct NewItem {
        pieces: u32,
        place: Option<String>,
    }

    #[test]
    fn a_field_that_came_is_noticed_also_where_serde_would_not_miss_it() {
        let old = Old { items: BTreeMap::from([("a".to_owned(), OldItem { pieces: 3 })]) };
        let bytes = Codec::of::<Old>(1, &[]).encode(&old).unwrap();
        assert!(serde_json::from_slice::<New>(&bytes).is_ok(), "serde reads an absent option as none");
        let error = Codec::of::<New>(1, &[]).decode(&bytes).unwrap_err();
        assert!(error.to_string().contains("shape"), "{error}");
        assert!(Codec::of::<Old>(1, &[]).decode(&bytes).is_ok());
    }

    #[test]
    fn a_field_that_went_is_noticed() {
        let item = NewItem { pieces: 3, place: Some("left".to_owned()) };
        let bytes = Codec::of::<New>(1, &[]).encode(&New { items: BTreeMap::from([("a".to_owned(), item)]) }).unwrap();
        assert!(Codec::of::<Old>(1, &[]).decode(&bytes).is_err());
    }

    #[test]
    fn version_type_and_events_make_the_model() {
        let event = |name, version| TypeInfo::new(name, version, || schemars::schema_for!(u8));
        let (one, two) = (event("a.happened", "1.0.0"), event("a.happened", "1.1.0"));
        let models = [
            Codec::of::<Old>(1, &[one]),
            Codec::of::<Old>(2, &[one]),
            Codec::of::<New>(1, &[one]),
            Codec::of::<Old>(1, &[two]),
            Codec::of::<Old>(1, &[one, event("b.happened", "1.0.0")]),
        ];
        let different: std::collections::BTreeSet<u64> = models.iter().map(|codec| codec.model).collect();
        assert_eq!(different.len(), models.len());
        assert_eq!(Codec::of::<Old>(1, &[one]).model, models[0].model);
    }

    #[test]
    fn a_state_without_a_json_form_is_refused() {
        let map = HashMap::from([((1, 2), 3)]);
        assert!(Codec::of::<HashMap<(i32, i32), i32>>(1, &[]).encode(&map).is_err());
        assert!(Codec::of::<Old>(1, &[]).encode(&map).is_err(), "and that of another type");
    }
}
