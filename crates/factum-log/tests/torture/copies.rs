//! Power lost, or the process killed, after every call that changes the disk while segments are archived, a backup is
//! taken or continued, and a log is restored; also while what was interrupted is done again.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use factum_log::{Disk, Log, LogError, Options, archive, backup, restore, verify};
use factum_testing::sim::disk::{Io, Keep, SimDisk};
use fastrand::Rng;

use crate::crash::changes;
use crate::model::{Model, State, batch, matches, read};
use crate::run::{dir, open};
use crate::scale::{grouped, seed, short_or_full};
use crate::workload;

/// What an operator does.
#[derive(Clone, Copy, Debug)]
enum Work {
    Archive { keep: usize },
    Backup { links: bool },
    Restore,
}

fn archived() -> &'static Path {
    Path::new("/data/archive")
}

fn backed_up() -> &'static Path {
    Path::new("/data/backup")
}

fn restored() -> &'static Path {
    Path::new("/data/restored")
}

fn options() -> Options {
    Options { segment_bytes: 4096, checkpoint_bytes: 5000, ..Options::default() }
}

impl Work {
    fn run(self, disk: &SimDisk) -> Result<(), LogError> {
        let port = Arc::new(disk.clone());
        match self {
            Self::Archive { keep } => archive(dir(), archived(), keep, port, &mut |_, _| {}).map(|_| ()),
            Self::Backup { links } => backup(dir(), backed_up(), links, port, &mut |_, _| {}).map(|_| ()),
            Self::Restore => restore(backed_up(), restored(), port, &mut |_, _| {}).map(|_| ()),
        }
    }
}

/// What everybody was told, at one moment.
#[derive(Clone, Debug)]
struct Known {
    /// All contents that the log has had, the newest last. Everything in the newest is acknowledged.
    states: Vec<Arc<State>>,
    /// From which of them on the backup may be that was last taken to its end, and up to which.
    backup: Option<(usize, usize)>,
    work: Work,
    /// Which of them was the newest when this work began; nothing if it is over.
    since: Option<usize>,
}

impl Known {
    fn newest(&self) -> &State {
        &self.states[self.states.len() - 1]
    }

    fn is_over(&self, wanted: fn(&Work) -> bool) -> bool {
        wanted(&self.work) && self.since.is_none()
    }
}

#[derive(Debug, Default)]
struct Tally {
    archiving: AtomicU64,
    backing_up: AtomicU64,
    restoring: AtomicU64,
    /// Of all these, those while something was done again.
    nested: AtomicU64,
    /// Appends between the calls of an operator.
    beside: AtomicU64,
    /// Backups that were refused because they were not finished, and those that were found whole.
    refused: AtomicU64,
    whole: AtomicU64,
    /// Restored logs that were not there, or only under their unfinished name, and those that were.
    absent: AtomicU64,
    present: AtomicU64,
}

impl Tally {
    fn states(&self) -> u64 {
        [&self.archiving, &self.backing_up, &self.restoring].iter().map(|count| count.load(Relaxed)).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: &AtomicU64| grouped(count.load(Relaxed));
        write!(
            f,
            "{} states ({} archiving, {} backing up, {} restoring; {} of them while it was done again), {} appends \
             beside, {} backups refused and {} whole, {} restored logs absent and {} present",
            grouped(self.states()),
            count(&self.archiving),
            count(&self.backing_up),
            count(&self.restoring),
            count(&self.nested),
            count(&self.beside),
            count(&self.refused),
            count(&self.whole),
            count(&self.absent),
            count(&self.present)
        )
    }
}

/// One script, crashed at so many of its calls.
struct Copies {
    script: u64,
    tally: Arc<Tally>,
    rng: Mutex<Rng>,
    /// One call of so many is looked behind.
    stride: u64,
    /// Random states after each call.
    random: usize,
}

impl Copies {
    fn draw(&self) -> u64 {
        self.rng.lock().unwrap().u64(..)
    }

    fn one_of(&self, many: u64) -> bool {
        self.draw().is_multiple_of(many)
    }

    fn replay(&self, trail: &[String]) -> String {
        format!("replay: FACTUM_SEED={}, copies {}, {}", seed(), self.script, trail.join(", then "))
    }

    /// Looks at what the disk may be after the call that was just made.
    fn everywhere(self: &Arc<Self>, disk: &SimDisk, known: &Known, trail: &[String]) {
        let mut ends = vec![Some(Keep::Lost), Some(Keep::All), None];
        let random = if trail.is_empty() { self.random } else { 1 };
        ends.extend((0..random).map(|_| Some(Keep::Some(self.draw()))));
        ends.extend((0..random.div_ceil(3)).map(|_| Some(Keep::TornSector(self.draw()))));
        for end in ends {
            let after = end.map_or_else(|| disk.restart(), |keep| disk.crash(keep));
            let count = match known.work {
                Work::Archive { .. } => &self.tally.archiving,
                Work::Backup { .. } => &self.tally.backing_up,
                Work::Restore => &self.tally.restoring,
            };
            count.fetch_add(1, Relaxed);
            self.tally.nested.fetch_add(u64::from(!trail.is_empty()), Relaxed);
            let mut trail = trail.to_vec();
            let end = end.map_or_else(|| "killed".to_owned(), |keep| format!("{keep:?}"));
            trail.push(format!("{:?} until call {}: {end}", known.work, disk.calls()));
            self.survive(&after, known.clone(), &trail);
        }
    }

    /// Nothing is lost, copies are whole or refused, and what was interrupted can be done again.
    fn survive(self: &Arc<Self>, disk: &SimDisk, mut known: Known, trail: &[String]) {
        let replay = || self.replay(trail);
        let wrong = |what: &str| panic!("{what} ({})", replay());
        let report = verify(dir(), Arc::new(disk.clone()), &mut |_, _| {});
        let report = report.unwrap_or_else(|error| panic!("I15: verify: {error} ({})", replay()));
        assert_eq!(report.damage, [], "I15: verify ({})", replay());
        assert_eq!(report.entries, known.newest().head(), "I1: verify ({})", replay());
        let found = self.backup(disk, &known, &replay);
        if known.backup.is_some() && (!matches!(known.work, Work::Backup { .. }) || known.since.is_none()) {
            found.unwrap_or_else(|| wrong("I1: a finished backup is not whole"));
        }
        self.restored(disk, &known, &replay);

        let mut log = self.original(disk, &known, &replay);
        if self.one_of(2) {
            let mut model = Model::of(known.newest());
            append(&mut log, &mut model, &mut Rng::with_seed(self.draw()));
            known.states.push(Arc::new(model.certain));
        }
        if self.one_of(2) {
            log.close().unwrap_or_else(|error| panic!("I1: {error} ({})", replay()));
        }
        // Done again; which may be interrupted too. Until then a backup may be the one that was nearly done before.
        known.since = known.since.or(Some(known.states.len() - 1));
        if trail.len() == 1 && self.one_of(40) {
            let (this, watched, known, trail) = (Arc::clone(self), disk.clone(), known.clone(), trail.to_vec());
            disk.watch(Some(Arc::new(move |io| {
                if io.done && changes(io.call) && this.one_of(6) {
                    this.everywhere(&watched, &known, &trail);
                }
            })));
        }
        let again = known.work.run(disk);
        disk.watch(None);
        match again {
            Ok(()) => {}
            // The name was durable already, so it is whole.
            Err(LogError::NotALog { dir }) if matches!(known.work, Work::Restore) && dir == restored() => {}
            Err(error) => wrong(&format!("I6: what was interrupted cannot be done again: {error}")),
        }
        if let Work::Backup { .. } = known.work {
            known.backup = Some((known.states.len() - 1, known.states.len()));
        }
        known.since = None;
        let disk = disk.crash(Keep::Lost);
        if known.backup.is_some() && self.backup(&disk, &known, &replay).is_none() {
            wrong("I1: a backup that was done again is not whole");
        }
        self.restored(&disk, &known, &replay);
        drop(self.original(&disk, &known, &replay));
    }

    /// The log itself opens and holds all that was acknowledged.
    fn original(&self, disk: &SimDisk, known: &Known, replay: &dyn Fn() -> String) -> Log {
        let (log, opened) = open(disk, &options()).unwrap_or_else(|error| panic!("I1: {error} ({})", replay()));
        let found = read(&log.reader()).unwrap_or_else(|error| panic!("I1: {error} ({})", replay()));
        matches(known.newest(), &found).unwrap_or_else(|problem| panic!("{problem} ({})", replay()));
        assert!(opened.unusable.is_empty(), "I15: {opened:?} ({})", replay());
        log
    }

    /// Whether the backup is whole: verify and restore agree about it, and it is one of those that it can be.
    fn backup(&self, disk: &SimDisk, known: &Known, replay: &dyn Fn() -> String) -> Option<()> {
        let port = || Arc::new(disk.restart());
        let under_way = known.since.filter(|_| matches!(known.work, Work::Backup { .. }));
        if port().list(backed_up()).is_err() {
            return None;
        }
        let verified = verify(backed_up(), port(), &mut |_, _| {});
        let verified = verified.is_ok_and(|report| report.damage.is_empty() && report.unfinished.is_none());
        let trial = port();
        let place = Path::new("/data/trial");
        let copied = restore(backed_up(), place, Arc::clone(&trial) as Arc<dyn Disk>, &mut |_, _| {});
        assert_eq!(verified, copied.is_ok(), "I15: verify and restore do not agree: {copied:?} ({})", replay());
        if copied.is_err() {
            self.tally.refused.fetch_add(1, Relaxed);
            return None;
        }
        self.tally.whole.fetch_add(1, Relaxed);
        let (from, to) = known.backup.unwrap_or_default();
        let may = known.states[from..to].iter().chain(&known.states[under_way.unwrap_or(known.states.len())..]);
        self.holds_one_of(&trial, place, may, replay);
        Some(())
    }

    /// A restored log is whole, or not there.
    fn restored(&self, disk: &SimDisk, known: &Known, replay: &dyn Fn() -> String) {
        let is_there = disk.list(restored()).is_ok_and(|names| !names.is_empty());
        let is_over = known.is_over(|work| matches!(work, Work::Restore));
        assert!(is_there || !is_over, "I1: a restored log is gone ({})", replay());
        let Some((from, to)) = known.backup.filter(|_| is_there) else {
            self.tally.absent.fetch_add(u64::from(matches!(known.work, Work::Restore)), Relaxed);
            return;
        };
        self.tally.present.fetch_add(1, Relaxed);
        self.holds_one_of(&disk.restart(), restored(), known.states[from..to].iter(), replay);
    }

    /// A copy opens, holds one of the contents that it may, and takes another append.
    fn holds_one_of<'a>(
        &self,
        disk: &SimDisk,
        place: &Path,
        mut may: impl Iterator<Item = &'a Arc<State>>,
        replay: &dyn Fn() -> String,
    ) {
        let port = || Arc::new(disk.clone());
        let report = verify(place, port(), &mut |_, _| {});
        let report =
            report.unwrap_or_else(|error| panic!("I15: verify of {}: {error} ({})", place.display(), replay()));
        assert_eq!((report.damage, report.unfinished), (vec![], None), "I15: {} ({})", place.display(), replay());
        let opened = Log::open(place, Options { disk: port(), ..options() });
        let (mut log, opened) = opened.unwrap_or_else(|error| panic!("I1: a copy: {error} ({})", replay()));
        assert_eq!(opened.cut, None, "I15: a copy ({})", replay());
        assert!(log.lineage().epoch > 1, "I3: a restored log has the epoch of its original ({})", replay());
        let found = read(&log.reader()).unwrap_or_else(|error| panic!("I1: a copy: {error} ({})", replay()));
        let state = may.find(|state| matches(state, &found).is_ok());
        let state =
            state.unwrap_or_else(|| panic!("I1: a copy holds {} entries of no moment ({})", log.head(), replay()));
        let mut model = Model::of(state);
        append(&mut log, &mut model, &mut Rng::with_seed(self.draw()));
        let found = read(&log.reader()).unwrap_or_else(|error| panic!("I1: a copy: {error} ({})", replay()));
        matches(&model.certain, &found).unwrap_or_else(|problem| panic!("a copy: {problem} ({})", replay()));
    }
}

fn append(log: &mut Log, model: &mut Model, rng: &mut Rng) {
    let parts = workload::parts(rng, 400, false);
    model.begin(&parts);
    let appended = log.append(&batch(&parts)).unwrap_or_else(|error| panic!("I1: {error}"));
    model.acknowledge(appended.frame);
}

/// The log that is copied, and what is known.
struct Source {
    log: Log,
    model: Model,
    rng: Rng,
    known: Known,
}

impl Source {
    fn append(&mut self, times: usize) {
        for _ in 0..times {
            append(&mut self.log, &mut self.model, &mut self.rng);
            self.known.states.push(Arc::new(self.model.certain.clone()));
        }
    }
}

/// Runs a script and crashes it at its calls. A batch is appended now and then between two of them.
fn torture(script: u64, stride: u64, random: usize, tally: &Arc<Tally>) {
    let disk = SimDisk::new(script);
    let (log, _) = open(&disk, &options()).unwrap();
    let mut rng = Rng::with_seed(script ^ seed().rotate_left(40));
    let copies = Arc::new(Copies { script, tally: Arc::clone(tally), rng: Mutex::new(rng.fork()), stride, random });
    let work = [
        Work::Backup { links: rng.bool() },
        Work::Archive { keep: rng.usize(1..3) },
        Work::Backup { links: rng.bool() },
        Work::Archive { keep: rng.usize(..2) },
        Work::Backup { links: rng.bool() },
        Work::Restore,
    ];
    let known = Known { states: vec![Arc::default()], backup: None, work: work[0], since: None };
    let source = Arc::new(Mutex::new(Source { log, model: Model::default(), rng: rng.fork(), known }));
    source.lock().unwrap().append(12);
    for work in work {
        let since = {
            let mut source = source.lock().unwrap();
            // Sometimes there is nothing new.
            let more = if rng.u8(..5) == 0 { 0 } else { rng.usize(1..5) };
            source.append(more);
            let since = source.known.states.len() - 1;
            (source.known.work, source.known.since) = (work, Some(since));
            since
        };
        let (this, watched, shared) = (Arc::clone(&copies), disk.clone(), Arc::clone(&source));
        disk.watch(Some(Arc::new(move |io: &Io<'_>| {
            if this.one_of(12) {
                shared.lock().unwrap().append(1);
                this.tally.beside.fetch_add(1, Relaxed);
            }
            if io.done && changes(io.call) && this.one_of(this.stride) {
                let known = shared.lock().unwrap().known.clone();
                this.everywhere(&watched, &known, &[]);
            }
        })));
        let done = work.run(&disk);
        disk.watch(None);
        done.unwrap_or_else(|error| panic!("{work:?}: {error} ({})", copies.replay(&[])));
        let known = {
            let Source { known, .. } = &mut *source.lock().unwrap();
            if let Work::Backup { .. } = work {
                known.backup = Some((since, known.states.len()));
            }
            known.since = None;
            known.clone()
        };
        copies.everywhere(&disk, &known, &[]);
    }
}

#[test]
fn copies_are_whole_or_refused_and_nothing_is_lost_by_a_crash_while_they_are_made() {
    let tally = Arc::new(Tally::default());
    let (at_least, stride, random) = short_or_full((1, 9, 1), (20_000, 1, 3));
    let mut script = 0;
    while tally.states() < at_least {
        torture(script, stride, random, &tally);
        script += 1;
    }
    println!("torture copies: {script} scripts, {tally}, 0 acknowledged lost, 0 copies of no moment");
    let Tally { archiving, backing_up, restoring, nested, beside, refused, whole, absent, present } = &*tally;
    for (count, what) in [
        (archiving, "crash while archiving"),
        (backing_up, "crash while backing up"),
        (restoring, "crash while restoring"),
        (nested, "crash while something was done again"),
        (beside, "append between two calls"),
        (refused, "backup refused"),
        (whole, "backup whole"),
        (absent, "restored log absent"),
        (present, "restored log present"),
    ] {
        assert!(count.load(Relaxed) > 0, "no {what}: the test has lost its object");
    }
}
