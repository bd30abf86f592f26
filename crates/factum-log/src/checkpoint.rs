//! Checkpoints: what the log keeps in memory, as it was at one place of the log, so that opening reads only what came
//! after. Derived: a log opens without any, only later.
//!
//! They are *fuzzy* (ARIES: Mohan and others, 1992): written piece by piece while the log goes on, so that a checkpoint
//! taken from one place of the log may already hold changes up to a later one. Reading the log from the first place on
//! and leaving out what is already there gives the truth.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc_fast::{CrcAlgorithm, Digest};

use crate::disk::{Access, Disk, DiskFile};
use crate::error::{During, LogError};
use crate::frame::{self, Kind, checksum, u16_at, u32_at, u64_at};
use crate::heads::{Cell, Heads, View};
use crate::segment::{self, Segment};

/// What the name of a checkpoint ends with.
pub(crate) const SUFFIX: &str = ".checkpoint";
/// A checkpoint until it is complete.
pub(crate) const TEMP: &str = "checkpoint.tmp";
/// How many are kept.
pub(crate) const KEPT: usize = 2;
/// Length of the header.
pub(crate) const HEADER: usize = 128;

const MAGIC: [u8; 8] = *b"FACTCHK\n";
const FORMAT: u32 = 1;
/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// The name of a checkpoint at a position.
pub(crate) fn file_name(head: u64) -> String {
    format!("{head:020}{SUFFIX}")
}

/// The head of a checkpoint's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub log_id: [u8; 16],
    pub epoch: u32,
    /// Kind of the last frame before `offset`.
    pub last: Option<Kind>,
    /// Last position before `offset`.
    pub head: u64,
    /// Number of the frame that begins at `offset`.
    pub next_frame: u64,
    /// Log offset from which the log is to be read.
    pub offset: u64,
    /// Log offset up to which the log was synced when the checkpoint was complete, and up to which it may hold changes.
    pub upto: u64,
    pub segments: u64,
    pub heads: u64,
    pub cells: u64,
    /// Bytes of the body, and their checksum.
    pub length: u64,
    pub crc: u32,
}

impl Header {
    pub fn write(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..32].copy_from_slice(&self.log_id);
        out[32..36].copy_from_slice(&self.epoch.to_le_bytes());
        out[36] = self.last.map_or(0, |kind| kind as u8);
        let words =
            [self.head, self.next_frame, self.offset, self.upto, self.segments, self.heads, self.cells, self.length];
        for (index, word) in words.iter().enumerate() {
            out[40 + index * 8..48 + index * 8].copy_from_slice(&word.to_le_bytes());
        }
        out[104..108].copy_from_slice(&self.crc.to_le_bytes());
        let crc = checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let mut covered = *bytes;
        covered[12..16].fill(0);
        if bytes[0..8] != MAGIC || u32_at(bytes, 8) != FORMAT || checksum(&covered) != u32_at(bytes, 12) {
            return None;
        }
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&bytes[16..32]);
        let word = |index: usize| u64_at(bytes, 40 + index * 8);
        Some(Self {
            log_id,
            epoch: u32_at(bytes, 32),
            last: Kind::from_byte(bytes[36]),
            head: word(0),
            next_frame: word(1),
            offset: word(2),
            upto: word(3),
            segments: word(4),
            heads: word(5),
            cells: word(6),
            length: word(7),
            crc: u32_at(bytes, 104),
        })
    }
}

/// The checksum of a body, piece by piece.
pub(crate) fn digest() -> Digest {
    Digest::new(CrcAlgorithm::Crc32Iscsi)
}

/// Appends what a checkpoint says of a segment.
pub(crate) fn write_segment(out: &mut Vec<u8>, segment: &Segment) {
    for word in [segment.first, segment.number, segment.base] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&(segment.names.len() as u32).to_le_bytes());
    out.extend_from_slice(&(segment.points.len() as u32).to_le_bytes());
    for name in segment.names.iter() {
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    for (position, at) in segment.points.iter() {
        out.extend_from_slice(&position.to_le_bytes());
        out.extend_from_slice(&at.to_le_bytes());
    }
}

/// Appends a cell.
pub(crate) fn write_cell(out: &mut Vec<u8>, key: &[u8], cell: &Cell) {
    out.extend_from_slice(&cell.revision.to_le_bytes());
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(&(cell.value.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&cell.value);
}

/// What a checkpoint says of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub first: u64,
    pub number: u64,
    pub base: u64,
    pub names: Vec<Arc<str>>,
    pub points: Vec<(u64, u64)>,
}

/// A checkpoint that was read whole.
pub(crate) struct Loaded {
    pub path: PathBuf,
    pub header: Header,
    /// The segments up to the one that the log is to be read from, which is the last.
    pub segments: Vec<Listed>,
    /// All but the segments.
    pub view: View,
}

/// The checkpoints in a directory, the newest first.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, LogError> {
    let mut names = disk.list(dir).during("list", dir)?;
    names.retain(|name| name.ends_with(SUFFIX));
    names.sort_by(|one, other| other.cmp(one));
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

/// The newest checkpoint that can be used, and those that cannot.
pub(crate) fn newest(disk: &dyn Disk, dir: &Path) -> Result<(Option<Loaded>, Vec<PathBuf>), LogError> {
    let mut unusable = Vec::new();
    for path in list(disk, dir)? {
        match load(disk, &path) {
            Ok(Some(loaded)) => return Ok((Some(loaded), unusable)),
            // Removed by the writer, which has made a newer one, while this reader was looking.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // What cannot be read is as good as not there.
            Ok(None) | Err(_) => unusable.push(path),
        }
    }
    Ok((None, unusable))
}

/// Reads the head of a checkpoint; `None` if it is not whole.
pub(crate) fn load_header(disk: &dyn Disk, path: &Path) -> io::Result<Option<Header>> {
    read_header(&*disk.open(path, Access::Read)?)
}

fn read_header(file: &dyn DiskFile) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER];
    let read = file.read_full(&mut bytes, 0)?;
    Ok((read == HEADER).then(|| Header::read(&bytes)).flatten())
}

/// Reads a checkpoint; `None` if it is not whole.
pub(crate) fn load(disk: &dyn Disk, path: &Path) -> io::Result<Option<Loaded>> {
    let file = disk.open(path, Access::Read)?;
    let Some(header) = read_header(&*file)? else { return Ok(None) };
    if file.size()? < header.length.saturating_add(HEADER as u64) {
        return Ok(None);
    }
    let mut body =
        Body { file: &*file, at: HEADER as u64, left: header.length, buffer: Vec::new(), used: 0, digest: digest() };
    let Some((segments, view)) = read_body(&mut body, &header)? else { return Ok(None) };
    // What no log can be at is believed of no checkpoint, however right its checksums.
    let words = [header.head, header.next_frame, header.offset, header.upto];
    let begins = segments.last().and_then(|last| last.base.checked_add(segment::HEADER as u64));
    let points = segments.iter().flat_map(|segment| &segment.points);
    let is_possible = words.iter().all(|word| *word < frame::LONGEST)
        && begins.is_some_and(|begins| begins <= header.offset && header.offset <= header.upto)
        && points.into_iter().all(|(_, at)| *at < header.offset);
    let whole = is_possible
        && body.left == 0
        && body.used == body.buffer.len()
        && body.digest.finalize() == u64::from(header.crc);
    Ok(whole.then(|| Loaded { path: path.to_owned(), header, segments, view }))
}

fn read_body(body: &mut Body<'_>, header: &Header) -> io::Result<Option<(Vec<Listed>, View)>> {
    let mut segments = Vec::new();
    for _ in 0..header.segments {
        let Some(fixed) = body.take(32)? else { return Ok(None) };
        let (first, number, base) = (u64_at(fixed, 0), u64_at(fixed, 8), u64_at(fixed, 16));
        let (name_count, point_count) = (u32_at(fixed, 24), u32_at(fixed, 28));
        let mut listed = Listed { first, number, base, names: Vec::new(), points: Vec::new() };
        for _ in 0..name_count {
            let Some(length) = body.take(2)?.map(|bytes| u16_at(bytes, 0)) else { return Ok(None) };
            let Some(name) = body.take(usize::from(length))? else { return Ok(None) };
            let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
            listed.names.push(name.into());
        }
        for _ in 0..point_count {
            let Some(point) = body.take(16)? else { return Ok(None) };
            listed.points.push((u64_at(point, 0), u64_at(point, 8)));
        }
        segments.push(listed);
    }
    let mut heads = Heads::default();
    // Not more than the file can hold, whatever its header says.
    heads.reserve(header.heads.min(header.length / Heads::WRITTEN as u64) as usize);
    for _ in 0..header.heads {
        let Some(bytes) = body.take(Heads::WRITTEN)? else { return Ok(None) };
        let mut written = [0; Heads::WRITTEN];
        written.copy_from_slice(bytes);
        heads.read(&written);
    }
    let mut cells = BTreeMap::new();
    for _ in 0..header.cells {
        let Some(fixed) = body.take(16)? else { return Ok(None) };
        let (revision, key, value) = (u64_at(fixed, 0), u32_at(fixed, 8) as usize, u32_at(fixed, 12) as usize);
        let Some(both) = body.take(key + value)? else { return Ok(None) };
        cells.insert(Arc::from(&both[..key]), Cell { revision, value: both[key..].into() });
    }
    let Header { offset: end, upto: synced, head, next_frame, last, .. } = *header;
    Ok(Some((segments, View { segments: Arc::default(), end, synced, head, next_frame, last, heads, cells })))
}

/// The body of a checkpoint as it is read.
struct Body<'f> {
    file: &'f dyn DiskFile,
    at: u64,
    /// Bytes that are not in the buffer yet.
    left: u64,
    buffer: Vec<u8>,
    used: usize,
    digest: Digest,
}

impl Body<'_> {
    /// The next bytes; `None` if there are not so many.
    fn take(&mut self, length: usize) -> io::Result<Option<&[u8]>> {
        if self.buffer.len() - self.used < length {
            self.buffer.drain(..self.used);
            self.used = 0;
            let missing = length - self.buffer.len();
            if missing as u64 > self.left {
                return Ok(None);
            }
            let more = (missing.max(CHUNK) as u64).min(self.left) as usize;
            let start = self.buffer.len();
            self.buffer.resize(start + more, 0);
            if self.file.read_full(&mut self.buffer[start..], self.at)? < more {
                return Ok(None);
            }
            self.digest.update(&self.buffer[start..]);
            self.at += more as u64;
            self.left -= more as u64;
        }
        let taken = &self.buffer[self.used..self.used + length];
        self.used += length;
        Ok(Some(taken))
    }
}
