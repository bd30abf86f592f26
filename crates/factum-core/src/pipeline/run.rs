//! What a pipeline does with one event: into its windows; and, apart from that, what it tells of windows that have closed.

use super::{
    Aggregate, Due, EventLate, Figures, Through, Window, Windows,
    state::{Follows, State},
};
use crate::{
    commit::MAX_MESSAGE_BYTES,
    envelope::{Draft, Stored},
    error::{HandlerError, NameError},
    reaction::{Effect, Effects},
    stream::{Position, StreamId},
};

/// The most results of closed windows that are told with one event; the rest is told with the next ones.
pub const MOST_TOLD: usize = 1_000;
/// Bytes of those results, with their envelopes.
const MOST_DUE_BYTES: usize = MAX_MESSAGE_BYTES;
/// Bytes of what follows from an event itself. Both together are less than one delivery may make.
const MOST_OWN_BYTES: usize = 2 * MAX_MESSAGE_BYTES + (256 << 10);

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

/// What a pipeline does besides folding and reacting, for any state.
pub(crate) trait Pipes<S>: Send + Sync {
    /// How it stands.
    fn figures(&self, state: &S) -> Figures;
    /// See [`AnyFolding::due`](crate::reaction::AnyFolding::due).
    fn due(&self, state: &S, stored: &Stored) -> Result<Option<Due>, HandlerError>;
    /// See [`AnyFolding::stands`](crate::reaction::AnyFolding::stands).
    fn stands(&self, state: &mut S, acted: Position, through: Option<&Through>);
}

impl<T: 'static, A: Aggregate> Pipes<State<A>> for Steps<T, A> {
    fn figures(&self, state: &State<A>) -> Figures {
        state.figures(self.windows, self.most)
    }

    /// A window whose changes are told has nothing more to tell when it closes; that it has closed is kept all the same.
    fn due(&self, state: &State<A>, stored: &Stored) -> Result<Option<Due>, HandlerError> {
        let Some(windows) = self.windows else { return Ok(None) };
        let mut due = Due { results: Vec::new(), through: state.through.clone() };
        let mut bytes = 0;
        let mut left = false;
        'windows: for (window, keys) in state.closed(windows) {
            for (key, value) in keys.iter().filter(|_| !windows.tells_changes()) {
                let (stream, draft, more) = self.result(stored, key, Some(window), value)?;
                bytes += more;
                if !due.results.is_empty() && (due.results.len() == MOST_TOLD || bytes > MOST_DUE_BYTES) {
                    left = true;
                    break 'windows;
                }
                due.results.push((stream, draft, window.last()));
                due.through = Through::key(window, key.clone());
            }
            due.through = Through::all(window.to);
        }
        // A window that had nothing to tell and is closed for a late event stays so.
        if let Some(watermark) = state.watermark(windows).filter(|_| !left && state.follows.late) {
            due.through = due.through.or_all(watermark);
        }
        Ok((!state.kept || due.through != state.through).then_some(due))
    }

    fn stands(&self, state: &mut State<A>, acted: Position, through: Option<&Through>) {
        if let Some(windows) = self.windows {
            state.stands(windows, acted, through);
        }
    }
}

impl<T, A: Clone + Default> Steps<T, A> {
    /// Takes an event in. All that can fail comes first, so that the state is as it was then.
    pub(crate) fn fold(&self, state: &mut State<A>, stored: &Stored, touched: &mut bool) -> Result<(), HandlerError> {
        let item = (self.take)(stored)?;
        let mut effects = Vec::new();
        let (mut changed, mut late, mut key, mut bytes) = (Vec::new(), 0, String::new(), 0);
        if let Some(item) = &item {
            key = (self.key)(item);
            let stream = StreamId::new(self.category, &key)?;
            for window in self.windows_of(stored)? {
                if let Some(event) = self.late(state, stored, &key, window) {
                    let draft = Draft::of(&event)?;
                    bytes += draft.bytes_behind(stored.envelope(), &stream);
                    effects.push(Effect::Emit(stream.clone(), draft));
                    late += 1;
                    continue;
                }
                let mut value = state.get(window, &key).cloned().unwrap_or_default();
                (self.add)(&mut value, item)?;
                if self.tells_changes() {
                    let (stream, draft, more) = self.result(stored, &key, window, &value)?;
                    bytes += more;
                    effects.push(Effect::Emit(stream, draft));
                }
                changed.push(Changed { window, value });
            }
            self.has_room(state, &changed, stored, &key)?;
        }
        if bytes > MOST_OWN_BYTES {
            return Err(HandlerError::Failed(format!(
                "the pipeline `{}` would tell {bytes} bytes with one event, {MOST_OWN_BYTES} are allowed: tell less, let windows \
                 begin less often, or tell them once, when they close",
                self.name
            )));
        }
        *touched = true;
        state.read(stored.envelope().timestamp, item.is_none(), late, !changed.is_empty());
        for Changed { window, value } in changed {
            state.put(window, &key, value);
        }
        if let Some(windows) = self.windows {
            state.close(windows, stored.position, self.most);
        }
        state.follows = Follows { at: stored.position, effects, late: late > 0 };
        Ok(())
    }

    /// Tells what follows from an event. One that was not the last to be taken in is here once more, by a person's act: its
    /// aggregates are told as they are today.
    pub(crate) fn react(&self, state: &State<A>, stored: &Stored, fx: &mut Effects) -> Result<(), HandlerError> {
        if state.follows.at == stored.position {
            fx.extend(state.follows.effects.iter().cloned());
            return Ok(());
        }
        let Some(item) = (self.take)(stored)? else { return Ok(()) };
        let key = (self.key)(&item);
        for window in self.windows_of(stored)? {
            if let (Some(window), Some(_)) = (window, self.late(state, stored, &key, window)) {
                let Window { from, to } = window;
                return Err(HandlerError::Failed(format!(
                    "the window of {from} to {to} has closed, so nothing is told of it again: compare what was told with \
                     the log, correct it where it is used, and discard this letter"
                )));
            }
            if let Some(value) = state.get(window, &key).filter(|_| self.tells_changes()) {
                let (stream, draft, _) = self.result(stored, &key, window, value)?;
                fx.extend([Effect::Emit(stream, draft)]);
            }
        }
        Ok(())
    }

    /// What is wrong with how it is declared.
    pub(crate) fn problem(&self) -> Option<NameError> {
        let problem = self.windows?.problem()?;
        Some(NameError { what: "windows", problem: format!("of the pipeline `{}` cannot be: {problem}", self.name) })
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
        // A window that is told stays closed when more lateness is allowed than was then.
        let late_by_ms = i64::try_from(beyond.max(0) / 1_000_000 + 1).unwrap_or(i64::MAX);
        state.is_late(windows, stored.position, window, key).then(|| EventLate {
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

    /// A result, where it goes to, and its bytes.
    fn result(
        &self,
        stored: &Stored,
        key: &str,
        window: Option<Window>,
        value: &A,
    ) -> Result<(StreamId, Draft, usize), HandlerError> {
        let (stream, draft) = (StreamId::new(self.category, key)?, (self.tell)(key, window, value)?);
        match draft.bytes_behind(stored.envelope(), &stream) {
            bytes if bytes > MAX_MESSAGE_BYTES => Err(HandlerError::Failed(format!(
                "the result of the pipeline `{}` for `{key}` has {bytes} bytes with its envelope, {MAX_MESSAGE_BYTES} are allowed: \
                 keep less in the aggregate, or tell less of it",
                self.name
            ))),
            bytes => Ok((stream, draft, bytes)),
        }
    }
}
