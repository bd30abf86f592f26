//! Goods follow orders, and what runs short is ordered again.

use factum_testing::scenario::{NOW, happened};

use super::*;
use crate::{
    contracts::{
        ids::{OrderId, ShipmentId, Sku},
        shapes::Quantity,
    },
    money::pence,
};

#[test]
fn shipped_goods_leave_the_books_and_returned_ones_come_back() {
    let order_id = || OrderId::from("1");
    let shipped = happened(OrderShipped {
        order_id: order_id(),
        shipment_id: ShipmentId::from("s"),
        tracking_number: String::new(),
        carrier: String::new(),
        estimated_delivery: Some(NOW),
    });
    let ship = ShipStock { order_id: order_id(), warehouse_id: None };
    assert_eq!(shipped.react(follow_orders).sent::<ShipStock>(), [ship]);
    let items = || vec![Quantity { sku: Sku::from("A"), quantity: 2 }];
    let returned = happened(OrderReturned {
        order_id: order_id(),
        credit_id: None,
        items: items().into_iter().map(Into::into).collect(),
        amount: pence(1),
        not_due: None,
        reason: String::new(),
    });
    let restock = Restock { order_id: order_id(), items: items(), warehouse_id: None };
    assert_eq!(returned.react(follow_orders).sent::<Restock>(), [restock]);
}

#[test]
fn what_runs_short_is_ordered_again() {
    let low = happened(LowStockDetected { sku: Sku::from("A"), current_quantity: 10, threshold: 10 });
    let [(stream, placed)] = &low.given_to(&reordering()).emitted::<ReorderPlaced>()[..] else { panic!("one reorder") };
    assert_eq!((stream.as_str(), placed.quantity), ("reorder-A", REORDER_UNITS));
}
