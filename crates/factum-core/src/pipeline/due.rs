//! Windows that have closed and are not told yet, and how far windows are told.

use std::{cmp::Ordering, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Window;
use crate::{envelope::Draft, stream::StreamId};

/// How far a pipeline has told its windows, kept beside the log with each telling. It does not depend on how long windows
/// are, so that it holds for whatever the pipeline is changed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Through {
    /// All windows that ended before are told.
    to: Timestamp,
    /// Of those that ended then up to this key; all of them if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Arc<str>>,
}

impl Default for Through {
    fn default() -> Self {
        Self::all(Timestamp::MIN)
    }
}

impl Through {
    /// Windows that end by then, with all their keys.
    pub(super) fn all(to: Timestamp) -> Self {
        Self { to, key: None }
    }

    /// Windows that end before this one, and of this one up to a key.
    pub(super) fn key(window: Window, key: Arc<str>) -> Self {
        Self { to: window.to, key: Some(key) }
    }

    /// Whether a key of a window is told.
    pub(super) fn covers(&self, window: Window, key: &str) -> bool {
        match window.to.cmp(&self.to) {
            Ordering::Less => true,
            Ordering::Equal => self.key.as_deref().is_none_or(|last| key <= last),
            Ordering::Greater => false,
        }
    }

    /// Whether all keys of a window are told.
    pub(super) fn covers_all(&self, window: Window) -> bool {
        window.to < self.to || window.to == self.to && self.key.is_none()
    }

    /// The same, or all windows that end by then if that is further.
    pub(super) fn or_all(self, to: Timestamp) -> Self {
        if self.to <= to { Self::all(to) } else { self }
    }
}

/// What is due of windows that have closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Results, with the streams that they go to and the time that they bear: the last moment of their window.
    pub results: Vec<(StreamId, Draft, Timestamp)>,
    /// How far windows are told with them; to be kept in the same commit.
    pub through: Through,
}
