//! *Not yet*: a handler that waits for another message holds its key until that has come, or a limit has passed.

use std::time::Duration;

use factum_core::{
    envelope::Recorded,
    error::{HandlerError, NotYet},
    letter::Why,
    reaction::{Effects, Folding},
    service::Service,
};

use super::bank::*;
use super::bench::*;

/// Tells payments of an account only when the account `first` has been paid into.
fn services() -> Vec<Service> {
    let folding = Folding::<bool>::new("wait", 1)
        .fold(|open: &mut bool, event: &Recorded<'_, Paid>| *open |= event.id == "first")
        .react(|open: &bool, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            if !open {
                let wait = NotYet::at_most(Duration::from_secs(60)).until("account.paid", "first");
                return Err(HandlerError::from(wait));
            }
            fx.emit("told", &event.id, Copied { id: event.id.clone(), cents: event.cents, sum: 0 });
            Ok(())
        })
        .emits::<Copied>("told");
    vec![accounts(), Service::new("waits").owns("told").folding(folding)]
}

fn told(bench: &Bench, key: &str) -> Vec<i64> {
    bench.stream(&format!("told-{key}")).iter().map(|stored| figures(stored).cents).collect()
}

#[test]
fn a_key_waits_for_its_forerunner_without_a_letter() {
    for restart in [false, true] {
        let mut bench = Bench::new(services());
        for (number, key) in ["a", "b", "a"].into_iter().enumerate() {
            bench.ask(&format!("p{number}"), pay(key, number as i64 + 1)).unwrap();
        }
        assert!(told(&bench, "a").is_empty() && bench.letters().is_empty());
        assert_eq!(bench.held().len(), 2);
        assert!(matches!(bench.held()[0].why, Why::NotYet { .. }));
        assert_eq!(bench.health().held, 3);
        if restart {
            bench = bench.restart(services());
        }
        bench.ask("forerunner", pay("first", 9)).unwrap();
        assert_eq!((told(&bench, "a"), told(&bench, "b"), told(&bench, "first")), (vec![1, 3], vec![2], vec![9]));
        assert_eq!((bench.held().len(), bench.letters().len()), (0, 0));
    }
}

#[test]
fn at_its_limit_it_is_called_once_more_and_not_yet_is_its_failure() {
    let mut bench = Bench::new(services());
    bench.ask("p1", pay("a", 1)).unwrap();
    let limit = NOW + Duration::from_secs(60);
    assert_eq!(bench.engine.next_timer(), Some(limit));
    bench.advance(limit);
    let letter = bench.letters().remove(0);
    assert!(letter.reason().contains("too early until its limit"), "{}", letter.reason());
    assert!(matches!(bench.held()[0].why, Why::Letter(_)));
}

#[test]
fn a_forerunner_that_is_never_read_is_the_handlers_mistake() {
    let react = |_: &Recorded<'_, Paid>, _: &mut Effects| -> Result<(), HandlerError> {
        Err(NotYet::at_most(Duration::from_secs(60)).until("nobody.reads", "x").into())
    };
    let mut bench = Bench::new(vec![accounts(), Service::new("waits").react("wait", react)]);
    bench.ask("p1", pay("a", 1)).unwrap();
    assert!(bench.letters()[0].reason().contains("it would never come"), "{}", bench.letters()[0].reason());
}

/// The message that is waited for has the key of the message that waits.
#[test]
fn a_forerunner_of_the_same_key_passes_through_the_hold_that_waits_for_it() {
    let folding = Folding::<bool>::new("wait", 1)
        .fold(|open: &mut bool, event: &Recorded<'_, Paid>| *open |= event.note == "open")
        .react(|open: &bool, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            if !open {
                return Err(HandlerError::from(NotYet::at_most(Duration::from_secs(60)).until("account.paid", "a")));
            }
            fx.emit("told", &event.id, Copied { id: event.id.clone(), cents: event.cents, sum: 0 });
            Ok(())
        })
        .emits::<Copied>("told");
    let mut bench = Bench::new(vec![accounts(), Service::new("waits").owns("told").folding(folding)]);
    bench.ask("p1", pay("a", 1)).unwrap();
    assert!(told(&bench, "a").is_empty());
    bench.ask("p2", pay_with("a", 2, "open")).unwrap();
    assert_eq!(told(&bench, "a"), [2, 1], "it was run first, and released the one that waited");
    assert!(bench.held().is_empty() && bench.letters().is_empty());
}
