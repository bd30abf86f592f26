//! Power lost, or the process killed, after every call that changes the disk; also while the log recovers from it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use factum_log::{LogError, Observer};
use factum_testing::sim::disk::{Call, Io, Keep, SimDisk};
use fastrand::Rng;

use crate::model::{Model, batch};
use crate::run::{Run, dir, hold, open};
use crate::scale::{grouped, seed, short_or_full};
use crate::workload::{self, Workload};

/// How many states there were, of each kind.
#[derive(Debug, Default)]
struct Tally {
    lost: AtomicU64,
    kept: AtomicU64,
    subsets: AtomicU64,
    torn: AtomicU64,
    torn_sectors: AtomicU64,
    killed: AtomicU64,
    /// Of all these, those in a recovery, by depth.
    nested: [AtomicU64; 2],
    /// Tails that were cut, and appends of unknown outcome that were found done.
    cut: AtomicU64,
    found_done: AtomicU64,
    beside: AtomicU64,
}

impl Tally {
    fn states(&self) -> u64 {
        [&self.lost, &self.kept, &self.subsets, &self.torn, &self.torn_sectors, &self.killed]
            .iter()
            .map(|count| count.load(Relaxed))
            .sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: &AtomicU64| grouped(count.load(Relaxed));
        write!(
            f,
            "{} states ({} lost, {} kept, {} subsets, {} torn, {} torn sectors, {} killed; {} of them in a recovery, \
             {} in a recovery of a recovery), {} tails cut, {} unknown appends found done, {} read beside",
            grouped(self.states()),
            count(&self.lost),
            count(&self.kept),
            count(&self.subsets),
            count(&self.torn),
            count(&self.torn_sectors),
            count(&self.killed),
            count(&self.nested[0]),
            count(&self.nested[1]),
            count(&self.cut),
            count(&self.found_done),
            count(&self.beside)
        )
    }
}

/// How a disk was left.
#[derive(Clone, Copy, Debug)]
enum End {
    Power(Keep),
    /// The process died and the machine did not.
    Killed,
}

/// One script, crashed everywhere.
struct Crashes {
    workload: Workload,
    tally: Arc<Tally>,
    rng: Mutex<Rng>,
    /// Random states after each call.
    random: usize,
}

impl Crashes {
    fn draw(&self) -> u64 {
        self.rng.lock().unwrap().u64(..)
    }

    /// Looks at everything that the disk may be after the call that was just made. `trail` says how it came here.
    fn everywhere(self: &Arc<Self>, disk: &SimDisk, model: &Model, trail: &[(u64, End)]) {
        let unsynced = disk.unsynced();
        let mut ends = vec![End::Power(Keep::Lost)];
        if unsynced > 0 {
            ends.extend([End::Power(Keep::All), End::Killed]);
            let random = if trail.is_empty() { self.random } else { 2 };
            let subsets = random.min((1_usize << unsynced.min(16)).saturating_sub(2));
            ends.extend((0..subsets).map(|_| End::Power(Keep::Some(self.draw()))));
            ends.extend((0..random.div_ceil(3)).map(|_| End::Power(Keep::TornSector(self.draw()))));
            if unsynced > 1 {
                ends.extend((0..random.div_ceil(3)).map(|_| End::Power(Keep::Torn(self.draw()))));
            }
        }
        for end in ends {
            let (after, count) = match end {
                End::Power(keep) => (
                    disk.crash(keep),
                    match keep {
                        Keep::Lost => &self.tally.lost,
                        Keep::All => &self.tally.kept,
                        Keep::Some(_) => &self.tally.subsets,
                        Keep::Torn(_) => &self.tally.torn,
                        Keep::TornSector(_) => &self.tally.torn_sectors,
                    },
                ),
                End::Killed => (disk.restart(), &self.tally.killed),
            };
            count.fetch_add(1, Relaxed);
            if let Some(depth) = trail.len().checked_sub(1) {
                self.tally.nested[depth].fetch_add(1, Relaxed);
            }
            let mut trail = trail.to_vec();
            trail.push((disk.calls(), end));
            self.survive(&after, model.clone(), &trail);
        }
    }

    /// The log opens again, holds what it must, and goes on.
    fn survive(self: &Arc<Self>, disk: &SimDisk, mut model: Model, trail: &[(u64, End)]) {
        let replay = || self.replay(trail);
        let options = self.workload.options();
        disk.set_space(None);
        model.reader = None;
        let had_unknown = model.unknown.is_some();
        let before = model.certain.head();
        let mut disk = disk.clone();
        if self.draw().is_multiple_of(4) {
            disk = self.look_beside(&disk, &mut model, trail);
        }
        // Some recoveries are themselves crashed at each of their calls, and some of those within them.
        let nested = match trail.len() {
            1 => self.draw().is_multiple_of(20),
            2 => self.draw().is_multiple_of(60),
            _ => false,
        };
        if nested {
            let (this, watched, model, trail) = (Arc::clone(self), disk.clone(), model.clone(), trail.to_vec());
            disk.watch(Some(Arc::new(move |io| {
                if io.done && changes(io.call) {
                    this.everywhere(&watched, &model, &trail);
                }
            })));
        }
        let opened = open(&disk, &options);
        disk.watch(None);
        let (mut log, opened) = opened.unwrap_or_else(|error| panic!("I1: {error} ({})", replay()));
        hold(model.check(&mut log), &replay);
        if had_unknown && model.certain.head() > before {
            self.tally.found_done.fetch_add(1, Relaxed);
        }
        if let Some(cut) = opened.cut {
            self.tally.cut.fetch_add(1, Relaxed);
            let kept = disk.crash(Keep::Lost).bytes(&cut.kept_as).map(|bytes| bytes.len() as u64);
            assert_eq!(kept, Some(cut.bytes), "I15: what was cut is not kept ({})", replay());
        }
        let parts = workload::parts(&mut Rng::with_seed(self.draw()), 700, false);
        model.begin(&parts);
        let appended = log.append(&batch(&parts)).unwrap_or_else(|error| panic!("I1: {error} ({})", replay()));
        model.acknowledge(appended.frame);
        let closes = self.draw().is_multiple_of(2);
        if closes {
            log.close().unwrap_or_else(|error| panic!("I1: {error} ({})", replay()));
        }
        let (mut log, opened) = open(&disk.crash(Keep::Lost), &options)
            .unwrap_or_else(|error| panic!("I1: after another append: {error} ({})", replay()));
        hold(model.check(&mut log), &replay);
        assert!(opened.cut.is_none() && opened.unclean != closes, "I15: {opened:?} ({})", replay());
    }

    /// A reader without the lock looks first, and power is lost again: what it saw must stay.
    fn look_beside(&self, disk: &SimDisk, model: &mut Model, trail: &[(u64, End)]) -> SimDisk {
        match Observer::open(dir(), Arc::new(disk.clone())).map(|observer| observer.reader()) {
            Ok(reader) => {
                self.tally.beside.fetch_add(1, Relaxed);
                hold(model.check_reader(&reader), &|| format!("beside, {}", self.replay(trail)));
                model.reader = Some(reader);
                model.look();
                model.reader = None;
                disk.crash(Keep::Lost)
            }
            // There is no log yet, or not any more.
            Err(LogError::NotALog { .. } | LogError::Io { op: "list", .. }) => disk.clone(),
            Err(error) => panic!("I1: beside: {error} ({})", self.replay(trail)),
        }
    }

    fn replay(&self, trail: &[(u64, End)]) -> String {
        let Workload { name, seed, .. } = &self.workload;
        format!("replay: FACTUM_SEED={}, workload {name} of seed {seed}, after calls {trail:?}", crate::scale::seed())
    }
}

/// Whether a call can have changed what a crash leaves.
pub fn changes(call: Call) -> bool {
    !matches!(call, Call::Read | Call::Size | Call::List | Call::Open)
}

/// Runs a script and crashes it after each call and each step.
fn torture(workload: Workload, random: usize, tally: &Arc<Tally>) {
    let disk = SimDisk::new(workload.seed);
    let mut run = Run::new(&disk, &workload);
    let rng = Mutex::new(Rng::with_seed(workload.seed.rotate_left(17) ^ seed()));
    let crashes = Arc::new(Crashes { workload: workload.clone(), tally: Arc::clone(tally), rng, random });
    let (this, watched, model) = (Arc::clone(&crashes), disk.clone(), Arc::clone(&run.model));
    disk.watch(Some(Arc::new(move |io: &Io<'_>| {
        let now = {
            let mut model = model.lock().unwrap();
            model.look();
            model.clone()
        };
        if io.done && changes(io.call) {
            this.everywhere(&watched, &now, &[]);
        }
    })));
    for step in &workload.steps {
        hold(run.step(step), &|| crashes.replay(&[]));
        // Now that it is acknowledged, the same disk must do without the doubt.
        let now = run.model.lock().unwrap().clone();
        crashes.everywhere(&disk, &now, &[]);
    }
    disk.watch(None);
}

#[test]
fn nothing_acknowledged_is_lost_by_a_crash_after_any_call() {
    let tally = Arc::new(Tally::default());
    let (at_least, random) = short_or_full((1, 1), (110_000, 9));
    let mut round = 0;
    while tally.states() < at_least {
        for workload in workload::all(seed() + round) {
            torture(workload, random, &tally);
        }
        round += 1;
    }
    println!("torture crash: {tally}, 0 acknowledged lost, 0 silent losses");
    let Tally { torn_sectors, killed, nested, cut, found_done, .. } = &*tally;
    for (count, what) in [
        (torn_sectors, "torn sectors"),
        (killed, "kills"),
        (&nested[1], "crashes in a recovery of a recovery"),
        (cut, "cut tails"),
        (found_done, "unknown appends found done"),
    ] {
        assert!(count.load(Relaxed) > 0, "no {what}: the test has lost its object");
    }
}
