//! What a pipeline does with one event: into its windows, then the windows that it closes.

use super::{EventLate, Figures, Window, Windows, state::State};
use crate::{
    commit::MAX_MESSAGE_BYTES,
    envelope::{Draft, Stored},
    error::{HandlerError, NameError},
    reaction::{Effect, Effects},
    stream::StreamId,
};

/// The most results that one event tells of the windows that it closes; the rest is told with the next events.
pub const MOST_TOLD: usize = 1_000;

/// An event as an item, if no filter leaves it out.
pub(super) type Take<T> = Box<dyn Fn(&Stored) -> Result<Option<T>, HandlerError> + Send + Sync>;
/// The key of an item.
pub(super) type KeyOf<T> = Box<dyn Fn(&T) -> String + Send + Sync>;
/// An item into an aggregate.
pub(super) type Add<A, T> = Box<dyn Fn(&mut A, &T) -> Result<(), HandlerError> + Send + Sync>;
/// The event that tells an aggregate.
pub(super) type Tell<A> = Box<dyn Fn(&str, Option<Window>, &A) -> Result<Draft, HandlerError> + Send + Sync>;

/// The steps of a pipeline.
pub(crate) struct Steps<T, A> {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(super) take: Take<T>,
    pub(super) key: KeyOf<T>,
    pub(super) windows: Option<Windows>,
    pub(super) most: u64,
    pub(super) add: Add<A, T>,
    pub(super) category: &'static str,
    pub(super) tell: Tell<A>,
}

/// What became of an item in one window.
struct Changed<A> {
    window: Option<Window>,
    value: A,
}

impl<T, A: Clone + Default> Steps<T, A> {
    /// Takes an event in. What can fail on the event itself comes first, so that the state is as it was then. What fails
    /// behind `touched` is the telling of other events: it stops the pipeline in front of this one, and nothing is lost.
    pub(crate) fn fold(&self, state: &mut State<A>, stored: &Stored, touched: &mut bool) -> Result<(), HandlerError> {
        let at = stored.envelope().timestamp;
        let item = (self.take)(stored)?;
        let mut told = Vec::new();
        let (mut changed, mut late, mut key) = (Vec::new(), 0, String::new());
        if let Some(item) = &item {
            key = (self.key)(item);
            let stream = StreamId::new(self.category, &key)?;
            for window in self.windows_of(stored)? {
                if let Some(event) = self.late(state, stored, &key, window) {
                    told.push(Effect::Emit(stream.clone(), Draft::of(&event)?));
                    late += 1;
                    continue;
                }
                let mut value = state.get(window, &key).cloned().unwrap_or_default();
                (self.add)(&mut value, item)?;
                if self.tells_changes() {
                    told.push(Effect::Emit(stream.clone(), self.result(&key, window, &value)?));
                }
                changed.push(Changed { window, value });
            }
            self.has_room(state, &changed, stored, &key)?;
        }
        *touched = true;
        state.read(at, item.is_none(), late, !changed.is_empty());
        for Changed { window, value } in changed {
            state.put(window, &key, value);
        }
        if let Some(windows) = self.windows {
            self.close(state, windows, &mut told)?;
        }
        (state.told.at, state.told.effects) = (stored.position, told);
        Ok(())
    }

    /// Tells what follows from an event. One that was not the last to be taken in is here once more, by a person's act: its
    /// aggregates are told as they are today.
    pub(crate) fn react(&self, state: &State<A>, stored: &Stored, fx: &mut Effects) -> Result<(), HandlerError> {
        if state.told.at == stored.position {
            fx.extend(state.told.effects.iter().cloned());
            return Ok(());
        }
        let Some(item) = (self.take)(stored)? else { return Ok(()) };
        let key = (self.key)(&item);
        let stream = StreamId::new(self.category, &key)?;
        for window in self.windows_of(stored)? {
            if let (Some(window), Some(_)) = (window, self.late(state, stored, &key, window)) {
                let Window { from, to } = window;
                return Err(HandlerError::Failed(format!(
                    "the window of {from} to {to} has closed, so nothing is told of it again: compare what was told with \
                     the log, correct it where it is used, and discard this letter"
                )));
            }
            if let Some(value) = state.get(window, &key).filter(|_| self.tells_changes()) {
                fx.extend([Effect::Emit(stream.clone(), self.result(&key, window, value)?)]);
            }
        }
        Ok(())
    }

    /// What is wrong with how it is declared.
    pub(crate) fn problem(&self) -> Option<NameError> {
        let problem = self.windows?.problem()?;
        Some(NameError { what: "windows", problem: format!("of the pipeline `{}` cannot be: {problem}", self.name) })
    }

    /// How it stands.
    pub(crate) fn figures(&self, state: &State<A>) -> Figures {
        state.figures(self.windows, self.most)
    }

    /// The windows of an event; without windows the one of all time.
    fn windows_of(&self, stored: &Stored) -> Result<Vec<Option<Window>>, HandlerError> {
        match self.windows {
            None => Ok(vec![None]),
            Some(windows) => Ok(windows.of(stored.envelope().timestamp)?.map(Some).collect()),
        }
    }

    /// What is told of an event for which a window is closed.
    fn late(&self, state: &State<A>, stored: &Stored, key: &str, window: Option<Window>) -> Option<EventLate> {
        let (windows, window) = (self.windows?, window?);
        let beyond = state.watermark(windows)?.as_nanosecond() - window.to.as_nanosecond();
        let late_by_ms = i64::try_from(beyond / 1_000_000 + 1).unwrap_or(i64::MAX);
        (beyond >= 0).then(|| EventLate {
            pipeline: self.name.to_owned(),
            key: key.to_owned(),
            from: window.from,
            to: window.to,
            event_id: stored.envelope().id.to_string(),
            event_type: stored.type_name().to_owned(),
            at: stored.envelope().timestamp,
            late_by_ms,
        })
    }

    fn tells_changes(&self) -> bool {
        self.windows.is_none_or(Windows::tells_changes)
    }

    /// What the event's own time closes makes room for it: else time would stand still as soon as there is none.
    fn has_room(
        &self,
        state: &State<A>,
        changed: &[Changed<A>],
        stored: &Stored,
        key: &str,
    ) -> Result<(), HandlerError> {
        let new = changed.iter().filter(|changed| state.get(changed.window, key).is_none()).count() as u64;
        if new == 0 || state.left(self.windows, stored.envelope().timestamp) + new <= self.most {
            return Ok(());
        }
        Err(HandlerError::Failed(format!(
            "the pipeline `{}` holds {} aggregates, which is its limit, and this event needs another one: group by fewer \
             keys, take shorter windows, or raise the limit with `.most(…)`",
            self.name, self.most
        )))
    }

    /// Drops the windows that have closed; where only their last values are told, those first.
    fn close(&self, state: &mut State<A>, windows: Windows, told: &mut Vec<Effect>) -> Result<(), HandlerError> {
        if windows.tells_changes() {
            state.drop_closed(windows);
            return Ok(());
        }
        let mut bytes = 0;
        for _ in 0..MOST_TOLD {
            let Some((window, key, value)) = state.due(windows) else { break };
            let draft = self.result(&key, Some(window), value)?;
            bytes += draft.data.len();
            told.push(Effect::Emit(StreamId::new(self.category, &key)?, draft));
            state.drop(window, &key);
            if bytes >= MAX_MESSAGE_BYTES {
                break;
            }
        }
        Ok(())
    }

    fn result(&self, key: &str, window: Option<Window>, value: &A) -> Result<Draft, HandlerError> {
        let draft = (self.tell)(key, window, value)?;
        match draft.data.len() {
            bytes if bytes >= MAX_MESSAGE_BYTES => Err(HandlerError::Failed(format!(
                "the result of the pipeline `{}` for `{key}` has {bytes} bytes, {MAX_MESSAGE_BYTES} are too many: keep less \
                 in the aggregate, or tell less of it",
                self.name
            ))),
            _ => Ok(draft),
        }
    }
}
