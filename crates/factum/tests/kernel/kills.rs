//! Kill -9 under load, again and again on the same directory: while it opens, while it runs, while it closes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use fastrand::Rng;
use tempfile::TempDir;

use crate::{
    Outcome,
    bank_check::{self, Bank},
    child::{Ended, Level, Order, Phase},
    count,
    history::{Counts, History},
    log_check::{self, Found, Look},
    report::Report,
    seed,
};

/// A directory is left for a new one when its files are longer, so that readings stay short.
const LONGEST: u64 = 24 << 20;
/// Writers on a directory at most.
const MOST_WRITERS: u64 = 40;
/// Numbers that a writer may use.
const NUMBERS: u64 = 1 << 32;
/// More writes than a writer gets to before it is ended.
pub const MANY: u64 = 1 << 24;

/// A directory with all that the recorder knows of it.
pub struct Subject {
    pub level: Level,
    dir: PathBuf,
    writers: u64,
    log: History,
    bank: Bank,
}

impl Subject {
    pub fn new(level: Level, dir: &Path) -> Self {
        Self { level, dir: dir.to_owned(), writers: 0, log: History::default(), bank: Bank::default() }
    }

    /// The order for the next writer.
    pub fn order(&mut self, writes: u64) -> Order<'_> {
        self.writers += 1;
        let again = self.bank.again.iter().copied().take(64).collect();
        Order { level: self.level, dir: &self.dir, first: self.writers * NUMBERS, writes, again }
    }

    /// Takes in what a writer told that has ended.
    pub fn hear(&mut self, ended: &Ended) {
        assert!(!ended.errors.contains("panicked"), "a writer panicked: {}", ended.errors);
        self.history().hear(&ended.reports);
    }

    fn history(&mut self) -> &mut History {
        match self.level {
            Level::Log => &mut self.log,
            Level::App => &mut self.bank.history,
        }
    }

    /// Checks all invariants, in a way that is drawn: beside everybody, or by opening, going on and closing.
    pub fn check(&mut self, rng: &mut Rng) -> Found {
        match (self.level, rng.u32(..6)) {
            (Level::Log, 0..3) => self.check_log(Look::Beside),
            (Level::Log, _) => self.check_log(Look::Reopen),
            (Level::App, 0..3) => bank_check::look(&self.dir, &mut self.bank),
            (Level::App, drawn) => bank_check::check(&self.dir, drawn == 3, &mut self.bank),
        }
    }

    /// Checks by opening, going on and closing.
    pub fn check_at_rest(&mut self) -> Found {
        match self.level {
            Level::Log => self.check_log(Look::Reopen),
            Level::App => bank_check::check(&self.dir, true, &mut self.bank),
        }
    }

    fn check_log(&mut self, look: Look) -> Found {
        self.writers += 1;
        log_check::check(&self.dir, look, &mut self.log, self.writers * NUMBERS)
    }

    /// Whether there is a log to look at: a writer that ended early enough has made none.
    pub fn is_there(&self) -> bool {
        !self.segments().is_empty()
    }

    /// The names of the log's segments.
    pub fn segments(&self) -> BTreeSet<String> {
        names(&self.log_dir()).into_iter().filter(|name| name.ends_with(".segment")).collect()
    }

    /// Where the log lies.
    pub fn log_dir(&self) -> PathBuf {
        match self.level {
            Level::Log => self.dir.clone(),
            Level::App => self.dir.join("log"),
        }
    }

    /// Whether it is time for a new directory.
    pub fn is_long(&mut self) -> bool {
        let sizes = names(&self.log_dir()).into_iter().map(|name| self.log_dir().join(name));
        let long: u64 = sizes.filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum();
        let most = if self.level == Level::Log { LONGEST } else { 6 * LONGEST };
        long > most || self.writers > MOST_WRITERS
    }

    /// Ends with it: the last check, and what happened on it.
    pub fn end(mut self) -> Counts {
        if self.is_there() {
            self.check_at_rest();
        }
        self.history().counts
    }
}

/// The names in a directory.
pub fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What the faults of a run hit.
#[derive(Default)]
pub struct Hits {
    pub opening: u64,
    pub running: u64,
    pub closing: u64,
    pub ended: u64,
    /// Faults that left the remains of an append, of a segment being made ahead, of a checkpoint.
    pub unfinished: u64,
    pub spare: u64,
    pub checkpoint: u64,
    /// Segments begun; faults at the moment when one got its name; names of segments that a fault took away. Counted
    /// for power cuts.
    pub rolls: u64,
    pub rolling: u64,
    pub unnamed: u64,
}

impl Hits {
    pub fn note(&mut self, ended: &Ended, log: &Path) {
        *match ended.phase() {
            Phase::Opening => &mut self.opening,
            Phase::Running => &mut self.running,
            Phase::Closing => &mut self.closing,
            Phase::Ended => &mut self.ended,
        } += 1;
        let names = names(log);
        let has = |wanted: &[&str]| u64::from(names.iter().any(|name| wanted.contains(&name.as_str())));
        self.spare += has(&["spare.tmp", "next.tmp"]);
        self.checkpoint += has(&["checkpoint.tmp"]);
    }
}

impl std::fmt::Display for Hits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { opening, running, closing, ended, unfinished, spare, checkpoint, rolls, rolling, unnamed } = self;
        write!(
            f,
            "{opening} during opening, {running} under load, {closing} during closing, {ended} when it had ended; \
             {unfinished} left an unfinished append, {spare} a segment half made, {checkpoint} a checkpoint half made"
        )?;
        match rolls {
            0 => Ok(()),
            _ => write!(f, "; {rolls} segments begun, {rolling} faults at a roll, {unnamed} new names lost"),
        }
    }
}

/// The kills of one level.
pub fn run(level: Level) -> Outcome {
    let kills = count("FACTUM_KILLS", 20);
    let mut rng = Rng::with_seed(seed(&format!("kills of the {level:?}")));
    let (mut hits, mut counts) = (Hits::default(), Counts::default());
    let mut opens_in = Duration::from_millis(10);
    let mut temp = TempDir::new().unwrap();
    let mut subject = Subject::new(level, &temp.path().join("data"));
    for _ in 0..kills {
        if subject.is_long() {
            counts.add(subject.end());
            temp = TempDir::new().unwrap();
            subject = Subject::new(level, &temp.path().join("data"));
        }
        let aim = match rng.u32(..20) {
            0..5 => Phase::Opening,
            5..17 => Phase::Running,
            _ => Phase::Closing,
        };
        let writes = if aim == Phase::Closing { rng.u64(1..60) } else { MANY };
        let mut writer = subject.order(writes).start(&[]);
        let moment = match aim {
            Phase::Opening => opens_in.mul_f64(rng.f64() * 1.2),
            Phase::Running => {
                opens_in = writer.wait_for(Phase::Running);
                Duration::from_micros(rng.u64(..150_000))
            }
            Phase::Closing | Phase::Ended => {
                writer.wait_for(Phase::Closing);
                Duration::from_micros(rng.u64(..4_000))
            }
        };
        // The moment is what is drawn; there is nothing to wait for.
        thread::sleep(moment);
        let ended = writer.kill();
        hits.note(&ended, &subject.log_dir());
        let refused = |report: &&Report| matches!(report, Report::Closed { .. } | Report::Unknown { .. });
        assert_eq!(ended.reports.iter().find(refused), None, "I15: a kill is no damage and no failure");
        subject.hear(&ended);
        if subject.is_there() {
            hits.unfinished += u64::from(subject.check(&mut rng).unfinished);
        }
    }
    counts.add(subject.end());
    println!("kernel: {kills} kills of the {level:?} ({hits}), {counts}");
    assert!(hits.running > 0, "no kill hit a running writer, so nothing was tested");
    assert!(counts.acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    Outcome::Passed
}
