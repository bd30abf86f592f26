//! What others write, and what it must become.

use serde_json::{Value, json};

/// Foreign names, their data, the type of ours, and what must stand where in it.
pub type Case = (&'static [&'static str], Value, &'static str, Vec<(&'static str, Value)>);

fn gbp(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "GBP" })
}

/// Two lines in floats: six at 2.55 and three at 0.835, which is 2.505 and half to even 2.50.
fn lines() -> Value {
    json!([{ "productId": "85123A", "quantity": 6, "price": 2.55 }, { "itemId": 22423, "qty": 3, "price": "0.835" }])
}

pub fn events() -> Vec<Case> {
    let at = "2011-12-09T12:50:00Z";
    let per_sku = json!({ "orderId": "o-1", "productId": "85123A", "quantity": 6, "reservationId": "r-1" });
    let one_item = vec![("/items/0/sku", json!("85123A")), ("/items/0/quantity", json!(6)), ("/orderId", json!("o-1"))];
    let ordered = vec![
        ("/customerId", json!("17850")),
        ("/items/0/amount", gbp(1530)),
        ("/items/0/unitPrice", json!({ "amount": "2.55", "currency": "GBP" })),
        ("/items/1/sku", json!("22423")),
        ("/items/1/line", json!(2)),
        ("/items/1/amount", gbp(250)),
        ("/total", gbp(1780)),
    ];
    let with_state = |state: &str| json!({ "orderId": "o-1", "userId": 17850, "items": lines(), "totalAmount": 17.80, "currency": "GBP", "status": state });
    let paid = json!({ "orderId": "o-1", "paymentId": "p-1", "amount": 17.8, "currency": "GBP", "method": "card" });
    let captured = json!({ "orderId": "o-1", "paymentId": "p-1", "totalAmount": "17.80", "currency": "gbp", "status": "completed" });
    vec![
        (
            &["CartCreated"],
            json!({ "cartId": "b-1", "userId": "c-1" }),
            "cart.created",
            vec![("/customerId", json!("c-1"))],
        ),
        (
            &["ItemAddedToCart"],
            json!({ "cartId": "b-1", "productId": "85123A", "quantity": 6, "price": 2.55 }),
            "cart.item_added",
            vec![("/item/sku", json!("85123A")), ("/item/amount", gbp(1530)), ("/item/line", json!(1))],
        ),
        (
            &["ItemRemovedFromCart"],
            json!({ "cartId": "b-1", "itemId": "85123A" }),
            "cart.item_removed",
            vec![("/sku", json!("85123A"))],
        ),
        (
            &["CartCheckedOut", "Cart Checkout Event"],
            json!({ "cartId": "b-1", "userId": 17850, "items": lines() }),
            "cart.checked_out",
            ordered.clone(),
        ),
        (
            &["CartAbandoned"],
            json!({ "cartId": "b-1", "userId": "c-1" }),
            "cart.abandoned",
            vec![("/reason", json!("timed_out"))],
        ),
        (&["OrderCreated", "order.created"], with_state("CREATED"), "order.created", ordered.clone()),
        (&["OrderPlaced"], with_state("PENDING_VALIDATION"), "order.created", ordered.clone()),
        (
            &["order.pending_validation"],
            json!({ "orderId": "o-1", "items": lines() }),
            "order.created",
            vec![("/total", gbp(1780)), ("/status", json!("pending_validation"))],
        ),
        (&["VALIDATED", "OrderValidated"], json!({ "orderId": "o-1" }), "order.validated", vec![]),
        (&["OrderStatusChanged"], json!({ "orderId": "o-1", "status": "VALIDATED" }), "order.validated", vec![]),
        (
            &["rejectOrder", "OrderRejected"],
            json!({ "orderId": "o-1", "reason": "INVALID_PRODUCTS", "invalidItems": [{ "productId": "X" }] }),
            "order.rejected",
            vec![("/reason", json!("invalid_products")), ("/invalidItems/0/sku", json!("X"))],
        ),
        (
            &["OrderUpdated", "updateOrdersWithLatestUserContact", "order.updated"],
            json!({ "orderId": "o-1", "fields": ["contact"], "contact": { "email": "a@example.org" } }),
            "order.updated",
            vec![("/contact/email", json!("a@example.org"))],
        ),
        (
            &["order.payment_received", "order.payment_completed", "PaymentReceived", "OrderPaid"],
            paid.clone(),
            "order.paid",
            vec![("/amount", gbp(1780)), ("/paymentMethod", json!("card"))],
        ),
        (
            &["order.ready_for_shipping"],
            json!({ "orderId": "o-1", "items": [{ "productId": "85123A", "qty": 6 }] }),
            "order.released_for_shipping",
            one_item.clone(),
        ),
        (
            &["OrderShipped", "order.shipped"],
            json!({ "orderId": "o-1", "shipmentId": "s-1", "trackingId": "T1", "carrier": "DHL" }),
            "order.shipped",
            vec![("/trackingNumber", json!("T1"))],
        ),
        (&["OrderDelivered"], json!({ "orderId": "o-1", "deliveredAt": at }), "order.delivered", vec![]),
        (
            &["OrderCancelled", "order.cancelled"],
            json!({ "orderId": "o-1", "reason": "customer" }),
            "order.cancelled",
            vec![],
        ),
        (&["PaymentAuthorized"], paid, "payment.authorized", vec![("/amount", gbp(1780)), ("/method", json!("card"))]),
        (
            &["PaymentCaptured", "PaymentSucceeded", "PaymentProcessed", "payment.completed", "payment.processed"],
            captured,
            "payment.captured",
            vec![("/amount", gbp(1780)), ("/status", json!("approved")), ("/transactionId", json!("p-1"))],
        ),
        (
            &["PaymentFailed", "payment.failed"],
            json!({ "orderId": "o-1", "error": "card_declined" }),
            "payment.failed",
            vec![("/reason", json!("card_declined"))],
        ),
        (
            &["PaymentRefunded"],
            json!({ "orderId": "o-1", "refundId": "r-1", "amount": { "amount": "2.50", "currency": "GBP" } }),
            "payment.refunded",
            vec![("/amount", gbp(250))],
        ),
        (
            &["StockReceived"],
            json!({ "productId": "85123A", "quantity": 6 }),
            "inventory.stock_received",
            vec![("/sku", json!("85123A"))],
        ),
        (
            &["InventoryReserved", "inventory.reserved"],
            json!({ "orderId": "o-1", "items": [{ "productId": "85123A", "quantity": 6, "reservationId": "r-1" }] }),
            "inventory.reserved",
            one_item.clone(),
        ),
        (&["StockReserved"], per_sku.clone(), "inventory.reserved", one_item.clone()),
        (
            &["InventoryReservationFailed"],
            json!({ "orderId": "o-1", "productId": "85123A", "requested": 6, "available": 1 }),
            "inventory.reservation_failed",
            vec![("/items/0/available", json!(1)), ("/items/0/sku", json!("85123A"))],
        ),
        (
            &["StockReleased", "InventoryReleased", "inventory.released"],
            per_sku.clone(),
            "inventory.released",
            one_item.clone(),
        ),
        (&["StockShipped"], per_sku, "inventory.stock_shipped", one_item),
        (
            &["LowStockAlert"],
            json!({ "productId": "85123A", "currentQty": 2, "threshold": 5 }),
            "inventory.low_stock_detected",
            vec![("/currentQuantity", json!(2))],
        ),
        (
            &["reordering"],
            json!({ "productId": "85123A", "qty": 100 }),
            "inventory.reorder_placed",
            vec![("/quantity", json!(100))],
        ),
        (
            &["createLabel", "ShipmentCreated", "shipping.created"],
            json!({ "shipmentId": "s-1", "orderId": "o-1", "carrier": "DHL", "tracking": "T1", "warehouseId": "w",
                "estimatedDelivery": at, "labelRef": "l" }),
            "shipping.created",
            vec![("/trackingNumber", json!("T1"))],
        ),
        (
            &["ShipmentDispatched"],
            json!({ "shipmentId": "s-1", "orderId": "o-1", "shippedAt": at }),
            "shipping.dispatched",
            vec![("/dispatchedAt", json!(at))],
        ),
        (&["cancel_shipment"], json!({ "shipmentId": "s-1", "orderId": "o-1" }), "shipping.cancelled", vec![]),
        (
            &["ProductValidationCompleted", "product.validation_completed"],
            json!({ "orderId": "o-1", "isValid": true }),
            "product.validation_completed",
            vec![("/invalidItems", json!([]))],
        ),
        (
            &["user.updated", "UserUpdated"],
            json!({ "userId": 17850, "fields": ["email"], "email": "a@example.org" }),
            "customer.updated",
            vec![("/customerId", json!("17850")), ("/email", json!("a@example.org"))],
        ),
        (
            &["NotificationSent", "notification.sent"],
            json!({ "notificationId": "n-1", "channel": "EMAIL", "type": "order_paid", "userId": "c-1", "causeId": "e-1" }),
            "notification.sent",
            vec![("/channel", json!("email")), ("/template", json!("order_paid"))],
        ),
        (
            &["addPoints"],
            json!({ "userId": "c-1", "orderId": "o-1", "points": 5, "balance": 15 }),
            "loyalty.points_awarded",
            vec![("/customerId", json!("c-1"))],
        ),
        (
            &["validate transaction"],
            json!({ "orderId": "o-1", "verdict": "approved" }),
            "fraud.transaction_checked",
            vec![("/verdict", json!("cleared"))],
        ),
        (
            &["customer-order-totals"],
            json!({ "userId": "c-1", "count": 2, "totalAmount": 17.8 }),
            "analytics.customer_totals_updated",
            vec![("/total", gbp(1780)), ("/orderCount", json!(2))],
        ),
    ]
}

pub fn commands() -> Vec<Case> {
    let of_order = json!({ "orderId": "o-1", "sagaId": "saga-1" });
    let to_pay = json!({ "orderId": "o-1", "totalAmount": 17.8, "currency": "GBP", "paymentMethod": "card" });
    let goods = json!({ "orderId": "o-1", "items": [{ "productId": "85123A", "quantity": 6 }] });
    let one = || vec![("/items/0/sku", json!("85123A"))];
    let money = || vec![("/amount", gbp(1780))];
    let mut captured = to_pay.clone();
    captured["capture"] = json!(true);
    vec![
        (
            &["add to cart", "AddItemToCart"],
            json!({ "cartId": "b-1", "productId": "85123A", "qty": 6, "price": 2.55 }),
            "cart.add_item",
            vec![("/offer/unitPrice/amount", json!("2.55")), ("/quantity", json!(6))],
        ),
        (
            &["CreateOrder", "create_order", "order.create-requested"],
            json!({ "orderId": "o-1", "userId": 17850, "items": lines() }),
            "order.create",
            vec![("/total", gbp(1780)), ("/customerId", json!("17850"))],
        ),
        (
            &["UpdateOrder"],
            json!({ "orderId": "o-1", "contact": { "phone": "1" } }),
            "order.update",
            vec![("/contact/phone", json!("1"))],
        ),
        (
            &["CancelOrder", "order.cancel-requested"],
            of_order.clone(),
            "order.cancel",
            vec![("/orderId", json!("o-1"))],
        ),
        (&["markPaid"], json!({ "orderId": "o-1", "paymentId": "p-1", "total": 17.8 }), "order.mark_paid", money()),
        (&["validateProducts"], goods.clone(), "product.validate", one()),
        (&["PaymentRequested"], to_pay.clone(), "payment.authorize", money()),
        (&["PaymentRequested"], captured, "payment.process", money()),
        (&["CaptureRequested"], json!({ "orderId": "o-1", "paymentId": "p-1" }), "payment.capture", vec![]),
        (&["process_payment", "payment.process-requested", "charge"], to_pay, "payment.process", money()),
        (
            &["refund_payment", "payment.refund-requested"],
            of_order.clone(),
            "payment.refund",
            vec![("/orderId", json!("o-1"))],
        ),
        (&["reserve_inventory", "inventory.reserve-requested"], goods.clone(), "inventory.reserve", one()),
        (&["release_inventory", "inventory.release-requested"], of_order.clone(), "inventory.release", vec![]),
        (&["ship_order", "order.ship", "CreateShipment", "createLabel"], goods, "shipping.create", one()),
        (&["ship"], of_order.clone(), "shipping.dispatch", vec![]),
        (&["cancel_shipment"], of_order, "shipping.cancel", vec![]),
        (
            &["validate transaction"],
            json!({ "orderId": "o-1", "userId": "c-1", "total": 17.8 }),
            "fraud.check",
            money(),
        ),
        (
            &["sendEmail"],
            json!({ "userId": "c-1", "template": "order_paid" }),
            "notification.send",
            vec![("/channel", json!("email"))],
        ),
    ]
}
