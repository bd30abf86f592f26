//! Reading an app's log without running anything, also beside the process that writes it.

use std::sync::Arc;

use factum_core::{
    cell::CellKind,
    envelope::{Kind, Recorded, Stored},
    error::{HandlerError, StoreError},
    id::MessageId,
    payload::Event,
    ports::{Reader, Scan},
    service::Service,
    stream::{Position, StreamId, StreamVersion},
    upcast::{Raised, Upcasters},
};

use crate::{location::Location, stores::OpenError, wiring};

/// Bytes to read at once.
const SCAN_BYTES: usize = 8 << 20;

/// The durable part of a log, as it was when it was opened.
#[derive(Clone)]
pub struct Archive {
    reader: Arc<dyn Reader>,
}

impl Archive {
    /// Opens the log of an app to read it as these services do: under the names and in the versions that they declare, whatever
    /// it was stored under. Types that they do not declare are read as they are stored.
    ///
    /// # Errors
    /// [`OpenError`] if there is no log, it is damaged, or the services do not fit together.
    pub fn open(place: impl Into<Location>, services: &[Service]) -> Result<Self, OpenError> {
        let upcasters = Upcasters::of(services)?;
        Ok(Self { reader: Raised::over(wiring::read_only(&place.into())?, &upcasters) })
    }

    /// The same; `None` if no app has ever run there, also because its first start was cut off before it had made a log.
    ///
    /// # Errors
    /// [`OpenError`] if the log is damaged, or the services do not fit together.
    pub fn open_if_any(place: impl Into<Location>, services: &[Service]) -> Result<Option<Self>, OpenError> {
        let upcasters = Upcasters::of(services)?;
        let reader = wiring::read_only_if_any(&place.into())?;
        Ok(reader.map(|reader| Self { reader: Raised::over(reader, &upcasters) }))
    }

    /// Reads through a running app's log, as its services do.
    pub fn of(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }

    /// The last position.
    pub fn head(&self) -> Position {
        self.reader.head()
    }

    /// Every message of the types asked for (all if `None`), in order.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read, or the visitor's own error.
    pub fn each<E: From<StoreError>>(
        &self,
        types: Option<&dyn Fn(&str) -> bool>,
        mut visit: impl FnMut(&Stored) -> Result<(), E>,
    ) -> Result<(), E> {
        let until = self.head();
        let mut after = Position::START;
        while after < until {
            let scanned = self.reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types })?;
            for stored in &scanned.messages {
                visit(stored)?;
            }
            if scanned.through <= after {
                break;
            }
            after = scanned.through;
        }
        Ok(())
    }

    /// Folds all events of `E` into something, in the order of the log.
    ///
    /// # Errors
    /// [`HandlerError`] if the log cannot be read or an event does not fit its type.
    pub fn fold<E: Event, S>(
        &self,
        mut state: S,
        mut fold: impl FnMut(&mut S, &Recorded<'_, E>),
    ) -> Result<S, HandlerError> {
        let names: Vec<&str> = E::types().iter().map(|info| info.name).collect();
        let wanted = |name: &str| names.contains(&name);
        self.each::<Problem>(Some(&wanted), |stored| {
            if stored.envelope().kind == Kind::Event {
                fold(&mut state, &Recorded::<E>::read(stored).map_err(|error| Problem(error.into()))?);
            }
            Ok(())
        })
        .map_err(|problem| problem.0)?;
        Ok(state)
    }

    /// The messages of a stream, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub fn stream(&self, stream: &StreamId) -> Result<Vec<Stored>, StoreError> {
        self.reader.stream(stream, StreamVersion(0))
    }

    /// What is still to come: unread messages, timers, open calls.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub fn under_way(&self) -> Result<UnderWay, StoreError> {
        let (cursor, _) = factum_runtime::engine::stands(&*self.reader)?;
        let timers = self.reader.cells(CellKind::Timer)?.into_iter();
        Ok(UnderWay {
            unread: self.head().0.saturating_sub(cursor.0),
            timers: timers.filter_map(|cell| Some(cell.key.name.rsplit_once('/')?.0.to_owned())).collect(),
            calls: self.reader.cells(CellKind::Call)?.len(),
        })
    }

    /// The messages of business transactions, in the order of the log.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub fn correlated(&self, ids: &std::collections::BTreeSet<MessageId>) -> Result<Vec<Stored>, StoreError> {
        let mut found = Vec::new();
        self.each::<StoreError>(None, |stored| {
            if ids.contains(&stored.envelope().correlation_id) {
                found.push(stored.clone());
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// What a log says is still to come.
#[derive(Clone, Debug, Default)]
pub struct UnderWay {
    /// Messages that the engine has not handled yet.
    pub unread: u64,
    /// Streams that wait for a timer.
    pub timers: std::collections::BTreeSet<String>,
    /// Calls without an answer.
    pub calls: usize,
}

impl UnderWay {
    /// Whether nothing is under way but timers.
    pub fn is_quiet(&self) -> bool {
        self.unread == 0 && self.calls == 0
    }

    /// Whether something may still happen to a stream: a timer of its own, or anything that is not handled yet.
    pub fn touches(&self, stream: &str) -> bool {
        !self.is_quiet() || self.timers.contains(stream)
    }
}

struct Problem(HandlerError);

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self(HandlerError::failed(error))
    }
}
