//! Opening: reads all frames, tells a torn tail from damage, keeps aside what is cut, and makes sure of the last frame.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive;
use crate::checkpoint;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{During, LogError};
use crate::files::Files;
use crate::frame::{self, Item, Kind};
use crate::heads::{self, Cell, Head, Key, View};
use crate::newest;
use crate::options::{Cut, Lineage};
use crate::sabotage;
use crate::segment::{self, Found, Frames, Rest, Segment};

/// A log as it is being read, and what was learnt beside its [`View`].
#[derive(Debug)]
pub(crate) struct Recovery {
    pub files: Arc<Files>,
    pub lineage: Lineage,
    /// Log offset up to which something says that all is synced.
    pub synced: u64,
    /// Position of the checkpoint that reading began from.
    pub checkpoint: Option<u64>,
    /// Log offset of that place.
    pub checkpoint_offset: u64,
    /// Checkpoints that cannot be used.
    pub unusable: Vec<PathBuf>,
    /// Whether entries need not follow those before them, because some of those are damaged.
    pub lenient: bool,
    /// Whether the checksum of each entry is looked at too. That of its frame covers it; a reader of a stream goes by it.
    pub thorough: bool,
    /// The checkpoint's file, and the log offset up to which it holds changes and says that all was synced.
    upto: Option<(PathBuf, u64)>,
    /// Log offset of the end of the last frame that is more than a mark.
    data_end: u64,
    /// The part of the last segment that is to be cut.
    torn: Option<Range<u64>>,
}

/// Reads a log that has at least one segment: the newest checkpoint, and all frames behind it. Changes nothing.
pub(crate) fn read(disk: &Arc<dyn Disk>, dir: &Path, access: Access) -> Result<(Recovery, View), LogError> {
    // Before the segments are listed: whatever it speaks of is then among them.
    let (loaded, unusable) = checkpoint::newest(&**disk, dir)?;
    read_behind(Files::new(Arc::clone(disk), dir), access, loaded, unusable)
}

/// Reads a log from a checkpoint on, through files that somebody has already.
pub(crate) fn read_from(files: &Arc<Files>, loaded: checkpoint::Loaded) -> Result<(Recovery, View), LogError> {
    read_behind(Arc::clone(files), Access::Read, Some(loaded), Vec::new())
}

/// What is known of a log before anything of it is read but the headers of its segments.
pub(crate) fn begin(files: Arc<Files>) -> Result<(Recovery, Vec<Place>), LogError> {
    let noted = newest::noted(&*files.disk, &files.dir).during("list", &files.dir)?;
    let headers = headers(&files, "")?;
    newest::check(&files.dir, &noted, &headers)?;
    let Some((last, _)) = headers.last() else { return Err(LogError::NotALog { dir: files.dir.clone() }) };
    let lineage = Lineage { log_id: last.log_id, epoch: last.epoch };
    let log = Recovery {
        files,
        lineage,
        synced: 0,
        checkpoint: None,
        checkpoint_offset: 0,
        unusable: Vec::new(),
        lenient: false,
        thorough: false,
        upto: None,
        data_end: 0,
        torn: None,
    };
    Ok((log, headers))
}

fn read_behind(
    files: Arc<Files>,
    access: Access,
    loaded: Option<checkpoint::Loaded>,
    unusable: Vec<PathBuf>,
) -> Result<(Recovery, View), LogError> {
    let (mut log, headers) = begin(files)?;
    log.unusable = unusable;
    let mut view = View { next_frame: 1, ..View::default() };
    let mut read = 0;
    if let Some(loaded) = loaded {
        // One of another log says nothing about this one.
        match loaded.header.log_id == log.lineage.log_id && loaded.header.epoch == log.lineage.epoch {
            false => log.unusable.push(loaded.path),
            true => {
                read = loaded.segments.len().saturating_sub(1);
                view = log.start_from(loaded, &headers)?;
            }
        }
    }
    log.go_on(&mut view, &headers[read..], access)?;
    Ok((log, view))
}

/// A segment's header, and where the segment is.
pub(crate) type Place = (segment::Header, PathBuf);

/// The headers of all segments from a name on, in order, and where the segments are.
pub(crate) fn headers(files: &Arc<Files>, from: &str) -> Result<Vec<Place>, LogError> {
    let mut headers = Vec::<Place>::new();
    for (name, path) in files.segments()?.split_off(from) {
        let header = segment::read_header(&*files.sealed(&path), &path)?;
        if name != segment::file_name(header.first) {
            return Err(LogError::damaged(&path, 0, "its name is not that of its first position"));
        }
        if headers.last().is_some_and(|(before, _)| before.log_id != header.log_id || before.epoch > header.epoch) {
            let what = "it belongs to another log, or to an earlier epoch than the one before";
            return Err(LogError::damaged(&path, 0, what));
        }
        headers.push((header, path));
    }
    if let Some((_, path)) = headers.last().filter(|(_, path)| archive::is_archived(path)) {
        return Err(LogError::damaged(path, 0, "the segment behind it is missing: the last one is never archived"));
    }
    Ok(headers)
}

impl Recovery {
    /// Takes over what a checkpoint holds. Its segments must be there; the last of them is to be read on.
    fn start_from(&mut self, loaded: checkpoint::Loaded, headers: &[Place]) -> Result<View, LogError> {
        let checkpoint::Loaded { path, header: head, segments: listed, mut view } = loaded;
        let mut segments = Vec::with_capacity(listed.len());
        for (index, listed) in listed.into_iter().enumerate() {
            let there = headers.get(index).filter(|(header, _)| {
                (header.first, header.number, header.base) == (listed.first, listed.number, listed.base)
            });
            let Some((header, place)) = there else {
                let name = segment::file_name(listed.first);
                return Err(LogError::damaged(
                    &path,
                    0,
                    format!("it speaks of the segment {name}, which is not there"),
                ));
            };
            let mut segment = Segment::new(place.clone(), self.files.sealed(place), header);
            segment.names = Arc::new(listed.names);
            segment.points = Arc::new(listed.points);
            segments.push(segment);
        }
        view.segments = Arc::new(segments);
        self.checkpoint = Some(head.head);
        self.checkpoint_offset = head.offset;
        self.synced = head.upto;
        self.upto = Some((path, head.upto));
        Ok(view)
    }

    /// Reads what was appended by another process since.
    pub fn read_on(&mut self, view: &mut View) -> Result<(), LogError> {
        self.torn = None;
        let last = view.segments.last().map(|segment| segment::file_name(segment.first)).unwrap_or_default();
        let headers = headers(&self.files, &last)?;
        if headers.first().is_none_or(|(header, _)| segment::file_name(header.first) != last) {
            let path = self.files.dir.join(last);
            return Err(LogError::damaged(&path, 0, "it was there a moment ago, and is gone"));
        }
        if let Some((header, path)) = headers.last()
            && (header.log_id, header.epoch) != (self.lineage.log_id, self.lineage.epoch)
        {
            return Err(LogError::damaged(
                path,
                0,
                "another log stands here now, or this one was restored: open it anew",
            ));
        }
        self.go_on(view, &headers, Access::Read)
    }

    /// Reads on where the view ends: the rest of its last segment, the first of `headers`, and those that follow.
    fn go_on(&mut self, view: &mut View, headers: &[Place], access: Access) -> Result<(), LogError> {
        let mut segments = Vec::clone(&view.segments);
        let mut buffer = Vec::new();
        for (index, (header, path)) in headers.iter().enumerate() {
            // A segment that another follows was synced whole before that one was made.
            let next = headers.get(index + 1);
            let file = match next {
                Some(_) => self.files.sealed(path),
                None => self.files.disk.open(path, access).during("open", path)?,
            };
            let begun = segments.pop_if(|segment| segment.first == header.first);
            let from = begun.as_ref().map_or(segment::HEADER as u64, |_| view.end - header.base);
            let mut segment = match begun {
                Some(begun) => Segment { path: path.as_path().into(), file, ..begun },
                None => Segment::new(path.clone(), file, header),
            };
            if from == segment::HEADER as u64 {
                let follows = view.next_frame == header.number && view.head + 1 == header.first;
                if !follows || (view.end != header.base && view.end != header.base + from) {
                    let what = "it does not follow the segment before: a segment is missing or was changed";
                    return Err(segment.damaged(0, what));
                }
                view.end = header.base + from;
            }
            self.synced = self.synced.max(header.base + segment::HEADER as u64);
            let end = match next {
                Some((next, _)) => next.base.saturating_sub(header.base),
                None => segment.file.size().during("look at", &segment.path)?,
            };
            if from > end && self.upto.is_some() {
                return Err(segment.damaged(end, self.lost_end()));
            }
            buffer = self.read_segment(view, &mut segment, from, end, next.is_some(), buffer)?;
            segments.push(segment);
        }
        view.segments = Arc::new(segments);
        view.synced = self.synced;
        match (&self.upto, view.segments.last()) {
            (Some((_, upto)), Some(last)) if view.end < *upto => {
                Err(last.damaged(view.end - last.base, self.lost_end()))
            }
            _ => Ok(()),
        }
    }

    /// What to say if the log ends before the place that its checkpoint saw.
    fn lost_end(&self) -> String {
        let path = self.upto.as_ref().map(|(path, _)| path.display().to_string()).unwrap_or_default();
        format!(
            "the log ends here, but {path} shows that more was synced (whoever wants to go on without, removes that)"
        )
    }

    /// Takes in the frames of one segment. Only in the last one, the one not `sealed`, may there be a torn tail.
    fn read_segment(
        &mut self,
        view: &mut View,
        segment: &mut Segment,
        from: u64,
        end: u64,
        sealed: bool,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, LogError> {
        let walked = segment.clone();
        let mut frames = Frames::new(&walked, self.lineage.log_id, from, end, buffer);
        let (mut read_again, mut looked_again) = (None, None);
        loop {
            match frames.next().during("read", &walked.path)? {
                Found::Frame(header, at, payload) => {
                    self.take(view, segment, &header, at, payload).map_err(|what| walked.damaged(at, what))?;
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
                        Rest::Frame(_) if sabotage::is("cut-at-the-first-bad-checksum") => {
                            self.torn = Some(at..end);
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
    pub fn take(
        &mut self,
        view: &mut View,
        segment: &mut Segment,
        header: &frame::Header,
        at: u64,
        payload: &[u8],
    ) -> Result<(), &'static str> {
        if header.number != view.next_frame || header.first != view.head + 1 || header.synced > header.offset {
            return Err("a frame that does not follow the one before");
        }
        if header.entries > 0 {
            segment.remember(header.first, at);
        }
        let seed = heads::seed(&self.lineage.log_id);
        // Before this place, the checkpoint may be ahead of the frames that are read.
        let exact = sabotage::is("take-a-checkpoint-for-exact");
        let fuzzy = !exact && self.upto.as_ref().is_some_and(|(_, upto)| header.offset < *upto);
        let mut items = frame::items(payload);
        while let Some((place, item)) = items.next()? {
            match item {
                Item::Entry(entry) => {
                    let offset = header.offset + (frame::HEADER + place) as u64;
                    if entry.position != view.head + 1 {
                        return Err("an entry that does not follow the one before in the log");
                    }
                    if usize::from(entry.kind.max(entry.source)) >= segment.names.len() && !self.lenient {
                        return Err("an entry whose type or source has no name");
                    }
                    if self.thorough {
                        let length = frame::ENTRY + entry.stream.len() + entry.body.len();
                        frame::read_entry(&payload[place..place + length])?;
                    }
                    let key = Key::of(entry.stream.as_bytes(), seed);
                    let next = Head { version: entry.version, offset };
                    if !fuzzy || view.heads.get(key).is_none_or(|head| head.offset < offset) {
                        let before = view.heads.insert(key, next).unwrap_or(Head { version: 0, offset: 0 });
                        let follows = entry.version == before.version + 1 && entry.previous == before.offset;
                        if !follows && !self.lenient {
                            return Err("an entry that does not follow the one before in its stream");
                        }
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
                Item::Put { .. } | Item::Delete { .. } if fuzzy && is_newer(view, &item, header.number) => {}
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
        view.next_frame += 1;
        self.synced = self.synced.max(header.synced);
        view.last = Some(header.kind);
        if header.kind == Kind::Data {
            self.data_end = view.end;
        }
        Ok(())
    }

    /// Makes the last frames durable through a handle that may only read, so that what is read stays.
    pub fn sync_last(&mut self, view: &mut View) -> Result<(), LogError> {
        // A mark shows nobody anything.
        if let (true, Some(last)) = (self.data_end > self.synced, view.segments.last()) {
            last.file.sync_data().during("sync", &last.path)?;
            self.synced = self.data_end;
            view.synced = self.data_end;
        }
        Ok(())
    }

    /// Makes the last frames durable before they are believed. They are written again first: if they are only in memory
    /// because an earlier sync of them failed, a sync alone would do nothing and say that all is well. A mark too: what
    /// is appended behind it counts on it.
    pub fn secure_last(&mut self, view: &mut View) -> Result<(), LogError> {
        let end = view.end;
        let Some(last) = view.segments.last().filter(|_| end > self.synced) else { return Ok(()) };
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
        view.synced = end;
        Ok(())
    }

    /// Cuts a torn tail: copies it into a file of its own, synced, and only then writes zeroes over it.
    pub fn cut(&mut self, view: &View) -> Result<Option<Cut>, LogError> {
        let (Some(torn), Some(last)) = (self.torn.take(), view.segments.last()) else { return Ok(None) };
        let (disk, dir) = (&*self.files.disk, &*self.files.dir);
        let (path, kept) = free_name(disk, dir, view.head + 1)?;
        copy(&*last.file, &*kept, &torn).and_then(|()| kept.sync_data()).during("write", &path)?;
        disk.sync_dir(dir).during("sync", dir)?;
        let zeroed = segment::fill(&*last.file, torn.start, torn.end).and_then(|()| last.file.sync_data());
        zeroed.during("write", &last.path)?;
        let (file, bytes) = (last.path.to_path_buf(), torn.end - torn.start);
        Ok(Some(Cut { file, offset: torn.start, bytes, kept_as: path }))
    }
}

/// Whether a checkpoint holds a later value of the cell that an item changes.
fn is_newer(view: &View, item: &Item<'_>, frame: u64) -> bool {
    match item {
        Item::Put { key, .. } | Item::Delete { key } => view.cells.get(*key).is_some_and(|cell| cell.revision > frame),
        _ => false,
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
