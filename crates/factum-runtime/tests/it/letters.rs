//! Letters and held keys: what fails waits, its key behind it, and goes on in order when a person has ended it.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Wake, Waker},
};

use factum_core::{
    envelope::{Kind, Recorded},
    error::HandlerError,
    letter::{Key, Retry, Subject, Why},
    reaction::{Effects, OnDead, Reaction},
    service::Service,
    stream::Position,
};
use factum_runtime::{
    acts::{ActError, Outcome, What},
    engine::EngineHealth,
    inbox::Input,
};
use tokio::sync::oneshot;

use super::bank::*;
use super::bench::*;

/// What fails today: a payment's cents, or nothing.
type Poison = Arc<AtomicI64>;

fn poisoned(poison: &Poison, event: &Paid) -> Result<(), HandlerError> {
    match poison.load(Ordering::Relaxed) {
        cents if cents == event.cents => Err(HandlerError::failed(format!("{cents} cents are poison"))),
        _ => Ok(()),
    }
}

/// Books whose reaction fails on the poison; and a mirror that takes everything.
fn services(poison: &Poison) -> Vec<Service> {
    let poison = poison.clone();
    let note = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        poisoned(&poison, event)?;
        note(event, fx);
        Ok(())
    };
    let copy = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.emit("mirror", &event.id, Copied { id: event.id.clone(), cents: event.cents, sum: 0 });
    };
    let mirror = Service::new("mirror").owns("mirror").reaction(Reaction::new("copy", copy).emits::<Copied>("mirror"));
    vec![accounts(), Service::new("books").decider::<Book>().react("note", note), mirror]
}

fn poison(cents: i64) -> Poison {
    Arc::new(AtomicI64::new(cents))
}

/// Pays 1, 2, 4, 8 into `a` and 16 into `b`.
fn paid(poison: &Poison) -> Bench {
    let mut bench = Bench::new(services(poison));
    for power in 0..4 {
        bench.ask(&format!("p{power}"), pay("a", 1 << power)).unwrap();
    }
    bench.ask("q", pay("b", 16)).unwrap();
    bench
}

fn cents(bench: &Bench, stream: &str) -> Vec<i64> {
    let events = bench.stream(stream).into_iter().filter(|stored| stored.envelope().kind == Kind::Event);
    events.map(|stored| figures(&stored).cents).collect()
}

#[test]
fn a_failed_message_waits_as_a_letter_its_key_behind_it_and_all_others_go_on() {
    let poison = poison(2);
    let bench = paid(&poison);
    assert_eq!(cents(&bench, "book-a"), [1], "what stands before the poison, and nothing behind");
    assert_eq!(cents(&bench, "book-b"), [16], "another key");
    assert_eq!(cents(&bench, "mirror-a"), [1, 2, 4, 8], "another consumer");
    let letter = bench.letters().remove(0);
    let poisoned = bench.log().into_iter().find(|stored| stored.decode::<Paid>().is_ok_and(|paid| paid.cents == 2));
    let poisoned = poisoned.unwrap();
    assert_eq!(letter.id.to_string(), format!("books.note@{}", poisoned.position));
    assert_eq!((letter.failure_count, letter.reason()), (1, "2 cents are poison"));
    assert_eq!((letter.type_name.as_str(), letter.failures[0].program.as_str()), ("account.paid", "test"));
    assert_eq!(letter.message_id, poisoned.envelope().id.to_string());
    assert_eq!(letter.correlation_id, poisoned.envelope().correlation_id.to_string());
    let held = bench.held().remove(0);
    assert_eq!((held.key.to_string().as_str(), held.waiting()), ("key/a", 2));
    assert_eq!(held.why, Why::Letter(letter.id));
    let health = bench.health();
    assert_eq!((health.letters, health.held, health.stopped.len()), (1, 2, 0));
}

/// Looks how many wait, in the moment in which it hears something.
struct Looks {
    health: Arc<Mutex<EngineHealth>>,
    held: AtomicU64,
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        self.held.store(self.health.lock().unwrap().held, Ordering::Relaxed);
    }
}

#[test]
fn who_hears_of_a_rest_sees_how_things_stand_at_it() {
    let mut bench = paid(&poison(2));
    let looks = Arc::new(Looks { health: bench.engine.health(), held: AtomicU64::default() });
    for more in 1..=8 {
        bench.send(&format!("more-{more}"), pay("a", 32));
        let (reply, rested) = oneshot::channel();
        bench.inbox.try_send(Input::Rest(reply)).unwrap();
        let (waker, mut rested) = (Waker::from(looks.clone()), pin!(rested));
        assert!(rested.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        bench.run();
        assert_eq!(looks.held.load(Ordering::Relaxed), 2 + more);
    }
}

#[test]
fn a_redrive_runs_the_letter_and_then_the_rest_in_order_also_through_restarts() {
    for restart in [false, true] {
        let poison = poison(2);
        let mut bench = paid(&poison);
        let letter = bench.letter();
        if restart {
            bench = bench.restart(services(&poison));
            bench.ask("p4", pay("a", 32)).unwrap();
            assert_eq!(bench.held()[0].waiting(), 3);
        }
        assert!(matches!(bench.act(What::Redrive(letter.clone())), Ok(Outcome::FailedAgain { .. })));
        assert_eq!((bench.letters()[0].failure_count, cents(&bench, "book-a").len()), (2, 1));
        poison.store(0, Ordering::Relaxed);
        let answer = bench.begin(What::Redrive(letter.clone()));
        let mut twice = bench.begin(What::Redrive(letter.clone()));
        bench.engine.step().unwrap();
        if restart {
            drop(answer);
            bench = bench.restart(services(&poison));
        } else {
            assert!(matches!(twice.try_recv(), Ok(Err(ActError::NoLetter(_)))), "a double click does nothing more");
        }
        bench.run();
        let all = if restart { vec![1, 2, 4, 8, 32] } else { vec![1, 2, 4, 8] };
        assert_eq!(cents(&bench, "book-a"), all);
        assert_eq!((bench.letters().len(), bench.held().len()), (0, 0));
        bench.ask("p5", pay("a", 64)).unwrap();
        assert_eq!(cents(&bench, "book-a").last(), Some(&64), "the key is free");
        let acts: Vec<String> = bench.stream("letter-books.note").iter().map(|it| it.type_name().to_owned()).collect();
        assert_eq!(acts, ["letter.redriven", "letter.redriven"]);
        let told: serde_json::Value =
            serde_json::from_slice(&bench.stream("letter-books.note")[1].message.data).unwrap();
        assert_eq!((&told["by"], &told["why"], &told["outcome"]), (&"mara".into(), &"mended".into(), &"done".into()));
        bench.check_versions();
    }
}

#[test]
fn a_discard_leaves_the_letter_out_and_a_release_lets_it_wait_alone() {
    let poison = poison(2);
    let mut bench = paid(&poison);
    bench.act(What::Discard(bench.letter())).unwrap();
    assert_eq!((cents(&bench, "book-a"), bench.letters().len(), bench.held().len()), (vec![1, 4, 8], 0, 0));

    let mut bench = paid(&poison);
    let letter = bench.letter();
    bench.act(What::Release(letter.clone())).unwrap();
    assert_eq!((cents(&bench, "book-a"), bench.letters().len(), bench.held().len()), (vec![1, 4, 8], 1, 0));
    // Tried in vain, it does not hold its key again.
    bench.act(What::Redrive(letter.clone())).unwrap();
    bench.ask("p4", pay("a", 32)).unwrap();
    assert_eq!((cents(&bench, "book-a"), bench.held().len()), (vec![1, 4, 8, 32], 0));
    poison.store(0, Ordering::Relaxed);
    bench.act(What::Redrive(letter)).unwrap();
    assert_eq!(cents(&bench, "book-a"), [1, 4, 8, 32, 2]);
}

#[test]
fn what_fails_on_release_is_the_next_letter_and_the_rest_waits_behind_it() {
    let poison = poison(2);
    let mut bench = paid(&poison);
    let first = bench.letter();
    poison.store(4, Ordering::Relaxed);
    bench.act(What::Redrive(first)).unwrap();
    assert_eq!(cents(&bench, "book-a"), [1, 2]);
    assert_eq!((bench.letters()[0].reason(), bench.held()[0].waiting()), ("4 cents are poison", 1));
    poison.store(0, Ordering::Relaxed);
    bench.act(What::Redrive(bench.letter())).unwrap();
    assert_eq!(cents(&bench, "book-a"), [1, 2, 4, 8]);
}

#[test]
fn trying_shows_what_would_follow_and_stores_nothing() {
    let poison = poison(2);
    let mut bench = paid(&poison);
    let (letter, before) = (bench.letter(), bench.log().len());
    let Ok(Outcome::Tried(preview)) = bench.act(What::Try(letter.clone())) else { panic!("it was not tried") };
    assert_eq!(preview.failure.as_deref(), Some("2 cents are poison"));
    poison.store(0, Ordering::Relaxed);
    let Ok(Outcome::Tried(preview)) = bench.act(What::Try(letter)) else { panic!("it was not tried") };
    assert_eq!((preview.failure, preview.effects.len()), (None, 1));
    let effect = &preview.effects[0];
    assert_eq!(
        (effect.kind, effect.type_name.as_str(), effect.place.as_str()),
        ("command", "book.note", "books.note-a")
    );
    assert_eq!(effect.data.as_ref().unwrap()["cents"], 2);
    assert_eq!((bench.log().len(), bench.letters().len(), bench.letters()[0].failure_count), (before, 1, 1));
}

#[test]
fn a_hundred_keys_hold_and_none_loses_or_overtakes_anything() {
    for seed in [None, Some(7)] {
        let poison = poison(1);
        let mut bench = Bench::with(services(&poison), How { seed, ..How::default() });
        for round in 1..=6_i64 {
            for key in 0..100 {
                bench.send(&format!("p{round}-{key}"), pay(&format!("k{key}"), round));
            }
            bench.run();
        }
        assert_eq!((bench.letters().len(), bench.held().len()), (100, 100));
        assert_eq!(bench.health().held, 500);
        poison.store(0, Ordering::Relaxed);
        let mut bench = bench.restart(services(&poison));
        for letter in bench.letters() {
            drop(bench.begin(What::Redrive(letter.id)));
        }
        bench.run();
        for key in 0..100 {
            assert_eq!(cents(&bench, &format!("book-k{key}")), [1, 2, 3, 4, 5, 6], "k{key}");
        }
        assert_eq!((bench.letters().len(), bench.held().len(), bench.health().held), (0, 0, 0));
    }
}

/// More waits than a cell lists: the rest is found in the log.
#[test]
fn thousands_wait_behind_one_key_and_follow_in_order_through_restarts() {
    let few = How::limits(|limits| (limits.messages, limits.share) = (64, 50));
    let poison = poison(7);
    let mut bench = Bench::with(services(&poison), few);
    for number in 1..=5_000_i64 {
        let key = if number % 2 == 1 { "a" } else { "b" };
        let cents = if number == 1 { 7 } else { 1 - 2 * (number / 2 % 2) };
        bench.send(&format!("p{number}"), pay(key, cents));
        if number % 200 == 0 {
            bench.run();
        }
    }
    bench.run();
    let held = bench.held().remove(0);
    assert!(held.passed.len() < 1_200 && held.more_from.is_some(), "{} listed", held.passed.len());
    assert_eq!(bench.health().held, 2_499);
    let mut bench = bench.restart_as(services(&poison), few);
    assert_eq!(bench.health().held, 2_499, "counted again");
    poison.store(0, Ordering::Relaxed);
    drop(bench.begin(What::Redrive(bench.letter())));
    // While it works it counts only now and then.
    for _ in 0..20 {
        bench.engine.step().unwrap();
    }
    assert!((1..2_499).contains(&bench.health().held), "{}", bench.health().held);
    let mut bench = bench.restart_as(services(&poison), few);
    bench.send("last", pay("a", 3));
    bench.run();
    let noted = bench.stream("books.note-a");
    assert_eq!(noted.len(), 2_501, "each once");
    let causes: Vec<Position> = {
        let log = bench.log();
        let by_id: std::collections::HashMap<_, _> =
            log.iter().map(|stored| (stored.envelope().id.clone(), stored.position)).collect();
        noted.iter().map(|stored| by_id[stored.envelope().causation_id.as_ref().unwrap()]).collect()
    };
    assert!(causes.windows(2).all(|pair| pair[0] < pair[1]), "in order");
    assert_eq!((bench.held().len(), bench.health().held), (0, 0));
}

#[test]
fn a_reaction_that_releases_goes_on_at_once() {
    let fails = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        if event.cents == 2 {
            return Err(HandlerError::failed("poison"));
        }
        note(event, fx);
        Ok(())
    };
    let books = Service::new("books").decider::<Book>();
    let books = books.reaction(Reaction::new("note", fails).on_dead(OnDead::Release));
    let mut bench = Bench::new(vec![accounts(), books]);
    for power in 0..4 {
        bench.ask(&format!("p{power}"), pay("a", 1 << power)).unwrap();
    }
    assert_eq!((cents(&bench, "book-a"), bench.letters().len(), bench.held().len()), (vec![1, 4, 8], 1, 0));
}

#[test]
fn a_decider_that_fails_on_a_logged_command_holds_the_senders_key_only() {
    let send = |event: &Recorded<'_, Noted>, fx: &mut Effects| {
        let note = if event.cents == 2 { "panic in the decider" } else { "fine" };
        if event.id == "shared" {
            return;
        }
        fx.send(pay_with("shared", event.cents, note));
    };
    let services = || vec![accounts(), books(), Service::new("senders").react("send", send)];
    let mut bench = Bench::new(services());
    for (number, (key, cents)) in [("a", 2), ("a", 3), ("b", 4)].into_iter().enumerate() {
        bench.ask(&format!("p{number}"), pay(key, cents)).unwrap();
    }
    let shared: Vec<i64> =
        bench.stream("account-shared").iter().map(|stored| stored.decode::<Paid>().unwrap().cents).collect();
    assert_eq!(shared, [4], "what `b` sent is not held by what `a` sent");
    let letter = bench.letters().remove(0);
    assert_eq!((letter.id.consumer.as_str(), letter.key), ("accounts.account", Key::Ordered("a".to_owned())));
    bench.ask("direct", pay("shared", 1)).unwrap();
    bench.act(What::Discard(letter.id)).unwrap();
    assert_eq!(bench.stream("account-shared").len(), 3);
}

#[test]
fn a_stream_that_cannot_be_folded_is_one_letter_and_holds_what_is_sent_to_it() {
    // The account's stored data does not fit its type any more.
    let broken = |broken: bool| {
        let services = bank();
        if !broken {
            return services;
        }
        let upcast = |_| panic!("as asked");
        let mut services = services;
        services.push(Service::new("old").upcast("account.paid", "1.0.0", "1.1.0", upcast));
        services
    };
    let forward = |event: &Recorded<'_, Noted>, fx: &mut Effects| {
        if event.cents < 100 {
            fx.send(pay_with("shared", 100 + event.cents, "forwarded"));
        }
    };
    let with_forward = |bad: bool| {
        let mut services = broken(bad);
        services.push(Service::new("forwards").react("forward", forward));
        services
    };
    let mut bench = Bench::new(vec![old_accounts()]);
    bench.ask("old", pay("shared", 1)).unwrap();
    bench.engine.save_cursor().unwrap();
    let mut bench = bench.restart_as(with_forward(true), How { hold_unknown: true, ..How::default() });
    for key in ["a", "b"] {
        bench.send(key, pay(key, 5));
    }
    bench.run();
    let letters = bench.letters();
    let stream = letters.iter().find(|letter| letter.key == Key::Stream("account-shared".to_owned()));
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(stream.unwrap().reason().contains("the upcaster of account.paid from 1.0.0 to 1.1.0 panicked: as asked"));
    assert_eq!(bench.held()[0].waiting(), 1);
    let outside = bench.ask("outside", pay("shared", 1));
    assert!(outside.unwrap_err().to_string().contains("account-shared cannot be folded"));
    let mut bench = bench.restart(with_forward(false));
    bench.run();
    bench.act(What::Redrive(bench.letter())).unwrap();
    assert_eq!(bench.stream("account-shared").len(), 3);
    assert_eq!((bench.letters().len(), bench.held().len()), (0, 0));
}

#[test]
fn a_letter_is_tried_again_at_its_time_and_by_another_program() {
    let poison = poison(2);
    let mut bench = paid(&poison);
    let letter = bench.letter();
    let at = NOW + std::time::Duration::from_secs(60);
    bench.act(What::Plan(letter.clone(), Some(Retry::At(at)))).unwrap();
    assert_eq!(bench.letters()[0].retry, Some(Retry::At(at)));
    assert_eq!(bench.engine.next_timer(), Some(at));
    bench.advance(at);
    assert_eq!((bench.letters()[0].failure_count, bench.letters()[0].retry.clone()), (2, None), "tried once, in vain");
    bench.act(What::Plan(letter.clone(), Some(Retry::OtherThan("test".to_owned())))).unwrap();
    let mut bench = bench.restart(services(&poison));
    bench.run();
    assert_eq!(bench.letters()[0].failure_count, 2, "the same program does not try");
    poison.store(0, Ordering::Relaxed);
    bench.act(What::Plan(letter, Some(Retry::OtherThan("an older one".to_owned())))).unwrap();
    assert_eq!(cents(&bench, "book-a"), [1, 2, 4, 8]);
    assert!(bench.letters().is_empty());
}

#[test]
fn a_consumer_with_too_many_letters_stops_and_goes_on_when_they_have_ended() {
    let poison = poison(1);
    let mut bench = Bench::with(services(&poison), How::limits(|limits| limits.letters = 5));
    for number in 0..10 {
        bench.ask(&format!("p{number}"), pay(&format!("k{number}"), 1)).unwrap();
    }
    assert_eq!(bench.letters().len(), 5);
    assert!(bench.health().stopped[0].reason.contains("it has 5 letters"), "{}", bench.health().stopped[0].reason);
    poison.store(0, Ordering::Relaxed);
    assert!(matches!(bench.act(What::Redrive(bench.letters()[0].id.clone())), Err(ActError::NotNow(_))));
    bench.act(What::TryAgain("books.note".to_owned())).unwrap();
    for letter in bench.letters() {
        bench.act(What::Redrive(letter.id)).unwrap();
    }
    assert_eq!(bench.events::<Noted>().iter().filter(|noted| noted.sum > 0).count(), 10);
    assert!(bench.health().stopped.is_empty());
}

#[test]
fn a_letter_of_a_consumer_that_is_gone_can_be_looked_at_and_discarded() {
    let poison = poison(2);
    let bench = paid(&poison);
    let letter = bench.letter();
    let mut bench = bench.restart(vec![accounts()]);
    bench.run();
    assert_eq!(bench.health().letters, 1);
    assert!(matches!(bench.act(What::Redrive(letter.clone())), Err(ActError::NoConsumer(_))));
    bench.act(What::Discard(letter)).unwrap();
    assert_eq!((bench.letters().len(), bench.held()[0].why.clone(), bench.health().letters), (0, Why::Releasing, 0));
    // What waits follows as soon as there is somebody to take it.
    let mut bench = bench.restart(services(&poison));
    bench.run();
    assert_eq!((cents(&bench, "book-a"), bench.held().len()), (vec![1, 4, 8], 0));
}

#[test]
fn who_acts_has_a_name() {
    let poison = poison(2);
    let mut bench = paid(&poison);
    let unknown = factum_core::letter::LetterId::new("books.note", Subject::Message(Position(1)));
    assert!(matches!(bench.act(What::Redrive(unknown)), Err(ActError::NoLetter(_))));
    assert!(matches!(bench.act(What::TryAgain("nobody".to_owned())), Err(ActError::NoConsumer(_))));
}
