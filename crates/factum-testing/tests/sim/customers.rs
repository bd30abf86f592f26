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

fn loyalty(version: u32) -> Folding<BTreeMap<String, i64>> {
    Folding::new("loyalty", version)
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
    points: i64,
}

/// The second version of the event says what the reward is worth.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("customer.rewarded", version = "1.1.0")]
pub struct CustomerRewardedWorth {
    pub customer: String,
    pub number: i64,
    pub points: i64,
}

/// What the number of a reward is worth.
pub fn worth(number: i64) -> i64 {
    10 * number
}

/// A customer as the second version has them.
#[derive(Default)]
struct CustomerWorth;

#[derive(Event)]
enum CustomerWorthEvent {
    Rewarded(CustomerRewardedWorth),
}

impl Decider for CustomerWorth {
    const CATEGORY: &'static str = "customer";
    type Id = String;
    type Command = CustomerCommand;
    type Event = CustomerWorthEvent;
    type Rejection = Never;

    fn address(command: &CustomerCommand, envelope: &Envelope) -> String {
        Customer::address(command, envelope)
    }

    fn decide(
        &self,
        _: &String,
        CustomerCommand::Reward(c): CustomerCommand,
        _: &Context,
    ) -> Result<Vec<CustomerWorthEvent>, Never> {
        let (customer, number, points) = (c.customer, c.number, worth(c.number));
        Ok(vec![CustomerWorthEvent::Rewarded(CustomerRewardedWorth { customer, number, points })])
    }

    fn evolve(&mut self, _: &CustomerWorthEvent) {}
}

#[derive(Event)]
enum OfCustomersWorth {
    Placed(OrderPlaced),
    Closed(OrderClosed),
    Rewarded(CustomerRewardedWorth),
}

/// One row a customer, with all points.
fn customers_worth(rows: &mut Rows<'_, CustomerRow>, event: &Recorded<'_, OfCustomersWorth>) {
    let (customer, [placed, closed, rewards, points]) = match &event.data {
        OfCustomersWorth::Placed(e) => (&e.customer, [1, 0, 0, 0]),
        OfCustomersWorth::Closed(e) => (&e.customer, [0, 1, 0, 0]),
        OfCustomersWorth::Rewarded(e) => (&e.customer, [0, 0, 1, e.points]),
    };
    count(rows, customer, [placed, closed, rewards, points]);
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
    count(rows, customer, [placed, closed, rewards, 0]);
}

fn count(rows: &mut Rows<'_, CustomerRow>, customer: &String, [placed, closed, rewards, points]: [i64; 4]) {
    let new = || CustomerRow { customer: customer.clone(), placed: 0, closed: 0, rewards: 0, points: 0 };
    rows.upsert(customer, new, |row| {
        row.placed += placed;
        row.closed += closed;
        row.rewards += rewards;
        row.points += points;
    });
}

pub fn service(version: u32) -> Service {
    let service = Service::new("customers").folding(loyalty(version));
    if version == 1 {
        return service.decider::<Customer>().view(1, customers);
    }
    let add_points = |mut data: serde_json::Value| {
        data["points"] = worth(data["number"].as_i64().unwrap_or_default()).into();
        data
    };
    service.decider::<CustomerWorth>().view(2, customers_worth).upcast(
        "customer.rewarded",
        "1.0.0",
        "1.1.0",
        add_points,
    )
}
