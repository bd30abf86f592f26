//! The three sagas of the definitions, written in Rust over the same participants.

use factum::prelude::*;
use serde::{Deserialize, Serialize};
use shop::contracts::{
    ids::{CustomerId, OrderId, PaymentId, PaymentMethod},
    inventory::{InventoryReleased, InventoryReserved, ReleaseStock, ReservationFailed, ReserveStock},
    order::{CancelOrder, CreateOrder, MarkPaid, OrderCancelled, OrderCreated, OrderPaid},
    payment::{PaymentCaptured, PaymentFailed, PaymentRefunded, PaymentVoided, ProcessPayment, RefundPayment},
    shapes::{Line, Quantity},
    shipping::{CancelShipment, CreateShipment, ShippingCancelled, ShippingCreated, ShippingFailed},
};

macro_rules! requested {
    ($($name:ident $type_name:literal;)+) => {$(
        #[derive(Event, Clone, Debug)]
        #[event($type_name)]
        struct $name {
            order_id: OrderId,
            customer_id: Option<CustomerId>,
            items: Vec<Line>,
            total: Money,
            amount: Money,
            method: PaymentMethod,
        }

        impl From<&$name> for Facts {
            fn from(asked: &$name) -> Self {
                let $name { order_id, customer_id, items, total, amount, method } = asked.clone();
                let (order_id, method) = (Some(order_id), Some(method));
                let (total, amount) = (Some(total), Some(amount));
                Self { order_id, customer_id, items, total, amount, method, ..Self::default() }
            }
        }
    )+};
}

requested! {
    CheckoutReceived "checkout.received";
    FulfillmentReceived "order_fulfillment.received";
    CreationReceived "order_creation.received";
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Facts {
    order_id: Option<OrderId>,
    customer_id: Option<CustomerId>,
    items: Vec<Line>,
    total: Option<Money>,
    amount: Option<Money>,
    method: Option<PaymentMethod>,
    payment_id: Option<PaymentId>,
    reason: String,
}

impl Facts {
    fn order(&self) -> OrderId {
        self.order_id.clone().unwrap()
    }

    fn goods(&self) -> Vec<Quantity> {
        self.items.iter().map(|line| Quantity { sku: line.sku.clone(), quantity: line.quantity }).collect()
    }
}

type Step = factum::saga::Step<Facts>;

fn create(step: Step) -> Step {
    step.send(|f: &Facts| CreateOrder {
        order_id: f.order(),
        customer_id: f.customer_id.clone(),
        cart_id: None,
        items: f.items.clone(),
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: f.total.unwrap(),
        shipping_address: None,
        payment_method: None,
        channel: Default::default(),
    })
    .done::<OrderCreated>()
    .undo::<CancelOrder, OrderCancelled>(|f| CancelOrder { order_id: f.order(), reason: f.reason.clone() })
    .fails_as("order_creation_failed")
}

fn reserve(step: Step) -> Step {
    step.send(|f: &Facts| ReserveStock { order_id: f.order(), items: f.goods(), warehouse_id: None })
        .done::<InventoryReserved>()
        .refused::<ReservationFailed>(|e| e.reason.clone())
        .undo::<ReleaseStock, InventoryReleased>(|f| ReleaseStock {
            order_id: f.order(),
            reason: f.reason.clone(),
            warehouse_id: None,
        })
        .fails_as("inventory_reservation_failed")
}

#[derive(Event)]
#[allow(dead_code, reason = "what they say is not needed")]
enum MoneyIsBack {
    Refunded(PaymentRefunded),
    Voided(PaymentVoided),
}

fn pay(step: Step) -> Step {
    step.send(|f: &Facts| ProcessPayment {
        order_id: f.order(),
        amount: f.amount.unwrap(),
        method: f.method.clone().unwrap(),
    })
    .done_keeping::<PaymentCaptured>(|f, e| f.payment_id = Some(e.payment_id.clone()))
    .refused::<PaymentFailed>(|e| e.reason.clone())
    .undo::<RefundPayment, MoneyIsBack>(|f| RefundPayment {
        order_id: f.order_id.clone(),
        credit_id: None,
        amount: f.amount,
        reason: f.reason.clone(),
    })
    .fails_as("payment_failed")
}

fn mark_paid(step: Step) -> Step {
    step.send(|f: &Facts| MarkPaid {
        order_id: f.order(),
        payment_id: f.payment_id.clone().unwrap(),
        amount: f.amount.unwrap(),
        payment_method: None,
    })
    .done::<OrderPaid>()
    .nothing_to_undo()
    .fails_as("order_mark_paid_failed")
}

fn ship(step: Step) -> Step {
    step.send(|f: &Facts| CreateShipment {
        order_id: f.order(),
        items: f.goods(),
        shipping_address: None,
        warehouse_id: None,
    })
    .done::<ShippingCreated>()
    .refused::<ShippingFailed>(|e| e.reason.clone())
    .undo::<CancelShipment, ShippingCancelled>(|f| CancelShipment { order_id: f.order(), reason: f.reason.clone() })
    .fails_as("shipping_failed")
}

fn saga(name: &'static str) -> Saga<Facts> {
    Saga::new(name, 1).key("orderId").noting(|facts: &mut Facts, failure| {
        facts.reason = failure.error.as_ref().map_or_else(|| failure.reason.clone(), ToString::to_string);
    })
}

/// All three.
pub fn service() -> Service {
    let checkout = saga("checkout")
        .start_on_request(|asked: &CheckoutReceived| asked.into())
        .step("create_order", create)
        .step("reserve_inventory", reserve)
        .step("process_payment", pay)
        .step("mark_order_paid", mark_paid);
    let fulfillment = saga("order_fulfillment")
        .start_on_request(|asked: &FulfillmentReceived| asked.into())
        .step("process_payment", pay)
        .step("reserve_inventory", reserve)
        .step("ship_order", ship);
    let creation = saga("order_creation")
        .start_on_request(|asked: &CreationReceived| asked.into())
        .step("reserve_inventory", reserve)
        .step("process_payment", pay)
        .step("create_order", create);
    Service::new("sagas").saga(checkout).saga(fulfillment).saga(creation)
}
