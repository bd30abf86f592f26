//! Moving a store into another one: the target is filled while the source is written, compared message by message, and takes
//! over once the source is sealed.
//!
//! ```text
//!  source  ──scan──► plan ──transact──► target ──scan──► digests of both are compared
//!     │  passes, while the app runs, until little is behind; then with the app at rest:
//!     ▼
//!  the rest ─► all cells ─► what stands beside ─► seal the source ─► take away the target's mark
//! ```
//!
//! Positions have no gaps and versions are known, so what is written in the source's order stands at the source's positions.
//! Whatever ends a move, going on with it compares from the start what the target has already.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use factum_core::{
    cell::{CellChange, CellKey, CellKind, ExpectedRevision},
    commit::{Plan, PlannedAppend, Wanted, cell_bytes},
    envelope::{Stored, binary},
    error::StoreError,
    moving::Marks,
    ports::{Backend, Reader, Scan, Scanned},
    stream::{Lineage, Position},
};
use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Bytes of messages or cells in one commit, about.
const COMMIT_BYTES: usize = 1 << 20;
/// Bytes that are compared at once.
const COMPARE_BYTES: usize = 8 << 20;
/// How often others may write between the last look and the seal, before somebody must stop them.
const SEALS: u32 = 100;
/// How often the last step is tried: nobody can work until it is done.
const LAST_STEPS: u32 = 25;
/// The pause between them.
const LAST_STEP: Duration = Duration::from_millis(200);

/// What a move does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It compares what the target has already: positions done, and in all.
    Comparing(u64, u64),
    /// It copies messages: positions done, and in all.
    Copying(u64, u64),
    /// It copies cells.
    Cells,
    /// It copies what stands beside the log.
    Beside,
    /// It seals the source: from then on only the move can go on, or be given up.
    Sealing,
    /// It takes away the target's mark: from then on the target is the unit.
    Opening,
}

/// Hears each step before it begins, and ends the move there by an error.
pub type Hear<'a> = &'a mut dyn FnMut(Step) -> Result<(), StoreError>;

/// From where to where, as people may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Places {
    /// The source.
    pub from: String,
    /// The target.
    pub to: String,
}

/// What has moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relocated {
    /// From where to where.
    #[serde(flatten)]
    pub places: Places,
    /// The identity of both.
    #[serde(serialize_with = "as_text")]
    pub lineage: Lineage,
    /// Messages, and so the last position.
    pub messages: u64,
    /// Cells: cursors, timers, open calls, letters.
    pub cells: u64,
    /// Of all messages and cells, read back from the target and equal to that of the source.
    pub digest: String,
}

fn as_text<S: Serializer>(lineage: &Lineage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(lineage)
}

/// A target that is being filled; dropping it frees the target, which stays marked.
pub struct Transfer {
    places: Places,
    target: Box<dyn Backend>,
    there: Arc<dyn Reader>,
    /// Up to here both are the same.
    through: Position,
    /// Of the source's messages up to there, and of the target's.
    sums: [Sum; 2],
    /// What the target has of cells: digests of their values.
    cells: BTreeMap<CellKey, u128>,
}

impl Transfer {
    /// Begins, or goes on with what the target has already, once that is compared.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] if the target is another log or no part of this move, [`StoreError::Corrupt`] if it differs;
    /// else as the stores say.
    pub fn begin(
        mut target: Box<dyn Backend>,
        source: &dyn Reader,
        places: Places,
        hear: Hear<'_>,
    ) -> Result<Self, StoreError> {
        let there = target.reader();
        let (from, to) = (&places.from, &places.to);
        let refuse = |problem: String| Err(StoreError::Permanent(problem));
        if there.lineage() != source.lineage() {
            return refuse(format!(
                "{to} holds another log ({}): name a place that is new or empty, or the one that this log has come from",
                there.lineage()
            ));
        }
        match target.marks() {
            Marks { arriving: Some(other), .. } if other != *from => {
                return refuse(format!("{to} takes in what stands in {other}: go on with that, or give it up first"));
            }
            Marks { arriving: None, moved: None } => {
                return refuse(format!(
                    "{to} holds this very log, as a whole one: it is the same place, or a copy of it"
                ));
            }
            Marks { arriving: Some(_), .. } => {}
            // The way back: what it once gave away is the beginning of what it takes in.
            Marks { arriving: None, moved } => {
                target.mark(&Marks { arriving: Some(from.clone()), moved }, there.head())?;
            }
        }
        let cells = cells_of(&*there)?.into_iter().map(|(key, value)| (key, xxh3_128(&value))).collect();
        let (through, sums) = (Position::START, [Sum::new(), Sum::new()]);
        let mut transfer = Self { places, target, there, through, sums, cells };
        transfer.compare(source, hear)?;
        Ok(transfer)
    }

    /// Holds what the target has against the source.
    fn compare(&mut self, source: &dyn Reader, hear: Hear<'_>) -> Result<(), StoreError> {
        let until = self.there.head();
        if until > source.head() {
            return Err(self.differs(&format!("it ends at {until}, and the source at {}", source.head())));
        }
        while self.through < until {
            hear(Step::Comparing(self.through.0, until.0))?;
            let scanned = scan(source, self.through, until, COMPARE_BYTES)?;
            self.sums[0].add(&scanned.messages)?;
            self.read_back(scanned.through)?;
        }
        Ok(())
    }

    /// How many messages of the source the target lacks.
    pub fn behind(&self, source: &dyn Reader) -> u64 {
        source.head().0.saturating_sub(self.through.0)
    }

    /// Up to where source and target are the same.
    pub fn through(&self) -> Position {
        self.through
    }

    /// Brings the target up to what the source has now: messages and cells. What it has written it reads back and compares.
    ///
    /// # Errors
    /// As the stores say; [`StoreError::Corrupt`] if what was read back is not what was written. Behind one, begin anew.
    pub fn pass(&mut self, source: &dyn Reader, hear: Hear<'_>) -> Result<(), StoreError> {
        let until = source.head();
        while self.through < until {
            hear(Step::Copying(self.through.0, until.0))?;
            let scanned = scan(source, self.through, until, COMMIT_BYTES)?;
            self.sums[0].add(&scanned.messages)?;
            let through = scanned.through;
            let last = write(&mut *self.target, Plan { appends: appends(scanned.messages), cells: Vec::new() })?;
            if last != through {
                return Err(self.differs(&format!("what ends at {through} was stored up to {last}")));
            }
            self.read_back(through)?;
        }
        hear(Step::Cells)?;
        self.copy_cells(source)
    }

    /// Reads what the target has up to there, behind what was compared.
    fn read_back(&mut self, until: Position) -> Result<(), StoreError> {
        let mut after = self.through;
        while after < until {
            let scanned = scan(&*self.there, after, until, COMPARE_BYTES)?;
            self.sums[1].add(&scanned.messages)?;
            after = scanned.through;
        }
        if self.sums[0].digest() != self.sums[1].digest() {
            return Err(self.differs(&format!("something from position {} to {until}", self.through.0 + 1)));
        }
        self.through = until;
        Ok(())
    }

    fn differs(&self, what: &str) -> StoreError {
        let Places { from, to } = &self.places;
        StoreError::Corrupt(format!(
            "{to} differs from {from}: {what}; look at both with `factum log verify`, and give the move up if {to} is wrong"
        ))
    }

    fn copy_cells(&mut self, source: &dyn Reader) -> Result<(), StoreError> {
        let now = cells_of(source)?;
        let gone: Vec<CellKey> = self.cells.keys().filter(|key| !now.contains_key(key)).cloned().collect();
        let (mut changes, mut bytes) = (Vec::new(), 0);
        let change = |key: &CellKey, value| CellChange { key: key.clone(), expected: ExpectedRevision::Any, value };
        changes.extend(gone.iter().map(|key| change(key, None)));
        for key in &gone {
            self.cells.remove(key);
        }
        for (key, value) in now {
            let digest = xxh3_128(&value);
            if self.cells.insert(key.clone(), digest) == Some(digest) {
                continue;
            }
            bytes += cell_bytes(&key, Some(&value));
            changes.push(change(&key, Some(value)));
            if bytes >= COMMIT_BYTES {
                write(&mut *self.target, Plan { appends: Vec::new(), cells: std::mem::take(&mut changes) })?;
                bytes = 0;
            }
        }
        if !changes.is_empty() {
            write(&mut *self.target, Plan { appends: Vec::new(), cells: changes })?;
        }
        Ok(())
    }

    /// Ends the move. Nobody may write to the source any more but those beside its unit, who are locked out by the seal. `beside`
    /// copies what stands beside the log. What was sealed in an earlier attempt stays so, and the rest is done.
    ///
    /// # Errors
    /// As the stores say. Before [`Step::Sealing`] the source is as it was; from there on both are marked, unless the last step
    /// was done.
    pub fn finish(
        mut self,
        source: &mut dyn Backend,
        beside: &mut dyn FnMut() -> Result<(), StoreError>,
        hear: Hear<'_>,
    ) -> Result<Relocated, StoreError> {
        let reader = source.reader();
        let sealed = Marks { arriving: None, moved: Some(self.places.to.clone()) };
        let mut seals = 0;
        let relocated = loop {
            self.pass(&*reader, hear)?;
            let relocated = self.compared(&*reader)?;
            hear(Step::Beside)?;
            beside()?;
            hear(Step::Sealing)?;
            seals += 1;
            match source.mark(&sealed, self.through) {
                Err(StoreError::Conflict(_)) if seals < SEALS => {}
                sealed => break sealed.map(|()| relocated)?,
            }
        };
        hear(Step::Opening)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.target.mark(&Marks::default(), self.through) {
                Err(StoreError::Transient(_)) if tries < LAST_STEPS => std::thread::sleep(LAST_STEP),
                opened => break opened?,
            }
        }
        self.target.idle()?;
        Ok(relocated)
    }

    /// What has moved, once the cells were read back and compared, too.
    fn compared(&self, source: &dyn Reader) -> Result<Relocated, StoreError> {
        let (ours, theirs) = (cells_of(source)?, cells_of(&*self.there)?);
        if ours != theirs {
            return Err(self.differs("something in its cells"));
        }
        let mut all = self.sums[1].clone();
        for (key, value) in &theirs {
            all.field(key.to_text().as_bytes());
            all.field(value);
        }
        Ok(Relocated {
            places: self.places.clone(),
            lineage: self.there.lineage(),
            messages: self.through.0,
            cells: theirs.len() as u64,
            digest: format!("{:032x}", all.digest()),
        })
    }
}

/// All cells, in order.
fn cells_of(reader: &dyn Reader) -> Result<BTreeMap<CellKey, Vec<u8>>, StoreError> {
    let mut cells = BTreeMap::new();
    for kind in CellKind::ALL {
        cells.extend(reader.cells(kind)?.into_iter().map(|cell| (cell.key, cell.value)));
    }
    Ok(cells)
}

/// Messages behind a position; none is missing.
fn scan(reader: &dyn Reader, after: Position, until: Position, bytes: usize) -> Result<Scanned, StoreError> {
    let mut scanned = reader.scan(&Scan { after, until, bytes, types: None })?;
    let missing = scanned.messages.iter().zip(after.0 + 1..).find(|(stored, wanted)| stored.position.0 != *wanted);
    let last = after.0 + scanned.messages.len() as u64;
    let is_short = scanned.messages.is_empty() || (scanned.through >= until && last < until.0);
    match missing.map(|(_, wanted)| wanted).or_else(|| is_short.then_some(last + 1)) {
        Some(wanted) => Err(StoreError::Corrupt(format!("position {wanted} of {} is missing", reader.lineage()))),
        None => {
            scanned.through = Position(last);
            Ok(scanned)
        }
    }
}

/// Messages as they were written: those of one stream that stand together are one append.
fn appends(messages: Vec<Stored>) -> Vec<PlannedAppend> {
    let mut appends: Vec<PlannedAppend> = Vec::new();
    for Stored { stream, version, message, .. } in messages {
        match appends.last_mut().filter(|last| last.stream == stream) {
            Some(last) => last.messages.push(message),
            None => appends.push(PlannedAppend { stream, first: version, messages: vec![message] }),
        }
    }
    appends
}

fn write(target: &mut dyn Backend, plan: Plan) -> Result<Position, StoreError> {
    let mut plan = Some(plan);
    let written = target.transact(&Wanted::default(), &mut |_| plan.take().into_iter().collect())?;
    let unasked = || StoreError::Permanent("the store has not asked what may be written".to_owned());
    written.map(|written| written.last).ok_or_else(unasked)
}

/// A running digest of messages with their places.
#[derive(Clone)]
struct Sum {
    hash: Xxh3,
    form: Vec<u8>,
}

impl Sum {
    fn new() -> Self {
        Self { hash: Xxh3::new(), form: Vec::new() }
    }

    fn add(&mut self, messages: &[Stored]) -> Result<(), StoreError> {
        for Stored { position, stream, version, message } in messages {
            self.hash.update(&position.0.to_le_bytes());
            self.hash.update(&version.0.to_le_bytes());
            self.field(stream.as_str().as_bytes());
            self.field(message.envelope.type_name.as_bytes());
            self.field(message.envelope.source.as_bytes());
            let mut form = std::mem::take(&mut self.form);
            form.clear();
            binary::encode(message, &mut form)
                .map_err(|error| StoreError::Corrupt(format!("position {position}: {error}")))?;
            self.field(&form);
            self.form = form;
        }
        Ok(())
    }

    /// With its length, so that what ends here and begins there is told apart.
    fn field(&mut self, bytes: &[u8]) {
        self.hash.update(&(bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    fn digest(&self) -> u128 {
        self.hash.digest128()
    }
}
