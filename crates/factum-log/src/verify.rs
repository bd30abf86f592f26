//! Looking a whole log through: every checksum, every link, and whether its checkpoints say the same.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backup;
use crate::checkpoint;
use crate::disk::Disk;
use crate::error::{During, LogError};
use crate::files::Files;
use crate::heads::View;
use crate::options::Lineage;
use crate::recovery::{self, Recovery};
use crate::segment::{self, Found, Frames, Rest, Segment};

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The log's identity.
    pub lineage: Lineage,
    /// Segments, those in the archive among them.
    pub segments: usize,
    /// Frames that are whole.
    pub frames: u64,
    /// The last position.
    pub entries: u64,
    /// Streams; if there is damage, those that were seen.
    pub streams: u64,
    /// Live cells; if there is damage, those that were seen.
    pub cells: u64,
    /// Bytes in use.
    pub bytes: u64,
    /// The remains of an unfinished append at the end; the next opening cuts them off. Beside a running writer, the
    /// append under way.
    pub unfinished: Option<Damage>,
    /// Checkpoints that are whole and true.
    pub checkpoints: usize,
    /// Checkpoints that are not. That costs time when the log is opened, and nothing else.
    pub unusable: Vec<Damage>,
    /// What is damaged. Empty: nothing is.
    pub damage: Vec<Damage>,
}

/// A place that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in the file; for an archived segment, in what `zstd -d` gives.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// How much is read between two calls of `progress`.
const STEP: u64 = 8 << 20;

/// Reads all of the log in `dir`, also beside a running writer, and changes nothing. Goes on behind damage, so that all
/// of it is found. `progress` hears bytes read and bytes in all.
///
/// # Errors [`LogError::NotALog`], [`LogError::UnknownFormat`], [`LogError::Io`]; and [`LogError::Damaged`] if the
/// headers of the segments do not even give an order to read them in, or the newest segment is missing.
pub fn verify(dir: &Path, disk: Arc<dyn Disk>, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, LogError> {
    // Before anything else is read: whatever they speak of is then there, also beside a running writer.
    let checkpoints = checkpoint::list(&*disk, dir)?;
    let loads = checkpoints.iter().map(|path| (path, checkpoint::load_header(&*disk, path)));
    let seen: Vec<_> = loads.filter_map(|(path, header)| Some((path, header.ok()??))).collect();
    let (mut recovery, headers) = recovery::begin(Files::new(Arc::clone(&disk), dir))?;
    recovery.thorough = true;
    let mut report = Report {
        lineage: recovery.lineage,
        segments: headers.len(),
        frames: 0,
        entries: 0,
        streams: 0,
        cells: 0,
        bytes: 0,
        unfinished: None,
        checkpoints: 0,
        unusable: Vec::new(),
        damage: Vec::new(),
    };
    let mut view = View { next_frame: 1, ..View::default() };
    let mut through = Through {
        recovery: &mut recovery,
        report: &mut report,
        view: &mut view,
        said: 0,
        all: 0,
        known: 0,
        segments: Vec::new(),
    };
    if let Some((last, path)) = headers.last() {
        // More than is in use, if room was taken ahead.
        through.all = last.base + through.recovery.files.sealed(path).size().during("look at", path)?;
    }
    for (index, (header, path)) in headers.iter().enumerate() {
        let next = headers.get(index + 1).map(|(next, _)| next.base);
        through.segment(header, path, next, progress)?;
    }
    let (all, segments) = (through.all, std::mem::take(&mut through.segments));
    let all = all.max(view.end);
    view.segments = Arc::new(segments);
    report.entries = view.head;
    report.streams = view.heads.len() as u64;
    report.cells = view.cells.len() as u64;
    report.bytes = view.end;
    let ours = |header: &checkpoint::Header| {
        (header.log_id, header.epoch) == (recovery.lineage.log_id, recovery.lineage.epoch)
    };
    let lost = seen.iter().find(|(_, header)| header.upto > view.end && ours(header));
    if let (Some((path, header)), Some((last, file)), true) = (lost, headers.last(), report.damage.is_empty()) {
        let offset = view.end - last.base;
        let what = format!(
            "the log ends here, but {} shows that {} more bytes were synced",
            path.display(),
            header.upto - view.end
        );
        report.damage.push(Damage { file: file.clone(), offset, what });
    }
    if let (Some((file, what)), true) = (backup::missing_end(&*disk, dir, &view)?, report.damage.is_empty()) {
        report.damage.push(Damage { file, offset: 0, what: what.to_owned() });
    }
    for path in checkpoints {
        match check(&recovery.files, &path, &view, report.damage.is_empty()) {
            Ok(None) => report.checkpoints += 1,
            Ok(Some(what)) => report.unusable.push(Damage { file: path, offset: 0, what }),
            // It shows that something of the log is missing.
            Err(LogError::Damaged { file, offset, what }) => report.damage.push(Damage { file, offset, what }),
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    progress(all, all);
    Ok(report)
}

/// What is wrong with a checkpoint, held against what reading everything gave.
fn check(files: &Arc<Files>, path: &Path, truth: &View, is_whole: bool) -> Result<Option<String>, LogError> {
    let loaded = match checkpoint::load(&*files.disk, path) {
        Ok(Some(loaded)) => loaded,
        Ok(None) => return Ok(Some("it is not whole".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error).during("open", path),
        Err(error) => return Ok(Some(error.to_string())),
    };
    if !is_whole {
        return Ok(None);
    }
    let (read, view) = recovery::read_from(files, loaded)?;
    if !read.unusable.is_empty() {
        return Ok(Some("it belongs to another log, or to another epoch of this one".to_owned()));
    }
    // Beside a running writer it may see more.
    let mut pairs = view.segments.iter().zip(truth.segments.iter());
    let same = view.head == truth.head
        && view.cells == truth.cells
        && view.heads.same_as(&truth.heads)
        && pairs.all(|(one, other)| one.names == other.names && one.points == other.points);
    let is_true = same || view.end > truth.end;
    Ok((!is_true).then(|| "what it holds is not what the log says: remove it".to_owned()))
}

/// The walk through all segments.
struct Through<'a> {
    recovery: &'a mut Recovery,
    report: &'a mut Report,
    view: &'a mut View,
    said: u64,
    all: u64,
    /// Count of damaged places that were known when the segment before was begun.
    known: usize,
    /// Those that were read, with their names and the places to start a read from.
    segments: Vec<Segment>,
}

impl Through<'_> {
    fn segment(
        &mut self,
        header: &segment::Header,
        path: &Path,
        next: Option<u64>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), LogError> {
        let file = self.recovery.files.sealed(path);
        let mut segment = Segment::new(path.to_owned(), file, header);
        if (self.view.next_frame, self.view.head + 1, self.view.end) != (header.number, header.first, header.base) {
            // If the segment before is damaged, that is why.
            if self.report.damage.len() == self.known {
                self.damaged(&segment, 0, "it does not follow the segment before: one is missing or was changed");
            }
            self.resume(header.number, header.first);
        }
        self.known = self.report.damage.len();
        self.view.end = header.base + segment::HEADER as u64;
        let mut end = match next {
            Some(next) => next.saturating_sub(header.base),
            None => segment.file.size().during("look at", path)?,
        };
        let mut from = segment::HEADER as u64;
        loop {
            match self.frames(&mut segment, from, end, next.is_none(), progress) {
                Ok(Some(resume)) => from = resume,
                Ok(None) => break,
                // Its compression is damaged: the rest of it cannot be read.
                Err(LogError::Damaged { what, .. }) => {
                    self.damaged(&segment, from, &what);
                    break;
                }
                Err(error) => return Err(error),
            }
            // The file's end may have been seen in the middle of an append.
            if next.is_none() {
                end = end.max(segment.file.size().during("look at", path)?);
            }
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Reads frames up to the end, or to a place that is no frame; then answers where the next one begins.
    fn frames(
        &mut self,
        segment: &mut Segment,
        from: u64,
        end: u64,
        is_last: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<u64>, LogError> {
        let walked = segment.clone();
        let id = self.recovery.lineage.log_id;
        let mut frames = Frames::new(&walked, id, from, end, Vec::new());
        loop {
            let place = walked.base + frames.at;
            if place >= self.said + STEP {
                self.said = place;
                progress(place, self.all.max(place));
            }
            match frames.next().during("read", &walked.path)? {
                Found::Frame(header, at, payload) => {
                    if self.recovery.lenient && header.number != self.view.next_frame {
                        self.resume(header.number, header.first);
                    }
                    if let Err(what) = self.recovery.take(self.view, segment, &header, at, payload) {
                        self.damaged(&walked, at, what);
                        self.resume(header.number + 1, header.last() + 1);
                    }
                    self.report.frames += 1;
                }
                Found::End => return Ok(None),
                Found::Broken(what) => {
                    let at = frames.at;
                    return match segment::look_behind(&walked, id, at).during("read", &walked.path)? {
                        Rest::Frame(later) if later < end || is_last => {
                            // Beside a running writer, this frame may have been completed meanwhile.
                            let size = walked.file.size().during("look at", &walked.path)?;
                            let mut again = Frames::new(&walked, id, at, size.max(end), Vec::new());
                            let whole = matches!(again.next().during("read", &walked.path)?, Found::Frame(..));
                            if !whole {
                                self.damaged(&walked, at, what);
                            }
                            Ok(Some(if whole { at } else { later }))
                        }
                        Rest::Unwritten if is_last => Ok(None),
                        Rest::Torn(upto) if is_last => {
                            let what = format!("{} bytes of an unfinished append", upto - at);
                            self.report.unfinished = Some(Damage { file: walked.path.to_path_buf(), offset: at, what });
                            Ok(None)
                        }
                        _ => {
                            self.damaged(&walked, at, what);
                            Ok(None)
                        }
                    };
                }
            }
        }
    }

    fn damaged(&mut self, segment: &Segment, at: u64, what: &str) {
        self.recovery.lenient = true;
        self.report.damage.push(Damage { file: segment.path.to_path_buf(), offset: at, what: what.to_owned() });
    }

    /// Goes on with this frame and position; what was before it is unknown from here on.
    fn resume(&mut self, frame: u64, first: u64) {
        (self.view.next_frame, self.view.head) = (frame, first - 1);
    }
}
