//! The process as scenarios: forward, refused, late, held, cancelled, and behind the pivot.

use factum::saga::{Status, StepState, Wanted};
use factum_testing::scenario::{Instance, saga};

use super::*;
use crate::{
    contracts::{
        ids::{ReservationId, Sku, WarehouseId},
        payment::CaptureStatus,
        process::PATIENCE,
    },
    money::pence,
};

fn id() -> OrderId {
    OrderId::from("1")
}

fn card() -> PaymentMethod {
    PaymentMethod::from("card")
}

fn kept() -> Vec<Reservation> {
    vec![Reservation { sku: Sku::from("TEA"), quantity: 1, reservation_id: ReservationId::from("r1") }]
}

fn created() -> OrderCreated {
    OrderCreated {
        channel: Default::default(),
        order_id: id(),
        customer_id: None,
        cart_id: None,
        items: Vec::new(),
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(250),
        shipping_address: None,
        payment_method: Some(card()),
        status: OrderStatus::PendingValidation,
    }
}

fn checked(verdict: Verdict) -> TransactionChecked {
    let reasons = if verdict == Verdict::Flagged { vec!["much".to_owned()] } else { Vec::new() };
    TransactionChecked { order_id: id(), verdict, score: 0, reasons }
}

fn valid() -> ValidationCompleted {
    ValidationCompleted { order_id: id(), is_valid: true, invalid_items: Vec::new() }
}

fn failed(reason: &str) -> PaymentFailed {
    PaymentFailed { payment_id: None, order_id: id(), amount: None, reason: reason.to_owned() }
}

fn release() -> ReleaseStock {
    ReleaseStock { order_id: id(), reason: "undone".to_owned(), warehouse_id: None }
}

fn cancel(reason: &str) -> CancelOrder {
    CancelOrder { order_id: id(), reason: reason.to_owned() }
}

/// Validated and checked: the goods are being reserved.
fn cleared() -> Instance {
    saga(fulfilment(PATIENCE)).given((created(), valid(), checked(Verdict::Cleared)))
}

/// The goods are kept: the money is being held.
fn reserved() -> Instance {
    cleared().given([InventoryReserved { order_id: id(), items: kept() }])
}

fn to_ship() -> ShippingCreated {
    ShippingCreated {
        shipment_id: ShipmentId::of(&id()),
        order_id: id(),
        carrier: "post".to_owned(),
        tracking_number: "T1".to_owned(),
        warehouse_id: WarehouseId::from("main"),
        estimated_delivery: Timestamp::UNIX_EPOCH,
        label_ref: "l1".to_owned(),
    }
}

fn authorized() -> PaymentAuthorized {
    PaymentAuthorized { payment_id: PaymentId::of(&id()), order_id: id(), amount: pence(250), method: card() }
}

/// All is ready: the money is being taken.
fn confirmed() -> Instance {
    reserved().given((authorized(), to_ship()))
}

#[test]
fn validation_and_check_run_side_by_side() {
    saga(fulfilment(PATIENCE))
        .when(created())
        .then((
            ValidateProducts { order_id: id(), items: Vec::new() },
            CheckTransaction { order_id: id(), customer_id: None, amount: pence(250) },
        ))
        .waits("validate", 30.secs())
        .waits("check", 30.secs())
        .when(checked(Verdict::Cleared))
        .then(())
        .when(valid())
        .decides([MarkValidated { order_id: id() }])
        .then([ReserveStock { order_id: id(), items: Vec::new(), warehouse_id: None }]);
}

#[test]
fn invalid_products_reject_the_order_and_leave_nothing_to_undo() {
    let invalid = vec![InvalidItem { sku: Sku::from("TEA"), reason: "unknown_sku".to_owned() }];
    saga(fulfilment(PATIENCE))
        .given([created()])
        .when(ValidationCompleted { order_id: id(), is_valid: false, invalid_items: invalid.clone() })
        .decides([RejectOrder { order_id: id(), reason: "invalid_products".to_owned(), invalid_items: invalid }])
        .then(())
        .is(Status::Compensated)
        .when(checked(Verdict::Cleared))
        .then_nothing();
}

#[test]
fn a_suspicious_order_waits_a_day_for_a_person() {
    let held = || saga(fulfilment(PATIENCE)).given((created(), valid())).when(checked(Verdict::Flagged));
    held()
        .decides([HoldOrder { order_id: id(), reason: "fraud".to_owned() }])
        .waits("check", 24.hours())
        .when(OrderHoldReleased { order_id: id(), by: "mara".to_owned() })
        .then([ReserveStock { order_id: id(), items: Vec::new(), warehouse_id: None }]);
    held().when_late("check").decides([cancel("fraud")]).is(Status::Compensated);
}

#[test]
fn a_declined_card_gives_the_goods_back() {
    reserved()
        .when(failed("card_declined"))
        .decides([cancel("payment_failed")])
        .then([release()])
        .when(InventoryReleased { order_id: id(), items: Vec::new(), reason: "undone".to_owned() })
        .then(())
        .is(Status::Compensated);
}

/// Its outcome is not known: it is undone as if it had happened.
#[test]
fn a_payment_without_an_answer_is_voided_before_the_goods_are_given_back() {
    reserved()
        .when_late("pay")
        .then([VoidPayment { order_id: id(), reason: "undone".to_owned() }])
        .when(PaymentVoided { payment_id: PaymentId::of(&id()), order_id: id(), amount: pence(250) })
        .then([release()]);
}

#[test]
fn a_cancelled_order_is_undone_before_the_pivot_and_not_behind_it() {
    let cancelled = || OrderCancelled { order_id: id(), reason: "changed_mind".to_owned() };
    cleared().when(cancelled()).then([release()]).decides(()).is(Status::Undoing);
    confirmed().when(cancelled()).then_nothing().is(Status::Running);
}

/// The order itself says that it is too late, in the commit in which the money would be asked for.
#[test]
fn an_order_that_refuses_to_be_confirmed_is_not_captured() {
    confirmed().step("capture", StepState::Sent).waits("capture", 10.minutes());
    reserved()
        .given([authorized()])
        .refusing::<ConfirmOrder>("not_now")
        .when(to_ship())
        .then([CancelShipment { order_id: id(), reason: "undone".to_owned() }])
        .is(Status::Undoing);
}

#[test]
fn behind_the_pivot_a_person_is_called_and_a_late_answer_still_counts() {
    confirmed()
        .when_late("capture")
        .then(())
        .needs_person(true)
        .when_person(Wanted::Retry(None))
        .then([CapturePayment { order_id: id(), payment_id: PaymentId::of(&id()) }])
        .needs_person(false)
        .when(PaymentCaptured {
            payment_id: PaymentId::of(&id()),
            order_id: id(),
            amount: pence(250),
            method: card(),
            transaction_id: "x".to_owned(),
            status: CaptureStatus::Approved,
        })
        .then([DispatchShipment { order_id: id() }])
        .is(Status::Running);
}
