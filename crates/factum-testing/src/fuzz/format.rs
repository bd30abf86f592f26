//! A second reader and writer of the log's files, after `docs/log-format.md` alone: the log is held against it.

use std::collections::BTreeMap;

use crc_fast::crc32_iscsi;

/// Length of a segment's header.
pub const SEGMENT: usize = 64;
/// Length of a frame's header.
pub const FRAME: usize = 56;
/// Kinds of frames.
pub const BATCH: u8 = 1;
pub const CLOSING: u8 = 3;
/// The log id of segments made here.
pub const LOG_ID: [u8; 16] = *b"a log of a test.";

const ENTRY: usize = 40;

/// An entry with all its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: u64,
    pub stream: String,
    pub version: u64,
    pub kind: String,
    pub source: String,
    pub body: Vec<u8>,
}

/// What a log says: its entries, and the cells with their revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub entries: Vec<Entry>,
    pub cells: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
}

/// A little-endian number of `N` bytes; what is not there counts as zeroes.
pub fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let there = bytes.get(at..at + N).unwrap_or_default();
    there.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The checksum of a segment's or a checkpoint's header, which counts its own four bytes at 12 as zeroes.
fn head_sum(head: &[u8]) -> u32 {
    let mut covered = head.to_vec();
    covered[12..16].fill(0);
    crc32_iscsi(&covered)
}

fn frame_sum(log_id: &[u8], header: &[u8]) -> u32 {
    crc32_iscsi(&[log_id, &header[8..FRAME]].concat())
}

/// The header of a log's first segment.
pub fn first_segment() -> Vec<u8> {
    let mut out = vec![0; SEGMENT];
    put(&mut out, 0, b"FACTLOG\n");
    put(&mut out, 8, &1_u32.to_le_bytes());
    put(&mut out, 16, &LOG_ID);
    put(&mut out, 32, &1_u32.to_le_bytes());
    put(&mut out, 40, &1_u64.to_le_bytes());
    put(&mut out, 48, &1_u64.to_le_bytes());
    let sum = head_sum(&out);
    put(&mut out, 12, &sum.to_le_bytes());
    out
}

/// Appends a frame to a first segment, all before it being synced.
pub fn push_frame(out: &mut Vec<u8>, kind: u8, frame: u64, first: u64, entries: u32, payload: &[u8]) {
    let start = out.len();
    out.resize(start + FRAME, 0);
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(8), 0);
    let header = &mut out[start..];
    put(header, 0, b"FRME");
    put(header, 16, &frame.to_le_bytes());
    put(header, 24, &first.to_le_bytes());
    put(header, 32, &(start as u64).to_le_bytes());
    put(header, 40, &(start as u64).to_le_bytes());
    put(header, 48, &entries.to_le_bytes());
    put(header, 52, &[kind]);
    let length = header.len() - FRAME;
    put(header, 8, &(length as u32).to_le_bytes());
    mend_frame(&LOG_ID, header);
}

/// Appends an entry whose place is not said: see [`Walk::repair`].
pub fn push_entry(out: &mut Vec<u8>, stream: &str, kind: u16, source: u16, body: &[u8]) {
    let start = out.len();
    out.resize(start + 36, 0);
    let entry = &mut out[start..];
    put(entry, 0, &[1]);
    put(entry, 2, &(stream.len() as u16).to_le_bytes());
    put(entry, 4, &(body.len() as u32).to_le_bytes());
    put(entry, 8, &kind.to_le_bytes());
    put(entry, 10, &source.to_le_bytes());
    out.extend_from_slice(stream.as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&[0; 4]);
}

/// Appends a name (tag 2), a put (3) or a delete (4).
pub fn push_item(out: &mut Vec<u8>, tag: u8, key: &[u8], value: &[u8]) {
    out.extend_from_slice(&[tag, 0]);
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

fn mend_frame(log_id: &[u8], frame: &mut [u8]) {
    let payload = if frame.len() > FRAME { crc32_iscsi(&frame[FRAME..]) } else { 0 };
    put(frame, 12, &payload.to_le_bytes());
    let sum = frame_sum(log_id, frame);
    put(frame, 4, &sum.to_le_bytes());
}

/// Makes all checksums of a segment or a checkpoint right, whatever else is wrong in it.
pub fn mend(bytes: &mut [u8], is_checkpoint: bool) {
    let header = if is_checkpoint { 128 } else { SEGMENT };
    if bytes.len() < header {
        return;
    }
    if is_checkpoint {
        let end = bytes.len().min((number::<8>(bytes, 96) as usize).saturating_add(header));
        let sum = crc32_iscsi(&bytes[header..end]);
        put(bytes, 104, &sum.to_le_bytes());
    }
    let sum = head_sum(&bytes[..header]);
    put(bytes, 12, &sum.to_le_bytes());
    let (head, mut rest) = bytes.split_at_mut(header);
    while !is_checkpoint && rest.len() >= FRAME && rest.starts_with(b"FRME") {
        let total = FRAME + number::<4>(rest, 8) as usize;
        let (frame, behind) = rest.split_at_mut(total.min(rest.len()));
        mend_frame(&head[16..32], frame);
        rest = behind;
    }
}

/// Whether a checkpoint's checksums are right.
pub fn is_whole_checkpoint(bytes: &[u8]) -> bool {
    let mut mended = bytes.to_vec();
    mend(&mut mended, true);
    mended == bytes && bytes.starts_with(b"FACTCHK\n")
}

/// The frame that begins with these bytes, if it is whole.
pub fn frame<'a>(log_id: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let whole = bytes.get(..FRAME + number::<4>(bytes, 8) as usize)?;
    let mut mended = whole.to_vec();
    (whole.starts_with(b"FRME")).then(|| mend_frame(log_id, &mut mended))?;
    (mended == whole && whole.len().is_multiple_of(8)).then_some(whole)
}

/// What an item says of its own length, if it is all there.
fn item(rest: &[u8]) -> Result<&[u8], String> {
    let (short, long) = (number::<2>(rest, 2) as usize, number::<4>(rest, 4) as usize);
    let length = match rest.first() {
        Some(1) => ENTRY + short + long,
        Some(3) => 8 + short + long,
        Some(2 | 4) => 8 + short,
        _ => return Err("an item of an unknown kind".into()),
    };
    rest.get(..length).filter(|_| rest.len() >= 8).ok_or("an item ends early".into())
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a name is not UTF-8".into())
}

/// The walk over a log's frames.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    pub content: Content,
    /// Version and log offset of each stream's last entry.
    heads: BTreeMap<String, (u64, u64)>,
    /// Names of the segment.
    names: Vec<String>,
    /// Count of frames so far.
    pub frames: u64,
}

impl Walk {
    /// Position of the next entry.
    pub fn next(&self) -> u64 {
        self.content.entries.len() as u64 + 1
    }

    /// Gives the entries of a payload the places, the numbers of names and the checksums that are right if its frame
    /// begins at log offset `offset`; up to the first item that is none.
    pub fn repair(&self, payload: &mut [u8], offset: u64) {
        let (mut heads, mut names, mut position) = (self.heads.clone(), self.names.len(), self.next());
        let mut at = 0;
        while let Ok(length) = item(&payload[at..]).map(<[u8]>::len) {
            let whole = &mut payload[at..at + length];
            if whole[0] == 2 {
                put(whole, 4, &(names as u32).to_le_bytes());
                names += 1;
            } else if whole[0] == 1 {
                let stream = &whole[36..36 + number::<2>(whole, 2) as usize];
                let head = heads.entry(String::from_utf8_lossy(stream).into_owned()).or_default();
                let (version, previous) = *head;
                *head = (version + 1, offset + (FRAME + at) as u64);
                for (at, word) in [(12, position), (20, version + 1), (28, previous)] {
                    put(whole, at, &word.to_le_bytes());
                }
                for at in [8, 10] {
                    let id = number::<2>(whole, at) as usize % names.max(1);
                    put(whole, at, &(id as u16).to_le_bytes());
                }
                position += 1;
                let sum = crc32_iscsi(&whole[..length - 4]);
                put(whole, length - 4, &sum.to_le_bytes());
            }
            at += length;
        }
    }

    /// Count of entries up to the first item that is none.
    pub fn count(payload: &[u8]) -> u32 {
        let (mut at, mut count) = (0, 0);
        while let Ok(whole) = item(&payload[at..]) {
            count += u32::from(whole[0] == 1);
            at += whole.len();
        }
        count
    }

    /// Takes in a frame whose checksums are right and that begins at log offset `offset`.
    pub fn take(&mut self, frame: &[u8], offset: u64) -> Result<(), String> {
        let (header, payload) = frame.split_at(FRAME);
        let first = self.next();
        self.frames += 1;
        let right = [(16, self.frames), (24, first), (32, offset)];
        if right.iter().any(|(at, word)| number::<8>(header, *at) != *word) || number::<8>(header, 40) > offset {
            return Err("a frame does not follow".into());
        }
        let mut at = 0;
        while payload[at..].first().is_some_and(|tag| *tag != 0) {
            let whole = item(&payload[at..])?;
            self.take_item(whole, offset + (FRAME + at) as u64)?;
            at += whole.len();
        }
        let padding = &payload[at..];
        if padding.len() > 7 || padding.iter().any(|byte| *byte != 0) {
            return Err("something else where padding should be".into());
        }
        if self.next() - first != number::<4>(header, 48) || header[52] != BATCH && !payload.is_empty() {
            return Err("another count of entries".into());
        }
        Ok(())
    }

    fn take_item(&mut self, whole: &[u8], offset: u64) -> Result<(), String> {
        let (tag, short) = (whole[0], number::<2>(whole, 2) as usize);
        if tag == 2 {
            if number::<4>(whole, 4) != self.names.len() as u64 {
                return Err("a name of another number".into());
            }
            self.names.push(text(&whole[8..])?);
            return Ok(());
        }
        if tag != 1 {
            let (key, value) = whole[8..].split_at(short);
            match tag {
                3 => _ = self.content.cells.insert(key.into(), (self.frames, value.into())),
                _ => _ = self.content.cells.remove(key),
            }
            return Ok(());
        }
        let end = whole.len() - 4;
        if number::<4>(whole, end) != u64::from(crc32_iscsi(&whole[..end])) {
            return Err("the checksum of an entry is wrong".into());
        }
        let stream = text(&whole[36..36 + short])?;
        let name = |at| self.names.get(number::<2>(whole, at) as usize).cloned().ok_or("an entry without a name");
        let (kind, source) = (name(8)?, name(10)?);
        let (position, version) = (self.next(), number::<8>(whole, 20));
        let head = self.heads.entry(stream.clone()).or_default();
        if number::<8>(whole, 12) != position || (version, number::<8>(whole, 28)) != (head.0 + 1, head.1) {
            return Err("an entry does not follow".into());
        }
        *head = (version, offset);
        let body = whole[36 + short..end].to_vec();
        self.content.entries.push(Entry { position, stream, version, kind, source, body });
        Ok(())
    }

    /// Reads whole segments, in order. The last may end with something that is no frame.
    pub fn segments(segments: &[Vec<u8>]) -> Result<Content, String> {
        let mut walk = Self::default();
        let mut base = 0;
        for (index, segment) in segments.iter().enumerate() {
            let right = [(40, walk.next()), (48, walk.frames + 1), (56, base)];
            let says = |(at, word): &(usize, u64)| number::<8>(segment, *at) == *word;
            if segment.len() < SEGMENT || head_sum(&segment[..SEGMENT]) as u64 != number::<4>(segment, 12) {
                return Err("no header of a segment".into());
            }
            if !right.iter().all(says) {
                return Err("a segment does not follow".into());
            }
            let end = segments.get(index + 1).map(|next| number::<8>(next, 56).saturating_sub(base));
            let mut at = SEGMENT;
            walk.names.clear();
            while end != Some(at as u64) {
                match frame(&segment[16..32], segment.get(at..).unwrap_or_default()) {
                    Some(frame) => walk.take(frame, base + at as u64)?,
                    None if end.is_none() => break,
                    None => return Err("no frame in a sealed segment".into()),
                }
                at += FRAME + number::<4>(segment, at + 8) as usize;
            }
            base += at as u64;
        }
        Ok(walk.content)
    }
}
