//! Reading beside the writer, from any thread: by position, or along one stream.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{During, LogError};
use crate::frame::{self, Item};
use crate::heads::{self, Cell, Head, Shared};
use crate::options::Lineage;
use crate::segment::{Found, Frames, HEADER, Segment};

/// A view of the log that sees all that is synced and nothing else. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// An entry, as long as it is being visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// Its position in the log; the first is 1.
    pub position: u64,
    /// Its stream.
    pub stream: &'a str,
    /// Its place in the stream; the first is 1.
    pub version: u64,
    /// The name of its type.
    pub kind: &'a str,
    /// The name of its origin.
    pub source: &'a str,
    /// Its bytes.
    pub body: &'a [u8],
}

/// How much is read at once for an entry whose length is not known yet.
const GUESS: usize = 512;
/// Bodies kept while a chain is walked back; what is older is read a second time on the way forth.
const CHAIN_BYTES: usize = 4 << 20;

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Last position; 0 if the log is empty.
    pub fn head(&self) -> u64 {
        self.shared.view().head
    }

    /// The log's identity, which a position kept elsewhere must be kept with.
    pub fn lineage(&self) -> Lineage {
        self.shared.lineage
    }

    /// Version of a stream's last entry; 0 if there is none.
    pub fn version(&self, stream: &str) -> u64 {
        let key = self.shared.key(stream.as_bytes());
        self.shared.view().heads.get(key).map_or(0, |head| head.version)
    }

    /// A copy of one live cell.
    pub fn cell(&self, key: &[u8]) -> Option<Cell> {
        self.shared.view().cells.get(key).cloned()
    }

    /// A copy of the live cells whose key begins with `prefix`, in key order, all of one moment.
    pub fn cells(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Cell)> {
        let view = self.shared.view();
        heads::with_prefix(&view.cells, prefix).map(|(key, cell)| (key.to_vec(), cell.clone())).collect()
    }

    /// Visits the entries after a position, in order, in whole frames: as many as have at most `up_to_bytes`, and at
    /// least one if there is one. Returns the last position visited, or `after` if there was none.
    pub fn scan(&self, after: u64, up_to_bytes: usize, visit: &mut dyn FnMut(EntryRef<'_>)) -> Result<u64, LogError> {
        let (segments, end, head) = {
            let view = self.shared.view();
            (Arc::clone(&view.segments), view.end, view.head)
        };
        if after >= head {
            return Ok(after);
        }
        let first = segments.partition_point(|segment| segment.first <= after + 1).saturating_sub(1);
        let mut walk = Walk { after, last: after, left: up_to_bytes, full: false };
        let mut buffer = self.shared.buffer();
        for (index, segment) in segments.iter().enumerate().skip(first) {
            let from = if index == first { segment.start_for(after + 1) } else { HEADER as u64 };
            let end = segments.get(index + 1).map_or(end, |next| next.base) - segment.base;
            let mut frames = Frames::new(segment, self.shared.lineage.log_id, from, end, buffer);
            walk.segment(segment, &mut frames, visit)?;
            buffer = frames.into_buffer();
            if walk.full {
                break;
            }
        }
        self.shared.keep(buffer);
        match (walk.full || walk.last == head, segments.last()) {
            (false, Some(last)) => Err(last.damaged(end - last.base, "the entries end before the log's head")),
            _ => Ok(walk.last),
        }
    }

    /// Visits the entries of a stream after a version, in order. A stream that does not exist has none.
    pub fn stream(
        &self,
        stream: &str,
        after_version: u64,
        visit: &mut dyn FnMut(EntryRef<'_>),
    ) -> Result<(), LogError> {
        let key = self.shared.key(stream.as_bytes());
        let (segments, head) = {
            let view = self.shared.view();
            match view.heads.get(key) {
                Some(head) if head.version > after_version => (Arc::clone(&view.segments), head),
                _ => return Ok(()),
            }
        };
        let mut buffer = self.shared.buffer();
        let visited = Chain { segments: &segments, stream }.visit(head, after_version, &mut buffer, visit);
        self.shared.keep(buffer);
        visited
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("lineage", &self.lineage()).field("head", &self.head()).finish_non_exhaustive()
    }
}

/// A scan under way.
struct Walk {
    after: u64,
    last: u64,
    left: usize,
    full: bool,
}

impl Walk {
    fn segment(
        &mut self,
        segment: &Segment,
        frames: &mut Frames<'_>,
        visit: &mut dyn FnMut(EntryRef<'_>),
    ) -> Result<(), LogError> {
        loop {
            let (header, at, payload) = match frames.next().during("read", &segment.path)? {
                Found::Frame(header, at, payload) => (header, at, payload),
                Found::End => return Ok(()),
                Found::Broken(what) => return Err(segment.damaged(frames.at, what)),
            };
            if header.entries == 0 || header.last() <= self.after {
                continue;
            }
            if header.first > self.last + 1 {
                return Err(segment.damaged(at, "a frame that does not follow the one before"));
            }
            if self.last > self.after && header.total() > self.left {
                self.full = true;
                return Ok(());
            }
            self.left = self.left.saturating_sub(header.total());
            let mut items = frame::items(payload);
            while let Some((_, item)) = items.next().map_err(|what| segment.damaged(at, what))? {
                match item {
                    Item::Entry(entry) if entry.position > self.after => visit(named(segment, &entry, at)?),
                    _ => {}
                }
            }
            self.last = header.last();
        }
    }
}

fn named<'a>(segment: &'a Segment, entry: &frame::Entry<'a>, at: u64) -> Result<EntryRef<'a>, LogError> {
    Ok(EntryRef {
        position: entry.position,
        stream: entry.stream,
        version: entry.version,
        kind: segment.name(entry.kind, at)?,
        source: segment.name(entry.source, at)?,
        body: entry.body,
    })
}

/// One stream's entries, each of which knows where the one before stands.
struct Chain<'a> {
    segments: &'a [Segment],
    stream: &'a str,
}

impl Chain<'_> {
    fn visit(
        &self,
        head: Head,
        after_version: u64,
        buffer: &mut Vec<u8>,
        visit: &mut dyn FnMut(EntryRef<'_>),
    ) -> Result<(), LogError> {
        // Back: where the entries stand, and as many of the newest as there is room for. `kept` has their ends.
        let count = usize::try_from(head.version - after_version).unwrap_or(0);
        let mut places = Vec::with_capacity(count.min(1 << 16));
        let mut kept = Vec::with_capacity(count.min(1 << 10));
        let (mut offset, mut guess, mut used) = (head.offset, GUESS, 0);
        for version in (after_version + 1..=head.version).rev() {
            let start = used;
            let (segment, at, length) = self.read(offset, guess, buffer, start)?;
            let entry = self.check(segment, at, &buffer[start..start + length], version)?;
            places.push(offset);
            offset = entry.previous;
            guess = length.max(GUESS);
            if kept.len() + 1 == places.len() && start + length <= CHAIN_BYTES {
                used = start + length;
                kept.push(used);
            }
        }
        // Forth; what was kept has been checked on the way back.
        for (index, offset) in places.iter().enumerate().rev() {
            let Some(end) = kept.get(index) else {
                let (segment, at, length) = self.read(*offset, GUESS, buffer, used)?;
                let entry = self.check(segment, at, &buffer[used..used + length], head.version - index as u64)?;
                visit(named(segment, &entry, at)?);
                continue;
            };
            let (segment, at) = self.place(*offset)?;
            let start = index.checked_sub(1).map_or(0, |newer| kept[newer]);
            let entry = frame::parse_entry(&buffer[start..*end]).map_err(|what| segment.damaged(at, what))?;
            visit(named(segment, &entry, at)?);
        }
        Ok(())
    }

    /// The segment that a log offset is in, and the offset in its file.
    fn place(&self, offset: u64) -> Result<(&Segment, u64), LogError> {
        let index = self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1);
        match self.segments.get(index) {
            Some(segment) if segment.base + HEADER as u64 <= offset => Ok((segment, offset - segment.base)),
            _ => Err(LogError::damaged(Path::new(""), offset, "an entry before the log's beginning is pointed at")),
        }
    }

    /// Reads the entry at a log offset into the buffer at `start`; returns its length.
    fn read(
        &self,
        offset: u64,
        guess: usize,
        buffer: &mut Vec<u8>,
        start: usize,
    ) -> Result<(&Segment, u64, usize), LogError> {
        let (segment, at) = self.place(offset)?;
        if buffer.len() < start + guess {
            buffer.resize((start + guess).next_power_of_two(), 0);
        }
        let mut read = segment.file.read_full(&mut buffer[start..start + guess], at).during("read", &segment.path)?;
        let length = frame::entry_length(&buffer[start..start + read])
            .filter(|length| *length <= frame::MAX)
            .ok_or_else(|| segment.damaged(at, "no entry begins where one is pointed at"))?;
        if length > read {
            if buffer.len() < start + length {
                buffer.resize(start + length, 0);
            }
            let rest = &mut buffer[start + read..start + length];
            read += segment.file.read_full(rest, at + read as u64).during("read", &segment.path)?;
        }
        match length <= read {
            true => Ok((segment, at, length)),
            false => Err(segment.damaged(at, "an entry runs beyond the end of the file")),
        }
    }

    fn check<'b>(
        &self,
        segment: &Segment,
        at: u64,
        bytes: &'b [u8],
        version: u64,
    ) -> Result<frame::Entry<'b>, LogError> {
        let entry = frame::read_entry(bytes).map_err(|what| segment.damaged(at, what))?;
        match entry.stream == self.stream && entry.version == version {
            true => Ok(entry),
            false => Err(segment.damaged(at, "another entry than the one pointed at")),
        }
    }
}
