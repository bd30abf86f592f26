//! What can be asked about orders, and what the order service must know of others to price one.

use std::collections::BTreeMap;

use factum::{
    cache::{Cache, Values},
    money::UnitPrice,
    prelude::*,
};

use super::decider::{goods, word};
use crate::contracts::{
    catalog::{ProductChanged, ProductEvent, ProductRegistered},
    customer::CustomerEvent,
    ids::{CustomerId, OrderId, PaymentId, RefundId, Sku},
    order::*,
    payment::{
        CaptureOpened, PaymentAct, PaymentAuthorized, PaymentCaptured, PaymentFailed, PaymentRefunded, PaymentVoided,
        RefundOpened, RefundRefused, VoidOpened, VoidRefused,
    },
    shapes::{Contact, InvalidItem, Line, ReturnItem},
};

/// An order, as its customer sees it.
#[derive(Clone, Debug, Row)]
#[row("orders")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct OrderRow {
    #[key]
    pub order_id: OrderId,
    #[index]
    pub customer_id: Option<CustomerId>,
    pub item_count: i64,
    pub total_amount: Money,
    #[index]
    pub status: OrderStatus,
    #[index]
    pub created_at: Timestamp,
    pub estimated_delivery: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub payment_id: Option<PaymentId>,
    pub carrier: Option<String>,
    pub tracking_number: Option<String>,
    pub reason: Option<String>,
    pub invalid_items: Option<Vec<InvalidItem>>,
    pub contact: Option<Contact>,
    pub country: Option<String>,
    pub channel: SalesChannel,
    pub returned_amount: Option<Money>,
    /// What came back so far: what is still to come back is worth what these left over.
    pub returned_items: Option<Vec<ReturnItem>>,
    status_before_hold: Option<OrderStatus>,
}

/// Every event of an order changes its row.
pub fn orders(rows: &mut Rows<OrderRow>, event: &Recorded<OrderEvent>) {
    match &event.data {
        OrderEvent::Created(created) => rows.put(OrderRow::of(created, event.at())),
        later => _ = rows.update(order_of(later), |row| row.take(later)),
    }
}

impl OrderRow {
    /// A new order.
    pub fn of(created: &OrderCreated, at: Timestamp) -> Self {
        Self {
            order_id: created.order_id.clone(),
            customer_id: created.customer_id.clone(),
            item_count: goods(&created.items).iter().map(|item| item.quantity).sum(),
            total_amount: created.total,
            status: OrderStatus::PendingValidation,
            created_at: at,
            channel: created.channel,
            estimated_delivery: None,
            delivered_at: None,
            payment_id: None,
            carrier: None,
            tracking_number: None,
            reason: None,
            invalid_items: None,
            contact: None,
            country: created.shipping_address.as_ref().map(|address| address.country.clone()),
            returned_amount: None,
            returned_items: None,
            status_before_hold: None,
        }
    }

    /// Takes a later event in.
    pub fn take(&mut self, event: &OrderEvent) {
        use OrderEvent as E;
        use OrderStatus as S;
        match event {
            E::Created(_) => {}
            E::Validated(_) => self.status = S::Validated,
            E::Rejected(e) => {
                self.status = S::Rejected;
                self.reason = Some(e.reason.clone());
                self.invalid_items = Some(e.invalid_items.clone());
            }
            E::Updated(e) => {
                if let Some(contact) = &e.contact {
                    self.contact = Some(contact.clone());
                }
                if let Some(address) = &e.shipping_address {
                    self.country = Some(address.country.clone());
                }
            }
            E::StockReserved(_) => self.status = S::Reserved,
            E::Confirmed(_) => self.status = S::Confirmed,
            E::Paid(e) => {
                self.status = S::Paid;
                self.payment_id = Some(e.payment_id.clone());
            }
            E::Held(e) => {
                self.status_before_hold = Some(self.status);
                self.status = S::Held;
                self.reason = Some(e.reason.clone());
            }
            E::HoldReleased(_) => {
                self.status = self.status_before_hold.take().unwrap_or_default();
                self.reason = None;
            }
            E::ReleasedForShipping(_) => self.status = S::ReadyForShipping,
            E::Shipped(e) => {
                self.status = S::Shipped;
                self.carrier = Some(e.carrier.clone());
                self.tracking_number = Some(e.tracking_number.clone());
                self.estimated_delivery = e.estimated_delivery;
            }
            E::Delivered(e) => {
                self.status = S::Delivered;
                self.delivered_at = Some(e.delivered_at);
            }
            E::Cancelled(e) => {
                self.status = S::Cancelled;
                self.reason = Some(e.reason.clone());
            }
            E::Returned(e) => {
                self.status = S::Returned;
                self.reason = Some(e.reason.clone());
                let before = self.returned_amount.map_or(0, |amount| amount.amount);
                self.returned_amount = Some(Money { amount: before + e.amount.amount, ..e.amount });
                self.returned_items.get_or_insert_default().extend(e.items.iter().cloned());
            }
        }
    }
}

/// What of an order's money is decided and not done yet, from the payment service's events.
#[derive(Clone, Debug, Row)]
#[row("order_payments")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct OrderPaymentRow {
    #[key]
    pub order_id: OrderId,
    /// The provider is asked for it, or has refused it.
    pub open: Option<PaymentAct>,
    pub refused: Option<String>,
    /// The provider's, if it did not hold or take the money.
    pub reason: Option<String>,
    open_refunds: BTreeMap<RefundId, Option<String>>,
}

impl OrderPaymentRow {
    /// A refund is open, or refused, or done.
    fn refund(&mut self, id: &RefundId, open: Option<Option<String>>) {
        match open {
            Some(refused) => _ = self.open_refunds.insert(id.clone(), refused),
            None => _ = self.open_refunds.remove(id),
        }
        self.open = (!self.open_refunds.is_empty()).then_some(PaymentAct::Refund);
        self.refused = self.open_refunds.values().flatten().next().cloned();
    }
}

/// What an order's money is about. That the provider is asked to hold it is the payment service's own: the order is reserved
/// meanwhile.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum MoneyEvent {
    Authorized(PaymentAuthorized),
    CaptureOpened(CaptureOpened),
    Captured(PaymentCaptured),
    Failed(PaymentFailed),
    VoidOpened(VoidOpened),
    VoidRefused(VoidRefused),
    Voided(PaymentVoided),
    RefundOpened(RefundOpened),
    RefundRefused(RefundRefused),
    Refunded(PaymentRefunded),
}

/// Follows the payments of orders.
pub fn order_payments(rows: &mut Rows<OrderPaymentRow>, event: &Recorded<MoneyEvent>) {
    use MoneyEvent as E;
    let mut to = |order: &OrderId, change: &dyn Fn(&mut OrderPaymentRow)| {
        let order_id = order.clone();
        let mut fresh =
            OrderPaymentRow { order_id, open: None, refused: None, reason: None, open_refunds: BTreeMap::new() };
        change(&mut fresh);
        rows.upsert(order, || fresh, change);
    };
    let is = |act: Option<PaymentAct>| move |row: &mut OrderPaymentRow| (row.open, row.refused) = (act, None);
    match &event.data {
        E::CaptureOpened(e) => to(&e.order_id, &is(Some(PaymentAct::Capture))),
        E::VoidOpened(e) => to(&e.order_id, &is(Some(PaymentAct::Void))),
        E::Authorized(e) => to(&e.order_id, &is(None)),
        E::Captured(e) => to(&e.order_id, &is(None)),
        E::Failed(e) => to(&e.order_id, &|row| {
            (row.open, row.refused, row.reason) = (None, None, Some(e.reason.clone()));
        }),
        E::Voided(e) => to(&e.order_id, &is(None)),
        E::VoidRefused(e) => to(&e.order_id, &|row| row.refused = Some(e.reason.clone())),
        E::RefundOpened(RefundOpened { order_id: Some(order), refund_id, .. }) => {
            to(order, &|row| row.refund(refund_id, Some(None)));
        }
        E::RefundRefused(RefundRefused { order_id: Some(order), refund_id, reason, .. }) => {
            to(order, &|row| row.refund(refund_id, Some(Some(reason.clone()))));
        }
        E::Refunded(PaymentRefunded { order_id: Some(order), refund_id, .. }) => {
            to(order, &|row| row.refund(refund_id, None));
        }
        // Of a credit without an order.
        E::RefundOpened(_) | E::RefundRefused(_) | E::Refunded(_) => {}
    }
}

/// The order that an event is about.
pub fn order_of(event: &OrderEvent) -> &OrderId {
    use OrderEvent as E;
    match event {
        E::Created(e) => &e.order_id,
        E::Validated(e) => &e.order_id,
        E::Rejected(e) => &e.order_id,
        E::Updated(e) => &e.order_id,
        E::StockReserved(e) => &e.order_id,
        E::Confirmed(e) => &e.order_id,
        E::Paid(e) => &e.order_id,
        E::Held(e) => &e.order_id,
        E::HoldReleased(e) => &e.order_id,
        E::ReleasedForShipping(e) => &e.order_id,
        E::Shipped(e) => &e.order_id,
        E::Delivered(e) => &e.order_id,
        E::Cancelled(e) => &e.order_id,
        E::Returned(e) => &e.order_id,
    }
}

/// The lines of an order; they never change, so they stand apart from what does.
#[derive(Clone, Debug, Row)]
#[row("order_lines")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct OrderLinesRow {
    #[key]
    pub order_id: OrderId,
    pub items: Vec<Line>,
}

/// Keeps an order's lines.
pub fn order_lines(rows: &mut Rows<OrderLinesRow>, event: &Recorded<OrderCreated>) {
    rows.put(OrderLinesRow { order_id: event.order_id.clone(), items: event.items.clone() });
}

/// What an article costs now, from the catalogue's events: orders are priced by it.
#[derive(Clone, Debug, Row)]
#[row("prices")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct PriceRow {
    #[key]
    pub sku: Sku,
    pub name: String,
    pub price: UnitPrice,
    pub active: bool,
}

/// Follows the catalogue.
pub fn prices(rows: &mut Rows<PriceRow>, event: &Recorded<ProductEvent>) {
    match &event.data {
        ProductEvent::Registered(ProductRegistered { sku, name, price, active }) => {
            rows.put(PriceRow { sku: sku.clone(), name: name.clone(), price: price.clone(), active: *active });
        }
        ProductEvent::Changed(ProductChanged { sku, name, price, active, .. }) => {
            rows.update(sku, |row| {
                row.name = name.clone().unwrap_or_else(|| row.name.clone());
                row.price = price.clone().unwrap_or_else(|| row.price.clone());
                row.active = active.unwrap_or(row.active);
            });
        }
    }
}

/// Who a customer is, from the customer service's events: an order shows the name.
#[derive(Clone, Debug, Row)]
#[row("order_customers")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct OrderCustomerRow {
    #[key]
    pub customer_id: CustomerId,
    pub name: Option<String>,
}

/// Follows the customers.
pub fn order_customers(rows: &mut Rows<OrderCustomerRow>, event: &Recorded<CustomerEvent>) {
    let (customer_id, name) = match &event.data {
        CustomerEvent::Registered(e) => (&e.customer_id, &e.name),
        CustomerEvent::Updated(e) => (&e.customer_id, &e.name),
    };
    let new = || OrderCustomerRow { customer_id: customer_id.clone(), name: None };
    rows.upsert(customer_id, new, |row| {
        if name.is_some() {
            row.name.clone_from(name);
        }
    });
}

/// What customers are called, for the pages of orders: a day old at most, and of the 100,000 that are asked for most.
pub fn customer_names() -> Cache<CustomerId, String> {
    Cache::new("customer-names", 24.hours(), 100_000)
}

/// Keeps the names.
pub fn called(names: &mut Values<CustomerId, String>, event: &Recorded<CustomerEvent>) {
    let (customer_id, name) = match &event.data {
        CustomerEvent::Registered(e) => (&e.customer_id, &e.name),
        CustomerEvent::Updated(e) => (&e.customer_id, &e.name),
    };
    if let Some(name) = name {
        names.put(customer_id, name.clone());
    }
}

/// The status as a word, for people.
pub fn status(row: &OrderRow) -> &'static str {
    word(row.status)
}
