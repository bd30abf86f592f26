//! What may happen to an order, and to a credit without one.
//!
//! ```text
//!  pending_validation ─► validated ─► reserved ─► confirmed ─► paid ─► ready_for_shipping ─► shipped ─► delivered ─► returned
//!     │  ▲ │                 │            │        (pivot: from here a cancel is refused)
//!     ▼  │ └► rejected       │            │
//!    held ──► cancelled ◄────┴────────────┘
//! ```

use std::collections::BTreeMap;

use factum::prelude::*;

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
    /// Units of goods, less what came back.
    units: BTreeMap<Sku, i64>,
    items: Vec<Quantity>,
    address: Option<Address>,
    reservations: Vec<Reservation>,
    total: Option<Money>,
    returned: i64,
    credits: Vec<CreditId>,
    /// Goods that nobody knew the price of when they were ordered.
    unpriced: Option<Sku>,
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
    WrongTotal { total: Money, sum: i64 },
    #[rejection("no_price", "{sku} had no price when it was ordered: order it again", invalid)]
    NoPrice { sku: Sku },
    #[rejection("mixed_currencies", "the total is in {currency}: give every line in {currency}", invalid)]
    MixedCurrencies { currency: String },
    #[rejection("too_late_to_cancel", "the order is {status} and can no longer be cancelled: use a return")]
    TooLateToCancel { status: &'static str },
    #[rejection("not_now", "the order is {status}; {wanted} is not possible now")]
    NotNow { status: &'static str, wanted: &'static str },
    #[rejection("not_delivered", "the order is {status}: a return is possible once it is delivered")]
    NotDelivered { status: &'static str },
    #[rejection("not_that_many", "{quantity} of {sku} cannot come back: the order has {left} left of it", invalid)]
    NotThatMany { sku: Sku, quantity: i64, left: i64 },
    #[rejection("too_much_money", "the amount is {amount} but only {left} of the order's total is left", invalid)]
    TooMuchMoney { amount: Money, left: i64 },
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
            C::Return(back) => self.take_back(back, status),
            command => self.go_on(command, status),
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
                for item in &self.items {
                    *self.units.entry(item.sku.clone()).or_default() += item.quantity;
                }
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
                self.status = Some(OrderStatus::Reserved);
            }
            E::Returned(e) => {
                for item in &e.items {
                    *self.units.entry(item.sku.clone()).or_default() -= item.quantity;
                }
                self.returned += e.amount.amount;
                self.credits.extend(e.credit_id.clone());
                self.status = Some(OrderStatus::Returned);
            }
            E::Validated(_) => self.status = Some(OrderStatus::Validated),
            E::Rejected(_) => self.status = Some(OrderStatus::Rejected),
            E::Confirmed(_) => self.status = Some(OrderStatus::Confirmed),
            E::Paid(_) => self.status = Some(OrderStatus::Paid),
            E::ReleasedForShipping(_) => self.status = Some(OrderStatus::ReadyForShipping),
            E::Shipped(_) => self.status = Some(OrderStatus::Shipped),
            E::Delivered(_) => self.status = Some(OrderStatus::Delivered),
            E::Cancelled(_) => self.status = Some(OrderStatus::Cancelled),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 96 * (self.units.len() + self.items.len() + self.reservations.len())
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
        let sum = create.items.iter().fold(0i64, |sum, line| sum.saturating_add(line.amount.amount));
        if sum != create.total.amount {
            return Err(OrderRejection::WrongTotal { total: create.total, sum });
        }
        Ok(vec![OrderEvent::Created(OrderCreated {
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
            return Err(OrderRejection::NotNow { status: word(status), wanted: "a change of items" });
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
            items: None,
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
        let mut wanted: BTreeMap<&Sku, i64> = BTreeMap::new();
        for item in &back.items {
            let sum = wanted.entry(&item.sku).or_default();
            *sum = sum.saturating_add(item.quantity.max(0));
            let left = self.units.get(&item.sku).copied().unwrap_or_default();
            if item.quantity < 1 || *sum > left {
                let (sku, quantity) = (item.sku.clone(), item.quantity);
                return Err(OrderRejection::NotThatMany { sku, quantity, left });
            }
        }
        let left = self.total.as_ref().map_or(0, |total| total.amount) - self.returned;
        if let Some(total) = self.total
            && total.currency != back.amount.currency
        {
            return Err(OrderRejection::MixedCurrencies { currency: total.currency.to_string() });
        }
        if back.amount.amount < 0 || back.amount.amount > left {
            return Err(OrderRejection::TooMuchMoney { amount: back.amount, left });
        }
        Ok(vec![OrderEvent::Returned(OrderReturned {
            order_id: back.order_id,
            credit_id: back.credit_id,
            items: back.items,
            amount: back.amount,
            reason: back.reason,
        })])
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
                    E::HoldReleased(OrderHoldReleased { order_id: c.order_id, by: "review".to_owned() })
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

/// A step that lies behind is a repetition; one that does not fit is refused.
fn repeated(command: &OrderCommand, status: OrderStatus) -> Result<Vec<OrderEvent>, OrderRejection> {
    use OrderCommand as C;
    use OrderStatus as S;
    let ended = matches!(status, S::Cancelled | S::Rejected);
    let (wanted, reached) = match command {
        C::MarkValidated(_) => ("validation", S::Validated),
        C::MarkReserved(_) => ("a reservation", S::Reserved),
        C::Confirm(_) => ("a confirmation", S::Confirmed),
        C::MarkPaid(_) => ("a payment", S::Paid),
        C::ReleaseForShipping(_) => ("a release for shipping", S::ReadyForShipping),
        C::MarkShipped(_) => ("a shipment", S::Shipped),
        C::MarkDelivered(_) => ("a delivery", S::Delivered),
        C::ReleaseHold(_) => return Err(OrderRejection::NotNow { status: word(status), wanted: "releasing a hold" }),
        C::Hold(_) => return Err(OrderRejection::NotNow { status: word(status), wanted: "a hold" }),
        C::Reject(_) if status == S::Rejected => return Ok(vec![]),
        _ => return Err(OrderRejection::NotNow { status: word(status), wanted: "a rejection" }),
    };
    if !ended && rank(status) >= rank(reached) {
        return Ok(vec![]);
    }
    Err(OrderRejection::NotNow { status: word(status), wanted })
}

fn rank(status: OrderStatus) -> u8 {
    use OrderStatus as S;
    match status {
        S::PendingValidation | S::Held | S::Rejected | S::Cancelled => 0,
        S::Validated => 1,
        S::Reserved => 2,
        S::Confirmed => 3,
        S::Paid => 4,
        S::ReadyForShipping => 5,
        S::Shipped => 6,
        S::Delivered => 7,
        S::Returned => 8,
    }
}

/// A status as people and programs read it.
pub fn word(status: OrderStatus) -> &'static str {
    use OrderStatus as S;
    match status {
        S::PendingValidation => "pending_validation",
        S::Validated => "validated",
        S::Rejected => "rejected",
        S::Held => "held",
        S::Cancelled => "cancelled",
        S::Reserved => "reserved",
        S::Confirmed => "confirmed",
        S::Paid => "paid",
        S::ReadyForShipping => "ready_for_shipping",
        S::Shipped => "shipped",
        S::Delivered => "delivered",
        S::Returned => "returned",
    }
}

/// The goods among an order's lines, one entry per line.
pub fn goods(lines: &[Line]) -> Vec<Quantity> {
    let goods = lines.iter().filter(|line| line.kind == LineKind::Goods);
    goods.map(|line| Quantity { sku: line.sku.clone(), quantity: line.quantity }).collect()
}

/// A credit whose order is unknown.
#[derive(Default)]
pub struct Credit {
    credited: bool,
}

/// Why a credit is not booked.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum CreditRejection {
    #[rejection("bad_id", "the creditId is no valid id: use 1 to 120 bytes of printable text", invalid)]
    BadId,
}

impl Decider for Credit {
    const CATEGORY: &'static str = "credit";
    type Id = CreditId;
    type Command = CreditCommand;
    type Event = CreditEvent;
    type Rejection = CreditRejection;

    fn address(command: &CreditCommand, _: &Envelope) -> CreditId {
        let CreditCommand::Credit(credit) = command;
        credit.credit_id.clone()
    }

    fn decide(&self, _: &CreditId, command: CreditCommand, _: &Context) -> Result<Vec<CreditEvent>, CreditRejection> {
        if self.credited {
            return Ok(vec![]);
        }
        let CreditCommand::Credit(credit) = command;
        // The payment that pays it out is named after it.
        if !credit.credit_id.valid() {
            return Err(CreditRejection::BadId);
        }
        Ok(vec![CreditEvent::Credited(OrderCredited {
            credit_id: credit.credit_id,
            order_id: credit.order_id,
            customer_id: credit.customer_id,
            items: credit.items,
            amount: credit.amount,
            not_due: credit.not_due,
            reason: credit.reason,
        })])
    }

    fn evolve(&mut self, _: &CreditEvent) {
        self.credited = true;
    }
}

#[cfg(test)]
mod tests;
