//! Looking after an app's directory: what the command `factum` does, for programs.
//!
//! A directory is an app's, with its log in `log/`, or the log's own, or a backup of either. All of it works beside the
//! process that runs the app, but for [`discard`]. What the answers mean is said in `docs/operations.md`.

use std::path::Path;

pub use factum_core::upkeep::{About, Copied, Findings, Follow, Moved, Place, Progress, Segment, StoredFile};
use factum_core::{
    error::StoreError,
    letter::LetterId,
    ports::{Clock, IdSource},
};
use factum_runtime::{
    acts::{ActError, By},
    clock::LiveClock,
    ids::UuidSource,
    letters::{self, Page, Query, Shown},
    sagas,
};

use crate::wiring;

/// Whether an app runs on a directory, at this moment; `false` if there is nothing.
///
/// # Errors
/// [`StoreError`] if it cannot be looked at.
pub fn is_open(dir: impl AsRef<Path>) -> Result<bool, StoreError> {
    wiring::is_open(dir.as_ref())
}

/// What a directory's log consists of.
///
/// # Errors
/// [`StoreError::Permanent`] if there is no log, [`StoreError::Corrupt`] if it is damaged.
pub fn about(dir: impl AsRef<Path>) -> Result<About, StoreError> {
    wiring::about(dir.as_ref())
}

/// Reads all of a directory's log, and holds its checkpoints against it. Changes nothing. `progress` hears bytes.
///
/// # Errors
/// As [`about`]; damage is an answer, and only an error if nothing behind it can be read.
pub fn verify(dir: impl AsRef<Path>, progress: Progress<'_>) -> Result<Findings, StoreError> {
    wiring::verify(dir.as_ref(), progress)
}

/// Copies a directory's log, as it is now, to `to`, which is new or an earlier backup of the same log; that gets what is
/// new. With `links`, segments that will not change any more are hard links where that is possible: they cost nothing, but
/// what damages one damages both. `progress` hears segments.
///
/// # Errors
/// As [`about`]; [`StoreError::Permanent`] if `to` holds anything else, [`StoreError::Full`].
pub fn backup(
    dir: impl AsRef<Path>,
    to: impl AsRef<Path>,
    links: bool,
    progress: Progress<'_>,
) -> Result<Copied, StoreError> {
    wiring::backup(dir.as_ref(), to.as_ref(), links, progress)
}

/// Makes an app's directory of a backup, in `dir`, which is new or empty. The log gets a new epoch, by which whoever kept
/// a position of the original notices; views are rebuilt when the app starts. `progress` hears segments.
///
/// # Errors
/// As [`about`], for the backup; [`StoreError::Permanent`] if `dir` is not empty, [`StoreError::Full`].
pub fn restore(from: impl AsRef<Path>, dir: impl AsRef<Path>, progress: Progress<'_>) -> Result<Copied, StoreError> {
    wiring::restore(from.as_ref(), dir.as_ref(), progress)
}

/// Moves segments that will not change any more, but the newest `keep`, compressed into a directory of their own, where
/// they are still read. `progress` hears segments.
///
/// # Errors
/// As [`about`]; [`StoreError::Permanent`] if the log has another archive, or `to` is another log's; [`StoreError::Full`].
pub fn archive(
    dir: impl AsRef<Path>,
    to: impl AsRef<Path>,
    keep: usize,
    progress: Progress<'_>,
) -> Result<Moved, StoreError> {
    wiring::archive(dir.as_ref(), to.as_ref(), keep, progress)
}

/// Opens a directory's log to read it, and what is written to it later.
///
/// # Errors
/// As [`about`].
pub fn follow(dir: impl AsRef<Path>) -> Result<Box<dyn Follow>, StoreError> {
    wiring::follow(dir.as_ref())
}

/// The letters of a directory's log that fit.
///
/// # Errors
/// As [`about`].
pub fn letters(dir: impl AsRef<Path>, query: &Query) -> Result<Page, StoreError> {
    letters::list(&*wiring::follow(dir.as_ref())?.reader(), query)
}

/// One letter of a directory's log with its message and its failures; `None` if there is none of that name.
///
/// # Errors
/// As [`about`].
pub fn letter(dir: impl AsRef<Path>, id: &LetterId) -> Result<Option<Shown>, StoreError> {
    letters::show(&*wiring::follow(dir.as_ref())?.reader(), id)
}

/// The open instances of sagas in a directory's log that fit.
///
/// # Errors
/// As [`about`]; [`ActError::NotNow`] if the question makes no sense.
pub fn sagas(dir: impl AsRef<Path>, query: &sagas::Query) -> Result<sagas::Page, ActError> {
    sagas::list(&*wiring::follow(dir.as_ref())?.reader(), query, LiveClock::default().mark(), None)
}

/// One instance of a saga in a directory's log, open or ended; `None` if there never was one of that name.
///
/// # Errors
/// As [`about`].
pub fn saga(dir: impl AsRef<Path>, id: &str) -> Result<Option<factum_core::saga::Shown>, StoreError> {
    sagas::show(&*wiring::follow(dir.as_ref())?.reader(), id, LiveClock::default().mark(), None)
}

/// Ends a letter of an app that is stopped, without running anything; what waits behind it follows when the app starts.
/// It is durable on return, with an event that says who did it and why. Everything else that can be done about a letter
/// needs the program.
///
/// # Errors
/// [`ActError`]: a process runs on the directory, or there is no such letter; nothing was stored then.
pub fn discard(dir: impl AsRef<Path>, id: &LetterId, by: &By) -> Result<(), ActError> {
    // Opening it to write would make a log where none is.
    if letter(&dir, id)?.is_none() {
        return Err(ActError::NoLetter(id.clone()));
    }
    let at = LiveClock::default().mark();
    let committer = wiring::committer(dir.as_ref())?;
    letters::discard(&committer, id, by, at, UuidSource::random().next(at))?;
    Ok(committer.idle()?)
}
