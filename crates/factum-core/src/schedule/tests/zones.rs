//! Where clocks are changed, days are left out, and distances are even.

use std::collections::BTreeSet;

use super::{super::times::LOOKED_AT, *};

#[test]
fn a_fixed_time_in_the_gap_runs_behind_it_and_one_that_comes_twice_runs_once() {
    let cases = [
        // The clock goes forward at 01:00, 02:00 and 02:00, in Lord Howe by half an hour; and back at 02:00.
        ("Europe/London", "30 1 * * *", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", "2026-03-29T01:00:00Z"),
        ("America/New_York", "30 2 * * *", "2026-03-07T12:00:00Z", "2026-03-08T12:00:00Z", "2026-03-08T07:00:00Z"),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-02T18:00:00Z", "2026-10-03T18:00:00Z", "2026-10-03T15:30:00Z"),
        ("Europe/London", "30 1 * * *", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00:00Z", "2026-11-01T12:00:00Z", "2026-11-01T05:30:00Z"),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-03T18:00:00Z", "2026-04-04T18:00:00Z", "2026-04-04T14:45:00Z"),
    ];
    for (zone, pattern, after, until, only) in cases {
        assert_eq!(times(&cron(pattern, zone), after, until), [only], "{pattern} in {zone}");
    }
    // Lists and ranges are fixed times too: of two in the gap one runs behind it.
    let lists: [(&str, &str, &[&str]); 4] = [
        ("30 1,13 * * *", "2026-03-29", &["01:00:00", "12:30:00"]),
        ("30 1,13 * * *", "2026-10-25", &["00:30:00", "13:30:00"]),
        ("15,45 1-2 * * *", "2026-03-29", &["01:00:00", "01:15:00", "01:45:00"]),
        ("0-59/30 1-2 * * *", "2026-10-25", &["00:30:00", "02:00:00", "02:30:00"]),
    ];
    for (pattern, day, expected) in lists {
        let found = times(&cron(pattern, "Europe/London"), &format!("{day}T00:00:00Z"), &format!("{day}T23:00:00Z"));
        let expected: Vec<String> = expected.iter().map(|time| format!("{day}T{time}Z")).collect();
        assert_eq!(found, expected, "{pattern} on {day}");
    }
    // Given times are meant in the same way.
    let dates = ["2026-03-29T01:30:00", "2026-10-25T01:30:00"].map(|time| time.parse().unwrap());
    let dates = Definition { zone: "Europe/London".to_owned(), ..Definition::new(When::On(dates.to_vec())) };
    let found = times(&dates, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(found, ["2026-03-29T01:30:00Z", "2026-10-25T00:30:00Z"]);
}

#[test]
fn each_day_of_two_years_has_its_time_in_every_zone() {
    for zone in ["Europe/London", "America/New_York", "Australia/Lord_Howe"] {
        for pattern in ["0 3 * * *", "30 1 * * *", "15 2 * * *", "0 0 * * *", "59 23 * * *"] {
            let definition = cron(pattern, zone);
            let zone = Times::of(&definition).unwrap().zone().clone();
            let found = times(&definition, "2025-06-30T12:00:00Z", "2027-06-30T12:00:00Z");
            let days: BTreeSet<_> = found.iter().map(|time| at(time).to_zoned(zone.clone()).date()).collect();
            assert_eq!((found.len(), days.len()), (730, 730), "{pattern}");
        }
    }
}

#[test]
fn a_pattern_with_a_star_goes_by_what_the_clock_shows() {
    let quarters = cron("*/15 * * * *", "Europe/London");
    // Nothing is left out in real time: the hour that the clock does not show is no time at all.
    for (after, until) in
        [("2026-03-28T23:59:00Z", "2026-03-29T03:59:00Z"), ("2026-10-24T23:59:00Z", "2026-10-25T03:59:00Z")]
    {
        assert_eq!(times(&quarters, after, until).len(), 16);
    }
}

#[test]
fn days_are_left_out_whole_in_the_zone() {
    let holidays = vec!["2026-03-29".parse().unwrap(), "2026-12-25".parse().unwrap(), "2026-12-26".parse().unwrap()];
    let left_out = |definition: Definition| {
        let (zone, not_on) = ("Europe/London".to_owned(), holidays.clone());
        Definition { zone, not_on, ..definition }
    };
    let hours = left_out(every(3_600));
    // A day of 23 hours, from midnight to midnight in London.
    let found = times(&hours, "2026-03-28T22:59:00Z", "2026-03-30T00:30:00Z");
    assert_eq!(found, ["2026-03-28T23:00:00Z", "2026-03-29T23:00:00Z", "2026-03-30T00:00:00Z"]);
    let nights = left_out(cron("0 3 * * *", "Europe/London"));
    let found = times(&nights, "2026-12-24T00:00:00Z", "2026-12-28T00:00:00Z");
    assert_eq!(found, ["2026-12-24T03:00:00Z", "2026-12-27T03:00:00Z"]);
}

#[test]
fn what_is_counted_in_one_go_is_what_is_counted_one_by_one() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let not_on = (0..random.u8(..4)).map(|_| jiff::civil::date(2026, random.i8(1..13), random.i8(1..29))).collect();
        let from = at("2026-01-01T00:00:00Z") + Duration::from_millis(random.u64(..100_000_000));
        let secs = random.u64(600..200_000);
        let definition = Definition { not_on, ..Definition::new(When::Every { secs, from }) };
        let all = Times::of(&definition).unwrap();
        let after = from - Duration::from_millis(random.u64(..9_000_000_000));
        let until = after + Duration::from_millis(random.u64(..30_000_000_000));
        let whole = all.between(after, until, LOOKED_AT);
        let mut one_by_one = super::super::times::Stretch::default();
        let found = std::iter::successors(all.next(after), |time| all.next(*time)).take_while(|time| *time <= until);
        found.for_each(|time| one_by_one.add(time));
        assert_eq!(whole, one_by_one, "{definition:?}");
    }
}

#[test]
fn jitter_is_the_same_each_time_and_within_its_bound() {
    let all = Times::of(&Definition { jitter_secs: 300, ..every(3_600) }).unwrap();
    let late = |name: &str, hour: u64| {
        let scheduled = at("2026-01-01T00:00:00Z") + Duration::from_secs(hour * 3_600);
        all.due(name, scheduled).duration_since(scheduled).as_millis()
    };
    let first: Vec<i128> = (0..1_000).map(|hour| late("a.b", hour)).collect();
    assert_eq!(first, (0..1_000).map(|hour| late("a.b", hour)).collect::<Vec<_>>());
    assert!(first.iter().all(|millis| (0..=300_000).contains(millis)));
    let (least, most) = (first.iter().min().unwrap(), first.iter().max().unwrap());
    assert!(*least < 10_000 && *most > 290_000, "{least} to {most}");
    assert_ne!(first[..10], (0..10).map(|hour| late("a.c", hour)).collect::<Vec<_>>()[..]);
}

#[test]
fn jitter_never_reaches_beyond_the_next_one() {
    let not_on = vec!["2026-01-01".parse().unwrap()];
    for definition in [every(60), cron("* * * * *", "UTC"), Definition { not_on, ..cron("*/2 * * * *", "UTC") }] {
        let all = Times::of(&Definition { jitter_secs: 3_600, ..definition }).unwrap();
        let mut time = all.next(at("2025-12-31T22:00:00Z")).unwrap();
        for _ in 0..200 {
            let next = all.next(time).unwrap();
            assert!(all.due("a.b", time) <= next);
            time = next;
        }
    }
}
