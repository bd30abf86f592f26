//! A log's directory: what may stand in it, making its first segment, settling what a crash left over.

use std::path::Path;

use crate::backup;
use crate::checkpoint;
use crate::disk::Disk;
use crate::error::{During, LogError};
use crate::lock;
use crate::options::Lineage;
use crate::segment::{self, Unfit};

/// A file in a log's directory in which whoever uses the log may note something of it. The log leaves it alone, and is made
/// beside it.
pub const NOTE: &str = "note.json";
/// Its name until it is whole.
pub const UNFINISHED_NOTE: &str = "note.json.unfinished";

/// Whether there is a log in the directory; an error if there is something else.
pub(crate) fn has_log(disk: &dyn Disk, dir: &Path) -> Result<bool, LogError> {
    let names = disk.list(dir).during("list", dir)?;
    if names.iter().any(|name| name == backup::MARKER) {
        return Err(LogError::IsBackup { dir: dir.to_owned() });
    }
    if names.iter().any(|name| segment::is_segment(name)) {
        return Ok(true);
    }
    // The last one stands in the root of many file systems. A checkpoint or an archive without a segment is no empty
    // log but one that has lost its files.
    let ours = [lock::FILE, segment::NEXT, segment::SPARE, NOTE, UNFINISHED_NOTE, "lost+found"];
    match names.iter().all(|name| ours.contains(&name.as_str())) {
        true => Ok(false),
        false => Err(LogError::NotALog { dir: dir.to_owned() }),
    }
}

/// Makes a log of one empty segment, of this identity or a fresh one.
pub(crate) fn create(
    disk: &dyn Disk,
    dir: &Path,
    segment_bytes: u64,
    lineage: Option<Lineage>,
) -> Result<(), LogError> {
    let Lineage { log_id, epoch } = match lineage {
        Some(given) => given,
        None => Lineage { log_id: disk.fresh_id().during("get random bytes for", dir)?, epoch: 1 },
    };
    let header = segment::Header { log_id, epoch, first: 1, number: 1, base: 0 };
    let temp = dir.join(segment::NEXT);
    let file = segment::create_temp(disk, &temp).during("create", &temp)?;
    segment::fill(&*file, 0, segment_bytes.min(segment::FIRST)).during("write", &temp)?;
    match segment::install(disk, dir, &temp, &*file, &header) {
        Ok(_) => Ok(()),
        Err(Unfit::Before(error) | Unfit::After(error)) => Err(error).during("make the first segment of", dir),
    }
}

/// Removes segments and checkpoints that never got their name, and makes the names of the others durable: whoever gave
/// the last one its name may have died before he synced it. Only for the holder of the lock.
pub(crate) fn settle(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    let left = disk.list(dir).during("list", dir)?;
    let left = left.iter().filter(|name| [segment::NEXT, segment::SPARE, checkpoint::TEMP].contains(&name.as_str()));
    for path in left.map(|name| dir.join(name)) {
        disk.remove(&path).during("remove", &path)?;
    }
    disk.sync_dir(dir).during("sync", dir)
}
