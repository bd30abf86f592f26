//! Caches: fed by events, never older than they say, and filled in beside events without bringing back what is over.

use std::{sync::Arc, time::Duration};

use factum_core::{
    Timestamp,
    cache::AnyCache,
    envelope::{Kind, Recorded, Stored},
    ports::{Clock, Reader, Scan},
    service::{Durations, Service},
    stream::Position,
};
use factum_runtime::{
    cache::{Cache, Followed},
    clock::DataClock,
    registry::Registry,
};

use super::{bank::*, bench::*};

type Notes = Cache<String, String>;

fn notes(ttl: Duration) -> (Notes, Followed<String, String>) {
    let cache = Cache::new("notes", ttl, 1_000);
    let followed = cache.follow(|values, event: &Recorded<'_, Paid>| match event.note.as_str() {
        "gone" => values.remove(&event.id),
        "more" => values.update(&event.id, |note: &mut String| note.push('!')),
        "poison" => panic!("as asked"),
        note => values.put(&event.id, note.to_owned()),
    });
    (cache, followed)
}

fn services() -> Vec<Service> {
    vec![Service::new("accounts").decider::<Account>()]
}

/// Payments into account `a`, with these notes, all at [`T0`], and their log.
fn paid(notes: &[&str]) -> (Vec<Stored>, Arc<dyn Reader>) {
    let mut bench = Bench::new(services());
    for (number, note) in notes.iter().enumerate() {
        bench.ask(&format!("p{number}"), pay_with("a", 1, note)).unwrap();
    }
    let reader = bench.committer.reader();
    let scan = Scan { after: Position::START, until: reader.head(), bytes: usize::MAX, types: None };
    let all = reader.scan(&scan).unwrap().messages;
    (all.into_iter().filter(|stored| stored.envelope().kind == Kind::Event).collect(), reader)
}

/// A cache that has taken these payments in and is live, with its clock at the last of them.
fn fed(ttl: Duration, notes_of: &[&str]) -> (Notes, Followed<String, String>, DataClock, Vec<Stored>) {
    let (cache, followed) = notes(ttl);
    let (clock, (events, log)) = (DataClock::default(), paid(notes_of));
    followed.begin(Arc::new(clock.clone()), log);
    for event in &events {
        clock.advance(event.envelope().timestamp);
        followed.apply(event).unwrap();
        followed.reached(event.position, true);
    }
    (cache, followed, clock, events)
}

fn key() -> String {
    "a".to_owned()
}

fn at(clock: &DataClock, later: Duration) -> Timestamp {
    clock.mark() + later
}

#[test]
fn events_put_values_in_change_them_and_take_them_out() {
    let told = |notes: &[&str]| fed(1.hours(), notes).0.get(&key());
    assert_eq!(told(&["first"]).as_deref(), Some("first"));
    assert_eq!(told(&["first", "second"]).as_deref(), Some("second"));
    assert_eq!(told(&["first", "more", "more"]).as_deref(), Some("first!!"));
    assert_eq!(told(&["first", "gone"]), None);
    assert_eq!(told(&["more"]), None, "nothing is made of a part");
}

#[test]
fn a_value_is_answered_up_to_its_age_and_no_longer_and_all_questions_are_counted() {
    let (cache, followed, clock, _) = fed(1.hours(), &["first"]);
    assert!(cache.get(&key()).is_some());
    assert!(cache.get(&"b".to_owned()).is_none());
    clock.advance(at(&clock, 1.hours() - 1.ms()));
    assert!(cache.get(&key()).is_some());
    clock.advance(at(&clock, 1.ms()));
    assert!(cache.get(&key()).is_none());
    let shown = followed.shown();
    assert_eq!((shown.hits, shown.misses, shown.expired), (2, 2, 1));
    assert_eq!((shown.name, shown.ttl_secs, shown.most, shown.live), ("notes", 3_600, 1_000, true));
}

#[test]
fn a_change_of_a_part_makes_nothing_younger() {
    let (cache, followed, clock, events) = fed(1.hours(), &["first", "more"]);
    clock.advance(at(&clock, 30.minutes()));
    followed.apply(&events[1]).unwrap();
    clock.advance(at(&clock, 30.minutes()));
    assert_eq!(cache.get(&key()), None);
}

#[test]
fn nothing_is_answered_before_what_was_in_the_log_is_taken_in() {
    let (cache, followed) = notes(1.hours());
    let (events, log) = paid(&["first", "second"]);
    followed.apply(&events[0]).unwrap();
    assert!(cache.get(&key()).is_none() && cache.ticket(key()).is_none(), "it has no clock yet");
    followed.begin(Arc::new(DataClock::default()), log);
    followed.reached(events[0].position, false);
    assert!(cache.get(&key()).is_none() && cache.ticket(key()).is_none(), "what it has may have been changed since");
    followed.apply(&events[1]).unwrap();
    followed.reached(events[1].position, true);
    assert_eq!(cache.get(&key()).as_deref(), Some("second"));
}

#[test]
fn what_was_read_before_an_event_is_not_filled_in_behind_it() {
    let (cache, followed, _, events) = fed(1.hours(), &["gone", "new"]);
    let fill = |between: &dyn Fn()| {
        followed.apply(&events[0]).unwrap();
        let ticket = cache.ticket(key()).unwrap();
        assert!(ticket.after >= events[0].position, "the source is read behind every event that the cache has begun");
        between();
        cache.fill(ticket, "old".to_owned())
    };
    assert!(!fill(&|| followed.apply(&events[1]).unwrap()));
    assert_eq!(cache.get(&key()).as_deref(), Some("new"));
    assert!(!fill(&|| followed.clear()));
    assert_eq!(cache.get(&key()), None);
    assert!(fill(&|| {}));
    assert_eq!(cache.get(&key()).as_deref(), Some("old"));
}

#[test]
fn a_change_that_the_source_held_already_is_not_made_twice() {
    let (cache, followed) = notes(1.hours());
    let (events, log) = paid(&["gone", "more", "more"]);
    followed.begin(Arc::new(DataClock::default()), log);
    followed.apply(&events[0]).unwrap();
    followed.reached(events[0].position, true);
    // The rows are at the log's head, and the cache is not.
    let ticket = cache.ticket(key()).unwrap();
    assert!(cache.fill(ticket, "first!!".to_owned()));
    for event in &events[1..] {
        followed.apply(event).unwrap();
        assert_eq!(cache.get(&key()), None);
    }
    let ticket = cache.ticket(key()).unwrap();
    assert!(cache.fill(ticket, "first!!".to_owned()));
    // What comes behind all that was in the log then is made.
    let mut later = events[2].clone();
    later.position = Position(later.position.0 + 1);
    followed.apply(&later).unwrap();
    assert_eq!(cache.get(&key()).as_deref(), Some("first!!!"));
}

#[test]
fn who_must_see_what_was_just_done_is_not_answered_from_before() {
    let (cache, _, _, events) = fed(1.hours(), &["first"]);
    let position = events[0].position;
    assert!(cache.get_after(&key(), position).is_some());
    assert!(cache.get_after(&key(), Position(position.0 + 1)).is_none());
}

#[test]
fn two_caches_of_one_name_and_one_of_another_services_own_event_refuse_the_start() {
    let twice = Service::new("other").cache(notes(1.hours()).1).cache(notes(1.hours()).1);
    let error = Registry::new(vec![services().remove(0), twice]).err().unwrap().to_string();
    assert_eq!(error, "there are two caches called `notes`: give each a name of its own");
    let listed = Registry::new(vec![services().remove(0), Service::new("other").cache(notes(1.hours()).1)]).unwrap();
    let shown = factum_runtime::publishers::shown(&listed);
    let readers = &shown.iter().find(|shown| shown.type_name == "account.paid").unwrap().readers;
    assert_eq!(*readers, ["cache:notes"]);
}
