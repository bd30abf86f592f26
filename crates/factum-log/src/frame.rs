//! The bytes of a frame and of the items in it: entries, names, cell changes. `docs/log-format.md` draws them.

use crc_fast::crc32_iscsi;

/// Length of a frame's header in bytes.
pub(crate) const HEADER: usize = 56;
/// Largest frame in bytes, header and padding included.
pub(crate) const MAX: usize = 16 << 20;
/// Most bytes of a log: a head has 48 bits for an offset. So no position, number or offset in it is larger.
pub(crate) const LONGEST: u64 = 1 << 48;
/// Frames begin at multiples of this many bytes.
pub(crate) const ALIGN: usize = 8;
/// Bytes of an entry beside its stream's name and its body.
pub(crate) const ENTRY: usize = ENTRY_FIXED + 4;
/// Bytes of a name or a cell change beside its texts.
pub(crate) const SMALL: usize = 8;

const MAGIC: u32 = u32::from_le_bytes(*b"FRME");
const ENTRY_FIXED: usize = 36;

const PADDING: u8 = 0;
const TAG_ENTRY: u8 = 1;
const TAG_NAME: u8 = 2;
const TAG_PUT: u8 = 3;
const TAG_DELETE: u8 = 4;

/// What a frame is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A batch.
    Data = 1,
    /// Nothing but its mark: all before it is synced.
    Mark = 2,
    /// The same, written by an orderly close.
    Closing = 3,
}

impl Kind {
    /// The kind of this number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Data, Self::Mark, Self::Closing].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    /// Length of the payload in bytes, padding included.
    pub length: u32,
    pub payload_crc: u32,
    /// Frames count from 1 over the whole log, marks included.
    pub number: u64,
    /// Position of the first entry, or that of the next one if the frame has none.
    pub first: u64,
    /// The frame's own log offset: bytes that strayed from elsewhere are not taken for it.
    pub offset: u64,
    /// Log offset up to which all was synced when this frame was written.
    pub synced: u64,
    pub entries: u32,
}

impl Header {
    /// Position of the last entry; `first - 1` if there is none.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.entries) - 1
    }

    /// Length of the whole frame in bytes.
    pub fn total(&self) -> usize {
        HEADER + self.length as usize
    }

    /// Writes the header. Its checksum begins with the log's id, so that no frame of another log passes, nor one that a
    /// client hid in a body.
    pub fn write(&self, log_id: &[u8; 16], out: &mut [u8]) {
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[16..24].copy_from_slice(&self.number.to_le_bytes());
        out[24..32].copy_from_slice(&self.first.to_le_bytes());
        out[32..40].copy_from_slice(&self.offset.to_le_bytes());
        out[40..48].copy_from_slice(&self.synced.to_le_bytes());
        out[48..52].copy_from_slice(&self.entries.to_le_bytes());
        out[52..56].copy_from_slice(&[self.kind as u8, 0, 0, 0]);
        let crc = salted(log_id, &out[8..HEADER]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a header that must stand at log offset `offset`.
    pub fn read(log_id: &[u8; 16], bytes: &[u8], offset: u64) -> Result<Self, &'static str> {
        if u32_at(bytes, 0) != MAGIC {
            return Err("no frame begins here");
        }
        if salted(log_id, &bytes[8..HEADER]) != u32_at(bytes, 4) {
            return Err("the checksum of a frame's header is wrong");
        }
        let kind = Kind::from_byte(bytes[52]).ok_or("a frame of an unknown kind")?;
        let header = Self {
            kind,
            length: u32_at(bytes, 8),
            payload_crc: u32_at(bytes, 12),
            number: u64_at(bytes, 16),
            first: u64_at(bytes, 24),
            offset: u64_at(bytes, 32),
            synced: u64_at(bytes, 40),
            entries: u32_at(bytes, 48),
        };
        if header.offset != offset {
            return Err("a frame that belongs elsewhere in the log");
        }
        let placed = (1..LONGEST).contains(&header.first) && header.number < LONGEST;
        if header.total() > MAX || !header.total().is_multiple_of(ALIGN) || !placed {
            return Err("a frame of an impossible length or position");
        }
        Ok(header)
    }
}

fn salted(log_id: &[u8; 16], bytes: &[u8]) -> u32 {
    let mut salted = [0; 16 + HEADER - 8];
    salted[..16].copy_from_slice(log_id);
    salted[16..].copy_from_slice(bytes);
    checksum(&salted)
}

/// CRC-32C.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc32_iscsi(bytes)
}

/// An entry as it stands in a file; `kind` and `source` are numbers of names of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub stream: &'a str,
    pub kind: u16,
    pub source: u16,
    pub position: u64,
    pub version: u64,
    /// Log offset of the stream's entry before; 0 if this is the first.
    pub previous: u64,
    pub body: &'a [u8],
}

/// One item of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Entry(Entry<'a>),
    Name { id: u32, name: &'a str },
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
}

/// Appends an entry. The caller has checked that the lengths fit.
pub(crate) fn write_entry(out: &mut Vec<u8>, stream: &[u8], body: &[u8], entry: &Entry<'_>) {
    let start = out.len();
    let mut fixed = [0; ENTRY_FIXED];
    fixed[0] = TAG_ENTRY;
    fixed[2..4].copy_from_slice(&(stream.len() as u16).to_le_bytes());
    fixed[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
    fixed[8..10].copy_from_slice(&entry.kind.to_le_bytes());
    fixed[10..12].copy_from_slice(&entry.source.to_le_bytes());
    fixed[12..20].copy_from_slice(&entry.position.to_le_bytes());
    fixed[20..28].copy_from_slice(&entry.version.to_le_bytes());
    fixed[28..36].copy_from_slice(&entry.previous.to_le_bytes());
    out.extend_from_slice(&fixed);
    out.extend_from_slice(stream);
    out.extend_from_slice(body);
    let crc = checksum(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Appends a name; from here to the segment's end entries may use its number.
pub(crate) fn write_name(out: &mut Vec<u8>, id: u32, name: &str) {
    write_small(out, TAG_NAME, name.len(), id, name.as_bytes());
}

/// Appends the new value of a cell.
pub(crate) fn write_put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    write_small(out, TAG_PUT, key.len(), value.len() as u32, key);
    out.extend_from_slice(value);
}

/// Appends the end of a cell.
pub(crate) fn write_delete(out: &mut Vec<u8>, key: &[u8]) {
    write_small(out, TAG_DELETE, key.len(), 0, key);
}

fn write_small(out: &mut Vec<u8>, tag: u8, length: usize, word: u32, text: &[u8]) {
    let mut fixed = [tag, 0, 0, 0, 0, 0, 0, 0];
    fixed[2..4].copy_from_slice(&(length as u16).to_le_bytes());
    fixed[4..8].copy_from_slice(&word.to_le_bytes());
    out.extend_from_slice(&fixed);
    out.extend_from_slice(text);
}

/// How many bytes the entry that begins with `bytes` has; `None` if none begins here. Unchecked until it is read.
pub(crate) fn entry_length(bytes: &[u8]) -> Option<usize> {
    let is_entry = bytes.len() >= SMALL && bytes[0] == TAG_ENTRY;
    is_entry.then(|| ENTRY + usize::from(u16_at(bytes, 2)) + u32_at(bytes, 4) as usize)
}

/// Reads one entry on its own and checks its checksum.
pub(crate) fn read_entry(bytes: &[u8]) -> Result<Entry<'_>, &'static str> {
    let body_end = bytes.len().saturating_sub(4);
    if entry_length(bytes) != Some(bytes.len()) || checksum(&bytes[..body_end]) != u32_at(bytes, body_end) {
        return Err("the checksum of an entry is wrong");
    }
    parse_entry(bytes)
}

/// Reads one entry whose checksum was checked.
pub(crate) fn parse_entry(bytes: &[u8]) -> Result<Entry<'_>, &'static str> {
    let stream_end = ENTRY_FIXED + usize::from(u16_at(bytes, 2));
    Ok(Entry {
        stream: text(&bytes[ENTRY_FIXED..stream_end])?,
        kind: u16_at(bytes, 8),
        source: u16_at(bytes, 10),
        position: u64_at(bytes, 12),
        version: u64_at(bytes, 20),
        previous: u64_at(bytes, 28),
        body: &bytes[stream_end..bytes.len() - 4],
    })
}

/// The items of a payload whose checksum was checked, each with its offset in the payload.
pub(crate) struct Items<'a> {
    payload: &'a [u8],
    at: usize,
}

/// Walks the items of a payload.
pub(crate) fn items(payload: &[u8]) -> Items<'_> {
    Items { payload, at: 0 }
}

impl<'a> Items<'a> {
    /// The next item; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(usize, Item<'a>)>, &'static str> {
        let at = self.at;
        let rest = &self.payload[at..];
        if rest.first().is_none_or(|tag| *tag == PADDING) {
            return match rest.len() < ALIGN && rest.iter().all(|byte| *byte == 0) {
                true => Ok(None),
                false => Err("something else where padding should be"),
            };
        }
        if rest.len() < SMALL {
            return Err("an item that ends early");
        }
        let (short, long) = (usize::from(u16_at(rest, 2)), u32_at(rest, 4) as usize);
        let length = match rest[0] {
            TAG_ENTRY => ENTRY + short + long,
            TAG_PUT => SMALL + short + long,
            TAG_NAME | TAG_DELETE => SMALL + short,
            _ => return Err("an item of an unknown kind"),
        };
        if length > rest.len() {
            return Err("an item that runs beyond its frame");
        }
        let item = &rest[..length];
        self.at += length;
        let first = &item[SMALL..];
        Ok(Some((
            at,
            match rest[0] {
                TAG_ENTRY => Item::Entry(parse_entry(item)?),
                TAG_NAME => Item::Name { id: u32_at(rest, 4), name: text(first)? },
                TAG_PUT => Item::Put { key: &first[..short], value: &first[short..] },
                _ => Item::Delete { key: first },
            },
        )))
    }
}

fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "a name that is not UTF-8")
}

/// A little-endian number at an offset that the caller knows to be inside.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// A little-endian number at an offset that the caller knows to be inside.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// A little-endian number at an offset that the caller knows to be inside.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = *b"0123456789abcdef";

    fn header() -> Header {
        Header {
            kind: Kind::Data,
            length: 16,
            payload_crc: 7,
            number: 3,
            first: 9,
            offset: 4096,
            synced: 4096,
            entries: 2,
        }
    }

    #[test]
    fn a_header_reads_back_and_no_flipped_bit_passes() {
        let mut bytes = [0; HEADER];
        header().write(&ID, &mut bytes);
        assert_eq!(Header::read(&ID, &bytes, 4096), Ok(header()));
        for bit in 0..HEADER * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::read(&ID, &bytes, 4096).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_header_of_another_log_or_place_does_not_pass() {
        let mut bytes = [0; HEADER];
        header().write(&ID, &mut bytes);
        assert!(Header::read(&[0; 16], &bytes, 4096).is_err());
        assert!(Header::read(&ID, &bytes, 4104).is_err());
    }

    #[test]
    fn items_read_back_in_order() -> Result<(), &'static str> {
        let entry = Entry { stream: "s-1", kind: 0, source: 1, position: 5, version: 2, previous: 120, body: b"body" };
        let mut payload = Vec::new();
        write_name(&mut payload, 0, "made");
        let entry_at = payload.len();
        write_entry(&mut payload, b"s-1", b"body", &entry);
        let entry_end = payload.len();
        write_put(&mut payload, b"key", b"value");
        write_delete(&mut payload, b"old");
        payload.resize(payload.len().next_multiple_of(ALIGN), 0);

        let mut walk = items(&payload);
        assert_eq!(walk.next()?, Some((0, Item::Name { id: 0, name: "made" })));
        assert_eq!(walk.next()?, Some((entry_at, Item::Entry(entry))));
        assert_eq!(walk.next()?.map(|(_, item)| item), Some(Item::Put { key: b"key", value: b"value" }));
        assert_eq!(walk.next()?.map(|(_, item)| item), Some(Item::Delete { key: b"old" }));
        assert_eq!(walk.next()?, None);
        assert_eq!(read_entry(&payload[entry_at..entry_end]), Ok(entry));
        Ok(())
    }

    #[test]
    fn any_bytes_at_all_are_read_without_a_panic() {
        let mut seed = 1_u64;
        for length in 0..2_000_usize {
            let bytes: Vec<u8> = (0..length % 97)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (seed >> 33) as u8 % 6
                })
                .collect();
            let mut walk = items(&bytes);
            while let Ok(Some(_)) = walk.next() {}
            assert!(read_entry(&bytes).is_err());
        }
    }
}
