//! How far the views are, to look at and to wait for: how a read waits until it sees what its caller wrote.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use factum_core::stream::{Cursor, Position};
use serde::Serialize;
use tokio::sync::watch;

use crate::registry::Registry;

/// How far a view is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewState {
    /// Its rows stand for everything up to here.
    pub position: Position,
    /// Whether queries read this version.
    pub live: bool,
    /// Why it does not go on.
    pub stopped: Option<String>,
    /// From here on events may be missing in the rows, because the view leaves out what it fails on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete_from: Option<Position>,
    /// Which of its rows need a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_person: Vec<NeedsPerson>,
}

/// Rows that need a person, as their service declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeedsPerson {
    /// How many.
    pub count: u64,
    /// The keys of the first of them.
    pub who: Vec<String>,
    /// What a person may do.
    pub hint: &'static str,
}

/// How far all views are, to look at and to wait for.
#[derive(Clone, Default)]
pub struct Progress(Arc<BTreeMap<&'static str, watch::Sender<ViewState>>>);

impl Progress {
    pub(super) fn of(states: impl Iterator<Item = (&'static str, watch::Sender<ViewState>)>) -> Self {
        Self(Arc::new(states.collect()))
    }

    /// Of views whose rows another process writes.
    pub(crate) fn elsewhere(registry: &Registry) -> Self {
        let tables = registry.services.iter().flat_map(|service| &service.views).map(|view| view.table().name);
        Self::of(tables.map(|table| (table, watch::Sender::new(ViewState { live: true, ..ViewState::default() }))))
    }

    /// The tables.
    pub(crate) fn tables(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }

    /// Takes in how far the rows of these tables are; answers how far all are, if there are any.
    pub(crate) fn stand(&self, tables: &[&'static str], cursors: Vec<Option<Cursor>>) -> Option<Position> {
        let positions = cursors.into_iter().map(|cursor| cursor.map_or(Position::START, |cursor| cursor.position));
        for (table, position) in tables.iter().zip(positions.clone()) {
            if let Some(sender) = self.sender(table) {
                sender.send_if_modified(|state| std::mem::replace(&mut state.position, position) != position);
            }
        }
        positions.min()
    }

    pub(super) fn sender(&self, table: &str) -> Option<&watch::Sender<ViewState>> {
        self.0.get(table)
    }

    /// How far a table's view is; `None` if no view writes it.
    pub fn state(&self, table: &str) -> Option<ViewState> {
        self.0.get(table).map(|state| state.borrow().clone())
    }

    /// Waits until a table's rows stand for a position, at most so long. Without a position it only looks whether there
    /// is such a table.
    ///
    /// # Errors
    /// [`Unreached`], by what can be done about it.
    pub async fn reach(&self, table: &str, wanted: Option<Position>, limit: Duration) -> Result<(), Unreached> {
        let mut state = self.follow(table).ok_or(Unreached::NoView)?;
        let Some(wanted) = wanted else { return Ok(()) };
        let there = state.wait_for(|state| state.position >= wanted || state.stopped.is_some());
        match tokio::time::timeout(limit, there).await {
            Ok(Ok(state)) => match &state.stopped {
                Some(reason) if state.position < wanted => Err(Unreached::Stopped(reason.clone())),
                _ => Ok(()),
            },
            Ok(Err(_)) => Err(Unreached::Stopped("the app has ended".to_owned())),
            Err(_) => Err(Unreached::Late),
        }
    }

    /// Follows a table's view; `None` if no view writes it.
    pub fn follow(&self, table: &str) -> Option<watch::Receiver<ViewState>> {
        self.0.get(table).map(watch::Sender::subscribe)
    }

    /// All views.
    pub fn all(&self) -> BTreeMap<&'static str, ViewState> {
        self.0.iter().map(|(table, state)| (*table, state.borrow().clone())).collect()
    }
}

/// Why rows do not stand for a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// No view writes the table.
    NoView,
    /// Its view has stopped in front of the position, and why.
    Stopped(String),
    /// It has not come so far in time.
    Late,
}
