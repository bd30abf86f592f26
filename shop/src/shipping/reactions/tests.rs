//! The carrier is asked for a label, and its news awaited.

use factum_testing::scenario::{NOW, happened};

use super::*;
use crate::contracts::{
    ids::{OrderId, ShipmentId, Sku, WarehouseId},
    shapes::Quantity,
};

#[test]
fn the_carrier_is_asked_for_all_pieces() {
    let piece = |sku: &str, quantity| Quantity { sku: Sku::from(sku), quantity };
    let asked = happened(ShippingOpened {
        shipment_id: ShipmentId::from("ship-1"),
        order_id: OrderId::from("1"),
        items: vec![piece("A", 2), piece("B", 3)],
        shipping_address: None,
        warehouse_id: WarehouseId::from("main"),
    })
    .given_to(&asking());
    let requests = asked.called(gateway::CARRIER);
    assert_eq!((requests.len(), requests[0].pieces, requests[0].shipment_id.as_str()), (1, 5, "ship-1"));
}

#[test]
fn the_parcel_arrives_after_the_days_that_it_takes() {
    let day = Duration::from_secs(86_400);
    for number in 0..20 {
        let shipment_id = ShipmentId::from(format!("ship-{number}"));
        let order_id = OrderId::from("1");
        let sent = happened(ShippingDispatched { shipment_id: shipment_id.clone(), order_id, dispatched_at: NOW });
        let timers = sent.given_to(&awaiting(day)).timers::<RecordShipment>();
        let [(name, delay, news)] = &timers[..] else { panic!("one timer: {timers:?}") };
        assert_eq!((name.as_str(), *delay), ("delivered", gateway::days(&shipment_id) * day));
        assert!((1..=gateway::LONGEST_DAYS).contains(&gateway::days(&shipment_id)));
        assert_eq!((news.state, news.at), (ShipmentState::Delivered, NOW + *delay));
    }
}

#[test]
fn the_carrier_is_asked_to_drop_what_is_recalled() {
    let asked =
        happened(ShippingRecallOpened { shipment_id: ShipmentId::from("ship-1"), order_id: OrderId::from("1") })
            .given_to(&recalling());
    let requests = asked.called(gateway::RECALL);
    assert_eq!((requests.len(), requests[0].shipment_id.as_str()), (1, "ship-1"));
}
