//! What can be asked about orders, and what the order service must know of others to price one.

use factum::{money::UnitPrice, prelude::*};

use super::decider::{goods, word};
use crate::contracts::{
    catalog::{ProductChanged, ProductEvent, ProductRegistered},
    customer::CustomerEvent,
    ids::{CustomerId, OrderId, PaymentId, Sku},
    order::*,
    shapes::{Contact, InvalidItem, Line, Quantity},
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
    pub returned_amount: Option<Money>,
    /// What came back so far: what is still to come back is worth what these left over.
    pub returned_items: Option<Vec<Quantity>>,
    status_before_hold: Option<OrderStatus>,
}

/// Every event of an order changes its row.
pub fn orders(rows: &mut Rows<OrderRow>, event: &Recorded<OrderEvent>) {
    use OrderEvent as E;
    use OrderStatus as S;
    match &event.data {
        E::Created(e) => rows.put(OrderRow {
            order_id: e.order_id.clone(),
            customer_id: e.customer_id.clone(),
            item_count: goods(&e.items).iter().map(|item| item.quantity).sum(),
            total_amount: e.total,
            status: S::PendingValidation,
            created_at: event.at(),
            estimated_delivery: None,
            delivered_at: None,
            payment_id: None,
            carrier: None,
            tracking_number: None,
            reason: None,
            invalid_items: None,
            contact: None,
            country: e.shipping_address.as_ref().map(|address| address.country.clone()),
            returned_amount: None,
            returned_items: None,
            status_before_hold: None,
        }),
        E::Validated(e) => to(rows, &e.order_id, S::Validated),
        E::Rejected(e) => {
            _ = rows.update(&e.order_id, |row| {
                row.status = S::Rejected;
                row.reason = Some(e.reason.clone());
                row.invalid_items = Some(e.invalid_items.clone());
            })
        }
        E::Updated(e) => {
            _ = rows.update(&e.order_id, |row| {
                if let Some(contact) = &e.contact {
                    row.contact = Some(contact.clone());
                }
                if let Some(address) = &e.shipping_address {
                    row.country = Some(address.country.clone());
                }
            })
        }
        E::StockReserved(e) => to(rows, &e.order_id, S::Reserved),
        E::Confirmed(e) => to(rows, &e.order_id, S::Confirmed),
        E::Paid(e) => {
            _ = rows.update(&e.order_id, |row| {
                row.status = S::Paid;
                row.payment_id = Some(e.payment_id.clone());
            })
        }
        E::Held(e) => {
            _ = rows.update(&e.order_id, |row| {
                row.status_before_hold = Some(row.status);
                row.status = S::Held;
                row.reason = Some(e.reason.clone());
            })
        }
        E::HoldReleased(e) => {
            _ = rows.update(&e.order_id, |row| {
                row.status = row.status_before_hold.take().unwrap_or_default();
                row.reason = None;
            })
        }
        E::ReleasedForShipping(e) => to(rows, &e.order_id, S::ReadyForShipping),
        E::Shipped(e) => {
            _ = rows.update(&e.order_id, |row| {
                row.status = S::Shipped;
                row.carrier = Some(e.carrier.clone());
                row.tracking_number = Some(e.tracking_number.clone());
                row.estimated_delivery = e.estimated_delivery;
            })
        }
        E::Delivered(e) => {
            _ = rows.update(&e.order_id, |row| {
                row.status = S::Delivered;
                row.delivered_at = Some(e.delivered_at);
            })
        }
        E::Cancelled(e) => {
            _ = rows.update(&e.order_id, |row| {
                row.status = S::Cancelled;
                row.reason = Some(e.reason.clone());
            })
        }
        E::Returned(e) => {
            _ = rows.update(&e.order_id, |row| {
                row.status = S::Returned;
                row.reason = Some(e.reason.clone());
                let before = row.returned_amount.as_ref().map_or(0, |amount| amount.amount);
                row.returned_amount = Some(Money { amount: before + e.amount.amount, ..e.amount });
                row.returned_items.get_or_insert_default().extend(e.items.iter().cloned());
            })
        }
    }
}

fn to(rows: &mut Rows<OrderRow>, order: &OrderId, status: OrderStatus) {
    rows.update(order, |row| row.status = status);
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

/// The status as a word, for people.
pub fn status(row: &OrderRow) -> &'static str {
    word(row.status)
}
