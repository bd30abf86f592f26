//! A whole node in simulation: a small shop under crashes, errors and silence, for thousands of seeds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test subjects and helpers are tests too")]
#![allow(clippy::print_stdout, reason = "what a sweep has covered is its result")]

mod audit;
mod contracts;
mod customers;
mod orders;
mod parcels;
mod payments;
mod planted;
mod stock;

use std::sync::atomic::{AtomicUsize, Ordering};

use factum_core::{envelope::Draft, service::Service};
use factum_testing::sim::{Kind, Peers, Simulation, Violation, World, sweep};
use fastrand::Rng;

use contracts::*;

/// Seeds on every change; `FACTUM_SEEDS` for more.
const SEEDS: u64 = 2_000;

/// The sample, over these peers.
fn services(peers: &Peers, version: u32) -> Vec<Service> {
    vec![
        orders::service(version, peers.peer("insurer")),
        stock::service(version),
        payments::service(peers.peer("provider")),
        parcels::service(peers.peer("carrier")),
        customers::service(version),
        audit::service(),
    ]
}

/// Customers order, change their minds, and cancel in the middle of everything.
fn command(random: &mut Rng, number: usize) -> Draft {
    let earlier = |random: &mut Rng| format!("o-{}", number.saturating_sub(random.usize(1..12)));
    let draft = match random.u8(..100) {
        0..=49 => Draft::of(&PlaceOrder {
            order_id: format!("o-{number}"),
            customer: format!("c-{}", random.u8(..3)),
            sku: format!("s-{}", random.u8(..3)),
            quantity: random.i64(1..5),
        }),
        50..=69 => Draft::of(&CancelOrder { order_id: earlier(random) }),
        70..=84 => Draft::of(&AmendOrder { order_id: earlier(random), note: format!("note {number}") }),
        85..=92 => Draft::of(&DelayParcel { order_id: earlier(random) }),
        _ => Draft::of(&ReturnParcel { order_id: earlier(random) }),
    };
    draft.unwrap()
}

fn simulation(seed: u64) -> Simulation {
    Simulation::new(seed)
        .versions(2, services)
        .commands(30, command)
        .check(stock_balances)
        .check(money_follows)
        .check(rewards)
        .check(insurance_follows)
        .check(audit::written_in_order)
}

/// What is reserved is what the orders that went through have taken; there was never more.
fn stock_balances(world: &World<'_>) -> Result<(), Violation> {
    let confirmed: Vec<OrderConfirmed> = world.events();
    let (reserved, released): (Vec<StockReserved>, Vec<StockReleased>) = (world.events(), world.events());
    for order in world.events::<OrderPlaced>() {
        let id = &order.order_id;
        let taken: i64 = reserved.iter().filter(|event| event.order_id == *id).map(|event| event.quantity).sum();
        let given: i64 = released.iter().filter(|event| event.order_id == *id).map(|event| event.quantity).sum();
        let wanted = if confirmed.iter().any(|event| event.order_id == *id) { order.quantity } else { 0 };
        if taken - given != wanted {
            return Violation::found("I10", format!("{id} holds {taken} - {given} of {}, not {wanted}", order.sku));
        }
    }
    for sku in ["s-0", "s-1", "s-2"] {
        let taken: i64 = reserved.iter().filter(|event| event.sku == sku).map(|event| event.quantity).sum();
        let given: i64 = released.iter().filter(|event| event.sku == sku).map(|event| event.quantity).sum();
        if taken - given > stock::ON_HAND {
            return Violation::found(
                "I10",
                format!("{} of {sku} are reserved, {} there", taken - given, stock::ON_HAND),
            );
        }
    }
    Ok(())
}

/// The peers have done what the orders say, and nothing else.
fn money_follows(world: &World<'_>) -> Result<(), Violation> {
    let confirmed: Vec<OrderConfirmed> = world.events();
    for order in world.events::<OrderPlaced>() {
        let id = &order.order_id;
        let done = |act: &str| world.done(&format!("{act} {id}"));
        let found = (done("authorize"), done("capture"), done("void"), done("dispatch"));
        let right = match confirmed.iter().any(|event| event.order_id == *id) {
            true => found == (1, 1, 0, 1),
            // What may have been authorised is voided.
            false => found.1 == 0 && found.3 == 0 && found.2 >= found.0,
        };
        if !right {
            let problem = format!("{id}: authorised, captured, voided, dispatched {found:?} times");
            return Violation::found("I9", problem);
        }
    }
    Ok(())
}

/// What was insured is insured still, if its order went through, and not otherwise.
fn insurance_follows(world: &World<'_>) -> Result<(), Violation> {
    let confirmed: Vec<OrderConfirmed> = world.events();
    for order in world.events::<OrderPlaced>() {
        let id = &order.order_id;
        let (insure, drop) = (format!("insure {id}"), format!("drop insurance {id}"));
        let (insured, dropped) = (world.done(&insure), world.done(&drop));
        let right = match confirmed.iter().any(|event| event.order_id == *id) {
            // The first version insures nothing.
            true => insured <= 1 && dropped == 0,
            // What may have been insured is dropped.
            false => insured <= 1 && dropped >= insured && dropped <= 1,
        };
        if !right {
            return Violation::found("I9", format!("{id}: insured, dropped {:?} times", (insured, dropped)));
        }
        if insured > 0 && dropped > 0 && !world.done_after(&insure, &drop) {
            return Violation::found("I9", format!("{id}: insured after its insurance was dropped"));
        }
    }
    Ok(())
}

/// Every second order that is closed is rewarded, once.
fn rewards(world: &World<'_>) -> Result<(), Violation> {
    let (closed, rewarded): (Vec<OrderClosed>, Vec<CustomerRewarded>) = (world.events(), world.events());
    for customer in ["c-0", "c-1", "c-2"] {
        let closed = closed.iter().filter(|event| event.customer == customer).count();
        let rewarded = rewarded.iter().filter(|event| event.customer == customer).count();
        if rewarded != closed / 2 {
            return Violation::found("I5", format!("{customer} has {closed} orders and {rewarded} rewards"));
        }
    }
    // Read as the newest version reads them, whichever has written them.
    for stored in world.log.iter().filter(|stored| stored.type_name() == "customer.rewarded") {
        let Ok(worth) = stored.decode::<customers::CustomerRewardedWorth>() else {
            return Violation::found("I15", format!("{} cannot be read as today's", stored.position));
        };
        if worth.points != customers::worth(worth.number) {
            return Violation::found("I15", format!("{worth:?} is worth something else"));
        }
    }
    Ok(())
}

#[test]
fn a_node_keeps_its_promises_whatever_happens_around_it() {
    let Some(tally) = sweep(SEEDS, simulation) else { return };
    // Fewer seeds than usual need not meet everything.
    if std::env::var("FACTUM_SEEDS").is_err() {
        assert!(tally.missing().is_empty(), "it never happened: {:?}", tally.missing());
    }
}

#[test]
#[should_panic(expected = "seed 0 cannot be replayed")]
fn a_run_that_differs_from_its_repetition_is_found() {
    let runs = AtomicUsize::new(0);
    sweep(1, |seed| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        simulation(seed).commands(30, move |random, number| command(random, number + run))
    });
}

#[test]
fn every_kind_of_fault_has_a_place_in_the_tally() {
    let tally = simulation(1).run().tally;
    assert!(tally.of(Kind::Messages) > 50, "{tally}");
    assert!(tally.missing().len() < Kind::ALL.len() / 2, "{tally}");
}
