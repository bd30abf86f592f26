//! What a plan is about: found in the log and among the letters, beside the engine, because it may take long.

use factum_core::{
    envelope::Stored,
    error::StoreError,
    letter::{Letter, Standing, Subject},
    ports::{Reader, Scan},
    schedule::State,
    stream::Position,
};

use crate::{
    letters::{self, Query},
    plans::{Hash, Item, MAX_SHOWN, Making, Redeliver, Selection},
    registry::Registry,
    sagas, schedules,
};

/// Bytes to read at once.
const SCAN_BYTES: usize = 4 << 20;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// What is wanted.
    pub making: Making,
    /// The log ended here, or the reaction stood here: what comes later is none of it.
    pub head: Position,
    /// How many items there are.
    pub total: u64,
    /// The first of them, whose effects are shown.
    pub first: Vec<Item>,
    /// The last one.
    pub last: Option<Item>,
    /// Over each item's name and revision, and the program.
    pub hash: String,
}

/// What the log does not say in one place.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last message that the reaction has handled to which a plan delivers again.
    pub stands: Position,
    /// The schedule of which a plan fills in occurrences; nothing if there is none of that name.
    pub schedule: Option<State>,
}

impl Survey {
    /// Finds what is meant.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn of(
        reader: &dyn Reader,
        registry: &Registry,
        program: &str,
        making: Making,
        known: Known,
    ) -> Result<Self, StoreError> {
        let mut hash = Hash::new(&making, program);
        let mut survey =
            Self { making, head: reader.head(), total: 0, first: Vec::new(), last: None, hash: String::new() };
        let mut add = |item: Item, revision: &str| {
            hash.add(&item.to_string(), revision);
            survey.total += 1;
            if survey.first.len() < MAX_SHOWN {
                survey.first.push(item.clone());
            }
            survey.last = Some(item);
        };
        match &survey.making.selection {
            Selection::Redrive { query } | Selection::Discard { query } => {
                let behind = |letter: &Letter| query.after.as_ref().is_none_or(|after| letter.id > *after);
                let open = letters::open(reader)?.into_iter();
                let meant = open.filter(|letter| behind(letter) && meant(query, letter, survey.head));
                for letter in meant.take(query.limit.unwrap_or(usize::MAX)) {
                    add(Item::Letter(letter.id.clone()), &format!("{} {}", letter.failure_count, letter.changed_at));
                }
            }
            Selection::Redeliver(which) => {
                survey.head = survey.head.min(known.stands);
                let mut after = which.after;
                loop {
                    let (found, through) = messages(reader, registry, which, (after, survey.head), SCAN_BYTES)?;
                    found.iter().for_each(|it| add(Item::Message(it.position), &it.envelope().id.to_string()));
                    match through {
                        Some(through) => after = through,
                        None => break,
                    }
                }
            }
            Selection::Move { saga, from, .. } => {
                for name in sagas::open(reader, saga, *from)? {
                    // Its revision: what runs it since when. Its own steps change nothing about that.
                    if let Some(since) = sagas::run_since(reader, &name)?.filter(|since| *since <= survey.head) {
                        add(Item::Saga(name), &since.to_string());
                    }
                }
            }
            Selection::Backfill(fill) => {
                let times = known.schedule.map(|state| schedules::to_fill(state, registry, fill));
                times.into_iter().flatten().for_each(|time| add(Item::Occurrence(time), ""));
            }
        }
        survey.hash = hash.finish();
        Ok(survey)
    }
}

/// Whether a letter that was there when the log ended at `head` is meant by a plan.
pub(crate) fn meant(query: &Query, letter: &Letter, head: Position) -> bool {
    let new = matches!(letter.id.subject, Subject::Message(position) if position > head);
    query.takes(letter) && letter.standing == Standing::Open && !new
}

/// The messages that fit among so many bytes of the log, and where to read on; nothing if that was all.
pub(crate) fn messages(
    reader: &dyn Reader,
    registry: &Registry,
    which: &Redeliver,
    (after, head): (Position, Position),
    bytes: usize,
) -> Result<(Vec<Stored>, Option<Position>), StoreError> {
    let until = which.until.unwrap_or(head).min(head);
    let Some(id) = registry.named(&which.consumer).filter(|_| after < until) else { return Ok((Vec::new(), None)) };
    let reads = |name: &str| registry.readers(name).contains(&id);
    let scanned = reader.scan(&Scan { after, until, bytes, types: Some(&reads) })?;
    let through = (scanned.through > after && scanned.through < until).then_some(scanned.through);
    Ok((scanned.messages.into_iter().filter(|stored| which.takes(stored)).collect(), through))
}
