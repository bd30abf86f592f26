//! One commit in flight: the next batch is decided on it, and stands or falls with it.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use factum_core::{
    cell::CellKind,
    envelope::Recorded,
    error::{CommitError, StoreError},
    ports::Snapshots,
    reaction::{Effects, Reaction},
    service::Service,
    timer::TimerTo,
};
use factum_runtime::{
    acts::{ActError, What},
    engine::Step,
    inbox::{ExecuteError, Input, Receipt},
};
use tokio::sync::oneshot;

use super::bank::*;
use super::bench::*;
use super::snapshots::often;

type Answer = oneshot::Receiver<Result<Vec<Receipt>, ExecuteError>>;

/// Two payments of `cents` into the account `a`, in flight. What nobody else waits for is not left there.
fn launched(bench: &mut Bench, cents: i64) -> [Answer; 2] {
    let answers = ["n1", "n2"].map(|id| bench.post_as(id, pay("a", cents)));
    assert_eq!(bench.engine.step().unwrap(), Step::Worked);
    assert!(bench.flight.as_ref().unwrap().is_waiting(), "it is in flight");
    answers
}

fn nobody_has_heard<'a>(answers: impl IntoIterator<Item = &'a mut Answer>) {
    for answer in answers {
        assert_eq!(answer.try_recv().unwrap_err(), oneshot::error::TryRecvError::Empty, "I1: nothing is durable");
    }
}

fn receipt(answer: &mut Answer) -> Receipt {
    answer.try_recv().unwrap().unwrap().remove(0)
}

/// The engine steps once, as it does after a failure.
fn next(bench: &mut Bench) -> Result<Step, StoreError> {
    bench.engine.step()
}

#[test]
fn the_next_batch_is_decided_on_what_is_in_flight_and_each_answers_at_its_own_sync() {
    let mut bench = Bench::new(bank()).flying();
    let mut first = launched(&mut bench, 400);
    let mut second = [("m1", pay("a", 199)), ("m2", pay("a", 1))].map(|(id, pay)| bench.post_as(id, pay));
    assert_eq!(next(&mut bench).unwrap(), Step::Worked);
    assert_eq!(next(&mut bench).unwrap(), Step::InFlight, "two batches are decided, and there is no third place");
    nobody_has_heard(first.iter_mut().chain(&mut second));
    assert!(bench.log().is_empty());
    assert!(bench.carry_out());
    let stands = |receipt: &Receipt| (receipt.version.0, receipt.position.0);
    assert_eq!(first.each_mut().map(receipt).each_ref().map(stands), [(1, 1), (2, 2)]);
    nobody_has_heard(&mut second);
    assert_eq!(next(&mut bench).unwrap(), Step::Worked, "what was decided meanwhile is launched");
    nobody_has_heard(&mut second);
    assert!(bench.carry_out());
    assert_eq!(stands(&receipt(&mut second[0])), (3, 3));
    assert_eq!(stands(&receipt(&mut second[1])), (4, 4), "on what is in flight: 400 + 400 + 199 + 1 is allowed");
    bench.run();
    bench.check_versions();
    assert_eq!(bench.events::<Noted>().len(), 4);
}

#[test]
fn inputs_that_come_while_a_commit_is_in_flight_join_the_batch_that_waits() {
    let mut bench = Bench::new(bank()).flying();
    let mut answers: Vec<Answer> = launched(&mut bench, 1).into();
    for number in 0..5 {
        answers.push(bench.post_as(&format!("m{number}"), pay("a", 1)));
        assert_eq!(next(&mut bench).unwrap(), Step::Worked);
    }
    let writes = bench.faults.writes();
    bench.carry_out();
    next(&mut bench).unwrap();
    bench.carry_out();
    assert_eq!(bench.faults.writes() - writes, 2, "one commit for all that has come");
    let positions: Vec<u64> = answers.iter_mut().map(|answer| receipt(answer).position.0).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn the_batch_that_waits_takes_no_more_than_a_batch_may() {
    let mut bench = Bench::with(bank(), How::limits(|limits| limits.inputs = 3)).flying();
    launched(&mut bench, 1);
    for number in 0..9 {
        bench.send(&format!("m{number}"), pay("a", 1));
        next(&mut bench).unwrap();
    }
    assert_eq!(next(&mut bench).unwrap(), Step::InFlight);
    assert_eq!(bench.inbox.waiting(), 6, "the inbox has a bound, and what waits has one");
}

/// A batch that was decided on one that failed is run again: its callers wait on, and hear what is so.
#[test]
fn what_was_decided_on_a_commit_that_fails_falls_with_it_and_is_run_again() {
    let mut bench = Bench::new(bank()).flying();
    bench.faults.at(1, Fault::Transient);
    let mut first = launched(&mut bench, 400);
    let mut second = ["m1", "m2"].map(|id| bench.post_as(id, pay("a", 300)));
    next(&mut bench).unwrap();
    bench.carry_out();
    nobody_has_heard(&mut second);
    assert!(matches!(next(&mut bench), Err(StoreError::Transient(_))));
    for answer in &mut first {
        assert!(matches!(answer.try_recv().unwrap(), Err(ExecuteError::Commit(CommitError::Store(_)))));
    }
    nobody_has_heard(&mut second);
    bench.run();
    let versions = second.each_mut().map(|answer| receipt(answer).version.0);
    assert_eq!(versions, [1, 2], "I6: the state is that of the log");
    assert_eq!(bench.events::<Noted>().len(), 2, "I6: nothing of what fell is passed over");
}

/// The cursor of a batch that was decided on what failed must not outlive it: what the failed one has handled would be skipped.
#[test]
fn a_cursor_falls_with_the_commit_that_it_was_moved_behind() {
    let limits = How::limits(|limits| (limits.messages, limits.share) = (2, 1));
    let mut bench = Bench::with(bank(), limits).flying();
    for number in 0..6 {
        bench.send(&format!("p{number}"), pay(&format!("a{number}"), 1));
    }
    next(&mut bench).unwrap();
    bench.carry_out();
    bench.faults.at(2, Fault::Transient);
    // The notes of the first two payments are in flight, and those of the next two are decided.
    next(&mut bench).unwrap();
    assert!(bench.flight.as_ref().unwrap().is_waiting());
    next(&mut bench).unwrap();
    bench.carry_out();
    for _ in 0..3 {
        _ = next(&mut bench);
    }
    bench.run();
    assert_eq!(bench.events::<Noted>().len(), 6, "I6: each payment is noted once");
    bench.check_versions();
}

#[test]
fn a_rejection_decided_on_what_has_fallen_is_not_told() {
    let mut bench = Bench::new(bank()).flying();
    bench.faults.at(1, Fault::Transient);
    launched(&mut bench, MOST / 2);
    let mut more = bench.post_as("m1", pay("a", 1));
    next(&mut bench).unwrap();
    bench.carry_out();
    assert!(next(&mut bench).is_err());
    let told = more.try_recv();
    assert!(told.is_err(), "I1: a business answer on what was not stored: {told:?}");
    bench.run();
    assert_eq!(receipt(&mut more).version.0, 1, "on what is so it is accepted");
}

#[test]
fn a_rejection_decided_on_what_is_in_flight_waits_for_it() {
    let mut bench = Bench::new(bank()).flying();
    let mut first = launched(&mut bench, MOST / 2);
    let mut more = bench.post_as("m1", pay("a", 1));
    next(&mut bench).unwrap();
    nobody_has_heard(first.iter_mut().chain([&mut more]));
    bench.carry_out();
    next(&mut bench).unwrap();
    assert!(
        matches!(more.try_recv().unwrap(), Err(ExecuteError::Rejected(_))),
        "it stands with what it was decided on"
    );
}

#[test]
fn where_nobody_knows_what_was_stored_that_is_what_all_hear() {
    for fault in [Fault::UnknownLost, Fault::UnknownWritten] {
        let mut bench = Bench::new(bank()).flying();
        bench.faults.at(1, fault);
        let mut answers: Vec<Answer> = launched(&mut bench, MOST / 2).into();
        // One that is rejected on what is in flight, and one that repeats it.
        answers.push(bench.post_as("m1", pay("a", 1)));
        answers.push(bench.post_as("n1", pay("a", MOST / 2)));
        next(&mut bench).unwrap();
        bench.carry_out();
        assert!(matches!(next(&mut bench), Err(StoreError::OutcomeUnknown(_))));
        for answer in &mut answers {
            let told = answer.try_recv().unwrap();
            let unknown = matches!(told, Err(ExecuteError::Commit(CommitError::Store(StoreError::OutcomeUnknown(_)))));
            assert!(unknown, "I1: {told:?}");
        }
    }
}

#[test]
fn a_commit_that_is_refused_for_its_content_is_found_out_with_what_was_decided_on_it() {
    let mut bench = Bench::new(bank()).flying();
    let mut unfit = bench.post_as("n1", pay_with("a", 1, UNFIT));
    let mut beside = bench.post_as("n2", pay("a", 2));
    next(&mut bench).unwrap();
    let mut more = bench.post_as("m1", pay("a", 4));
    next(&mut bench).unwrap();
    bench.carry_out();
    nobody_has_heard([&mut unfit, &mut beside, &mut more]);
    bench.run();
    assert!(matches!(unfit.try_recv().unwrap(), Err(ExecuteError::Handler(_))));
    assert_eq!(
        (receipt(&mut beside).version.0, receipt(&mut more).version.0),
        (1, 2),
        "in the order in which they came"
    );
}

/// Whoever carried the commit out: the panic is the engine's, which goes on from the log.
#[test]
fn a_store_that_panics_is_the_engines_trouble_and_not_its_threads() {
    let mut bench = Bench::new(bank()).flying();
    bench.faults.at(1, Fault::Panics);
    let mut first = launched(&mut bench, 400);
    let mut second = bench.post_as("m1", pay("a", MOST));
    next(&mut bench).unwrap();
    assert!(bench.carry_out(), "whoever carries out is not ended by it");
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| bench.engine.step())).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"as told"));
    let closed = |answer: &mut Answer| answer.try_recv().unwrap_err() == oneshot::error::TryRecvError::Closed;
    assert!(first.iter_mut().all(closed), "nobody knows");
    nobody_has_heard([&mut second]);
    bench.run();
    assert_eq!(receipt(&mut second).version.0, 1, "decided anew, on what is in the log");
}

#[test]
fn a_command_sent_again_while_it_is_in_flight_gets_the_first_receipt_when_that_is_durable() {
    let mut bench = Bench::new(bank()).flying();
    let mut first = launched(&mut bench, 1);
    let mut again = ["n1", "n2"].map(|id| bench.post_as(id, pay("a", 1)));
    let mut other = bench.post_as("n1", pay("a", 2));
    next(&mut bench).unwrap();
    nobody_has_heard(first.iter_mut().chain(&mut again).chain([&mut other]));
    bench.carry_out();
    next(&mut bench).unwrap();
    for (first, again) in first.iter_mut().zip(&mut again) {
        let (first, again) = (receipt(first), receipt(again));
        assert_eq!(again, Receipt { repeated: true, ..first }, "I1: the first receipt");
    }
    assert!(matches!(other.try_recv().unwrap(), Err(ExecuteError::IdReused(_))));
    bench.run();
    assert_eq!(bench.events::<Paid>().len(), 2, "each was carried out once");
}

/// A state that is lost in the midst of a batch is folded again, with what is in flight in it.
#[test]
fn a_state_that_is_folded_again_waits_for_what_is_in_flight() {
    let mut bench = Bench::new(bank()).flying();
    let mut first = launched(&mut bench, 100);
    let mut panics = bench.post_as("m1", pay_with("a", 1, "panic in the decider"));
    let mut more = bench.post_as("m2", pay("a", MOST - 200));
    let mut too_much = bench.post_as("m3", pay("a", 1));
    next(&mut bench).unwrap();
    assert!(first.iter_mut().all(|answer| answer.try_recv().is_ok()), "whoever needs what is in flight carries it out");
    nobody_has_heard([&mut more, &mut too_much]);
    bench.run();
    assert!(matches!(panics.try_recv().unwrap(), Err(ExecuteError::Handler(_))));
    assert_eq!(receipt(&mut more).version.0, 3);
    assert!(matches!(too_much.try_recv().unwrap(), Err(ExecuteError::Rejected(_))), "nothing of the stream is missing");
    bench.check_versions();
}

#[test]
fn a_state_that_is_folded_again_does_not_outlive_what_it_waits_for() {
    let mut bench = Bench::new(bank()).flying();
    bench.faults.at(1, Fault::Transient);
    launched(&mut bench, 100);
    bench.send("m1", pay_with("a", 1, "panic in the decider"));
    let mut more = bench.post_as("m2", pay("a", MOST));
    assert!(next(&mut bench).is_err());
    nobody_has_heard([&mut more]);
    bench.run();
    assert_eq!(receipt(&mut more).version.0, 1);
}

/// The cache may hold nothing: what is driven out while its messages are in flight is read when they have landed.
#[test]
fn states_that_are_driven_out_are_right_when_they_are_read_again() {
    let mut bench = Bench::with(bank(), How::limits(|limits| limits.state_bytes = 1)).flying();
    let mut answers: Vec<Answer> = launched(&mut bench, 1).into();
    for round in 0..20 {
        for id in 0..3 {
            answers.push(bench.post_as(&format!("m{round}-{id}"), pay("a", 1)));
        }
        next(&mut bench).unwrap();
        if round % 3 == 0 {
            bench.carry_out();
        }
    }
    bench.run();
    let versions: Vec<u64> = answers.iter_mut().map(|answer| receipt(answer).version.0).collect();
    assert_eq!(versions, (1..=62).collect::<Vec<u64>>());
}

const T: TimerTo<Note> = TimerTo::new("t");

/// `set` in a payment's note sets a timer that is due at once, `cancel` cancels it.
fn timed() -> Vec<Service> {
    let follow = |event: &Recorded<'_, Paid>, fx: &mut Effects| match &*event.note {
        "set" => fx.at(T, NOW, Note { id: event.id.clone(), cents: event.cents }),
        "cancel" => fx.cancel(T),
        _ => {}
    };
    let timers = Service::new("timers").reaction(Reaction::new("follow", follow).sets(T));
    vec![accounts(), Service::new("books").decider::<Book>(), timers]
}

/// Two payments with these notes are in the log; of the first one's reaction it is known that it is in flight.
fn timer_in_flight(notes: [&str; 2]) -> Bench {
    let mut bench = Bench::with(timed(), How::limits(|limits| limits.messages = 1)).flying();
    for (number, note) in notes.iter().enumerate() {
        bench.send(&format!("p{number}"), pay_with("x", number as i64 + 1, note));
    }
    next(&mut bench).unwrap();
    bench.carry_out();
    next(&mut bench).unwrap();
    assert!(bench.flight.as_ref().unwrap().is_waiting(), "the timer is in flight");
    bench
}

#[test]
fn a_timer_that_was_set_in_flight_can_be_cancelled_on_it() {
    let mut bench = timer_in_flight(["set", "cancel"]);
    bench.run();
    assert_eq!((bench.events::<Noted>().len(), bench.cells(CellKind::Timer)), (0, 0));
}

#[test]
fn a_timer_that_was_set_in_flight_fires_when_it_is_durable() {
    let mut bench = timer_in_flight(["set", ""]);
    assert_eq!(bench.cells(CellKind::Timer), 0);
    next(&mut bench).unwrap();
    assert_eq!(bench.cells(CellKind::Timer), 1, "its cell is durable before it fires");
    assert!(bench.events::<Noted>().is_empty());
    bench.run();
    assert_eq!((bench.events::<Noted>().len(), bench.cells(CellKind::Timer)), (1, 0));
}

#[test]
fn there_is_no_rest_while_a_commit_is_in_flight() {
    let mut bench = Bench::new(vec![accounts()]).flying();
    launched(&mut bench, 1);
    let (reply, mut rested) = oneshot::channel();
    bench.inbox.try_send(Input::Rest(reply)).unwrap();
    for _ in 0..3 {
        assert_eq!(next(&mut bench).unwrap(), Step::InFlight);
    }
    assert!(rested.try_recv().is_err());
    bench.carry_out();
    bench.run();
    assert_eq!(rested.try_recv().unwrap().position.0, 2);
}

#[test]
fn a_stop_lets_land_what_is_in_flight_and_what_was_decided_on_it() {
    let mut bench = Bench::new(bank()).flying();
    let mut answers: Vec<Answer> = launched(&mut bench, 1).into();
    answers.push(bench.post_as("m1", pay("a", 1)));
    answers.push(bench.post_as("m2", pay("a", MOST)));
    next(&mut bench).unwrap();
    bench.engine.save_at_stop().unwrap();
    assert_eq!(bench.log().len(), 3, "the cursor that was written has everything below it");
    assert!(matches!(answers.pop().unwrap().try_recv().unwrap(), Err(ExecuteError::Rejected(_))));
    assert!(answers.iter_mut().all(|answer| answer.try_recv().unwrap().is_ok()));
    let mut bench = bench.restart(bank());
    bench.run();
    assert_eq!(bench.events::<Noted>().len(), 3);
}

#[test]
fn an_engine_that_is_shut_answers_those_of_both_batches() {
    let mut bench = Bench::new(bank()).flying();
    let mut first = launched(&mut bench, 1);
    let mut second = bench.post_as("m1", pay("a", 1));
    next(&mut bench).unwrap();
    bench.engine.shut("as told");
    assert!(first.iter_mut().all(|answer| answer.try_recv().unwrap().is_ok()), "it had been launched");
    assert!(matches!(second.try_recv().unwrap(), Err(ExecuteError::Stopped(_))));
    assert_eq!(bench.log().len(), 2, "nothing of it was stored");
}

#[test]
fn an_act_that_was_refused_on_what_has_fallen_is_asked_to_look_again() {
    let mut bench = Bench::new(bank()).flying();
    bench.faults.at(1, Fault::Transient);
    launched(&mut bench, 1);
    let mut act = bench.begin(What::TryAgain("nobody".to_owned()));
    next(&mut bench).unwrap();
    bench.carry_out();
    assert!(next(&mut bench).is_err());
    assert!(matches!(act.try_recv().unwrap(), Err(ActError::NotNow(_))));
}

/// Where a snapshot is due behind so many commits, nothing is decided on the one behind which it is taken.
#[test]
fn no_snapshot_holds_what_is_not_durable() {
    const ACCOUNT: &str = "stream/account-a";
    let accounts = vec![Service::new("accounts").decider_with_snapshots::<Account>(1)];
    let mut bench = Bench::with(accounts, often()).flying();
    let (mut taken, mut flown) = (0, 0);
    for round in 0..100 {
        for batch in 0..2 {
            for name in ["m", "n"] {
                bench.send(&format!("{name}{round}-{batch}"), pay("a", 1));
            }
            next(&mut bench).unwrap();
        }
        flown += usize::from(bench.flight.as_ref().unwrap().is_waiting());
        // The first batch lands, then the second one; behind that the cursor moves over both, and there is no rest.
        for _ in 0..2 {
            bench.carry_out();
            next(&mut bench).unwrap();
            let Some(snapshot) = bench.snapshots.get(ACCOUNT).unwrap() else { continue };
            let text = String::from_utf8_lossy(&snapshot.state).into_owned();
            let state: serde_json::Value = serde_json::from_str(&text[text.rfind('{').unwrap()..]).unwrap();
            let (balance, durable) = (state["balance"].as_u64().unwrap(), bench.stream("account-a").len() as u64);
            assert!(balance <= durable, "I4: a snapshot of {balance} payments; {durable} are durable");
            bench.snapshots.remove(ACCOUNT).unwrap();
            taken += 1;
        }
    }
    assert!(taken > 1 && flown > 50, "{taken} snapshots were taken under load, behind {flown} commits in flight");
}

/// One caller waits for its own commit alone: handing it over would only cost time.
#[test]
fn the_commit_of_a_caller_that_is_alone_is_not_handed_over() {
    let mut bench = Bench::new(vec![accounts()]).flying();
    let mut answer = bench.post_as("p1", pay("a", 1));
    bench.engine.step().unwrap();
    assert_eq!(receipt(&mut answer).position.0, 1);
    assert!(!bench.carry_out());
}

/// While the store fails one commit follows the other, so that health does not say that it works as soon as one was launched.
#[test]
fn behind_a_failure_nothing_is_in_flight_until_a_commit_has_landed() {
    let mut bench = Bench::new(bank()).flying();
    (1..=2).for_each(|write| bench.faults.at(write, Fault::Transient));
    launched(&mut bench, 1);
    bench.carry_out();
    assert!(next(&mut bench).is_err());
    let _again = ["m1", "m2"].map(|id| bench.post_as(id, pay("a", 1)));
    assert!(next(&mut bench).is_err(), "it is known at once");
    let _again = ["m1", "m2"].map(|id| bench.post_as(id, pay("a", 1)));
    assert_eq!(next(&mut bench).unwrap(), Step::Worked);
    assert_eq!(bench.log().len(), 2);
}

#[test]
fn a_thread_may_carry_out_what_the_engine_launches() {
    let mut bench = Bench::new(bank()).flying();
    let flight = bench.flight.clone().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        while !stopped.load(Ordering::Acquire) {
            flight.carry_out();
            std::thread::yield_now();
        }
    });
    let mut answers: Vec<Answer> = Vec::new();
    for number in 0..2_000 {
        answers.push(bench.post_as(&format!("p{number}"), pay(&format!("a{}", number % 7), 1)));
        if number % 5 == 0 {
            bench.engine.step().unwrap();
        }
    }
    while bench.engine.step().unwrap() != Step::Rest {
        std::thread::yield_now();
    }
    stop.store(true, Ordering::Release);
    thread.join().unwrap();
    let log = bench.log();
    let paid: Vec<_> = log.iter().filter(|stored| stored.stream.category() == "account").collect();
    assert_eq!(paid.len(), answers.len());
    for (answer, paid) in answers.iter_mut().map(receipt).zip(paid) {
        assert_eq!((&answer.stream, answer.version, answer.position), (&paid.stream, paid.version, paid.position));
    }
    bench.check_versions();
    assert_eq!(bench.events::<Noted>().len(), 2_000);
}
