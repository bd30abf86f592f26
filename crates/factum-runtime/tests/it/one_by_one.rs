//! After an end that was not in order things are taken one by one, and a message that ends processes is found.

use factum_core::{
    envelope::Recorded,
    ports::{Note, Notes},
    reaction::{Effects, Folding},
    service::Service,
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
fn what_was_unread_is_noted_one_by_one_and_then_nothing_is() {
    let bench = unread();
    let mut bench = bench.restart(services());
    let writes = bench.faults.writes();
    bench.run();
    assert!(bench.faults.writes() > writes + 2, "one commit for each message");
    assert_eq!(bench.notes.get("engine").unwrap(), Note { ended: false, running: None, suspect: None });
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

/// The process was at one batch when it ended. Were all that was unread taken one by one, it would never be through under load.
#[test]
fn no_more_is_taken_one_by_one_than_was_under_way_at_the_end() {
    let mut bench = many_unread(200).restart(services());
    let cursors = [(); 6].map(|()| {
        bench.engine.step().unwrap();
        bench.engine.health().lock().unwrap().cursor
    });
    assert_eq!(cursors, [1, 2, 3, 4, 8, 12]);
    bench.run();
    assert_eq!(bench.events::<Noted>().len(), 200);
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
