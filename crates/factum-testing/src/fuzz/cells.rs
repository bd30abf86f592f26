//! Any bytes as a cell's key, as a name, and as a sealed snapshot.

use std::collections::BTreeMap;

use factum_core::{
    cell::CellKey,
    id::{MessageId, Name},
    snapshot::{Codec, Snapshot},
    stream::{Cursor, Lineage, Position, StreamId},
};

use super::{Verdict, must};

type State = BTreeMap<String, Option<u32>>;

/// Takes the input for a key, for names, for a sealed snapshot and for a state in one. What is accepted is written as
/// the same.
///
/// # Errors
/// What does not hold.
pub fn cells(input: &[u8]) -> Verdict {
    if let Ok(text) = std::str::from_utf8(input) {
        names(text)?;
    }
    if let Some(snapshot) = Snapshot::unseal("fold/a", input) {
        must(snapshot.seal("fold/a") == input, || format!("{snapshot:?} is not sealed as the same bytes again"))?;
        must(Snapshot::unseal("fold/b", input).is_none(), || "a snapshot of another name is read".into())?;
    }
    let codec = Codec::of::<State>(1, &[]);
    if let Ok(state) = codec.decode(input) {
        let again = codec.encode(&*state).map_err(|error| error.to_string())?;
        must(again == input, || "a state is not written as the same bytes again".into())?;
    }
    // The input as the state of a good snapshot, and then the first byte of that changed.
    let lineage = Lineage { log_id: [7; 16], epoch: 3 };
    let good = Snapshot { model: 5, at: Cursor { lineage, position: Position(9) }, state: input.to_vec() };
    let mut sealed = good.seal("fold/a");
    must(Snapshot::place(&sealed) == Some(good.at), || "a snapshot does not say its place".into())?;
    must(Snapshot::unseal("fold/a", &sealed) == Some(good), || "a sealed snapshot is not read back".into())?;
    if let Some(byte) = sealed.last_mut() {
        *byte ^= 1;
    }
    must(Snapshot::unseal("fold/a", &sealed).is_none(), || "a changed snapshot is read".into())
}

fn names(text: &str) -> Verdict {
    if let Some(key) = CellKey::from_text(text) {
        must(key.to_text() == text, || format!("the key {text:?} is written as {key}"))?;
    }
    if let Ok(stream) = StreamId::parse(text) {
        let again = StreamId::new(stream.category(), stream.key());
        must(stream.as_str() == text && again.as_ref() == Ok(&stream), || format!("{text:?} is read as {stream}"))?;
    }
    if let Ok(name) = Name::parse("type", text) {
        must(&*name == text, || format!("{text:?} is read as {name:?}"))?;
    }
    if let Ok(id) = MessageId::parse(text) {
        let again = MessageId::parse(&id.to_string());
        must(again.as_ref() == Ok(&id), || format!("{text:?} is read as {id:?}, and that as {again:?}"))?;
    }
    Ok(())
}
