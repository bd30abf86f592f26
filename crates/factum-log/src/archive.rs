//! The archive: sealed segments, compressed, in a directory of their own, and read there as if they had stayed.
//!
//! An archived segment is a Zstandard file in the seekable format: frames of [`BLOCK`] bytes each, and a table of their
//! lengths in a skippable frame at the end. `zstd -d` gives the segment back, byte for byte. The log's directory names
//! its archive in the file [`POINTER`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::directory;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{During, LogError};
use crate::files::Files;
use crate::frame::u32_at;
use crate::options::Lineage;
use crate::recovery;
use crate::segment;

/// What the name of an archived segment ends with, behind the segment's own name.
pub(crate) const SUFFIX: &str = ".zst";
/// The file that names the archive's directory.
pub(crate) const POINTER: &str = "archive";
/// An archived segment until it is complete.
const TEMP: &str = "archive.tmp";
/// The lock of whoever moves segments.
const LOCK: &str = "archive.lock";
/// What the name of the file begins with that says whose archive a directory is.
const OWNER: &str = "archive-of-";
/// Bytes of a segment that are compressed together.
const BLOCK: usize = 256 << 10;
const LEVEL: i32 = 3;
/// Most bytes of a path in the pointer.
const LONGEST: usize = 4096;

const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;
const FOOTER: usize = 9;

/// The directory that a log's archive is in, if it has one.
pub(crate) fn directory(disk: &dyn Disk, dir: &Path) -> Result<Option<PathBuf>, LogError> {
    let path = dir.join(POINTER);
    let file = match disk.open(&path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.during("open", &path)?,
    };
    let mut text = vec![0; LONGEST];
    let length = file.read_full(&mut text, 0).during("read", &path)?;
    match std::str::from_utf8(&text[..length]).ok().and_then(|text| text.strip_suffix('\n')) {
        Some(named) if !named.is_empty() => Ok(Some(dir.join(named))),
        _ => Err(LogError::damaged(&path, 0, "it does not name a directory on a line of its own")),
    }
}

/// Whether this is the file of an archived segment.
pub(crate) fn is_archived(path: &Path) -> bool {
    path.to_string_lossy().ends_with(SUFFIX)
}

/// Opens the file of a segment for reading, archived or not.
pub(crate) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.open(path, Access::Read)?;
    match is_archived(path) {
        true => Ok(Arc::new(Archived::new(file)?)),
        false => Ok(file),
    }
}

/// What [`archive`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Segments moved.
    pub segments: usize,
    /// Their bytes before.
    pub from_bytes: u64,
    /// Their bytes in the archive.
    pub to_bytes: u64,
}

/// Moves sealed segments of the log in `dir` to the directory `to`, the oldest first, all but the newest `keep` of
/// them; a process that has the log open goes on reading them there. Each is compressed, synced and read back before
/// the original is removed. `to` is relative to `dir` if it is relative, and UTF-8. A log has one archive: the first call decides where, and a later one may only repeat it.
/// `progress` hears segments done and segments in all.
///
/// # Errors
/// [`LogError::Locked`] if somebody else is moving segments of this log, [`LogError::AnotherLog`] if `to` is the archive
/// of another log, [`LogError::NotALog`], [`LogError::IsBackup`], [`LogError::Full`] and [`LogError::Io`]: what was not
/// moved stays where it was.
pub fn archive(
    dir: &Path,
    to: &Path,
    keep: usize,
    disk: Arc<dyn Disk>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Moved, LogError> {
    let lock = dir.join(LOCK);
    if !directory::has_log(&*disk, dir)? {
        return Err(LogError::NotALog { dir: dir.to_owned() });
    }
    let Some(_guard) = disk.lock(&lock).during("lock", &lock)? else {
        return Err(LogError::Locked { dir: dir.to_owned() });
    };
    let Some(named) = to.to_str() else {
        let source = io::Error::new(io::ErrorKind::InvalidFilename, "its name is not UTF-8");
        return Err(LogError::Io { file: to.to_owned(), op: "archive segments to", source });
    };
    let to = &*dir.join(to);
    disk.create_dir(to).during("create", to)?;
    let (found, segments) = recovery::begin(Files::new(Arc::clone(&disk), dir))?;
    point_to(&*disk, dir, to, named, found.lineage)?;
    // The last one is being written.
    let count = segments.len().saturating_sub(keep.saturating_add(1));
    let mut moved = Moved::default();
    for (index, (header, path)) in segments.iter().take(count).enumerate() {
        progress(index, count);
        if is_archived(path) {
            continue;
        }
        let length = segments[index + 1].0.base.saturating_sub(header.base);
        moved.from_bytes += length;
        moved.to_bytes += move_one(&*disk, path, length, to, &(segment::file_name(header.first) + SUFFIX))?;
        disk.remove(path).during("remove", path)?;
        disk.sync_dir(dir).during("sync", dir)?;
        moved.segments += 1;
    }
    progress(count, count);
    Ok(moved)
}

/// Says in an archive's directory whose it is: segments of two logs have the same names.
fn claim(disk: &dyn Disk, to: &Path, lineage: Lineage) -> Result<(), LogError> {
    let ours = format!("{OWNER}{:032x}-{}", u128::from_be_bytes(lineage.log_id), lineage.epoch);
    let path = to.join(&ours);
    let made = match disk.open(&path, Access::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        made => made.during("create", &path).map(|_| true)?,
    };
    disk.sync_dir(to).during("sync", to)?;
    // Looked at only now: of two at once, one at least sees the other.
    if disk.list(to).during("list", to)?.iter().any(|name| name.starts_with(OWNER) && *name != ours) {
        if made {
            disk.remove(&path).during("remove", &path)?;
        }
        return Err(LogError::AnotherLog { dir: to.to_owned() });
    }
    Ok(())
}

fn point_to(disk: &dyn Disk, dir: &Path, to: &Path, named: &str, lineage: Lineage) -> Result<(), LogError> {
    if let Some(there) = directory(disk, dir)? {
        return match there == to {
            true => claim(disk, to, lineage),
            false => Err(LogError::Io {
                file: to.to_owned(),
                op: "archive segments to",
                source: io::Error::other(format!("this log's archive is {}", there.display())),
            }),
        };
    }
    // Segments of two logs have the same names.
    if disk.list(to).during("list", to)?.iter().any(|name| name.ends_with(SUFFIX)) {
        return Err(LogError::AnotherLog { dir: to.to_owned() });
    }
    claim(disk, to, lineage)?;
    let temp = dir.join(TEMP);
    let text = format!("{named}\n");
    let file = segment::create_temp(disk, &temp).during("create", &temp)?;
    file.write_full(text.as_bytes(), 0).and_then(|()| file.sync_data()).during("write", &temp)?;
    disk.rename(&temp, &dir.join(POINTER)).and_then(|()| disk.sync_dir(dir)).during("rename", &temp)
}

/// Compresses the first `length` bytes of a file, and reads them back from where they now are.
fn move_one(disk: &dyn Disk, path: &Path, length: u64, to: &Path, name: &str) -> Result<u64, LogError> {
    let (temp, target) = (to.join(TEMP), to.join(name));
    let from = disk.open(path, Access::Read).during("open", path)?;
    let out = segment::create_temp(disk, &temp).during("create", &temp)?;
    let written = compress(&*from, length, &*out).and_then(|bytes| out.sync_data().map(|()| bytes));
    let bytes = written.during("write", &temp)?;
    drop(out);
    disk.rename(&temp, &target).and_then(|()| disk.sync_dir(to)).during("rename", &temp)?;
    let back = open(disk, &target).during("open", &target)?;
    match same(&*from, &*back, length).during("read", &target)? {
        true => Ok(bytes),
        false => Err(LogError::damaged(&target, 0, "it does not read back as the segment that it was made from")),
    }
}

fn same(one: &dyn DiskFile, other: &dyn DiskFile, length: u64) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0;
    while at < length {
        let want = BLOCK.min((length - at) as usize);
        let read = (one.read_full(&mut left[..want], at)?, other.read_full(&mut right[..want], at)?);
        if read != (want, want) || left[..want] != right[..want] {
            return Ok(false);
        }
        at += want as u64;
    }
    Ok(other.size()? == length)
}

fn compress(from: &dyn DiskFile, length: u64, out: &dyn DiskFile) -> io::Result<u64> {
    let mut raw = vec![0; BLOCK];
    let mut table = Vec::new();
    let (mut done, mut at, mut blocks) = (0, 0, 0_u32);
    while done < length {
        let want = BLOCK.min((length - done) as usize);
        if from.read_full(&mut raw[..want], done)? < want {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let packed = zstd::bulk::compress(&raw[..want], LEVEL)?;
        out.write_full(&packed, at)?;
        table.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        table.extend_from_slice(&(want as u32).to_le_bytes());
        done += want as u64;
        at += packed.len() as u64;
        blocks += 1;
    }
    let mut tail = SKIPPABLE.to_le_bytes().to_vec();
    tail.extend_from_slice(&((table.len() + FOOTER) as u32).to_le_bytes());
    tail.extend_from_slice(&table);
    tail.extend_from_slice(&blocks.to_le_bytes());
    tail.push(0);
    tail.extend_from_slice(&SEEKABLE.to_le_bytes());
    out.write_full(&tail, at)?;
    Ok(at + tail.len() as u64)
}

/// An archived segment, opened.
#[derive(Debug)]
struct Archived {
    file: Arc<dyn DiskFile>,
    /// Where each block begins, in the segment and in the file, and at last where both end.
    blocks: Vec<(u64, u64)>,
    /// The block read last.
    held: Mutex<(usize, Vec<u8>)>,
}

impl Archived {
    fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "it does not end like a seekable Zstandard file");
        let size = file.size()?;
        let mut footer = [0; FOOTER];
        let at = size.checked_sub(FOOTER as u64).ok_or_else(bad)?;
        if file.read_full(&mut footer, at)? < FOOTER || u32_at(&footer, 5) != SEEKABLE || footer[4] != 0 {
            return Err(bad());
        }
        let count = u32_at(&footer, 0) as usize;
        let at = at.checked_sub(count as u64 * 8).ok_or_else(bad)?;
        let mut table = vec![0; count * 8];
        if file.read_full(&mut table, at)? < table.len() {
            return Err(bad());
        }
        let mut blocks = vec![(0, 0)];
        let (mut raw, mut packed) = (0_u64, 0_u64);
        for entry in table.chunks_exact(8) {
            let length = u32_at(entry, 4);
            if length as usize > BLOCK {
                return Err(bad());
            }
            packed += u64::from(u32_at(entry, 0));
            raw += u64::from(length);
            blocks.push((raw, packed));
        }
        if packed > at {
            return Err(bad());
        }
        Ok(Self { file, blocks, held: Mutex::new((usize::MAX, Vec::new())) })
    }
}

impl DiskFile for Archived {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let block = self.blocks.partition_point(|(raw, _)| *raw <= offset).saturating_sub(1);
        let (Some((start, from)), Some((end, upto))) = (self.blocks.get(block), self.blocks.get(block + 1)) else {
            return Ok(0);
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != block {
            let mut packed = vec![0; (upto - from) as usize];
            if self.file.read_full(&mut packed, *from)? < packed.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a block that its table names is cut short"));
            }
            let raw = zstd::bulk::decompress(&packed, BLOCK)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if raw.len() as u64 != end - start {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a block of another length than the table says",
                ));
            }
            *held = (block, raw);
        }
        let there = &held.1[(offset - start) as usize..];
        let length = there.len().min(bytes.len());
        bytes[..length].copy_from_slice(&there[..length]);
        Ok(length)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.blocks.last().map_or(0, |(raw, _)| *raw))
    }
}
