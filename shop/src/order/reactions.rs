//! What the order service does when others say something: open orders get their customer's new contact, and a cart that is
//! checked out becomes an order.

use std::collections::{BTreeMap, BTreeSet};

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    cart::CartCheckedOut,
    customer::CustomerUpdated,
    ids::{CustomerId, OrderId},
    order::*,
    shapes::Contact,
};

/// Which orders of a customer are under way.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct OpenOrders {
    by_customer: BTreeMap<CustomerId, BTreeSet<OrderId>>,
    customers: BTreeMap<OrderId, CustomerId>,
}

/// Keeps the open orders, and passes changed contacts on to them.
pub fn contacts() -> Folding<OpenOrders> {
    Folding::new("contacts", 1).fold(opened).fold(closed).react(changed).snapshots()
}

fn opened(open: &mut OpenOrders, event: &Recorded<OrderCreated>) {
    if let Some(customer) = &event.customer_id {
        open.by_customer.entry(customer.clone()).or_default().insert(event.order_id.clone());
        open.customers.insert(event.order_id.clone(), customer.clone());
    }
}

/// What ends an order's way to the customer.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum Closed {
    Shipped(OrderShipped),
    Cancelled(OrderCancelled),
    Rejected(OrderRejected),
}

fn closed(open: &mut OpenOrders, event: &Recorded<Closed>) {
    let order = match &event.data {
        Closed::Shipped(e) => &e.order_id,
        Closed::Cancelled(e) => &e.order_id,
        Closed::Rejected(e) => &e.order_id,
    };
    if let Some(customer) = open.customers.remove(order)
        && let Some(orders) = open.by_customer.get_mut(&customer)
    {
        orders.remove(order);
        if orders.is_empty() {
            open.by_customer.remove(&customer);
        }
    }
}

fn changed(open: &OpenOrders, event: &Recorded<CustomerUpdated>, fx: &mut Effects) {
    if event.email.is_none() && event.phone.is_none() {
        return;
    }
    for order in open.by_customer.get(&event.customer_id).into_iter().flatten() {
        let contact = Contact { name: event.name.clone(), email: event.email.clone(), phone: event.phone.clone() };
        fx.send(UpdateOrder { order_id: order.clone(), contact: Some(contact), shipping_address: None, items: None });
    }
}

/// A cart becomes one order, whose id follows from the cart's: an order that is there already refuses to be placed again.
pub fn order_cart(event: &Recorded<CartCheckedOut>, fx: &mut Effects) {
    let cart = event.data.clone();
    fx.send(CreateOrder {
        channel: SalesChannel::Cart,
        order_id: OrderId::of_cart(&cart.cart_id),
        customer_id: cart.customer_id,
        cart_id: Some(cart.cart_id),
        items: cart.items,
        subtotal: Some(cart.subtotal),
        discount: cart.discount,
        tax: cart.tax,
        shipping_charge: None,
        total: cart.total,
        shipping_address: cart.shipping_address,
        payment_method: cart.payment_method,
    });
}

#[cfg(test)]
mod tests;
