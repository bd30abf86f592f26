//! Content that a store does not take: the delivery or the command that made it fails, and nobody else.

use std::sync::Arc;

use factum_core::{
    envelope::Recorded,
    error::HandlerError,
    reaction::{Effects, Reaction},
    service::Service,
};
use factum_macros::Event;
use factum_runtime::{engine::Step, inbox::ExecuteError};

use super::bank::*;
use super::bench::*;

/// What the books make of a payment and no store takes.
#[derive(Event)]
#[event("book.spoiled")]
struct Spoiled {
    note: String,
}

#[test]
fn a_user_id_of_17_mib_is_its_callers_error() {
    let mut bench = Bench::new(bank());
    let mut long = request("p1", pay("a", 1));
    long.user_id = Some(Arc::from("x".repeat(17 << 20)));
    let Err(ExecuteError::Handler(HandlerError::Failed(problem))) = bench.ask_all(vec![long]) else {
        panic!("it was taken")
    };
    assert!(problem.contains("id of a user"), "{problem}");
    bench.ask("p2", pay("a", 1)).unwrap();
    assert_eq!(bench.engine.refusals(), 0);
}

/// A store that refuses what the engine's own check lets through.
#[test]
fn a_commit_that_the_store_refuses_is_found_to_the_delivery_that_made_it() {
    let spoil = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.send(Note { id: event.id.clone(), cents: event.cents });
        if event.note == "unfit" {
            fx.emit("odd", &event.id, Spoiled { note: UNFIT.to_owned() });
        }
    };
    let spoil = || Reaction::new("note", spoil).emits::<Spoiled>("odd");
    let services = || vec![accounts(), Service::new("books").decider::<Book>().owns("odd").reaction(spoil())];
    for together in [true, false] {
        let mut bench = Bench::new(services());
        let mut answers = Vec::new();
        for (number, note) in ["", "unfit", "", ""].into_iter().enumerate() {
            answers.push(bench.post_as(&format!("p{number}"), pay_with(&format!("k{number}"), 1, note)));
            if !together {
                bench.run();
            }
        }
        bench.run();
        assert!(answers.iter_mut().all(|answer| answer.try_recv().unwrap().is_ok()));
        assert_eq!(bench.events::<Noted>().len(), 3);
        let letter = bench.letters().remove(0);
        assert!(letter.reason().contains("cannot hold this"), "{}", letter.reason());
        assert_eq!((bench.engine.refusals(), bench.health().held), (0, 0));
        // And so it stays after a restart: no loop.
        let mut bench = bench.restart(services());
        bench.run();
        bench.ask("more", pay("k9", 1)).unwrap();
        assert_eq!((bench.letters().len(), bench.engine.refusals()), (1, 0));
    }
}

#[test]
fn a_command_whose_content_the_store_refuses_is_its_callers_error_and_others_wait_no_longer() {
    let mut bench = Bench::new(bank());
    let mut first = bench.post_as("p1", pay("a", 1));
    let mut unfit = bench.post_as("p2", pay_with("b", 1, UNFIT));
    let mut last = bench.post_as("p3", pay("c", 1));
    bench.run();
    assert!(first.try_recv().unwrap().is_ok() && last.try_recv().unwrap().is_ok());
    let error = unfit.try_recv().unwrap().unwrap_err().to_string();
    assert!(error.contains("cannot hold this"), "{error}");
    assert_eq!(bench.events::<Noted>().len(), 2);
}

#[test]
fn a_handler_that_panics_with_nine_mebibytes_of_text_leaves_one_kibibyte() {
    let scream = |event: &Recorded<'_, Paid>, _: &mut Effects| {
        assert!(event.cents != 1, "{}", "a".repeat(9 << 20));
    };
    let mut bench = Bench::new(vec![accounts(), books(), Service::new("screams").react("scream", scream)]);
    bench.ask("p1", pay("a", 1)).unwrap();
    assert!(bench.letters()[0].reason().len() <= 1 << 10);
    assert_eq!(bench.events::<Noted>().len(), 1);
}

#[test]
fn nine_reactions_from_the_start_that_fail_on_one_event_end_nothing() {
    let mut bench = Bench::new(vec![accounts()]);
    bench.ask("p1", pay("a", 1)).unwrap();
    bench.engine.save_cursor().unwrap();
    let names = ["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9"];
    let fails = |_: &Recorded<'_, Paid>, _: &mut Effects| -> Result<(), HandlerError> {
        Err(HandlerError::failed("x".repeat(1 << 20)))
    };
    let services = || {
        let failing = names.iter().map(|name| Service::new(name).react_from_start("fail", fails));
        failing.chain([accounts(), books()]).collect::<Vec<_>>()
    };
    let mut bench = bench.restart(services());
    bench.run();
    assert_eq!(bench.letters().len(), 9);
    bench.ask("p2", pay("b", 1)).unwrap();
    assert_eq!((bench.events::<Noted>().len(), bench.engine.refusals()), (1, 0));
}

/// What a handler decided on state that was then not stored is no answer.
#[test]
fn a_rejection_decided_on_what_was_not_stored_is_not_told() {
    let mut bench = Bench::new(bank());
    bench.faults.at(1, Fault::Transient);
    let mut most = bench.post_as("p1", pay("a", MOST));
    let mut more = bench.post_as("p2", pay("a", 1));
    assert!(bench.engine.step().is_err());
    assert!(matches!(most.try_recv().unwrap(), Err(ExecuteError::Commit(_))));
    let told = more.try_recv().unwrap();
    assert!(matches!(told, Err(ExecuteError::Commit(_))), "I1: a business answer on what was not stored: {told:?}");
    bench.engine.reload().unwrap();
    bench.ask("p2", pay("a", 1)).unwrap();
}

/// One failed read is nobody's failure: the batch is taken again.
#[test]
fn reads_that_fail_stop_no_consumer_and_nobody_is_told_anything() {
    let mut bench = Bench::with(bank(), How::limits(|limits| limits.state_bytes = 1));
    for number in 0..3 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    let mut answer = bench.post_as("p9", pay("a", 1));
    bench.faults.fail_reads(5);
    let mut failures = 0;
    for _ in 0..100 {
        match bench.engine.step() {
            Ok(Step::Rest) => break,
            Ok(Step::Worked | Step::InFlight) => {}
            Err(_) => {
                failures += 1;
                while bench.engine.reload().is_err() {
                    failures += 1;
                }
            }
        }
    }
    assert_eq!(failures, 5);
    assert!(answer.try_recv().unwrap().is_ok(), "it has waited");
    assert_eq!((bench.events::<Noted>().len(), bench.letters().len(), bench.health().stopped.len()), (4, 0, 0));
}
