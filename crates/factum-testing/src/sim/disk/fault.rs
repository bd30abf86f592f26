//! What can go wrong with an I/O call, when it is to, and how often it really did.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// A kind of call of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "named like the calls of `Disk` and `DiskFile`")]
pub enum Call {
    CreateDir,
    List,
    Create,
    Open,
    Rename,
    Remove,
    SyncDir,
    Lock,
    Read,
    Write,
    Sync,
    SetLen,
    Size,
}

/// A way for a call to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Any call: an input/output error. Nothing happened, except that a write may have written any first part of its
    /// bytes. A failed sync leaves everything as unsynced as it was.
    Io,
    /// A call that takes space: no space left. A write has written any first part of its bytes; a sync behaves like
    /// [`Fault::SyncForgets`].
    Full,
    /// A write that takes only some of its bytes and says so.
    ShortWrite,
    /// A read that gives only some of the bytes and says so.
    ShortRead,
    /// A read or write that was interrupted before it did anything.
    Interrupted,
    /// A sync that fails and counts what it could not write as clean: reads still show it, a later sync says that all
    /// is well and does not write it, a crash loses it.
    SyncForgets,
    /// One bit of what is read is wrong, this time only.
    FlipRead,
    /// One bit of what is written is stored wrong.
    FlipStored,
    /// One sector of what is read is as it was before it was last changed, this time only.
    Stale,
}

impl Fault {
    /// Every fault there is.
    pub const ALL: [Fault; 9] = [
        Self::Io,
        Self::Full,
        Self::ShortWrite,
        Self::ShortRead,
        Self::Interrupted,
        Self::SyncForgets,
        Self::FlipRead,
        Self::FlipStored,
        Self::Stale,
    ];

    /// Whether a call can go wrong in this way.
    pub fn fits(self, call: Call) -> bool {
        use Call::{Create, CreateDir, Read, Rename, SetLen, Sync, SyncDir, Write};
        match self {
            Self::Io => true,
            Self::Full => matches!(call, CreateDir | Create | Rename | SyncDir | Write | Sync | SetLen),
            Self::ShortWrite | Self::FlipStored => call == Write,
            Self::ShortRead | Self::FlipRead | Self::Stale => call == Read,
            Self::Interrupted => matches!(call, Read | Write),
            Self::SyncForgets => call == Sync,
        }
    }
}

/// When a fault strikes, if the call is one that it fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// At the call of this number; calls count from 1.
    At(u64),
    /// At the call of this number and every one after it.
    From(u64),
    /// At each call with this chance, by the disk's seed.
    Chance(f64),
}

/// How often each fault really happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Fault, u64>);

impl Counts {
    /// How often this one happened.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or(0)
    }

    /// How many happened in all.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(super) fn add(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }
}

impl AddAssign<&Counts> for Counts {
    fn add_assign(&mut self, other: &Counts) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (fault, count)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {fault:?}")?;
        }
        if self.0.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}
