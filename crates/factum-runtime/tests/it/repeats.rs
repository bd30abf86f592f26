//! The same request twice: who is remembered, for how long, and what is answered.

use std::borrow::Cow;

use factum_core::{
    Timestamp,
    decider::{Context, Decider},
    envelope::{Draft, Envelope, Kind},
    id::MessageId,
    payload::Command as Payload,
    service::Service,
    stream::StreamVersion,
};
use factum_macros::{Command, Event, Rejection};
use factum_runtime::inbox::{ExecuteError, Receipt, Request};
use serde::{Deserialize, Serialize};

use super::bench::*;
use super::snapshots::often;

#[derive(Command, Clone)]
#[command("depot.receive")]
pub struct Receive {
    depot: String,
    article: String,
    units: i64,
}

#[derive(Command, Clone)]
#[command("depot.close")]
struct Close {
    depot: String,
}

#[derive(Command, Clone)]
enum DepotCommand {
    Receive(Receive),
    Close(Close),
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("depot.received")]
struct Received {
    article: String,
    units: i64,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("depot.closed")]
struct Closed {}

#[derive(Event, Clone, Debug, PartialEq)]
enum DepotEvent {
    Received(Received),
    Closed(Closed),
}

#[derive(Debug, Rejection)]
enum DepotRejection {
    #[rejection("closed", "the depot is closed")]
    Closed,
}

/// Where goods of many articles come in.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Depot {
    units: i64,
    is_closed: bool,
}

impl Decider for Depot {
    const CATEGORY: &'static str = "depot";
    type Id = String;
    type Command = DepotCommand;
    type Event = DepotEvent;
    type Rejection = DepotRejection;

    fn address(command: &DepotCommand, _: &Envelope) -> String {
        match command {
            DepotCommand::Receive(receive) => receive.depot.clone(),
            DepotCommand::Close(close) => close.depot.clone(),
        }
    }

    fn decide(&self, _: &String, command: DepotCommand, _: &Context) -> Result<Vec<DepotEvent>, DepotRejection> {
        match command {
            _ if self.is_closed => Err(DepotRejection::Closed),
            DepotCommand::Receive(Receive { units: 0, .. }) => Ok(vec![]),
            DepotCommand::Receive(Receive { article, units, .. }) => {
                Ok(vec![DepotEvent::Received(Received { article, units })])
            }
            DepotCommand::Close(_) => Ok(vec![DepotEvent::Closed(Closed {})]),
        }
    }

    fn evolve(&mut self, event: &DepotEvent) {
        match event {
            DepotEvent::Received(received) => self.units += received.units,
            DepotEvent::Closed(_) => self.is_closed = true,
        }
    }

    fn repeat_key(command: &DepotCommand) -> Option<Cow<'_, str>> {
        match command {
            DepotCommand::Receive(receive) if !receive.article.is_empty() => Some(receive.article.as_str().into()),
            _ => None,
        }
    }
}

pub fn depots() -> Vec<Service> {
    vec![Service::new("depots").decider_with_snapshots::<Depot>(1)]
}

pub fn receive(depot: &str, article: &str, units: i64) -> Receive {
    Receive { depot: depot.to_owned(), article: article.to_owned(), units }
}

fn close(depot: &str) -> Close {
    Close { depot: depot.to_owned() }
}

/// The bench as it is, started again, and started again with a snapshot.
fn each_start(mut bench: Bench, mut check: impl FnMut(&mut Bench, &str)) {
    check(&mut bench, "while running");
    let mut bench = bench.restart(depots());
    check(&mut bench, "after a kill");
    bench.engine.save_cursor().unwrap();
    bench.engine.take_snapshots();
    assert!(bench.snapshots.names().contains(&"stream/depot-d".to_owned()));
    let mut bench = bench.restart(depots());
    check(&mut bench, "from a snapshot");
}

fn places(receipts: &[Receipt]) -> Vec<(String, u64, u64)> {
    let place = |receipt: &Receipt| (receipt.stream.to_string(), receipt.version.0, receipt.position.0);
    receipts.iter().map(place).collect()
}

#[test]
fn an_accepted_command_that_changes_nothing_gets_its_first_answer_again() {
    let mut bench = Bench::with(depots(), often());
    let first = bench.ask("r1", receive("d", "tea", 0)).unwrap();
    assert_eq!((first.version, first.position.0, first.repeated), (StreamVersion(1), 1, false));
    (2..4).for_each(|number| _ = bench.ask(&format!("r{number}"), receive("d", "tea", 5)).unwrap());
    bench.ask("c1", close("d")).unwrap();
    bench.ask("c2", close("e")).unwrap();
    let before = bench.log().len();
    each_start(bench, |bench, when| {
        let again = bench.ask("r1", receive("d", "tea", 0)).unwrap();
        assert_eq!((&again.stream, again.version, again.position), (&first.stream, first.version, first.position));
        assert!(again.repeated, "{when}");
        assert!(matches!(bench.ask("r1", receive("d", "tea", 1)), Err(ExecuteError::IdReused(_))), "{when}");
        assert_eq!(bench.log().len(), before, "{when}");
        bench.check_versions();
    });
}

#[test]
fn its_trace_is_a_small_message_that_nobody_is_given() {
    let mut bench = Bench::new(depots());
    bench.ask("r1", receive("d", "tea", 0)).unwrap();
    let log = bench.log();
    let [receipt] = log.as_slice() else { panic!("{log:?}") };
    let envelope = receipt.envelope();
    assert_eq!(
        (envelope.kind, receipt.type_name(), &*receipt.message.data),
        (Kind::Receipt, "depot.receive", &b"{}"[..])
    );
    assert_eq!(envelope.causation_id, Some(MessageId::parse("r1").unwrap()));
    assert!(envelope.digest.is_some() && envelope.repeat_key.is_some());
    let health = bench.health();
    assert!(health.stopped.is_empty() && bench.letters().is_empty(), "{health:?}");
}

#[test]
fn a_command_without_a_key_leaves_no_trace() {
    let mut bench = Bench::new(depots());
    let keyless = |command: Receive| vec![Request { id: None, ..request("-", command) }];
    let receipts = bench.ask_all(keyless(receive("d", "tea", 0))).unwrap();
    assert_eq!(places(&receipts), [("depot-d".to_owned(), 0, 0)]);
    assert!(bench.log().is_empty());
    bench.ask_all(keyless(receive("d", "tea", 5))).unwrap();
    assert_eq!(bench.log()[0].envelope().digest, None, "nobody can send it again");
}

#[test]
fn a_rejection_is_not_remembered() {
    let mut bench = Bench::with(depots(), often());
    bench.ask("c1", close("d")).unwrap();
    let both = || vec![request("r1", receive("e", "tea", 5)), request("r2", receive("d", "tea", 5))];
    for _ in 0..2 {
        assert!(matches!(bench.ask("r0", receive("d", "tea", 5)), Err(ExecuteError::Rejected(_))));
        assert!(matches!(bench.ask_all(both()), Err(ExecuteError::Rejected(_))));
    }
    assert_eq!(bench.log().len(), 1);
    let other = vec![request("r1", receive("e", "tea", 5)), request("r2", receive("f", "tea", 5))];
    assert!(bench.ask_all(other).unwrap().iter().all(|receipt| !receipt.repeated));
}

#[test]
fn commands_together_get_their_first_answer_again_also_if_one_changed_nothing() {
    for both in [[0, 5], [5, 0], [0, 0], [3, 5]] {
        let together =
            || vec![request("r1", receive("d", "tea", both[0])), request("r2", receive("e", "cup", both[1]))];
        let mut bench = Bench::with(depots(), often());
        let first = bench.ask_all(together()).unwrap();
        assert!(first.iter().all(|receipt| !receipt.repeated));
        (0..4).for_each(|number| _ = bench.ask(&format!("n{number}"), receive("d", "cup", 1)).unwrap());
        bench.ask("c1", close("d")).unwrap();
        bench.ask("c2", close("e")).unwrap();
        let before = bench.log().len();
        each_start(bench, |bench, when| {
            let again = bench.ask_all(together()).unwrap();
            assert_eq!(places(&again), places(&first), "{both:?} {when}");
            assert!(again.iter().all(|receipt| receipt.repeated));
            assert_eq!(bench.log().len(), before);
        });
    }
}

#[test]
fn commands_together_are_one_request_also_when_one_of_them_is_forgotten() {
    let together = || vec![request("r1", receive("d", "", 5)), request("r2", receive("e", "", 5))];
    let mut bench = Bench::with(depots(), often());
    let first = bench.ask_all(together()).unwrap();
    (0..1_024).for_each(|number| bench.send(&format!("n{number}"), receive("d", "", 1)));
    bench.run();
    let before = bench.log().len();
    each_start(bench, |bench, when| {
        let again = bench.ask_all(together()).unwrap();
        assert!(again.iter().all(|receipt| receipt.repeated), "{when}");
        assert_eq!(places(&again)[1], places(&first)[1]);
        let (known, forgotten) = (&again[1], &again[0]);
        assert_eq!((forgotten.stream.as_str(), forgotten.position), ("depot-d", known.position), "{when}");
        assert_eq!(bench.log().len(), before, "nothing was carried out again {when}");
    });
}

#[test]
fn a_key_of_commands_together_is_for_all_of_them() {
    let ask = |id: &str, depot: &str| request(id, receive(depot, "tea", 5));
    let mut bench = Bench::new(depots());
    bench.ask_all(vec![ask("r1", "d"), ask("r2", "e")]).unwrap();
    bench.ask_all(vec![ask("r0", "d")]).unwrap();
    let reused = [
        vec![ask("r1", "d")],
        vec![ask("r1", "d"), ask("r2", "e"), ask("r3", "f")],
        vec![ask("r2", "e"), ask("r1", "d")],
        vec![ask("r0", "d"), ask("r3", "f")],
    ];
    let before = bench.log().len();
    for requests in reused {
        assert!(matches!(bench.ask_all(requests), Err(ExecuteError::IdReused(_))));
    }
    assert_eq!(bench.log().len(), before);
}

/// Tells whether a command is still remembered, without carrying it out: its body is another.
fn is_known<C: Payload>(bench: &mut Bench, id: &str, command: C, at: Timestamp) -> bool {
    let other = Request { digest: Some(1), at: Some(at), ..request(id, command) };
    let together = vec![other, request("never", receive("closed", "", 1))];
    match bench.ask_all(together) {
        Err(ExecuteError::IdReused(_)) => true,
        Err(ExecuteError::Rejected(refused)) if refused.code == "closed" => false,
        other => panic!("{other:?}"),
    }
}

/// A bench with a depot that refuses everything, and commands sent to another one.
fn sent(commands: impl IntoIterator<Item = (String, Receive, Timestamp)>) -> Bench {
    let mut bench = Bench::with(depots(), often());
    bench.ask("closed", close("closed")).unwrap();
    for (id, command, at) in commands {
        let draft = Draft::of(&command).unwrap();
        drop(bench.post(vec![Request {
            id: Some(MessageId::parse(&id).unwrap()),
            at: Some(at),
            ..Request::new(draft)
        }]));
        if bench.inbox.waiting() > 500 {
            bench.run();
        }
    }
    bench.run();
    bench
}

#[test]
fn an_aggregate_remembers_the_last_1024_commands() {
    let bench = sent((0..1_025).map(|number| (format!("r{number}"), receive("d", "", 1), NOW)));
    each_start(bench, |bench, when| {
        assert!(is_known(bench, "r1", receive("d", "", 1), NOW), "the oldest that is remembered, {when}");
        assert!(!is_known(bench, "r0", receive("d", "", 1), NOW), "one older, {when}");
    });
}

#[test]
fn an_aggregate_remembers_the_last_64_commands_of_a_key_among_thousands_of_others() {
    let ours = (0..65).map(|number| (format!("r{number}"), receive("d", "tea", 1), NOW));
    let others = (0..4_000).map(|number| (format!("n{number}"), receive("d", "", 1), NOW));
    each_start(sent(ours.chain(others)), |bench, when| {
        for known in ["r1", "r64"] {
            assert!(is_known(bench, known, receive("d", "tea", 1), NOW), "{known} {when}");
        }
        assert!(!is_known(bench, "r0", receive("d", "tea", 1), NOW), "the sixty-fifth, {when}");
        assert!(!is_known(bench, "n0", receive("d", "", 1), NOW), "{when}");
    });
}

#[test]
fn a_command_is_remembered_for_24_hours() {
    let day = NOW + jiff::SignedDuration::from_hours(24);
    let later = day + jiff::SignedDuration::from_millis(1);
    for others in [3, 2_000] {
        let first = ("r0".to_owned(), receive("d", "tea", 1), NOW);
        let others = (0..others).map(|number| (format!("n{number}"), receive("d", "cup", 1), day));
        each_start(sent([first].into_iter().chain(others)), |bench, when| {
            let known = is_known(bench, "r0", receive("d", "tea", 1), day);
            assert!(
                known,
                "I1: a key is forgotten inside its window, so that its request is carried out twice, {when}"
            );
            assert!(!is_known(bench, "r0", receive("d", "tea", 1), later), "{when}");
        });
    }
}
