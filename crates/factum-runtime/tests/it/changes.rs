//! The next program on the same log: other versions, other names, and what no longer fits.

use std::{sync::Arc, time::Duration};

use factum_core::{
    cell::{CellChange, CellKind, ExpectedRevision},
    commit::Commit,
    decider::Context,
    envelope::{Draft, Kind, Recorded},
    letter::Key,
    ports::Reader,
    reaction::{Effects, Folding, Reaction},
    rejection::Never,
    service::Service,
    stream::{StreamId, StreamVersion},
};
use factum_runtime::{
    acts::What,
    inbox::{Answered, Input},
    registry::Registry,
    shapes::{Shape, ShapesError, Unread, Why},
};

use super::bank::*;
use super::bench::*;
use super::shelves::*;

fn refused(bench: &Bench, services: Vec<Service>) -> Vec<Unread> {
    match Registry::new(services).unwrap().meets(&bench.store, false) {
        Err(ShapesError::Unread(unread)) => unread,
        other => panic!("{other:?}"),
    }
}

fn holding() -> How {
    How { hold_unknown: true, ..How::default() }
}

fn tallies(bench: &Bench) -> Vec<(String, i64)> {
    bench.events::<Told>().into_iter().map(|noted| (noted.id, noted.cents)).collect()
}

/// The list of names and versions, as it is stored.
fn listed(bench: &Bench) -> Vec<String> {
    let cells = bench.store.cells(CellKind::Shapes).unwrap();
    assert!(cells.len() < 2);
    let list = cells.iter().map(|cell| serde_json::from_slice::<serde_json::Value>(&cell.value).unwrap());
    let shapes = list.flat_map(|list| serde_json::from_value::<Vec<Shape>>(list["shapes"].clone()).unwrap());
    shapes.map(|shape| format!("{} {} {}", shape.category, shape.type_name, shape.version)).collect()
}

#[test]
fn a_forgotten_upcaster_refuses_the_start_and_says_what_to_write() {
    let bench = first_log();
    let unread = refused(&bench, vec![major::service()]);
    assert_eq!(unread.len(), 1);
    let sentence = unread[0].to_string();
    assert!(sentence.contains(".upcast(\"shelf.filled\", \"1.0.0\", \"2.0.0\", …)"), "{sentence}");
    let with = || vec![major::service().upcast("shelf.filled", "1.0.0", "2.0.0", counted), major::counts()];
    let mut bench = bench.restart(with());
    bench.ask("f3", major::fill("a")).unwrap();
    assert_eq!(bench.stream("shelf-a")[1].decode::<major::Filled>().unwrap().count, 2, "the first is in the state");
    assert_eq!(*tallies(&bench).last().unwrap(), (major::VERSION.to_owned(), 3));
}

/// A field that every reader needs, and an upcaster for it forgotten: no state could be read any more.
#[test]
fn what_does_not_have_the_declared_shape_refuses_the_start() {
    let bench = first_log();
    let sentence = refused(&bench, vec![demanding::service()]).remove(0).to_string();
    assert!(sentence.contains("missing field `count`") && sentence.contains("(first at position 1)"), "{sentence}");
    assert!(sentence.contains("give `shelf.filled` the next version and an upcaster from 1.0.0 to it"), "{sentence}");
    let sentence = refused(&bench, vec![demanding_minor::service()]).remove(0).to_string();
    assert!(sentence.contains(".upcast(\"shelf.filled\", \"1.0.0\", \"1.1.0\", …)"), "{sentence}");
    let with = || vec![demanding_minor::service().upcast("shelf.filled", "1.0.0", "1.1.0", counted)];
    let mut bench = bench.restart(with());
    bench.ask("f3", demanding_minor::fill("a")).unwrap();
    // Nothing is read again by the same program.
    let reads = bench.faults.reads();
    let bench = bench.restart(with());
    assert!(bench.health().unread.is_empty());
    assert!(bench.faults.reads() - reads < 20);
    // Held instead: what can be read goes on.
    let mut bench = first_log().restart_as(vec![demanding::service()], holding());
    assert_eq!(bench.health().unread_streams, 2);
    let refused = bench.ask("f3", demanding::fill("a")).unwrap_err().to_string();
    assert!(refused.contains("missing field `count`"), "{refused}");
    bench.ask("f4", demanding::fill("c")).unwrap();
}

#[test]
fn a_newer_minor_is_read_as_it_is_and_a_newer_major_refuses_the_start() {
    let mut bench = first_log().restart(vec![minor::service(), minor::counts()]);
    bench.ask("f3", minor::fill("a")).unwrap();
    let mut bench = bench.restart(vec![first::service(), first::counts()]);
    bench.ask("f4", first::fill("a")).unwrap();
    assert_eq!(*tallies(&bench).last().unwrap(), (first::VERSION.to_owned(), 4));
    let mut bench = bench.restart(vec![major::service().upcast("shelf.filled", "1.0.0", "2.0.0", counted).upcast(
        "shelf.filled",
        minor::VERSION,
        "2.0.0",
        counted,
    )]);
    bench.ask("f5", major::fill("a")).unwrap();
    let unread = refused(&bench, vec![first::service()]);
    assert_eq!(unread[0].why, Why::Newer { declared: "1.0.0" });
    assert!(unread[0].to_string().contains("deploy the version of the program that knows 2.0.0"), "{}", unread[0]);
}

#[test]
fn a_type_that_was_renamed_without_its_old_name_refuses_the_start() {
    let bench = first_log();
    let unread = refused(&bench, vec![other::service()]);
    assert_eq!((&unread[0].why, unread[0].shape.category.as_str()), (&Why::Unknown, "shelf"));
    assert!(unread[0].to_string().contains("put `was = \"shelf.filled\"` behind"), "{}", unread[0]);
    let error = ShapesError::Unread(unread).to_string();
    assert!(error.contains("hold_unknown") && error.contains("first at position 1"), "{error}");
    assert!(bench.restart(vec![renamed::service()]).health().unread.is_empty());
}

#[test]
fn a_renamed_type_is_read_by_states_foldings_and_reactions_under_its_new_name() {
    let mut bench = first_log().restart(vec![renamed::service(), renamed::counts()]);
    bench.ask("f3", renamed::fill("a")).unwrap();
    assert_eq!(tallies(&bench).last().unwrap().1, 3, "the folding was rebuilt from the old events");
    assert_eq!(bench.stream("shelf-a")[1].type_name(), "shelf.stocked");
    // What was on its way when the program was changed.
    let mut bench = Bench::new(vec![first::service(), first::late()]);
    bench.ask("p1", first::fill("a")).unwrap();
    let mut bench = bench.restart(vec![renamed::service(), renamed::late()]);
    bench.advance(NOW + Duration::from_secs(61));
    assert_eq!(bench.stream("shelf-late").len(), 1, "the timer's command has its new name");
}

/// Nobody answered its command when it came: it was kept, and the program that answers it calls it otherwise.
#[test]
fn an_answer_that_was_kept_is_taken_under_its_new_name() {
    // A letter holds the key, so that the answer has to wait.
    let stuck = Folding::<()>::new("fill", 1)
        .answer(|(): &(), _: &first::Fill, _: &Context, _: &mut Effects| -> Result<(), Never> { panic!("as asked") });
    let stuck = Service::new("stuck").folding(stuck);
    let mut bench = Bench::new(vec![accounts(), first::asking(), first::forwards(), stuck]);
    bench.ask("p1", pay("a", 1)).unwrap();
    assert_eq!(bench.letters().len(), 1);
    let call = bench.store.cells(CellKind::Call).unwrap()[0].key.clone();
    let cause = bench.log().into_iter().find(|stored| stored.envelope().kind == Kind::Call).unwrap();
    let command = Draft::of(&first::fill("kept")).unwrap();
    bench.inbox.try_send(Input::Answer(Answered { call, command, cause: Arc::new(cause) })).unwrap();
    bench.run();
    assert_eq!((bench.letters().len(), bench.cells(CellKind::Call)), (1, 1), "it is kept");
    let mut bench = bench.restart(vec![accounts(), renamed::asking(), renamed::service()]);
    bench.run();
    assert_eq!((bench.stream("shelf-kept").len(), bench.cells(CellKind::Call)), (1, 0));
}

#[test]
fn an_adopted_name_is_stored_and_read_as_it_is_and_listed() {
    let mut bench = Bench::new(vec![adopted::service(), adopted::counts()]);
    bench.ask("f1", adopted::fill("a")).unwrap();
    assert_eq!(bench.stream("shelf-a")[0].type_name(), "ShelfFilled");
    assert_eq!(tallies(&bench), [(adopted::VERSION.to_owned(), 1)]);
    assert_eq!(bench.registry.types.adopted().collect::<Vec<_>>(), ["FillShelf", "ShelfFilled"]);
    let bench = bench.restart(vec![adopted::service(), adopted::counts()]);
    assert!(bench.health().unread.is_empty());
}

/// The first program on a log that a program of the next major has gone on with.
fn rolled_back(more: Vec<Service>) -> Bench {
    let mut bench = first_log().restart(vec![major::service().upcast("shelf.filled", "1.0.0", "2.0.0", counted)]);
    bench.ask("f3", major::fill("a")).unwrap();
    let services = [first::service(), first::counts(), accounts(), first::forwards()];
    bench.restart_as(services.into_iter().chain(more).collect(), holding())
}

#[test]
fn streams_that_cannot_be_read_are_held_if_that_is_wanted_and_the_others_go_on() {
    let mut bench = rolled_back(vec![]);
    let health = bench.health();
    assert_eq!((health.unread_streams, health.unread), (1, vec!["shelf.filled 2.0.0".to_owned()]));
    let error = bench.ask("f4", first::fill("a")).unwrap_err().to_string();
    assert!(error.contains("shelf-a cannot be folded") && error.contains("knows 1.0.0"), "{error}");
    bench.ask("f5", first::fill("b")).unwrap();
    bench.ask("p1", pay("a", 1)).unwrap();
    bench.ask("p2", pay("b", 1)).unwrap();
    assert_eq!((bench.stream("shelf-a").len(), bench.stream("shelf-b").len()), (2, 3));
    let held = bench.held();
    assert!(held.iter().any(|held| held.key == Key::Stream("shelf-a".to_owned())), "{held:?}");
    // The version that knows it goes on where it was.
    let today = || major::service().upcast("shelf.filled", "1.0.0", "2.0.0", counted);
    let mut bench = bench.restart(vec![today(), accounts(), major::forwards()]);
    bench.run();
    assert_eq!(bench.health().unread_streams, 0);
    let letters = bench.letters().into_iter().filter(|letter| letter.key == Key::Stream("shelf-a".to_owned()));
    for letter in letters {
        bench.act(What::Redrive(letter.id)).unwrap();
    }
    assert_eq!(bench.stream("shelf-a").len(), 3);
}

#[test]
fn what_cannot_be_read_never_reaches_a_fold_as_something_else() {
    let mut bench = rolled_back(vec![]);
    bench.run();
    let letters = bench.letters();
    let unfolded = letters.iter().find(|letter| letter.unfolded).unwrap();
    assert!(unfolded.reason().contains("does not fit"), "{}", unfolded.reason());
    bench.ask("f4", first::fill("b")).unwrap();
    assert_eq!(tallies(&bench).last().unwrap().1, 3, "two of the old ones, and this");
}

#[test]
fn an_unknown_type_is_held_too() {
    let mut bench = first_log().restart_as(vec![other::service()], holding());
    let error = bench.ask("f3", other::fill("a")).unwrap_err().to_string();
    assert!(error.contains("no handler of this program has it"), "{error}");
    bench.ask("f4", other::fill("c")).unwrap();
    assert_eq!(bench.health().unread_streams, 2);
}

#[test]
fn names_and_versions_are_listed_with_the_first_commit_that_may_write_them() {
    let mut bench = Bench::new(vec![first::service()]);
    bench.run();
    assert_eq!((listed(&bench).len(), bench.faults.writes()), (0, 0), "nothing was written yet");
    bench.ask("f1", first::fill("a")).unwrap();
    assert_eq!(listed(&bench), ["shelf shelf.filled 1.0.0"]);
    let revision = |bench: &Bench| bench.store.cells(CellKind::Shapes).unwrap()[0].revision;
    let written = revision(&bench);
    let mut bench = bench.restart(vec![first::service()]);
    bench.ask("f2", first::fill("a")).unwrap();
    assert_eq!(revision(&bench), written, "it is not written again");
    let mut bench = bench.restart(vec![minor::service()]);
    bench.ask("f3", minor::fill("a")).unwrap();
    assert_eq!(listed(&bench), ["shelf shelf.filled 1.0.0", "shelf shelf.filled 1.1.0"]);
}

#[test]
fn a_commit_that_fails_does_not_lose_the_list() {
    let mut bench = Bench::new(vec![first::service()]);
    bench.faults.at(1, Fault::Transient);
    drop(bench.post_as("f1", first::fill("a")));
    assert!(bench.engine.step().is_err());
    bench.ask("f2", first::fill("a")).unwrap();
    assert_eq!(listed(&bench), ["shelf shelf.filled 1.0.0"]);
}

#[test]
fn what_was_declared_and_never_stored_does_not_refuse_an_earlier_program() {
    let bench = first_log();
    let mut bench = bench.restart(vec![renamed::service(), accounts()]);
    bench.ask("p1", pay("a", 1)).unwrap();
    assert!(listed(&bench).contains(&"shelf shelf.stocked 1.0.0".to_owned()));
    let mut bench = bench.restart(vec![first::service(), accounts()]);
    bench.ask("p2", pay("a", 1)).unwrap();
    assert!(!listed(&bench).contains(&"shelf shelf.stocked 1.0.0".to_owned()));
}

#[test]
fn a_log_without_a_list_is_read_once() {
    let bench = first_log();
    let key = bench.store.cells(CellKind::Shapes).unwrap()[0].key.clone();
    let gone = CellChange { key, expected: ExpectedRevision::Any, value: None };
    bench.committer.commit(Commit { appends: vec![], cells: vec![gone] }).unwrap();
    assert_eq!(refused(&bench, vec![other::service()])[0].why, Why::Unknown);
    let mut bench = bench.restart(vec![renamed::service()]);
    bench.ask("f3", renamed::fill("a")).unwrap();
    assert_eq!(listed(&bench), ["shelf shelf.filled 1.0.0", "shelf shelf.stocked 1.0.0"]);
}

#[test]
fn events_that_reactions_emit_are_compared_like_those_of_deciders() {
    let copies = |copy| Service::new("copies").owns("copy").reaction(copy);
    let copy = || {
        let copy = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.emit("copy", &event.id, first::Filled { shelf: event.id.clone() });
        };
        copies(Reaction::new("copy", copy).emits::<first::Filled>("copy"))
    };
    // Nobody reads what is emitted: that it is declared is enough, also for a log that has no list yet.
    let mut bench = Bench::new(vec![accounts(), copy()]);
    bench.ask("p1", pay("a", 1)).unwrap();
    assert_eq!(listed(&bench), ["account account.paid 1.1.0", "copy shelf.filled 1.0.0"]);
    let key = bench.store.cells(CellKind::Shapes).unwrap()[0].key.clone();
    let gone = CellChange { key, expected: ExpectedRevision::Any, value: None };
    bench.committer.commit(Commit { appends: vec![], cells: vec![gone] }).unwrap();
    let bench = bench.restart(vec![accounts(), copy()]);
    assert!(bench.health().unread.is_empty());
    let only = |services| Registry::new(services).unwrap().meets(&bench.store, false).is_ok();
    assert!(only(vec![accounts()]), "whose category it is now nobody's business");
    let nothing = || copies(Reaction::new("copy", |_: &Recorded<'_, Paid>, _: &mut Effects| {}));
    let unread = refused(&bench, vec![accounts(), nothing()]);
    assert_eq!((&*unread[0].shape.category, &unread[0].why), ("copy", &Why::Unknown));
    let unread = refused(&bench, vec![accounts(), nothing(), major::counts()]);
    assert!(matches!(unread[0].why, Why::NotRaised { .. }), "{unread:?}");
}

#[test]
fn what_an_older_list_says_to_be_anywhere_is_looked_for_in_the_log() {
    let bench = first_log();
    let anywhere = Shape { category: String::new(), type_name: "shelf.filled".into(), version: "1.0.0".into() };
    let key = bench.store.cells(CellKind::Shapes).unwrap()[0].key.clone();
    let value = Some(serde_json::to_vec(&[anywhere]).unwrap());
    let old = CellChange { key, expected: ExpectedRevision::Any, value };
    bench.committer.commit(Commit { appends: vec![], cells: vec![old] }).unwrap();
    let unread = refused(&bench, vec![other::service()]);
    assert_eq!((unread.len(), &*unread[0].shape.category, &unread[0].why), (1, "shelf", &Why::Unknown));
}

#[test]
fn an_upcaster_is_applied_once_to_what_is_stored_and_never_to_what_is_new() {
    let one_more = |mut data: serde_json::Value| {
        data["count"] = (data["count"].as_i64().unwrap_or_default() + 1).into();
        data
    };
    let with = || vec![major::service().upcast("shelf.filled", "1.0.0", "2.0.0", one_more)];
    let mut bench = first_log().restart(with());
    bench.ask("f3", major::fill("a")).unwrap();
    let bench = bench.restart(with());
    let read = bench.committer.reader().stream(&StreamId::parse("shelf-a").unwrap(), StreamVersion(0)).unwrap();
    let counts: Vec<i64> = read.iter().map(|stored| stored.decode::<major::Filled>().unwrap().count).collect();
    assert_eq!(counts, [1, 2], "I1: an upcaster is applied more than once, or to what was written today");
}

#[test]
fn an_older_minor_is_read_raised_at_once_as_it_is_after_a_restart() {
    let copy = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.emit("copy", &event.id, first::Filled { shelf: event.id.clone() });
    };
    let services = || {
        let shelves = minor::service().upcast("shelf.filled", first::VERSION, minor::VERSION, |data| data);
        let copy = Reaction::new("copy", copy).emits::<first::Filled>("copy");
        vec![accounts(), shelves.owns("copy").reaction(copy), minor::counts()]
    };
    let mut bench = Bench::new(services());
    bench.ask("p1", pay("a", 1)).unwrap();
    assert_eq!(tallies(&bench), [(minor::VERSION.to_owned(), 1)]);
    assert_eq!(bench.stream("copy-a")[0].envelope().data_version, first::VERSION, "stored as it was written");
}

#[test]
fn a_key_goes_on_waiting_for_a_type_that_was_renamed() {
    let mut bench = Bench::new(vec![first::service(), accounts(), first::patient()]);
    bench.ask("p1", pay("a", 1)).unwrap();
    assert_eq!((bench.held().len(), tallies(&bench).len()), (1, 0));
    let mut bench = bench.restart(vec![renamed::service(), accounts(), renamed::patient()]);
    bench.ask("f1", renamed::fill("a")).unwrap();
    assert_eq!((bench.held().len(), tallies(&bench).len()), (0, 1));
}

#[test]
fn a_reader_may_know_less_than_the_owner_of_a_type_and_not_more() {
    let said = |services| Registry::new(services).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(said(vec![minor::service(), first::counts()]), Ok(()));
    assert_eq!(said(vec![first::counts(), minor::service()]), Ok(()));
    for services in [vec![first::service(), minor::counts()], vec![minor::counts(), first::service()]] {
        let sentence = said(services).unwrap_err();
        assert!(sentence.contains("counts.count reads `shelf.filled` 1.1.0, but shelves.shelf writes"), "{sentence}");
    }
    let sentence = said(vec![first::service(), major::counts()]).unwrap_err();
    assert!(sentence.contains("1.0.0 for shelves.shelf and 2.0.0 for counts.count"), "{sentence}");
    let sentence = said(vec![first::service(), renamed::counts()]).unwrap_err();
    assert!(sentence.contains("`shelf.filled` is an old name of `shelf.stocked`, and shelves.shelf"), "{sentence}");
    let steps = first::service().upcast("shelf.filled", "1.0.0", "1.1.0", |data| data);
    assert!(said(vec![steps]).unwrap_err().contains("write `version = \"1.1.0\"`"));
}
