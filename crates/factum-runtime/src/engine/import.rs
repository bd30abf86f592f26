//! Events of others: appended to the replicas of their streams, each once.
//!
//! A replica is folded into nothing but the memory of what it holds. So the mechanism that finds a repeated command in its
//! stream finds a repeated event too, by its source and id: among the last [`REMEMBERED`](super::causes::REMEMBERED) of
//! its stream, and as long as both were said to have happened within 24 hours, as the same ones were.

use std::collections::BTreeMap;

use factum_core::{
    id::Name,
    stream::{ExpectedVersion, Position},
};

use super::{causes::Cause, decide::Unmet, failure::Fault, letters, run::Run, states::Model};
use crate::{
    between::Arrived,
    import::{Import, known_as},
    inbox::Receipt,
};

/// Sources that are counted by their names; the others are counted together.
const SOURCES: usize = 256;
/// What those are counted as.
const OTHERS: &str = "others";

impl Run<'_> {
    /// Takes events of others, all of them or none; one that was taken before gets the first receipt.
    pub(super) fn imports(&mut self, imports: &[Import]) -> Result<Vec<Receipt>, Unmet> {
        imports.iter().map(|import| self.import(import)).collect()
    }

    /// Takes in what came from other units, with what was read of the lane. What is the next message of its unit was never taken
    /// before: nothing is looked up for it.
    pub(super) fn arrived(&mut self, arrived: &Arrived) -> Result<Vec<Receipt>, Unmet> {
        for import in &arrived.taken {
            // If events of others are remembered of it, this one is not among them.
            self.work.states.remove(&import.stream);
            self.local.appends.push(import.clone().append(ExpectedVersion::Any));
        }
        self.imports(&arrived.once)?;
        let at = self.work.clock.stamp(self.work.clock.mark());
        for raw in &arrived.letters {
            let letter = raw.letter(at, self.work.reader.head(), &self.work.program);
            tracing::warn!(letter = %letter.id, why = raw.why, "a message of others waits for a person");
            let (cell, value) = letters::cell(&letter).map_err(Fault::Store)?;
            self.work.letters.put(&letter);
            self.local.cells.push((cell, value));
        }
        let (cell, value) = &arrived.cell;
        if !crate::sabotage::is("offset-outside-the-commit") || arrived.bytes() == value.len() {
            self.local.cells.push((cell.clone(), Some(value.clone())));
        }
        Ok(Vec::new())
    }

    fn import(&mut self, import: &Import) -> Result<Receipt, Unmet> {
        let Import { stream, message, .. } = import;
        let (key, at) = (known_as(&message.envelope), message.envelope.timestamp);
        let mut entry = self.load(stream, &Model::Replica)?;
        let known = entry.causes.find(&key, at).map(|cause| (cause.version, cause.position));
        let (version, position) = known.unwrap_or_else(|| {
            let expected = ExpectedVersion::Exact(entry.version);
            entry.appended(std::slice::from_ref(message));
            entry.causes.remember(Cause::new(&key, (0, None), at, (entry.version, Position::START)));
            self.local.appends.push(import.clone().append(expected));
            (entry.version, Position::START)
        });
        self.work.states.put(stream.clone(), entry, &Model::Replica);
        if known.is_none() {
            self.local.touched.push(stream.clone());
            if import.uncorrelated {
                self.work.uncorrelated.count(&message.envelope.source);
            }
        }
        Ok(Receipt { stream: stream.clone(), version, position, repeated: known.is_some() })
    }
}

/// How many events of others came without correlation since the start, by source.
#[derive(Clone, Debug, Default)]
pub(super) struct Uncorrelated {
    pub(super) total: u64,
    pub(super) by_source: BTreeMap<String, u64>,
}

impl Uncorrelated {
    fn count(&mut self, source: &Name) {
        self.total += 1;
        let name = match self.by_source.len() < SOURCES || self.by_source.contains_key(source.as_str()) {
            true => source.as_str(),
            false => OTHERS,
        };
        *self.by_source.entry(name.to_owned()).or_default() += 1;
    }
}
