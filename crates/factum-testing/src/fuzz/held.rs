//! What must hold of any directory of a log, whatever stands in its files.

use std::path::Path;
use std::sync::Arc;

use factum_log::{Batch, Log, LogError, Observer, Opened, Options, Reader, info, verify};

use super::format::{Content, Entry};
use super::{Verdict, must};
use crate::sim::disk::SimDisk;

/// Where the log stands on the disk.
pub const DIR: &str = "/log";

/// What a log said that could be opened.
pub struct Said {
    pub opened: Opened,
    /// Its content before anything was appended, or why it cannot be read.
    pub content: Result<Content, String>,
    /// Its segments at that time, in order; none if one of them is archived.
    pub segments: Option<Vec<Vec<u8>>>,
}

fn options(disk: &SimDisk) -> Options {
    Options { segment_bytes: 1 << 10, checkpoint_bytes: 1 << 12, disk: Arc::new(disk.clone()), ..Options::default() }
}

/// Opens the log as everywhere here.
pub fn open(disk: &SimDisk) -> Result<(Log, Opened), LogError> {
    Log::open(Path::new(DIR), options(disk))
}

/// The bytes of all segments in order.
fn segments(disk: &SimDisk) -> Vec<(bool, Vec<u8>)> {
    let of = |ending: &str| {
        let paths = disk.paths().into_iter().filter(|path| path.to_string_lossy().ends_with(ending));
        paths.filter_map(|path| disk.bytes(&path)).collect::<Vec<_>>()
    };
    let archived = of(".zst").into_iter().map(|bytes| (true, bytes));
    archived.chain(of(".segment").into_iter().map(|bytes| (false, bytes))).collect()
}

/// Opens, reads, appends, opens again; before that also looks at the log from beside. Answers what the log said, if it
/// could be opened.
pub fn hold(disk: &SimDisk) -> Result<Option<Said>, String> {
    let (dir, shared) = (Path::new(DIR), || Arc::new(disk.clone()));
    let report = verify(dir, shared(), &mut |_, _| {});
    let is_sound = report.as_ref().is_ok_and(|report| report.damage.is_empty());
    // A checkpoint that is whole and not true is believed when the log is opened.
    let is_true = is_sound && report.as_ref().is_ok_and(|report| report.unusable.is_empty());
    let seen = info(dir, shared()).map(|info| info.entries).map_err(|error| error.to_string());
    let beside = Observer::open(dir, shared()).map(|observer| content(&observer.reader()));
    let before = segments(disk);
    let (mut log, opened) = match open(disk) {
        Ok(opened) => opened,
        Err(error) => {
            must(!is_sound, || format!("verify finds nothing damaged, and opening says: {error}"))?;
            must(before == segments(disk), || format!("a segment was changed by an opening that says: {error}"))?;
            return Ok(None);
        }
    };
    let found = content(&log.reader());
    if is_true {
        must(found.is_ok(), || format!("verify finds nothing damaged, and reading says: {found:?}"))?;
    }
    let same = match (&seen, &beside) {
        (Ok(entries), Ok(beside)) => {
            *entries == log.head() && beside.is_ok() == found.is_ok() && { beside.as_ref().ok() == found.as_ref().ok() }
        }
        _ => opened.created,
    };
    must(same, || format!("the owner reads {found:?}, info {seen:?}, a reader beside {beside:?}"))?;
    let after = segments(disk);
    let plain = after.iter().all(|(is_archived, _)| !is_archived);
    let segments = plain.then(|| after.into_iter().map(|(_, bytes)| bytes).collect());
    append(disk, &mut log, &found, is_sound)?;
    Ok(Some(Said { opened, content: found, segments }))
}

/// A successful opening leaves a log that takes more and is found with it at the next.
fn append(disk: &SimDisk, log: &mut Log, found: &Result<Content, String>, is_sound: bool) -> Verdict {
    let (head, version) = (log.head(), log.version("a"));
    let mut batch = Batch::new();
    batch.entry("a", "fuzz.added", "fuzz", b"{}");
    batch.entry("fuzz", "made", "shop", b"");
    batch.put(b"fuzz", b"1");
    let appended = match log.append(&batch) {
        Ok(appended) => appended,
        Err(LogError::TooLarge { .. }) => return Ok(()),
        Err(error) => return Err(format!("it was opened, and does not take an append: {error}")),
    };
    must((appended.first, appended.last) == (head + 1, head + 2), || format!("appended at {appended:?} of {head}"))?;
    must(log.version("a") == version + 1, || "an append did not raise its stream's version".into())?;
    let now = content(&log.reader());
    if let Ok(found) = found {
        let now = now.as_ref().map_err(|error| format!("not readable after an append: {error}"))?;
        must(now.entries.starts_with(&found.entries), || "an append has changed what was before it".into())?;
        must(now.entries.len() == found.entries.len() + 2, || "what was appended is not read".into())?;
    }
    // As if the process had been killed, and then in order.
    let next = disk.restart();
    let (log, opened) = open(&next).map_err(|error| format!("not to be opened after an append: {error}"))?;
    must(opened.cut.is_none() && opened.entries == head + 2, || format!("after an append: {opened:?}"))?;
    let again = content(&log.reader());
    must(again.as_ref().ok() == now.as_ref().ok(), || format!("{now:?} became {again:?} when it was opened again"))?;
    log.close().map_err(|error| format!("not to be closed: {error}"))?;
    if is_sound {
        let report = verify(Path::new(DIR), Arc::new(next), &mut |_, _| {}).map_err(|error| error.to_string())?;
        must(report.damage.is_empty(), || format!("a sound log was damaged by an append: {report:?}"))?;
    }
    Ok(())
}

/// All that a log says, read in three ways that must agree: by position, by stream, and its cells.
pub fn content(reader: &Reader) -> Result<Content, String> {
    let mut entries = Vec::new();
    let mut last = 0;
    while last < reader.head() {
        let scanned = reader.scan(last, 1 << 10, &mut |entry| entries.push(kept(&entry)));
        let upto = scanned.map_err(|error| error.to_string())?;
        must(upto > last, || format!("a scan stays at {last} of {}", reader.head()))?;
        last = upto;
    }
    let mut streams: Vec<&str> = entries.iter().map(|entry| entry.stream.as_str()).collect();
    streams.sort_unstable();
    streams.dedup();
    for stream in streams {
        let by_scan: Vec<&Entry> = entries.iter().filter(|entry| entry.stream == stream).collect();
        for after in [0, 1] {
            let mut by_stream = Vec::new();
            reader
                .stream(stream, after, &mut |entry| by_stream.push(kept(&entry)))
                .map_err(|error| format!("stream {stream:?}: {error}"))?;
            let same = by_stream.iter().eq(by_scan.iter().skip(after as usize).copied());
            must(same, || format!("stream {stream:?} is {by_stream:?}, and in the log {by_scan:?}"))?;
        }
    }
    let cells = reader.cells(b"").into_iter().map(|(key, cell)| (key, (cell.revision, cell.value.to_vec())));
    Ok(Content { cells: cells.collect(), entries })
}

fn kept(entry: &factum_log::EntryRef<'_>) -> Entry {
    Entry {
        position: entry.position,
        stream: entry.stream.to_owned(),
        version: entry.version,
        kind: entry.kind.to_owned(),
        source: entry.source.to_owned(),
        body: entry.body.to_vec(),
    }
}
