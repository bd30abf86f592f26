//! Partners that are away, slow or busy: what waits for one holds up no other, and nobody is drowned. Time is paused.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use factum_core::{
    call::{Answer, Breaker, Budget, Call, CallSpec, CallTo, Retry, exp},
    cell::CellKind,
    envelope::Recorded,
    reaction::{Effects, Reaction},
    service::{Durations, Service},
};
use factum_runtime::outward::{Dependency, Outward, Shown, State};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::bank::*;
use super::bench::*;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ask {
    id: String,
    cents: i64,
}

/// What partners do, by name, and what they were asked and when.
#[derive(Clone, Default)]
struct Partners {
    answers: Arc<Mutex<BTreeMap<&'static str, Does>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// Who was asked, about which key, and when.
type Asked = (&'static str, String, Instant);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Well,
    Refuses,
    /// Nobody answers.
    Away,
    Busy(Duration),
    /// Each such call of a key fails once.
    FailsFirst,
    /// Of so many keys, by their numbers, one fails at its first attempt, after so long; all others are answered soon.
    FailsOne(usize, Duration),
    /// It hears, and says nothing.
    Silent,
}

/// What an answer takes where it takes time.
const SOON: Duration = Duration::from_millis(50);

impl Partners {
    fn is(&self, name: &'static str, does: Does) {
        self.answers.lock().unwrap().insert(name, does);
    }
    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(asked, ..)| *asked == name).count()
    }
    fn when(&self, name: &str, key: &str) -> Vec<Instant> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(asked, id, _)| *asked == name && id == key).map(|(.., at)| *at).collect()
    }
    /// A call to the partner of this name.
    fn call(&self, name: &'static str) -> CallSpec<Ask, Note> {
        let partners = self.clone();
        let ask = move |call: Call<Ask>| {
            partners.asked.lock().unwrap().push((name, call.request.id.clone(), Instant::now()));
            let does = partners.answers.lock().unwrap().get(name).copied().unwrap_or(Does::Well);
            async move {
                let note = |cents| Note { id: call.request.id.clone(), cents };
                match does {
                    Does::Well => Answer::Done(note(call.request.cents)),
                    Does::Refuses => Answer::Refused(note(-1)),
                    Does::Away => Answer::Again("connection refused".to_owned(), None),
                    Does::Busy(wait) => Answer::Again("too many requests".to_owned(), Some(wait)),
                    Does::FailsFirst if call.attempt == 1 => Answer::Again("overloaded".to_owned(), None),
                    Does::FailsFirst => Answer::Done(note(call.request.cents)),
                    Does::Silent => std::future::pending().await,
                    Does::FailsOne(of, after) => {
                        let number = call.request.id.trim_start_matches('k').parse::<usize>().unwrap();
                        let fails = call.attempt == 1 && number.is_multiple_of(of);
                        tokio::time::sleep(if fails { after } else { SOON }).await;
                        match fails {
                            true => Answer::Again("cut off".to_owned(), None),
                            false => Answer::Done(note(call.request.cents)),
                        }
                    }
                }
            }
        };
        CallSpec::new(CallTo::new(name), ask, |ask: Ask, _| Note { id: ask.id, cents: 400 })
    }
}

/// The payment's note names the partner.
fn services(calls: Vec<CallSpec<Ask, Note>>) -> Vec<Service> {
    let ask = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        let name = ["well", "other", "poor"].into_iter().find(|name| *name == event.note).unwrap();
        fx.call(CallTo::<Ask, Note>::new(name), Ask { id: event.id.clone(), cents: event.cents });
    };
    let (mut ask, mut service) = (Reaction::new("ask", ask), Service::new("asks"));
    for call in calls {
        let call = call.erase();
        ask = ask.calls(CallTo::<Ask, Note>::new(call.name));
        service.calls.push(call);
    }
    let service = service.reaction(ask);
    vec![accounts(), Service::new("books").decider::<Book>(), service]
}

struct Running {
    bench: Bench,
    shown: Shown,
    _stop: watch::Sender<bool>,
    _outward: JoinHandle<()>,
}

fn start(services: Vec<Service>) -> Running {
    let bench = Bench::new(services);
    let outward = Outward::open(bench.outward_parts()).unwrap();
    let shown = outward.shown();
    let (stop, stopped) = watch::channel(false);
    Running { bench, shown, _stop: stop, _outward: tokio::spawn(async move { outward.run(stopped, |_| {}).await }) }
}

impl Running {
    fn pay(&self, number: usize, key: &str, partner: &str) {
        self.bench.send(&format!("p{number}"), pay_with(key, 1, partner));
    }
    /// Engine and outside take turns for so long.
    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.bench.run();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.bench.run();
    }
    fn open(&self) -> usize {
        self.bench.cells(CellKind::Call)
    }
    fn noted(&self) -> Vec<i64> {
        self.bench.events::<Noted>().iter().map(|noted| noted.cents).collect()
    }
    fn dependency(&self, name: &str) -> Dependency {
        self.shown.lock().unwrap().iter().find(|it| it.name == name).cloned().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_their_next_attempt_hold_up_no_other_key() {
    let partners = Partners::default();
    partners.is("poor", Does::Busy(30.secs()));
    let mut all = start(services(vec![partners.call("poor")]));
    for number in 0..256 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(1.secs()).await;
    assert_eq!(partners.asked("poor"), 256, "the window of 64 is no bound for what waits");
    partners.is("poor", Does::Well);
    all.pay(256, "healthy", "poor");
    all.pass(1.secs()).await;
    assert_eq!(all.noted(), [1]);
    assert_eq!((all.open(), partners.asked("poor")), (256, 257), "nobody came before the time that was named");
    all.pass(60.secs()).await;
    assert_eq!((all.open(), partners.asked("poor")), (0, 513));
}

#[tokio::test(start_paused = true)]
async fn the_backlog_of_one_partner_does_not_stop_another() {
    let partners = Partners::default();
    partners.is("poor", Does::Busy(1.hours()));
    let mut all = start(services(vec![partners.call("poor"), partners.call("well")]));
    for number in 0..5_000 {
        all.pay(number, &format!("k{}", number % 500), "poor");
        if number % 500 == 0 {
            all.bench.run();
        }
    }
    all.pass(1.secs()).await;
    all.pay(5_000, "a", "well");
    all.pass(1.secs()).await;
    assert_eq!(all.noted(), [1]);
    assert_eq!(partners.asked("poor"), 500, "calls of one key are made one after the other");
    assert_eq!(all.dependency("asks.poor").waiting, 5_000);
    partners.is("poor", Does::Well);
    all.pass(2.hours()).await;
    assert_eq!((all.open(), all.noted().len()), (0, 5_001));
}

#[tokio::test(start_paused = true)]
async fn a_partner_that_is_away_is_left_alone_and_no_attempt_is_used_up() {
    let partners = Partners::default();
    partners.is("poor", Does::Away);
    let call = partners.call("poor").retry(exp(200.ms(), 2.0).max(8)).to("psp");
    let mut all = start(services(vec![call, partners.call("well")]));
    for number in 0..50 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(2.secs()).await;
    let opened = all.dependency("psp");
    assert_eq!((opened.state, opened.reason.as_deref()), (State::Open, Some("connection refused")));
    assert!(opened.attempts >= 5 && opened.failed * 2 >= opened.attempts && opened.since.is_some(), "{opened:?}");
    let before = partners.asked("poor");
    all.pass(10.minutes()).await;
    let probes = partners.asked("poor") - before;
    assert_eq!((all.open(), all.noted().len()), (50, 0), "I6: given up while nobody was asked");
    assert!((100..=121).contains(&probes), "one attempt each 5 s, and no other: {probes}");
    all.pay(50, "a", "well");
    all.pass(1.secs()).await;
    assert_eq!(all.noted(), [1], "another partner is asked");
    partners.is("poor", Does::Well);
    all.pass(1.minutes()).await;
    let noted = all.noted();
    assert_eq!((all.open(), noted.len()), (0, 51));
    assert_eq!(
        noted.iter().filter(|cents| **cents == 400).count(),
        0,
        "an attempt was used up while the breaker was open"
    );
    assert_eq!((all.dependency("psp").state, all.dependency("psp").reason), (State::Closed, None));
}

/// So few attempts are made that their share says little: some in a row are enough, and a probe is none of them.
#[tokio::test(start_paused = true)]
async fn a_lone_call_outlasts_an_outage() {
    let partners = Partners::default();
    partners.is("poor", Does::Away);
    let mut all = start(services(vec![partners.call("poor").retry(exp(200.ms(), 2.0).max(8))]));
    all.pay(0, "a", "poor");
    all.pass(10.minutes()).await;
    let asked = partners.asked("poor");
    assert!((100..=130).contains(&asked), "{asked}");
    assert_eq!((all.open(), all.dependency("asks.poor").state), (1, State::Open));
    partners.is("poor", Does::Well);
    all.pass(10.secs()).await;
    assert_eq!((all.open(), all.noted()), (0, vec![1]), "I6: given up while nobody was there");
}

/// What must happen in the end is asked for a week, and then by a person.
#[tokio::test(start_paused = true)]
async fn a_patient_call_outlasts_its_attempts_and_is_a_letter_after_a_week() {
    let partners = Partners::default();
    partners.is("poor", Does::Away);
    let call = partners.call("poor").retry(exp(200.ms(), 2.0).max(2)).breaker(Breaker::never());
    let mut all = start(services(vec![call.patient(|ask| ask.id == "b")]));
    all.pay(0, "a", "poor");
    all.pay(1, "b", "poor");
    all.pass(1.hours()).await;
    assert_eq!((all.open(), all.noted()), (1, vec![400]), "only the other one is given up");
    all.bench.advance(NOW + 8.days());
    all.pass(2.minutes()).await;
    assert_eq!(all.bench.letters().len(), 1);
    assert!(all.bench.letters()[0].reason().contains("it was asked for a week"));
    partners.is("poor", Does::Well);
    let letter = all.bench.letters().remove(0).id;
    all.bench.act(factum_runtime::acts::What::Redrive(letter)).unwrap();
    all.pass(1.minutes()).await;
    assert_eq!((all.open(), all.noted()), (0, vec![400, 1]));
}

/// Of calls that were asked for as probes, each has used up one of its attempts: the others must not wait behind one.
#[tokio::test(start_paused = true)]
async fn probes_go_round_so_that_no_call_is_used_up_by_them_alone() {
    let partners = Partners::default();
    partners.is("poor", Does::Away);
    let mut all = start(services(vec![partners.call("poor").retry(exp(200.ms(), 2.0).max(1_000))]));
    for number in 0..20 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(10.minutes()).await;
    let most = (0..20).map(|number| partners.when("poor", &format!("k{number}")).len()).max().unwrap();
    assert!(most <= 12, "one key was asked {most} times of {}", partners.asked("poor"));
}

#[tokio::test(start_paused = true)]
async fn calls_to_one_dependency_share_its_breaker() {
    let partners = Partners::default();
    partners.is("poor", Does::Away);
    let mut all = start(services(vec![partners.call("poor").to("psp"), partners.call("other").to("psp")]));
    for number in 0..20 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(2.secs()).await;
    all.pay(20, "a", "other");
    all.pass(2.secs()).await;
    assert_eq!((partners.asked("other"), all.dependency("psp").waiting), (0, 21));
    assert_eq!(all.shown.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_partner_that_refuses_or_says_when_to_come_again_is_there() {
    for (does, open) in [(Does::Refuses, 0), (Does::Busy(1.hours()), 100)] {
        let partners = Partners::default();
        partners.is("poor", does);
        let mut all = start(services(vec![partners.call("poor")]));
        for number in 0..100 {
            all.pay(number, &format!("k{number}"), "poor");
        }
        all.pass(5.secs()).await;
        assert_eq!((all.open(), all.dependency("asks.poor").state), (open, State::Closed), "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_never_opens_uses_attempts_up() {
    let partners = Partners::default();
    partners.is("poor", Does::Away);
    let call = partners.call("poor").breaker(Breaker::never()).retry(exp(100.ms(), 2.0).max(3));
    let mut all = start(services(vec![call]));
    for number in 0..20 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(1.minutes()).await;
    assert_eq!((all.noted(), partners.asked("poor")), (vec![400; 20], 60));
}

#[tokio::test(start_paused = true)]
async fn while_nobody_is_asked_the_declared_answer_is_given() {
    let partners = Partners::default();
    partners.is("poor", Does::Away);
    let kept = |ask: Ask| match ask.id.as_str() {
        "known" => Some(Note { id: ask.id, cents: 33 }),
        "panics" => panic!("as asked"),
        _ => None,
    };
    let call = partners.call("poor").fallback(kept);
    let mut all = start(services(vec![call]));
    for number in 0..20 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(2.secs()).await;
    assert_eq!(all.dependency("asks.poor").state, State::Open);
    for (number, key) in [(20, "panics"), (21, "known"), (22, "unknown")] {
        all.pay(number, key, "poor");
    }
    all.pass(1.secs()).await;
    assert_eq!((all.noted(), all.open()), (vec![33], 22), "what has no such answer waits");
    partners.is("poor", Does::Well);
    all.pass(1.minutes()).await;
    assert_eq!((all.open(), all.noted().len()), (0, 23));
}

#[tokio::test(start_paused = true)]
async fn retries_are_bounded_by_what_first_attempts_pay_for() {
    let partners = Partners::default();
    partners.is("poor", Does::FailsFirst);
    let call = partners.call("poor").breaker(Breaker::never()).budget(Budget { ratio: 0.1, free: 1 });
    let mut all = start(services(vec![call]));
    for number in 0..500 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(10.secs()).await;
    let retries = partners.asked("poor") - 500;
    // Ten seconds' worth is there from the start, ten seconds have passed, and the purse holds no more than that.
    assert!((15..=25).contains(&retries), "{retries}");
    all.pass(10.minutes()).await;
    assert_eq!((all.open(), partners.asked("poor")), (0, 1_000), "a retry that waits is not used up");
    assert!(all.noted().iter().all(|cents| *cents == 1));
}

/// One of the breaker's kind: an attempt that was under way when it opened says nothing about whether it may close.
#[tokio::test(start_paused = true)]
async fn one_probe_is_made_at_a_time() {
    let partners = Partners::default();
    partners.is("poor", Does::Away);
    let mut all = start(services(vec![partners.call("poor")]));
    for number in 0..50 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(4.secs()).await;
    let before = partners.asked("poor");
    all.pass(2.secs()).await;
    assert_eq!(partners.asked("poor") - before, 1, "half open is one attempt");
}

/// Failures may come sooner than answers: the first to end say nothing about all that were begun with them.
#[tokio::test(start_paused = true)]
async fn failures_that_come_sooner_than_the_answers_of_others_open_nothing() {
    let partners = Partners::default();
    partners.is("poor", Does::FailsOne(10, Duration::ZERO));
    let mut all = start(services(vec![partners.call("poor").window(256)]));
    for number in 0..256 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(200.ms()).await;
    assert_eq!(all.dependency("asks.poor").state, State::Closed);
    all.pass(4.secs()).await;
    assert_eq!((all.open(), all.noted().len(), all.dependency("asks.poor").since), (0, 256, None), "it never opened");
}

/// The same of those that come later: others have been answered meanwhile.
#[tokio::test(start_paused = true)]
async fn time_outs_that_end_together_open_nothing_while_others_are_answered() {
    let partners = Partners::default();
    partners.is("poor", Does::FailsOne(10, 1.hours()));
    let mut all = start(services(vec![partners.call("poor").window(256).timeout(2.secs())]));
    for number in 0..256 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(8.secs()).await;
    assert_eq!((all.open(), all.noted().len(), all.dependency("asks.poor").since), (0, 256, None), "it never opened");
}

/// What was begun before a breaker opened tells nothing about the time behind it, however late it ends.
#[tokio::test(start_paused = true)]
async fn an_outage_that_is_over_is_not_found_again_by_what_was_begun_in_it() {
    let partners = Partners::default();
    partners.is("poor", Does::Silent);
    let mut all = start(services(vec![partners.call("poor").timeout(20.secs())]));
    for number in 0..12 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(1.secs()).await;
    partners.is("poor", Does::Away);
    for number in 12..62 {
        all.pay(number, &format!("k{number}"), "poor");
    }
    all.pass(1.secs()).await;
    assert_eq!(all.dependency("asks.poor").state, State::Open);
    partners.is("poor", Does::Well);
    all.pass(5.secs()).await;
    assert_eq!(all.open(), 12, "the first twelve hear nothing yet");
    for _ in 0..200 {
        assert_eq!(all.dependency("asks.poor").state, State::Closed);
        all.pass(100.ms()).await;
    }
    assert_eq!(all.open(), 0);
}

/// Nobody is blind to a partner that takes calls and says nothing, wholly or for the most part.
#[tokio::test(start_paused = true)]
async fn a_partner_that_hears_and_does_not_answer_is_left_alone() {
    for (timeout, longest) in [(2, 3), (10, 11), (30, 31)] {
        let partners = Partners::default();
        partners.is("poor", Does::Silent);
        let mut all = start(services(vec![partners.call("poor").timeout(Duration::from_secs(timeout))]));
        for number in 0..200 {
            all.pay(number, &format!("k{number}"), "poor");
        }
        all.pass(Duration::from_secs(longest)).await;
        assert_eq!(all.dependency("asks.poor").state, State::Open, "time-outs after {timeout} s");
    }
}

/// The same where some are answered, and calls keep coming.
#[tokio::test(start_paused = true)]
async fn a_partner_that_answers_the_fewer_is_left_alone() {
    let partners = Partners::default();
    let mut all = start(services(vec![partners.call("poor").timeout(10.secs()).window(256)]));
    for tenth in 0..300 {
        // Of each five three are not answered.
        partners.is("poor", if tenth % 5 < 3 { Does::Silent } else { Does::Well });
        all.pay(tenth, &format!("k{tenth}"), "poor");
        all.pass(100.ms()).await;
        if all.dependency("asks.poor").state == State::Open {
            return;
        }
    }
    panic!("it never opened: {:?}", all.dependency("asks.poor"));
}

/// The loop sleeps while all that is open waits for its next attempt, also if the breaker might be tried meanwhile.
#[test]
fn an_open_breaker_with_nothing_to_ask_costs_no_time() {
    let (passed, passes) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let partners = Partners::default();
            partners.is("poor", Does::Away);
            let once = Breaker { least: 1, open_for: 1.secs(), ..Breaker::default() };
            let patient = Retry { longest: 1.hours(), ..exp(1.hours(), 1.0) };
            let mut all = start(services(vec![partners.call("poor").breaker(once).retry(patient)]));
            all.pay(0, "a", "poor");
            all.pass(1.minutes()).await;
            passed.send(all.dependency("asks.poor").state).unwrap();
        });
    });
    // With a loop that does not sleep, paused time never passes.
    assert_eq!(passes.recv_timeout(20.secs()), Ok(State::Open));
}
