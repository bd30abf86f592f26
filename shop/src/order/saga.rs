//! The process that fulfils an order: validate beside check, reserve, pay, ship; behind the pivot capture, dispatch, deliver.

use std::time::Duration;

use factum::{prelude::*, saga::FailureKind};
use serde::{Deserialize, Serialize};

use super::decider::goods;
use crate::contracts::{
    catalog::{ValidateProducts, ValidationCompleted},
    fraud::{CheckTransaction, TransactionChecked},
    ids::{CustomerId, OrderId, PaymentId, PaymentMethod, ShipmentId},
    inventory::{InventoryReleased, InventoryReserved, ReleaseStock, ReservationFailed, ReserveStock},
    order::*,
    payment::{
        AuthorizePayment, CapturePayment, PaymentAuthorized, PaymentCaptured, PaymentFailed, PaymentVoided, VoidPayment,
    },
    shapes::{Address, InvalidItem, Quantity, Reservation, Verdict},
    shipping::{
        CancelShipment, CreateShipment, DispatchShipment, ShippingCancelled, ShippingCreated, ShippingDelivered,
        ShippingDispatched, ShippingFailed,
    },
};

/// What the steps need to know of an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fulfilment {
    order_id: Option<OrderId>,
    customer_id: Option<CustomerId>,
    items: Vec<Quantity>,
    total: Option<Money>,
    method: Option<PaymentMethod>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalid_items: Vec<InvalidItem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reservations: Vec<Reservation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipment: Option<Shipment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<Timestamp>,
    /// The carrier has lost it on its way.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shipment {
    tracking_number: String,
    carrier: String,
    estimated_delivery: Timestamp,
}

impl Fulfilment {
    fn of(order: &OrderCreated) -> Self {
        Self {
            order_id: Some(order.order_id.clone()),
            customer_id: order.customer_id.clone(),
            items: goods(&order.items),
            total: Some(order.total),
            method: order.payment_method.clone(),
            address: order.shipping_address.clone(),
            ..Self::default()
        }
    }

    fn order(&self) -> OrderId {
        self.order_id.clone().unwrap_or_else(|| OrderId::from(""))
    }

    fn amount(&self) -> Money {
        self.total.unwrap_or_else(|| crate::money::pence(0))
    }

    fn method(&self) -> PaymentMethod {
        self.method.clone().unwrap_or_else(|| PaymentMethod::from("card"))
    }
}

/// The provider and the carrier are asked for days to let go of what is held, by those who know them: so many repetitions, each
/// twice as long as the one before up to two hours, are four days until a person is called.
const DAYS: u32 = 50;

/// The table. Others may take as long as `patience` for what stands before the pivot; then the order is undone.
pub fn fulfilment(patience: Duration) -> Saga<Fulfilment> {
    Saga::new("fulfilment", 1)
        .key("orderId")
        .start::<OrderCreated>(Fulfilment::of)
        .step("validate", |step| {
            step.send(|f: &Fulfilment| ValidateProducts { order_id: f.order(), items: f.items.clone() })
                .done_if::<ValidationCompleted>(|e| e.is_valid)
                .refused_if::<ValidationCompleted>(|f, e| {
                    f.invalid_items.clone_from(&e.invalid_items);
                    (!e.is_valid).then(|| "invalid_products".to_owned())
                })
                .nothing_to_undo()
                .within(patience)
        })
        .beside("check", |step| {
            step.send(|f: &Fulfilment| CheckTransaction {
                order_id: f.order(),
                customer_id: f.customer_id.clone(),
                amount: f.amount(),
            })
            .done_if::<TransactionChecked>(|e| e.verdict == Verdict::Cleared)
            .held_if::<TransactionChecked, HoldOrder>(
                |e| (e.verdict == Verdict::Flagged).then(|| e.reasons.join(", ")),
                |f| HoldOrder { order_id: f.order(), reason: "fraud".to_owned() },
                24.hours(),
            )
            .done::<OrderHoldReleased>()
            .nothing_to_undo()
            .within(patience)
        })
        .step("reserve", |step| {
            step.own(|f: &Fulfilment| MarkValidated { order_id: f.order() })
                .send(|f| ReserveStock { order_id: f.order(), items: f.items.clone(), warehouse_id: None })
                .done_keeping::<InventoryReserved>(|f, e| f.reservations.clone_from(&e.items))
                .refused::<ReservationFailed>(|e| e.reason.clone())
                .undo::<ReleaseStock, InventoryReleased>(|f| ReleaseStock {
                    order_id: f.order(),
                    reason: "undone".to_owned(),
                    warehouse_id: None,
                })
                .within(patience)
        })
        .step("pay", |step| {
            step.own(|f: &Fulfilment| MarkReserved { order_id: f.order(), items: f.reservations.clone() })
                .send(|f| AuthorizePayment { order_id: f.order(), amount: f.amount(), method: f.method() })
                .done::<PaymentAuthorized>()
                .refused::<PaymentFailed>(|e| e.reason.clone())
                .undo::<VoidPayment, PaymentVoided>(|f| VoidPayment {
                    order_id: f.order(),
                    reason: "undone".to_owned(),
                })
                .undo_attempts(DAYS)
                .within(patience)
        })
        .step("ship", |step| {
            step.send(|f: &Fulfilment| CreateShipment {
                order_id: f.order(),
                items: f.items.clone(),
                shipping_address: f.address.clone(),
                warehouse_id: None,
            })
            .done_keeping::<ShippingCreated>(|f, e| {
                f.shipment = Some(Shipment {
                    tracking_number: e.tracking_number.clone(),
                    carrier: e.carrier.clone(),
                    estimated_delivery: e.estimated_delivery,
                });
            })
            .refused::<ShippingFailed>(|e| e.reason.clone())
            .undo::<CancelShipment, ShippingCancelled>(|f| CancelShipment {
                order_id: f.order(),
                reason: "undone".to_owned(),
            })
            .undo_attempts(DAYS)
            .within(patience)
        })
        .pivot("capture", |step| {
            step.own(|f: &Fulfilment| ConfirmOrder { order_id: f.order() })
                .send(|f| CapturePayment { order_id: f.order(), payment_id: PaymentId::of(&f.order()) })
                .done::<PaymentCaptured>()
                .refused::<PaymentFailed>(|e| e.reason.clone())
                .within(10.minutes())
        })
        .step("dispatch", |step| {
            step.own(|f: &Fulfilment| MarkPaid {
                order_id: f.order(),
                payment_id: PaymentId::of(&f.order()),
                amount: f.amount(),
                payment_method: Some(f.method()),
            })
            .own(|f| ReleaseForShipping { order_id: f.order(), reservations: Vec::new() })
            .send(|f| DispatchShipment { order_id: f.order() })
            .done::<ShippingDispatched>()
            .within(24.hours())
        })
        .step("deliver", |step| {
            step.own(|f: &Fulfilment| MarkShipped {
                order_id: f.order(),
                shipment_id: ShipmentId::of(&f.order()),
                tracking_number: f
                    .shipment
                    .as_ref()
                    .map(|shipment| shipment.tracking_number.clone())
                    .unwrap_or_default(),
                carrier: f.shipment.as_ref().map(|shipment| shipment.carrier.clone()).unwrap_or_default(),
                estimated_delivery: f.shipment.as_ref().map(|shipment| shipment.estimated_delivery),
            })
            .done_keeping::<ShippingDelivered>(|f, e| f.delivered_at = Some(e.delivered_at))
            // What fails behind the dispatch is lost: the customer gets the money back.
            .done_keeping::<ShippingFailed>(|f, _| f.lost = true)
            .within(14.days())
        })
        .step("close", |step| {
            step.own(|f: &Fulfilment| match f.lost {
                true => OrderCommand::Lose(LoseOrder { order_id: f.order() }),
                false => OrderCommand::MarkDelivered(MarkDelivered {
                    order_id: f.order(),
                    delivered_at: f.delivered_at.unwrap_or_default(),
                }),
            })
        })
        .abort::<OrderCancelled>(|e| e.reason.clone())
        .failed(tell_the_order)
}

/// What becomes of the order when a step failed: rejected for what was wrong with it, cancelled for what came between.
fn tell_the_order(f: &Fulfilment, failure: &Failure) -> Option<OrderCommand> {
    let order_id = f.order();
    if failure.step == "capture" && failure.kind == FailureKind::Refused {
        return Some(OrderCommand::Fail(FailOrder { order_id, reason: "payment_failed".to_owned() }));
    }
    if failure.step == "validate" && failure.kind == FailureKind::Refused {
        let (reason, invalid_items) = (failure.reason.clone(), f.invalid_items.clone());
        return Some(OrderCommand::Reject(RejectOrder { order_id, reason, invalid_items }));
    }
    let reason = match failure.step.as_str() {
        "check" => "fraud",
        "reserve" => "out_of_stock",
        "pay" => "payment_failed",
        "ship" => "undeliverable",
        _ => "not_possible",
    };
    Some(OrderCommand::Cancel(CancelOrder { order_id, reason: reason.to_owned() }))
}

#[cfg(test)]
mod tests;
