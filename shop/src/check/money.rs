//! Orders and their money, against each other: what was ordered, held, taken, given back.

use std::collections::{BTreeMap, BTreeSet};

use factum::{Archive, UnderWay, prelude::*};

use super::Findings;
use crate::contracts::{
    ids::{CreditId, OrderId, PaymentId, RefundId, Sku},
    order::*,
    payment::PaymentEvent,
    process::Process,
    shapes::{LineKind, ReturnItem},
};

/// What became of an order.
#[derive(Default)]
struct Order {
    created: u32,
    total: i128,
    lines: i128,
    pieces: BTreeMap<Sku, i128>,
    ended: bool,
    confirmed: bool,
    cancelled: bool,
    paid: bool,
    shipped: bool,
    delivered: bool,
    owed: i128,
    /// Before it was confirmed: only where no saga runs it.
    paid_early: bool,
    /// When it was paid: likewise.
    cancelled_late: bool,
    /// A step that came out of its turn.
    astray: Option<&'static str>,
}

impl Order {
    /// A step that came out of the turn of a saga.
    fn astray(&self, way: Process) -> Option<&'static str> {
        match way {
            Process::Choreographed => None,
            Process::Orchestrated if self.paid_early => Some("paid"),
            Process::Orchestrated => self.cancelled_late.then_some("cancelled"),
        }
    }
}

/// What became of a payment.
#[derive(Default)]
struct Payment {
    order: Option<OrderId>,
    amount: i128,
    captured: i128,
    captures: u32,
    /// What the provider may hold.
    held: bool,
    /// What was decided, and the provider has not done.
    asked: Option<&'static str>,
    refused: Option<String>,
    refunds: BTreeMap<RefundId, i128>,
    /// Decided and not done, with the provider's reason if it has refused one.
    open_refunds: BTreeMap<RefundId, Option<String>>,
    refunded: i128,
    negative: bool,
}

#[derive(Default)]
struct Books {
    orders: BTreeMap<OrderId, Order>,
    payments: BTreeMap<PaymentId, Payment>,
    /// Owed to credits without an order, and given back for them.
    credits: BTreeMap<CreditId, (i128, i128)>,
    problems: Vec<String>,
}

/// What is counted of both.
#[derive(Event)]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
enum Moved {
    Created(OrderCreated),
    Rejected(OrderRejected),
    Cancelled(OrderCancelled),
    Confirmed(OrderConfirmed),
    Paid(OrderPaid),
    Shipped(OrderShipped),
    Delivered(OrderDelivered),
    Returned(OrderReturned),
    Credited(OrderCredited),
}

/// Checks orders and payments; answers which orders have ended without their goods being due any more.
pub(super) fn check(
    archive: &Archive,
    findings: &mut Findings,
    under_way: &UnderWay,
    of_sagas: &BTreeSet<OrderId>,
) -> Result<BTreeSet<OrderId>, HandlerError> {
    let books = archive.fold::<Moved, Books>(Books::default(), of_orders)?;
    let mut books = archive.fold::<PaymentEvent, Books>(books, of_payments)?;
    std::mem::take(&mut books.problems).into_iter().for_each(|problem| findings.problem(problem));
    let mut by_order: BTreeMap<&OrderId, Vec<(&PaymentId, &Payment)>> = BTreeMap::new();
    for (id, payment) in &books.payments {
        check_payment(id, payment, findings, under_way);
        if let Some(order) = &payment.order {
            by_order.entry(order).or_default().push((id, payment));
        }
    }
    for (id, order) in &books.orders {
        findings.orders += 1;
        let payments = by_order.remove(id).unwrap_or_default();
        let way = if of_sagas.contains(id) { Process::Orchestrated } else { Process::Choreographed };
        check_order(id, order, way, &payments, (findings, under_way));
    }
    for (order, payments) in by_order {
        for (id, _) in payments {
            findings.problem(format!("payment {id} is for order {order}, which there never was"));
        }
    }
    for (id, (owed, given)) in &books.credits {
        if given > owed || (given != owed && under_way.is_quiet() && !books.is_open(&PaymentId::of_credit(id))) {
            findings.problem(format!("credit {id}: {given} pence given back, {owed} owed"));
        }
    }
    let sum = |of: &dyn Fn(&Payment) -> i128| books.payments.values().map(of).sum::<i128>();
    findings.captured = whole(sum(&|payment| payment.captured));
    findings.refunded = whole(sum(&|payment| payment.refunded));
    findings.open_payments = books.payments.values().filter(|payment| payment.is_open()).count() as u64;
    let is_over = |order: &Order| order.cancelled || (order.ended && !order.confirmed);
    Ok(books.orders.iter().filter(|(_, order)| is_over(order)).map(|(id, _)| id.clone()).collect())
}

impl Books {
    fn is_open(&self, payment: &PaymentId) -> bool {
        self.payments.get(payment).is_some_and(Payment::is_open)
    }
}

impl Payment {
    fn is_open(&self) -> bool {
        self.asked.is_some() || !self.open_refunds.is_empty()
    }
}

fn whole(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(i64::MAX)
}

fn check_payment(id: &PaymentId, payment: &Payment, findings: &mut Findings, under_way: &UnderWay) {
    if payment.negative {
        findings.problem(format!("payment {id} has a negative amount"));
    }
    if payment.captures > 1 {
        findings.problem(format!("payment {id} was captured {} times", payment.captures));
    }
    if payment.captures > 0 && payment.captured != payment.amount {
        findings.problem(format!("payment {id}: {} pence captured, {} held", payment.captured, payment.amount));
    }
    for reason in payment.refused.iter().chain(payment.open_refunds.values().flatten()) {
        findings.problem(format!(
            "payment {id}: the provider has refused what was decided ({reason}); a person must see to it"
        ));
    }
    let refunds = payment.open_refunds.values().any(Option::is_none).then_some("refund");
    let asked = payment.asked.filter(|_| payment.refused.is_none());
    for act in asked.into_iter().chain(refunds).filter(|_| under_way.is_quiet()) {
        findings.problem(format!("payment {id}: the {act} was decided, and nobody asks the provider for it"));
    }
}

fn check_order(
    id: &OrderId,
    order: &Order,
    way: Process,
    payments: &[(&PaymentId, &Payment)],
    (findings, under_way): (&mut Findings, &UnderWay),
) {
    if order.created == 0 {
        return findings.problem(format!("order {id} was never created"));
    }
    if order.created > 1 {
        findings.problem(format!("order {id} was created {} times", order.created));
    }
    if order.total != order.lines || order.total < 0 {
        findings.problem(format!("order {id} costs {} pence, and its lines come to {}", order.total, order.lines));
    }
    if let Some(astray) = order.astray.or_else(|| order.astray(way)) {
        findings.problem(format!("order {id} was {astray} out of its turn"));
    }
    for (sku, left) in order.pieces.iter().filter(|(_, left)| **left < 0) {
        findings.problem(format!("order {id}: {} pieces of {sku} came back that it never had", -left));
    }
    let captured: i128 = payments.iter().map(|(_, payment)| payment.captured).sum();
    let refunded: i128 = payments.iter().map(|(_, payment)| payment.refunded).sum();
    let open = payments.iter().any(|(_, payment)| payment.is_open());
    if refunded > captured {
        findings.problem(format!("order {id}: {refunded} pence given back, {captured} captured"));
    }
    if order.owed > captured {
        findings.problem(format!("order {id}: {} pence owed for returns, {captured} captured", order.owed));
    }
    if order.paid && captured == 0 && order.total > 0 {
        findings.problem(format!("order {id} counts as paid, and nothing was captured"));
    }
    if !order.ended {
        findings.orders_under_way += 1;
        // Without a saga nobody waits for a parcel but the order itself.
        let goes_on = match way {
            Process::Orchestrated => under_way.touches(&format!("fulfilment-{id}")),
            Process::Choreographed => order.confirmed || !under_way.is_quiet(),
        };
        if !goes_on {
            findings.problem(format!("order {id} has not ended and nothing is under way for it"));
        }
        return;
    }
    // Without a saga money is taken before goods are kept; of what is cancelled then all of it goes back.
    let taken_back = if way.is_choreographed() && order.cancelled { captured } else { 0 };
    let wanted = if order.confirmed && !order.cancelled { order.total } else { taken_back };
    let owed = order.owed + taken_back;
    if captured != wanted {
        findings.problem(format!("order {id}: {captured} pence captured, {wanted} expected"));
    }
    if refunded != owed && under_way.is_quiet() && !open {
        findings.problem(format!("order {id}: {refunded} pence given back, {owed} owed"));
    }
    if under_way.is_quiet() {
        for (payment, _) in payments.iter().filter(|(_, payment)| payment.held && !payment.is_open()) {
            findings.problem(format!("payment {payment} is held at the provider, and order {id} has ended"));
        }
    }
}

fn of_orders(books: &mut Books, event: &Recorded<Moved>) {
    let mut of = |order: &OrderId, change: &dyn Fn(&mut Order)| change(books.orders.entry(order.clone()).or_default());
    match &event.data {
        Moved::Created(e) => of(&e.order_id, &|order| {
            order.created += 1;
            order.total = e.total.amount.into();
            order.lines = e.items.iter().map(|line| i128::from(line.amount.amount)).sum();
            for line in e.items.iter().filter(|line| line.kind == LineKind::Goods) {
                *order.pieces.entry(line.sku.clone()).or_default() += i128::from(line.quantity);
            }
        }),
        Moved::Rejected(e) => of(&e.order_id, &|order| order.ended = true),
        Moved::Cancelled(e) => of(&e.order_id, &|order| {
            (order.ended, order.cancelled) = (true, true);
            (order.cancelled_late, order.astray) = (order.paid, order.astray.or(order.shipped.then_some("cancelled")));
        }),
        Moved::Confirmed(e) => of(&e.order_id, &|order| {
            order.confirmed = true;
            order.astray = order.astray.or(order.ended.then_some("confirmed"));
        }),
        Moved::Paid(e) => of(&e.order_id, &|order| {
            order.paid = true;
            order.paid_early |= !order.confirmed;
            order.astray = order.astray.or(order.ended.then_some("paid"));
        }),
        Moved::Shipped(e) => of(&e.order_id, &|order| {
            order.shipped = true;
            order.astray = order.astray.or((!order.paid || !order.confirmed || order.ended).then_some("shipped"));
        }),
        Moved::Delivered(e) => of(&e.order_id, &|order| {
            (order.ended, order.delivered) = (true, true);
            order.astray = order.astray.or((!order.shipped).then_some("delivered"));
        }),
        Moved::Returned(e) => of(&e.order_id, &|order| {
            order.ended = true;
            order.owed += i128::from(e.amount.amount);
            take_back(&mut order.pieces, &e.items);
            let lost = e.reason == LOST && order.paid;
            order.astray = order.astray.or((!order.delivered && !lost).then_some("returned"));
        }),
        Moved::Credited(e) => {
            books.credits.entry(e.credit_id.clone()).or_default().0 += i128::from(e.amount.amount);
            if e.amount.amount < 0 {
                books.problems.push(format!("credit {} has a negative amount", e.credit_id));
            }
        }
    }
}

fn take_back(pieces: &mut BTreeMap<Sku, i128>, items: &[ReturnItem]) {
    for item in items {
        *pieces.entry(item.sku.clone()).or_default() -= i128::from(item.quantity);
    }
}

fn of_payments(books: &mut Books, event: &Recorded<PaymentEvent>) {
    use PaymentEvent as E;
    let mut of = |payment: &PaymentId, change: &mut dyn FnMut(&mut Payment)| {
        change(books.payments.entry(payment.clone()).or_default());
    };
    match &event.data {
        E::Opened(e) => of(&e.payment_id, &mut |payment| {
            (payment.order, payment.amount) = (Some(e.order_id.clone()), e.amount.amount.into());
            (payment.asked, payment.held) = (Some("authorisation"), true);
            payment.negative |= e.amount.amount < 0;
        }),
        E::Authorized(e) => of(&e.payment_id, &mut |payment| {
            (payment.order, payment.amount) = (Some(e.order_id.clone()), e.amount.amount.into());
            (payment.asked, payment.held) = (None, e.amount.amount > 0);
        }),
        E::CaptureOpened(e) => of(&e.payment_id, &mut |payment| payment.asked = Some("capture")),
        E::Captured(e) => of(&e.payment_id, &mut |payment| {
            payment.captured += i128::from(e.amount.amount);
            payment.captures += 1;
            (payment.asked, payment.held) = (None, false);
            payment.negative |= e.amount.amount < 0;
        }),
        E::Failed(e) => {
            let Some(id) = &e.payment_id else { return };
            of(id, &mut |payment| {
                // A capture that is refused leaves the money held.
                payment.held = payment.asked == Some("capture");
                payment.asked = None;
            });
        }
        E::VoidOpened(e) => of(&e.payment_id, &mut |payment| {
            (payment.asked, payment.held, payment.refused) = (Some("void"), true, None);
        }),
        E::VoidRefused(e) => of(&e.payment_id, &mut |payment| payment.refused = Some(e.reason.clone())),
        E::Voided(e) => of(&e.payment_id, &mut |payment| {
            payment.order.get_or_insert_with(|| e.order_id.clone());
            (payment.asked, payment.held, payment.refused) = (None, false, None);
        }),
        E::RefundWanted(_) => {}
        E::RefundOpened(e) => of(&e.payment_id, &mut |payment| {
            payment.order = payment.order.take().or_else(|| e.order_id.clone());
            payment.refunds.insert(e.refund_id.clone(), e.amount.amount.into());
            payment.open_refunds.insert(e.refund_id.clone(), None);
            payment.negative |= e.amount.amount < 0;
        }),
        E::RefundRefused(e) => of(&e.payment_id, &mut |payment| {
            payment.open_refunds.insert(e.refund_id.clone(), Some(e.reason.clone()));
        }),
        E::Refunded(e) => {
            let amount = i128::from(e.amount.amount);
            match (&e.order_id, &e.credit_id) {
                (None, Some(credit)) => books.credits.entry(credit.clone()).or_default().1 += amount,
                (None, None) => {
                    books.problems.push(format!("refund {} is for neither an order nor a credit", e.refund_id))
                }
                (Some(_), _) => {}
            }
            let id = match (&e.payment_id, &e.order_id) {
                (Some(id), _) => id.clone(),
                (None, Some(order)) => PaymentId::of(order),
                (None, None) => return,
            };
            let payment = books.payments.entry(id).or_default();
            payment.order = payment.order.take().or_else(|| e.order_id.clone());
            payment.refunded += amount;
            payment.negative |= amount < 0;
            if payment.open_refunds.remove(&e.refund_id).is_none() || payment.refunds.get(&e.refund_id) != Some(&amount)
            {
                books.problems.push(format!("refund {} was not decided so, or was paid before", e.refund_id));
            }
        }
    }
}
