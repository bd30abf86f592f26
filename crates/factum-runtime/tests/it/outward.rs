//! Calls to the outside: opened once, answered once, retried, in order per key. Time is paused and passes by itself.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use factum_core::{
    call::{Answer, Call, CallSpec, CallTo, exp},
    cell::{CellKey, CellKind},
    envelope::{Kind, Recorded},
    ports::Lease,
    reaction::{Effects, Reaction},
    service::{Durations, Service},
};
use factum_macros::Event;
use factum_runtime::{
    acts::{Outcome, What},
    inbox::{Answered, Input},
    outward::{self, Outward},
    plans::{Making, Redeliver, Selection},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::bank::*;
use super::bench::*;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ask {
    id: String,
    cents: i64,
}

/// What the outside saw: `<how> <cents>` of every attempt, and each key.
#[derive(Clone, Default)]
struct Outside {
    seen: Arc<Mutex<Vec<String>>>,
    keys: Arc<Mutex<Vec<String>>>,
    running: Arc<Mutex<(usize, usize)>>,
}

impl Outside {
    fn note(&self, how: &str, call: &Call<Ask>) {
        self.seen.lock().unwrap().push(format!("{how} {}", call.request.cents));
        self.keys.lock().unwrap().push(call.idempotency_key.clone());
    }
    /// What it was asked to do, without what was only looked up.
    fn asked(&self) -> Vec<String> {
        self.seen().into_iter().filter(|seen| seen.starts_with("ask")).collect()
    }
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

const ASK: CallTo<Ask, Note> = CallTo::new("ask");

#[derive(Event)]
enum Anything {
    Paid(Paid),
}

/// Every payment asks the outside, which answers with a note. The number of cents says how it answers.
fn services(outside: &Outside, window: usize) -> Vec<Service> {
    let ask = |event: &Recorded<'_, Anything>, fx: &mut Effects| {
        let Anything::Paid(paid) = &event.data;
        fx.call(ASK, Ask { id: paid.id.clone(), cents: paid.cents });
    };
    let (first, second) = (outside.clone(), outside.clone());
    let call = CallSpec::new(
        ASK,
        move |call: Call<Ask>| {
            let outside = first.clone();
            assert!(call.request.cents != 7 || call.attempt > 1, "before the future is there");
            async move {
                {
                    let mut running = outside.running.lock().unwrap();
                    running.0 += 1;
                    running.1 = running.1.max(running.0);
                }
                outside.note("ask", &call);
                tokio::time::sleep(100.ms()).await;
                outside.running.lock().unwrap().0 -= 1;
                let done = Note { id: call.request.id.clone(), cents: call.request.cents };
                match (call.request.cents, call.attempt) {
                    (2, 1) => Answer::Again("busy".to_owned(), Some(5.secs())),
                    (3, 1) => Answer::Unknown("cut off".to_owned()),
                    (4, _) => Answer::Again("never".to_owned(), None),
                    (5, 1) => {
                        tokio::time::sleep(60.secs()).await;
                        Answer::Done(done)
                    }
                    (6, 1) => panic!("as asked"),
                    _ => Answer::Done(done),
                }
            }
        },
        |ask: Ask, _: &str| Note { id: ask.id, cents: 400 },
    )
    .query(move |call: Call<Ask>| {
        let outside = second.clone();
        async move {
            outside.note("query", &call);
            match call.request.cents {
                3 => Answer::Done(Note { id: call.request.id, cents: 33 }),
                _ => Answer::Again("not known".to_owned(), None),
            }
        }
    })
    .retry(exp(200.ms(), 2.0).max(3))
    .timeout(10.secs())
    .window(window);
    vec![
        accounts(),
        Service::new("books").decider::<Book>(),
        Service::new("asks").reaction(Reaction::new("ask", ask).calls(ASK)).call(call),
    ]
}

fn spawn(bench: &Bench) -> (watch::Sender<bool>, JoinHandle<()>) {
    let outward = Outward::open(bench.outward_parts()).unwrap();
    let (stop, stopped) = watch::channel(false);
    (stop, tokio::spawn(async move { outward.run(stopped, |_| {}).await }))
}

/// Lets engine and outside take turns until no call is open.
async fn settle(bench: &mut Bench) {
    for _ in 0..100_000 {
        bench.run();
        if bench.cells(CellKind::Call) == 0 {
            return;
        }
        // Paused time passes at once when nobody has anything to do.
        tokio::time::sleep(10.ms()).await;
    }
    panic!("a call stays open");
}

fn noted(bench: &Bench) -> Vec<i64> {
    bench.events::<Noted>().iter().map(|noted| noted.cents).collect()
}

async fn ask_about(cents: i64) -> (Bench, Outside) {
    let outside = Outside::default();
    let mut bench = Bench::new(services(&outside, 8));
    let _outward = spawn(&bench);
    bench.ask("p1", pay("a", cents)).unwrap();
    assert_eq!(bench.cells(CellKind::Call), 1);
    settle(&mut bench).await;
    assert_eq!(bench.of_kind::<Note>(Kind::Command).len(), 0, "an answer is a command that stands in no stream");
    let keys: std::collections::BTreeSet<String> = outside.keys.lock().unwrap().iter().cloned().collect();
    assert_eq!(keys.len(), 1, "every attempt has the same key");
    (bench, outside)
}

#[tokio::test(start_paused = true)]
async fn an_answer_closes_the_call_and_is_decided_once() {
    let (bench, outside) = ask_about(1).await;
    assert_eq!((noted(&bench), outside.seen()), (vec![1], vec!["ask 1".to_owned()]));
    bench.check_versions();
}

#[tokio::test(start_paused = true)]
async fn again_is_tried_again_not_before_the_time_that_was_asked_for() {
    let start = tokio::time::Instant::now();
    let (bench, outside) = ask_about(2).await;
    assert_eq!((noted(&bench), outside.seen()), (vec![2], vec!["ask 2".to_owned(); 2]));
    assert!(start.elapsed() >= 5.secs());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_looked_up_before_anything_is_tried_again() {
    let (bench, outside) = ask_about(3).await;
    assert_eq!((noted(&bench), outside.seen()), (vec![33], vec!["ask 3".to_owned(), "query 3".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn silence_and_panics_are_unknown_outcomes() {
    for (cents, seen) in [(5, vec!["ask 5", "query 5", "ask 5"]), (6, vec!["ask 6", "query 6", "ask 6"])] {
        let (bench, outside) = ask_about(cents).await;
        assert_eq!((noted(&bench), outside.seen()), (vec![cents], seen.into_iter().map(str::to_owned).collect()));
    }
    let (bench, outside) = ask_about(7).await;
    assert_eq!(noted(&bench), [7]);
    assert_eq!(outside.seen(), ["query 7", "ask 7"], "a panic before the future counts as an attempt");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_has_its_last_answer() {
    let (bench, outside) = ask_about(4).await;
    assert_eq!((noted(&bench), outside.seen().len()), (vec![400], 3));
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_key_are_made_in_order_and_of_all_keys_up_to_the_window() {
    let outside = Outside::default();
    let mut bench = Bench::new(services(&outside, 3));
    let _outward = spawn(&bench);
    for number in 0..24_i64 {
        let id = ["a", "b", "c", "d", "e", "f"][number as usize % 6];
        bench.send(&format!("p{number}"), pay(id, 10 + number));
    }
    settle(&mut bench).await;
    let (running, most) = *outside.running.lock().unwrap();
    assert_eq!((running, most), (0, 3));
    for id in ["a", "b", "c", "d", "e", "f"] {
        let of_id: Vec<i64> =
            bench.events::<Noted>().iter().filter(|noted| noted.id == id).map(|noted| noted.cents).collect();
        assert_eq!(of_id.len(), 4);
        assert!(of_id.is_sorted(), "{id}: {of_id:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_call_is_made_again_after_a_restart_by_the_same_key() {
    let outside = Outside::default();
    let mut bench = Bench::new(services(&outside, 8));
    let (stop, outward) = spawn(&bench);
    bench.ask("p1", pay("a", 1)).unwrap();
    tokio::time::sleep(50.ms()).await;
    stop.send_replace(true);
    outward.await.unwrap();
    assert_eq!(outside.seen(), ["ask 1"]);
    let mut bench = bench.restart(services(&outside, 8));
    assert_eq!(bench.cells(CellKind::Call), 1);
    let _outward = spawn(&bench);
    settle(&mut bench).await;
    assert_eq!(noted(&bench), [1]);
    // It may have been done when the process ended: that is asked first.
    assert_eq!(outside.seen(), ["ask 1", "query 1", "ask 1"]);
    let keys = outside.keys.lock().unwrap().clone();
    assert!(keys.iter().all(|key| *key == keys[0]));
}

/// The other side has done it: it must know it again, at once and after a restart.
#[tokio::test(start_paused = true)]
async fn a_redelivered_event_asks_under_its_first_key() {
    let outside = Outside::default();
    let mut bench = Bench::new(services(&outside, 8));
    let outward = spawn(&bench);
    bench.ask("p1", pay("a", 1)).unwrap();
    settle(&mut bench).await;
    let selection = Selection::Redeliver(Redeliver { consumer: "asks.ask".to_owned(), ..Redeliver::default() });
    let again = |bench: &mut Bench| {
        let making = Making { selection: selection.clone(), rate: None, second_person: false };
        let Ok(Outcome::Planned(planned)) = bench.make_plan(making) else { panic!("no plan") };
        bench.act(What::Approve(planned.plan.id, planned.plan.hash)).unwrap();
        bench.run();
    };
    again(&mut bench);
    settle(&mut bench).await;
    drop(outward);
    again(&mut bench);
    let mut bench = bench.restart(services(&outside, 8));
    let _outward = spawn(&bench);
    settle(&mut bench).await;
    let keys = outside.keys.lock().unwrap().clone();
    assert!(keys.len() == 4 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_call_is_closed_by_its_first_answer_also_if_the_commit_fails_before() {
    for fault in [None, Some(Fault::Transient)] {
        let mut bench = Bench::new(services(&Outside::default(), 8));
        bench.ask("p1", pay("a", 1)).unwrap();
        let call = bench.log().into_iter().find(|stored| stored.envelope().kind == Kind::Call).unwrap();
        let key = CellKey::new(CellKind::Call, call.envelope().id.to_string());
        if let Some(fault) = fault {
            bench.faults.at(bench.faults.writes() + 1, fault);
        }
        for cents in [1, 2, 3] {
            let command = factum_core::envelope::Draft::of(&Note { id: "a".to_owned(), cents }).unwrap();
            let answered = Answered { call: key.clone(), command, cause: Arc::new(call.clone()) };
            bench.inbox.try_send(Input::Answer(answered)).unwrap();
        }
        if fault.is_some() {
            assert!(bench.engine.step().is_err());
            bench.engine.reload().unwrap();
            assert!(noted(&bench).is_empty());
        }
        bench.run();
        assert_eq!((noted(&bench), bench.cells(CellKind::Call)), (vec![1], 0));
        assert_eq!(bench.health().calls, 0);
    }
}

/// The answer comes long after the start, and its decider ends the process each time.
#[test]
fn an_answer_that_ends_the_process_becomes_a_letter() {
    let services = || services(&Outside::default(), 8);
    let mut bench = Bench::new(services());
    bench.ask("p1", pay("a", 1)).unwrap();
    let call = bench.log().into_iter().find(|stored| stored.envelope().kind == Kind::Call).unwrap();
    let id = call.envelope().id.to_string();
    for _ in 0..3 {
        bench = bench.restart(services());
        bench.run();
        bench.ask("late", pay("b", 1)).unwrap();
        bench.dies_in(&format!("books.book@answer/{id}"));
    }
    let mut bench = bench.restart(services());
    bench.run();
    let command = factum_core::envelope::Draft::of(&Note { id: "a".to_owned(), cents: 1 }).unwrap();
    let answered = Answered { call: CellKey::new(CellKind::Call, id), command, cause: Arc::new(call) };
    bench.inbox.try_send(Input::Answer(answered)).unwrap();
    bench.run();
    let letter = bench.letters().remove(0);
    assert!(letter.reason().contains("the process ended 3 times in a row"), "{}", letter.reason());
    assert_eq!((bench.health().calls, noted(&bench)), (1, vec![]), "the other call is open");
    bench.act(What::Redrive(letter.id)).unwrap();
    assert_eq!(noted(&bench), [1]);
}

/// Lets engine and outside take turns for a while.
async fn turns(bench: &mut Bench) {
    for _ in 0..40 {
        bench.run();
        tokio::time::sleep(500.ms()).await;
    }
    bench.run();
}

/// The decider of the answer holds the key: what was told is kept, and the other side is not asked again.
#[tokio::test(start_paused = true)]
async fn an_answer_behind_a_held_key_is_kept_through_restarts_and_the_call_is_not_made_again() {
    let outside = Outside::default();
    let poisoned = |outside: &Outside| {
        let mut services = services(outside, 8);
        let forward = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.send(Note { id: event.id.clone(), cents: POISON });
        };
        services.push(Service::new("poisons").react("forward", forward));
        services
    };
    let mut bench = Bench::new(poisoned(&outside));
    bench.ask("p0", pay("a", 1)).unwrap();
    let letter = bench.letters().remove(0);
    assert_eq!(letter.id.consumer, "books.book");
    for _ in 0..3 {
        let (stop, outward) = spawn(&bench);
        turns(&mut bench).await;
        assert!(noted(&bench).is_empty(), "the answer waits");
        assert_eq!((bench.cells(CellKind::Call), bench.health().calls), (1, 1));
        stop.send_replace(true);
        outward.await.unwrap();
        bench = bench.restart(poisoned(&outside));
    }
    assert_eq!(outside.asked(), ["ask 1"], "I5: a call that was answered was made again");
    bench.run();
    bench.act(What::Discard(letter.id)).unwrap();
    assert_eq!((noted(&bench), bench.cells(CellKind::Call)), (vec![1], 0));
}

/// The handler of the answer fails: its letter keeps what was told, and the call is over.
#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_on_an_answer_leaves_a_letter_and_the_call_is_closed() {
    BROKEN.store(true, std::sync::atomic::Ordering::SeqCst);
    let outside = Outside::default();
    let mut bench = Bench::new(services(&outside, 8));
    bench.ask("p1", pay("broken", 1)).unwrap();
    let (stop, outward) = spawn(&bench);
    turns(&mut bench).await;
    let letter = bench.letters().remove(0);
    assert!(letter.id.to_string().starts_with("books.book@answer/"), "{}", letter.id);
    assert_eq!((bench.cells(CellKind::Call), bench.health().calls), (0, 0));
    assert!(
        bench.engine.step().unwrap() == factum_runtime::engine::Step::Rest,
        "it does not keep anybody from resting"
    );
    stop.send_replace(true);
    outward.await.unwrap();
    BROKEN.store(false, std::sync::atomic::Ordering::SeqCst);
    let mut bench = bench.restart(services(&outside, 8));
    let (_stop, _outward) = spawn(&bench);
    turns(&mut bench).await;
    bench.act(What::Redrive(letter.id)).unwrap();
    assert_eq!((noted(&bench), bench.letters().len()), (vec![1], 0));
    assert_eq!(outside.asked(), ["ask 1"], "it was asked once");
}

/// The call's own code fails where there should be a last word: a letter says so, and nobody waits for it.
#[tokio::test(start_paused = true)]
async fn a_call_without_a_last_word_becomes_a_letter() {
    let never = |_: Call<Ask>| async { Answer::<Note>::Again("never".to_owned(), None) };
    let speechless = |_: Ask, _: &str| -> Note { panic!("as asked") };
    let call = || CallSpec::new(ASK, never, speechless).retry(exp(1.ms(), 1.0).max(2));
    let ask = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        fx.call(ASK, Ask { id: event.id.clone(), cents: event.cents });
    };
    let services = || {
        let asks = Service::new("asks").reaction(Reaction::new("ask", ask).calls(ASK)).call(call());
        vec![accounts(), Service::new("books").decider::<Book>(), asks]
    };
    let mut bench = Bench::new(services());
    bench.ask("p1", pay("a", 1)).unwrap();
    let (_stop, _outward) = spawn(&bench);
    turns(&mut bench).await;
    let letter = bench.letters().remove(0);
    assert!(letter.id.to_string().starts_with("asks.ask@answer/"), "{}", letter.id);
    assert!(letter.reason().contains("as asked") && letter.failure_count == 3, "{letter:?}");
    assert_eq!(bench.health().calls, 0);
}

/// A lease that lasts as the test says.
struct Led(AtomicBool);

impl Lease for Led {
    fn lasts(&self, _: Duration) -> bool {
        self.0.load(Ordering::SeqCst)
    }
    fn length(&self) -> Duration {
        15.secs()
    }
}

/// Time that is moved by hand must stand still meanwhile, or timers would fire over calls that were never begun.
#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_the_lead_is_under_way_and_made_when_it_is_back() {
    let outside = Outside::default();
    let mut bench = Bench::new(services(&outside, 8));
    let lease = Arc::new(Led(AtomicBool::new(false)));
    let parts = outward::Parts { clock: Arc::new(bench.clock.clone()), ..bench.outward_parts() };
    let outward = Outward::open(parts).unwrap().leased(Some(lease.clone()));
    let (_stop, stopped) = watch::channel(false);
    let _outward = tokio::spawn(outward.run(stopped, |_| {}));
    bench.ask("p1", pay("a", 1)).unwrap();
    let (reply, mut rested) = oneshot::channel();
    bench.inbox.try_send(Input::Rest(reply)).unwrap();
    for _ in 0..100 {
        bench.run();
        tokio::time::sleep(10.ms()).await;
    }
    assert!(rested.try_recv().is_err() && outside.seen().is_empty(), "{:?}", outside.seen());
    lease.0.store(true, Ordering::SeqCst);
    settle(&mut bench).await;
    assert_eq!((noted(&bench), outside.seen()), (vec![1], vec!["ask 1".to_owned()]));
    bench.run();
    rested.await.unwrap();
}
