//! Schedules in the engine: declared at a start, looked at by the clock, ended by what follows.

mod account;

use std::{collections::BTreeSet, time::Duration};

use factum_core::{
    Timestamp,
    cell::CellKind,
    envelope::Kind,
    schedule::{
        End, Missed, Occurrence, Overlap, PauseSchedule, RunSchedule, Schedule, ScheduleEvent, ScheduleRan, Standing,
        State,
    },
    service::Service,
};
use factum_runtime::{
    acts::{Outcome, What},
    inbox::Input,
    plans::{Backfill, Making, Selection},
    registry::{Registry, RegistryError},
};
use tokio::sync::oneshot;

use super::bank::*;
use super::bench::*;

/// An hour in which nothing is due at [`NOW`].
const HOUR: Duration = Duration::from_secs(3_600);

/// Books, and schedules that note a cent in them.
fn books_by(schedules: impl IntoIterator<Item = Schedule>) -> Vec<Service> {
    let books = Service::new("books").decider::<Book>();
    vec![schedules.into_iter().fold(books, Service::schedule)]
}

fn noting(cents: i64) -> impl Fn(&Occurrence) -> Note {
    move |occurrence| Note { id: occurrence.schedule.clone(), cents }
}

fn hourly() -> Schedule {
    Schedule::every("hourly", HOUR).sends(noting(1))
}

/// A clock that passes by itself, as far as the engine can tell.
fn live() -> How {
    How { live: true, ..How::default() }
}

/// A schedule as its stream says.
pub fn state(bench: &Bench, name: &str) -> State {
    let mut state = State::default();
    for stored in bench.stream(&format!("schedule-{name}")) {
        if stored.envelope().kind == Kind::Event {
            state.happened(&stored.decode::<ScheduleEvent>().unwrap(), stored.envelope().timestamp);
        }
    }
    state
}

/// Time passes, and whatever is due happens when it is.
fn pass(bench: &mut Bench, to: Timestamp) {
    bench.run();
    while let Some(due) = bench.engine.next_timer().filter(|due| *due <= to) {
        bench.advance(due);
    }
    bench.advance(to);
}

fn hours(count: u32) -> Timestamp {
    NOW + count * HOUR
}

#[test]
fn an_occurrence_sends_its_command_once_and_begins_a_business_transaction() {
    let mut bench = Bench::with(books_by([hourly()]), live());
    bench.run();
    assert_eq!(bench.engine.next_timer(), Some("2026-01-02T04:00:00Z".parse().unwrap()));
    pass(&mut bench, hours(2));
    let mut bench = bench.restart(books_by([hourly()]));
    pass(&mut bench, hours(3));
    assert_eq!(bench.events::<Noted>().len(), 3);
    let ran = bench.events::<ScheduleRan>();
    let scheduled: Vec<String> = ran.iter().map(|ran| ran.scheduled.to_string()).collect();
    assert_eq!(scheduled, ["2026-01-02T04:00:00Z", "2026-01-02T05:00:00Z", "2026-01-02T06:00:00Z"]);
    let began: Vec<&String> = ran.iter().map(|ran| &ran.correlation_id).collect();
    let log = bench.log();
    let noted = log.iter().filter(|stored| stored.type_name() == "book.noted");
    let noted: Vec<String> = noted.map(|stored| stored.envelope().correlation_id.to_string()).collect();
    assert_eq!(noted.iter().collect::<Vec<_>>(), began);
    assert!(began[0] != began[1] && began[1] != began[2]);
    bench.check_versions();
}

#[test]
fn schedules_that_a_start_defines_anew_begin_a_business_transaction_each() {
    let schedules = |jitter: u64| {
        books_by(["a", "b", "c"].map(|name| {
            Schedule::every(name, HOUR).jitter(Duration::from_secs(jitter)).done_by::<Noted>().sends(noting(1))
        }))
    };
    let mut bench = Bench::with(schedules(0), live());
    pass(&mut bench, hours(1));
    // It is down while the next ones are due, and starts with other definitions.
    bench.clock.advance(hours(2));
    let mut bench = bench.restart(schedules(5));
    pass(&mut bench, hours(2));
    let ran = bench.events::<ScheduleRan>();
    let began: BTreeSet<&String> = ran.iter().map(|ran| &ran.correlation_id).collect();
    assert_eq!((ran.len(), began.len()), (6, 6));
    let log = bench.log();
    let ended: Vec<_> = log.iter().filter(|stored| stored.type_name() == "schedule.ended").collect();
    let distinct: BTreeSet<_> = ended.iter().map(|stored| &stored.envelope().correlation_id).collect();
    assert_eq!((ended.len(), distinct.len()), (6, 6), "each ends by its own event");
    assert!(["books.a", "books.b", "books.c"].iter().all(|name| state(&bench, name).under_way.is_empty()));
}

#[test]
fn a_start_that_declares_the_same_stores_nothing_and_one_that_does_not_stops_it() {
    let mut bench = Bench::with(books_by([hourly()]), live());
    pass(&mut bench, hours(1));
    let before = bench.log().len();
    let mut bench = bench.restart(books_by([hourly()]));
    bench.run();
    assert_eq!(bench.log().len(), before);
    let other = || Schedule::every("other", HOUR).sends(noting(1));
    let mut bench = bench.restart(books_by([other()]));
    pass(&mut bench, hours(2));
    assert_eq!(state(&bench, "books.hourly").standing, Standing::Retired);
    assert_eq!(state(&bench, "books.other").counts.ran, 1);
    assert_eq!(bench.cells(CellKind::Timer), 1);
    let mut bench = bench.restart(books_by([hourly().jitter(Duration::from_secs(5)), other()]));
    pass(&mut bench, hours(4));
    assert_eq!(state(&bench, "books.hourly").counts.ran, 2 + 1);
}

#[test]
fn a_listing_that_could_not_be_stored_is_said_again() {
    let mut bench = Bench::with(books_by([hourly()]), live());
    bench.faults.at(1, Fault::Transient);
    assert!(bench.engine.step().is_err());
    pass(&mut bench, hours(1));
    assert_eq!(state(&bench, "books.hourly").counts.ran, 1);
}

#[test]
fn an_occurrence_is_over_when_its_event_comes_or_its_command_is_rejected() {
    let schedule =
        |cents| Schedule::every("hourly", HOUR).done_by::<Noted>().overlapping(Overlap::Skip).sends(noting(cents));
    for (cents, end) in [(1, End::Done), (-1, End::Rejected)] {
        let mut bench = Bench::with(books_by([schedule(cents)]), live());
        bench.run();
        pass(&mut bench, hours(1));
        pass(&mut bench, hours(2));
        let state = state(&bench, "books.hourly");
        assert_eq!((state.counts.ran, state.counts.skipped, state.under_way.len()), (2, 0, 0));
        assert!(state.last.iter().all(|ending| ending.end == Some(end)), "{:?}", state.last);
        let attention = state.attention.unwrap_or_default();
        assert_eq!(attention.contains("notes nothing negative"), end == End::Rejected, "{attention}");
    }
    // Without an event that says that it is done a rejection is heard of all the same.
    let mut bench = Bench::with(books_by([Schedule::every("hourly", HOUR).sends(noting(-1))]), live());
    pass(&mut bench, hours(1));
    assert!(state(&bench, "books.hourly").attention.is_some());
}

#[test]
fn events_of_other_business_transactions_end_nothing() {
    // The second schedule's notes are of the same type.
    let first = Schedule::every("hourly", HOUR).done_by::<Noted>().sends(|_: &Occurrence| pay("a", 0));
    let second = Schedule::every("other", HOUR).sends(noting(1));
    let mut services = books_by([first, second]);
    services.push(accounts());
    let mut bench = Bench::with(services, live());
    pass(&mut bench, hours(1));
    bench.ask("n1", Note { id: "by hand".to_owned(), cents: 1 }).unwrap();
    assert_eq!(bench.events::<Noted>().len(), 2);
    assert_eq!(state(&bench, "books.hourly").under_way.len(), 1);
    assert!(bench.of_kind::<factum_core::schedule::EndOccurrence>(Kind::Command).is_empty());
}

#[test]
fn on_data_time_schedules_stand_still() {
    let mut bench = Bench::new(books_by([hourly()]));
    bench.advance(hours(8_760));
    assert_eq!((bench.log().len(), bench.cells(CellKind::Timer)), (0, 0));
    // Also those that were declared before.
    let mut bench = bench.restart_as(books_by([hourly()]), live());
    pass(&mut bench, hours(8_762));
    let before = bench.log().len();
    let mut bench = bench.restart_as(books_by([hourly()]), How::default());
    bench.advance(hours(10_000));
    bench.ask("n1", Note { id: "imported".to_owned(), cents: 1 }).unwrap();
    assert_eq!(bench.log().len(), before + 1);
    // The policy says what becomes of what was missed.
    let mut bench = bench.restart_as(books_by([hourly()]), live());
    bench.run();
    let state = state(&bench, "books.hourly");
    assert_eq!((state.counts.ran, state.counts.late, state.counts.skipped), (2, 1, 10_000 - 8_762 - 1));
}

#[test]
fn a_rest_does_not_wait_for_schedules() {
    let mut bench = Bench::with(books_by([hourly()]), live());
    let (reply, mut rested) = oneshot::channel();
    bench.inbox.try_send(Input::Rest(reply)).unwrap();
    bench.run();
    assert_eq!(rested.try_recv().unwrap().next, None);
    assert!(bench.engine.next_timer().is_some());
}

#[test]
fn a_person_pauses_it_and_runs_it_by_hand() {
    let mut bench = Bench::with(books_by([hourly()]), live());
    bench.run();
    let schedule = || "books.hourly".to_owned();
    let pause = PauseSchedule { schedule: schedule(), by: "mara".to_owned(), why: "stocktaking".to_owned() };
    bench.ask("a1", pause).unwrap();
    pass(&mut bench, hours(5));
    bench.ask("a2", RunSchedule { schedule: schedule(), by: "mara".to_owned(), why: String::new() }).unwrap();
    let state = state(&bench, "books.hourly");
    assert_eq!((state.counts.ran, state.counts.by_hand), (0, 1));
    assert_eq!(bench.events::<Noted>().len(), 1);
    let unknown = RunSchedule { schedule: "books.daily".to_owned(), by: "mara".to_owned(), why: String::new() };
    assert!(bench.ask("a3", unknown).unwrap_err().to_string().contains("there is no schedule books.daily"));
}

#[test]
fn schedules_that_cannot_be_are_refused_with_a_sentence() {
    let refused = |schedules: Vec<Schedule>| match Registry::new(books_by(schedules)) {
        Err(error) => error,
        Ok(_) => panic!("it was not refused"),
    };
    let cases = [
        (Schedule::cron("a", "0 3 * *").sends(noting(1)), "schedule books.a: `0 3 * *` is no cron pattern"),
        (Schedule::every("a", HOUR), "schedule books.a: it sends no command: end it with `.sends(…)`"),
        (Schedule::every("a", Duration::from_millis(1_500)).sends(noting(1)), "at least a second"),
        (Schedule::every("A", HOUR).sends(noting(1)), "`A` must start with a-z"),
        (Schedule::every("a", HOUR).sends(|_: &Occurrence| pay("a", 1)), "sends `account.pay`, which no service"),
    ];
    for (schedule, sentence) in cases {
        let problem = refused(vec![schedule]).to_string();
        assert!(problem.contains(sentence), "{problem}");
    }
    assert!(matches!(refused(vec![hourly(), hourly()]), RegistryError::Twice(_)));
}

#[test]
fn a_plan_fills_in_what_was_skipped_once_and_nothing_else() {
    let hourly = || hourly().missed(Missed::Skip);
    let mut bench = Bench::with(books_by([hourly()]), live());
    pass(&mut bench, hours(1));
    bench.advance(hours(5));
    pass(&mut bench, hours(6));
    assert_eq!(bench.events::<Noted>().len(), 2);
    let fill = |from: &str, to: &str| {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let fill = Backfill { schedule: "books.hourly".to_owned(), from, to };
        Making { selection: Selection::Backfill(fill), rate: None, second_person: false }
    };
    // Two before it was declared, four that were missed; the first and the last ran, and what is to come comes by itself.
    let making = || fill("2026-01-02T02:00:00Z", "2026-01-02T23:00:00Z");
    let Ok(Outcome::Planned(planned)) = bench.make_plan(making()) else { panic!("it was not planned") };
    assert_eq!((planned.plan.total, planned.would_fail), (6, 0), "{:?}", planned.items);
    assert_eq!(planned.items[0].preview.effects[0].type_name, "schedule.ran");
    assert_eq!(bench.events::<Noted>().len(), 2, "nothing is done yet");
    bench.act(What::Approve(planned.plan.id.clone(), planned.plan.hash.clone())).unwrap();
    let mut bench = bench.restart(books_by([hourly()]));
    bench.run();
    assert_eq!(bench.events::<Noted>().len(), 8);
    let shown = factum_runtime::plans::show(&bench.store, &planned.plan.id).unwrap().unwrap();
    assert_eq!((shown.tally.done, shown.tally.left_out, shown.tally.failed), (6, 0, 0));
    let state = state(&bench, "books.hourly");
    assert_eq!((state.counts.ran, state.counts.skipped, state.counts.backfilled), (2, 4, 6));
    let Ok(Outcome::Planned(again)) = bench.make_plan(making()) else { panic!("it was not planned") };
    assert_eq!(again.plan.total, 0);
    let unknown = Backfill { schedule: "books.daily".to_owned(), from: NOW, to: NOW };
    let making = Making { selection: Selection::Backfill(unknown), rate: None, second_person: false };
    assert!(bench.make_plan(making).unwrap_err().to_string().contains("declares no schedule `books.daily`"));
}

#[test]
fn a_program_without_schedules_stops_those_that_its_log_knows() {
    let mut bench = Bench::with(books_by([hourly()]), live());
    pass(&mut bench, hours(1));
    assert!(factum_runtime::schedules::are_known(&bench.store).unwrap());
    let with = Registry::with(books_by([]), true).unwrap();
    assert!(with.has_schedules() && with.opening().is_some());
    assert!(!Registry::new(books_by([])).unwrap().has_schedules());
}

/// What was missed while the process was down is told apart from what is on time.
#[test]
fn a_look_knows_what_time_it_is() {
    let nightly = || Schedule::cron("nightly", "0 4 * * *").missed(Missed::Skip).sends(noting(1));
    let mut bench = Bench::with(books_by([nightly()]), live());
    bench.run();
    bench.advance("2026-01-02T04:00:59Z".parse().unwrap());
    bench.clock.advance("2026-01-04T04:01:01Z".parse().unwrap());
    let mut bench = bench.restart(books_by([nightly()]));
    bench.run();
    let state = state(&bench, "books.nightly");
    assert_eq!((state.counts.ran, state.counts.skipped), (1, 2));
}
