//! All that the disk knows at one moment: files, names, locks, planned faults.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;

use super::fault::{Call, Counts, Fault, When};
use super::file::{File, Left};

/// A change of names that is not synced.
#[derive(Clone, Debug)]
pub(super) struct Renaming {
    stamp: u64,
    dir: PathBuf,
    /// The name that goes, if any.
    from: Option<PathBuf>,
    /// The name that comes, if any, and its file.
    to: Option<(PathBuf, u64)>,
}

pub(super) type Names = BTreeMap<PathBuf, u64>;

pub(super) struct State {
    pub seed: u64,
    pub rng: Rng,
    pub ids: u64,
    pub files: BTreeMap<u64, Arc<File>>,
    pub dirs: Arc<BTreeSet<PathBuf>>,
    /// The names as programs see them.
    pub names: Arc<Names>,
    /// The names that survive a crash.
    pub durable: Arc<Names>,
    pub unsynced: Vec<Renaming>,
    pub locks: BTreeSet<PathBuf>,
    /// Counts what changes the disk, over restarts.
    pub stamp: u64,
    pub calls: u64,
    pub plan: Vec<(Fault, When)>,
    pub counts: Counts,
    pub space: Option<u64>,
    next_file: u64,
}

impl State {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: Rng::with_seed(seed),
            ids: 0,
            files: BTreeMap::new(),
            dirs: Arc::default(),
            names: Arc::default(),
            durable: Arc::default(),
            unsynced: Vec::new(),
            locks: BTreeSet::new(),
            stamp: 0,
            calls: 0,
            plan: Vec::new(),
            counts: Counts::default(),
            space: None,
            next_file: 0,
        }
    }

    /// A disk with the same directories and nothing in them.
    pub fn afresh(&self) -> Self {
        Self {
            ids: self.ids,
            dirs: Arc::clone(&self.dirs),
            space: self.space,
            next_file: self.next_file,
            ..Self::new(self.seed)
        }
    }

    /// The fault that is planned for this call.
    pub fn strike(&mut self, call: Call) -> Option<Fault> {
        let (number, rng) = (self.calls, &mut self.rng);
        let strikes = |when: &When| match when {
            When::At(at) => number == *at,
            When::From(from) => number >= *from,
            When::Chance(chance) => rng.f64() < *chance,
        };
        let fits: Vec<_> = self.plan.iter().filter(|(fault, _)| fault.fits(call)).copied().collect();
        let mut strikes = strikes;
        fits.into_iter().find(|(_, when)| strikes(when)).map(|(fault, _)| fault)
    }

    pub fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.files.get(id)).map(|file| file.live.length).sum()
    }

    /// How much of a growth there is room for.
    pub fn room(&self, growth: u64) -> u64 {
        self.space.map_or(growth, |space| growth.min(space.saturating_sub(self.used())))
    }

    /// Everything unsynced, each with its sector if it is one.
    pub fn stamps(&self) -> Vec<(u64, u64)> {
        let names = self.unsynced.iter().map(|renaming| (renaming.stamp, u64::MAX));
        self.files.values().flat_map(|file| file.unsynced()).chain(names).collect()
    }

    pub fn file(&mut self, id: u64) -> io::Result<&mut File> {
        self.files.get_mut(&id).map(Arc::make_mut).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub fn create(&mut self, path: &Path) -> u64 {
        self.next_file += 1;
        let id = self.next_file;
        self.files.insert(id, Arc::default());
        self.rename(path, None, Some((path.to_owned(), id)));
        id
    }

    /// Changes the names as programs see them, and notes that this is not synced.
    pub fn rename(&mut self, of: &Path, from: Option<PathBuf>, to: Option<(PathBuf, u64)>) {
        let dir = of.parent().unwrap_or(Path::new("")).to_owned();
        let renaming = Renaming { stamp: self.stamp, dir, from, to };
        renaming.apply(Arc::make_mut(&mut self.names));
        self.unsynced.push(renaming);
    }

    pub fn sync_dir(&mut self, dir: &Path) {
        let durable = Arc::make_mut(&mut self.durable);
        self.unsynced.retain(|renaming| {
            let here = renaming.dir == dir;
            if here {
                renaming.apply(durable);
            }
            !here
        });
    }

    pub fn names_after_crash(&self, left: &mut Left<'_>) -> Names {
        let mut names = (*self.durable).clone();
        for renaming in &self.unsynced {
            let kept = match left {
                Left::Nothing => false,
                Left::Everything => true,
                Left::Some(chance, rng) => rng.f64() < *chance,
                Left::Until(stamp, _) => renaming.stamp < *stamp,
            };
            if kept {
                renaming.apply(&mut names);
            }
        }
        names
    }
}

impl Renaming {
    fn apply(&self, names: &mut Names) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some((to, id)) = &self.to {
            names.insert(to.clone(), *id);
        }
    }
}
