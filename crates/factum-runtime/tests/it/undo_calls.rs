//! Undos that ask the outside: behind what they undo, and when they are refused.

use factum_core::{call::Breaker, saga::Wanted, service::Durations};

use super::step_calls::{Does, End, Provider, start, start_with};

/// What an undo undoes must not come behind it: not while the call runs, and not when a process has asked again.
#[tokio::test(start_paused = true)]
async fn an_undo_waits_until_what_it_undoes_is_not_under_way_any_more() {
    for restart in [false, true] {
        let provider = Provider::default();
        provider.is("charge", Does::Late(4.secs()));
        let mut all = start(provider);
        all.pay("a");
        all.pass(1.secs()).await;
        let mut all = if restart { all.restart().await } else { all };
        all.pass(500.ms()).await;
        all.bench.ask("end", End { id: "a".to_owned() }).unwrap();
        assert_eq!(all.steps("a"), ["charge undoing"]);
        all.pass(10.secs()).await;
        assert_eq!(*all.provider.order.lock().unwrap(), ["charge", "refund"], "restart: {restart}");
        assert_eq!((all.shown("a").status, all.open()), ("compensated", 0));
    }
}

/// A provider keeps its answer to a key: what it refused is asked for under another when a person wants it tried again.
#[tokio::test(start_paused = true)]
async fn a_refused_undo_is_tried_again_under_another_key_and_its_reason_is_told() {
    let provider = Provider::default();
    provider.is("refund", Does::Refuses);
    let mut all = start(provider);
    all.provider.is("charge", Does::Late(4.secs()));
    all.pay("a");
    all.pass(1.secs()).await;
    all.bench.ask("end", End { id: "a".to_owned() }).unwrap();
    all.pass(10.secs()).await;
    assert_eq!(all.shown("a").attention.as_deref(), Some("step `charge` cannot be undone: no money"));
    all.provider.is("refund", Does::Away);
    all.act("a", Wanted::Retry(None)).unwrap();
    all.pass(1.secs()).await;
    let mut all = all.restart().await;
    all.provider.is("refund", Does::Well);
    all.pass(2.minutes()).await;
    assert_eq!((all.shown("a").status, all.open()), ("compensated", 0));
    let mut keys = all.provider.keys("refund");
    keys.dedup();
    assert_eq!(keys.len(), 2, "{keys:?}");
}

/// The partner is left alone, and all that could be made waits for a call that is under way: nothing is done meanwhile.
#[tokio::test(start_paused = true)]
async fn an_undo_that_waits_costs_no_time_when_the_breaker_may_close() {
    // The two below wait for longer than the call takes.
    fastrand::seed(3);
    let provider = Provider::default();
    provider.is("charge", Does::Late(4.secs()));
    let mut all = start_with(provider, Breaker { in_a_row: 2, open_for: 1.secs(), ..Breaker::default() });
    all.pay("a");
    all.pass(500.ms()).await;
    // Two others fail: the breaker opens, and they come again when the call is over.
    all.provider.is("charge", Does::Away);
    ["b", "c"].iter().for_each(|other| all.pay(other));
    all.pass(500.ms()).await;
    all.bench.ask("end", End { id: "a".to_owned() }).unwrap();
    all.pass(10.secs()).await;
    assert_eq!(*all.provider.order.lock().unwrap(), ["charge", "refund"]);
    assert_eq!(all.shown("a").status, "compensated");
}
