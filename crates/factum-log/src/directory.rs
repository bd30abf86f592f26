//! A log's directory: what may stand in it, making its first segment, settling what a crash left over.

use std::path::Path;

use crate::disk::Disk;
use crate::error::{During, LogError};
use crate::lock;
use crate::segment::{self, Unfit};

/// Whether there is a log in the directory; an error if there is something else.
pub(crate) fn has_log(disk: &dyn Disk, dir: &Path) -> Result<bool, LogError> {
    let names = disk.list(dir).during("list", dir)?;
    if names.iter().any(|name| segment::is_segment(name)) {
        return Ok(true);
    }
    // The last one stands in the root of many file systems.
    let ours = [lock::FILE, segment::NEXT, segment::SPARE, "lost+found"];
    match names.iter().all(|name| ours.contains(&name.as_str())) {
        true => Ok(false),
        false => Err(LogError::NotALog { dir: dir.to_owned() }),
    }
}

/// Makes a log of one empty segment.
pub(crate) fn create(disk: &dyn Disk, dir: &Path, segment_bytes: u64) -> Result<(), LogError> {
    let log_id = disk.fresh_id().during("get random bytes for", dir)?;
    let header = segment::Header { log_id, epoch: 1, first: 1, number: 1, base: 0 };
    let temp = dir.join(segment::NEXT);
    let file = segment::create_temp(disk, &temp).during("create", &temp)?;
    segment::fill(&*file, 0, segment_bytes.min(segment::FIRST)).during("write", &temp)?;
    match segment::install(disk, dir, &temp, &*file, &header) {
        Ok(_) => Ok(()),
        Err(Unfit::Before(error) | Unfit::After(error)) => Err(error).during("make the first segment of", dir),
    }
}

/// Removes segments that never got their name, and makes the names of the others durable: whoever gave the last one its
/// name may have died before he synced it. Only for the holder of the lock.
pub(crate) fn settle(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    let left = disk.list(dir).during("list", dir)?;
    let left = left.iter().filter(|name| [segment::NEXT, segment::SPARE].contains(&name.as_str()));
    for path in left.map(|name| dir.join(name)) {
        disk.remove(&path).during("remove", &path)?;
    }
    disk.sync_dir(dir).during("sync", dir)
}
