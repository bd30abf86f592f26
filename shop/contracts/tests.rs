//! Every type of the contracts with one example: what is read is written again, and the optional may be missing.

mod examples;

use super::analytics::*;
use super::cart::*;
use super::catalog::*;
use super::customer::*;
use super::fraud::*;
use super::ids::*;
use super::inventory::*;
use super::loyalty::*;
use super::notification::*;
use super::order::*;
use super::payment::*;
use super::shapes::*;
use super::shipping::*;
use factum::money::{Currency, UnitPrice};
use serde_json::{Value, json};

use examples::{Examples, read, write};

fn gbp(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "GBP" })
}

fn price(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "GBP" })
}

fn line() -> Value {
    json!({ "line": 1, "kind": "goods", "sku": "85123A", "name": "WHITE HANGING HEART", "quantity": 6,
        "unitPrice": price("2.55"), "amount": gbp(1530) })
}

fn carriage() -> Value {
    json!({ "line": 2, "kind": "carriage", "sku": "POST", "name": "POSTAGE", "quantity": 1, "amount": gbp(500) })
}

fn address() -> Value {
    json!({ "country": "GB", "name": "A. Buyer", "street": "1 High Street", "city": "Leeds", "region": "Yorkshire",
        "postcode": "LS1 1AA" })
}

fn contact() -> Value {
    json!({ "name": "A. Buyer", "email": "a@example.org", "phone": "+44 20 0000 0000" })
}

fn quantity() -> Value {
    json!({ "sku": "85123A", "quantity": 6 })
}

fn reservation() -> Value {
    json!({ "sku": "85123A", "quantity": 6, "reservationId": "r-1" })
}

fn invalid() -> Value {
    json!({ "sku": "85123A", "reason": "unknown" })
}

const AT: &str = "2011-12-09T12:50:00Z";

#[test]
fn cart() {
    let item = json!({ "cartId": "b-1", "item": line() });
    let offer = json!({ "name": "WHITE HANGING HEART", "unitPrice": price("2.55"), "active": true });
    let priced = json!({ "cartId": "b-1", "sku": "85123A", "quantity": 6, "offer": offer });
    let removed = json!({ "cartId": "b-1", "sku": "85123A", "quantity": 6 });
    let created = json!({ "cartId": "b-1", "customerId": "c-1" });
    Examples::<CartEvent>::of()
        .example::<CartCreated>("cart.created", created.clone())
        .example::<CartItemAdded>("cart.item_added", item)
        .example::<CartItemRemoved>("cart.item_removed", removed.clone())
        .example::<CartCheckedOut>(
            "cart.checked_out",
            json!({ "cartId": "b-1", "customerId": "c-1", "items": [line()], "subtotal": gbp(1530),
                "discount": gbp(0), "tax": gbp(0), "total": gbp(1530), "shippingAddress": address(),
                "paymentMethod": "card" }),
        )
        .example::<CartAbandoned>(
            "cart.abandoned",
            json!({ "cartId": "b-1", "customerId": "c-1", "reason": "timed_out", "items": [line()] }),
        )
        .done();
    let now = json!({ "sku": "85123A", "name": "WHITE HANGING HEART", "unitPrice": price("2.55") });
    Examples::<CartCommand>::of()
        .example::<CreateCart>("cart.create", created)
        .example::<AddItem>("cart.add_item", priced)
        .example::<RemoveItem>("cart.remove_item", removed)
        .example::<CheckOutCart>(
            "cart.check_out",
            json!({ "cartId": "b-1", "customerId": "c-1", "prices": [now], "total": gbp(1530),
                "shippingAddress": address(), "paymentMethod": "card" }),
        )
        .example::<AbandonCart>("cart.abandon", json!({ "cartId": "b-1", "reason": "timed_out", "unchangedSince": AT }))
        .done();
}

#[test]
fn notification() {
    let ended = json!({ "notificationId": "n-1", "channel": "email", "template": "order_paid", "customerId": "c-1",
        "orderId": "o-1", "causeId": "e-1" });
    let mut opened = ended.clone();
    opened["to"] = json!("a@example.org");
    opened["subject"] = json!("Paid");
    opened["body"] = json!("It is paid.");
    let mut failed = ended.clone();
    failed["reason"] = json!("no_address");
    Examples::<NotificationEvent>::of()
        .example::<NotificationOpened>("notification.opened", opened.clone())
        .example::<NotificationSent>("notification.sent", ended)
        .example::<NotificationFailed>("notification.failed", failed)
        .done();
    Examples::<NotificationCommand>::of()
        .example::<OpenNotification>("notification.open", opened)
        .example::<RecordNotification>("notification.record", json!({ "notificationId": "n-1", "failed": "smtp_550" }))
        .done();
    Examples::<MessengerCommand>::of()
        .example::<SendNotification>(
            "notification.send",
            json!({ "channel": "push", "template": "order_paid", "customerId": "c-1", "orderId": "o-1",
                "values": { "amount": "20.30 GBP" } }),
        )
        .done();
}

#[test]
fn catalog() {
    let product = json!({ "sku": "85123A", "name": "HEART", "price": price("2.55"), "active": true });
    Examples::<ProductEvent>::of()
        .example::<ProductRegistered>("product.registered", product.clone())
        .example::<ProductChanged>(
            "product.changed",
            json!({ "sku": "85123A", "fields": ["name", "price", "active"], "name": "HEART", "price": price("2.95"),
                "active": false }),
        )
        .done();
    Examples::<ProductCommand>::of().example::<RegisterProduct>("product.register", product).done();
    Examples::<ValidationEvent>::of()
        .example::<ValidationCompleted>(
            "product.validation_completed",
            json!({ "orderId": "o-1", "isValid": false, "invalidItems": [invalid()] }),
        )
        .done();
    Examples::<ValidationCommand>::of()
        .example::<ValidateProducts>("product.validate", json!({ "orderId": "o-1", "items": [quantity()] }))
        .done();
}

#[test]
fn customer() {
    let registered = json!({ "customerId": "c-1", "name": "A. Buyer", "email": "a@example.org", "phone": "1",
        "address": address() });
    let mut updated = registered.clone();
    updated["fields"] = json!(["name", "email", "phone", "address"]);
    Examples::<CustomerEvent>::of()
        .example::<CustomerRegistered>("customer.registered", registered.clone())
        .example::<CustomerUpdated>("customer.updated", updated.clone())
        .done();
    Examples::<CustomerCommand>::of()
        .example::<RegisterCustomer>("customer.register", registered)
        .example::<UpdateCustomer>("customer.update", updated)
        .done();
}

#[test]
fn fraud() {
    Examples::<FraudEvent>::of()
        .example::<TransactionChecked>(
            "fraud.transaction_checked",
            json!({ "orderId": "o-1", "verdict": "flagged", "score": 80,
                "reasons": ["velocity"] }),
        )
        .done();
    Examples::<FraudCommand>::of()
        .example::<CheckTransaction>(
            "fraud.check",
            json!({ "orderId": "o-1", "customerId": "c-1", "amount": gbp(2030) }),
        )
        .done();
}

#[test]
fn loyalty() {
    let points = json!({ "customerId": "c-1", "orderId": "o-1", "points": 15, "balance": 40 });
    Examples::<LoyaltyEvent>::of()
        .example::<PointsAwarded>("loyalty.points_awarded", points.clone())
        .example::<PointsRevoked>("loyalty.points_revoked", points)
        .done();
    Examples::<LoyaltyCommand>::of()
        .example::<AwardPoints>("loyalty.award", json!({ "customerId": "c-1", "orderId": "o-1", "points": 15 }))
        .example::<RevokePoints>("loyalty.revoke", json!({ "customerId": "c-1", "orderId": "o-1", "gone": 5 }))
        .done();
}

#[test]
fn analytics() {
    Examples::<AnalyticsEvent>::of()
        .example::<CustomerTotalsUpdated>(
            "analytics.customer_totals_updated",
            json!({ "customerId": "c-1", "orderCount": 3, "total": gbp(4060) }),
        )
        .done();
}

#[test]
fn inventory() {
    let order = |items: Value| json!({ "orderId": "o-1", "items": items });
    Examples::<InventoryEvent>::of()
        .example::<StockReceived>(
            "inventory.stock_received",
            json!({ "sku": "85123A", "quantity": 100, "warehouseId": "main" }),
        )
        .example::<StockAdjusted>(
            "inventory.stock_adjusted",
            json!({ "sku": "85123A", "quantity": -3, "reason": "damaged" }),
        )
        .example::<InventoryReserved>("inventory.reserved", order(json!([reservation()])))
        .example::<ReservationFailed>(
            "inventory.reservation_failed",
            json!({ "orderId": "o-1", "items": [{ "sku": "85123A", "requested": 6, "available": 2 }],
                "reason": "out_of_stock" }),
        )
        .example::<InventoryReleased>(
            "inventory.released",
            json!({ "orderId": "o-1", "items": [quantity()], "reason": "payment_failed" }),
        )
        .example::<StockShipped>("inventory.stock_shipped", order(json!([quantity()])))
        .example::<StockReturned>("inventory.stock_returned", order(json!([quantity()])))
        .example::<LowStockDetected>(
            "inventory.low_stock_detected",
            json!({ "sku": "85123A", "currentQuantity": 9, "threshold": 10 }),
        )
        .example::<ReorderPlaced>(
            "inventory.reorder_placed",
            json!({ "sku": "85123A", "quantity": 200, "supplier": "s-1" }),
        )
        .done();
    Examples::<InventoryCommand>::of()
        .example::<ReserveStock>(
            "inventory.reserve",
            json!({ "orderId": "o-1", "items": [quantity()], "warehouseId": "main" }),
        )
        .example::<ReleaseStock>(
            "inventory.release",
            json!({ "orderId": "o-1", "reason": "customer", "warehouseId": "main" }),
        )
        .example::<ReceiveStock>(
            "inventory.receive",
            json!({ "sku": "85123A", "quantity": 100, "warehouseId": "main" }),
        )
        .example::<AdjustStock>(
            "inventory.adjust",
            json!({ "sku": "85123A", "quantity": -3, "reason": "damaged", "warehouseId": "main" }),
        )
        .example::<ShipStock>("inventory.ship", json!({ "orderId": "o-1", "warehouseId": "main" }))
        .example::<Restock>(
            "inventory.restock",
            json!({ "orderId": "o-1", "items": [quantity()], "warehouseId": "main" }),
        )
        .done();
}

#[test]
fn payment() {
    let amount = json!({ "paymentId": "pay-o-1", "orderId": "o-1", "amount": gbp(2030) });
    let mut method = amount.clone();
    method["method"] = json!("card");
    let mut captured = method.clone();
    captured["transactionId"] = json!("t-1");
    captured["status"] = json!("approved");
    let refund = json!({ "paymentId": "pay-o-1", "orderId": "o-1", "creditId": "k-1", "refundId": "f-1",
        "amount": gbp(500), "reason": "returned" });
    Examples::<PaymentEvent>::of()
        .example::<PaymentOpened>("payment.opened", method.clone())
        .example::<PaymentAuthorized>("payment.authorized", method)
        .example::<CaptureOpened>("payment.capture_opened", amount.clone())
        .example::<PaymentCaptured>("payment.captured", captured)
        .example::<PaymentFailed>(
            "payment.failed",
            json!({ "paymentId": "pay-o-1", "orderId": "o-1", "amount": gbp(2030), "reason": "card_declined" }),
        )
        .example::<VoidOpened>("payment.void_opened", amount.clone())
        .example::<VoidRefused>(
            "payment.void_refused",
            json!({ "paymentId": "pay-o-1", "orderId": "o-1", "amount": gbp(2030), "reason": "unknown_payment" }),
        )
        .example::<PaymentVoided>("payment.voided", amount)
        .example::<RefundWanted>(
            "payment.refund_wanted",
            json!({ "paymentId": "pay-o-1", "orderId": "o-1", "reason": "undone" }),
        )
        .example::<RefundOpened>("payment.refund_opened", refund.clone())
        .example::<RefundRefused>("payment.refund_refused", refund.clone())
        .example::<PaymentRefunded>("payment.refunded", refund)
        .done();

    let asked = json!({ "orderId": "o-1", "amount": gbp(2030), "method": "card" });
    Examples::<PaymentCommand>::of()
        .example::<AuthorizePayment>("payment.authorize", asked.clone())
        .example::<CapturePayment>("payment.capture", json!({ "orderId": "o-1", "paymentId": "pay-o-1" }))
        .example::<ProcessPayment>("payment.process", asked)
        .example::<VoidPayment>("payment.void", json!({ "orderId": "o-1", "reason": "customer" }))
        .example::<RetryPayment>("payment.retry", json!({ "paymentId": "pay-o-1", "refundId": "r-1" }))
        .example::<RecordPayment>(
            "payment.record",
            json!({ "paymentId": "pay-o-1", "act": "capture", "refundId": "r-1",
                "outcome": { "result": "captured", "transactionId": "t-1" } }),
        )
        .example::<RefundPayment>(
            "payment.refund",
            json!({ "orderId": "o-1", "creditId": "k-1", "amount": gbp(500), "reason": "returned" }),
        )
        .done();
}

#[test]
fn a_provider_answers_in_six_ways() {
    for (act, outcome) in [
        ("authorize", json!({ "result": "authorized", "transactionId": "t-1" })),
        ("capture", json!({ "result": "captured", "transactionId": "t-1" })),
        ("void", json!({ "result": "voided" })),
        ("refund", json!({ "result": "refunded", "refundId": "f-1" })),
        ("authorize", json!({ "result": "failed", "reason": "card_declined" })),
        ("capture", json!({ "result": "unknown", "reason": "timed_out" })),
    ] {
        let json = json!({ "paymentId": "pay-o-1", "act": act, "outcome": outcome });
        assert_eq!(write(&read::<RecordPayment>("payment.record", &json)), json);
    }
}

#[test]
fn shipping() {
    let order = json!({ "orderId": "o-1", "items": [quantity()], "shippingAddress": address(), "warehouseId": "main" });
    let mut opened = order.clone();
    opened["shipmentId"] = json!("ship-o-1");
    Examples::<ShippingEvent>::of()
        .example::<ShippingOpened>("shipping.opened", opened)
        .example::<ShippingCreated>(
            "shipping.created",
            json!({ "shipmentId": "ship-o-1", "orderId": "o-1", "carrier": "post", "trackingNumber": "T1",
                "warehouseId": "main", "estimatedDelivery": AT, "labelRef": "labels/1" }),
        )
        .example::<ShippingFailed>("shipping.failed", json!({ "orderId": "o-1", "reason": "undeliverable" }))
        .example::<ShippingDispatched>(
            "shipping.dispatched",
            json!({ "shipmentId": "ship-o-1", "orderId": "o-1", "dispatchedAt": AT }),
        )
        .example::<ShippingDelivered>(
            "shipping.delivered",
            json!({ "shipmentId": "ship-o-1", "orderId": "o-1", "deliveredAt": AT }),
        )
        .example::<ShippingCancelled>(
            "shipping.cancelled",
            json!({ "shipmentId": "ship-o-1", "orderId": "o-1", "reason": "customer" }),
        )
        .example::<ShippingNewsKept>(
            "shipping.news_kept",
            json!({ "shipmentId": "ship-o-1", "orderId": "o-1", "state": "delivered", "at": AT }),
        )
        .example::<ShippingRecallOpened>(
            "shipping.recall_opened",
            json!({ "shipmentId": "ship-o-1", "orderId": "o-1" }),
        )
        .example::<ShippingRecalled>("shipping.recalled", json!({ "shipmentId": "ship-o-1", "orderId": "o-1" }))
        .example::<ShippingRecallFailed>(
            "shipping.recall_failed",
            json!({ "shipmentId": "ship-o-1", "orderId": "o-1", "reason": "already_picked_up" }),
        )
        .done();
    Examples::<ShippingCommand>::of()
        .example::<CreateShipment>("shipping.create", order)
        .example::<DispatchShipment>("shipping.dispatch", json!({ "orderId": "o-1" }))
        .example::<RecordShipment>(
            "shipping.record",
            json!({ "shipmentId": "ship-o-1", "state": "created", "at": AT, "carrier": "post", "trackingNumber": "T1",
                "estimatedDelivery": AT, "labelRef": "labels/1", "reason": "none" }),
        )
        .example::<CancelShipment>("shipping.cancel", json!({ "orderId": "o-1", "reason": "customer" }))
        .example::<RecallShipment>("shipping.recall", json!({ "shipmentId": "ship-o-1" }))
        .done();
}

fn placed() -> Value {
    json!({ "orderId": "o-1", "customerId": "c-1", "cartId": "b-1", "items": [line(), carriage()],
        "subtotal": gbp(2030), "discount": gbp(0), "tax": gbp(0), "shippingCharge": gbp(500), "total": gbp(2030),
        "shippingAddress": address(), "paymentMethod": "card", "channel": "cart" })
}

fn returned() -> Value {
    json!({ "orderId": "o-1", "creditId": "k-1", "items": [quantity()], "amount": gbp(1530), "reason": "broken" })
}

fn credited() -> Value {
    json!({ "creditId": "k-1", "customerId": "c-1", "items": [line()], "amount": gbp(1530), "reason": "unknown_order" })
}

fn paid() -> Value {
    json!({ "orderId": "o-1", "paymentId": "pay-o-1", "amount": gbp(2030), "paymentMethod": "card" })
}

fn shipped() -> Value {
    json!({ "orderId": "o-1", "shipmentId": "ship-o-1", "trackingNumber": "T1", "carrier": "post",
        "estimatedDelivery": AT })
}

#[test]
fn order_events() {
    let accepted = serde_json::from_str(include_str!("examples/order.created/1.1.0.json")).unwrap();
    Examples::<OrderEvent>::of()
        .example::<OrderCreated>("order.created", accepted)
        .example::<OrderValidated>("order.validated", json!({ "orderId": "o-1" }))
        .example::<OrderRejected>(
            "order.rejected",
            json!({ "orderId": "o-1", "reason": "invalid_products", "invalidItems": [invalid()] }),
        )
        .example::<OrderUpdated>(
            "order.updated",
            json!({ "orderId": "o-1", "fields": ["contact", "shippingAddress"], "contact": contact(),
                "shippingAddress": address() }),
        )
        .example::<OrderStockReserved>("order.stock_reserved", json!({ "orderId": "o-1", "items": [reservation()] }))
        .example::<OrderConfirmed>("order.confirmed", json!({ "orderId": "o-1" }))
        .example::<OrderPaid>("order.paid", paid())
        .example::<OrderHeld>("order.held", json!({ "orderId": "o-1", "reason": "velocity" }))
        .example::<OrderHoldReleased>("order.hold_released", json!({ "orderId": "o-1", "by": "u-1" }))
        .example::<OrderReleasedForShipping>(
            "order.released_for_shipping",
            json!({ "orderId": "o-1", "items": [quantity()], "shippingAddress": address(),
                "reservations": [reservation()] }),
        )
        .example::<OrderShipped>("order.shipped", shipped())
        .example::<OrderDelivered>("order.delivered", json!({ "orderId": "o-1", "deliveredAt": AT }))
        .example::<OrderCancelled>("order.cancelled", json!({ "orderId": "o-1", "reason": "payment_failed" }))
        .example::<OrderReturned>("order.returned", returned())
        .done();
    Examples::<CreditEvent>::of().example::<OrderCredited>("order.credited", credited()).done();
}

#[test]
fn order_commands() {
    Examples::<OrderCommand>::of()
        .example::<CreateOrder>("order.create", placed())
        .example::<UpdateOrder>(
            "order.update",
            json!({ "orderId": "o-1", "contact": contact(), "shippingAddress": address(), "items": [line()] }),
        )
        .example::<CancelOrder>("order.cancel", json!({ "orderId": "o-1", "reason": "customer" }))
        .example::<FailOrder>("order.fail", json!({ "orderId": "o-1", "reason": "payment_failed" }))
        .example::<LoseOrder>("order.lose", json!({ "orderId": "o-1" }))
        .example::<ReturnOrder>("order.return", returned())
        .example::<ReleaseHold>("order.release_hold", json!({ "orderId": "o-1", "verdict": "cleared", "by": "u-1" }))
        .example::<MarkValidated>("order.mark_validated", json!({ "orderId": "o-1" }))
        .example::<RejectOrder>(
            "order.reject",
            json!({ "orderId": "o-1", "reason": "invalid_products", "invalidItems": [invalid()] }),
        )
        .example::<HoldOrder>("order.hold", json!({ "orderId": "o-1", "reason": "velocity" }))
        .example::<MarkReserved>("order.mark_reserved", json!({ "orderId": "o-1", "items": [reservation()] }))
        .example::<ConfirmOrder>("order.confirm", json!({ "orderId": "o-1" }))
        .example::<MarkPaid>("order.mark_paid", paid())
        .example::<ReleaseForShipping>(
            "order.release_for_shipping",
            json!({ "orderId": "o-1", "reservations": [reservation()] }),
        )
        .example::<MarkShipped>("order.mark_shipped", shipped())
        .example::<MarkDelivered>("order.mark_delivered", json!({ "orderId": "o-1", "deliveredAt": AT }))
        .done();
    Examples::<CreditCommand>::of().example::<CreditOrder>("order.credit", credited()).done();
}

#[test]
fn skus_are_upper_case_however_they_come() {
    assert_eq!(Sku::from("85123a").as_str(), "85123A");
    assert_eq!(Sku::from("85123a".to_owned()), Sku::from("85123A"));
    assert_eq!(serde_json::from_value::<Sku>(json!("85123a")).unwrap(), Sku::from("85123A"));
    assert_eq!(OrderId::from("o-a").as_str(), "o-a");
}

#[test]
fn ids_follow_from_ids() {
    let order = OrderId::from("7");
    assert_eq!(PaymentId::of(&order).to_string(), "pay-7");
    assert_eq!(ShipmentId::of(&order).to_string(), "ship-7");
    assert_eq!(PaymentId::of_credit(&CreditId::from("C9")).to_string(), "credit-C9");
    assert_eq!(OrderId::of_cart(&CartId::from("b")).to_string(), "cart-b");
}

#[test]
fn ids_have_a_length_and_no_control_characters() {
    let longest = "é".repeat(LONGEST / 2);
    for text in ["a", "Größe 7/8", "a b", longest.as_str()] {
        assert!(text.parse::<OrderId>().unwrap().valid());
    }
    for text in ["", "a\nb", "\u{0}", "\u{85}", &format!("{longest}x")] {
        assert_eq!(text.parse::<OrderId>(), Err(InvalidId { unseen: None }));
        assert!(!OrderId::from(text).valid());
    }
}

#[test]
fn lines_are_priced_exactly() {
    let price = UnitPrice::new("2.55", Currency::GBP).unwrap();
    let goods = Line::goods(1, Sku::from("85123a"), "WHITE HANGING HEART", 6, price).unwrap();
    assert_eq!(serde_json::to_value(&goods).unwrap(), line());
}

#[test]
fn discounts_and_samples_are_manual_lines() {
    for kind in ["manual", "discount", "sample"] {
        assert_eq!(serde_json::from_value::<LineKind>(json!(kind)).unwrap(), LineKind::Manual);
    }
}

#[test]
fn an_articles_number_is_what_people_read_and_what_they_cannot_see_is_named() {
    let one = ["CAF\u{c9}", "cafe\u{301}", "  caf\u{e9}\u{a0}", "\u{3000}CAFE\u{301}"].map(Sku::from);
    assert!(one.iter().all(|sku| sku.as_str() == "CAF\u{c9}" && sku.valid()), "{one:?}");
    for (text, unseen) in
        [("A\u{200b}B", '\u{200b}'), ("\u{202e}AB", '\u{202e}'), ("A\u{a0}B", '\u{a0}'), ("A\u{feff}", '\u{feff}')]
    {
        let error = text.parse::<Sku>().unwrap_err();
        assert_eq!(error, InvalidId { unseen: Some(unseen) });
        assert!(error.to_string().contains(&format!("U+{:04X}", unseen as u32)), "{error}");
        assert!(text.parse::<CustomerId>().is_ok(), "other ids are opaque");
    }
    for text in ["", "   ", "A\tB", "A\n"] {
        assert_eq!(text.parse::<Sku>(), Err(InvalidId { unseen: None }), "{text:?}");
    }
}

#[test]
fn an_articles_number_that_was_kept_is_kept_as_it_is() {
    for first in '\0'..=char::MAX {
        for text in [first.to_string(), format!("a{first}\u{301}")] {
            let once = Sku::from(text.as_str());
            assert_eq!(Sku::from(once.as_str()), once, "{text:?}");
        }
    }
}
