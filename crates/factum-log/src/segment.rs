//! Segments: the files of a log, their names and headers, and the walk over the frames in one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Access, Disk, DiskFile};
use crate::error::{During, LogError};
use crate::frame::{self, checksum, u32_at, u64_at};
use crate::sabotage;

/// Length of a segment's header; its first frame begins here.
pub(crate) const HEADER: usize = 64;
/// The format that this build reads and writes.
pub(crate) const FORMAT: u32 = 1;
/// How much of a new log's first segment is filled when it is made. When as much of any is used that was not filled
/// ahead, the next one should be ready.
pub(crate) const FIRST: u64 = 1 << 20;
/// A new segment's name until it is complete.
pub(crate) const NEXT: &str = "next.tmp";
/// The name of a segment that is being filled ahead.
pub(crate) const SPARE: &str = "spare.tmp";

const MAGIC: [u8; 8] = *b"FACTLOG\n";
pub(crate) const SUFFIX: &str = ".segment";
/// Bytes between two remembered places of a segment, from which a read may start.
const POINT_EVERY: u64 = 256 << 10;
/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// The name of the segment whose first entry has this position.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// Whether a name is that of a segment, well-formed or not.
pub(crate) fn is_segment(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub log_id: [u8; 16],
    pub epoch: u32,
    /// Position of the first entry that stands, or would stand, in it.
    pub first: u64,
    /// Number of its first frame.
    pub number: u64,
    /// Log offset of the file's first byte: the sum of the lengths in use of the segments before.
    pub base: u64,
}

impl Header {
    pub fn write(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..32].copy_from_slice(&self.log_id);
        out[32..36].copy_from_slice(&self.epoch.to_le_bytes());
        out[40..48].copy_from_slice(&self.first.to_le_bytes());
        out[48..56].copy_from_slice(&self.number.to_le_bytes());
        out[56..64].copy_from_slice(&self.base.to_le_bytes());
        let crc = Self::crc(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn crc(bytes: &[u8; HEADER]) -> u32 {
        let mut covered = *bytes;
        covered[12..16].fill(0);
        checksum(&covered)
    }

    fn read(bytes: &[u8; HEADER], path: &Path) -> Result<Self, LogError> {
        if bytes[0..8] != MAGIC {
            return Err(LogError::damaged(path, 0, "it does not begin like a segment"));
        }
        let found = u32_at(bytes, 8);
        if found != FORMAT {
            return Err(LogError::UnknownFormat { file: path.to_owned(), found, known: FORMAT });
        }
        if Self::crc(bytes) != u32_at(bytes, 12) {
            return Err(LogError::damaged(path, 0, "the checksum of the segment's header is wrong"));
        }
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&bytes[16..32]);
        let [first, number, base] = [40, 48, 56].map(|at| u64_at(bytes, at));
        if first == 0 || [first, number, base].iter().any(|word| *word >= frame::LONGEST) {
            return Err(LogError::damaged(path, 0, "the segment's header names an impossible place"));
        }
        Ok(Self { log_id, epoch: u32_at(bytes, 32), first, number, base })
    }
}

/// A segment as readers see it: cheap to clone, so that a read holds no lock.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub path: Arc<Path>,
    pub file: Arc<dyn DiskFile>,
    pub base: u64,
    pub first: u64,
    /// Number of its first frame.
    pub number: u64,
    /// The names of types and sources, by number.
    pub names: Arc<Vec<Arc<str>>>,
    /// Places to start a read from: position of a frame's first entry, and the frame's offset in the file.
    pub points: Arc<Vec<(u64, u64)>>,
}

impl Segment {
    pub fn new(path: PathBuf, file: Arc<dyn DiskFile>, header: &Header) -> Self {
        let Header { base, first, number, .. } = *header;
        Self { path: path.into(), file, base, first, number, names: Arc::default(), points: Arc::default() }
    }

    /// Whether a frame at this place is far enough from the last one remembered.
    pub fn is_due(&self, at: u64) -> bool {
        self.points.last().is_none_or(|(_, last)| at >= last + POINT_EVERY)
    }

    /// Remembers a frame with entries, if it is far enough from the last one remembered.
    pub fn remember(&mut self, position: u64, at: u64) {
        if self.is_due(at) {
            Arc::make_mut(&mut self.points).push((position, at));
        }
    }

    /// Where in the file to start looking for a position: at a frame that is not after it.
    pub fn start_for(&self, position: u64) -> u64 {
        let later = self.points.partition_point(|(first, _)| *first <= position);
        later.checked_sub(1).map_or(HEADER as u64, |index| self.points[index].1)
    }

    /// The name of this number.
    pub fn name(&self, id: u16, at: u64) -> Result<&str, LogError> {
        let name = self.names.get(usize::from(id));
        name.map(|name| &**name)
            .ok_or_else(|| LogError::damaged(&self.path, at, "an entry whose type or source has no name"))
    }

    pub fn damaged(&self, at: u64, what: impl Into<String>) -> LogError {
        LogError::damaged(&self.path, at, what)
    }
}

/// Reads the header of a segment.
pub(crate) fn read_header(file: &dyn DiskFile, path: &Path) -> Result<Header, LogError> {
    let mut bytes = [0; HEADER];
    if file.read_full(&mut bytes, 0).during("read", path)? < HEADER {
        return Err(LogError::damaged(path, 0, "it is shorter than a segment's header"));
    }
    Header::read(&bytes, path)
}

/// Makes `temp`, an open file, the segment of this header: complete and synced before it gets its name, and the name
/// synced before anything is written behind the header.
pub(crate) fn install(
    disk: &dyn Disk,
    dir: &Path,
    temp: &Path,
    file: &dyn DiskFile,
    header: &Header,
) -> Result<PathBuf, Unfit> {
    let path = dir.join(file_name(header.first));
    file.write_full(&header.write(), 0).and_then(|()| file.sync_data()).map_err(Unfit::Before)?;
    disk.rename(temp, &path).map_err(Unfit::Before)?;
    if !sabotage::is("skip-the-directory-sync") {
        disk.sync_dir(dir).map_err(Unfit::After)?;
    }
    Ok(path)
}

/// How far a segment came that could not be made.
pub(crate) enum Unfit {
    /// It has not got its name: nothing happened.
    Before(io::Error),
    /// It has its name, and nobody knows whether that will last.
    After(io::Error),
}

/// A file of this name, emptied if it was left over.
pub(crate) fn create_temp(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    match disk.open(path, Access::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(path)?;
            disk.open(path, Access::Create)
        }
        opened => opened,
    }
}

/// Writes real zeroes: a later sync of frames written over them needs no change of the file's metadata, which is about
/// half the price of one that does.
pub(crate) fn fill(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    static ZEROES: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = from;
    while at < to {
        let length = (to - at).min(ZEROES.len() as u64);
        file.write_full(&ZEROES[..length as usize], at)?;
        at += length;
    }
    Ok(())
}

/// The frames of one segment, in order, read in large pieces into one buffer.
pub(crate) struct Frames<'f> {
    file: &'f dyn DiskFile,
    log_id: [u8; 16],
    base: u64,
    /// Offset of the next frame in the file.
    pub at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// The part of the buffer that holds the file's bytes from `at` on.
    held: std::ops::Range<usize>,
}

/// What stands at a place of a segment.
pub(crate) enum Found<'a> {
    /// A frame whose checksums are right, its offset in the file, and its payload.
    Frame(frame::Header, u64, &'a [u8]),
    /// The end that the walk was given.
    End,
    /// No whole frame.
    Broken(&'static str),
}

impl<'f> Frames<'f> {
    /// A walk from one offset in the file to another. `buffer` is used for reading and can be had back.
    pub fn new(segment: &'f Segment, log_id: [u8; 16], from: u64, end: u64, buffer: Vec<u8>) -> Self {
        Self { file: &*segment.file, log_id, base: segment.base, at: from, end, buffer, held: 0..0 }
    }

    /// Gives the buffer back.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The next frame. After `Broken` the walk stays where it is.
    pub fn next(&mut self) -> io::Result<Found<'_>> {
        if self.at >= self.end {
            return Ok(Found::End);
        }
        if !self.hold(frame::HEADER)? {
            return Ok(Found::Broken("a frame's header is cut short"));
        }
        let offset = self.base + self.at;
        let header = match frame::Header::read(&self.log_id, &self.buffer[self.held.clone()], offset) {
            Ok(header) => header,
            Err(what) => return Ok(Found::Broken(what)),
        };
        let total = header.total();
        if !self.hold(total)? {
            return Ok(Found::Broken("a frame is cut short"));
        }
        let start = self.held.start;
        let payload = &self.buffer[start + frame::HEADER..start + total];
        if checksum(payload) != header.payload_crc {
            return Ok(Found::Broken("the checksum of a frame is wrong"));
        }
        let at = self.at;
        self.at += total as u64;
        self.held.start += total;
        Ok(Found::Frame(header, at, payload))
    }

    /// Sees to it that the next `wanted` bytes are in the buffer; false if they are not before the end.
    fn hold(&mut self, wanted: usize) -> io::Result<bool> {
        if self.held.len() >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let size = wanted.max(CHUNK);
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
        let upto = size.min(left);
        if self.held.len() < upto {
            let read =
                self.file.read_full(&mut self.buffer[self.held.len()..upto], self.at + self.held.len() as u64)?;
            self.held.end += read;
        }
        Ok(self.held.len() >= wanted)
    }
}

/// What stands behind the last whole frame of a segment.
pub(crate) enum Rest {
    /// Zeroes: not yet written.
    Unwritten,
    /// A later frame began at this offset, so what stands before it was once whole.
    Frame(u64),
    /// Something else, up to this offset.
    Torn(u64),
}

/// Looks at everything behind `at`, where no whole frame stands.
pub(crate) fn look_behind(segment: &Segment, log_id: [u8; 16], at: u64) -> io::Result<Rest> {
    const ZEROES: [u8; 4096] = [0; 4096];
    let mut window = vec![0; CHUNK];
    let (mut from, mut used) = (at, None);
    loop {
        let read = segment.file.read_full(&mut window, from)?;
        let bytes = &window[..read];
        for (index, block) in bytes.chunks(ZEROES.len()).enumerate() {
            if block == &ZEROES[..block.len()] {
                continue;
            }
            let start = index * ZEROES.len();
            // Frames stand at multiples of 8, and so does the start of every window; the frame at `at` itself is the
            // one in question.
            for place in (start..start + block.len()).step_by(frame::ALIGN) {
                let here = from + place as u64;
                let is_header = place + frame::HEADER <= read
                    && here > at
                    && frame::Header::read(&log_id, &bytes[place..], segment.base + here).is_ok();
                if is_header {
                    return Ok(Rest::Frame(here));
                }
            }
            let last = block.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            used = Some(from + (start + last) as u64 + 1);
        }
        if read < window.len() {
            return Ok(used.map_or(Rest::Unwritten, Rest::Torn));
        }
        // The windows overlap, so that a header on their border is seen whole.
        from += (CHUNK - frame::HEADER) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_reads_back_and_no_flipped_bit_passes() {
        let header = Header { log_id: [7; 16], epoch: 2, first: 10, number: 4, base: 4096 };
        let mut bytes = header.write();
        let path = Path::new("0.segment");
        assert_eq!(Header::read(&bytes, path).unwrap(), header);
        for bit in 0..HEADER * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::read(&bytes, path).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn segments_sort_by_name_as_by_position() {
        assert!(file_name(9) < file_name(10));
        assert!(is_segment(&file_name(u64::MAX)));
    }
}
