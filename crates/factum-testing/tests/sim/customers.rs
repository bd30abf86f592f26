//! Customers: a folding reaction counts their closed orders, and every second one is rewarded.

use std::collections::BTreeMap;

use factum_core::{
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    reaction::{Effects, Folding},
    rejection::Never,
    service::Service,
    view::Rows,
};
use factum_macros::{Command, Event, Row};
use factum_testing::sim::poison;

use super::contracts::*;

#[derive(Default)]
struct Customer;

#[derive(Command)]
enum CustomerCommand {
    Reward(RewardCustomer),
}

#[derive(Event)]
enum CustomerEvent {
    Rewarded(CustomerRewarded),
}

impl Decider for Customer {
    const CATEGORY: &'static str = "customer";
    type Id = String;
    type Command = CustomerCommand;
    type Event = CustomerEvent;
    type Rejection = Never;

    fn address(CustomerCommand::Reward(c): &CustomerCommand, _: &Envelope) -> String {
        c.customer.clone()
    }

    fn decide(
        &self,
        id: &String,
        CustomerCommand::Reward(c): CustomerCommand,
        _: &Context,
    ) -> Result<Vec<CustomerEvent>, Never> {
        poison::strike("customers.decide", format!("{id} {}", c.number));
        Ok(vec![CustomerEvent::Rewarded(CustomerRewarded { customer: c.customer, number: c.number })])
    }

    fn evolve(&mut self, _: &CustomerEvent) {}
}

#[derive(Event)]
enum Closed {
    Order(OrderClosed),
}

fn loyalty() -> Folding<BTreeMap<String, i64>> {
    Folding::new("loyalty", 1)
        .fold(|counts: &mut BTreeMap<String, i64>, event: &Recorded<'_, Closed>| {
            let Closed::Order(closed) = &event.data;
            poison::strike("loyalty.fold", &closed.order_id);
            *counts.entry(closed.customer.clone()).or_default() += 1;
        })
        .react(|counts: &BTreeMap<String, i64>, event: &Recorded<'_, Closed>, fx: &mut Effects| {
            let Closed::Order(closed) = &event.data;
            let count = counts[&closed.customer];
            if count % 2 == 0 {
                fx.send(RewardCustomer { customer: closed.customer.clone(), number: count / 2 });
            }
        })
        .snapshots()
}

#[derive(Clone, Debug, Row)]
#[row("customers")]
struct CustomerRow {
    #[key]
    customer: String,
    #[index]
    placed: i64,
    closed: i64,
    rewards: i64,
}

#[derive(Event)]
enum OfCustomers {
    Placed(OrderPlaced),
    Closed(OrderClosed),
    Rewarded(CustomerRewarded),
}

/// One row a customer.
fn customers(rows: &mut Rows<'_, CustomerRow>, event: &Recorded<'_, OfCustomers>) {
    let (customer, [placed, closed, rewards]) = match &event.data {
        OfCustomers::Placed(e) => (&e.customer, [1, 0, 0]),
        OfCustomers::Closed(e) => (&e.customer, [0, 1, 0]),
        OfCustomers::Rewarded(e) => (&e.customer, [0, 0, 1]),
    };
    let new = || CustomerRow { customer: customer.clone(), placed: 0, closed: 0, rewards: 0 };
    rows.upsert(customer, new, |row| {
        row.placed += placed;
        row.closed += closed;
        row.rewards += rewards;
    });
}

pub fn service() -> Service {
    Service::new("customers").decider::<Customer>().folding(loyalty()).view(1, customers)
}
