//! Plans: acts on many, shown before they are done, approved by their hash, paced, resumed, and never done twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use factum_core::{
    envelope::{Kind, Recorded},
    error::HandlerError,
    letter::LetterId,
    reaction::Effects,
    service::Service,
    stream::Position,
};
use factum_runtime::{
    acts::{ActError, By, Outcome, What},
    letters::Query,
    plans::{self, Making, Planned, Redeliver, Selection, Stage},
    survey::{Known, Survey},
};

use super::bank::*;
use super::bench::*;

/// Books whose reaction fails on so many cents.
fn services(poison: &Arc<AtomicI64>) -> Vec<Service> {
    let poison = poison.clone();
    let note = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        if event.cents == poison.load(Ordering::Relaxed) {
            return Err(HandlerError::failed("as asked"));
        }
        note(event, fx);
        Ok(())
    };
    vec![accounts(), Service::new("books").decider::<Book>().react("note", note)]
}

/// Eight keys with a letter each, two messages behind each, and one key without.
fn waiting(poison: &Arc<AtomicI64>) -> Bench {
    let mut bench = Bench::new(services(poison));
    for key in 0..8 {
        for cents in [7, 1, 2] {
            bench.ask(&format!("p{key}-{cents}"), pay(&format!("k{key}"), cents)).unwrap();
        }
    }
    bench.ask("other", pay("other", 5)).unwrap();
    assert_eq!((bench.letters().len(), bench.health().held), (8, 16));
    bench
}

fn redrive(rate: Option<u32>) -> Making {
    let query = Query { consumer: Some("books.note".to_owned()), ..Query::default() };
    Making { selection: Selection::Redrive { query }, rate, second_person: false }
}

pub fn make(bench: &mut Bench, making: Making) -> Planned {
    match bench.make_plan(making) {
        Ok(Outcome::Planned(planned)) => *planned,
        other => panic!("{other:?}"),
    }
}

pub fn approve(bench: &mut Bench, planned: &Planned) {
    bench.act(What::Approve(planned.plan.id.clone(), planned.plan.hash.clone())).unwrap();
}

/// The plan's own events, and the data of the last.
pub fn story(bench: &Bench, planned: &Planned) -> (Vec<String>, serde_json::Value) {
    let stream = bench.stream(&format!("plan-{}", planned.plan.id));
    let names = stream.iter().map(|stored| stored.type_name().to_owned()).collect();
    (names, serde_json::from_slice(&stream.last().unwrap().message.data).unwrap())
}

#[test]
fn a_plan_shows_everything_does_nothing_and_then_exactly_that() {
    let poison = Arc::new(AtomicI64::new(7));
    let mut bench = waiting(&poison);
    let planned = make(&mut bench, redrive(None));
    assert_eq!((planned.plan.total, planned.items.len(), planned.would_fail), (8, 8, 8));
    poison.store(0, Ordering::Relaxed);
    let planned = make(&mut bench, redrive(None));
    assert_eq!((planned.would_fail, planned.effects[0].kind, planned.effects[0].count), (0, "command", 8));
    assert_eq!((bench.letters().len(), bench.events::<Noted>().len()), (8, 1), "nothing is done yet");
    approve(&mut bench, &planned);
    assert_eq!((bench.letters().len(), bench.held().len(), bench.events::<Noted>().len()), (0, 0, 25));
    for key in 0..8 {
        let noted: Vec<i64> = bench.stream(&format!("book-k{key}")).iter().map(|it| figures(it).cents).collect();
        assert_eq!(noted, [7, 1, 2], "in order");
    }
    let (names, last) = story(&bench, &planned);
    assert_eq!(names, ["plan.made", "plan.approved", "plan.finished"]);
    assert_eq!((&last["done"], &last["failed"], &last["leftOut"]), (&8.into(), &0.into(), &0.into()));
    let again = bench.act(What::Approve(planned.plan.id, planned.plan.hash));
    assert!(matches!(again, Err(ActError::NoPlan(_))), "a second click does nothing");
}

#[test]
fn an_approval_names_the_hash_and_may_want_a_second_person() {
    let poison = Arc::new(AtomicI64::new(0));
    poison.store(7, Ordering::Relaxed);
    let mut bench = waiting(&poison);
    let planned = make(&mut bench, Making { second_person: true, ..redrive(None) });
    let other = make(&mut bench, Making { rate: Some(5), ..redrive(None) });
    assert_ne!(planned.plan.hash, other.plan.hash);
    let wrong = bench.act(What::Approve(planned.plan.id.clone(), other.plan.hash.clone()));
    assert!(wrong.unwrap_err().to_string().contains("not that of the plan"));
    let alone = bench.act(What::Approve(planned.plan.id.clone(), planned.plan.hash.clone()));
    assert!(alone.unwrap_err().to_string().contains("second person"));
    bench.act_by(By::new("noor", "looked at it"), What::Approve(planned.plan.id.clone(), planned.plan.hash)).unwrap();
    assert_eq!(bench.letters()[0].failure_count, 2, "carried out, in vain");
    bench.act(What::CancelPlan(other.plan.id.clone())).unwrap();
    assert!(matches!(bench.act(What::CancelPlan(other.plan.id)), Err(ActError::NoPlan(_))));
    let zero = bench.make_plan(Making { rate: Some(0), ..redrive(None) });
    assert!(zero.unwrap_err().to_string().contains("rate of 0"));
}

#[test]
fn what_has_changed_since_is_left_out_and_named() {
    let poison = Arc::new(AtomicI64::new(7));
    let mut bench = waiting(&poison);
    let planned = make(&mut bench, redrive(None));
    // Time passes; one is tried again in vain, one is discarded, one is new.
    bench.advance(NOW + Duration::from_secs(60));
    let letters = bench.letters();
    bench.act(What::Discard(letters[0].id.clone())).unwrap();
    let id = letters[1].id.clone();
    assert!(matches!(bench.act(What::Redrive(id.clone())), Ok(Outcome::FailedAgain { .. })));
    bench.ask("new", pay("new", 7)).unwrap();
    poison.store(0, Ordering::Relaxed);
    approve(&mut bench, &planned);
    let (_, last) = story(&bench, &planned);
    assert_eq!((&last["done"], &last["leftOut"], &last["gone"]), (&6.into(), &2.into(), &1.into()), "{last}");
    let reason = "it had changed since the plan was made";
    assert_eq!(last["reasons"], serde_json::json!([{ "reason": reason, "count": 1, "who": [id.to_string()] }]));
    assert_eq!(bench.letters().len(), 2, "the changed one, and the new one");
}

#[test]
fn a_paced_plan_goes_on_after_restarts_and_does_nothing_twice() {
    let poison = Arc::new(AtomicI64::new(7));
    let mut bench = waiting(&poison);
    let planned = make(&mut bench, redrive(Some(2)));
    poison.store(0, Ordering::Relaxed);
    approve(&mut bench, &planned);
    assert_eq!(bench.letters().len(), 7, "the first one at once");
    for second in 1..=3 {
        bench = bench.restart(services(&poison));
        bench.advance(NOW + Duration::from_secs(second));
        assert_eq!(bench.letters().len() as u64, 7 - 2 * second);
    }
    assert!(bench.engine.next_timer().is_some(), "it knows when it goes on");
    bench.advance(NOW + Duration::from_secs(60));
    assert_eq!((bench.letters().len(), bench.events::<Noted>().len()), (0, 25));
    assert_eq!(story(&bench, &planned).1["done"], 8);
}

#[test]
fn another_program_stops_a_plan_that_was_made_with_this_one() {
    let poison = Arc::new(AtomicI64::new(7));
    let mut bench = waiting(&poison);
    let planned = make(&mut bench, redrive(Some(1)));
    approve(&mut bench, &planned);
    bench.program = "another".to_owned();
    let mut bench = bench.restart(services(&poison));
    bench.advance(NOW + Duration::from_secs(60));
    let (names, last) = story(&bench, &planned);
    assert_eq!(names.last().unwrap(), "plan.stopped");
    assert!(last["reason"].as_str().unwrap().contains("program is another one"));
}

#[test]
fn a_redelivery_lets_a_reaction_act_again_and_nobody_else() {
    let poison = Arc::new(AtomicI64::new(0));
    let mut bench = Bench::new(services(&poison));
    for (id, key, cents) in [("p1", "a", 1), ("p2", "b", 2), ("p3", "a", 3)] {
        bench.ask(id, pay(key, cents)).unwrap();
    }
    let which = Redeliver { consumer: "books.note".to_owned(), key: Some("a".to_owned()), ..Redeliver::default() };
    let making = |which: Redeliver| Making { selection: Selection::Redeliver(which), rate: None, second_person: false };
    let planned = make(&mut bench, making(which.clone()));
    assert_eq!((planned.plan.total, planned.effects[0].count), (2, 2));
    assert!(planned.notes[0].contains("new messages"));
    approve(&mut bench, &planned);
    let commands = |bench: &Bench, key: &str| -> Vec<i64> {
        let stream = bench.stream(&format!("books.note-{key}")).into_iter();
        let commands = stream.filter(|stored| stored.envelope().kind == Kind::Command);
        commands.map(|stored| stored.decode::<Note>().unwrap().cents).collect()
    };
    assert_eq!((commands(&bench, "a"), commands(&bench, "b")), (vec![1, 3, 1, 3], vec![2]));
    let later = Redeliver { after: Position(1), ..which.clone() };
    assert_eq!(make(&mut bench, making(later)).plan.total, 1);
    for (consumer, problem) in
        [("accounts.account", "is a decider"), ("view:balances", "is a view"), ("nobody", "has no consumer")]
    {
        let which = Redeliver { consumer: consumer.to_owned(), ..which.clone() };
        let refused = bench.make_plan(making(which)).unwrap_err().to_string();
        assert!(refused.contains(problem), "{refused}");
    }
}

#[test]
fn discarding_many_leaves_out_all_of_them_and_lets_follow_what_waits() {
    let poison = Arc::new(AtomicI64::new(7));
    let mut bench = waiting(&poison);
    let query = Query { key: Some("k3".to_owned()), ..Query::default() };
    let making = Making { selection: Selection::Discard { query }, rate: None, second_person: false };
    let planned = make(&mut bench, making);
    assert_eq!(planned.plan.total, 1);
    approve(&mut bench, &planned);
    assert_eq!((bench.letters().len(), bench.stream("book-k3").len()), (7, 2));
}

/// A job goes on by itself after each start; one of its letters ends the process.
#[test]
fn a_letter_that_ends_the_process_is_left_as_it_is_and_the_job_goes_on() {
    let poison = Arc::new(AtomicI64::new(7));
    let mut bench = waiting(&poison);
    let planned = make(&mut bench, redrive(Some(1)));
    approve(&mut bench, &planned);
    poison.store(0, Ordering::Relaxed);
    let letter = bench.letters().remove(0).id;
    for _ in 0..3 {
        bench = bench.restart(services(&poison));
        bench.dies_in(&letter.to_string());
    }
    let mut bench = bench.restart(services(&poison));
    bench.advance(NOW + std::time::Duration::from_secs(20));
    let (names, last) = story(&bench, &planned);
    assert_eq!(names.last().unwrap(), "plan.finished");
    assert_eq!((&last["done"], &last["failed"]), (&7.into(), &1.into()));
    assert_eq!(bench.letter(), letter);
    bench.act(What::Redrive(letter)).unwrap();
    assert!(bench.letters().is_empty(), "a person may try");
}

/// All letters, in the order in which a plan takes them.
fn ids_of(bench: &Bench) -> Vec<LetterId> {
    let mut ids: Vec<LetterId> = bench.letters().into_iter().map(|letter| letter.id).collect();
    ids.sort();
    ids
}

#[test]
fn a_limit_takes_the_first_ones_and_never_others_in_their_place() {
    let poison = Arc::new(AtomicI64::new(7));
    let mut bench = waiting(&poison);
    let ids = ids_of(&bench);
    let query = Query { after: Some(ids[0].clone()), limit: Some(3), ..Query::default() };
    let making = Making { selection: Selection::Discard { query }, rate: None, second_person: false };
    let planned = make(&mut bench, making);
    assert_eq!(planned.plan.total, 3);
    bench.act(What::Discard(ids[2].clone())).unwrap();
    approve(&mut bench, &planned);
    assert_eq!(ids_of(&bench), [&ids[..1], &ids[4..]].concat());
    let (_, last) = story(&bench, &planned);
    assert_eq!((&last["done"], &last["leftOut"], &last["gone"]), (&2.into(), &1.into(), &1.into()), "{last}");
}

#[test]
fn a_plan_is_shown_from_its_making_to_behind_its_end() {
    let poison = Arc::new(AtomicI64::new(7));
    let mut bench = waiting(&poison);
    let planned = make(&mut bench, Making { second_person: true, ..redrive(Some(4)) });
    let show = |bench: &Bench| plans::show(&bench.store, &planned.plan.id).unwrap().unwrap();
    let shown = show(&bench);
    assert_eq!((shown.stage, shown.total, &shown.making), (Stage::Made, 8, &planned.plan.making));
    assert_eq!((&shown.hash, shown.made_at, &shown.program), (&planned.plan.hash, NOW, &planned.plan.program));
    let noor = By::new("noor", "looked at it");
    let id = planned.plan.id.clone();
    bench.act_by(noor.clone(), What::Approve(id, planned.plan.hash.clone())).unwrap();
    bench.advance(NOW + Duration::from_secs(1));
    let shown = show(&bench);
    assert_eq!((shown.stage, shown.tally.failed, shown.approved), (Stage::Running, 5, Some(noor)));
    poison.store(0, Ordering::Relaxed);
    let failed: Vec<String> = ids_of(&bench)[..5].iter().map(ToString::to_string).collect();
    bench.advance(NOW + Duration::from_secs(60));
    let shown = show(&bench);
    assert_eq!((shown.stage, shown.tally.done, shown.tally.failed), (Stage::Finished, 3, 5));
    assert_eq!((shown.tally.failures, shown.ended_at.is_some()), (failed, true));
    assert!(plans::show(&bench.store, "nothing").unwrap().is_none());
    let other = make(&mut bench, redrive(None));
    bench.act(What::CancelPlan(other.plan.id.clone())).unwrap();
    assert_eq!(plans::show(&bench.store, &other.plan.id).unwrap().unwrap().stage, Stage::Cancelled);
}

/// What is meant stands far apart: it is looked for a share of each step, and a command does not wait for the end of it.
#[test]
fn looking_for_a_few_messages_among_many_stops_nobody() {
    let poison = Arc::new(AtomicI64::new(0));
    let mut bench = Bench::new(services(&poison));
    bench.ask("first", pay("rare", 1)).unwrap();
    for number in 0..200 {
        bench.send(&format!("p{number}"), pay_with("a", 1, &"x".repeat(40_000)));
    }
    bench.ask("last", pay("rare", 2)).unwrap();
    let which = Redeliver { consumer: "books.note".to_owned(), key: Some("rare".to_owned()), ..Redeliver::default() };
    let making = Making { selection: Selection::Redeliver(which), rate: None, second_person: false };
    let planned = make(&mut bench, making);
    assert_eq!(planned.plan.total, 2);
    drop(bench.begin(What::Approve(planned.plan.id.clone(), planned.plan.hash.clone())));
    for _ in 0..3 {
        bench.engine.step().unwrap();
    }
    let mut answer = bench.post_as("meanwhile", pay("b", 1));
    for _ in 0..2 {
        bench.engine.step().unwrap();
    }
    assert!(answer.try_recv().unwrap().is_ok(), "it does not wait");
    assert_eq!(plans::show(&bench.store, &planned.plan.id).unwrap().unwrap().stage, Stage::Running, "far from its end");
    bench.run();
    let (_, last) = story(&bench, &planned);
    assert_eq!((&last["done"], &last["gone"]), (&2.into(), &0.into()));
}

/// Behind its last item stand others, and a step takes one at a time: it ends there, and does not look for ever.
#[test]
fn a_job_ends_behind_its_last_item_however_small_its_steps_are() {
    for share in 1..5 {
        let poison = Arc::new(AtomicI64::new(7));
        let bench = waiting(&poison);
        let mut bench = bench.restart_as(services(&poison), How::limits(|limits| limits.share = share));
        let query = Query { limit: Some(3), ..Query::default() };
        let making = Making { selection: Selection::Discard { query }, rate: None, second_person: false };
        let planned = make(&mut bench, making);
        approve(&mut bench, &planned);
        let (_, last) = story(&bench, &planned);
        assert_eq!((&last["done"], &last["leftOut"]), (&3.into(), &0.into()));
        assert_eq!(bench.letters().len(), 5);
    }
}

/// A reaction that is behind has its messages still before it: they are not delivered again before their time.
#[test]
fn a_redelivery_ends_where_the_reaction_stands_whatever_was_surveyed() {
    let mut bench = Bench::new(vec![accounts()]);
    for number in 1..=6 {
        bench.ask(&format!("p{number}"), pay("a", number)).unwrap();
    }
    let behind = || vec![accounts(), Service::new("books").decider::<Book>().react_from_start("note", note)];
    let mut bench = bench.stop_and_start(behind());
    let which = Redeliver { consumer: "books.note".to_owned(), ..Redeliver::default() };
    let making = Making { selection: Selection::Redeliver(which), rate: None, second_person: false };
    let head = Position(bench.log().len() as u64);
    let reader = bench.committer.reader();
    let survey =
        Survey::of(&*reader, &bench.registry, "test", making, Known { stands: head, ..Known::default() }).unwrap();
    assert_eq!(survey.total, 6);
    let Ok(Outcome::Planned(planned)) = bench.act(What::MakePlan(Box::new(survey))) else { panic!("no plan") };
    approve(&mut bench, &planned);
    assert_eq!(planned.plan.head, Position(0), "it had none of them");
    assert_eq!(bench.stream("book-a").len(), 6, "each once");
}
