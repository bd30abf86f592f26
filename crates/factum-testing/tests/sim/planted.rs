//! Mistakes on purpose: each is found, by the invariant that is named for it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use factum_core::{
    call::{Call, CallSpec, CallTo, exp},
    envelope::Recorded,
    reaction::{Effects, Reaction},
    service::{Durations, Service},
    view::Rows,
};
use factum_macros::{Event, Row};
use factum_testing::sim::{Peers, Simulation};
use serde::{Deserialize, Serialize};

use super::{command, contracts::*, services};

/// More than any of them needs.
const MOST_SEEDS: u64 = 60;

/// Adds a service to the sample, and answers the first violation.
fn found(extra: impl Fn(&Peers) -> Service + Clone + 'static) -> String {
    let run = |seed| {
        let extra = extra.clone();
        let all = move |peers: &Peers| {
            let mut all = services(peers, 1);
            all.push(extra(peers));
            all
        };
        Simulation::new(seed).services(all).commands(30, command).outcome()
    };
    let violation = (0..MOST_SEEDS).find_map(|seed| run(seed).violation);
    violation.expect("the mistake was not found").invariant
}

#[derive(Event)]
enum Placed {
    Order(OrderPlaced),
}

#[derive(Serialize, Deserialize)]
struct Request {
    order_id: String,
}

const POST: CallTo<Request, NudgeOrder> = CallTo::new("post");

#[test]
fn a_call_that_does_not_use_its_key_is_found() {
    let invariant = found(|peers| {
        let peer = peers.peer("post");
        let ask = move |call: Call<Request>| {
            let peer = peer.clone();
            async move {
                let key = format!("{}/{}", call.idempotency_key, call.attempt);
                let told = peer.must(&format!("write to {}", call.request.order_id), &key).await;
                let command = || NudgeOrder { order_id: call.request.order_id.clone() };
                told.answer(command, command)
            }
        };
        let call = CallSpec::new(POST, ask, |request: Request, _| NudgeOrder { order_id: request.order_id });
        let write = |event: &Recorded<'_, Placed>, fx: &mut Effects| {
            let Placed::Order(placed) = &event.data;
            fx.call(POST, Request { order_id: placed.order_id.clone() });
        };
        Service::new("letters")
            .reaction(Reaction::new("write", write).calls(POST))
            .call(call.retry(exp(100.ms(), 2.0).max(1_000)))
    });
    assert_eq!(invariant, "I5");
}

#[test]
fn a_reaction_that_is_not_pure_is_found() {
    let counter = Arc::new(AtomicI64::new(0));
    let invariant = found(move |_| {
        let counter = counter.clone();
        let react = move |event: &Recorded<'_, Placed>, fx: &mut Effects| {
            let Placed::Order(placed) = &event.data;
            let number = counter.fetch_add(1, Ordering::Relaxed);
            fx.send(AmendOrder { order_id: placed.order_id.clone(), note: format!("number {number}") });
        };
        Service::new("numbers").react("number", react)
    });
    assert_eq!(invariant, "I5");
}

#[derive(Clone, Debug, Row)]
#[row("numbered")]
struct Numbered {
    #[key]
    order_id: String,
    number: i64,
}

#[test]
fn a_view_that_knows_more_than_the_events_is_found() {
    let counter = Arc::new(AtomicI64::new(0));
    let invariant = found(move |_| {
        let counter = counter.clone();
        let view = move |rows: &mut Rows<'_, Numbered>, event: &Recorded<'_, Placed>| {
            let Placed::Order(placed) = &event.data;
            let number = counter.fetch_add(1, Ordering::Relaxed);
            rows.put(Numbered { order_id: placed.order_id.clone(), number });
        };
        Service::new("numbers").view(1, view)
    });
    assert_eq!(invariant, "I11");
}
