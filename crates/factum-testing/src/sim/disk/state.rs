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
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    /// The name of a file that goes, if any, and the one that comes, if any, with its file.
    Name(Option<PathBuf>, Option<(PathBuf, u64)>),
    /// A directory that gets another name, with all that is in it.
    Move(Moved),
}

/// A directory's name before and after.
#[derive(Clone, Debug)]
struct Moved {
    from: PathBuf,
    to: PathBuf,
    /// Whether an empty directory had the new name before.
    over: bool,
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
        self.change(of, Change::Name(from, to));
    }

    /// Gives a directory another name, which nothing or an empty directory has.
    pub fn move_dir(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inside = self.names.keys().chain(&*self.dirs);
        if self.names.contains_key(to) || inside.any(|path| path.parent() == Some(to)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let dirs = Arc::make_mut(&mut self.dirs);
        dirs.remove(from);
        let over = !dirs.insert(to.to_owned());
        for renaming in self.unsynced.iter_mut().filter(|renaming| renaming.dir == from) {
            renaming.dir = to.to_owned();
        }
        self.change(to, Change::Move(Moved { from: from.to_owned(), to: to.to_owned(), over }));
        Ok(())
    }

    fn change(&mut self, of: &Path, change: Change) {
        let dir = of.parent().unwrap_or(Path::new("")).to_owned();
        let renaming = Renaming { stamp: self.stamp, dir, change };
        renaming.apply(Arc::make_mut(&mut self.names), &[]);
        self.unsynced.push(renaming);
    }

    pub fn sync_dir(&mut self, dir: &Path) {
        let durable = Arc::make_mut(&mut self.durable);
        let (mut left, mut not_moved) = (Vec::<Renaming>::new(), Vec::new());
        for renaming in std::mem::take(&mut self.unsynced) {
            let here = renaming.dir == dir;
            match &renaming.change {
                Change::Move(moved) if here => left.iter_mut().for_each(|before| before.follow(moved)),
                Change::Move(moved) => not_moved.push(moved.clone()),
                Change::Name(..) => {}
            }
            match here {
                true => renaming.apply(durable, &not_moved),
                false => left.push(renaming),
            }
        }
        self.unsynced = left;
    }

    /// Names and directories after a crash.
    pub fn names_after_crash(&self, left: &mut Left<'_>) -> (Names, BTreeSet<PathBuf>) {
        let (mut names, mut dirs) = ((*self.durable).clone(), (*self.dirs).clone());
        let mut not_moved = Vec::new();
        for renaming in &self.unsynced {
            let kept = match left {
                Left::Nothing => false,
                Left::Everything => true,
                Left::Some(chance, rng) => rng.f64() < *chance,
                Left::Until(stamp, _) => renaming.stamp < *stamp,
            };
            match &renaming.change {
                _ if kept => renaming.apply(&mut names, &not_moved),
                Change::Move(moved) => {
                    dirs.insert(moved.from.clone());
                    if !moved.over {
                        dirs.remove(&moved.to);
                    }
                    not_moved.push(moved.clone());
                }
                Change::Name(..) => {}
            }
        }
        (names, dirs)
    }
}

impl Moved {
    /// The path of what had another one before the move.
    fn after(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.from).ok().map(|rest| self.to.join(rest))
    }

    /// The path, before the move, of what is now at this one.
    fn before(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.to).ok().map(|rest| self.from.join(rest))
    }
}

impl Renaming {
    /// Changes names in which some directories have not got their new name.
    fn apply(&self, names: &mut Names, not_moved: &[Moved]) {
        let place =
            |path: &PathBuf| not_moved.iter().find_map(|moved| moved.before(path)).unwrap_or_else(|| path.clone());
        match &self.change {
            Change::Name(from, to) => {
                if let Some(from) = from {
                    names.remove(&place(from));
                }
                if let Some((to, id)) = to {
                    names.insert(place(to), *id);
                }
            }
            Change::Move(moved) => {
                *names = std::mem::take(names)
                    .into_iter()
                    .map(|(path, id)| (moved.after(&path).unwrap_or(path), id))
                    .collect();
            }
        }
    }

    /// Takes in that the directory it is in has its new name for good.
    fn follow(&mut self, moved: &Moved) {
        let Change::Name(from, to) = &mut self.change else { return };
        for path in from.iter_mut().chain(to.iter_mut().map(|(path, _)| path)) {
            if let Some(after) = moved.after(path) {
                *path = after;
            }
        }
    }
}
