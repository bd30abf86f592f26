//! Each occurrence has one ending: what runs, what is skipped, and what a person does about it.

use super::{super::watch::Watch, *};

fn hourly(missed: Missed) -> Definition {
    Definition { missed, ..every(3_600) }
}

fn watched(overlap: Overlap) -> Definition {
    Definition { overlap, done_by: vec!["stock.taken".to_owned()], within_secs: 36_000, ..every(3_600) }
}

#[test]
fn occurrences_run_when_they_are_due() {
    let mut it = Told::declared(hourly(Missed::RunLast), "2026-01-01T00:00:00Z");
    it.until("2026-01-01T02:30:00Z");
    assert_eq!(it.endings(), ["2026-01-01T01:00:00Z OnTime", "2026-01-01T02:00:00Z OnTime"]);
    assert_eq!(it.look(), Some(at("2026-01-01T03:00:00Z")));
}

#[test]
fn what_was_missed_is_run_or_skipped_as_the_policy_says() {
    let cases: [(Missed, &[&str]); 3] = [
        (Missed::Skip, &["2026-01-01T01:00:00Z to 2026-01-01T04:00:00Z: 4 Missed"]),
        (Missed::RunLast, &["2026-01-01T01:00:00Z to 2026-01-01T03:00:00Z: 3 Missed", "2026-01-01T04:00:00Z Late"]),
        (
            Missed::RunAll,
            &[
                "2026-01-01T01:00:00Z Late",
                "2026-01-01T02:00:00Z Late",
                "2026-01-01T03:00:00Z Late",
                "2026-01-01T04:00:00Z Late",
            ],
        ),
    ];
    for (missed, endings) in cases {
        let mut it = Told::declared(hourly(missed), "2026-01-01T00:00:00Z");
        it.sleep("2026-01-01T04:30:00Z").until("2026-01-01T04:30:00Z");
        assert_eq!(it.endings(), endings, "{missed:?}");
        assert_eq!(it.look(), Some(at("2026-01-01T05:00:00Z")));
    }
    // Where the next one is due already, the last one that was missed does not run beside it.
    let mut it = Told::declared(hourly(Missed::RunLast), "2026-01-01T00:00:00Z");
    it.sleep("2026-01-01T04:00:30Z").until("2026-01-01T04:30:00Z");
    assert_eq!(it.endings(), ["2026-01-01T01:00:00Z to 2026-01-01T03:00:00Z: 3 Missed", "2026-01-01T04:00:00Z OnTime"]);
}

#[test]
fn all_that_were_missed_run_one_when_the_other_has_ended() {
    let definition = Definition { missed: Missed::RunAll, ..watched(Overlap::Skip) };
    let mut it = Told::declared(definition, "2026-01-01T00:00:00Z");
    it.sleep("2026-01-01T03:30:00Z").until("2026-01-01T03:40:00Z");
    assert_eq!(it.endings(), ["2026-01-01T01:00:00Z Late"]);
    for index in 0..3 {
        it.ends(index, End::Done);
        it.until("2026-01-01T03:50:00Z");
    }
    it.until("2026-01-01T04:30:00Z");
    let endings = ["2026-01-01T01:00:00Z Late", "2026-01-01T02:00:00Z Late", "2026-01-01T03:00:00Z Late"];
    assert_eq!(it.endings()[..3], endings);
    assert_eq!(it.endings()[3..], ["2026-01-01T04:00:00Z OnTime"]);
}

#[test]
fn a_month_of_seconds_is_one_event_and_of_all_a_hundred_run() {
    for (missed, first) in [
        (Missed::Skip, "2026-01-01T00:00:01Z to 2026-01-31T00:00:00Z: 2592000 Missed"),
        (Missed::RunLast, "2026-01-01T00:00:01Z to 2026-01-30T23:59:59Z: 2591999 Missed"),
        (Missed::RunAll, "2026-01-01T00:00:01Z to 2026-01-30T23:58:20Z: 2591900 Missed"),
    ] {
        // Nothing is on time.
        let definition = Definition { missed, late_after_secs: 0, ..every(1) };
        let mut it = Told::declared(definition, "2026-01-01T00:00:00Z");
        it.sleep("2026-01-31T00:00:00.5Z").until("2026-01-31T00:00:00.9Z");
        assert_eq!(it.endings()[0], first);
        let expected = [(Missed::Skip, 1), (Missed::RunLast, 2), (Missed::RunAll, 101)];
        assert!(expected.contains(&(missed, it.endings().len())), "{missed:?}: {}", it.endings().len());
        assert_eq!(it.state.counts.skipped + it.state.counts.late, 2_592_000);
    }
}

#[test]
fn many_times_of_a_pattern_are_counted_a_part_at_a_time_and_only_the_last_runs() {
    let mut it = Told::declared(cron("* * * * *", "Europe/London"), "2026-01-01T00:00:00Z");
    it.sleep("2026-12-31T23:59:30Z");
    if let Some((_, event)) = it.log.last_mut() {
        *event.look() = Some(it.now);
    }
    it.until("2026-12-31T23:59:40Z");
    let minutes = 365 * 24 * 60 - 1;
    assert_eq!((it.state.counts.ran, it.state.counts.late), (1, 0));
    assert_eq!(it.state.counts.skipped, minutes - 1);
    assert!(it.log.len() < 15, "{}", it.log.len());
}

#[test]
fn while_one_is_under_way_the_next_is_skipped_queued_or_runs_beside_it() {
    let cases: [(Overlap, &[&str]); 3] = [
        (
            Overlap::Skip,
            &["2026-01-01T01:00:00Z OnTime", "2026-01-01T02:00:00Z Overlapping", "2026-01-01T03:00:00Z Overlapping"],
        ),
        (
            Overlap::QueueOne,
            &["2026-01-01T01:00:00Z OnTime", "2026-01-01T03:00:00Z Overlapping", "2026-01-01T02:00:00Z Late"],
        ),
        (
            Overlap::Allow,
            &["2026-01-01T01:00:00Z OnTime", "2026-01-01T02:00:00Z OnTime", "2026-01-01T03:00:00Z OnTime"],
        ),
    ];
    for (overlap, endings) in cases {
        let mut it = Told::declared(watched(overlap), "2026-01-01T00:00:00Z");
        it.until("2026-01-01T03:30:00Z").ends(0, End::Done);
        it.until("2026-01-01T03:40:00Z");
        assert_eq!(it.endings(), endings, "{overlap:?}");
        assert_eq!(
            it.state.under_way.len(),
            [(Overlap::Skip, 0), (Overlap::QueueOne, 1), (Overlap::Allow, 2)]
                .iter()
                .find(|(known, _)| *known == overlap)
                .unwrap()
                .1
        );
    }
}

#[test]
fn one_that_is_not_done_within_its_limit_needs_a_person_and_stands_in_nobodys_way() {
    let mut it = Told::declared(watched(Overlap::Skip), "2026-01-01T00:00:00Z");
    it.until("2026-01-01T10:59:00Z");
    assert_eq!(it.state.attention, None);
    it.until("2026-01-01T11:30:00Z");
    assert!(it.state.attention.clone().unwrap().contains("2026-01-01T01:00:00Z was not done within its limit"));
    assert_eq!(it.endings().last().unwrap(), "2026-01-01T11:00:00Z OnTime");
    let newest = it.state.last.len() - 1;
    it.ends(newest, End::Done);
    assert_eq!(it.state.attention, None);
}

#[test]
fn a_rejected_command_needs_a_person_until_the_next_one_goes_well() {
    for definition in [hourly(Missed::Skip), watched(Overlap::Skip)] {
        let mut it = Told::declared(definition, "2026-01-01T00:00:00Z");
        it.until("2026-01-01T01:00:00Z").ends(0, End::Rejected);
        assert!(it.state.attention.clone().unwrap().contains("of 2026-01-01T01:00:00Z was rejected"));
        let before = it.log.len();
        it.ends(0, End::Rejected);
        assert_eq!(it.log.len(), before, "said twice it is one");
        it.until("2026-01-01T02:00:00Z").ends(1, End::Done);
        assert_eq!(it.state.attention, None);
    }
}

#[test]
fn paused_it_skips_and_resumed_it_goes_on_from_then() {
    let mut it = Told::declared(hourly(Missed::RunAll), "2026-01-01T00:00:00Z");
    let (by, why) = who();
    it.until("2026-01-01T01:30:00Z");
    it.tell(PauseSchedule { schedule: name(), by: by.clone(), why: why.clone() }).unwrap();
    assert_eq!(it.look(), None);
    assert_eq!(it.tell(PauseSchedule { schedule: name(), by: by.clone(), why: why.clone() }).unwrap(), []);
    it.until("2026-01-01T05:30:00Z");
    it.tell(ResumeSchedule { schedule: name(), by: by.clone(), why: why.clone() }).unwrap();
    assert_eq!(it.tell(ResumeSchedule { schedule: name(), by, why }).unwrap(), []);
    it.until("2026-01-01T06:30:00Z");
    let endings = [
        "2026-01-01T01:00:00Z OnTime",
        "2026-01-01T02:00:00Z to 2026-01-01T05:00:00Z: 4 Paused",
        "2026-01-01T06:00:00Z OnTime",
    ];
    assert_eq!(it.endings(), endings);
}

#[test]
fn another_definition_goes_on_from_now_and_nothing_runs_twice_or_is_forgotten() {
    let mut it = Told::declared(hourly(Missed::RunLast), "2026-01-01T00:00:00Z");
    it.until("2026-01-01T01:30:00Z").sleep("2026-01-01T03:10:00Z");
    let half = every(1_800);
    it.tell(DeclareSchedule { schedule: name(), definition: half.clone() }).unwrap();
    assert_eq!(it.tell(DeclareSchedule { schedule: name(), definition: half.clone() }).unwrap(), []);
    it.until("2026-01-01T04:10:00Z");
    let endings = [
        "2026-01-01T01:00:00Z OnTime",
        "2026-01-01T02:00:00Z Redefined",
        "2026-01-01T03:00:00Z Late",
        "2026-01-01T03:30:00Z OnTime",
        "2026-01-01T04:00:00Z OnTime",
    ];
    assert_eq!(it.endings(), endings);
    it.sleep("2026-01-01T05:10:00Z");
    it.tell(RetireSchedule { schedule: name() }).unwrap();
    assert_eq!((it.look(), it.state.standing), (None, Standing::Retired));
    assert_eq!(it.endings().last().unwrap(), "2026-01-01T04:30:00Z to 2026-01-01T05:00:00Z: 2 Retired");
    it.sleep("2026-01-01T07:10:00Z");
    it.tell(DeclareSchedule { schedule: name(), definition: half }).unwrap();
    it.until("2026-01-01T07:40:00Z");
    assert_eq!(it.endings().last().unwrap(), "2026-01-01T07:30:00Z OnTime");
}

#[test]
fn a_person_runs_it_beside_its_times_and_fills_in_what_was_skipped_once() {
    let mut it = Told::declared(watched(Overlap::Skip), "2026-01-01T00:00:00Z");
    let (by, why) = who();
    let fill = |it: &mut Told, scheduled: &str| {
        let (by, why) = who();
        it.tell(BackfillSchedule { schedule: name(), scheduled: at(scheduled), by, why }).map(|events| events.len())
    };
    it.until("2026-01-01T02:30:00Z");
    // The second was skipped because of the first.
    let refused = it.tell(RunSchedule { schedule: name(), by: by.clone(), why: why.clone() });
    assert_eq!(refused, Err(No::UnderWay(at("2026-01-01T01:00:00Z"))));
    it.ends(0, End::Done);
    assert_eq!(it.tell(RunSchedule { schedule: name(), by, why }).unwrap().len(), 1);
    assert_eq!(it.endings().last().unwrap(), "2026-01-01T02:30:00Z ByHand");
    for (scheduled, events) in [("01:00", 0), ("02:00", 1), ("02:00", 0)] {
        assert_eq!(fill(&mut it, &format!("2026-01-01T{scheduled}:00Z")), Ok(events), "{scheduled}");
    }
    // Before it was declared it never ran.
    assert_eq!(fill(&mut it, "2025-12-31T07:00:00Z"), Ok(1));
    assert_eq!(fill(&mut it, "2025-12-31T07:00:00Z"), Ok(0));
    assert_eq!(fill(&mut it, "2025-12-31T06:00:00Z"), Ok(1));
    assert_eq!(fill(&mut it, "2025-12-31T06:30:00Z"), Err(No::NoOccurrence(at("2025-12-31T06:30:00Z"))));
    assert_eq!(fill(&mut it, "2026-01-01T03:00:00Z"), Err(No::ToCome(at("2026-01-01T03:00:00Z"))));
    assert_eq!(it.state.counts, Counts { ran: 1, late: 0, skipped: 1, by_hand: 1, backfilled: 3 });
    let unknown = State::default().decide(
        &name(),
        RunSchedule { schedule: name(), by: "x".into(), why: String::new() }.into(),
        &context(it.now),
    );
    assert_eq!(unknown, Err(No::Unknown(name())));
}

fn context(now: Timestamp) -> Context {
    let id = MessageId::derived(&["test"]);
    Context { now, message_id: id.clone(), correlation_id: id, service: Name::Static("factum") }
}

#[test]
fn looked_at_too_early_it_asks_to_be_looked_at_again() {
    let mut it = Told::declared(hourly(Missed::Skip), "2026-01-01T00:00:00Z");
    it.now = at("2026-01-01T00:10:00Z");
    it.tell(LookAtSchedule { schedule: name() }).unwrap();
    assert_eq!((it.endings().len(), it.look()), (0, Some(at("2026-01-01T01:00:00Z"))));
    // The clock was put back.
    it.until("2026-01-01T01:30:00Z").now = at("2026-01-01T00:20:00Z");
    it.tell(LookAtSchedule { schedule: name() }).unwrap();
    it.until("2026-01-01T02:30:00Z");
    assert_eq!(it.endings(), ["2026-01-01T01:00:00Z OnTime", "2026-01-01T02:00:00Z OnTime"]);
}

/// Fills in an occurrence, and says how many events that made.
fn fills(it: &mut Told, scheduled: &str) -> usize {
    let (by, why) = who();
    it.tell(BackfillSchedule { schedule: name(), scheduled: at(scheduled), by, why }).unwrap().len()
}

#[test]
fn a_time_between_two_declarations_is_filled_in_once_and_one_that_ran_never() {
    let mut it = Told::declared(hourly(Missed::RunLast), "2026-01-01T00:00:00Z");
    it.until("2026-01-01T01:30:00Z").tell(RetireSchedule { schedule: name() }).unwrap();
    it.sleep("2026-01-01T07:10:00Z");
    it.tell(DeclareSchedule { schedule: name(), definition: hourly(Missed::RunLast) }).unwrap();
    assert_eq!(fills(&mut it, "2026-01-01T01:00:00Z"), 0, "it ran before it was retired");
    assert_eq!(fills(&mut it, "2026-01-01T02:00:00Z"), 1);
    it.until("2026-01-01T09:00:00Z").sleep("2026-01-01T12:10:00Z");
    it.tell(RetireSchedule { schedule: name() }).unwrap();
    assert_eq!(it.endings().last().unwrap(), "2026-01-01T10:00:00Z to 2026-01-01T12:00:00Z: 3 Retired");
    it.sleep("2026-01-01T14:10:00Z");
    it.tell(DeclareSchedule { schedule: name(), definition: hourly(Missed::RunLast) }).unwrap();
    for (hour, events) in [(9, 0), (10, 1), (12, 1), (12, 0), (13, 1), (13, 0)] {
        assert_eq!(fills(&mut it, &format!("2026-01-01T{hour:02}:00:00Z")), events, "{hour}");
    }
}

#[test]
fn with_a_jitter_longer_than_its_distance_nothing_is_late_or_missed() {
    let mut it = Told::declared(Definition { jitter_secs: 300, ..cron("* * * * *", "UTC") }, "2026-01-01T00:00:00Z");
    it.until("2026-01-01T01:00:30Z");
    let endings = it.endings();
    assert!(endings.len() >= 59 && endings.iter().all(|ending| ending.ends_with("OnTime")), "{endings:?}");
}

#[test]
fn what_is_under_way_is_not_waited_for_when_other_events_are_to_end_it() {
    let counted = vec!["stock.counted".to_owned()];
    let cases = [
        (vec![], Overlap::Skip, "2026-01-01T03:00:00Z OnTime"),
        (vec![], Overlap::QueueOne, "2026-01-01T03:00:00Z OnTime"),
        (counted.clone(), Overlap::Skip, "2026-01-01T03:00:00Z OnTime"),
        // The one that waited is under way.
        (counted, Overlap::QueueOne, "2026-01-01T02:00:00Z Late"),
    ];
    for (done_by, overlap, last) in cases {
        let mut it = Told::declared(watched(overlap), "2026-01-01T00:00:00Z");
        it.until("2026-01-01T02:30:00Z");
        let definition = Definition { done_by, ..watched(overlap) };
        it.tell(DeclareSchedule { schedule: name(), definition }).unwrap();
        assert_eq!((it.state.under_way.len(), it.state.last[0].end), (0, Some(End::Redefined)));
        it.until("2026-01-01T03:30:00Z");
        assert_eq!(it.endings().last().unwrap(), last, "{:?}", it.endings());
        assert_eq!(it.state.attention, None);
    }
    // Where the same events are to end it, it goes on.
    let mut it = Told::declared(watched(Overlap::Skip), "2026-01-01T00:00:00Z");
    it.until("2026-01-01T01:30:00Z");
    let definition = Definition { zone: "Europe/London".to_owned(), ..watched(Overlap::Skip) };
    it.tell(DeclareSchedule { schedule: name(), definition }).unwrap();
    assert_eq!(it.state.under_way.len(), 1);
}

#[test]
fn what_a_declaration_finds_due_runs_by_a_look_of_its_own() {
    let mut it = Told::declared(hourly(Missed::RunLast), "2026-01-01T00:00:00Z");
    it.sleep("2026-01-01T02:10:00Z");
    let events = it.tell(DeclareSchedule { schedule: name(), definition: every(1_800) }).unwrap();
    assert!(!events.iter().any(|event| matches!(event, ScheduleEvent::ScheduleRan(_))), "{events:?}");
    assert_eq!(it.look(), Some(it.now));
    it.until("2026-01-01T02:20:00Z");
    assert_eq!(it.endings(), ["2026-01-01T01:00:00Z Redefined", "2026-01-01T02:00:00Z Late"]);
}

#[test]
fn a_backfill_is_not_waited_for_by_anybody() {
    let mut it = Told::declared(watched(Overlap::Skip), "2026-01-01T00:00:00Z");
    fills(&mut it, "2025-12-31T07:00:00Z");
    let mut watch = Watch::default();
    for (_, event) in &it.log[..1] {
        watch.take(event);
    }
    let before = watch.clone();
    watch.take(&it.log[1].1);
    assert_eq!((watch, it.state.under_way.len()), (before, 0));
}
