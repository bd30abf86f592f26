//! What a pipeline keeps: the aggregates of its open windows, and how far its time has come.

use std::sync::Arc;

use jiff::Timestamp;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use super::{Window, Windows};
use crate::{reaction::Effect, stream::Position};

/// The aggregates of one window, by key.
type Keys<A> = RedBlackTreeMapSync<Arc<str>, A>;

/// The beginning of the one window that a pipeline without windows has.
const ALWAYS: Timestamp = Timestamp::UNIX_EPOCH;

/// The state of a pipeline, as it is kept in snapshots. Its maps share what they hold with their copies.
#[derive(Clone, Serialize, Deserialize)]
pub struct State<A> {
    newest: Option<Timestamp>,
    taken: u64,
    filtered_out: u64,
    late: u64,
    aggregates: u64,
    /// By the beginning of the window.
    open: RedBlackTreeMapSync<Timestamp, Keys<A>>,
    /// What follows from the last event; an event that was reacted to needs it no more.
    #[serde(skip)]
    pub(super) told: Told,
}

/// What follows from an event, found out when it was taken in.
#[derive(Clone, Default)]
pub(super) struct Told {
    pub(super) at: Position,
    pub(super) effects: Vec<Effect>,
}

impl<A> Default for State<A> {
    fn default() -> Self {
        Self {
            newest: None,
            taken: 0,
            filtered_out: 0,
            late: 0,
            aggregates: 0,
            open: RedBlackTreeMapSync::new_sync(),
            told: Told::default(),
        }
    }
}

/// How a pipeline stands, for people. It counts from the log's beginning, not from the program's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Events that went into an aggregate.
    pub taken: u64,
    /// Events that a filter left out.
    pub filtered_out: u64,
    /// Windows that closed before an event of theirs came; each has an event `pipeline.event_late`.
    pub late: u64,
    /// Aggregates in memory: one a key, with windows one a key and open window.
    pub aggregates: u64,
    /// At most so many.
    pub aggregates_limit: u64,
    /// Open windows; none of a pipeline without windows.
    pub open_windows: u64,
    /// All windows that end by then have closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Timestamp>,
    /// The time of the newest event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
}

impl<A: Clone> State<A> {
    /// An aggregate of a window, or of all time.
    pub(super) fn get(&self, window: Option<Window>, key: &str) -> Option<&A> {
        self.open.get(&from(window))?.get(key)
    }

    /// Puts an aggregate in its place.
    pub(super) fn put(&mut self, window: Option<Window>, key: &str, value: A) {
        let from = from(window);
        if !self.open.contains_key(&from) {
            self.open.insert_mut(from, Keys::new_sync());
        }
        let Some(keys) = self.open.get_mut(&from) else { return };
        match keys.get_mut(key) {
            Some(place) => *place = value,
            None => {
                keys.insert_mut(key.into(), value);
                self.aggregates += 1;
            }
        }
    }

    /// Aggregates that are left when time has come to `at`.
    pub(super) fn left(&self, windows: Option<Windows>, at: Timestamp) -> u64 {
        let Some(windows) = windows else { return self.aggregates };
        let watermark = windows.watermark(self.newest.map_or(at, |newest| newest.max(at)));
        let closed = self.open.iter().take_while(|(from, _)| windows.from(**from).to <= watermark);
        self.aggregates - closed.map(|(_, keys)| keys.size() as u64).sum::<u64>()
    }

    /// The time up to which all windows have closed, if any time has come.
    pub(super) fn watermark(&self, windows: Windows) -> Option<Timestamp> {
        Some(windows.watermark(self.newest?))
    }

    /// An event was read, and went into an aggregate unless it was filtered out or all of its windows had closed.
    pub(super) fn read(&mut self, at: Timestamp, filtered_out: bool, late: u64, taken: bool) {
        self.newest = self.newest.max(Some(at));
        self.filtered_out += u64::from(filtered_out);
        self.taken += u64::from(taken);
        self.late += late;
    }

    /// The first aggregate whose window has closed: by the beginnings of the windows, then by key.
    pub(super) fn due(&self, windows: Windows) -> Option<(Window, Arc<str>, &A)> {
        let (from, keys) = self.open.first()?;
        let window = windows.from(*from);
        let (key, value) = keys.first()?;
        (Some(window.to) <= self.watermark(windows)).then(|| (window, key.clone(), value))
    }

    /// Drops an aggregate whose window has closed, and the window with its last one.
    pub(super) fn drop(&mut self, window: Window, key: &str) {
        let Some(keys) = self.open.get_mut(&window.from) else { return };
        self.aggregates -= u64::from(keys.remove_mut(key));
        if keys.is_empty() {
            self.open.remove_mut(&window.from);
        }
    }

    /// Drops all windows that have closed.
    pub(super) fn drop_closed(&mut self, windows: Windows) {
        while let Some((window, ..)) = self.due(windows) {
            let keys = self.open.get(&window.from).map_or(0, Keys::size);
            self.aggregates -= keys as u64;
            self.open.remove_mut(&window.from);
        }
    }

    pub(super) fn figures(&self, windows: Option<Windows>, aggregates_limit: u64) -> Figures {
        Figures {
            taken: self.taken,
            filtered_out: self.filtered_out,
            late: self.late,
            aggregates: self.aggregates,
            aggregates_limit,
            open_windows: windows.map_or(0, |_| self.open.size() as u64),
            watermark: windows.and_then(|windows| self.watermark(windows)),
            newest: self.newest,
        }
    }
}

fn from(window: Option<Window>) -> Timestamp {
    window.map_or(ALWAYS, |window| window.from)
}
