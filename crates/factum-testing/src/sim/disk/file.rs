//! One file: what programs see, what is durable, and every version in between that power may leave behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

use super::content::{Content, SECTOR, Sector, packed, unpacked};

/// Something that was written and not synced.
#[derive(Clone, Debug)]
struct Version<T> {
    /// When, in the disk's own count.
    stamp: u64,
    value: T,
    /// A sync of it failed: it is seen by programs, no later sync writes it, and it may or may not be on the disk.
    forgotten: bool,
}

/// Which unsynced versions are on the disk when power comes back.
pub(super) enum Left<'a> {
    Nothing,
    Everything,
    /// Each with this chance, on its own.
    Some(f64, &'a mut Rng),
    /// All before this stamp, and of what has this stamp the sectors before this one.
    Until(u64, u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub live: Content,
    durable: Content,
    sectors: BTreeMap<u64, Vec<Version<Sector>>>,
    lengths: Vec<Version<u64>>,
    /// What stood in a sector before it was last changed, for reads that are stale.
    older: Arc<BTreeMap<u64, Sector>>,
}

impl File {
    /// A file all of whose bytes are durable.
    pub fn settled(content: Content) -> Self {
        Self { live: content.clone(), durable: content, ..Self::default() }
    }

    pub fn write(&mut self, stamp: u64, bytes: &[u8], offset: u64) {
        let size = SECTOR as u64;
        let end = offset + bytes.len() as u64;
        for index in offset / size..end.div_ceil(size) {
            let (from, to) = ((index * size).max(offset), ((index + 1) * size).min(end));
            let before = self.live.sector(index);
            let mut sector = unpacked(&before);
            sector[(from - index * size) as usize..(to - index * size) as usize]
                .copy_from_slice(&bytes[(from - offset) as usize..(to - offset) as usize]);
            self.put(stamp, index, before, packed(sector));
        }
        let grows = end > self.live.length;
        if grows {
            self.live.length = end;
        }
        if grows || end > self.promised_length() {
            self.lengths.push(Version { stamp, value: end, forgotten: false });
        }
    }

    pub fn set_len(&mut self, stamp: u64, length: u64) {
        for (index, sector) in self.live.beyond(length) {
            self.put(stamp, index, self.live.sector(index), sector);
        }
        self.live.length = length;
        if self.promised_length() != length {
            self.lengths.push(Version { stamp, value: length, forgotten: false });
        }
    }

    fn put(&mut self, stamp: u64, index: u64, before: Sector, sector: Sector) {
        // Bytes that stand on the disk already, and nothing else can: no change.
        if !self.sectors.contains_key(&index) && self.durable.sector(index) == sector {
            return;
        }
        if before != sector {
            Arc::make_mut(&mut self.older).insert(index, before);
        }
        self.live.set(index, sector.clone());
        self.sectors.entry(index).or_default().push(Version { stamp, value: sector, forgotten: false });
    }

    /// The length that a sync would make durable.
    fn promised_length(&self) -> u64 {
        self.lengths.iter().rfind(|version| !version.forgotten).map_or(self.durable.length, |version| version.value)
    }

    /// Makes everything durable that was not forgotten.
    pub fn sync(&mut self) {
        self.durable.length = self.promised_length();
        let durable = &mut self.durable;
        self.sectors.retain(|index, versions| match versions.last() {
            Some(last) if !last.forgotten => {
                durable.set(*index, last.value.clone());
                false
            }
            _ => true,
        });
        if self.lengths.last().is_some_and(|version| !version.forgotten) {
            self.lengths.clear();
        }
    }

    /// A sync that fails: programs go on seeing what was written, and no later sync will write it. Says whether there
    /// was anything.
    pub fn forget(&mut self) -> bool {
        let mut any = false;
        let sectors = self.sectors.values_mut().flatten().map(|version| &mut version.forgotten);
        for forgotten in sectors.chain(self.lengths.iter_mut().map(|version| &mut version.forgotten)) {
            any |= !std::mem::replace(forgotten, true);
        }
        any
    }

    /// The stamps of everything unsynced, each with its sector; a length has the last number there is.
    pub fn unsynced(&self) -> impl Iterator<Item = (u64, u64)> {
        let sectors = self.sectors.iter().flat_map(|(index, versions)| versions.iter().map(|v| (v.stamp, *index)));
        sectors.chain(self.lengths.iter().map(|version| (version.stamp, u64::MAX)))
    }

    /// What is on the disk when power comes back.
    pub fn after_crash(&self, left: &mut Left<'_>) -> File {
        let mut content = self.durable.clone();
        for (index, versions) in &self.sectors {
            if let Some(value) = pick(versions, *index, left) {
                content.set(*index, value.clone());
            }
        }
        if let Some(length) = pick(&self.lengths, u64::MAX, left) {
            content.length = *length;
        }
        content.trim();
        Self::settled(content)
    }

    /// Mixes two versions of one sector in the state after a crash. Says no if there are no two.
    pub fn tear(&self, after: &mut File, rng: &mut Rng) -> bool {
        let indexes: Vec<u64> = self.sectors.keys().copied().collect();
        let Some(index) = rng.choice(&indexes).copied() else { return false };
        let mut versions: Vec<Sector> = self.sectors[&index].iter().map(|version| version.value.clone()).collect();
        versions.push(self.durable.sector(index));
        let (one, other) = (rng.usize(..versions.len()), rng.usize(..versions.len()));
        let (mut bytes, behind) = (unpacked(&versions[one]), unpacked(&versions[other]));
        let border = rng.usize(1..SECTOR);
        bytes[border..].copy_from_slice(&behind[border..]);
        let mut content = after.durable.clone();
        content.set(index, packed(bytes));
        content.trim();
        *after = Self::settled(content);
        bytes != unpacked(&versions[one]) && bytes != behind
    }

    /// The first sector from `index` to `to` that once held something else, as it was.
    pub fn stale(&self, index: u64, to: u64) -> Option<(u64, [u8; SECTOR])> {
        let differs = |entry: &(&u64, &Sector)| self.live.sector(*entry.0) != *entry.1;
        self.older.range(index..to).find(differs).map(|(index, sector)| (*index, unpacked(sector)))
    }

    /// Changes the file behind everybody's back, durably.
    pub fn damage(&mut self, change: &dyn Fn(&mut Content)) {
        for content in [&mut self.live, &mut self.durable] {
            change(content);
            content.trim();
        }
    }
}

/// The version of one sector or length that is left; `None` for the durable one.
fn pick<'v, T>(versions: &'v [Version<T>], index: u64, left: &mut Left<'_>) -> Option<&'v T> {
    let kept = |version: &&Version<T>| !version.forgotten;
    let version = match left {
        Left::Nothing => None,
        Left::Everything => versions.iter().rfind(kept),
        Left::Some(chance, rng) => match versions.len() {
            0 => None,
            count => (rng.f64() < *chance).then(|| &versions[rng.usize(..count)]),
        },
        Left::Until(stamp, until) => versions
            .iter()
            .rfind(|version| kept(version) && (version.stamp < *stamp || version.stamp == *stamp && index < *until)),
    };
    version.map(|version| &version.value)
}
