//! What may happen to a shipment, rule by rule.

use std::time::Duration;

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

fn failed(reason: &str) -> ShippingEvent {
    ShippingEvent::Failed(ShippingFailed { order_id: order(), reason: reason.to_owned() })
}

/// News of a time, and what is kept of it.
fn early(state: ShipmentState, minutes: u64) -> (ShippingCommand, ShippingEvent) {
    let at = NOW.checked_add(Duration::from_secs(60 * minutes)).unwrap();
    let kept = ShippingNewsKept { shipment_id: id(), order_id: order(), state, at };
    (ShippingCommand::Record(RecordShipment { at, ..bare(state) }), ShippingEvent::NewsKept(kept))
}

fn recall_opened() -> ShippingEvent {
    ShippingEvent::RecallOpened(ShippingRecallOpened { shipment_id: id(), order_id: order() })
}

fn recalled() -> ShippingEvent {
    ShippingEvent::Recalled(ShippingRecalled { shipment_id: id(), order_id: order() })
}

fn recall_failed() -> ShippingEvent {
    let reason = "picked_up".to_owned();
    ShippingEvent::RecallFailed(ShippingRecallFailed { shipment_id: id(), order_id: order(), reason })
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
    for events in [vec![], vec![opened()], vec![opened(), failed("undeliverable")], vec![cancelled()]] {
        shipment(events).when(dispatch()).then_rejected("no_label");
    }
}

#[test]
fn the_carriers_no_and_its_silence_fail_the_shipment() {
    shipment(vec![opened()]).when(news(ShipmentState::Failed)).then([failed("undeliverable")]);
    // Whoever ordered it hears no, and what the carrier may have is dropped.
    shipment(vec![opened()])
        .when(news(ShipmentState::Unknown))
        .then([failed("carrier_unavailable"), recall_opened()])
        .again_changes_nothing();
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
fn older_news_changes_nothing() {
    use ShipmentState as S;
    let way = [opened(), created(), dispatched(), delivered()];
    for (at, states) in [
        (2, [S::Created, S::Unknown, S::Cancelled, S::NotCancelled].as_slice()),
        (3, &[S::Created, S::Dispatched, S::Unknown]),
        (4, &[S::Created, S::Dispatched, S::Delivered, S::Failed]),
    ] {
        for state in states {
            shipment(way[..at].to_vec()).when(news(*state)).then_nothing();
        }
    }
    given_nothing::<Shipment>().when(news(S::Delivered)).then_nothing();
}

#[test]
fn a_parcel_that_fails_on_its_way_is_lost() {
    use ShipmentState as S;
    let way = vec![opened(), created(), dispatched()];
    shipment(way.clone()).when(news(S::Failed)).then([failed("lost")]).again_changes_nothing();
    let lost = [way, vec![failed("lost")]].concat();
    for command in [news(S::Delivered), news(S::Dispatched), dispatch()] {
        shipment(lost.clone()).when(command).then_nothing();
    }
    shipment(lost).when(cancel()).then_rejected("already_dispatched");
}

#[test]
fn news_that_comes_too_early_is_kept_until_it_fits() {
    use ShipmentState as S;
    let ((left, kept_left), (there, kept_there)) = (early(S::Dispatched, 1), early(S::Delivered, 2));
    let (gone, kept_gone) = early(S::Failed, 2);
    let left_at = NOW.checked_add(Duration::from_secs(60)).unwrap();
    let there_at = NOW.checked_add(Duration::from_secs(120)).unwrap();
    let sent = |dispatched_at| {
        ShippingEvent::Dispatched(ShippingDispatched { shipment_id: id(), order_id: order(), dispatched_at })
    };
    let arrived = ShippingDelivered { shipment_id: id(), order_id: order(), delivered_at: there_at };

    // Before the label's answer, and before the shop has handed it over.
    for before in [vec![opened()], vec![opened(), created()]] {
        shipment(before.clone()).when(there.clone()).then([kept_there.clone()]).again_changes_nothing();
        shipment(before).when(left.clone()).then([kept_left.clone()]).again_changes_nothing();
    }
    shipment(vec![opened(), kept_left.clone(), kept_there.clone()])
        .when(news(S::Created))
        .then([created()])
        .when(dispatch())
        .then([sent(left_at), ShippingEvent::Delivered(arrived.clone())])
        .again_changes_nothing();
    shipment(vec![opened(), created(), kept_there.clone()])
        .when(dispatch())
        .then([sent(there_at), ShippingEvent::Delivered(arrived)]);
    shipment(vec![opened(), created(), kept_left.clone()]).when(dispatch()).then([sent(left_at)]);

    // A carrier that has it does not refuse it any more: it has lost it. The first end counts.
    shipment(vec![opened(), created()]).when(gone.clone()).then([kept_gone.clone()]);
    shipment(vec![opened(), kept_left.clone()]).when(gone.clone()).then([kept_gone.clone()]);
    shipment(vec![opened(), created(), kept_there]).when(gone).then_nothing();
    shipment(vec![opened(), created(), kept_left, kept_gone]).when(dispatch()).then([sent(left_at), failed("lost")]);
}

#[test]
fn a_parcel_on_its_way_is_not_cancelled() {
    shipment(vec![opened(), created(), dispatched()]).when(cancel()).then_rejected("already_dispatched");
    let arrived = vec![opened(), created(), dispatched(), delivered()];
    shipment(arrived).when(cancel()).then_rejected("already_dispatched");
}

#[test]
fn a_carrier_that_has_it_is_asked_to_drop_it() {
    use ShipmentState as S;
    let refused =
        || ShippingCommand::Record(RecordShipment { reason: Some("picked_up".to_owned()), ..bare(S::NotCancelled) });
    shipment(vec![opened(), created()])
        .when(cancel())
        .then([cancelled(), recall_opened()])
        .again_changes_nothing()
        .when(refused())
        .then([recall_failed()])
        .again_changes_nothing()
        // Whoever has seen to it asks once more.
        .when(cancel())
        .then([recall_opened()])
        .when(news(S::Cancelled))
        .then([recalled()])
        .again_changes_nothing()
        .when(cancel())
        .then_nothing();
}

#[test]
fn a_carrier_that_may_have_it_is_asked_as_soon_as_that_is_known() {
    use ShipmentState as S;
    // The label is under way.
    for state in [S::Created, S::Unknown] {
        shipment(vec![opened()])
            .when(cancel())
            .then([cancelled()])
            .when(news(state))
            .then([recall_opened()])
            .again_changes_nothing();
    }
    shipment(vec![opened(), cancelled()]).when(news(S::Failed)).then_nothing();
    // Nobody knows.
    let unknown = || vec![opened(), failed("carrier_unavailable"), recall_opened()];
    shipment(unknown()).when(cancel()).then([cancelled()]).when(news(S::Cancelled)).then([recalled()]);
    shipment(unknown()).when(news(S::Created)).then_nothing();
    let refused = [unknown(), vec![recall_failed()]].concat();
    shipment(refused).when(cancel()).then([cancelled(), recall_opened()]);
    // The carrier said no, or was never asked.
    shipment(vec![opened(), failed("undeliverable")]).when(cancel()).then([cancelled()]);
    given_nothing::<Shipment>().when(cancel()).then([cancelled()]);
}
