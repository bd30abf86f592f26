//! After an end that was not in order things are taken one by one, and a message that ends processes is found.

use factum_core::{
    ports::{Note, Notes},
    service::Service,
};

use super::bank::*;
use super::bench::*;

fn services() -> Vec<Service> {
    bank()
}

/// The process ends while this is being handled: nothing is written any more, but what the note says stays.
fn dies_in(bench: &Bench, delivery: &str) {
    let note = bench.notes.get("engine").unwrap();
    bench.notes.put("engine", &Note { running: Some(delivery.to_owned()), ..note });
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
        dies_in(&bench, "books.note@1");
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
        dies_in(&bench, delivery);
    }
    // An end while nothing was being handled breaks the row, too.
    bench = bench.restart(services());
    bench = bench.restart(services());
    dies_in(&bench, "books.note@1");
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
