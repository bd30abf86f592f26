//! Timers: in order of time and name, moved, cancelled, durable.

use std::time::Duration;

use factum_core::{
    cell::CellKind,
    envelope::Recorded,
    reaction::{Effects, Reaction},
    service::Service,
    timer::{TimerOf, TimerTo},
};
use factum_runtime::acts::{Outcome, What};

use super::bank::*;
use super::bench::*;

const T: TimerTo<Note> = TimerTo::new("t");
/// Timers of the tests; what stands behind a slash is the variable part.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "t"];

fn timer(name: &str) -> TimerOf<Note> {
    let known = |name: &str| TimerTo::<Note>::new(NAMES.iter().find(|known| **known == name).unwrap());
    name.split_once('/').map_or_else(|| known(name).into(), |(name, part)| known(name).of(part))
}

/// `set <name> <seconds>` in a payment's note sets a timer that notes the payment, `at <name> <time>` one at that time,
/// `cancel <name>` cancels it.
fn timed() -> Vec<Service> {
    let follow = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        let words: Vec<&str> = event.note.split(' ').collect();
        match words[..] {
            ["set", name, seconds] => {
                let delay = Duration::from_secs(seconds.parse().unwrap());
                fx.after(timer(name), delay, Note { id: event.id.clone(), cents: event.cents });
            }
            ["at", name, time] => {
                fx.at(timer(name), time.parse().unwrap(), Note { id: event.id.clone(), cents: event.cents });
            }
            ["cancel", name] => fx.cancel(timer(name)),
            ["set-and-cancel", name] => {
                fx.after(timer(name), Duration::from_secs(1), Note { id: event.id.clone(), cents: event.cents });
                fx.cancel(timer(name));
            }
            ["cancel-and-set", name] => {
                fx.cancel(timer(name));
                fx.after(timer(name), Duration::from_secs(1), Note { id: event.id.clone(), cents: event.cents });
            }
            _ => {}
        }
    };
    let follow = NAMES.iter().fold(Reaction::new("follow", follow), |it, name| it.sets(TimerTo::<Note>::new(name)));
    vec![accounts(), Service::new("books").decider::<Book>(), Service::new("timers").reaction(follow)]
}

fn noted(bench: &Bench) -> Vec<i64> {
    bench.events::<Noted>().iter().map(|noted| noted.cents).collect()
}

fn at(seconds: u64) -> factum_core::Timestamp {
    NOW + Duration::from_secs(seconds)
}

#[test]
fn timers_fire_by_time_and_then_by_name_and_carry_their_time() {
    for how in [How::default(), How::limits(|limits| limits.inputs = 1)] {
        let mut bench = Bench::with(timed(), how);
        for (cents, note) in [(1, "set b 20"), (2, "set a 20"), (3, "set c 10"), (4, "set d 30")] {
            bench.ask(&format!("p{cents}"), pay_with("x", cents, note)).unwrap();
        }
        assert_eq!(bench.engine.next_timer(), Some(at(10)));
        bench.advance(at(9));
        assert!(noted(&bench).is_empty());
        bench.advance(at(20));
        assert_eq!(noted(&bench), [3, 2, 1]);
        let times: Vec<_> = bench.stream("book-x").iter().map(|stored| stored.envelope().timestamp).collect();
        assert_eq!(times, [at(10), at(20), at(20)], "a timer's time is when it was due");
        assert_eq!(bench.cells(CellKind::Timer), 1);
        bench.advance(at(1_000));
        assert_eq!(noted(&bench), [3, 2, 1, 4]);
        assert_eq!(bench.cells(CellKind::Timer), 0);
    }
}

#[test]
fn a_timer_is_moved_by_its_name_and_cancelled_and_survives_a_restart() {
    let mut bench = Bench::new(timed());
    for (cents, note) in [(1, "set a 10"), (2, "set b 10"), (3, "set a 30"), (4, "cancel b"), (5, "cancel nothing")] {
        bench.ask(&format!("p{cents}"), pay_with("x", cents, note)).unwrap();
    }
    bench.advance(at(20));
    assert!(noted(&bench).is_empty());
    let mut bench = bench.restart(timed());
    bench.advance(at(29));
    assert!(noted(&bench).is_empty());
    bench.advance(at(30));
    assert_eq!(noted(&bench), [3]);
    let mut bench = bench.restart(timed());
    bench.advance(at(1_000));
    assert_eq!(noted(&bench), [3]);
    assert_eq!(bench.cells(CellKind::Timer), 0);
}

#[test]
fn a_timer_at_a_point_in_time_is_due_then_whatever_its_cause_and_at_once_if_that_has_passed() {
    for live in [false, true] {
        let mut bench = Bench::with(timed(), How { live, ..How::default() });
        let (past, later) = (NOW - Duration::from_secs(3_600), at(50));
        bench.ask("p1", pay_with("x", 1, &format!("at a {later}"))).unwrap();
        bench.ask("p2", pay_with("x", 2, &format!("at b {past}"))).unwrap();
        assert_eq!(noted(&bench), [2], "what has passed is due at once");
        assert_eq!(bench.engine.next_timer(), Some(later));
        bench.advance(at(49));
        let mut bench = bench.restart(timed());
        assert_eq!(noted(&bench), [2]);
        bench.advance(at(60));
        assert_eq!(noted(&bench), [2, 1]);
        let times: Vec<_> = bench.stream("book-x").iter().map(|stored| stored.envelope().timestamp).collect();
        assert_eq!(times, [past, later], "a timer's time is when it was due");
    }
}

#[test]
fn a_delay_and_a_point_in_time_move_the_same_timer() {
    for (notes, due) in [
        ([format!("at a {}", at(10)), "set a 30".to_owned()], 30),
        (["set a 30".to_owned(), format!("at a {}", at(10))], 10),
    ] {
        let mut bench = Bench::new(timed());
        for (cents, note) in (1..).zip(&notes) {
            bench.ask(&format!("p{cents}"), pay_with("x", cents, note)).unwrap();
        }
        assert_eq!((bench.engine.next_timer(), bench.cells(CellKind::Timer)), (Some(at(due)), 1));
        bench.ask("p3", pay_with("x", 3, "cancel a")).unwrap();
        assert_eq!(bench.cells(CellKind::Timer), 0);
    }
}

#[test]
fn set_and_cancelled_in_one_go_is_nothing_and_the_other_way_round_is_a_timer() {
    for separate in [true, false] {
        let mut bench = Bench::new(timed());
        bench.ask("p1", pay_with("x", 1, "set a 5")).unwrap();
        let more = [(2, "set-and-cancel a"), (3, "cancel-and-set b"), (4, "set c 1"), (5, "cancel c"), (6, "set d 1")];
        for (cents, note) in more {
            bench.send(&format!("p{cents}"), pay_with("x", cents, note));
            if separate {
                bench.run();
            }
        }
        bench.run();
        assert_eq!(bench.cells(CellKind::Timer), 2);
        bench.advance(at(100));
        assert_eq!(noted(&bench), [3, 6]);
    }
}

#[test]
fn one_that_is_cancelled_or_moved_in_the_batch_in_which_it_is_due_does_not_fire() {
    for note in ["cancel a", "set a 50"] {
        let mut bench = Bench::new(timed());
        bench.ask("p1", pay_with("x", 1, "set a 10")).unwrap();
        bench.send("p2", pay_with("x", 2, note));
        bench.engine.step().unwrap();
        // The cancelling event stands in the log, unread, when the timer becomes due.
        bench.advance(at(10));
        assert!(noted(&bench).is_empty(), "{note}");
        bench.advance(at(1_000));
        assert_eq!(noted(&bench), if note == "cancel a" { vec![] } else { vec![2] });
    }
}

#[test]
fn a_key_with_a_slash_keeps_its_sender() {
    let mut bench = Bench::new(timed());
    bench.ask("p1", pay_with("x/y-z/1", 7, "set a/b 10")).unwrap();
    bench.ask("p2", pay_with("x/y-z/1", -7, "set c 10")).unwrap();
    bench.advance(at(10));
    assert_eq!(noted(&bench), [7]);
    let book = bench.stream("book-x/y-z/1");
    let rejection: serde_json::Value = serde_json::from_slice(&book[1].message.data).unwrap();
    assert_eq!(rejection["sender"], "timers.follow-x/y-z/1");
}

const BOMB: TimerTo<Pay> = TimerTo::new("bomb");
const BOMB2: TimerTo<Pay> = TimerTo::new("bomb2");

/// The accounts' decider panics on the command of the timer `bomb`, while it is armed.
fn bombs(panics: bool) -> Vec<Service> {
    let bomb = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        if event.note.starts_with("bomb") {
            let note = if panics { "panic in the decider" } else { "fine" };
            let timer = if event.note == "bomb" { BOMB } else { BOMB2 };
            fx.after(timer, Duration::from_secs(1), pay_with("z", event.cents, note));
        }
    };
    let disarmed = move |event: &Recorded<'_, Noted>, fx: &mut Effects| {
        fx.send(pay_with("y", event.cents, "forwarded"));
    };
    vec![
        accounts(),
        Service::new("books").decider::<Book>().react("forward", disarmed),
        Service::new("bombs").reaction(Reaction::new("bomb", bomb).sets(BOMB).sets(BOMB2)),
    ]
}

#[test]
fn a_timer_whose_command_fails_becomes_a_letter_that_keeps_it() {
    let mut bench = Bench::new(bombs(true));
    bench.ask("p1", pay_with("x", 1, "bomb")).unwrap();
    bench.advance(at(1));
    let letter = bench.letters().remove(0);
    assert_eq!(letter.id.to_string(), "accounts.account@timer/bombs.bomb-x/bomb");
    assert_eq!(bench.cells(CellKind::Timer), 0, "the letter keeps it");
    // The next timer of the same key waits, in its own cell.
    bench.ask("p2", pay_with("x", 2, "bomb2")).unwrap();
    bench.advance(at(5));
    assert_eq!((bench.letters().len(), bench.cells(CellKind::Timer)), (1, 1));
    // Other keys go on.
    bench.ask("p3", pay("w", 1)).unwrap();
    let mut bench = bench.restart(bombs(true));
    assert!(matches!(bench.act(What::Redrive(letter.id.clone())), Ok(Outcome::FailedAgain { .. })));
    assert_eq!(bench.letters()[0].failure_count, 2);
    let done = bench.act(What::Discard(letter.id.clone()));
    assert!(done.is_ok());
    // The second one has fired, and failed as well.
    assert_eq!(bench.letter().to_string(), "accounts.account@timer/bombs.bomb-x/bomb2");
    assert!(bench.act(What::Redrive(letter.id)).is_err(), "it has ended");
}

#[test]
fn names_with_slashes_do_not_mix_up_two_timers() {
    let mut bench = Bench::new(timed());
    bench.ask("p1", pay_with("a/b", 1, "set t 10")).unwrap();
    bench.ask("p2", pay_with("a", 2, "set b/t 10")).unwrap();
    bench.ask("p3", pay_with("a%2Fb", 3, "set t 10")).unwrap();
    assert_eq!(bench.cells(CellKind::Timer), 3);
    bench.ask("p4", pay_with("a", 4, "cancel b/t")).unwrap();
    bench.advance(at(10));
    let mut fired = noted(&bench);
    fired.sort_unstable();
    assert_eq!(fired, [1, 3]);
}

#[test]
fn a_timers_name_that_is_too_long_or_not_printable_is_its_handlers_failure() {
    for part in ["x".repeat(70_000), "\n".to_owned()] {
        let long = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.after(T.of(&part), Duration::from_secs(1), Note { id: event.id.clone(), cents: 1 });
        };
        let long = Reaction::new("long", long).sets(T);
        let services = vec![accounts(), Service::new("books").decider::<Book>().reaction(long)];
        let mut bench = Bench::new(services);
        bench.ask("p1", pay("x", 1)).unwrap();
        assert!(bench.letters()[0].reason().contains("name of a timer"), "{}", bench.letters()[0].reason());
        assert_eq!(bench.engine.refusals(), 0);
    }
}

/// A reaction that orders by a field of its own finds its timers from every stream.
#[test]
fn a_timer_is_cancelled_from_another_stream_of_the_same_key() {
    let follow = |event: &Recorded<'_, Paid>, fx: &mut Effects| match event.cents {
        1 => fx.after(T, Duration::from_secs(10), Note { id: event.id.clone(), cents: 7 }),
        _ => fx.cancel(T),
    };
    let reaction = || Reaction::new("follow", follow).by("note").sets(T);
    let services =
        || vec![accounts(), Service::new("books").decider::<Book>(), Service::new("timers").reaction(reaction())];
    for (last, fired) in [("same", 0), ("other", 1)] {
        let mut bench = Bench::new(services());
        bench.ask("p1", pay_with("x", 1, "same")).unwrap();
        bench.ask("p2", pay_with("y", 2, last)).unwrap();
        bench.advance(at(100));
        assert_eq!(noted(&bench).len(), fired, "{last}");
    }
}
