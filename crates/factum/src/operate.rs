//! Looking after an app's data: what the command `factum` does, for programs.
//!
//! A directory is an app's, with its log in `log/`, or the log's own, or a backup of either; a database is named as in
//! [`Location`]. All of it works beside the process that runs the app, but for [`discard`]; what works with files, [`backup`],
//! [`restore`] and [`archive`], is for directories. What the answers mean is said in `docs/operations.md`.

use std::path::Path;

pub use factum_core::moving::Marks;
pub use factum_core::upkeep::{About, Copied, Findings, Follow, Moved, Place, Progress, Segment, StoredFile};
use factum_core::{
    error::StoreError,
    letter::LetterId,
    ports::{Clock, IdSource},
};
pub use factum_runtime::moving::{Places, Relocated, Step};
use factum_runtime::{
    acts::{ActError, By},
    clock::LiveClock,
    ids::UuidSource,
    letters::{self, Page, Query, Shown},
    sagas,
};

pub use crate::moving::{GaveUp, give_up, relocate};
use crate::{location::Location, wiring};

/// Whether an app runs on these data, at this moment; `false` if there is nothing.
///
/// # Errors
/// [`StoreError`] if it cannot be looked at.
pub fn is_open(place: impl Into<Location>) -> Result<bool, StoreError> {
    wiring::is_open(&place.into())
}

/// What the process that runs an app on these data calls itself, if one does, and has said so: best its address.
///
/// # Errors
/// As [`is_open`].
pub fn leader(place: impl Into<Location>) -> Result<Option<String>, StoreError> {
    wiring::leader(&place.into())
}

/// What is noted of a move that these data are a part of.
///
/// # Errors
/// As [`about`]; without a log nothing is noted.
pub fn marks(place: impl Into<Location>) -> Result<Marks, StoreError> {
    wiring::marks(&place.into())
}

/// What a log consists of.
///
/// # Errors
/// [`StoreError::Permanent`] if there is no log, [`StoreError::Corrupt`] if it is damaged.
pub fn about(place: impl Into<Location>) -> Result<About, StoreError> {
    wiring::about(&place.into())
}

/// Reads all of a log, and holds what is derived from it against it. Changes nothing. `progress` hears bytes.
///
/// # Errors
/// As [`about`]; damage is an answer, and only an error if nothing behind it can be read.
pub fn verify(place: impl Into<Location>, progress: Progress<'_>) -> Result<Findings, StoreError> {
    wiring::verify(&place.into(), progress)
}

/// Copies a directory's log, as it is now, to `to`, which is new or an earlier backup of the same log; that gets what is
/// new. With `links`, segments that will not change any more are hard links where that is possible: they cost nothing, but
/// what damages one damages both. `progress` hears segments.
///
/// # Errors
/// As [`about`]; [`StoreError::Permanent`] if `to` holds anything else, [`StoreError::Full`].
pub fn backup(
    place: impl Into<Location>,
    to: impl AsRef<Path>,
    links: bool,
    progress: Progress<'_>,
) -> Result<Copied, StoreError> {
    wiring::backup(&place.into(), to.as_ref(), links, progress)
}

/// Makes an app's directory of a backup, in `place`, which is new or empty. The log gets a new epoch, by which whoever kept
/// a position of the original notices; views are rebuilt when the app starts. `progress` hears segments.
///
/// # Errors
/// As [`about`], for the backup; [`StoreError::Permanent`] if it is not empty, [`StoreError::Full`].
pub fn restore(
    from: impl AsRef<Path>,
    place: impl Into<Location>,
    progress: Progress<'_>,
) -> Result<Copied, StoreError> {
    wiring::restore(from.as_ref(), &place.into(), progress)
}

/// Makes the tables of a unit in a database, or brings them to this program's version, as the role that the place names.
/// Answers that version. An app's start does the same if its role may.
///
/// # Errors
/// [`StoreError::Permanent`] for what a person must mend, and of a directory, which needs none of it.
pub fn migrate(place: impl Into<Location>) -> Result<i32, StoreError> {
    wiring::migrate(&place.into())
}

/// The statements in SQL that give a writing and a reading role their rights on a unit in a database. Its owner carries them out.
///
/// # Errors
/// As [`migrate`].
pub fn roles(place: impl Into<Location>, writer: Option<&str>, reader: Option<&str>) -> Result<String, StoreError> {
    wiring::roles(&place.into(), writer, reader)
}

/// Moves segments that will not change any more, but the newest `keep`, compressed into a directory of their own, where
/// they are still read. `progress` hears segments.
///
/// # Errors
/// As [`about`]; [`StoreError::Permanent`] if the log has another archive, or `to` is another log's; [`StoreError::Full`].
pub fn archive(
    place: impl Into<Location>,
    to: impl AsRef<Path>,
    keep: usize,
    progress: Progress<'_>,
) -> Result<Moved, StoreError> {
    wiring::archive(&place.into(), to.as_ref(), keep, progress)
}

/// Opens a log to read it, and what is written to it later.
///
/// # Errors
/// As [`about`].
pub fn follow(place: impl Into<Location>) -> Result<Box<dyn Follow>, StoreError> {
    wiring::follow(&place.into())
}

/// The letters of a log that fit.
///
/// # Errors
/// As [`about`].
pub fn letters(place: impl Into<Location>, query: &Query) -> Result<Page, StoreError> {
    letters::list(&*wiring::follow(&place.into())?.reader(), query)
}

/// One letter of a log with its message and its failures; `None` if there is none of that name.
///
/// # Errors
/// As [`about`].
pub fn letter(place: impl Into<Location>, id: &LetterId) -> Result<Option<Shown>, StoreError> {
    letters::show(&*wiring::follow(&place.into())?.reader(), id)
}

/// The open instances of sagas in a log that fit.
///
/// # Errors
/// As [`about`]; [`ActError::NotNow`] if the question makes no sense.
pub fn sagas(place: impl Into<Location>, query: &sagas::Query) -> Result<sagas::Page, ActError> {
    sagas::list(&*wiring::follow(&place.into())?.reader(), query, LiveClock::default().mark(), None)
}

/// One instance of a saga in a log, open or ended; `None` if there never was one of that name.
///
/// # Errors
/// As [`about`].
pub fn saga(place: impl Into<Location>, id: &str) -> Result<Option<factum_core::saga::Shown>, StoreError> {
    sagas::show(&*wiring::follow(&place.into())?.reader(), id, LiveClock::default().mark(), None)
}

/// Ends a letter of an app that is stopped, without running anything; what waits behind it follows when the app starts.
/// It is durable on return, with an event that says who did it and why. Everything else that can be done about a letter
/// needs the program.
///
/// # Errors
/// [`ActError`]: a process runs on the data, or there is no such letter; nothing was stored then.
pub fn discard(place: impl Into<Location>, id: &LetterId, by: &By) -> Result<(), ActError> {
    let place = place.into();
    // Opening it to write would make a log where none is.
    if letter(&place, id)?.is_none() {
        return Err(ActError::NoLetter(id.clone()));
    }
    let at = LiveClock::default().mark();
    let committer = wiring::committer(&place)?;
    letters::discard(&committer, id, by, at, UuidSource::random().next(at))?;
    Ok(committer.idle()?)
}
