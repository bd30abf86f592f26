//! What a pipeline keeps: the aggregates of its windows, until they are told, and how far its time has come.

use std::sync::Arc;

use jiff::Timestamp;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use super::{Through, Window, Windows};
use crate::{reaction::Effect, stream::Position};

/// The aggregates of one window, by key.
type Keys<A> = RedBlackTreeMapSync<Arc<str>, A>;

/// The beginning of the one window that a pipeline without windows has.
const ALWAYS: Timestamp = Timestamp::UNIX_EPOCH;

/// The state of a pipeline, as it is kept in snapshots. Its maps share what they hold with their copies.
///
/// A window stays when it has closed, and goes when it is told: so whatever comes of the event that closed it, of a restart or
/// of another version of the pipeline, it is told once. How far windows are told is therefore no part of what is folded: it is
/// kept beside the log, and said to the state before it folds (`State::stands`).
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
    pub(super) follows: Follows,
    /// How far windows are told.
    #[serde(skip)]
    pub(super) through: Through,
    /// That is kept beside the log.
    #[serde(skip)]
    pub(super) kept: bool,
    /// Events up to here were reacted to before.
    #[serde(skip)]
    acted: Position,
}

/// What follows from an event itself, found out when it was taken in.
#[derive(Clone, Default)]
pub(super) struct Follows {
    pub(super) at: Position,
    pub(super) effects: Vec<Effect>,
    pub(super) late: bool,
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
            follows: Follows::default(),
            through: Through::default(),
            kept: false,
            acted: Position::START,
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

    /// Up to where events were reacted to, and how far windows were told, if that is kept.
    pub(super) fn stands(&mut self, windows: Windows, acted: Position, through: Option<&Through>) {
        self.acted = acted;
        if let Some(through) = through {
            (self.through, self.kept) = (through.clone(), true);
        }
        self.drop_told(windows);
    }

    /// Whether an item at a place in the log comes too late for its window: that is told, or closed without anything to tell.
    /// What was reacted to before is late only if it was so then: else another lateness would change what is still to be told.
    pub(super) fn is_late(&self, windows: Windows, at: Position, window: Window, key: &str) -> bool {
        let told = self.through.covers(window, key);
        let closed = self.has_closed(windows, window);
        if at <= self.acted { told && closed } else { told || closed && self.first_closed(windows).is_none() }
    }

    fn has_closed(&self, windows: Windows, window: Window) -> bool {
        Some(window.to) <= self.watermark(windows)
    }

    /// Windows that have closed and are not told yet, the earliest first.
    pub(super) fn closed(&self, windows: Windows) -> impl Iterator<Item = (Window, &Keys<A>)> {
        let open = self.open.iter().map(move |(from, keys)| (windows.from(*from), keys));
        open.take_while(move |(window, _)| self.has_closed(windows, *window))
    }

    /// Drops what is told of windows that have closed. As long as nothing is kept beside the log, what closed before the pipeline
    /// was there is not to be told at all; and of one that was away for long not more than it may hold.
    pub(super) fn close(&mut self, windows: Windows, at: Position, most: u64) {
        if at <= self.acted
            && !self.kept
            && let Some(watermark) = self.watermark(windows)
        {
            self.through = std::mem::take(&mut self.through).or_all(watermark);
        }
        self.drop_told(windows);
        while at <= self.acted && self.aggregates > most.saturating_mul(2) {
            let Some(window) = self.first_closed(windows) else { break };
            self.through = Through::all(window.to);
            self.drop_told(windows);
        }
    }

    fn first_closed(&self, windows: Windows) -> Option<Window> {
        self.closed(windows).next().map(|(window, _)| window)
    }

    fn drop_told(&mut self, windows: Windows) {
        while let Some(window) = self.first_closed(windows) {
            let Some(keys) = self.open.get_mut(&window.from) else { break };
            if self.through.covers_all(window) {
                self.aggregates -= keys.size() as u64;
            } else {
                let told = keys.keys().take_while(|key| self.through.covers(window, key)).cloned();
                let told: Vec<Arc<str>> = told.collect();
                self.aggregates -= told.iter().filter(|key| keys.remove_mut(&***key)).count() as u64;
                if !keys.is_empty() {
                    break;
                }
            }
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
