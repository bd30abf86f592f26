//! Two years in three zones, under kills, failing writes, standstill and a clock that is set forward and back: each
//! occurrence has one ending, and the one that the policy says.

use std::collections::BTreeMap;

use factum_core::{
    ports::Clock as _,
    schedule::{How as Ran, Reason, Times},
};
use factum_runtime::clock::DataClock;
use fastrand::Rng;
use jiff::{SignedDuration, tz::AmbiguousOffset};

use super::*;

/// Seeds on every change; `FACTUM_SEEDS` for more.
const SEEDS: u64 = 3;
const TOLERANCE: Duration = Duration::from_secs(60);
const JITTER: Duration = Duration::from_secs(300);
const END: &str = "2028-01-02T03:04:05Z";

/// Zone, hour and minute of each night, policy. Each of the times falls into a gap of its zone, or comes twice.
const NIGHTS: [(&str, &str, i8, i8, Missed); 6] = [
    ("london-1", "Europe/London", 1, 30, Missed::RunLast),
    ("london-2", "Europe/London", 1, 0, Missed::Skip),
    ("york-1", "America/New_York", 2, 30, Missed::RunAll),
    ("york-2", "America/New_York", 1, 30, Missed::RunLast),
    ("howe-1", "Australia/Lord_Howe", 2, 15, Missed::Skip),
    ("howe-2", "Australia/Lord_Howe", 1, 45, Missed::RunAll),
];

fn services() -> Vec<Service> {
    books_by(NIGHTS.map(|(name, zone, hour, minute, missed)| {
        Schedule::cron(name, &format!("{minute} {hour} * * *"))
            .zone(zone)
            .jitter(JITTER)
            .late_after(TOLERANCE)
            .missed(missed)
            // One that is on time waits for the late ones before it.
            .overlapping(Overlap::QueueOne)
            .done_by::<Noted>()
            .sends(noting(1))
    }))
}

/// The nights of a zone, found without patterns: the first moment of each day that the clock shows this time or a later one.
fn nights(zone: &str, hour: i8, minute: i8) -> Vec<Timestamp> {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap();
    // The last jump may lead beyond the end.
    let end = END.parse::<Timestamp>().unwrap() + Duration::from_secs(30 * 86_400);
    let mut day = NOW.to_zoned(zone.clone()).date();
    let mut found = Vec::new();
    while found.last().is_none_or(|last| *last <= end) {
        let time = zone.to_ambiguous_timestamp(day.at(hour, minute, 0, 0));
        let time = match time.offset() {
            AmbiguousOffset::Gap { .. } => {
                let before = time.earlier().unwrap() - Duration::from_secs(86_400);
                zone.following(before).next().unwrap().timestamp()
            }
            _ => time.earlier().unwrap(),
        };
        found.push(time);
        day = day.tomorrow().unwrap();
    }
    found.retain(|time| (NOW..=end).contains(time) && *time > NOW);
    found
}

/// A moment at which the engine came to rest, and whether it may have been at work before that without finishing.
struct Moment {
    at: Timestamp,
    is_sure: bool,
}

/// Lives through two years.
struct Life {
    bench: Option<Bench>,
    random: Rng,
    moments: Vec<Moment>,
}

impl Life {
    fn bench(&mut self) -> &mut Bench {
        self.bench.as_mut().unwrap()
    }

    fn now(&mut self) -> Timestamp {
        self.bench().clock.mark()
    }

    /// Works until there is nothing to do; a write may fail, and then the program starts again.
    fn works(&mut self) {
        loop {
            match self.bench().engine.step() {
                Ok(factum_runtime::engine::Step::Rest) => break,
                Ok(_) => {}
                Err(_) => self.restarts(),
            }
        }
        let at = self.now();
        self.moments.push(Moment { at, is_sure: true });
    }

    fn restarts(&mut self) {
        self.bench = self.bench.take().map(|bench| bench.restart(services()));
    }

    /// The process ends in the midst of its work.
    fn dies(&mut self) {
        for _ in 0..self.random.usize(..12) {
            if self.bench().engine.step().is_err() {
                break;
            }
        }
        let at = self.now();
        self.moments.push(Moment { at, is_sure: false });
    }

    fn passes(&mut self, time: Duration) {
        let to = self.now() + time;
        self.bench().clock.advance(to);
    }

    fn lives(&mut self, end: Timestamp) {
        self.works();
        while self.now() < end {
            match self.random.u8(..20) {
                // It stands still, is down, or its clock is set forward.
                0 => {
                    let secs = self.random.u64(..400_000);
                    self.passes(Duration::from_secs(secs));
                }
                1 => {
                    self.dies();
                    let secs = self.random.u64(..200_000);
                    self.passes(Duration::from_secs(secs));
                    self.restarts();
                }
                // The clock is set back; a process that runs does not see it.
                2 => {
                    let back = self.now() - Duration::from_secs(self.random.u64(..20_000));
                    let clock = DataClock::default();
                    clock.advance(back);
                    self.bench().clock = clock;
                    self.restarts();
                }
                3 => {
                    let faults = [Fault::Transient, Fault::UnknownLost, Fault::UnknownWritten];
                    let write = self.bench().faults.writes() + self.random.usize(1..8);
                    let fault = faults[self.random.usize(..3)];
                    self.bench().faults.at(write, fault);
                }
                // It goes on to what is due next, more or less on time.
                _ => {
                    let late = Duration::from_millis(self.random.u64(..70_000));
                    let due = self.bench().engine.next_timer().unwrap_or(end);
                    let (now, due) = (self.now(), due + late);
                    self.passes(Duration::try_from(due.duration_since(now)).unwrap_or_default());
                }
            }
            self.works();
        }
        // What is due is done, and nothing goes wrong any more.
        self.works();
    }
}

/// How an occurrence ended, and when.
type Ended = (Result<Ran, Reason>, Timestamp);

/// How a schedule's occurrences ended, as its stream says.
fn endings(bench: &Bench, name: &str, nights: &[Timestamp]) -> BTreeMap<Timestamp, Vec<Ended>> {
    let mut endings: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for stored in bench.stream(&format!("schedule-books.{name}")) {
        let at = stored.envelope().timestamp;
        match (stored.envelope().kind, stored.type_name()) {
            (Kind::Event, "schedule.ran") => {
                let ran = stored.decode::<ScheduleRan>().unwrap();
                endings.entry(ran.scheduled).or_default().push((Ok(ran.how), at));
            }
            (Kind::Event, "schedule.skipped") => {
                let it = stored.decode::<factum_core::schedule::ScheduleSkipped>().unwrap();
                let among: Vec<_> = nights.iter().filter(|night| (it.from..=it.to).contains(night)).collect();
                assert_eq!(among.len() as u64, it.count, "{it:?}");
                among.into_iter().for_each(|night| endings.entry(*night).or_default().push((Err(it.reason), at)));
            }
            _ => {}
        }
    }
    endings
}

/// What must have become of each occurrence, where the moments leave no doubt.
fn expected(due: &[Timestamp], moments: &[Moment], missed: Missed) -> Vec<Option<Result<Ran, Reason>>> {
    let seen = |due: &Timestamp| {
        let at = moments.iter().position(|moment| moment.at >= *due)?;
        moments[at]
            .is_sure
            .then_some((at, moments[at].at.duration_since(*due) <= SignedDuration::try_from(TOLERANCE).unwrap()))
    };
    let seen: Vec<Option<(usize, bool)>> = due.iter().map(seen).collect();
    let of = |index: usize| {
        let (at, in_time) = seen[index]?;
        if in_time {
            return Some(Ok(Ran::OnTime));
        }
        // Another one that is seen at the same time runs in its place.
        let next = seen.get(index + 1).copied().flatten().is_some_and(|(other, _)| other == at);
        Some(match missed {
            Missed::Skip => Err(Reason::Missed),
            Missed::RunLast if next => Err(Reason::Missed),
            Missed::RunLast | Missed::RunAll => Ok(Ran::Late),
        })
    };
    (0..due.len()).map(of).collect()
}

fn check(bench: &Bench, moments: &[Moment], seed: u64) -> (usize, usize) {
    let (end, mut sure, mut all) = (bench.clock.mark(), 0, 0);
    let definitions = services();
    let noted = bench.log().into_iter().filter(|stored| stored.type_name() == "book.noted");
    let noted: Vec<String> = noted.map(|stored| stored.envelope().correlation_id.to_string()).collect();
    let mut ran = 0;
    for ((name, zone, hour, minute, missed), declared) in NIGHTS.into_iter().zip(&definitions[0].schedules) {
        let times = Times::of(&declared.definition).unwrap();
        let nights = nights(zone, hour, minute);
        let last = moments.iter().filter(|it| it.is_sure).map(|it| it.at).max().unwrap().max(end);
        let due: Vec<Timestamp> = nights.iter().map(|night| times.due(&declared.name, *night)).collect();
        let found = endings(bench, name, &nights);
        let expected = expected(&due, moments, missed);
        for ((night, due), expected) in nights.iter().zip(&due).zip(expected).filter(|((_, due), _)| **due <= last) {
            let what = format!("seed {seed}: {name} at {night}, due {due}");
            let Some([(ending, at)]) = found.get(night).map(Vec::as_slice) else {
                panic!("S1: {what}: not one ending, but {:?}", found.get(night));
            };
            let late = at.duration_since(*due) > SignedDuration::try_from(TOLERANCE).unwrap();
            match ending {
                Ok(Ran::OnTime) => assert!(*at >= *due && !late, "S1: {what}: ran on time at {at}"),
                Ok(how) => assert!(*how == Ran::Late && late && missed != Missed::Skip, "S1: {what}: {how:?} at {at}"),
                Err(reason) => assert!(*reason == Reason::Missed && missed != Missed::RunAll, "S1: {what}: {reason:?}"),
            }
            all += 1;
            if let Some(expected) = expected {
                assert_eq!(*ending, expected, "S1: {what}, ended at {at}");
                sure += 1;
            }
        }
        for stored in bench.stream(&format!("schedule-books.{name}")) {
            if stored.envelope().kind == Kind::Event && stored.type_name() == "schedule.ran" {
                let began = stored.decode::<ScheduleRan>().unwrap().correlation_id;
                assert_eq!(noted.iter().filter(|it| **it == began).count(), 1, "S1: seed {seed}: {name} sent it once");
                ran += 1;
            }
        }
        assert_eq!(state(bench, &format!("books.{name}")).under_way, [], "S1: seed {seed}: {name}");
    }
    assert_eq!(noted.len(), ran, "S1: seed {seed}");
    bench.check_versions();
    (sure, all)
}

#[test]
fn each_occurrence_of_two_years_has_the_one_ending_that_its_policy_says() {
    let seeds = std::env::var("FACTUM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        println!("seed {seed}");
        let mut how = live();
        how.seed = (seed % 2 == 1).then_some(seed);
        let mut life =
            Life { bench: Some(Bench::with(services(), how)), random: Rng::with_seed(seed), moments: Vec::new() };
        life.lives(END.parse().unwrap());
        let bench = life.bench.take().unwrap();
        let (sure, all) = check(&bench, &life.moments, seed);
        assert!(all > 4_000 && sure * 10 > all * 8, "seed {seed}: {sure} of {all}");
    }
}
