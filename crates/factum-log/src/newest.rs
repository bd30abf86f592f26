//! Which segment is the newest, kept in the name of an empty file: a log whose last segments were removed would look like
//! an older one that is whole.
//!
//! It follows each new segment by one renaming, which the next sync of the directory makes durable: right after a loss of
//! power it may still name the segment before, and never one that was not durable first.

use std::io;
use std::path::Path;

use crate::disk::{Access, Disk};
use crate::error::{During, LogError};
use crate::recovery::Place;
use crate::segment;

const SUFFIX: &str = ".newest";

fn file_name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The names that were noted, in order. To be looked at before the segments are listed: what they speak of is then there,
/// also beside a running writer.
pub(crate) fn noted(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<String>> {
    let mut names = disk.list(dir)?;
    names.retain(|name| name.ends_with(SUFFIX));
    names.sort();
    Ok(names)
}

/// Refuses a log whose newest segment is not there.
pub(crate) fn check(dir: &Path, noted: &[String], segments: &[Place]) -> Result<(), LogError> {
    let last = segments.last().map(|(header, _)| file_name(header.first));
    match (noted.last(), last) {
        (Some(noted), Some(last)) if *noted > last => {
            let missing = dir.join(noted.replace(SUFFIX, segment::SUFFIX));
            let what = format!(
                "it is missing, and {} shows that it was the newest segment (whoever wants \
                 to go on without, removes that)",
                dir.join(noted).display()
            );
            Err(LogError::damaged(&missing, 0, what))
        }
        _ => Ok(()),
    }
}

/// Notes the segment of this first position, which is durable. Answers whether anything was changed.
pub(crate) fn note(disk: &dyn Disk, dir: &Path, first: u64) -> io::Result<bool> {
    let name = file_name(first);
    let mut before = noted(disk, dir)?;
    let is_noted = match before.pop() {
        Some(last) if last == name => true,
        Some(last) => disk.rename(&dir.join(last), &dir.join(&name)).map(|()| false)?,
        None => disk.open(&dir.join(&name), Access::Create).map(|_| false)?,
    };
    // A loss of power may leave two.
    before.iter().try_for_each(|older| disk.remove(&dir.join(older)))?;
    Ok(!is_noted || !before.is_empty())
}

/// The same at opening: durable on return. A full disk can wait for it.
pub(crate) fn secure(disk: &dyn Disk, dir: &Path, first: u64) -> Result<(), LogError> {
    match note(disk, dir, first) {
        Ok(true) => disk.sync_dir(dir).during("sync", dir),
        Ok(false) => Ok(()),
        Err(error) if crate::error::is_full(&error) => Ok(()),
        Err(error) => Err(error).during("note the newest segment of", dir),
    }
}
