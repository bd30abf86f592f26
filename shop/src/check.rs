//! Checking a shop's log from outside: is anything lost, doubled, or half done?
//!
//! - orders: every order has ended, or something is under way for it (a timer, an open call, an unread message);
//! - sagas: every process has exactly one end, or is under way;
//! - money: captured = totals of orders behind the pivot; given back = returns + credits;
//! - stock: per article received + found − written off = on hand + reserved + shipped − returned, and nothing negative.

use std::collections::{BTreeMap, BTreeSet};

use factum::{Archive, UnderWay, prelude::*};
use serde::Serialize;

use crate::contracts::{
    ids::{OrderId, Sku},
    inventory::InventoryEvent,
    order::*,
    payment::{PaymentCaptured, PaymentRefunded},
};

/// Findings that are named one by one; the rest is only counted.
const NAMED: usize = 20;

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct Findings {
    pub orders: u64,
    pub orders_under_way: u64,
    pub sagas: u64,
    pub sagas_under_way: u64,
    pub articles: u64,
    pub captured: i64,
    pub refunded: i64,
    /// Sentences; empty if all is well.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub problem_count: u64,
}

impl Findings {
    /// Whether all is well.
    pub fn is_well(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < NAMED {
            self.problems.push(problem);
        }
    }
}

#[derive(Event)]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
enum Moved {
    Created(OrderCreated),
    Rejected(OrderRejected),
    Cancelled(OrderCancelled),
    Confirmed(OrderConfirmed),
    Delivered(OrderDelivered),
    Returned(OrderReturned),
    Credited(OrderCredited),
    Captured(PaymentCaptured),
    Refunded(PaymentRefunded),
}

#[derive(Default)]
struct Order {
    total: i64,
    ended: bool,
    confirmed: bool,
    captured: i64,
    captures: u32,
    owed: i64,
    refunded: i64,
}

#[derive(Default)]
struct Books {
    orders: BTreeMap<OrderId, Order>,
    credits_owed: i64,
    credits_refunded: i64,
}

/// Checks a log.
///
/// # Errors
/// [`HandlerError`] if the log cannot be read.
pub fn check(archive: &Archive) -> Result<Findings, HandlerError> {
    let mut findings = Findings::default();
    let under_way = archive.under_way().map_err(HandlerError::failed)?;
    check_sagas(archive, &mut findings, &under_way)?;
    let books = archive.fold::<Moved, Books>(Books::default(), keep)?;
    for (id, order) in &books.orders {
        findings.orders += 1;
        if !order.ended {
            findings.orders_under_way += 1;
            if !under_way.touches(&format!("fulfilment-{id}")) {
                findings.problem(format!("order {id} has not ended and nothing is under way for it"));
            }
            continue;
        }
        let captured = if order.confirmed { order.total } else { 0 };
        if order.captured != captured {
            findings.problem(format!("order {id}: {} pence captured, {captured} expected", order.captured));
        }
        if order.captures > 1 {
            findings.problem(format!("order {id} was captured {} times", order.captures));
        }
        if order.refunded != order.owed && under_way.is_quiet() {
            findings.problem(format!("order {id}: {} pence given back, {} owed", order.refunded, order.owed));
        }
    }
    if books.credits_refunded != books.credits_owed && under_way.is_quiet() {
        let (given, owed) = (books.credits_refunded, books.credits_owed);
        findings.problem(format!("credits: {given} pence given back, {owed} owed"));
    }
    findings.captured = books.orders.values().map(|order| order.captured).sum();
    findings.refunded = books.orders.values().map(|order| order.refunded).sum::<i64>() + books.credits_refunded;
    check_stock(archive, &mut findings)?;
    Ok(findings)
}

fn keep(books: &mut Books, event: &Recorded<Moved>) {
    let mut of = |order: &OrderId, change: &dyn Fn(&mut Order)| change(books.orders.entry(order.clone()).or_default());
    match &event.data {
        Moved::Created(e) => of(&e.order_id, &|order| order.total = e.total.amount),
        Moved::Rejected(e) => of(&e.order_id, &|order| order.ended = true),
        Moved::Cancelled(e) => of(&e.order_id, &|order| order.ended = true),
        Moved::Confirmed(e) => of(&e.order_id, &|order| order.confirmed = true),
        Moved::Delivered(e) => of(&e.order_id, &|order| order.ended = true),
        Moved::Returned(e) => of(&e.order_id, &|order| order.owed += e.amount.amount),
        Moved::Captured(e) => of(&e.order_id, &|order| {
            order.captured += e.amount.amount;
            order.captures += 1;
        }),
        Moved::Credited(e) => books.credits_owed += e.amount.amount,
        Moved::Refunded(e) => match &e.order_id {
            Some(id) => of(id, &|order| order.refunded += e.amount.amount),
            None => books.credits_refunded += e.amount.amount,
        },
    }
}

fn check_sagas(archive: &Archive, findings: &mut Findings, under_way: &UnderWay) -> Result<(), HandlerError> {
    let mut ends: BTreeMap<String, (u32, BTreeSet<String>)> = BTreeMap::new();
    let wanted = |name: &str| matches!(name, "fulfilment.started" | "fulfilment.completed" | "fulfilment.compensated");
    archive
        .each::<factum::error::StoreError>(Some(&wanted), |stored| {
            let (count, kinds) = ends.entry(stored.stream.as_str().to_owned()).or_default();
            if stored.type_name() != "fulfilment.started" {
                *count += 1;
                kinds.insert(stored.type_name().to_owned());
            }
            Ok(())
        })
        .map_err(HandlerError::failed)?;
    for (stream, (count, kinds)) in ends {
        findings.sagas += 1;
        match count {
            1 => {}
            0 => {
                findings.sagas_under_way += 1;
                if !under_way.touches(&stream) {
                    findings.problem(format!("saga {stream} has no end and nothing is under way for it"));
                }
            }
            _ => findings.problem(format!("saga {stream} ended {count} times: {kinds:?}")),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Article {
    entered: i64,
    on_hand: i64,
    reserved: i64,
    shipped: i64,
    returned: i64,
    negative: bool,
}

#[derive(Default)]
struct Shelves {
    articles: BTreeMap<Sku, Article>,
    reserved: BTreeMap<OrderId, BTreeMap<Sku, i64>>,
    problems: Vec<String>,
}

fn check_stock(archive: &Archive, findings: &mut Findings) -> Result<(), HandlerError> {
    let shelves = archive.fold::<InventoryEvent, Shelves>(Shelves::default(), shelve)?;
    for problem in shelves.problems {
        findings.problem(problem);
    }
    let mut open: BTreeMap<&Sku, i64> = BTreeMap::new();
    for (sku, quantity) in shelves.reserved.values().flatten() {
        *open.entry(sku).or_default() += quantity;
    }
    for (sku, article) in &shelves.articles {
        findings.articles += 1;
        let Article { entered, on_hand, reserved, shipped, returned, negative } = *article;
        if entered != on_hand + reserved + shipped - returned {
            findings.problem(format!(
                "article {sku}: {entered} entered, but {on_hand} on hand + {reserved} reserved + {shipped} shipped - {returned} returned"
            ));
        }
        if negative {
            findings.problem(format!("article {sku} was negative at some time"));
        }
        let kept = open.get(sku).copied().unwrap_or_default();
        if reserved != kept {
            findings.problem(format!("article {sku}: {reserved} reserved, but open orders keep {kept}"));
        }
    }
    Ok(())
}

fn shelve(shelves: &mut Shelves, event: &Recorded<InventoryEvent>) {
    use InventoryEvent as E;
    let articles = &mut shelves.articles;
    let mut change = |sku: &Sku, change: &dyn Fn(&mut Article)| {
        let article = articles.entry(sku.clone()).or_default();
        change(article);
        article.negative |= article.on_hand < 0 || article.reserved < 0;
    };
    match &event.data {
        E::StockReceived(e) => change(&e.sku, &|article| {
            article.entered += e.quantity;
            article.on_hand += e.quantity;
        }),
        E::StockAdjusted(e) => change(&e.sku, &|article| {
            article.entered += e.quantity;
            article.on_hand += e.quantity;
        }),
        E::Reserved(e) => {
            let kept = shelves.reserved.entry(e.order_id.clone()).or_default();
            for item in &e.items {
                *kept.entry(item.sku.clone()).or_default() += item.quantity;
                change(&item.sku, &|article| {
                    article.on_hand -= item.quantity;
                    article.reserved += item.quantity;
                });
            }
        }
        E::Released(e) => {
            shelves.reserved.remove(&e.order_id);
            for item in &e.items {
                change(&item.sku, &|article| {
                    article.on_hand += item.quantity;
                    article.reserved -= item.quantity;
                });
            }
        }
        E::StockShipped(e) => {
            if shelves.reserved.remove(&e.order_id).is_none() {
                shelves.problems.push(format!("order {} was shipped without a reservation", e.order_id));
            }
            for item in &e.items {
                change(&item.sku, &|article| {
                    article.reserved -= item.quantity;
                    article.shipped += item.quantity;
                });
            }
        }
        E::StockReturned(e) => {
            for item in &e.items {
                change(&item.sku, &|article| {
                    article.on_hand += item.quantity;
                    article.returned += item.quantity;
                });
            }
        }
        E::ReservationFailed(_) | E::LowStockDetected(_) | E::ReorderPlaced(_) => {}
    }
}
