//! The bytes of a file in sectors, shared between all states of a disk that have the same ones.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What a disk writes at once, in bytes.
pub const SECTOR: usize = 512;

/// A sector's bytes; `None` are zeroes.
pub(super) type Sector = Option<Arc<[u8; SECTOR]>>;

/// What a file holds. Nothing but zeroes stands behind its length.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub length: u64,
    sectors: Arc<BTreeMap<u64, Arc<[u8; SECTOR]>>>,
}

impl Content {
    pub fn sector(&self, index: u64) -> Sector {
        self.sectors.get(&index).cloned()
    }

    pub fn set(&mut self, index: u64, sector: Sector) {
        match sector {
            Some(sector) => drop(Arc::make_mut(&mut self.sectors).insert(index, sector)),
            None if self.sectors.contains_key(&index) => drop(Arc::make_mut(&mut self.sectors).remove(&index)),
            None => {}
        }
    }

    /// The numbers of the sectors from this one on that hold more than zeroes.
    pub fn used_from(&self, index: u64) -> Vec<u64> {
        self.sectors.range(index..).map(|(index, _)| *index).collect()
    }

    pub fn read(&self, bytes: &mut [u8], offset: u64) -> usize {
        let length = self.length.saturating_sub(offset).min(bytes.len() as u64);
        let bytes = &mut bytes[..length as usize];
        bytes.fill(0);
        let size = SECTOR as u64;
        let within = offset / size..(offset + length).div_ceil(size);
        for (index, sector) in self.sectors.range(within) {
            let (from, to) = ((index * size).max(offset), ((index + 1) * size).min(offset + length));
            let part = &sector[(from - index * size) as usize..(to - index * size) as usize];
            bytes[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
        }
        bytes.len()
    }

    /// Zeroes whatever stands behind the length.
    pub fn trim(&mut self) {
        for (index, sector) in self.beyond(self.length) {
            self.set(index, sector);
        }
    }

    /// What cutting the file off at this length would make of the sectors behind it.
    pub fn beyond(&self, length: u64) -> Vec<(u64, Sector)> {
        let size = SECTOR as u64;
        let mut changes = Vec::new();
        for index in self.used_from(length / size) {
            let kept = length.saturating_sub(index * size) as usize;
            match self.sectors.get(&index) {
                Some(sector) if kept > 0 => {
                    let mut bytes = **sector;
                    bytes[kept..].fill(0);
                    if bytes != **sector {
                        changes.push((index, packed(bytes)));
                    }
                }
                _ => changes.push((index, None)),
            }
        }
        changes
    }
}

/// A sector of these bytes.
pub(super) fn packed(bytes: [u8; SECTOR]) -> Sector {
    (bytes != [0; SECTOR]).then(|| Arc::new(bytes))
}

/// The bytes of a sector.
pub(super) fn unpacked(sector: &Sector) -> [u8; SECTOR] {
    sector.as_ref().map_or([0; SECTOR], |bytes| **bytes)
}
