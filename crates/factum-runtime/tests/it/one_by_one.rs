//! After an end that was not in order things are taken one by one, and a message that ends processes is found.

use factum_core::{
    envelope::Recorded,
    ports::{Note, Notes},
    reaction::{Effects, Folding, Reaction},
    service::Service,
    stream::Position,
};
use factum_runtime::acts::What;

use super::bank::*;
use super::bench::*;

fn services() -> Vec<Service> {
    bank()
}

/// Two payments stand in the log, unread.
fn unread() -> Bench {
    let mut bench = Bench::new(services());
    bench.send("p1", pay("a", 1));
    bench.send("p2", pay("b", 2));
    bench.engine.step().unwrap();
    assert_eq!(bench.log().len(), 2);
    bench
}

#[test]
fn a_message_that_ends_the_process_becomes_a_letter_after_three_ends_under_it() {
    let mut bench = unread();
    for _ in 0..3 {
        bench = bench.restart(services());
        bench.dies_in("books.note@1");
    }
    let mut bench = bench.restart(services());
    bench.run();
    let letter = bench.letters().remove(0);
    assert_eq!(letter.id.to_string(), "books.note@1");
    assert!(letter.reason().contains("the process ended 3 times in a row"), "{}", letter.reason());
    assert_eq!(bench.events::<Noted>().len(), 1, "the other one goes on");
    assert_eq!(bench.notes.get("engine").unwrap().suspect, None);
    // It stays a letter, and nothing is tried behind a person's back.
    let mut bench = bench.restart(services());
    bench.run();
    assert_eq!((bench.letters().len(), bench.events::<Noted>().len()), (1, 1));
}

#[test]
fn ends_at_random_turn_no_innocent_message_into_a_letter() {
    let mut bench = unread();
    for delivery in ["books.note@1", "books.note@1", "books.note@2", "books.note@1", "books.note@1"] {
        bench = bench.restart(services());
        bench.dies_in(delivery);
    }
    // An end while nothing was being handled breaks the row, too.
    bench = bench.restart(services());
    bench = bench.restart(services());
    bench.dies_in("books.note@1");
    let mut bench = bench.restart(services());
    bench.run();
    assert_eq!((bench.letters().len(), bench.events::<Noted>().len()), (0, 2));
}

#[test]
fn what_was_unread_is_noted_and_then_nothing_is() {
    let bench = unread();
    let mut bench = bench.restart(services());
    let writes = bench.faults.writes();
    bench.run();
    assert_eq!(bench.faults.writes(), writes + 2, "in batches: commands, notes");
    assert_eq!(bench.notes.get("engine").unwrap(), Note { stood: Some((Position(0), 0)), ..Note::default() });
    let mut bench = bench.stop_and_start(services());
    assert!(!bench.notes.get("engine").unwrap().ended);
    bench.send("p3", pay("a", 3));
    bench.send("p4", pay("b", 4));
    let writes = bench.faults.writes();
    bench.run();
    assert_eq!(bench.faults.writes(), writes + 3, "in batches: payments, commands, notes");
}

/// So many payments stand in the log, unread, and a batch takes four messages.
fn many_unread(payments: i64) -> Bench {
    let mut bench = Bench::with(services(), How::limits(|limits| limits.messages = 4));
    for number in 0..payments {
        bench.send(&format!("p{number}"), pay(&format!("k{number}"), 1));
    }
    bench.engine.step().unwrap();
    assert_eq!(bench.log().len() as i64, payments);
    bench
}

/// Where the engine stands behind each of so many steps.
fn cursors(bench: &mut Bench, steps: usize) -> Vec<u64> {
    let step = |_| {
        bench.engine.step().unwrap();
        bench.engine.health().lock().unwrap().cursor
    };
    (0..steps).map(step).collect()
}

/// Were all that was unread taken one by one, a unit that is killed under load would never be through.
#[test]
fn only_what_the_process_ended_under_has_a_commit_to_itself() {
    let mut bench = many_unread(200).restart(services());
    assert_eq!(cursors(&mut bench, 2), [4, 8], "nothing was being handled");
    bench.dies_in("books.note@11");
    let mut bench = bench.restart(services());
    assert_eq!(cursors(&mut bench, 4), [10, 11, 15, 19], "what stands before it is safe when it is run again");
    bench.run();
    assert_eq!((bench.letters().len(), bench.events::<Noted>().len()), (0, 200));
}

/// Were one spared in a commit that holds the other, too, it would be run again at the next start, and so on for ever.
#[test]
fn two_in_one_batch_that_end_the_process_are_both_found() {
    let mut bench = many_unread(40);
    for deadly in ["books.note@2", "books.note@4"] {
        for _ in 0..3 {
            bench = bench.restart(services());
            bench.dies_in(deadly);
        }
        bench = bench.restart(services());
        // What was spared is durable before the next one is run.
        let stands = cursors(&mut bench, 2).pop().unwrap();
        assert_eq!(bench.letters().last().unwrap().id.to_string(), deadly);
        assert_eq!(deadly, format!("books.note@{stands}"));
    }
    bench.run();
    assert_eq!((bench.letters().len(), bench.events::<Noted>().len()), (2, 38));
}

/// The same for one that is read apart, in the same step: the row of the other's ends would be broken.
#[test]
fn what_was_spared_is_durable_before_anything_else_is_run() {
    let mut bench = Bench::new(services());
    bench.ask("p1", pay("a", 1)).unwrap();
    bench.run();
    bench.send("p2", pay("b", 2));
    bench.engine.step().unwrap();
    let deadly = format!("books.note@{}", bench.engine.health().lock().unwrap().cursor + 1);
    let copy = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.emit("copy", event.id.clone(), Copied { id: event.id.clone(), cents: event.cents, sum: 0 });
    };
    let late = || Reaction::new("copy", copy).emits::<Copied>("copy").from_start();
    let all = || services().into_iter().chain([Service::new("late").owns("copy").reaction(late())]).collect::<Vec<_>>();
    for _ in 0..3 {
        bench = bench.restart(all());
        bench.dies_in(&deadly);
    }
    let mut bench = bench.restart(all());
    bench.engine.step().unwrap();
    assert_eq!(bench.letters().remove(0).id.to_string(), deadly);
    assert_eq!(
        bench.events::<Copied>().len(),
        0,
        "I6: what was spared is run again if the process ends in the same step"
    );
    bench.engine.step().unwrap();
    assert_ne!(bench.events::<Copied>().len(), 0, "the late one was to run in the first step, too");
    bench.run();
    assert_eq!((bench.events::<Copied>().len(), bench.events::<Noted>().len()), (2, 1));
}

/// Something ends the process that is no handler, of too much at once perhaps: then less is done at once.
#[test]
fn a_batch_is_taken_one_by_one_if_three_starts_got_no_further() {
    let mut bench = many_unread(40);
    for start in 0..4 {
        bench = bench.restart(services());
        assert_eq!(bench.notes.get("engine").unwrap().stood, Some((Position(0), start)));
    }
    assert_eq!(cursors(&mut bench, 6), [1, 2, 3, 4, 8, 12]);
    let mut bench = bench.restart(services());
    let started = Position(12);
    assert_eq!(bench.notes.get("engine").unwrap().stood, Some((started, 0)));
    assert_eq!(cursors(&mut bench, 2), [16, 20]);
}

/// What is behind is noted all the same, and each start gets further.
#[test]
fn a_message_far_behind_the_end_is_found_too() {
    let mut bench = many_unread(100);
    for _ in 0..3 {
        bench = bench.restart(services());
        for _ in 0..6 {
            bench.engine.step().unwrap();
        }
        bench.dies_in("books.note@90");
    }
    let mut bench = bench.restart(services());
    bench.run();
    assert_eq!(bench.letters().remove(0).id.to_string(), "books.note@90");
    assert_eq!((bench.letters().len(), bench.events::<Noted>().len()), (1, 99));
}

/// Counts payments, and tells the count.
fn counting() -> Vec<Service> {
    let folding = Folding::<i64>::new("count", 1)
        .fold(|count: &mut i64, event: &Recorded<'_, Paid>| *count += event.cents)
        .react(|count: &i64, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.emit("tally", &event.id, Told { id: event.id.clone(), cents: event.cents, sum: *count });
        })
        .emits::<Told>("tally");
    vec![accounts(), Service::new("tallies").owns("tally").folding(folding)]
}

fn last_tally(bench: &Bench) -> (i64, i64) {
    let noted = figures(bench.stream("tally-a").last().unwrap());
    (noted.cents, noted.sum)
}

/// A state is made of old events before anything runs; one of them ends the process.
#[test]
fn an_event_that_ends_the_process_while_a_state_is_made_is_left_out_until_its_letter_ends() {
    let mut bench = Bench::new(vec![accounts()]);
    for (id, cents) in [("p1", 1), ("p2", 2), ("p3", 4)] {
        bench.ask(id, pay("a", cents)).unwrap();
    }
    for delivery in ["states are made anew", "tallies.count@2", "tallies.count@2", "tallies.count@2"] {
        bench = bench.restart(counting());
        bench.dies_in(delivery);
    }
    for _ in 0..2 {
        bench = bench.restart(counting());
        bench.run();
        let letter = bench.letters().remove(0);
        assert_eq!((letter.id.to_string().as_str(), letter.unfolded), ("tallies.count@2", true));
        assert_eq!((bench.letters().len(), letter.failure_count), (1, 1), "it is not tried at each start");
    }
    bench.ask("p4", pay("a", 8)).unwrap();
    assert_eq!(last_tally(&bench), (8, 13));
    bench.act(What::Redrive(bench.letter())).unwrap();
    bench.ask("p5", pay("a", 16)).unwrap();
    assert_eq!(last_tally(&bench), (16, 31));
}
