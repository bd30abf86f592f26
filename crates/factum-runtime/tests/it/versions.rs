//! Sagas with work under way: several versions side by side, a version that is not there, moves, and what people do.

use std::sync::{Arc, Mutex};

use factum_core::{
    cell::CellKind,
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    rejection::Never,
    saga::{AttentionNeeded, Moves, Saga, Shown, Wanted},
    service::{Durations, Service},
    stream::StreamVersion,
};
use factum_macros::{Command, Event};
use factum_runtime::{
    acts::{ActError, Outcome, What},
    engine::SagaCount,
    inbox::Request,
    sagas::{Query, list, show},
};
use serde::{Deserialize, Serialize};

use super::bank::*;
use super::bench::*;

macro_rules! words {
    ($($derive:ident $name:ident $attribute:ident $type_name:literal;)+) => {$(
        #[derive($derive, Clone, Debug, PartialEq)]
        #[$attribute($type_name)]
        struct $name { id: String }
    )+};
}

words! {
    Command DoFirst command "desk.do_first";
    Command DoCheck command "desk.do_check";
    Command DoSecond command "desk.do_second";
    Command UndoFirst command "desk.undo_first";
    Event FirstDone event "desk.first_done";
    Event Checked event "desk.checked";
    Event SecondDone event "desk.second_done";
    Event SecondRefused event "desk.second_refused";
    Event FirstUndone event "desk.first_undone";
}

/// Makes the desk say something: the tests answer for it.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("desk.say")]
struct Say {
    id: String,
    what: String,
}

#[derive(Command)]
enum DeskCommand {
    First(DoFirst),
    Check(DoCheck),
    Second(DoSecond),
    Undo(UndoFirst),
    Say(Say),
}

#[derive(Event)]
enum DeskEvent {
    First(FirstDone),
    Checked(Checked),
    Second(SecondDone),
    Refused(SecondRefused),
    Undone(FirstUndone),
}

#[derive(Default)]
struct Desk;

impl Decider for Desk {
    const CATEGORY: &'static str = "desk";
    type Id = String;
    type Command = DeskCommand;
    type Event = DeskEvent;
    type Rejection = Never;

    fn address(command: &DeskCommand, _: &Envelope) -> String {
        match command {
            DeskCommand::First(DoFirst { id })
            | DeskCommand::Check(DoCheck { id })
            | DeskCommand::Second(DoSecond { id })
            | DeskCommand::Undo(UndoFirst { id })
            | DeskCommand::Say(Say { id, .. }) => id.clone(),
        }
    }
    fn decide(&self, id: &String, command: DeskCommand, _: &Context) -> Result<Vec<DeskEvent>, Never> {
        let id = id.clone();
        let DeskCommand::Say(say) = command else { return Ok(vec![]) };
        Ok(vec![match say.what.as_str() {
            "first" => DeskEvent::First(FirstDone { id }),
            "checked" => DeskEvent::Checked(Checked { id }),
            "second" => DeskEvent::Second(SecondDone { id }),
            "refused" => DeskEvent::Refused(SecondRefused { id }),
            _ => DeskEvent::Undone(FirstUndone { id }),
        }])
    }
    fn evolve(&mut self, _: &DeskEvent) {}
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    id: String,
}

/// First, then a thank behind which there is no way back. Version 2 has a check between.
pub fn transfer(version: u32) -> Saga<Facts> {
    let saga =
        Saga::new("transfer", version).key("id").start::<Paid>(|e| Facts { id: e.id.clone() }).step("first", |step| {
            step.send(|f: &Facts| DoFirst { id: f.id.clone() })
                .done::<FirstDone>()
                .undo::<UndoFirst, FirstUndone>(|f| UndoFirst { id: f.id.clone() })
                .undo_attempts(2)
        });
    let saga = if version == 1 {
        saga
    } else {
        saga.step("check", |step| {
            step.send(|f: &Facts| DoCheck { id: f.id.clone() }).done::<Checked>().nothing_to_undo()
        })
    };
    saga.pivot("thank", |step| {
        step.own(|f: &Facts| pay_with(&f.id, 1, "thanks"))
            .send(|f| DoSecond { id: f.id.clone() })
            .done::<SecondDone>()
            .refused::<SecondRefused>(|_| "no".to_owned())
    })
    .failed(|f: &Facts, failure| Some(pay_with(&f.id, 2, &format!("{:?}", failure.kind))))
}

pub fn services(sagas: Vec<Saga<Facts>>) -> Vec<Service> {
    let accounts = sagas.into_iter().fold(accounts(), Service::saga);
    vec![accounts, Service::new("desks").decider::<Desk>()]
}

pub fn v1() -> Vec<Service> {
    services(vec![transfer(1)])
}

pub fn both() -> Vec<Service> {
    let moves = |moves: Moves| moves.skip("check");
    services(vec![transfer(1), transfer(2).moves_from(1, moves)])
}

pub fn say(bench: &mut Bench, id: &str, what: &str) {
    let number = bench.log().len();
    bench.ask(&format!("say-{number}"), Say { id: id.to_owned(), what: what.to_owned() }).unwrap();
}

pub fn shown(bench: &Bench, id: &str) -> Shown {
    show(&*bench.committer.reader(), &format!("transfer-{id}"), NOW, None).unwrap().unwrap()
}

pub(super) fn steps(bench: &Bench, id: &str) -> Vec<String> {
    shown(bench, id).steps.iter().map(|step| format!("{} {}", step.name, step.status)).collect()
}

pub fn count(bench: &Bench, version: u32) -> SagaCount {
    bench.health().sagas.into_iter().find(|count| count.version == version).unwrap_or_default()
}

pub fn act(bench: &mut Bench, id: &str, wanted: Wanted) -> Result<Outcome, ActError> {
    bench.act(What::Saga(format!("transfer-{id}"), wanted))
}

#[test]
fn each_instance_is_run_by_the_version_that_started_it() {
    let mut bench = Bench::new(v1());
    bench.ask("p1", pay("a", 5)).unwrap();
    let mut bench = bench.restart(both());
    bench.run();
    bench.ask("p2", pay("b", 5)).unwrap();
    assert_eq!((count(&bench, 1).open, count(&bench, 2).open), (1, 1));
    say(&mut bench, "a", "first");
    say(&mut bench, "b", "first");
    assert_eq!(steps(&bench, "a"), ["first completed", "thank started"], "I7: run by another version");
    assert_eq!(steps(&bench, "b"), ["first completed", "check started"]);
    assert_eq!((shown(&bench, "a").version, shown(&bench, "b").version), (1, 2));
    assert!(!count(&bench, 1).may_go);
    say(&mut bench, "a", "second");
    assert_eq!(shown(&bench, "a").status, "completed");
    assert_eq!((count(&bench, 1).open, count(&bench, 1).may_go, count(&bench, 2).may_go), (0, true, false));
    let bench = bench.restart(both());
    assert_eq!((count(&bench, 1).open, count(&bench, 1).may_go, count(&bench, 2).open), (0, true, 1));
    bench.check_versions();
}

#[test]
fn an_instance_whose_version_the_program_lacks_waits_without_a_letter_and_goes_on_later() {
    for undo in [false, true] {
        let mut bench = Bench::new(v1());
        for id in ["a", "b"] {
            bench.ask(&format!("p-{id}"), pay(id, 5)).unwrap();
        }
        let mut bench = bench.restart(services(vec![transfer(2)]));
        bench.run();
        say(&mut bench, "a", "first");
        // A new instance goes its way, and the limit of b's step stands still meanwhile.
        bench.ask("p-c", pay("c", 5)).unwrap();
        say(&mut bench, "c", "first");
        assert_eq!(steps(&bench, "c"), ["first completed", "check started"]);
        bench.advance(NOW + 1.minutes());
        assert_eq!((bench.letters().len(), bench.held().len()), (0, 1));
        let counts = count(&bench, 1);
        assert_eq!((counts.open, counts.known, counts.may_go), (2, false, false), "{counts:?}");
        let refused = act(&mut bench, "a", Wanted::Undo).unwrap_err().to_string();
        assert!(refused.contains("lacks version 1"), "{refused}");
        if undo {
            say(&mut bench, "a", "second");
        }
        let mut bench = bench.restart(both());
        bench.run();
        assert_eq!(bench.held().len(), 0);
        assert_eq!(steps(&bench, "a")[0], "first completed", "its answer came in time");
        assert_eq!(shown(&bench, "a").status, if undo { "completed" } else { "started" });
        assert_eq!(steps(&bench, "b"), ["first started"], "its time was not over");
        bench.advance(NOW + 2.minutes());
        assert_eq!(steps(&bench, "b"), ["first undoing"]);
        say(&mut bench, "b", "undone");
        assert_eq!(shown(&bench, "b").status, "compensated");
        bench.check_versions();
    }
}

/// An old program after a roll-out that failed: what the new one has started waits, and what it has ended stays ended.
#[test]
fn the_way_back_is_a_way_forward_too() {
    let mut bench = Bench::new(both());
    for id in ["a", "b"] {
        bench.ask(&format!("p-{id}"), pay(id, 5)).unwrap();
    }
    for word in ["first", "checked", "second"] {
        say(&mut bench, "a", word);
    }
    let mut bench = bench.restart(v1());
    bench.run();
    say(&mut bench, "a", "second");
    say(&mut bench, "b", "first");
    assert_eq!((bench.letters().len(), bench.held().len()), (0, 1), "an end needs no version");
    let mut bench = bench.restart(both());
    bench.run();
    assert_eq!(steps(&bench, "b"), ["first completed", "check started"]);
}

#[test]
fn open_instances_move_to_a_newer_version_if_their_place_can_be_explained() {
    let mut bench = Bench::new(v1());
    for id in ["early", "late", "ended"] {
        bench.ask(&format!("p-{id}"), pay(id, 5)).unwrap();
    }
    for (id, word) in [("late", "first"), ("ended", "first"), ("ended", "second")] {
        say(&mut bench, id, word);
    }
    let mut bench = bench.restart(both());
    bench.run();
    let stands = bench.log().len();
    let tried = bench.act(What::TrySaga("transfer-early".to_owned(), Wanted::Move(2))).unwrap();
    let Outcome::Tried(preview) = tried else { panic!("{tried:?}") };
    assert_eq!((preview.failure, bench.log().len()), (None, stands), "nothing is stored");
    assert!(preview.effects.iter().any(|effect| effect.type_name == "transfer.moved"));
    act(&mut bench, "early", Wanted::Move(2)).unwrap();
    act(&mut bench, "late", Wanted::Move(2)).unwrap();
    let refused = act(&mut bench, "ended", Wanted::Move(2)).unwrap_err().to_string();
    assert!(refused.contains("it has ended"), "{refused}");
    assert_eq!((count(&bench, 1).open, count(&bench, 1).may_go, count(&bench, 2).open), (0, true, 2));
    let moved = shown(&bench, "late");
    assert_eq!(steps(&bench, "late"), ["first completed", "check skipped", "thank started"]);
    assert_eq!((moved.acts[0].act.as_str(), moved.acts[0].by.as_str()), ("moved", "mara"));
    // The table of version 1 may go now.
    let mut bench = bench.restart(services(vec![transfer(2)]));
    bench.run();
    say(&mut bench, "early", "first");
    assert_eq!(steps(&bench, "early"), ["first completed", "check started"]);
    say(&mut bench, "late", "second");
    assert_eq!(shown(&bench, "late").status, "completed");
    bench.advance(NOW + 31.secs());
    assert_eq!(shown(&bench, "early").status, "undoing", "it has limits");
    bench.check_versions();
}

#[test]
fn what_cannot_be_moved_is_named_step_by_step() {
    let without = |_: u32| services(vec![transfer(1), transfer(2)]);
    let unexplained = |_: u32| services(vec![transfer(1), transfer(2).moves_from(1, |moves| moves)]);
    let lost = |_: u32| {
        let moves = |moves: Moves| moves.step("check", "first").skip("first");
        services(vec![transfer(1), transfer(2).moves_from(1, moves)])
    };
    type Make<'a> = &'a dyn Fn(u32) -> Vec<Service>;
    let cases: [(Make<'_>, &str); 3] = [
        (&without, "version 2 does not say how: add `.moves_from(1, …)` to it"),
        (
            &unexplained,
            "step `check` of version 2 stands before its place: say `.step(\"check\", …)` or `.skip(\"check\")`",
        ),
        (&lost, ""),
    ];
    for (make, sentence) in cases {
        let mut bench = Bench::new(v1());
        bench.ask("p", pay("a", 5)).unwrap();
        say(&mut bench, "a", "first");
        let mut bench = bench.restart(make(0));
        bench.run();
        match act(&mut bench, "a", Wanted::Move(2)) {
            Ok(_) => assert_eq!(sentence, ""),
            Err(error) => assert_eq!(error.to_string(), sentence),
        }
        let error = act(&mut bench, "a", Wanted::Move(3)).unwrap_err().to_string();
        assert_eq!(error, "this program has no version 3 of transfer: it has 2, 1");
        bench.check_versions();
    }
}

/// The pivot's step is not answered: there is no way back, as long as nobody knows.
fn stuck() -> (Bench, Arc<Mutex<Vec<String>>>) {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut bench = Bench::new(paged(&told));
    bench.ask("p", pay("a", 5)).unwrap();
    say(&mut bench, "a", "first");
    bench.advance(NOW + 25.hours());
    (bench, told)
}

fn paged(told: &Arc<Mutex<Vec<String>>>) -> Vec<Service> {
    let told = told.clone();
    let page = move |event: &Recorded<'_, AttentionNeeded>, _: &mut factum_core::reaction::Effects| {
        told.lock().unwrap().push(format!("{} {:?} {}", event.saga_id, event.step, event.reason));
    };
    let mut services = v1();
    services.push(Service::new("pager").react("page", page));
    services
}

#[test]
fn who_is_needed_is_called_by_event_by_health_and_in_the_list() {
    let (bench, told) = stuck();
    assert_eq!(
        *told.lock().unwrap(),
        ["transfer-a Some(\"thank\") no answer within the limit"],
        "I7: a saga needs a person, and nobody heard"
    );
    let counts = count(&bench, 1);
    assert_eq!((counts.open, counts.needs_person, counts.who), (1, 1, vec!["transfer-a".to_owned()]));
    let told = Arc::default();
    let bench = bench.restart(paged(&told));
    assert_eq!(count(&bench, 1).needs_person, 1);
    let query = Query { status: Some("needs_attention".to_owned()), ..Query::default() };
    let page = list(&*bench.committer.reader(), &query, NOW, None).unwrap();
    assert_eq!(page.sagas.len(), 1);
    assert_eq!(page.sagas[0].attention.as_deref(), Some("step `thank` is late: no answer within the limit"));
}

#[test]
fn a_person_tries_a_step_again_treats_it_as_done_or_undoes_it_all() {
    for (wanted, then, status) in
        [(Wanted::Retry(None), Some("second"), "completed"), (Wanted::Resolve(None), None, "completed")]
    {
        let (mut bench, told) = stuck();
        act(&mut bench, "a", wanted.clone()).unwrap();
        assert_eq!(count(&bench, 1).needs_person, 0);
        // Whatever is folded from the stream stands as it stood in memory.
        let mut bench = bench.restart(paged(&told));
        bench.run();
        then.into_iter().for_each(|word| say(&mut bench, "a", word));
        let ended = shown(&bench, "a");
        assert_eq!((ended.status, ended.acts.len()), (status, 1), "{wanted:?}");
        assert_eq!((ended.acts[0].by.as_str(), ended.acts[0].why.as_deref()), ("mara", Some("mended")));
        assert_eq!((bench.cells(CellKind::Saga), bench.cells(CellKind::Timer)), (1, 0), "only the mark is left");
        let again = act(&mut bench, "a", wanted).unwrap_err().to_string();
        assert!(again.starts_with("it has ended"), "{again}");
        bench.check_versions();
    }
}

/// What the pivot asks for was refused: it was not done, and the way back is open, by itself.
#[test]
fn a_refused_pivot_is_undone_also_after_a_person_was_called() {
    for late in [false, true] {
        let (mut bench, _) = stuck();
        if !late {
            bench = Bench::new(v1());
            bench.ask("p", pay("a", 5)).unwrap();
            say(&mut bench, "a", "first");
        }
        say(&mut bench, "a", "refused");
        assert_eq!(steps(&bench, "a"), ["first undoing", "thank failed"]);
        assert!(bench.events::<Paid>().iter().any(|paid| paid.note == "Refused"), "the own aggregate has heard of it");
        let mut bench = bench.restart(v1());
        say(&mut bench, "a", "undone");
        assert_eq!((count(&bench, 1).open, shown(&bench, "a").status), (0, "compensated"));
        bench.check_versions();
    }
}

#[test]
fn nothing_is_undone_while_the_pivot_may_be_done() {
    let mut bench = Bench::new(v1());
    bench.ask("p", pay("a", 5)).unwrap();
    say(&mut bench, "a", "first");
    let refused = act(&mut bench, "a", Wanted::Undo).unwrap_err().to_string();
    assert!(refused.contains("its pivot `thank` is done or may be"), "{refused}");
    // A limit behind the pivot calls a person, and the answer counts whenever it comes.
    bench.advance(NOW + 25.hours());
    assert_eq!((count(&bench, 1).needs_person, shown(&bench, "a").status), (1, "needs_attention"));
    say(&mut bench, "a", "second");
    assert_eq!((count(&bench, 1).open, shown(&bench, "a").status), (0, "completed"));
}

#[test]
fn an_undo_that_keeps_failing_calls_a_person_and_is_tried_anew() {
    let mut bench = Bench::new(v1());
    bench.ask_all(vec![Request { tenant: Some("acme".into()), ..request("p", pay("a", 5)) }]).unwrap();
    act(&mut bench, "a", Wanted::Undo).unwrap();
    assert_eq!(steps(&bench, "a"), ["first undoing"]);
    assert!(bench.events::<Paid>().iter().any(|paid| paid.note == "Ordered"), "the own aggregate has heard of it");
    bench.advance(NOW + 1.hours());
    let sent = bench.of_kind::<UndoFirst>(factum_core::envelope::Kind::Command).len();
    assert_eq!((sent, count(&bench, 1).needs_person), (2, 1));
    act(&mut bench, "a", Wanted::Retry(None)).unwrap();
    let mut undos = bench.log().into_iter().filter(|stored| stored.type_name() == "desk.undo_first");
    assert!(undos.all(|undo| undo.envelope().tenant.as_deref() == Some("acme")), "whoever acts, it is for the same");
    assert_eq!((count(&bench, 1).needs_person, count(&bench, 1).undoing), (0, 1));
    say(&mut bench, "a", "undone");
    assert_eq!(shown(&bench, "a").status, "compensated");
}

#[test]
fn open_instances_are_listed_by_what_is_asked_for() {
    let mut bench = Bench::new(both());
    for number in 0..5 {
        bench.ask(&format!("p{number}"), pay(&format!("n{number}"), 1)).unwrap();
    }
    say(&mut bench, "n3", "first");
    let reader = bench.committer.reader();
    let found = |query: Query, now| -> Vec<String> {
        list(&*reader, &query, now, None).unwrap().sagas.into_iter().map(|saga| saga.saga_id).collect()
    };
    let any = Query::default;
    assert_eq!(found(any(), NOW).len(), 5);
    assert_eq!(found(Query { step: Some("check".to_owned()), ..any() }, NOW), ["transfer-n3"]);
    assert_eq!(found(Query { version: Some(1), ..any() }, NOW).len(), 0);
    assert_eq!(found(Query { older_than_secs: Some(60), ..any() }, NOW + 59.secs()).len(), 0);
    assert_eq!(found(Query { older_than_secs: Some(60), ..any() }, NOW + 60.secs()).len(), 5);
    assert_eq!(found(Query { stuck: true, ..any() }, NOW + 29.secs()).len(), 0, "each has time left");
    assert_eq!(found(Query { stuck: true, ..any() }, NOW + 31.secs()).len(), 5);
    let page = list(&*reader, &Query { limit: Some(2), ..any() }, NOW, None).unwrap();
    assert_eq!((page.sagas.len(), page.next.as_deref()), (2, Some("transfer-n1")));
    let rest = list(&*reader, &Query { after: page.next, ..any() }, NOW, None).unwrap();
    assert_eq!((rest.sagas.len(), rest.next), (3, None));
    let wrong = list(&*reader, &Query { status: Some("gone".to_owned()), ..any() }, NOW, None).unwrap_err().to_string();
    assert!(wrong.contains("`gone` is no state of an open process"), "{wrong}");
}

/// A log from before open instances had cells: they are found once, and kept from then on.
#[test]
fn open_instances_of_an_older_log_are_found_at_the_start() {
    let mut bench = Bench::new(v1());
    let begin = |bench: &mut Bench, id: &str| {
        let at = Some(factum_core::ports::Clock::mark(&bench.clock));
        let begun = Request { at, ..request(&format!("p-{id}"), pay(id, 5)) };
        bench.ask_all(vec![begun]).unwrap();
    };
    ["b", "c"].iter().for_each(|id| begin(&mut bench, id));
    for (id, word) in [("b", "first"), ("b", "second"), ("c", "first")] {
        say(&mut bench, id, word);
    }
    bench.advance(NOW + 25.hours());
    begin(&mut bench, "a");
    bench.forget_cells(CellKind::Saga);
    let mut bench = bench.restart(v1());
    assert_eq!((count(&bench, 1).open, count(&bench, 1).needs_person, bench.cells(CellKind::Saga)), (2, 1, 0));
    begin(&mut bench, "d");
    assert_eq!(bench.cells(CellKind::Saga), 4, "three instances, and the mark that these are all");
    let bench = bench.restart(v1());
    assert_eq!((count(&bench, 1).open, count(&bench, 1).needs_person), (3, 1));
    assert_eq!(bench.stream("transfer-a")[0].version, StreamVersion(1));
}

#[test]
fn versions_that_do_not_go_together_are_refused_at_the_start() {
    let refused = |sagas: Vec<Saga<Facts>>| {
        let registry = factum_runtime::registry::Registry::new(services(sagas));
        registry.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let cases = [
        (vec![transfer(2), transfer(2)], "there are two tables of version 2"),
        (vec![transfer(1), transfer(2).key("other")], "version 1 has the key `id`, not `other`"),
        (vec![transfer(1), transfer(2).moves_from(1, |moves| moves.skip("chek"))], "names the step `chek`"),
        (vec![transfer(1), transfer(2).moves_from(1, |moves| moves.step("check", "frist"))], "from the step `frist`"),
        (vec![transfer(2).moves_from(2, |moves| moves)], "instances move to a later version"),
    ];
    for (sagas, sentence) in cases {
        let error = refused(sagas);
        assert!(error.contains(sentence), "{error}");
    }
}
