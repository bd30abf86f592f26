//! The payment provider is away for ten minutes in the middle of everything: the shop's own rooms in simulation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use factum::{Archive, prelude::*};
use factum_testing::sim::{Simulation, Violation, World, sweep};
use shop::{
    check,
    contracts::{
        order::{OrderCancelled, OrderCreated, OrderDelivered, OrderRejected},
        payment::{PaymentAct, PaymentOutcome, RecordPayment},
        process::PATIENCE,
    },
    payment::gateway::{PROVIDER, ProviderRequest},
    services::{Options, services},
};
use tokio::time::Instant;

use super::sim::command;

/// `FACTUM_SEEDS` for more.
const SEEDS: u64 = 60;
const AWAY: Duration = Duration::from_secs(600);

/// The provider's own books: what it holds, by payment. It knows keys again, and can be asked about them.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    /// When it was asked first: a while later nobody answers for ten minutes.
    since: Option<Instant>,
    done: BTreeMap<String, (PaymentAct, PaymentOutcome)>,
    held: BTreeMap<String, i64>,
    asked_in_vain: u64,
}

impl Provider {
    fn is_away(&self, after: Duration) -> bool {
        let mut books = self.0.lock().unwrap();
        let since = *books.since.get_or_insert_with(Instant::now);
        let away = (after..after + AWAY).contains(&since.elapsed());
        books.asked_in_vain += u64::from(away);
        away
    }

    fn act(&self, request: &ProviderRequest, key: &str) -> PaymentOutcome {
        let mut books = self.0.lock().unwrap();
        if let Some((_, outcome)) = books.done.get(key) {
            return outcome.clone();
        }
        let (payment, transaction_id) = (request.payment_id.to_string(), format!("t-{key}"));
        let held = books.held.entry(payment).or_default();
        let outcome = match request.act {
            PaymentAct::Authorize => {
                *held += request.amount.amount;
                PaymentOutcome::Authorized { transaction_id }
            }
            PaymentAct::Capture => PaymentOutcome::Captured { transaction_id },
            PaymentAct::Void => {
                *held = 0;
                PaymentOutcome::Voided
            }
            PaymentAct::Refund => {
                *held -= request.amount.amount;
                PaymentOutcome::Refunded { refund_id: request.refund_id.clone().unwrap() }
            }
        };
        books.done.insert(key.to_owned(), (request.act, outcome.clone()));
        outcome
    }

    fn known(&self, key: &str) -> Option<PaymentOutcome> {
        self.0.lock().unwrap().done.get(key).map(|(_, outcome)| outcome.clone())
    }

    fn services(&self, after: Duration, patience: Duration) -> Vec<Service> {
        let record = |request: ProviderRequest, outcome| RecordPayment {
            payment_id: request.payment_id,
            act: request.act,
            outcome,
            refund_id: request.refund_id,
        };
        let (asked, known) = (self.clone(), self.clone());
        let ask = move |call: Call<ProviderRequest>| {
            let provider = asked.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                match provider.is_away(after) {
                    true => Answer::Again("connection refused".to_owned(), None),
                    false => {
                        Answer::Done(record(call.request.clone(), provider.act(&call.request, &call.idempotency_key)))
                    }
                }
            }
        };
        let look_up = move |call: Call<ProviderRequest>| {
            let provider = known.clone();
            async move {
                match (provider.is_away(after), provider.known(&call.idempotency_key)) {
                    (true, _) => Answer::Unknown("connection refused".to_owned()),
                    (false, Some(outcome)) => Answer::Done(record(call.request, outcome)),
                    (false, None) => Answer::Again("not known".to_owned(), None),
                }
            }
        };
        let gave_up = move |request: ProviderRequest, reason: &str| {
            record(request, PaymentOutcome::Unknown { reason: reason.to_owned() })
        };
        let retry = exp(200.ms(), 2.0).lasting(patience.min(2 * AWAY));
        let call = CallSpec::new(PROVIDER, ask, gave_up).query(look_up).retry(retry).timeout(10.secs());
        let mut services = services(&Options { patience, ..Options::default() });
        let payment = services.iter_mut().find(|service| service.name == "payment").unwrap();
        payment.calls = vec![call.erase()];
        services
    }
}

/// Every order has ended one way or the other, and nothing is held for one that was cancelled.
fn ended(world: &World<'_>, provider: &Provider) -> Result<(), Violation> {
    let findings = check::check(&Archive::of(world.reader.clone())).unwrap();
    if !findings.is_well() {
        return Violation::found("I9, I10", findings.problems.join("; "));
    }
    let delivered: BTreeSet<_> = world.events::<OrderDelivered>().into_iter().map(|event| event.order_id).collect();
    let cancelled: BTreeSet<_> = world.events::<OrderCancelled>().into_iter().map(|event| event.order_id).collect();
    let rejected: BTreeSet<_> = world.events::<OrderRejected>().into_iter().map(|event| event.order_id).collect();
    let books = provider.0.lock().unwrap();
    for order in world.events::<OrderCreated>() {
        let id = &order.order_id;
        if !delivered.contains(id) && !cancelled.contains(id) && !rejected.contains(id) {
            return Violation::found("I7", format!("{id} is neither delivered nor undone"));
        }
        let held = books.held.iter().filter(|(payment, _)| payment.contains(id.as_str())).map(|(_, held)| held).sum();
        let wanted = if delivered.contains(id) { order.total.amount } else { 0 };
        let held: i64 = held;
        if held != wanted {
            return Violation::found("I9", format!("the provider holds {held} for {id}, not {wanted}"));
        }
    }
    Ok(())
}

#[test]
fn a_provider_that_is_away_for_ten_minutes_leaves_nothing_half_done_and_nothing_held() {
    let simulation = |seed: u64| {
        let provider = Provider::default();
        // At once, or in the middle.
        let after = Duration::from_secs(seed % 4 * 2);
        let (rooms, books) = (provider.clone(), provider);
        Simulation::new(seed)
            .services(move |_| rooms.services(after, PATIENCE))
            .commands(16, command)
            .check(move |world| ended(world, &books))
    };
    sweep(SEEDS, simulation);
}

/// The clock of the simulation jumps by days too, and these count: the steps wait for longer than that, the provider is asked
/// for twice as long as it is away.
#[test]
fn a_shop_that_is_told_to_wait_longer_than_that_cancels_nothing_for_it() {
    let simulation = |seed: u64| {
        let provider = Provider::default();
        let (rooms, books) = (provider.clone(), provider);
        Simulation::new(seed)
            .services(move |_| rooms.services(Duration::from_secs(seed % 4 * 2), 30.days()))
            .commands(16, command)
            .check(move |world| {
                let given_up = |event: &OrderCancelled| event.reason == "payment_failed";
                let of = |event: OrderCancelled| format!("{} was given up", event.order_id);
                match world.events::<OrderCancelled>().into_iter().find(given_up) {
                    Some(event) => Violation::found("patience", of(event)),
                    None => ended(world, &books),
                }
            })
    };
    sweep(SEEDS, simulation);
}
