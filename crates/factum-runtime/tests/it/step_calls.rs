//! Steps of sagas that ask the outside: no decider, no command and no event of their own. Time is paused.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use factum_core::{
    call::{Answer, Breaker, Budget, Call, CallSpec, CallTo, exp},
    cell::CellKind,
    envelope::Kind,
    saga::{Saga, Shown, Wanted},
    service::{Durations, Service},
};
use factum_macros::{Command, Event};
use factum_runtime::{
    acts::{ActError, Outcome, What},
    outward::Outward,
    registry::Registry,
    sagas::show,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::bank::*;
use super::bench::*;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ask {
    id: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    word: String,
}

const CHARGE: CallTo<Ask, Told> = CallTo::new("charge");
const REFUND: CallTo<Ask, Told> = CallTo::new("refund");
const SHIP: CallTo<Ask, Told> = CallTo::new("ship");

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Does {
    Well,
    Refuses,
    Away,
    /// It does it, and answers after this long.
    Slow(Duration),
    /// It does it when this long has passed.
    Late(Duration),
    /// Not before this long.
    Busy(Duration),
    /// The same, but it takes four seconds to say so.
    LateBusy(Duration),
}

/// The provider: it knows keys again, and keeps what it was asked.
#[derive(Clone, Default)]
pub struct Provider {
    does: Arc<Mutex<BTreeMap<&'static str, Does>>>,
    asked: Arc<Mutex<Vec<(&'static str, String)>>>,
    done: Arc<Mutex<BTreeMap<(&'static str, String), String>>>,
    pub order: Arc<Mutex<Vec<&'static str>>>,
}

impl Provider {
    pub fn is(&self, name: &'static str, does: Does) {
        self.does.lock().unwrap().insert(name, does);
    }
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(asked, _)| *asked == name).count()
    }
    pub fn keys(&self, name: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(asked, _)| *asked == name).map(|(_, key)| key.clone()).collect()
    }
    /// What was done for an instance.
    pub fn done(&self, id: &str) -> Vec<&'static str> {
        self.done.lock().unwrap().iter().filter(|(_, of)| *of == id).map(|((name, _), _)| *name).collect()
    }
    fn call(&self, to: CallTo<Ask, Told>) -> CallSpec<Ask, Told> {
        let (asked, known, name) = (self.clone(), self.clone(), to.name());
        let ask = move |call: Call<Ask>| {
            let provider = asked.clone();
            async move {
                provider.asked.lock().unwrap().push((name, call.idempotency_key.clone()));
                let does = provider.does.lock().unwrap().get(name).copied().unwrap_or(Does::Well);
                let does_it = || {
                    let key = (name, call.idempotency_key.clone());
                    provider.done.lock().unwrap().insert(key, call.request.id.clone());
                    provider.order.lock().unwrap().push(name);
                    Answer::Done(Told { word: format!("{name} of {}", call.request.id) })
                };
                match does {
                    Does::Well => does_it(),
                    Does::Refuses => Answer::Refused(Told { word: "no money".to_owned() }),
                    Does::Away => Answer::Again("away".to_owned(), None),
                    Does::LateBusy(time) => {
                        tokio::time::sleep(Duration::from_secs(4)).await;
                        Answer::Again("busy".to_owned(), Some(time))
                    }
                    Does::Busy(time) => Answer::Again("busy".to_owned(), Some(time)),
                    Does::Late(time) => {
                        tokio::time::sleep(time).await;
                        does_it()
                    }
                    Does::Slow(time) => {
                        let answer = does_it();
                        tokio::time::sleep(time).await;
                        answer
                    }
                }
            }
        };
        let query = move |call: Call<Ask>| {
            let provider = known.clone();
            async move {
                provider.asked.lock().unwrap().push(("query", call.idempotency_key.clone()));
                let known = provider.done.lock().unwrap().contains_key(&(name, call.idempotency_key));
                match known {
                    true => Answer::Done(Told { word: format!("{name}, as is known") }),
                    false => Answer::Again("not known".to_owned(), None),
                }
            }
        };
        CallSpec::of_steps(to, ask).query(query).retry(exp(100.ms(), 2.0).max(3)).timeout(5.secs())
    }
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("wish.ended")]
struct Ended {
    id: String,
}

/// Ends a wish.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("wish.end")]
pub struct End {
    pub id: String,
}

#[derive(Default)]
struct Wish;

impl factum_core::decider::Decider for Wish {
    const CATEGORY: &'static str = "wish";
    type Id = String;
    type Command = End;
    type Event = Ended;
    type Rejection = factum_core::rejection::Never;
    fn address(command: &End, _: &factum_core::envelope::Envelope) -> String {
        command.id.clone()
    }
    fn decide(
        &self,
        _: &String,
        command: End,
        _: &factum_core::decider::Context,
    ) -> Result<Vec<Ended>, factum_core::rejection::Never> {
        Ok(vec![Ended { id: command.id }])
    }
    fn evolve(&mut self, _: &Ended) {}
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Facts {
    id: String,
    charged: String,
}

/// Charges, and ships behind the pivot.
fn saga() -> Saga<Facts> {
    let ask = |f: &Facts| Ask { id: f.id.clone() };
    Saga::new("sale", 1)
        .key("id")
        .start::<Paid>(|e| Facts { id: e.id.clone(), ..Facts::default() })
        .step("charge", |step| {
            step.call(CHARGE, ask)
                .done(|f, told| f.charged.clone_from(&told.word))
                .refused(|told| told.word.clone())
                .undo_call(REFUND, ask)
                .undo_refused(|told: &Told| told.word.clone())
                .within(30.secs())
        })
        .pivot("ship", |step| step.own(|f: &Facts| pay_with(&f.id, 1, "thanks")).call(SHIP, ask).within(1.hours()))
        .abort::<Ended>(|_| "ended".to_owned())
}

fn services(provider: &Provider) -> Vec<Service> {
    let refund = provider.call(REFUND).budget(Budget { ratio: 1.0, free: 100 });
    with(provider.call(CHARGE).breaker(Breaker::never()), refund, provider)
}

fn with(charge: CallSpec<Ask, Told>, refund: CallSpec<Ask, Told>, provider: &Provider) -> Vec<Service> {
    let accounts = accounts().saga(saga()).call(charge).call(refund).call(provider.call(SHIP));
    vec![accounts, Service::new("wishes").decider::<Wish>()]
}

pub struct Running {
    pub bench: Bench,
    pub provider: Provider,
    stop: watch::Sender<bool>,
    outward: JoinHandle<()>,
}

pub fn start(provider: Provider) -> Running {
    let bench = Bench::new(services(&provider));
    run(bench, provider)
}

/// One bank behind both, with this breaker.
pub fn start_with(provider: Provider, breaker: Breaker) -> Running {
    let to_bank = |call: CallSpec<Ask, Told>| call.to("bank").breaker(breaker).retry(exp(1.minutes(), 1.0));
    let services = with(to_bank(provider.call(CHARGE)), to_bank(provider.call(REFUND)), &provider);
    run(Bench::new(services), provider)
}

fn run(bench: Bench, provider: Provider) -> Running {
    let outward = Outward::open(bench.outward_parts()).unwrap();
    let (stop, stopped) = watch::channel(false);
    Running { bench, provider, stop, outward: tokio::spawn(async move { outward.run(stopped, |_| {}).await }) }
}

impl Running {
    /// Engine and outside take turns for so long, on one clock.
    pub async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        let tick = if time > 10.minutes() { 5.secs() } else { 100.ms() };
        while Instant::now() < until {
            self.bench.run();
            tokio::time::sleep(tick).await;
            let mark = factum_core::ports::Clock::mark(&self.bench.clock);
            self.bench.advance(mark + tick);
        }
        self.bench.run();
    }
    pub fn pay(&mut self, id: &str) {
        let mark = factum_core::ports::Clock::mark(&self.bench.clock);
        let number = self.bench.log().len();
        let request = factum_runtime::inbox::Request { at: Some(mark), ..request(&format!("p{number}"), pay(id, 5)) };
        self.bench.ask_all(vec![request]).unwrap();
    }
    pub fn shown(&self, id: &str) -> Shown {
        show(&*self.bench.committer.reader(), &format!("sale-{id}"), NOW, None).unwrap().unwrap()
    }
    pub fn steps(&self, id: &str) -> Vec<String> {
        self.shown(id).steps.iter().map(|step| format!("{} {}", step.name, step.status)).collect()
    }
    pub fn open(&self) -> usize {
        self.bench.cells(CellKind::Call)
    }
    pub fn act(&mut self, id: &str, wanted: Wanted) -> Result<Outcome, ActError> {
        self.bench.act(What::Saga(format!("sale-{id}"), wanted))
    }
    pub async fn restart(self) -> Self {
        self.stop.send_replace(true);
        self.outward.await.unwrap();
        let bench = self.bench.restart(services(&self.provider));
        run(bench, self.provider)
    }
}

#[tokio::test(start_paused = true)]
async fn one_outside_act_needs_no_decider_no_command_and_no_events_of_its_own() {
    let mut all = start(Provider::default());
    all.pay("a");
    all.pass(2.secs()).await;
    assert_eq!((all.shown("a").status, all.open()), ("completed", 0));
    assert_eq!(all.shown("a").facts.unwrap()["charged"], "charge of a");
    assert_eq!(all.provider.done("a"), ["charge", "ship"]);
    let kinds: Vec<Kind> = all.bench.stream("sale-a").iter().map(|stored| stored.envelope().kind).collect();
    assert_eq!(kinds, [Kind::Event, Kind::Call, Kind::Event, Kind::Call, Kind::Event, Kind::Event]);
    assert_eq!((all.bench.cells(CellKind::Saga), all.bench.cells(CellKind::Timer)), (1, 0));
    all.bench.check_versions();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_and_leaves_nothing_to_undo() {
    let provider = Provider::default();
    provider.is("charge", Does::Refuses);
    let mut all = start(provider);
    all.pay("a");
    all.pass(2.secs()).await;
    assert_eq!((all.shown("a").status, all.steps("a")), ("compensated", vec!["charge failed".to_owned()]));
    assert_eq!(all.shown("a").steps[0].error.as_deref(), Some("no money"));
    assert_eq!((all.provider.asked("refund"), all.open()), (0, 0));
}

/// All attempts are used up, or the step's time is: it may have happened, so that it is undone.
#[tokio::test(start_paused = true)]
async fn what_may_have_happened_is_undone() {
    for (does, reason) in [(Does::Away, "away"), (Does::Busy(1.hours()), "no answer within the limit")] {
        let provider = Provider::default();
        provider.is("charge", does);
        let mut all = start(provider);
        all.pay("a");
        all.pass(40.secs()).await;
        assert_eq!((all.shown("a").status, all.open()), ("compensated", 0), "{does:?}");
        assert_eq!(all.shown("a").steps[0].error.as_deref(), Some(reason));
        assert_eq!(all.provider.asked("refund"), 1, "{does:?}");
        // What comes later changes nothing.
        all.pass(2.minutes()).await;
        assert_eq!((all.shown("a").status, all.provider.asked("refund")), ("compensated", 1));
        all.bench.check_versions();
    }
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_call_is_not_made_and_holds_up_no_other_of_its_key() {
    let provider = Provider::default();
    provider.is("charge", Does::Away);
    let mut all = start(provider);
    all.pay("a");
    all.pass(500.ms()).await;
    all.provider.is("charge", Does::Well);
    let asked = all.provider.asked("charge");
    all.bench.ask("end", End { id: "a".to_owned() }).unwrap();
    all.pass(10.secs()).await;
    assert_eq!((all.shown("a").status, all.open()), ("compensated", 0));
    assert_eq!(all.provider.asked("charge"), asked, "asked although nobody waits for it");
    assert_eq!(all.provider.done("a"), ["refund"], "an attempt was made: its outcome counts as unknown");
}

#[tokio::test(start_paused = true)]
async fn behind_the_pivot_nothing_is_given_up_by_time_and_a_person_is_called() {
    let provider = Provider::default();
    provider.is("ship", Does::Away);
    let mut all = start(provider);
    all.pay("a");
    all.pass(30.minutes()).await;
    assert_eq!(all.shown("a").status, "started");
    all.pass(1.hours()).await;
    assert_eq!((all.shown("a").status, all.open()), ("needs_attention", 1));
    assert!(all.provider.asked("ship") > 20, "more often than three times: {}", all.provider.asked("ship"));
    all.provider.is("ship", Does::Well);
    all.pass(2.minutes()).await;
    assert_eq!((all.shown("a").status, all.open()), ("completed", 0));
    assert_eq!(all.provider.asked("refund"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_undo_is_asked_for_until_it_is_done_and_after_a_week_it_is_a_letter() {
    for days in [1, 8, 9] {
        let provider = Provider::default();
        provider.is("refund", Does::Away);
        let mut all = start(provider);
        all.provider.is("charge", Does::Away);
        all.pay("a");
        all.pass(days.days()).await;
        let waits = days == 1;
        assert_eq!(all.bench.letters().len(), usize::from(!waits));
        all.provider.is("refund", Does::Well);
        if !waits {
            let letter = all.bench.letters().remove(0);
            assert!(letter.reason().contains("it was asked for a week"), "{}", letter.reason());
            assert_eq!(all.shown("a").status, "needs_attention");
            match days {
                8 => {
                    all.bench.act(What::Redrive(letter.id)).unwrap();
                    assert_eq!((all.bench.letters().len(), all.bench.health().calls), (0, 1));
                }
                _ => _ = all.act("a", Wanted::Retry(None)).unwrap(),
            }
        }
        all.pass(2.minutes()).await;
        assert_eq!((all.shown("a").status, all.open()), ("compensated", 0), "after {days} days");
        let keys = all.provider.keys("refund");
        assert!(keys.iter().all(|key| *key == keys[0]), "one key, also when a person has it tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_under_way_is_asked_about_first_after_a_restart() {
    let provider = Provider::default();
    provider.is("charge", Does::Slow(4.secs()));
    let mut all = start(provider);
    all.pay("a");
    all.pass(500.ms()).await;
    assert_eq!(all.provider.done("a"), ["charge"]);
    let mut all = all.restart().await;
    all.pass(2.secs()).await;
    assert_eq!((all.shown("a").status, all.provider.asked("charge"), all.provider.asked("query")), ("completed", 1, 1));
    assert_eq!(all.shown("a").facts.unwrap()["charged"], "charge, as is known");
}

/// What is unknown keeps its key, so that the other side knows it again.
#[tokio::test(start_paused = true)]
async fn a_step_that_is_tried_again_keeps_its_key() {
    let provider = Provider::default();
    provider.is("ship", Does::Away);
    let mut all = start(provider);
    all.pay("a");
    all.pass(2.secs()).await;
    let mut all = all.restart().await;
    all.act("a", Wanted::Retry(Some("ship".to_owned()))).unwrap();
    all.pass(1.secs()).await;
    all.provider.is("ship", Does::Well);
    all.pass(2.minutes()).await;
    assert_eq!((all.shown("a").status, all.open()), ("completed", 0));
    let mut keys = all.provider.keys("ship");
    keys.dedup();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(all.provider.done("a"), ["charge", "ship"]);
}

/// One that is withdrawn while it is being made ends by itself, and the next of its key does not wait for its next attempt.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_withdrawn_under_way_holds_up_nobody_when_it_ends_in_vain() {
    let provider = Provider::default();
    provider.is("ship", Does::LateBusy(1.hours()));
    let mut all = start(provider);
    all.pay("a");
    all.pass(1.secs()).await;
    assert_eq!(all.provider.asked("ship"), 1);
    all.provider.is("ship", Does::Well);
    all.act("a", Wanted::Retry(None)).unwrap();
    all.pass(10.secs()).await;
    assert_eq!((all.shown("a").status, all.provider.asked("ship"), all.open()), ("completed", 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_person_has_seen_to_is_not_made_any_more() {
    let provider = Provider::default();
    provider.is("ship", Does::Away);
    let mut all = start(provider);
    all.pay("a");
    all.pass(2.secs()).await;
    all.act("a", Wanted::Resolve(None)).unwrap();
    assert_eq!((all.shown("a").status, all.open()), ("completed", 0));
    let asked = all.provider.asked("ship");
    all.provider.is("ship", Does::Well);
    all.pass(2.minutes()).await;
    assert_eq!(all.provider.asked("ship"), asked);
}

#[test]
fn calls_and_steps_that_do_not_fit_are_refused_at_the_start() {
    const OTHER: CallTo<Told, Told> = CallTo::new("charge");
    let provider = Provider::default();
    let refused =
        |service: Service| Registry::new(vec![service]).err().map(|error| error.to_string()).unwrap_or_default();
    let ask = |f: &Facts| Ask { id: f.id.clone() };
    let begun = || Saga::new("sale", 1).key("id").start::<Paid>(|e| Facts { id: e.id.clone(), ..Facts::default() });
    let missing = refused(accounts().saga(saga()).call(provider.call(CHARGE)));
    assert_eq!(
        missing,
        "a step of saga sale version 1 makes the call `refund`, and service accounts has none: add `.call(…)` to it"
    );
    let other = CallSpec::of_steps(OTHER, |_: Call<Told>| async { Answer::Unknown(String::new()) });
    let once = begun().step("charge", move |step| step.call(CHARGE, ask).nothing_to_undo());
    let shape = refused(accounts().saga(once).call(other));
    assert!(
        shape.contains("makes the call `charge` and asks") && shape.ends_with("use one `CallTo` on both sides"),
        "{shape}"
    );
    let cases = [
        (begun().step("charge", move |step| step.call(CHARGE, ask)), "stands before the pivot and has no undo"),
        (
            begun()
                .step("one", move |step| step.call(CHARGE, ask).nothing_to_undo())
                .step("two", move |step| step.call(CHARGE, ask).nothing_to_undo()),
            "two steps call `charge`",
        ),
        (
            begun().step("one", move |step| {
                step.send(|f: &Facts| Note { id: f.id.clone(), cents: 1 })
                    .done::<Noted>()
                    .call(CHARGE, ask)
                    .nothing_to_undo()
            }),
            "sends a command and makes a call",
        ),
    ];
    for (saga, sentence) in cases {
        let error = saga.check().unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    }
}
