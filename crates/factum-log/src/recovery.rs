//! Opening: reads all frames, tells a torn tail from damage, keeps aside what is cut, and makes sure of the last frame.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Access, Disk, DiskFile};
use crate::error::{During, LogError};
use crate::frame::{self, Item, Kind};
use crate::heads::{self, Cell, Head, View};
use crate::segment::{self, Found, Frames, Rest, Segment};
use crate::writer::Lineage;

/// What was cut off the end of the log when it was opened: the remains of an append that nobody was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub file: PathBuf,
    /// Where in it the remains began.
    pub offset: u64,
    /// How many bytes they were.
    pub bytes: u64,
    /// The file that holds them now.
    pub kept_as: PathBuf,
}

/// Where reading begins. Today always at the log's beginning; a checkpoint of heads and cells will give a later place.
struct Start {
    view: View,
    next_frame: u64,
}

impl Start {
    fn beginning() -> Self {
        Self { view: View::default(), next_frame: 1 }
    }
}

/// A log as it was found.
pub(crate) struct Recovered {
    pub lineage: Lineage,
    pub view: View,
    pub next_frame: u64,
    /// Log offset up to which a mark says that all is synced.
    pub synced: u64,
    /// The last frame's kind.
    pub last: Option<Kind>,
    /// Log offset of the end of the last frame that is more than a mark.
    data_end: u64,
    /// The part of the last segment that is to be cut.
    torn: Option<std::ops::Range<u64>>,
}

/// Reads a log that has at least one segment. Changes nothing.
pub(crate) fn read(disk: &dyn Disk, dir: &Path, access: Access) -> Result<Recovered, LogError> {
    let (mut segments, headers) = open_segments(disk, dir, access)?;
    let Some(last) = headers.last() else { return Err(LogError::NotALog { dir: dir.to_owned() }) };
    let Start { view, next_frame } = Start::beginning();
    let lineage = Lineage { log_id: last.log_id, epoch: last.epoch };
    let synced = last.base + segment::HEADER as u64;
    let mut log = Recovered { lineage, view, next_frame, synced, last: None, data_end: 0, torn: None };
    let mut buffer = Vec::new();
    for (index, segment) in segments.iter_mut().enumerate() {
        let header = headers[index];
        let in_order = header.base == log.view.end && header.first == log.view.head + 1;
        if !in_order || header.number != log.next_frame {
            return Err(
                segment.damaged(0, "it does not follow the segment before: a segment is missing or was changed")
            );
        }
        // A segment that another follows was synced whole before that one was made.
        let sealed = headers.get(index + 1).map(|next| next.base.saturating_sub(header.base));
        let end = match sealed {
            Some(end) => end,
            None => segment.file.size().during("look at", &segment.path)?,
        };
        buffer = log.read_segment(segment, end, sealed.is_some(), buffer)?;
    }
    log.view.segments = Arc::new(segments);
    Ok(log)
}

fn open_segments(
    disk: &dyn Disk,
    dir: &Path,
    access: Access,
) -> Result<(Vec<Segment>, Vec<segment::Header>), LogError> {
    let mut names = disk.list(dir).during("list", dir)?;
    names.retain(|name| segment::is_segment(name));
    names.sort();
    let (mut segments, mut headers) = (Vec::new(), Vec::<segment::Header>::new());
    for name in names {
        let path = dir.join(&name);
        let file = disk.open(&path, access).during("open", &path)?;
        let header = segment::read_header(&*file, &path)?;
        if name != segment::file_name(header.first) {
            return Err(LogError::damaged(&path, 0, "its name is not that of its first position"));
        }
        if headers.last().is_some_and(|before| before.log_id != header.log_id || before.epoch > header.epoch) {
            return Err(LogError::damaged(
                &path,
                0,
                "it belongs to another log, or to an earlier epoch than the one before",
            ));
        }
        segments.push(Segment::new(path, file, &header));
        headers.push(header);
    }
    Ok((segments, headers))
}

impl Recovered {
    /// Takes in the frames of one segment. Only in the last one, the one not `sealed`, may there be a torn tail.
    fn read_segment(
        &mut self,
        segment: &mut Segment,
        end: u64,
        sealed: bool,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, LogError> {
        self.view.end = segment.base + segment::HEADER as u64;
        let walked = segment.clone();
        let mut frames = Frames::new(&walked, self.lineage.log_id, segment::HEADER as u64, end, buffer);
        let (mut read_again, mut looked_again) = (None, None);
        loop {
            match frames.next().during("read", &walked.path)? {
                Found::Frame(header, at, payload) => {
                    self.take(segment, &header, at, payload).map_err(|what| walked.damaged(at, what))?;
                }
                Found::End => return Ok(frames.into_buffer()),
                Found::Broken(what) if sealed => {
                    return Err(walked.damaged(frames.at, format!("{what}, in a segment that was complete")));
                }
                Found::Broken(what) => {
                    let at = frames.at;
                    let id = self.lineage.log_id;
                    // What was only read wrong this once is not cut.
                    if read_again != Some(at) {
                        read_again = Some(at);
                        frames = Frames::new(&walked, id, at, end, frames.into_buffer());
                        continue;
                    }
                    match segment::look_behind(&walked, id, at).during("read", &walked.path)? {
                        Rest::Unwritten => return Ok(frames.into_buffer()),
                        Rest::Torn(upto) => {
                            self.torn = Some(at..upto);
                            return Ok(frames.into_buffer());
                        }
                        // Beside a running writer, this frame may have been completed while it was read: look again.
                        Rest::Frame(_) if looked_again != Some(at) => {
                            looked_again = Some(at);
                            let size = walked.file.size().during("look at", &walked.path)?;
                            frames = Frames::new(&walked, id, at, size.max(end), frames.into_buffer());
                        }
                        Rest::Frame(later) => {
                            let what = format!("{what}, and the frame at {later} shows that it was synced before");
                            return Err(walked.damaged(at, what));
                        }
                    }
                }
            }
        }
    }

    /// Takes in one frame whose checksums are right.
    fn take(
        &mut self,
        segment: &mut Segment,
        header: &frame::Header,
        at: u64,
        payload: &[u8],
    ) -> Result<(), &'static str> {
        let view = &mut self.view;
        if header.number != self.next_frame || header.first != view.head + 1 || header.synced > header.offset {
            return Err("a frame that does not follow the one before");
        }
        if header.entries > 0 {
            segment.remember(header.first, at);
        }
        let seed = heads::seed(&self.lineage.log_id);
        let mut items = frame::items(payload);
        while let Some((place, item)) = items.next()? {
            match item {
                Item::Entry(entry) => {
                    let offset = header.offset + (frame::HEADER + place) as u64;
                    let next = Head { version: entry.version, offset };
                    let before = view.heads.insert(heads::key(entry.stream.as_bytes(), seed), next);
                    let before = before.unwrap_or(Head { version: 0, offset: 0 });
                    let follows = entry.version == before.version + 1 && entry.previous == before.offset;
                    if !follows || entry.position != view.head + 1 {
                        return Err("an entry that does not follow the one before in its stream or in the log");
                    }
                    view.head += 1;
                }
                Item::Name { id, name } => {
                    let names = Arc::make_mut(&mut segment.names);
                    if id as usize != names.len() {
                        return Err("a name with another name's number");
                    }
                    names.push(name.into());
                }
                Item::Put { key, value } => {
                    view.cells.insert(key.into(), Cell { revision: header.number, value: value.into() });
                }
                Item::Delete { key } => {
                    view.cells.remove(key);
                }
            }
        }
        if view.head != header.last() || (header.kind != Kind::Data && header.length > 0) {
            return Err("a frame with another count of entries than it says");
        }
        view.end = header.offset + header.total() as u64;
        self.next_frame += 1;
        self.synced = self.synced.max(header.synced);
        self.last = Some(header.kind);
        if header.kind == Kind::Data {
            self.data_end = view.end;
        }
        Ok(())
    }

    /// Makes the last frames durable through a handle that may only read, so that what is read stays.
    pub fn sync_last(&mut self) -> Result<(), LogError> {
        // A mark shows nobody anything.
        if let (true, Some(last)) = (self.data_end > self.synced, self.view.segments.last()) {
            last.file.sync_data().during("sync", &last.path)?;
            self.synced = self.data_end;
        }
        Ok(())
    }

    /// Makes the last frames durable before they are believed. They are written again first: if they are only in memory
    /// because an earlier sync of them failed, a sync alone would do nothing and say that all is well. A mark too: what
    /// is appended behind it counts on it.
    pub fn secure_last(&mut self) -> Result<(), LogError> {
        let end = self.view.end;
        let Some(last) = self.view.segments.last().filter(|_| end > self.synced) else { return Ok(()) };
        let id = self.lineage.log_id;
        let mut frames = Frames::new(last, id, self.synced - last.base, end - last.base, Vec::new());
        let mut whole = Vec::new();
        loop {
            match frames.next().during("read", &last.path)? {
                Found::Frame(header, at, payload) => {
                    whole.resize(frame::HEADER, 0);
                    header.write(&id, &mut whole);
                    whole.extend_from_slice(payload);
                    last.file.write_full(&whole, at).during("write", &last.path)?;
                    whole.clear();
                }
                Found::End => break,
                Found::Broken(what) => return Err(last.damaged(frames.at, format!("{what}, when it was read again"))),
            }
        }
        last.file.sync_data().during("sync", &last.path)?;
        self.synced = end;
        Ok(())
    }

    /// Cuts a torn tail: copies it into a file of its own, synced, and only then writes zeroes over it.
    pub fn cut(&mut self, disk: &dyn Disk, dir: &Path) -> Result<Option<Cut>, LogError> {
        let (Some(torn), Some(last)) = (self.torn.take(), self.view.segments.last()) else { return Ok(None) };
        let (path, kept) = free_name(disk, dir, self.view.head + 1)?;
        copy(&*last.file, &*kept, &torn).and_then(|()| kept.sync_data()).during("write", &path)?;
        disk.sync_dir(dir).during("sync", dir)?;
        let zeroed = segment::fill(&*last.file, torn.start, torn.end).and_then(|()| last.file.sync_data());
        zeroed.during("write", &last.path)?;
        let (file, bytes) = (last.path.to_path_buf(), torn.end - torn.start);
        Ok(Some(Cut { file, offset: torn.start, bytes, kept_as: path }))
    }
}

fn free_name(disk: &dyn Disk, dir: &Path, position: u64) -> Result<(PathBuf, Arc<dyn DiskFile>), LogError> {
    let mut number = 1_u64;
    loop {
        let path = dir.join(format!("cut-{position}-{number}.bytes"));
        match disk.open(&path, Access::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            opened => return opened.during("create", &path).map(|file| (path, file)),
        }
    }
}

fn copy(from: &dyn DiskFile, to: &dyn DiskFile, range: &std::ops::Range<u64>) -> io::Result<()> {
    let mut piece = vec![0; 64 << 10];
    let mut at = range.start;
    while at < range.end {
        let length = piece.len().min((range.end - at) as usize);
        let read = from.read_full(&mut piece[..length], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_full(&piece[..read], at - range.start)?;
        at += read as u64;
    }
    Ok(())
}
