//! Copies of a log: taken while it is written, and made a log of its own again.
//!
//! A backup is a directory of segments, of which sealed ones are hard links where that is possible, and the last one a
//! copy that ends with a mark, so that later damage to it is noticed. It is read like a log, but not opened: its epoch
//! is still that of the original. [`restore`] makes a log of it, with an epoch of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{During, LogError};
use crate::files::Files;
use crate::frame::{self, Kind};
use crate::heads::View;
use crate::lock;
use crate::options::Lineage;
use crate::recovery::{self, Recovery};
use crate::sabotage;
use crate::segment::{self, Found, Frames, Segment};

/// Marks a directory as a backup.
pub(crate) const MARKER: &str = "backup";
/// A file of a backup until it is complete.
const TEMP: &str = "backup.tmp";
/// What is added to the name of a directory that is being restored.
const UNFINISHED: &str = ".restoring";
/// Bytes copied at once.
const PIECE: usize = 1 << 20;

/// What [`backup`] and [`restore`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The identity of what the copy is of; of a restored log, its own.
    pub lineage: Lineage,
    /// The identity of what was copied: that of `lineage`, but for a restored log its epoch is the one before.
    pub original: Lineage,
    /// The last position in it.
    pub entries: u64,
    /// Segments in it.
    pub segments: usize,
    /// Segments that were there from an earlier backup.
    pub kept: usize,
    /// Segments that are links to the original.
    pub linked: usize,
    /// Bytes copied.
    pub copied_bytes: u64,
}

/// Copies the log in `dir` to `to`, as it is now, also while another process writes it. `to` is new or empty, or holds
/// an earlier backup of the same log, to which only what is new is added. With `links`, sealed segments are linked
/// where the file system allows it: that costs nothing, but damage to one is then damage to both. `progress` hears
/// segments done and segments in all.
///
/// # Errors
/// As [`Observer::open`](crate::Observer::open) for the log; [`LogError::NotALog`] if `to` holds something else,
/// [`LogError::AnotherLog`] if it holds a backup of another log, or of this one before it was restored,
/// [`LogError::BackupAhead`] if it holds more than the log, which then is an older copy or has lost its end,
/// [`LogError::Locked`] if another backup is being written there, [`LogError::Full`].
pub fn backup(
    dir: &Path,
    to: &Path,
    links: bool,
    disk: Arc<dyn Disk>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Copied, LogError> {
    let (mut found, mut view) = recovery::read(&disk, dir, Access::Read)?;
    found.sync_last(&mut view)?;
    disk.create_dir(to).during("create", to)?;
    let lock = to.join(lock::FILE);
    let Some(_guard) = disk.lock(&lock).during("lock", &lock)? else {
        return Err(LogError::Locked { dir: to.to_owned() });
    };
    let before = earlier(&disk, to, &found, view.end)?;
    let count = view.segments.len();
    let (lineage, entries) = (found.lineage, view.head);
    let mut copied =
        Copied { lineage, original: lineage, entries, segments: count, kept: 0, linked: 0, copied_bytes: 0 };
    let there = found.files.segments()?;
    for (index, segment) in view.segments.iter().enumerate() {
        progress(index, count);
        let name = segment::file_name(segment.first);
        let Some(next) = view.segments.get(index + 1) else {
            copied.copied_bytes += copy_last(&*disk, &view, lineage, &to.join(&name))?;
            break;
        };
        // The last one of an earlier backup was not complete.
        if before.iter().rev().skip(1).any(|earlier| *earlier == name) {
            copied.kept += 1;
            continue;
        }
        let place = there.get(&name).cloned().unwrap_or_else(|| segment.path.to_path_buf());
        let file_name = place.file_name().unwrap_or_default();
        if links && link(&*disk, &place, to, &to.join(file_name))? {
            copied.linked += 1;
            // If it is archived by now: that it was the last one of an earlier backup stands beside it, and would be read.
            if file_name != &*name && before.contains(&name) {
                let short = to.join(&name);
                match disk.remove(&short) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error).during("remove", &short);
                    }
                    _ => {}
                }
            }
        } else {
            // Read through the segment, which knows where it went if it was archived meanwhile.
            copied.copied_bytes += copy(&*disk, &*segment.file, next.base - segment.base, None, &to.join(&name))?;
        }
        // What was the last one is whole for good before another stands behind it, which would be the proof of that.
        if before.last() == Some(&name) {
            disk.sync_dir(to).during("sync", to)?;
        }
    }
    disk.sync_dir(to).during("sync", to)?;
    progress(count, count);
    Ok(copied)
}

/// The segments of an earlier backup in `to`; if there is none yet, marks the directory as one.
fn earlier(disk: &Arc<dyn Disk>, to: &Path, found: &Recovery, end: u64) -> Result<Vec<String>, LogError> {
    let names = disk.list(to).during("list", to)?;
    if names.iter().any(|name| name == MARKER) {
        let segments = Files::new(Arc::clone(disk), to).segments()?;
        // Of another epoch, or not in the log: after a restore the two went different ways, under the same names.
        let ours = recovery::headers(&found.files, "")?;
        for path in segments.values() {
            let header = segment::read_header(&*archive::open(&**disk, path).during("open", path)?, path)?;
            if !ours.iter().any(|(known, _)| *known == header) {
                return Err(LogError::AnotherLog { dir: to.to_owned() });
            }
        }
        if let Some(path) = segments.values().next_back()
            && let Some(backed_up) = end_of_last(&**disk, path)?
            && backed_up > end
        {
            return Err(LogError::BackupAhead { dir: to.to_owned(), bytes: backed_up - end });
        }
        return Ok(segments.into_keys().collect());
    }
    if names.iter().any(|name| name != lock::FILE) {
        return Err(LogError::NotALog { dir: to.to_owned() });
    }
    let marker = to.join(MARKER);
    let file = disk.open(&marker, Access::Create).during("create", &marker)?;
    let text = b"A backup of a log: it can be read, and restored into a directory of its own.\n";
    file.write_full(text, 0).and_then(|()| file.sync_data()).during("write", &marker)?;
    disk.sync_dir(to).during("sync", to)?;
    Ok(Vec::new())
}

/// Log offset of the end of a backup's last segment, without the mark that closes it; `None` if it is not closed, because
/// the backup was interrupted.
fn end_of_last(disk: &dyn Disk, path: &Path) -> Result<Option<u64>, LogError> {
    let file = archive::open(disk, path).during("open", path)?;
    let header = segment::read_header(&*file, path)?;
    let size = file.size().during("look at", path)?;
    let segment = Segment::new(path.to_owned(), file, &header);
    let mut frames = Frames::new(&segment, header.log_id, segment::HEADER as u64, size, Vec::new());
    let mut end = None;
    while let Found::Frame(frame, at, _) = frames.next().during("read", path)? {
        end = (frame.kind == Kind::Closing).then_some(header.base + at);
    }
    Ok(end)
}

/// Gives a file a second name in the backup; false if the file system cannot.
fn link(disk: &dyn Disk, from: &Path, dir: &Path, to: &Path) -> Result<bool, LogError> {
    let temp = dir.join(TEMP);
    match disk.remove(&temp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).during("remove", &temp),
        _ => {}
    }
    // What cannot be linked can be copied; if it is not there any more, copying says so.
    match disk.link(from, &temp) {
        Ok(()) => disk.rename(&temp, to).during("rename", &temp).map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Copies the last segment up to the log's end, and closes it.
fn copy_last(disk: &dyn Disk, view: &View, lineage: Lineage, to: &Path) -> Result<u64, LogError> {
    let Some(last) = view.segments.last() else { return Ok(0) };
    let mut mark = vec![0; frame::HEADER];
    let header = frame::Header {
        kind: Kind::Closing,
        length: 0,
        payload_crc: 0,
        number: view.next_frame,
        first: view.head + 1,
        offset: view.end,
        synced: view.end,
        entries: 0,
    };
    header.write(&lineage.log_id, &mut mark);
    copy(disk, &*last.file, view.end - last.base, Some(&mark), to)
}

/// Copies the first `length` bytes of a file, and `behind` after them; complete and synced before it has its name.
fn copy(disk: &dyn Disk, from: &dyn DiskFile, length: u64, behind: Option<&[u8]>, to: &Path) -> Result<u64, LogError> {
    let temp = to.with_file_name(TEMP);
    let out = segment::create_temp(disk, &temp).during("create", &temp)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let want = PIECE.min((length - at) as usize);
        if from.read_full(&mut piece[..want], at).during("read the original of", to)? < want {
            return Err(LogError::damaged(to, at, "its original ends here, before its end"));
        }
        out.write_full(&piece[..want], at).during("write", &temp)?;
        at += want as u64;
    }
    let closed = out.write_full(behind.unwrap_or_default(), at).and_then(|()| out.sync_data());
    closed.during("write", &temp)?;
    disk.rename(&temp, to).during("rename", &temp)?;
    Ok(length)
}

/// What is wrong with a backup, and where that is to be named, if it is one that does not end with its closing mark.
pub(crate) fn missing_end(
    disk: &dyn Disk,
    dir: &Path,
    view: &View,
) -> Result<Option<(PathBuf, &'static str)>, LogError> {
    let is_backup = disk.list(dir).during("list", dir)?.iter().any(|name| name == MARKER);
    let what = "the backup it marks has no end: it was not finished, or lost its last segments (back up again; or, to \
                take what there is, remove this file)";
    Ok((is_backup && view.last != Some(Kind::Closing)).then(|| (dir.join(MARKER), what)))
}

/// Makes a log in `dir`, which must be missing or empty, of the backup in `from`, which stays as it is. The log gets a
/// new epoch: whoever keeps a position of the original beside it notices. All or nothing: until it is complete, it has
/// another name. `progress` hears segments done and segments in all.
///
/// # Errors [`LogError::NotALog`] if `from` holds no log or `dir` holds anything, [`LogError::Damaged`] if the backup
/// is damaged, [`LogError::Full`], [`LogError::Io`]; nothing is left of it then but a directory named `….restoring`.
pub fn restore(
    from: &Path,
    dir: &Path,
    disk: Arc<dyn Disk>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Copied, LogError> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(names) if names.is_empty() => {}
        Ok(_) => return Err(LogError::NotALog { dir: dir.to_owned() }),
        Err(error) => return Err(error).during("list", dir),
    }
    // Also reads all of it that a checkpoint does not cover; a backup has none.
    let (found, view) = recovery::read(&disk, from, Access::Read)?;
    if let Some((file, what)) = missing_end(&*disk, from, &view)? {
        return Err(LogError::damaged(&file, 0, what));
    }
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    let temp = dir.with_file_name(name);
    disk.create_dir(&temp).during("create", &temp)?;
    let Some(_guard) = disk.lock(&temp.join(lock::FILE)).during("lock", &temp)? else {
        return Err(LogError::Locked { dir: temp });
    };
    for left in disk.list(&temp).during("list", &temp)?.iter().filter(|name| *name != lock::FILE) {
        let path = temp.join(left);
        disk.remove(&path).during("remove", &path)?;
    }
    let epoch = next_epoch(&*disk, found.lineage.epoch).during("get random bytes for", dir)?;
    let lineage = Lineage { epoch, ..found.lineage };
    let count = view.segments.len();
    let original = found.lineage;
    let mut copied =
        Copied { lineage, original, entries: view.head, segments: count, kept: 0, linked: 0, copied_bytes: 0 };
    for (index, segment) in view.segments.iter().enumerate() {
        progress(index, count);
        let end = view.segments.get(index + 1).map_or(view.end, |next| next.base);
        let path = temp.join(segment::file_name(segment.first));
        copied.copied_bytes += copy(&*disk, &*segment.file, end - segment.base, None, &path)?;
        if index + 1 == count {
            rename_epoch(&*disk, &path, epoch)?;
        }
    }
    disk.sync_dir(&temp).during("sync", &temp)?;
    disk.rename(&temp, dir).during("rename", &temp)?;
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.sync_dir(above).during("sync", above)?;
    progress(count, count);
    Ok(copied)
}

/// An epoch after this one, and not the one that another restore of the same backup gets: a step of up to a million.
fn next_epoch(disk: &dyn Disk, epoch: u32) -> io::Result<u32> {
    if sabotage::is("position-reused-after-a-restore") {
        return Ok(epoch);
    }
    let random = disk.fresh_id()?;
    let step = 1 + u32::from_le_bytes([random[0], random[1], random[2], 0]) % 1_000_000;
    epoch.checked_add(step).ok_or_else(|| io::Error::other("the log was restored too often to get another epoch"))
}

/// Gives a segment that nobody has opened yet another epoch.
fn rename_epoch(disk: &dyn Disk, path: &Path, epoch: u32) -> Result<(), LogError> {
    let file = disk.open(path, Access::Write).during("open", path)?;
    let header = segment::read_header(&*file, path)?;
    let header = segment::Header { epoch, ..header }.write();
    file.write_full(&header, 0).and_then(|()| file.sync_data()).during("write", path)
}
