//! What may happen to an order, and to a credit without one.
//!
//! ```text
//!  pending_validation ─► validated ─► reserved ─► confirmed ─► paid ─► ready_for_shipping ─► shipped ─► delivered ─► returned
//!     │  ▲ │                 │            │        (pivot: from here a cancel is refused)
//!     ▼  │ └► rejected       │            │             │ (only if the provider refuses the money)
//!    held ──► cancelled ◄────┴────────────┴─────────────┘
//! ```
//!
//! What was ready for shipping or shipped and is lost on its way is returned, too.

use std::collections::BTreeMap;

use factum::prelude::*;

use super::pieces::Pieces;
use crate::contracts::{
    ids::{CreditId, OrderId, Sku},
    order::*,
    shapes::{Address, Line, LineKind, Quantity, Reservation, Verdict},
};

/// Lines that one order may have.
pub const MAX_LINES: usize = 1_114;

/// Pieces that one line may have: sums over all lines still fit their numbers.
pub const MAX_QUANTITY: i64 = 1_000_000_000;

/// An order.
#[derive(Default)]
pub struct Order {
    status: Option<OrderStatus>,
    before_hold: OrderStatus,
    /// What did not come back yet, and what it is worth.
    pieces: Pieces,
    items: Vec<Quantity>,
    address: Option<Address>,
    reservations: Vec<Reservation>,
    total: Option<Money>,
    returned: i64,
    credits: Vec<CreditId>,
    /// Goods that nobody knew the price of when they were ordered.
    unpriced: Option<Sku>,
    reserved: bool,
    /// The rooms answer each other, and no saga runs it.
    choreographed: bool,
}

/// Why the order service says no.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum OrderRejection {
    #[rejection("unknown_order", "there is no order {order_id}", missing)]
    Unknown { order_id: OrderId },
    #[rejection("order_exists", "order {order_id} exists already: use another id")]
    Exists { order_id: OrderId },
    #[rejection("no_items", "an order needs at least one item", invalid)]
    NoItems,
    #[rejection("too_many_lines", "the order has {lines} lines; 1114 are allowed: split it", invalid)]
    TooManyLines { lines: usize },
    #[rejection("bad_quantity", "line {line} orders {quantity} of {sku}: order 1 to 1000000000", invalid)]
    BadQuantity { line: u32, sku: Sku, quantity: i64 },
    #[rejection("bad_id", "the {what} is no valid id: use 1 to 120 bytes of printable text", invalid)]
    BadId { what: &'static str },
    #[rejection("wrong_total", "the total is {total} but the lines come to {sum}: send the sum of the lines", invalid)]
    WrongTotal { total: Money, sum: i128 },
    #[rejection("no_price", "{sku} had no price when it was ordered: order it again", invalid)]
    NoPrice { sku: Sku },
    #[rejection("mixed_currencies", "the total is in {currency}: give every line in {currency}", invalid)]
    MixedCurrencies { currency: String },
    #[rejection("too_late_to_cancel", "the order is {status} and can no longer be cancelled: use a return")]
    TooLateToCancel { status: &'static str },
    #[rejection("not_now", "the order is {status}; {wanted} is not possible now")]
    NotNow { status: &'static str, wanted: &'static str },
    #[rejection("lines_stay", "the lines of an order do not change: cancel it and place another", invalid)]
    LinesStay,
    #[rejection("not_delivered", "the order is {status}: a return is possible once it is delivered")]
    NotDelivered { status: &'static str },
    #[rejection("not_that_many", "{quantity} of {sku} cannot come back: the order has {left} left of it", invalid)]
    NotThatMany { sku: Sku, quantity: i64, left: i64 },
    #[rejection(
        "not_in_that_line",
        "{quantity} of {sku} cannot come back of line {line}: it has {left} left of it",
        invalid
    )]
    NotInThatLine { sku: Sku, quantity: i64, left: i64, line: u32 },
    #[rejection("bad_amount", "the amount is {amount}: an amount to be given back is 0 or more", invalid)]
    BadAmount { amount: Money },
    #[rejection("negative_total", "the total is {total}: an order cannot cost less than nothing", invalid)]
    NegativeTotal { total: Money },
}

impl Decider for Order {
    const CATEGORY: &'static str = "order";
    type Id = OrderId;
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Rejection = OrderRejection;

    fn address(command: &OrderCommand, _: &Envelope) -> OrderId {
        use OrderCommand as C;
        match command {
            C::Create(c) => &c.order_id,
            C::Update(c) => &c.order_id,
            C::Cancel(c) => &c.order_id,
            C::Fail(c) => &c.order_id,
            C::Lose(c) => &c.order_id,
            C::Return(c) => &c.order_id,
            C::ReleaseHold(c) => &c.order_id,
            C::MarkValidated(c) => &c.order_id,
            C::Reject(c) => &c.order_id,
            C::Hold(c) => &c.order_id,
            C::MarkReserved(c) => &c.order_id,
            C::Confirm(c) => &c.order_id,
            C::MarkPaid(c) => &c.order_id,
            C::ReleaseForShipping(c) => &c.order_id,
            C::MarkShipped(c) => &c.order_id,
            C::MarkDelivered(c) => &c.order_id,
        }
        .clone()
    }

    fn decide(&self, id: &OrderId, command: OrderCommand, _: &Context) -> Result<Vec<OrderEvent>, OrderRejection> {
        use OrderCommand as C;
        let Some(status) = self.status else {
            return match command {
                C::Create(create) => Self::create(create),
                _ => Err(OrderRejection::Unknown { order_id: id.clone() }),
            };
        };
        match command {
            C::Create(_) => Err(OrderRejection::Exists { order_id: id.clone() }),
            C::Update(update) => self.update(update, status),
            C::Cancel(cancel) => Self::cancel(cancel, status),
            C::Fail(fail) => self.fail(fail, status),
            C::Lose(lose) => self.lose(lose, status),
            C::Return(back) => self.take_back(back, status),
            command => match self.together(&command, status) {
                Some(events) => Ok(events),
                None => self.go_on(command, status),
            },
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        use OrderEvent as E;
        match event {
            E::Created(e) => {
                self.items = goods(&e.items);
                let unpriced =
                    |line: &&Line| line.kind == LineKind::Goods && line.unit_price.is_none() && line.amount.amount == 0;
                self.unpriced = e.items.iter().find(unpriced).map(|line| line.sku.clone());
                self.pieces = Pieces::of(&e.items);
                self.address.clone_from(&e.shipping_address);
                self.total = Some(e.total);
                self.status = Some(OrderStatus::PendingValidation);
            }
            E::Updated(e) => {
                if let Some(address) = &e.shipping_address {
                    self.address = Some(address.clone());
                }
            }
            E::Held(_) => {
                self.before_hold = self.status.unwrap_or_default();
                self.status = Some(OrderStatus::Held);
            }
            E::HoldReleased(_) => self.status = Some(self.before_hold),
            E::StockReserved(e) => {
                self.reservations.clone_from(&e.items);
                (self.reserved, self.status) = (true, Some(OrderStatus::Reserved));
            }
            E::Returned(e) => {
                self.pieces.take_back(&e.items);
                self.returned = self.returned.saturating_add(e.amount.amount);
                self.credits.extend(e.credit_id.clone());
                self.status = Some(OrderStatus::Returned);
            }
            E::Validated(_) => self.status = Some(OrderStatus::Validated),
            E::Rejected(_) => self.status = Some(OrderStatus::Rejected),
            E::Confirmed(_) => self.status = Some(OrderStatus::Confirmed),
            E::Paid(_) => {
                self.choreographed = self.status != Some(OrderStatus::Confirmed);
                self.status = Some(OrderStatus::Paid);
            }
            E::ReleasedForShipping(_) => self.status = Some(OrderStatus::ReadyForShipping),
            E::Shipped(_) => self.status = Some(OrderStatus::Shipped),
            E::Delivered(_) => self.status = Some(OrderStatus::Delivered),
            E::Cancelled(_) => self.status = Some(OrderStatus::Cancelled),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.pieces.bytes() + 96 * (self.items.len() + self.reservations.len())
    }
}

impl Order {
    /// Places an order, if it can be: also asked beforehand, of a file's invoices.
    pub(crate) fn create(create: CreateOrder) -> Result<Vec<OrderEvent>, OrderRejection> {
        if !create.order_id.valid() {
            return Err(OrderRejection::BadId { what: "orderId" });
        }
        if create.customer_id.as_ref().is_some_and(|customer| !customer.valid()) {
            return Err(OrderRejection::BadId { what: "customerId" });
        }
        if create.items.is_empty() {
            return Err(OrderRejection::NoItems);
        }
        if create.items.len() > MAX_LINES {
            return Err(OrderRejection::TooManyLines { lines: create.items.len() });
        }
        for line in create.items.iter().filter(|line| line.kind == LineKind::Goods) {
            if !line.sku.valid() {
                return Err(OrderRejection::BadId { what: "sku" });
            }
            if !(1..=MAX_QUANTITY).contains(&line.quantity) {
                let (line, sku, quantity) = (line.line, line.sku.clone(), line.quantity);
                return Err(OrderRejection::BadQuantity { line, sku, quantity });
            }
        }
        if create.items.iter().any(|line| line.amount.currency != create.total.currency) {
            return Err(OrderRejection::MixedCurrencies { currency: create.total.currency.to_string() });
        }
        let sum: i128 = create.items.iter().map(|line| i128::from(line.amount.amount)).sum();
        if sum != i128::from(create.total.amount) {
            return Err(OrderRejection::WrongTotal { total: create.total, sum });
        }
        if sum < 0 {
            return Err(OrderRejection::NegativeTotal { total: create.total });
        }
        Ok(vec![OrderEvent::Created(OrderCreated {
            channel: create.channel,
            order_id: create.order_id,
            customer_id: create.customer_id,
            cart_id: create.cart_id,
            items: create.items,
            subtotal: create.subtotal,
            discount: create.discount,
            tax: create.tax,
            shipping_charge: create.shipping_charge,
            total: create.total,
            shipping_address: create.shipping_address,
            payment_method: create.payment_method,
            status: OrderStatus::PendingValidation,
        })])
    }

    fn update(&self, update: UpdateOrder, status: OrderStatus) -> Result<Vec<OrderEvent>, OrderRejection> {
        use OrderStatus as S;
        if matches!(status, S::Shipped | S::Delivered | S::Returned | S::Cancelled | S::Rejected) {
            return Err(OrderRejection::NotNow { status: word(status), wanted: "a change" });
        }
        if update.items.is_some() {
            return Err(OrderRejection::LinesStay);
        }
        let mut fields = Vec::new();
        if update.contact.is_some() {
            fields.push("contact".to_owned());
        }
        if update.shipping_address.is_some() && update.shipping_address != self.address {
            fields.push("shippingAddress".to_owned());
        }
        if fields.is_empty() {
            return Ok(vec![]);
        }
        Ok(vec![OrderEvent::Updated(OrderUpdated {
            order_id: update.order_id,
            fields,
            contact: update.contact,
            shipping_address: update.shipping_address,
        })])
    }

    fn cancel(cancel: CancelOrder, status: OrderStatus) -> Result<Vec<OrderEvent>, OrderRejection> {
        use OrderStatus as S;
        match status {
            S::PendingValidation | S::Validated | S::Held | S::Reserved => {
                Ok(vec![OrderEvent::Cancelled(OrderCancelled { order_id: cancel.order_id, reason: cancel.reason })])
            }
            S::Cancelled | S::Rejected => Ok(vec![]),
            _ => Err(OrderRejection::TooLateToCancel { status: word(status) }),
        }
    }

    /// Only a refused capture comes behind the confirmation; what fails before it is cancelled.
    fn fail(&self, fail: FailOrder, status: OrderStatus) -> Result<Vec<OrderEvent>, OrderRejection> {
        let FailOrder { order_id, reason } = fail;
        match status {
            OrderStatus::Paid | OrderStatus::ReadyForShipping if self.choreographed => {
                Ok(vec![OrderEvent::Cancelled(OrderCancelled { order_id, reason })])
            }
            OrderStatus::Confirmed => Ok(vec![OrderEvent::Cancelled(OrderCancelled { order_id, reason })]),
            _ => Self::cancel(CancelOrder { order_id, reason }, status),
        }
    }

    fn lose(&self, lose: LoseOrder, status: OrderStatus) -> Result<Vec<OrderEvent>, OrderRejection> {
        use OrderStatus as S;
        match status {
            S::ReadyForShipping | S::Shipped => Ok(vec![OrderEvent::Returned(OrderReturned {
                order_id: lose.order_id,
                credit_id: None,
                items: self.pieces.all_left(),
                amount: Money { amount: self.left(), ..self.total.unwrap_or_else(|| crate::money::pence(0)) },
                not_due: None,
                reason: LOST.to_owned(),
            })]),
            S::Returned => Ok(vec![]),
            _ => Err(OrderRejection::NotNow { status: word(status), wanted: "a loss" }),
        }
    }

    /// What was paid and not given back.
    fn left(&self) -> i64 {
        self.total.map_or(0, |total| total.amount).saturating_sub(self.returned)
    }

    fn take_back(&self, back: ReturnOrder, status: OrderStatus) -> Result<Vec<OrderEvent>, OrderRejection> {
        if back.credit_id.as_ref().is_some_and(|credit| self.credits.contains(credit)) {
            return Ok(vec![]);
        }
        if !matches!(status, OrderStatus::Delivered | OrderStatus::Returned) {
            return Err(OrderRejection::NotDelivered { status: word(status) });
        }
        if back.items.is_empty() {
            return Err(OrderRejection::NoItems);
        }
        let mut wanted: BTreeMap<(&Sku, Option<u32>), i64> = BTreeMap::new();
        for item in &back.items {
            let whole = (&item.sku, None);
            // A line's pieces are pieces of the order too.
            for of in [Some(whole), item.line.map(|line| (&item.sku, Some(line)))].into_iter().flatten() {
                let sum = wanted.entry(of).or_default();
                *sum = sum.saturating_add(item.quantity.max(0));
                let left = self.pieces.left(of.0, of.1);
                if item.quantity < 1 || *sum > left {
                    let (sku, quantity) = (item.sku.clone(), item.quantity);
                    return Err(match of.1 {
                        Some(line) => OrderRejection::NotInThatLine { sku, quantity, left, line },
                        None => OrderRejection::NotThatMany { sku, quantity, left },
                    });
                }
            }
        }
        let total = self.total.unwrap_or_else(|| crate::money::pence(0));
        let wanted = match back.amount {
            Some(amount) if amount.currency != total.currency => {
                return Err(OrderRejection::MixedCurrencies { currency: total.currency.to_string() });
            }
            Some(amount) if amount.amount < 0 => return Err(OrderRejection::BadAmount { amount }),
            Some(amount) => amount.amount,
            None => self.pieces.clone().take_back(&back.items),
        };
        let given = wanted.min(self.left());
        let not_due = wanted - given;
        Ok(vec![OrderEvent::Returned(OrderReturned {
            order_id: back.order_id,
            credit_id: back.credit_id,
            items: back.items,
            amount: Money { amount: given, ..total },
            not_due: (not_due > 0).then_some(Money { amount: not_due, ..total }),
            reason: back.reason,
        })])
    }

    /// Where the rooms answer each other, paid and reserved come in either order from validated on; with both it is confirmed
    /// and released. Where a process of a definition runs it, it may be paid without any of them.
    fn together(&self, command: &OrderCommand, status: OrderStatus) -> Option<Vec<OrderEvent>> {
        use OrderStatus as S;
        let (order_id, mut events, both) = match (command, status) {
            // A process that does not validate marks it paid at once, unless it would be given away.
            (OrderCommand::MarkPaid(_), S::PendingValidation) if self.unpriced.is_some() => return None,
            (OrderCommand::MarkPaid(c), S::PendingValidation | S::Validated | S::Reserved) => {
                let paid = OrderPaid {
                    order_id: c.order_id.clone(),
                    payment_id: c.payment_id.clone(),
                    amount: c.amount,
                    payment_method: c.payment_method.clone(),
                };
                (c.order_id.clone(), vec![OrderEvent::Paid(paid)], status == S::Reserved)
            }
            (OrderCommand::MarkReserved(c), S::Paid) if !self.reserved => {
                let reserved = OrderStockReserved { order_id: c.order_id.clone(), items: c.items.clone() };
                (c.order_id.clone(), vec![OrderEvent::StockReserved(reserved)], true)
            }
            _ => return None,
        };
        if both {
            let reservations = match command {
                OrderCommand::MarkReserved(c) => c.items.clone(),
                _ => self.reservations.clone(),
            };
            events.push(OrderEvent::Confirmed(OrderConfirmed { order_id: order_id.clone() }));
            events.push(OrderEvent::ReleasedForShipping(OrderReleasedForShipping {
                order_id,
                items: self.items.clone(),
                shipping_address: self.address.clone(),
                reservations,
            }));
        }
        Some(events)
    }

    /// The steps of the order's own process. A step that was taken before changes nothing.
    fn go_on(&self, command: OrderCommand, status: OrderStatus) -> Result<Vec<OrderEvent>, OrderRejection> {
        use OrderCommand as C;
        use OrderEvent as E;
        use OrderStatus as S;
        let event = match (command, status) {
            // What the prices did not know yet may be known to the catalogue by now; it is not given away.
            (C::MarkValidated(_), S::PendingValidation) if self.unpriced.is_some() => {
                let sku = self.unpriced.clone().unwrap_or_else(|| Sku::from(""));
                return Err(OrderRejection::NoPrice { sku });
            }
            (C::MarkValidated(c), S::PendingValidation) => E::Validated(OrderValidated { order_id: c.order_id }),
            (C::Reject(c), S::PendingValidation | S::Held) => {
                E::Rejected(OrderRejected { order_id: c.order_id, reason: c.reason, invalid_items: c.invalid_items })
            }
            (C::Hold(c), S::PendingValidation | S::Validated | S::Reserved) => {
                E::Held(OrderHeld { order_id: c.order_id, reason: c.reason })
            }
            (C::ReleaseHold(c), S::Held) => match c.verdict {
                Verdict::Cleared => {
                    let by = c.by.unwrap_or_else(|| "review".to_owned());
                    E::HoldReleased(OrderHoldReleased { order_id: c.order_id, by })
                }
                Verdict::Flagged => E::Cancelled(OrderCancelled { order_id: c.order_id, reason: "fraud".to_owned() }),
            },
            (C::MarkReserved(c), S::Validated) => {
                E::StockReserved(OrderStockReserved { order_id: c.order_id, items: c.items })
            }
            (C::Confirm(c), S::Reserved) => E::Confirmed(OrderConfirmed { order_id: c.order_id }),
            (C::MarkPaid(c), S::Confirmed) => E::Paid(OrderPaid {
                order_id: c.order_id,
                payment_id: c.payment_id,
                amount: c.amount,
                payment_method: c.payment_method,
            }),
            (C::ReleaseForShipping(c), S::Paid) => E::ReleasedForShipping(OrderReleasedForShipping {
                order_id: c.order_id,
                items: self.items.clone(),
                shipping_address: self.address.clone(),
                reservations: self.reservations.clone(),
            }),
            (C::MarkShipped(c), S::ReadyForShipping) => E::Shipped(OrderShipped {
                order_id: c.order_id,
                shipment_id: c.shipment_id,
                tracking_number: c.tracking_number,
                carrier: c.carrier,
                estimated_delivery: c.estimated_delivery,
            }),
            (C::MarkDelivered(c), S::Shipped) => {
                E::Delivered(OrderDelivered { order_id: c.order_id, delivered_at: c.delivered_at })
            }
            (command, status) => return repeated(&command, status),
        };
        Ok(vec![event])
    }
}

/// The goods among an order's lines, one entry per line.
pub fn goods(lines: &[Line]) -> Vec<Quantity> {
    let goods = lines.iter().filter(|line| line.kind == LineKind::Goods);
    goods.map(|line| Quantity { sku: line.sku.clone(), quantity: line.quantity }).collect()
}

mod credit;
mod steps;

pub use credit::{Credit, CreditRejection};
use steps::repeated;
pub use steps::word;

#[cfg(test)]
mod tests;
