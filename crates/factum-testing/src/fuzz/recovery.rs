//! Any bytes in the files of a log: alone, or in the place of some of a good log's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use factum_log::disk::{Access, Disk};
use factum_log::{Batch, archive};

use super::format::{Content, FRAME, SEGMENT, Walk, frame, is_whole_checkpoint, mend};
use super::held::{DIR, Said, content, hold, open};
use super::{Verdict, must};
use crate::sim::disk::SimDisk;

/// What the first byte of the input says: its lowest three bits one of these, and the others below. The second byte
/// names the file, the third and fourth the place in it, and the rest are the bytes.
pub mod how {
    /// The bytes are the only segment; there are no other files.
    pub const ALONE: u8 = 0;
    /// They are written over what stands at the place.
    pub const OVER: u8 = 1;
    /// They are the file.
    pub const WHOLE: u8 = 2;
    /// They follow the place, and nothing follows them.
    pub const BEHIND: u8 = 3;
    /// The file is gone.
    pub const GONE: u8 = 4;
    /// They come before what stands at the place.
    pub const INTO: u8 = 5;
    /// As `OVER`, and all checksums of the file are made right.
    pub const OVER_MENDED: u8 = 6;
    /// As `WHOLE`, and all checksums of the file are made right.
    pub const WHOLE_MENDED: u8 = 7;
    /// The log is the one with an archive, that was not closed.
    pub const ARCHIVED: u8 = 8;
    /// It has no checkpoints.
    pub const WITHOUT_CHECKPOINTS: u8 = 16;
}

/// A good log.
pub struct Base {
    pub disk: SimDisk,
    /// All files that an input can name.
    pub files: Vec<PathBuf>,
    content: Content,
    /// Every whole frame in it.
    frames: Vec<Vec<u8>>,
}

/// The two good logs, made once.
///
/// # Errors
/// What the log said when it was made.
pub fn bases() -> Result<&'static [Base; 2], String> {
    static BASES: OnceLock<Result<[Base; 2], String>> = OnceLock::new();
    let made = BASES.get_or_init(|| Ok([base(false)?, base(true)?]));
    made.as_ref().map_err(Clone::clone)
}

fn base(is_archived: bool) -> Result<Base, String> {
    let disk = SimDisk::new(7);
    let text = |error: factum_log::LogError| error.to_string();
    let (mut log, _) = open(&disk).map_err(text)?;
    for round in 0..18_u8 {
        let mut batch = Batch::new();
        batch.entry("a", "made", "shop", &[b'x'; 40]);
        batch.entry(["b", "c", "d-long-name"][usize::from(round) % 3], "changed", "shop", &[round; 30]);
        batch.put(&[b'k', round % 3], &[round; 9]);
        if round % 5 == 4 {
            batch.delete(&[b'k', 1]);
        }
        log.append(&batch).map_err(text)?;
        match round {
            6 | 15 => log.checkpoint().map_err(text)?,
            9 => log.idle().map_err(text)?,
            _ => {}
        }
    }
    let content = content(&log.reader())?;
    let segments = disk.paths().into_iter().filter(|path| path.to_string_lossy().ends_with(".segment"));
    let frames = segments.filter_map(|path| disk.bytes(&path)).flat_map(|segment| whole_frames(&segment)).collect();
    if is_archived {
        drop(log);
        archive(Path::new(DIR), Path::new("/archive"), 0, Arc::new(disk.clone()), &mut |_, _| {}).map_err(text)?;
    } else {
        log.close().map_err(text)?;
    }
    let known = [".segment", ".zst", ".checkpoint", "log/archive"];
    let mut files = disk.paths();
    files.retain(|path| known.iter().any(|ending| path.to_string_lossy().ends_with(ending)));
    Ok(Base { disk, files, content, frames })
}

/// All whole frames of a segment, wherever they stand.
fn whole_frames(segment: &[u8]) -> Vec<Vec<u8>> {
    let Some(log_id) = segment.get(16..32) else { return Vec::new() };
    let places = (SEGMENT..segment.len().saturating_sub(FRAME - 1)).step_by(8);
    places.filter_map(|at| frame(log_id, &segment[at..])).map(<[u8]>::to_vec).collect()
}

/// Makes a file of these bytes, durably, in the place of any other of that name.
pub fn put_file(disk: &SimDisk, path: &Path, bytes: &[u8]) -> Verdict {
    let write = || -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        disk.create_dir(dir)?;
        disk.lose(path);
        let file = disk.open(path, Access::Create)?;
        file.write_at(bytes, 0)?;
        file.sync_data()?;
        disk.sync_dir(dir)
    };
    write().map_err(|error| format!("{} cannot be made: {error}", path.display()))
}

/// Puts the input into a log's files, as its first four bytes say, and opens that log.
///
/// # Errors
/// What does not hold.
pub fn recovery(input: &[u8]) -> Verdict {
    let Some((&[flags, which, low, high], rest)) = input.split_first_chunk() else { return Ok(()) };
    let way = flags & 7;
    if way == how::ALONE {
        let disk = SimDisk::new(1);
        put_file(&disk, &Path::new(DIR).join("00000000000000000001.segment"), rest)?;
        return hold(&disk)?.map_or(Ok(()), |said| by_the_format(&said));
    }
    let base = &bases()?[usize::from(flags & how::ARCHIVED != 0)];
    let disk = base.disk.restart();
    let path = &base.files[usize::from(which) % base.files.len()];
    let old = disk.bytes(path).unwrap_or_default();
    let place = usize::from(u16::from_le_bytes([low, high])) % (old.len() + 1);
    let (before, behind) = old.split_at(place);
    let mut new = match way {
        how::OVER | how::OVER_MENDED => [before, rest, behind.get(rest.len()..).unwrap_or_default()].concat(),
        how::BEHIND => [before, rest].concat(),
        how::INTO => [before, rest, behind].concat(),
        _ => rest.to_vec(),
    };
    let is_checkpoint = path.to_string_lossy().ends_with(".checkpoint");
    if matches!(way, how::OVER_MENDED | how::WHOLE_MENDED) && !path.to_string_lossy().ends_with(".zst") {
        mend(&mut new, is_checkpoint);
    }
    match way {
        how::GONE => _ = disk.lose(path),
        _ => put_file(&disk, path, &new)?,
    }
    if flags & how::WITHOUT_CHECKPOINTS != 0 {
        disk.paths().iter().filter(|path| path.to_string_lossy().ends_with(".checkpoint")).for_each(|path| {
            disk.lose(path);
        });
    }
    let Some(said) = hold(&disk)? else { return Ok(()) };
    by_the_format(&said)?;
    let is_forged = match is_checkpoint {
        true => new != old && is_whole_checkpoint(&new),
        false => whole_frames(&new).iter().any(|frame| !base.frames.contains(frame)),
    };
    match said.content {
        Ok(content) if !is_forged => must(base.content.entries.starts_with(&content.entries), || {
            format!("{content:?} is read where {:?} was written", base.content)
        }),
        _ => Ok(()),
    }
}

/// A log that was read from its beginning says what a second reader of the format finds in its segments.
fn by_the_format(said: &Said) -> Verdict {
    let (Some(segments), None) = (&said.segments, said.opened.checkpoint) else { return Ok(()) };
    let truth = Walk::segments(segments);
    must(truth.is_ok() == said.content.is_ok() && truth.as_ref().ok() == said.content.as_ref().ok(), || {
        format!("the log reads {:?}, its segments say {truth:?}", said.content)
    })
}
