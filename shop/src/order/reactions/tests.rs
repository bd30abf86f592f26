//! Open orders get their customer's new contact, others do not; a cart becomes an order.

use factum_testing::{
    folding::{Folded, folding},
    scenario::{Happened, happened},
};

use super::*;
use crate::{contracts::ids::ShipmentId, money::pence};

fn created(order: &str, customer: Option<&str>) -> Happened {
    happened(OrderCreated {
        channel: Default::default(),
        order_id: OrderId::from(order),
        customer_id: customer.map(CustomerId::from),
        cart_id: None,
        items: Vec::new(),
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(0),
        shipping_address: None,
        payment_method: None,
        status: OrderStatus::PendingValidation,
    })
}

fn updated(customer: &str, name: Option<&str>, email: Option<&str>) -> Happened {
    happened(CustomerUpdated {
        customer_id: CustomerId::from(customer),
        fields: Vec::new(),
        name: name.map(str::to_owned),
        email: email.map(str::to_owned),
        phone: None,
        address: None,
    })
}

fn closings() -> [Happened; 3] {
    let order_id = || OrderId::from("1");
    let reason = || "r".to_owned();
    [
        happened(OrderShipped {
            order_id: order_id(),
            shipment_id: ShipmentId::from("s"),
            tracking_number: String::new(),
            carrier: String::new(),
            estimated_delivery: None,
        }),
        happened(OrderCancelled { order_id: order_id(), reason: reason() }),
        happened(OrderRejected { order_id: order_id(), reason: reason(), invalid_items: Vec::new() }),
    ]
}

fn two_open() -> Folded {
    folding(contacts())
        .given(created("1", Some("c")))
        .given(created("2", Some("c")))
        .given(created("3", Some("d")))
        .given(created("4", None))
}

#[test]
fn a_new_contact_goes_to_every_open_order_of_the_customer() {
    let sent = two_open().happens(updated("c", Some("Ann"), Some("a@b"))).sent::<UpdateOrder>();
    let contact = Some(Contact { name: Some("Ann".to_owned()), email: Some("a@b".to_owned()), phone: None });
    let update = |order: &str| UpdateOrder {
        order_id: OrderId::from(order),
        contact: contact.clone(),
        shipping_address: None,
        items: None,
    };
    assert_eq!(sent, [update("1"), update("2")]);
}

#[test]
fn a_new_name_alone_and_a_customer_without_orders_change_nothing() {
    two_open().happens(updated("c", Some("Ann"), None)).nothing();
    two_open().happens(updated("e", None, Some("a@b"))).nothing();
}

#[test]
fn an_order_that_is_shipped_or_ended_gets_no_news() {
    for closing in closings() {
        let sent = two_open().given(closing).happens(updated("c", None, Some("a@b"))).sent::<UpdateOrder>();
        assert_eq!(sent.iter().map(|update| update.order_id.as_str()).collect::<Vec<_>>(), ["2"]);
    }
}

#[test]
fn a_cart_that_is_checked_out_is_ordered_as_it_is_under_an_id_that_follows_from_it() {
    let price = crate::money::price("2.55").unwrap();
    let items = vec![crate::contracts::shapes::Line::goods(1, "TEA".into(), "Tea", 2, price).unwrap()];
    let checked_out = CartCheckedOut {
        cart_id: "b".into(),
        customer_id: Some("c".into()),
        items: items.clone(),
        subtotal: pence(510),
        discount: None,
        tax: None,
        total: pence(510),
        shipping_address: None,
        payment_method: Some("card".into()),
    };
    let sent = happened(checked_out).react(order_cart).sent::<CreateOrder>();
    let [order] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((order.order_id.as_str(), &order.items, order.total), ("cart-b", &items, pence(510)));
    assert_eq!((order.cart_id.clone(), order.customer_id.clone()), (Some("b".into()), Some("c".into())));
    assert_eq!(order.payment_method, Some("card".into()));
}
