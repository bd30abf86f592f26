//! The times of schedules, and what becomes of each.

mod account;
mod zones;

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::{
    decider::{Context, Decider},
    id::{MessageId, Name},
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(pattern: &str, zone: &str) -> Definition {
    Definition { zone: zone.to_owned(), ..Definition::new(When::Cron(pattern.to_owned())) }
}

fn every(secs: u64) -> Definition {
    Definition::new(When::Every { secs, from: Timestamp::UNIX_EPOCH })
}

/// The times behind one moment and before another.
fn times(definition: &Definition, after: &str, until: &str) -> Vec<String> {
    let (times, until) = (Times::of(definition).unwrap(), at(until));
    let next = |time: &Timestamp| times.next(*time);
    let found = std::iter::successors(times.next(at(after)), next).take_while(|time| *time < until);
    found.map(|time| time.to_string()).collect()
}

/// A schedule that is told things, one after the other.
struct Told {
    state: State,
    now: Timestamp,
    number: u32,
    /// Everything that happened, with its time.
    log: Vec<(Timestamp, ScheduleEvent)>,
}

impl Told {
    fn declared(definition: Definition, now: &str) -> Self {
        let mut it = Self { state: State::default(), now: at(now), number: 0, log: Vec::new() };
        it.tell(DeclareSchedule { schedule: name(), definition }).unwrap();
        it
    }

    fn tell(&mut self, command: impl Into<ScheduleCommand>) -> Result<Vec<ScheduleEvent>, No> {
        self.number += 1;
        let id = MessageId::derived(&["test", &self.number.to_string()]);
        let context =
            Context { now: self.now, message_id: id.clone(), correlation_id: id, service: Name::Static("factum") };
        let events = self.state.decide(&name(), command.into(), &context)?;
        for event in &events {
            self.state.evolve_at(event, self.now);
            self.log.push((self.now, event.clone()));
        }
        Ok(events)
    }

    /// When it wants to be looked at.
    fn look(&self) -> Option<Timestamp> {
        *self.log.last()?.1.clone().look()
    }

    /// Time passes until then, in which it is looked at when it wants to be.
    fn until(&mut self, then: &str) -> &mut Self {
        let then = at(then);
        while let Some(look) = self.look().filter(|look| *look <= then) {
            self.now = self.now.max(look);
            self.tell(LookAtSchedule { schedule: name() }).unwrap();
        }
        self.now = self.now.max(then);
        self
    }

    /// Nobody looks until then.
    fn sleep(&mut self, then: &str) -> &mut Self {
        self.now = at(then);
        self
    }

    fn ends(&mut self, index: usize, end: End) {
        let correlation_id = self.state.last[index].correlation_id.clone().unwrap();
        self.tell(EndOccurrence { schedule: name(), correlation_id, end, message: None }).unwrap();
    }

    /// What became of its occurrences, in words.
    fn endings(&self) -> Vec<String> {
        let word = |(_, event): &(Timestamp, ScheduleEvent)| match event {
            ScheduleEvent::ScheduleRan(it) => Some(format!("{} {:?}", it.scheduled, it.how)),
            ScheduleEvent::ScheduleSkipped(it) if it.count == 1 => Some(format!("{} {:?}", it.from, it.reason)),
            ScheduleEvent::ScheduleSkipped(it) => {
                Some(format!("{} to {}: {} {:?}", it.from, it.to, it.count, it.reason))
            }
            _ => None,
        };
        self.log.iter().filter_map(word).collect()
    }
}

fn name() -> String {
    "stock.count".to_owned()
}

fn who() -> (String, String) {
    ("mara".to_owned(), "a test".to_owned())
}

#[test]
fn what_cannot_be_a_schedule_says_what_to_write_instead() {
    let long = Duration::from_secs(1 << 40).as_secs();
    let cases = [
        (cron("0 3 * *", "UTC"), "`0 3 * *` is no cron pattern"),
        (cron("* * * * * *", "UTC"), "what occurs more often than each minute is an `every`"),
        (cron("0 25 * * *", "UTC"), "is no cron pattern"),
        (cron("0 3 30 2 *", "UTC"), "it never occurs"),
        (cron("0 3 * * *", "Europe/Londen"), "there is no time zone `Europe/Londen`"),
        (every(0), "at least a second"),
        (every(long), "at most a year"),
        (Definition { jitter_secs: long, ..every(60) }, "at most a year"),
        (Definition::new(When::On(Vec::new())), "it never occurs"),
        (Definition::new(When::On(vec![jiff::civil::DateTime::MAX; 10_001])), "10001 times of its calendar"),
    ];
    for (definition, sentence) in cases {
        let problem = Times::of(&definition).err().unwrap();
        assert!(problem.contains(sentence), "{problem}");
    }
}

#[test]
fn everything_that_is_stored_of_a_schedule_is_read_back() {
    let mut it = Told::declared(
        Definition {
            not_on: vec![jiff::civil::date(2026, 12, 25)],
            done_by: vec!["stock.taken".to_owned()],
            ..cron("0 3 * * *", "Europe/London")
        },
        "2026-01-01T00:00:00Z",
    );
    it.until("2026-01-02T03:00:00Z").sleep("2026-01-09T00:00:00Z").until("2026-01-10T00:00:00Z");
    let state = serde_json::to_vec(&it.state).unwrap();
    assert_eq!(serde_json::from_slice::<State>(&state).unwrap(), it.state);
    for (_, event) in it.log {
        let (mut data, name) = (Vec::new(), crate::payload::Payload::type_info(&event).name);
        crate::payload::Payload::encode(&event, &mut data).unwrap();
        assert_eq!(<ScheduleEvent as crate::payload::Payload>::decode(name, &data).unwrap(), event);
    }
}
