//! What may happen to a shipment, rule by rule.

use factum_testing::{
    conformance::participant,
    scenario::{Given, NOW, given, given_nothing},
};

use super::*;

fn id() -> ShipmentId {
    ShipmentId::from("ship-1")
}

fn order() -> OrderId {
    OrderId::from("1")
}

fn create() -> ShippingCommand {
    let (items, shipping_address, warehouse_id) = (Vec::new(), None, None);
    ShippingCommand::Create(CreateShipment { order_id: order(), items, shipping_address, warehouse_id })
}

fn dispatch() -> ShippingCommand {
    ShippingCommand::Dispatch(DispatchShipment { order_id: order() })
}

fn cancel() -> ShippingCommand {
    ShippingCommand::Cancel(CancelShipment { order_id: order(), reason: "undone".to_owned() })
}

fn bare(state: ShipmentState) -> RecordShipment {
    RecordShipment {
        shipment_id: id(),
        state,
        at: NOW,
        carrier: None,
        tracking_number: None,
        estimated_delivery: None,
        label_ref: None,
        reason: None,
    }
}

fn label() -> RecordShipment {
    RecordShipment {
        carrier: Some("P".to_owned()),
        tracking_number: Some("T".to_owned()),
        estimated_delivery: Some(NOW),
        label_ref: Some("L".to_owned()),
        ..bare(ShipmentState::Created)
    }
}

fn news(state: ShipmentState) -> ShippingCommand {
    ShippingCommand::Record(if state == ShipmentState::Created { label() } else { bare(state) })
}

fn opened() -> ShippingEvent {
    let (items, shipping_address, warehouse_id) = (Vec::new(), None, WarehouseId::from("main"));
    ShippingEvent::Opened(ShippingOpened {
        shipment_id: id(),
        order_id: order(),
        items,
        shipping_address,
        warehouse_id,
    })
}

fn created() -> ShippingEvent {
    ShippingEvent::Created(ShippingCreated {
        shipment_id: id(),
        order_id: order(),
        carrier: "P".to_owned(),
        tracking_number: "T".to_owned(),
        warehouse_id: WarehouseId::from("main"),
        estimated_delivery: NOW,
        label_ref: "L".to_owned(),
    })
}

fn dispatched() -> ShippingEvent {
    ShippingEvent::Dispatched(ShippingDispatched { shipment_id: id(), order_id: order(), dispatched_at: NOW })
}

fn delivered() -> ShippingEvent {
    ShippingEvent::Delivered(ShippingDelivered { shipment_id: id(), order_id: order(), delivered_at: NOW })
}

fn failed() -> ShippingEvent {
    ShippingEvent::Failed(ShippingFailed { order_id: order(), reason: "carrier_unavailable".to_owned() })
}

fn cancelled() -> ShippingEvent {
    let reason = "undone".to_owned();
    ShippingEvent::Cancelled(ShippingCancelled { shipment_id: id(), order_id: order(), reason })
}

fn shipment(events: Vec<ShippingEvent>) -> Given<Shipment> {
    given(events)
}

struct Creating;

impl participant::Subject for Creating {
    type Aggregate = Shipment;
    fn act(&self) -> ShippingCommand {
        create()
    }
    fn undo(&self) -> ShippingCommand {
        cancel()
    }
    fn accepted(&self) -> Option<ShippingCommand> {
        Some(news(ShipmentState::Created))
    }
    fn refusal(&self) -> (Vec<ShippingEvent>, ShippingCommand, Option<ShippingCommand>) {
        (Vec::new(), create(), Some(news(ShipmentState::Failed)))
    }
    fn confirms(&self, event: &ShippingEvent) -> bool {
        matches!(event, ShippingEvent::Cancelled(_))
    }
    fn holds(&self, events: &[ShippingEvent]) -> bool {
        let last = events.iter().rev().find(|event| !matches!(event, ShippingEvent::Opened(_)));
        matches!(last, Some(ShippingEvent::Created(_)))
    }
    fn too_late(&self) -> &'static str {
        "already_cancelled"
    }
}

#[test]
fn keeps_the_rules_of_a_participant() {
    participant::run(&Creating);
}

#[test]
fn a_label_comes_before_the_parcel_leaves() {
    given_nothing::<Shipment>()
        .when(create())
        .then([opened()])
        .when(news(ShipmentState::Created))
        .then([created()])
        .when(dispatch())
        .then([dispatched()])
        .again_changes_nothing()
        .when(news(ShipmentState::Delivered))
        .then([delivered()])
        .again_changes_nothing();
    for events in [vec![], vec![opened()], vec![opened(), failed()], vec![cancelled()]] {
        shipment(events).when(dispatch()).then_rejected("no_label");
    }
}

#[test]
fn the_carriers_no_and_its_silence_fail_the_shipment() {
    for state in [ShipmentState::Failed, ShipmentState::Unknown] {
        shipment(vec![opened()]).when(news(state)).then([failed()]);
    }
}

#[test]
fn a_label_that_lacks_something_is_refused() {
    for (field, label) in [
        ("carrier", RecordShipment { carrier: None, ..label() }),
        ("trackingNumber", RecordShipment { tracking_number: None, ..label() }),
        ("estimatedDelivery", RecordShipment { estimated_delivery: None, ..label() }),
        ("labelRef", RecordShipment { label_ref: None, ..label() }),
    ] {
        let refused = shipment(vec![opened()]).when(ShippingCommand::Record(label)).then_rejected("incomplete_answer");
        assert!(refused.message.contains(field));
    }
}

#[test]
fn older_news_changes_nothing_and_newer_news_fills_in() {
    use ShipmentState as S;
    let way = [opened(), created(), dispatched(), delivered()];
    for (at, states) in [
        (2, [S::Created, S::Failed, S::Unknown, S::Cancelled].as_slice()),
        (3, &[S::Created, S::Dispatched, S::Failed]),
        (4, &[S::Created, S::Dispatched, S::Delivered]),
        (1, &[S::Dispatched, S::Delivered]),
    ] {
        for state in states {
            shipment(way[..at].to_vec()).when(news(*state)).then_nothing();
        }
    }
    shipment(vec![opened(), created()]).when(news(S::Dispatched)).then([dispatched()]);
    shipment(vec![opened(), created()]).when(news(S::Delivered)).then([dispatched(), delivered()]);
    given_nothing::<Shipment>().when(news(S::Delivered)).then_nothing();
    for end in [failed(), cancelled()] {
        shipment(vec![opened(), end]).when(news(S::Created)).then_nothing();
    }
}

#[test]
fn a_parcel_on_its_way_is_not_cancelled() {
    shipment(vec![opened(), created(), dispatched()]).when(cancel()).then_rejected("already_dispatched");
    let arrived = vec![opened(), created(), dispatched(), delivered()];
    shipment(arrived).when(cancel()).then_rejected("already_dispatched");
    shipment(vec![opened(), created()]).when(cancel()).then([cancelled()]);
}
