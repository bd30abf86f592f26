//! The times of a schedule, computed: the next one, and those between two moments, which may be millions.

use std::{collections::VecDeque, sync::OnceLock};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    SignedDuration, Span, Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};
use xxhash_rust::xxh3::Xxh3;

use super::definition::{Definition, When};

/// Dates of a calendar, and days on which there is nothing.
const MAX_DATES: usize = 10_000;
/// The last ones of a stretch that are known by their times.
pub(super) const TAIL: usize = 101;
/// Times that are counted one by one at once.
pub(super) const LOOKED_AT: usize = 50_000;
const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);
const NANOS: i128 = 1_000_000_000;

/// See the module.
pub struct Times {
    kind: Kind,
    zone: TimeZone,
    /// Days without occurrences, from their first moment to that of the next day; in order, none touches another.
    left_out: Vec<(Timestamp, Timestamp)>,
    jitter_secs: u64,
}

enum Kind {
    /// A pattern of which minute or hour is `*` or `*/n`: it goes by what the clock shows.
    Shown(Box<Cron>),
    /// Any other pattern: each of its times is once a day.
    Fixed(Box<Cron>),
    Every {
        nanos: i128,
        from: i128,
    },
    On(Vec<Timestamp>),
}

/// The times between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) count: u64,
    pub(super) first: Option<Timestamp>,
    /// The last ones, in order: all, if there are no more than [`TAIL`].
    pub(super) tail: VecDeque<Timestamp>,
    /// There are more behind the last one; they were not looked at.
    pub(super) more: bool,
}

impl Stretch {
    pub(super) fn add(&mut self, time: Timestamp) {
        self.count += 1;
        self.first.get_or_insert(time);
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(time);
    }

    pub(super) fn last(&self) -> Option<Timestamp> {
        self.tail.back().copied()
    }
}

impl Times {
    /// The times of a definition.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn of(definition: &Definition) -> Result<Self, String> {
        let Definition { when, zone: name, not_on, jitter_secs, late_after_secs, within_secs, .. } = definition;
        let zone = zone(name)?;
        let mut left_out = Vec::new();
        too_many("days on which it does not occur", not_on.len())?;
        for day in not_on {
            left_out.push(whole_day(&zone, *day)?);
        }
        const YEAR_SECS: u64 = 366 * 86_400;
        if [jitter_secs, late_after_secs, within_secs].into_iter().any(|secs| *secs > YEAR_SECS) {
            return Err("jitter, tolerance and limit are at most a year: name a shorter time".to_owned());
        }
        let kind = match when {
            When::Cron(pattern) => {
                let cron = Box::new(cron(pattern)?);
                let by_star = cron.pattern.minutes.from_wildcard || cron.pattern.hours.from_wildcard;
                if by_star { Kind::Shown(cron) } else { Kind::Fixed(cron) }
            }
            When::Every { secs, .. } if *secs == 0 || *secs > YEAR_SECS => {
                return Err("the time between two occurrences is at least a second and at most a year".to_owned());
            }
            When::Every { secs, from } => Kind::Every { nanos: i128::from(*secs) * NANOS, from: from.as_nanosecond() },
            When::On(times) => {
                too_many("times of its calendar", times.len())?;
                let at = |time: &DateTime| time.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
                let times: Result<Vec<Timestamp>, _> = times.iter().map(at).collect();
                let mut times = times.map_err(|error| format!("a time of its calendar is not one: {error}"))?;
                times.sort_unstable();
                times.dedup();
                Kind::On(times)
            }
        };
        let times = Self { kind, zone, left_out: joined(left_out), jitter_secs: *jitter_secs };
        // Any time will do: a pattern that occurs at all occurs within a few years.
        if times.next(Timestamp::UNIX_EPOCH).is_none() {
            return Err("it never occurs: name a day that there is".to_owned());
        }
        Ok(times)
    }

    /// The time zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first time behind a moment; nothing if there is no more.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut after = after;
        loop {
            let time = self.next_of_all(after)?;
            match self.left_out_at(time) {
                None => return Some(time),
                Some((_, end)) => after = end.checked_sub(NANOSECOND).ok()?,
            }
        }
    }

    /// Whether it occurs then.
    pub fn contains(&self, time: Timestamp) -> bool {
        let before = time.checked_sub(NANOSECOND).ok();
        before.and_then(|before| self.next(before)) == Some(time)
    }

    /// When an occurrence of a schedule of that name is due: at its time, or as much later as its name and time say, and no
    /// later than the time of the next one: so none that waits for its turn is late.
    pub fn due(&self, name: &str, scheduled: Timestamp) -> Timestamp {
        if self.jitter_secs == 0 {
            return scheduled;
        }
        let until_next = self.next(scheduled).map(|next| next.duration_since(scheduled).as_secs().unsigned_abs());
        let most_secs = until_next.map_or(self.jitter_secs, |until_next| until_next.min(self.jitter_secs));
        let mut hash = Xxh3::new();
        hash.update(name.as_bytes());
        hash.update(&scheduled.as_nanosecond().to_le_bytes());
        let millis = hash.digest() % (most_secs * 1_000 + 1);
        scheduled.saturating_add(SignedDuration::from_millis(millis.cast_signed())).unwrap_or(Timestamp::MAX)
    }

    /// The times behind one moment, up to another. Those of a pattern are counted one by one, so many at most.
    pub(super) fn between(&self, after: Timestamp, until: Timestamp, most: usize) -> Stretch {
        if let Kind::Every { nanos, from } = self.kind {
            return self.evenly(after, until, (nanos, from));
        }
        let mut stretch = Stretch::default();
        let mut time = self.next(after);
        while let Some(found) = time.filter(|time| *time <= until) {
            if stretch.count >= most as u64 {
                stretch.more = true;
                break;
            }
            stretch.add(found);
            time = self.next(found);
        }
        stretch
    }

    /// Of equal distances nothing need be counted.
    fn evenly(&self, after: Timestamp, until: Timestamp, (nanos, from): (i128, i128)) -> Stretch {
        let mut stretch = Stretch { first: self.next(after).filter(|first| *first <= until), ..Stretch::default() };
        if stretch.first.is_none() {
            return stretch;
        }
        let (after, until) = (after.as_nanosecond(), until.as_nanosecond());
        let among = |after: i128, until: i128| {
            if until <= after { 0 } else { (until - from).div_euclid(nanos) - (after - from).div_euclid(nanos) }
        };
        let mut count = among(after, until);
        for (start, end) in &self.left_out {
            count -= among(after.max(start.as_nanosecond() - 1), until.min(end.as_nanosecond() - 1));
        }
        stretch.count = u64::try_from(count).unwrap_or_default();
        let mut last = until;
        while stretch.tail.len() < TAIL {
            let time = from + (last - from).div_euclid(nanos) * nanos;
            let Some(time) = Timestamp::from_nanosecond(time).ok().filter(|_| time > after) else { break };
            last = match self.left_out_at(time) {
                Some((start, _)) => start.as_nanosecond() - 1,
                None => {
                    stretch.tail.push_front(time);
                    time.as_nanosecond() - 1
                }
            };
        }
        stretch
    }

    fn next_of_all(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::On(times) => times.get(times.partition_point(|time| *time <= after)).copied(),
            Kind::Every { nanos, from } => {
                let next = from + ((after.as_nanosecond() - from).div_euclid(*nanos) + 1) * nanos;
                Timestamp::from_nanosecond(next).ok()
            }
            Kind::Shown(cron) => {
                let found = cron.find_next_occurrence(&after.to_zoned(self.zone.clone()), false).ok()?;
                Some(found.timestamp()).filter(|time| *time > after)
            }
            Kind::Fixed(cron) => self.next_fixed(cron, after),
        }
    }

    /// The pattern is asked for times of a calendar without changes of clocks; each is once in the zone.
    fn next_fixed(&self, cron: &Cron, after: Timestamp) -> Option<Timestamp> {
        let mut time = after.to_zoned(self.zone.clone()).datetime();
        loop {
            time = cron.find_next_occurrence(&time.to_zoned(TimeZone::UTC).ok()?, false).ok()?.datetime();
            // Where the clock goes back, what it shows for the second time has been.
            if let Some(found) = Some(self.once(time)?).filter(|found| *found > after) {
                return Some(found);
            }
        }
    }

    /// When it is that time in the zone: the first time of two, and right behind the gap where the clock leaves it out.
    fn once(&self, time: DateTime) -> Option<Timestamp> {
        let found = self.zone.to_ambiguous_timestamp(time);
        let earlier = found.earlier().ok();
        match found.offset() {
            AmbiguousOffset::Gap { .. } => Some(self.zone.following(earlier?).next()?.timestamp()),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => earlier,
        }
    }

    fn left_out_at(&self, time: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let behind = self.left_out.partition_point(|(start, _)| *start <= time);
        let day = *self.left_out.get(behind.checked_sub(1)?)?;
        (time < day.1).then_some(day)
    }
}

/// By the database that is compiled in: the same on every machine.
fn zone(name: &str) -> Result<TimeZone, String> {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    let zones = ZONES.get_or_init(TimeZoneDatabase::bundled);
    let unknown =
        |_| format!("there is no time zone `{name}`: use a name of the IANA database, such as `Europe/London`");
    zones.get(name).map_err(unknown)
}

fn cron(pattern: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(pattern).map_err(|error| {
        format!(
            "`{pattern}` is no cron pattern ({error}): write minute, hour, day of the month, month and day of the week, \
             such as `0 3 * * *`; what occurs more often than each minute is an `every`"
        )
    })
}

fn too_many(what: &str, count: usize) -> Result<(), String> {
    let problem = || format!("it has {count} {what}; at most {MAX_DATES} are allowed");
    if count > MAX_DATES { Err(problem()) } else { Ok(()) }
}

/// From a day's first moment to that of the next day.
fn whole_day(zone: &TimeZone, day: Date) -> Result<(Timestamp, Timestamp), String> {
    let begins = |day: Date| day.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
    let next = day.checked_add(Span::new().days(1));
    let both = next.and_then(|next| Ok((begins(day)?, begins(next)?)));
    both.map_err(|error| format!("`{day}` cannot be left out: {error}"))
}

fn joined(mut days: Vec<(Timestamp, Timestamp)>) -> Vec<(Timestamp, Timestamp)> {
    days.sort_unstable();
    let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (start, end) in days {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}
