//! What stands in a log's directory, for people and programs that look after it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive;
use crate::checkpoint;
use crate::disk::{Access, Disk};
use crate::error::{During, LogError};
use crate::frame::Kind;
use crate::options::Lineage;
use crate::recovery;
use crate::segment;

/// What [`info`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The log's identity.
    pub lineage: Lineage,
    /// The last position.
    pub entries: u64,
    /// Streams.
    pub streams: u64,
    /// Live cells.
    pub cells: u64,
    /// Bytes in use, of all segments, uncompressed.
    pub bytes: u64,
    /// Whether its last owner closed it, and nobody has opened it since.
    pub is_closed: bool,
    /// Bytes that the next opening has to read behind the checkpoint.
    pub tail_bytes: u64,
    /// The archive's directory, if the log has one.
    pub archive: Option<PathBuf>,
    /// Its segments, in order.
    pub segments: Vec<SegmentInfo>,
    /// Its checkpoints, the newest first.
    pub checkpoints: Vec<FileInfo>,
    /// Remains of unfinished appends that were cut off, and kept.
    pub cuts: Vec<FileInfo>,
}

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its file.
    pub file: PathBuf,
    /// The position of its first entry.
    pub first: u64,
    /// The epoch that its header names.
    pub epoch: u32,
    /// Bytes in use, uncompressed.
    pub bytes: u64,
    /// Length of its file in bytes.
    pub stored_bytes: u64,
    /// Whether it is compressed.
    pub is_archived: bool,
}

/// A file beside the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Looks at the log in `dir`, also beside a running writer: reads the newest checkpoint and what follows it, and
/// changes nothing.
///
/// # Errors
/// As [`Observer::open`](crate::Observer::open).
pub fn info(dir: &Path, disk: Arc<dyn Disk>) -> Result<Info, LogError> {
    // Nothing if the file is not there any more: a writer removes checkpoints, and segments go to the archive.
    let size = |path: &Path| match disk.open(path, Access::Read).and_then(|file| file.size()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        sized => sized.map(Some).during("look at", path),
    };
    let (found, view) = recovery::read(&disk, dir, Access::Read)?;
    let headers = recovery::headers(&found.files, "")?;
    let mut segments = Vec::with_capacity(view.segments.len());
    for (index, segment) in view.segments.iter().enumerate() {
        let end = view.segments.get(index + 1).map_or(view.end, |next| next.base);
        let Some((header, place)) = headers.get(index) else { break };
        let mut file = place.clone();
        let stored_bytes = match size(&file)? {
            Some(bytes) => bytes,
            None => {
                let moved = found.files.segments()?.remove(&segment::file_name(segment.first));
                file = moved.unwrap_or(file);
                disk.open(&file, Access::Read).and_then(|file| file.size()).during("look at", &file)?
            }
        };
        let is_archived = archive::is_archived(&file);
        let (first, epoch, bytes) = (segment.first, header.epoch, end - segment.base);
        segments.push(SegmentInfo { file, first, epoch, bytes, stored_bytes, is_archived });
    }
    let files = |paths: Vec<PathBuf>| {
        let files = paths.into_iter().map(|file| Ok(size(&file)?.map(|bytes| FileInfo { file, bytes })));
        files.filter_map(Result::transpose).collect::<Result<Vec<_>, LogError>>()
    };
    let mut cuts = disk.list(dir).during("list", dir)?;
    cuts.retain(|name| name.starts_with("cut-"));
    cuts.sort();
    Ok(Info {
        lineage: found.lineage,
        entries: view.head,
        streams: view.heads.len() as u64,
        cells: view.cells.len() as u64,
        bytes: view.end,
        is_closed: matches!(view.last, None | Some(Kind::Closing)),
        tail_bytes: view.end - found.checkpoint_offset,
        archive: archive::directory(&*disk, dir)?,
        segments,
        checkpoints: files(checkpoint::list(&*disk, dir)?)?,
        cuts: files(cuts.iter().map(|name| dir.join(name)).collect())?,
    })
}
