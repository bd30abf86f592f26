//! The engine's own list of letters: which there are, what they hold, and when one is tried again by itself.
//!
//! What a letter says stands in its cell only; here is what the engine must know while it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use factum_core::{
    Timestamp,
    cell::{Cell, CellKey},
    error::StoreError,
    letter::{Letter, LetterId, Retry, Standing, Subject},
};

/// What must be known of a letter.
#[derive(Clone, Debug)]
struct Brief {
    standing: Standing,
    unfolded: bool,
    retry: Option<Retry>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Letters {
    by_consumer: BTreeMap<String, BTreeMap<Subject, Brief>>,
    retries: BTreeSet<(Timestamp, LetterId)>,
    /// Those that wait for another version of the program.
    others: BTreeMap<LetterId, String>,
    open: usize,
}

impl Letters {
    /// Reads letters from their cells.
    pub(super) fn load(cells: Vec<Cell>) -> Result<Self, StoreError> {
        let mut letters = Self::default();
        for cell in cells {
            letters.put(&Letter::decode(&cell.value)?);
        }
        Ok(letters)
    }

    /// Whether a consumer has a letter about this, or has left it out.
    pub(super) fn knows(&self, consumer: &str, subject: &Subject) -> bool {
        self.by_consumer.get(consumer).is_some_and(|letters| letters.contains_key(subject))
    }

    /// Whether a message is not in its consumer's state, and known not to be.
    pub(super) fn is_unfolded(&self, consumer: &str, subject: &Subject) -> bool {
        self.by_consumer.get(consumer).and_then(|letters| letters.get(subject)).is_some_and(|brief| brief.unfolded)
    }

    /// How many wait.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// How many wait of one consumer.
    pub(super) fn of(&self, consumer: &str) -> usize {
        let open = |brief: &&Brief| brief.standing == Standing::Open;
        self.by_consumer.get(consumer).map_or(0, |letters| letters.values().filter(open).count())
    }

    /// Consumers that have letters, or have left something out.
    pub(super) fn consumers(&self) -> impl Iterator<Item = &str> {
        self.by_consumer.keys().map(String::as_str)
    }

    /// The letters of one consumer.
    pub(super) fn ids(&self, consumer: &str) -> Vec<LetterId> {
        let letters = self.by_consumer.get(consumer);
        letters.into_iter().flat_map(BTreeMap::keys).map(|about| LetterId::new(consumer, about.clone())).collect()
    }

    /// All letters behind one, by name.
    pub(super) fn behind<'a>(&'a self, after: Option<&'a LetterId>) -> impl Iterator<Item = LetterId> + 'a {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Included(after.consumer.as_str()));
        self.by_consumer.range::<str, _>((from, Bound::Unbounded)).flat_map(move |(consumer, letters)| {
            let same = after.filter(|after| after.consumer == *consumer);
            let from = same.map_or(Bound::Unbounded, |after| Bound::Excluded(&after.subject));
            letters.range((from, Bound::Unbounded)).map(|(subject, _)| LetterId::new(consumer.clone(), subject.clone()))
        })
    }

    /// How many a consumer has, also left out ones: the bound of what is kept.
    pub(super) fn kept(&self, consumer: &str) -> usize {
        self.by_consumer.get(consumer).map_or(0, BTreeMap::len)
    }

    /// Takes a letter in, as it stands now.
    pub(super) fn put(&mut self, letter: &Letter) {
        self.remove(&letter.id);
        match &letter.retry {
            Some(Retry::At(at)) => _ = self.retries.insert((*at, letter.id.clone())),
            Some(Retry::OtherThan(program)) => _ = self.others.insert(letter.id.clone(), program.clone()),
            None => {}
        }
        self.open += usize::from(letter.standing == Standing::Open);
        let brief = Brief { standing: letter.standing, unfolded: letter.unfolded, retry: letter.retry.clone() };
        self.by_consumer.entry(letter.id.consumer.clone()).or_default().insert(letter.id.subject.clone(), brief);
    }

    /// A letter has ended.
    pub(super) fn remove(&mut self, id: &LetterId) {
        let Some(letters) = self.by_consumer.get_mut(&id.consumer) else { return };
        let Some(brief) = letters.remove(&id.subject) else { return };
        if letters.is_empty() {
            self.by_consumer.remove(&id.consumer);
        }
        self.open -= usize::from(brief.standing == Standing::Open);
        if let Some(Retry::At(at)) = brief.retry {
            self.retries.remove(&(at, id.clone()));
        }
        self.others.remove(id);
    }

    /// Whether any letter is to be tried again by itself.
    pub(super) fn any_planned(&self) -> bool {
        !self.retries.is_empty() || !self.others.is_empty()
    }

    /// Letters that are to be tried again by now, by this program.
    pub(super) fn due(&self, mark: Timestamp, program: &str, most: usize) -> Vec<LetterId> {
        let timed = self.retries.iter().take_while(|(at, _)| *at <= mark).map(|(_, id)| id);
        let changed = self.others.iter().filter(|(_, than)| *than != program).map(|(id, _)| id);
        timed.chain(changed).take(most).cloned().collect()
    }

    /// When the next one is tried again.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.retries.first().map(|(at, _)| *at)
    }
}

/// A letter's cell and value.
pub(super) fn cell(letter: &Letter) -> Result<(CellKey, Option<Vec<u8>>), StoreError> {
    Ok((letter.id.cell(), Some(letter.encode()?)))
}
