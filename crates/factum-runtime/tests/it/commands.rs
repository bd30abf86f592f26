//! Commands from outside and from the log: receipts, repetitions, rejections, all or nothing.

use factum_core::{envelope::Kind, stream::StreamVersion};
use factum_runtime::inbox::ExecuteError;

use super::bank::*;
use super::bench::*;

#[test]
fn a_command_leads_to_events_reactions_and_their_commands() {
    let mut bench = Bench::new(bank());
    let receipt = bench.ask("p1", pay("a", 30)).unwrap();
    assert_eq!((receipt.stream.as_str(), receipt.version, receipt.repeated), ("account-a", StreamVersion(1), false));
    bench.ask("p2", pay("a", 12)).unwrap();
    let sums: Vec<i64> = bench.events::<Noted>().iter().map(|noted| noted.sum).collect();
    assert_eq!(sums, [30, 42]);
    assert_eq!(bench.stream("books.note-a").len(), 2, "the commands stand in their sender's stream");
    let log = bench.log();
    let noted = log.last().unwrap().envelope();
    assert_eq!(noted.correlation_id.to_string(), "p2");
    assert_eq!(noted.depth, 3);
    assert_eq!(noted.timestamp, NOW);
    bench.check_versions();
}

#[test]
fn the_same_id_gets_the_first_receipt_also_after_a_restart() {
    let mut bench = Bench::new(bank());
    let first = bench.ask("p1", pay("a", 30)).unwrap();
    bench.ask("p2", pay("a", 5)).unwrap();
    let again = bench.ask("p1", pay("a", 30)).unwrap();
    assert!(again.repeated);
    assert_eq!((&again.stream, again.version), (&first.stream, first.version));
    assert!(again.position >= first.position);
    assert!(matches!(bench.ask("p1", pay("a", 31)), Err(ExecuteError::IdReused(_))));
    let mut bench = bench.restart(bank());
    let again = bench.ask("p1", pay("a", 30)).unwrap();
    assert_eq!((again.repeated, again.version), (true, first.version));
    assert!(matches!(bench.ask("p1", pay("a", 31)), Err(ExecuteError::IdReused(_))));
    assert_eq!(bench.events::<Paid>().len(), 2);
    assert_eq!(bench.events::<Noted>().len(), 2);
}

#[test]
fn the_same_id_twice_in_one_batch_is_decided_once() {
    let mut bench = Bench::new(bank());
    let mut answers: Vec<_> = (0..3).map(|_| bench.post_as("p1", pay("a", 30))).collect();
    bench.run();
    let receipts: Vec<_> = answers.iter_mut().flat_map(|answer| answer.try_recv().unwrap().unwrap()).collect();
    assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.version == StreamVersion(1)));
    assert_eq!(bench.events::<Paid>().len(), 1);
}

#[test]
fn a_rejected_command_from_outside_stores_nothing() {
    let mut bench = Bench::new(bank());
    let Err(ExecuteError::Rejected(refused)) = bench.ask("p1", pay("a", MOST + 1)) else { panic!("it is too much") };
    assert_eq!(refused.code, "full");
    assert!(bench.log().is_empty());
    assert!(!bench.ask("p1", pay("a", 1)).unwrap().repeated, "its id is free");
}

#[test]
fn a_rejected_command_from_the_log_is_a_message_in_the_addressed_stream() {
    let mut bench = Bench::new(bank());
    bench.ask("p1", pay("a", 30)).unwrap();
    bench.ask("p2", pay("a", -10)).unwrap();
    bench.ask("p3", pay("a", 10)).unwrap();
    let book = bench.stream("book-a");
    let kinds: Vec<Kind> = book.iter().map(|stored| stored.envelope().kind).collect();
    assert_eq!(kinds, [Kind::Event, Kind::Rejection, Kind::Event]);
    let rejection = &book[1];
    let data: serde_json::Value = serde_json::from_slice(&rejection.message.data).unwrap();
    assert_eq!((&data["code"], &data["command"]), (&"negative".into(), &"book.note".into()));
    assert_eq!(data["sender"], "books.note-a");
    let command = bench.stream("books.note-a")[1].envelope().id.clone();
    assert_eq!(rejection.envelope().causation_id, Some(command));
    bench.check_versions();
    let mut bench = bench.restart(bank());
    bench.ask("p4", pay("a", 1)).unwrap();
    assert_eq!(bench.events::<Noted>().last().unwrap().sum, 41);
    bench.check_versions();
}

#[test]
fn several_commands_are_carried_out_together_or_not_at_all() {
    let mut bench = Bench::new(bank());
    let receipts = bench.ask_all(vec![request("p1", pay("a", 10)), request("p2", pay("b", 20))]).unwrap();
    assert_eq!(receipts.len(), 2);
    let before = bench.log().len();
    let refused =
        bench.ask_all(vec![request("p3", pay("a", 900)), request("p4", pay("b", MOST)), request("p5", pay("a", 1))]);
    assert!(matches!(refused, Err(ExecuteError::Rejected(_))));
    assert_eq!(bench.log().len(), before);
    // The cached state of `a` has forgotten the 900, and their id.
    assert!(!bench.ask("p3", pay("a", 990)).unwrap().repeated);
    assert!(bench.ask("p6", pay("a", 1)).is_err());
    bench.check_versions();
}

#[test]
fn a_rejection_in_the_middle_keeps_what_the_batch_decided_before_it() {
    let mut bench = Bench::new(bank());
    let mut first = bench.post_as("p1", pay("a", 600));
    let mut second = bench.post(vec![request("p2", pay("a", 300)), request("p3", pay("b", MOST + 1))]);
    let mut third = bench.post_as("p4", pay("a", 400));
    let mut fourth = bench.post_as("p5", pay("a", 1));
    bench.run();
    assert!(first.try_recv().unwrap().is_ok());
    assert!(second.try_recv().unwrap().is_err());
    assert!(third.try_recv().unwrap().is_ok(), "600 and 400 fit, because the 300 never happened");
    assert!(fourth.try_recv().unwrap().is_err());
    bench.check_versions();
}

#[test]
fn a_decider_that_panics_answers_an_error_and_loses_nothing() {
    let mut bench = Bench::new(bank());
    bench.ask("p1", pay("a", 10)).unwrap();
    let together = vec![request("p2", pay("a", 20)), request("p3", pay_with("a", 1, "panic in the decider"))];
    assert!(matches!(bench.ask_all(together), Err(ExecuteError::Handler(_))));
    bench.ask("p4", pay("a", 5)).unwrap();
    assert_eq!(bench.events::<Noted>().last().unwrap().sum, 15);
    assert!(bench.health().stopped.is_empty());
}

#[test]
fn a_command_without_addressee_and_one_without_effect_are_answered() {
    let mut bench = Bench::new(vec![accounts()]);
    assert!(matches!(bench.ask("n1", Note { id: "a".into(), cents: 1 }), Err(ExecuteError::NoHandler(_))));
    let receipt = bench.ask("p1", pay("a", 0)).unwrap();
    assert_eq!((receipt.version, receipt.repeated), (StreamVersion(1), false));
    assert!(bench.events::<Paid>().is_empty());
}
