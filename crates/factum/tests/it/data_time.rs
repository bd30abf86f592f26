//! Data time: timers, next attempts and breakers pass with the mark, and no test sleeps.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use factum::{
    call::{Breaker, CallTo},
    prelude::*,
    saga::Shown,
    stream::{StreamId, StreamVersion},
};
use serde::{Deserialize, Serialize};

use super::{Basket, Filled, fill};

const NOW: Timestamp = Timestamp::constant(1_767_323_045, 0);

#[derive(Clone, Default, Serialize, Deserialize)]
struct Facts {
    basket: String,
}

const WRAP: CallTo<String, String> = CallTo::new("wrap");

/// A partner that is away at first, and how often it was asked.
#[derive(Clone, Default)]
struct Partner {
    asked: Arc<AtomicU32>,
    /// So many attempts are in vain.
    away: u32,
    /// So many are never answered.
    silent: u32,
}

impl Partner {
    fn call(&self) -> CallSpec<String, String> {
        let partner = self.clone();
        let ask = move |call: Call<String>| {
            let asked = partner.asked.fetch_add(1, Ordering::Relaxed);
            let (away, silent) = (asked < partner.away, asked < partner.silent);
            async move {
                if silent {
                    std::future::pending::<()>().await;
                }
                if away { Answer::Again("away".to_owned(), None) } else { Answer::Done(call.request) }
            }
        };
        CallSpec::of_steps(WRAP, ask)
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn app(call: CallSpec<String, String>) -> App {
    let wrap = Saga::new("wrapping", 1)
        .key("basket")
        .start::<Filled>(|e| Facts { basket: e.basket.clone() })
        .step("wrap", |step| step.call(WRAP, |f: &Facts| f.basket.clone()).nothing_to_undo().within(30.days()));
    let service = Service::new("basket").decider::<Basket>().saga(wrap).call(call);
    let app = App::in_memory().on_data_time().with(service).start().await.unwrap();
    app.advance(NOW);
    app.execute(fill("a", "tea", 1)).at(NOW).await.unwrap();
    app
}

fn status(app: &App) -> &'static str {
    let stream = StreamId::new("wrapping", "a").unwrap();
    Shown::of(&app.reader().stream(&stream, StreamVersion(0)).unwrap()).unwrap().unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn next_attempts_are_made_when_the_mark_has_reached_them_and_not_before() {
    let partner = Partner { away: 5, ..Partner::default() };
    let app = app(partner.call().retry(exp(10.hours(), 1.0).max(20)).breaker(Breaker::never())).await;
    let rested = app.rest().await.unwrap();
    assert_eq!((partner.asked(), status(&app)), (1, "started"));
    let next = rested.next.unwrap();
    assert!(next > NOW && next <= NOW + 10.hours(), "{next}");
    app.advance(next - 1.ms());
    assert_eq!(app.rest().await.unwrap().next, Some(next));
    assert_eq!(partner.asked(), 1, "too early");
    app.advance(next);
    app.rest().await.unwrap();
    assert_eq!(partner.asked(), 2);
    let rested = app.rest_at(NOW + 3.days()).await.unwrap();
    assert_eq!((partner.asked(), status(&app), rested.next), (6, "completed", None));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_lets_one_through_when_the_mark_has_reached_it() {
    let partner = Partner { away: 3, ..Partner::default() };
    let breaker = Breaker { window: 1.days(), least: 2, open_for: 2.days(), ..Breaker::default() };
    let app = app(partner.call().retry(exp(1.minutes(), 1.0).max(20)).breaker(breaker)).await;
    app.rest_at(NOW + 1.days()).await.unwrap();
    assert_eq!((partner.asked(), status(&app)), (2, "started"), "it is open");
    app.rest_at(NOW + 3.days()).await.unwrap();
    assert_eq!((partner.asked(), status(&app)), (3, "started"), "the probe was in vain");
    app.rest_at(NOW + 6.days()).await.unwrap();
    assert_eq!((partner.asked(), status(&app)), (4, "completed"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_are_used_up_and_limits_that_pass_end_a_step_without_a_sleep() {
    for (most, reason, asked) in [(3, "away", 3), (u32::MAX, "no answer within the limit", 30)] {
        let partner = Partner { away: u32::MAX, ..Partner::default() };
        let app = app(partner.call().retry(exp(10.hours(), 1.0).max(most)).breaker(Breaker::never())).await;
        let rested = app.rest_at(NOW + 60.days()).await.unwrap();
        assert_eq!((status(&app), rested.next), ("compensated", None));
        assert!(partner.asked() >= asked, "{}", partner.asked());
        let stream = StreamId::new("wrapping", "a").unwrap();
        let shown = Shown::of(&app.reader().stream(&stream, StreamVersion(0)).unwrap()).unwrap().unwrap();
        assert_eq!(shown.steps[0].error.as_deref(), Some(reason));
        app.stop().await;
    }
}

/// An attempt is real, so that its time-out is tokio's: a test pauses that.
#[tokio::test(start_paused = true)]
async fn an_attempt_without_an_answer_ends_with_paused_time() {
    let partner = Partner { silent: 2, ..Partner::default() };
    let app = app(partner.call().timeout(10.minutes()).breaker(Breaker::never())).await;
    app.rest_at(NOW + 1.days()).await.unwrap();
    assert_eq!((partner.asked(), status(&app)), (3, "completed"));
    app.stop().await;
}
