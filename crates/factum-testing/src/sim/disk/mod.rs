//! A disk in memory that loses power, fails, fills up and lies: the fault model behind the tests of the log.
//!
//! | what | how it behaves |
//! |---|---|
//! | bytes of a file | in sectors of 512 bytes; unsynced until [`DiskFile::sync_data`] |
//! | a crash | leaves of each sector, on its own, the synced version or any one since |
//! | a torn write | ends at a border of sectors; with [`Keep::TornSector`] one is half one version, half another |
//! | length of a file | unsynced like a sector and independent of them; what is behind it is zeroes, never garbage |
//! | names | made, changed or removed on their own, each unsynced until [`Disk::sync_dir`]; a rename is atomic |
//! | a file that was synced and its name was not | may be gone |
//! | directories | durable when made or made again; a rename is like that of a file, all that is in it goes along |
//! | a failed sync ([`Fault::SyncForgets`]) | what it should have written is still read, and never again written |
//! | a failed sync of a directory | leaves its names as unsynced as they were |
//! | space | bytes of all files with a name, if there is a limit ([`SimDisk::set_space`]) |
//! | wrong reads, wrong writes, errors | [`Fault`]; each that really happened is counted |
//!
//! Not in the model: a sync that returns without an error and has not made durable what was written just before. No log
//! survives such a disk, and none is asked to.
//!
//! A `SimDisk` is a handle; its clones are the same disk. [`SimDisk::crash`] and [`SimDisk::restart`] give new disks,
//! cheaply: they share all sectors. Nothing here draws at random but by the seed, so that a run can be repeated.

mod content;
mod fault;
mod file;
mod io;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

pub use content::SECTOR;
pub use fault::{Call, Counts, Fault, When};

use file::{File, Left};
use state::State;

/// What a loss of power leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Lost,
    /// Everything that a sync would still have written.
    All,
    /// Anything: each sector, length and name on its own, by this seed.
    Some(u64),
    /// Everything up to some call, and that one torn at a border of sectors, by this seed.
    Torn(u64),
    /// Like [`Keep::Some`], and one sector is half one version and half another.
    TornSector(u64),
}

/// A call, as those see it who watch.
#[derive(Clone, Copy, Debug)]
pub struct Io<'a> {
    /// Its number; the first since the disk was made is 1.
    pub number: u64,
    /// What is called.
    pub call: Call,
    /// The file or directory.
    pub path: &'a Path,
    /// Whether it is over.
    pub done: bool,
}

/// Somebody who is told of each call, before and after it. May crash the disk; its own calls are not watched.
pub type Watcher = Arc<dyn Fn(&Io<'_>) + Send + Sync>;

/// The disk.
#[derive(Clone)]
pub struct SimDisk {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    watcher: Mutex<Option<Watcher>>,
    open: Mutex<Open>,
}

/// Files and locks that somebody has open.
#[derive(Default)]
struct Open {
    now: usize,
    most: usize,
}

impl SimDisk {
    /// An empty disk. All that it draws, ids included, comes from the seed.
    pub fn new(seed: u64) -> Self {
        Self::of(State::new(seed))
    }

    fn of(state: State) -> Self {
        Self { inner: Arc::new(Inner { state: Mutex::new(state), watcher: Mutex::default(), open: Mutex::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws by another seed from now on.
    pub fn reseed(&self, seed: u64) {
        let mut state = self.state();
        (state.seed, state.rng) = (seed, Rng::with_seed(seed));
    }

    /// Plans a fault.
    pub fn plan(&self, fault: Fault, when: When) {
        self.state().plan.push((fault, when));
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.state().plan.clear();
    }

    /// The faults that really happened.
    pub fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many sectors, lengths and names are not synced: 0 means that every crash leaves the same.
    pub fn unsynced(&self) -> usize {
        self.state().stamps().len()
    }

    /// Limits the bytes that files with names may have in all.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.state().space = bytes;
    }

    /// The bytes that files with names have in all.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    fn open_now(&self) -> MutexGuard<'_, Open> {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many files and locks are open: what would be descriptors of a real process.
    pub fn open_files(&self) -> usize {
        self.open_now().now
    }

    /// The most that were open at once since this was last asked.
    pub fn take_most_open(&self) -> usize {
        let mut open = self.open_now();
        let now = open.now;
        std::mem::replace(&mut open.most, now)
    }

    /// Who is told of each call from now on.
    pub fn watch(&self, watcher: Option<Watcher>) {
        *self.watcher() = watcher;
    }

    fn watcher(&self) -> MutexGuard<'_, Option<Watcher>> {
        self.inner.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as it is found after a loss of power now: healthy, unlocked and unwatched, and with as much space. This
    /// one goes on as if nothing had happened.
    pub fn crash(&self, keep: Keep) -> SimDisk {
        let state = self.state();
        let mut after = state.afresh();
        let (mut rng, stamps) = match keep {
            Keep::Lost | Keep::All => (Rng::with_seed(0), Vec::new()),
            Keep::Some(seed) | Keep::Torn(seed) | Keep::TornSector(seed) => (Rng::with_seed(seed), state.stamps()),
        };
        // Sometimes nearly all is lost, sometimes nearly nothing.
        let chance = rng.choice([0.05, 0.3, 0.5, 0.7, 0.95]).unwrap_or(0.5);
        let (stamp, until) = rng.choice(&stamps).copied().unwrap_or_default();
        let mut left = match keep {
            Keep::Lost => Left::Nothing,
            Keep::All => Left::Everything,
            Keep::Some(_) | Keep::TornSector(_) => Left::Some(chance, &mut rng),
            Keep::Torn(_) => Left::Until(stamp, until),
        };
        let (names, dirs) = state.names_after_crash(&mut left);
        let named = |id: &u64| names.values().any(|named| named == id);
        let mut files: Vec<(u64, File)> =
            state.files.iter().filter(|(id, _)| named(id)).map(|(id, f)| (*id, f.after_crash(&mut left))).collect();
        if let Keep::TornSector(_) = keep {
            rng.shuffle(&mut files);
            // The first that has something to tear.
            files.iter_mut().any(|(id, file)| state.files[id].tear(file, &mut rng));
        }
        after.files = files.into_iter().map(|(id, file)| (id, Arc::new(file))).collect();
        after.names = Arc::new(names);
        after.dirs = Arc::new(dirs);
        after.durable = Arc::clone(&after.names);
        Self::of(after)
    }

    /// The disk as the next process finds it when this one has died and the machine has not: nothing is lost, nothing
    /// is synced that was not, and the locks are free. What the old process still has open no longer leads here.
    pub fn restart(&self) -> SimDisk {
        let state = self.state();
        let mut after = state.afresh();
        after.files = state.files.clone();
        after.names = Arc::clone(&state.names);
        after.durable = Arc::clone(&state.durable);
        after.unsynced = state.unsynced.clone();
        after.stamp = state.stamp;
        Self::of(after)
    }

    /// The paths of all files, in order, without a call.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// What programs see of a file, without a call.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.files.get(state.names.get(path)?)?;
        let mut bytes = vec![0; file.live.length as usize];
        file.live.read(&mut bytes, 0);
        Some(bytes)
    }

    /// Flips a bit of a file, durably and without a call. Says no if there is no such bit.
    pub fn flip(&self, path: &Path, bit: u64) -> bool {
        let index = bit / 8 / SECTOR as u64;
        self.damage(path, bit / 8 + 1, &|content| {
            let mut bytes = content::unpacked(&content.sector(index));
            bytes[(bit / 8) as usize % SECTOR] ^= 1 << (bit % 8);
            content.set(index, content::packed(bytes));
        })
    }

    /// Cuts a file off at a length, durably and without a call. Says no if it is not longer.
    pub fn cut(&self, path: &Path, length: u64) -> bool {
        self.damage(path, length + 1, &|content| content.length = content.length.min(length))
    }

    fn damage(&self, path: &Path, at_least: u64, change: &dyn Fn(&mut content::Content)) -> bool {
        let mut state = self.state();
        let Some(id) = state.names.get(path).copied() else { return false };
        let Some(file) = state.files.get_mut(&id).filter(|file| file.live.length >= at_least) else { return false };
        Arc::make_mut(file).damage(change);
        true
    }

    /// Takes a file away, durably and without a call. Says no if there is none.
    pub fn lose(&self, path: &Path) -> bool {
        let mut state = self.state();
        let was_durable = Arc::make_mut(&mut state.durable).remove(path).is_some();
        Arc::make_mut(&mut state.names).remove(path).is_some() || was_durable
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimDisk").field("names", &state.names).field("calls", &state.calls).finish_non_exhaustive()
    }
}
