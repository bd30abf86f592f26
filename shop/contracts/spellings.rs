//! What other systems call the shop's types, services and fields: one table. What stands here is read as ours at the door
//! (`POST /factum/v1/events` and `/commands`); inside there are only our own names.
//!
//! A line is: our type; their names; names that mean it only under a condition; the field that is the key of its stream
//! where a message names none; and how its data becomes ours.

use factum::{
    envelope::{
        Rule::{self, *},
        Spelled, Spellings,
        When::{From, Has},
    },
    error::NameError,
    money::Currency,
};

/// Of articles there are three names, and of each number of pieces two.
const SKU: Rule = Field("sku", &["productId", "itemId", "product_id"]);
const ARTICLE: &[Rule] = &[SKU, Text("sku"), Field("quantity", &["qty"])];
/// A line of a cart or an order.
const LINE: &[Rule] = &[
    Place("line"),
    SKU,
    Text("sku"),
    Missing("kind", "\"goods\""),
    Values("kind", &[("discount", "manual"), ("sample", "manual")]),
    Field("quantity", &["qty"]),
    Field("name", &["productName", "description"]),
    Same("name", "sku"),
    Price("unitPrice", &["price"]),
    Money("amount", &["lineTotal"]),
    Times("amount", "unitPrice", "quantity"),
];
/// What of a line may stand about in an event of one article.
const LOOSE: &[&str] = &["sku", "quantity", "qty", "price", "unitPrice", "name", "productName", "amount"];
const CUSTOMER: Rule = Field("customerId", &["userId", "user_id"]);
const ORDER: Rule = Field("orderId", &["order_id"]);
const AMOUNT: Rule = Money("amount", &["totalAmount", "total"]);
const METHOD: Rule = Field("method", &["paymentMethod"]);
const REASON: Rule = Missing("reason", "\"requested\"");
/// Whoever undoes a step need not say why.
const UNDO: &[Rule] = &[ORDER, REASON];
/// What an order is worth and whose it is.
const PRICED: &[Rule] = &[
    ORDER,
    CUSTOMER,
    Text("customerId"),
    Each("items", LINE),
    Money("subtotal", &[]),
    Money("discount", &[]),
    Money("tax", &[]),
    Money("shippingCharge", &["shippingCost"]),
    Money("total", &["totalAmount", "amount"]),
    Cents("total", &["totalCents"]),
    Sum("subtotal", "items", "amount"),
    Sum("total", "items", "amount"),
];
const CREATED: &[Rule] = &[
    ORDER,
    CUSTOMER,
    Text("customerId"),
    Each("items", LINE),
    Money("subtotal", &[]),
    Money("discount", &[]),
    Money("tax", &[]),
    Money("shippingCharge", &["shippingCost"]),
    Money("total", &["totalAmount", "amount"]),
    Cents("total", &["totalCents"]),
    Sum("total", "items", "amount"),
    Missing("status", "\"pending_validation\""),
    Values("status", STATES),
];
/// States of an order as others write them.
const STATES: &[(&str, &str)] = &[
    ("CREATED", "pending_validation"),
    ("PENDING_VALIDATION", "pending_validation"),
    ("created", "pending_validation"),
    ("pending", "pending_validation"),
];
/// An article of its own, where ours has a list.
const PER_SKU: &[&str] = &["sku", "quantity", "reservationId"];
const RESERVED: &[Rule] = &[ORDER, SKU, Gather("items", PER_SKU), Each("items", ARTICLE)];
const RELEASED: &[Rule] =
    &[ORDER, SKU, Gather("items", PER_SKU), Each("items", ARTICLE), Missing("reason", "\"released\"")];
const SHIPPED_STOCK: &[Rule] = &[ORDER, SKU, Gather("items", PER_SKU), Each("items", ARTICLE)];
const SHORT: &[Rule] = &[
    ORDER,
    SKU,
    Field("requested", &["requestedQuantity"]),
    Field("available", &["availableQuantity"]),
    Gather("items", &["sku", "requested", "available"]),
    Each(
        "items",
        &[SKU, Text("sku"), Field("requested", &["requestedQuantity"]), Field("available", &["availableQuantity"])],
    ),
    Missing("reason", "\"out_of_stock\""),
];
const WITH_ITEMS: &[Rule] = &[ORDER, Each("items", ARTICLE)];
const PAID: &[Rule] = &[ORDER, AMOUNT, Field("paymentMethod", &["method"])];
const PAYMENT: &[Rule] = &[ORDER, AMOUNT, METHOD, Missing("method", "\"card\"")];
const CAPTURED: &[Rule] = &[
    ORDER,
    AMOUNT,
    METHOD,
    Missing("method", "\"card\""),
    Same("transactionId", "paymentId"),
    Missing("status", "\"approved\""),
    Values("status", &[("completed", "approved"), ("succeeded", "approved"), ("APPROVED", "approved")]),
];
const CANCELLED: &[Rule] = &[ORDER, Missing("reason", "\"customer\"")];
const REJECTED: &[Rule] = &[
    ORDER,
    Missing("reason", "\"invalid_products\""),
    Values("reason", &[("INVALID_PRODUCTS", "invalid_products")]),
    Missing("invalidItems", "[]"),
    Each("invalidItems", &[SKU, Text("sku"), Missing("reason", "\"unknown\"")]),
];
const TRACKED: &[Rule] = &[ORDER, Field("trackingNumber", &["trackingId", "tracking"])];
const PERSON: &[Rule] = &[CUSTOMER, Text("customerId"), Missing("fields", "[]")];
const TOLD: &[Rule] = &[
    CUSTOMER,
    Text("customerId"),
    ORDER,
    Values("channel", &[("EMAIL", "email"), ("SMS", "sms"), ("PUSH", "push")]),
    Field("template", &["type"]),
];
const CHECKED: &[Rule] = &[
    ORDER,
    Values("verdict", &[("approved", "cleared"), ("rejected", "flagged"), ("suspicious", "flagged")]),
    Missing("score", "0"),
    Missing("reasons", "[]"),
];

/// Events.
pub const EVENTS: &[Spelled] = &[
    Spelled::new("cart.created", &["CartCreated"]).key("cartId").data(&[CUSTOMER]),
    Spelled::new("cart.item_added", &["ItemAddedToCart"]).key("cartId").data(&[
        SKU,
        Nest("item", LOOSE),
        In("item", LINE),
        In("item", &[Missing("line", "1")]),
    ]),
    Spelled::new("cart.item_removed", &["ItemRemovedFromCart"]).key("cartId").data(ARTICLE),
    Spelled::new("cart.checked_out", &["CartCheckedOut", "Cart Checkout Event"]).key("cartId").data(PRICED),
    Spelled::new("cart.abandoned", &["CartAbandoned"]).key("cartId").data(&[
        CUSTOMER,
        Each("items", LINE),
        Missing("reason", "\"timed_out\""),
    ]),
    Spelled::new("order.created", &["OrderCreated", "OrderPlaced", "order.pending_validation"])
        .key("orderId")
        .data(CREATED),
    Spelled::new("order.validated", &["VALIDATED", "OrderValidated"])
        .when(&[("OrderStatusChanged", Has("status", "VALIDATED"))])
        .key("orderId")
        .data(&[ORDER]),
    Spelled::new("order.rejected", &["rejectOrder", "OrderRejected"]).key("orderId").data(REJECTED),
    Spelled::new("order.updated", &["OrderUpdated", "updateOrdersWithLatestUserContact"])
        .key("orderId")
        .data(&[ORDER, Missing("fields", "[]")]),
    Spelled::new("order.paid", &["order.payment_received", "order.payment_completed", "PaymentReceived", "OrderPaid"])
        .key("orderId")
        .data(PAID),
    Spelled::new("order.released_for_shipping", &["order.ready_for_shipping"]).key("orderId").data(&[
        ORDER,
        Each("items", ARTICLE),
        Missing("reservations", "[]"),
    ]),
    Spelled::new("order.shipped", &["OrderShipped"]).key("orderId").data(TRACKED),
    Spelled::new("order.delivered", &["OrderDelivered"]).key("orderId").data(&[ORDER]),
    Spelled::new("order.cancelled", &["OrderCancelled"]).key("orderId").data(CANCELLED),
    Spelled::new("payment.authorized", &["PaymentAuthorized"]).key("paymentId").data(PAYMENT),
    Spelled::new(
        "payment.captured",
        &["PaymentCaptured", "PaymentSucceeded", "PaymentProcessed", "payment.completed", "payment.processed"],
    )
    .key("paymentId")
    .data(CAPTURED),
    Spelled::new("payment.failed", &["PaymentFailed"]).key("orderId").data(&[
        ORDER,
        AMOUNT,
        Field("reason", &["error"]),
    ]),
    Spelled::new("payment.refunded", &["PaymentRefunded"]).key("refundId").data(&[
        ORDER,
        AMOUNT,
        Missing("reason", "\"returned\""),
    ]),
    Spelled::new("inventory.stock_received", &["StockReceived"]).key("sku").data(&[
        SKU,
        Text("sku"),
        Missing("warehouseId", "\"main\""),
    ]),
    Spelled::new("inventory.reserved", &["InventoryReserved", "StockReserved"]).key("orderId").data(RESERVED),
    Spelled::new("inventory.reservation_failed", &["InventoryReservationFailed"]).key("orderId").data(SHORT),
    Spelled::new("inventory.released", &["StockReleased", "InventoryReleased"]).key("orderId").data(RELEASED),
    Spelled::new("inventory.stock_shipped", &["StockShipped"]).key("orderId").data(SHIPPED_STOCK),
    Spelled::new("inventory.low_stock_detected", &["LowStockAlert"]).key("sku").data(&[
        SKU,
        Text("sku"),
        Field("currentQuantity", &["currentQty"]),
    ]),
    Spelled::new("inventory.reorder_placed", &["reordering"]).key("sku").data(ARTICLE),
    Spelled::new("shipping.created", &["createLabel", "ShipmentCreated"]).key("shipmentId").data(TRACKED),
    Spelled::new("shipping.dispatched", &["ShipmentDispatched"])
        .when(&[("order.shipped", From("shipping-service"))])
        .key("shipmentId")
        .data(&[ORDER, Field("dispatchedAt", &["shippedAt"])]),
    Spelled::new("shipping.cancelled", &["cancel_shipment"]).key("shipmentId").data(CANCELLED),
    Spelled::new("product.validation_completed", &["ProductValidationCompleted"]).key("orderId").data(&[
        ORDER,
        Missing("invalidItems", "[]"),
        Each("invalidItems", &[SKU, Text("sku")]),
    ]),
    Spelled::new("customer.updated", &["user.updated", "UserUpdated"]).key("customerId").data(PERSON),
    Spelled::new("notification.sent", &["NotificationSent"]).key("notificationId").data(TOLD),
    Spelled::new("loyalty.points_awarded", &["addPoints"]).key("customerId").data(&[
        CUSTOMER,
        Text("customerId"),
        ORDER,
    ]),
    Spelled::new("fraud.transaction_checked", &["validate transaction"]).key("orderId").data(CHECKED),
    Spelled::new("analytics.customer_totals_updated", &["customer-order-totals"]).key("customerId").data(&[
        CUSTOMER,
        Text("customerId"),
        Money("total", &["totalAmount"]),
        Field("orderCount", &["count"]),
    ]),
];

/// Commands.
pub const COMMANDS: &[Spelled] = &[
    Spelled::new("cart.add_item", &["add to cart", "AddItemToCart"]).key("cartId").data(&[
        SKU,
        Text("sku"),
        Field("quantity", &["qty"]),
        Same("name", "sku"),
        Price("unitPrice", &["price"]),
        Missing("active", "true"),
        Nest("offer", &["name", "unitPrice", "active"]),
    ]),
    Spelled::new("order.create", &["CreateOrder", "create_order", "order.create-requested"])
        .key("orderId")
        .data(PRICED),
    Spelled::new("order.update", &["UpdateOrder"]).key("orderId").data(&[ORDER]),
    Spelled::new("order.cancel", &["CancelOrder", "order.cancel-requested"]).key("orderId").data(UNDO),
    Spelled::new("order.mark_paid", &["markPaid"]).key("orderId").data(PAID),
    Spelled::new("product.validate", &["validateProducts"]).key("orderId").data(WITH_ITEMS),
    Spelled::new("payment.authorize", &["PaymentRequested"]).key("orderId").data(PAYMENT),
    Spelled::new("payment.capture", &["CaptureRequested"]).key("orderId").data(&[ORDER]),
    Spelled::new("payment.process", &["process_payment", "payment.process-requested", "charge"])
        .when(&[("PaymentRequested", Has("capture", "true"))])
        .key("orderId")
        .data(PAYMENT),
    Spelled::new("payment.refund", &["refund_payment", "payment.refund-requested"])
        .key("orderId")
        .data(&[ORDER, AMOUNT, REASON]),
    Spelled::new("inventory.reserve", &["reserve_inventory", "inventory.reserve-requested"])
        .key("orderId")
        .data(WITH_ITEMS),
    Spelled::new("inventory.release", &["release_inventory", "inventory.release-requested"]).key("orderId").data(UNDO),
    Spelled::new("shipping.create", &["ship_order", "order.ship", "CreateShipment", "createLabel"])
        .key("orderId")
        .data(WITH_ITEMS),
    Spelled::new("shipping.dispatch", &["ship"]).key("orderId").data(&[ORDER]),
    Spelled::new("shipping.cancel", &["cancel_shipment"]).key("orderId").data(UNDO),
    Spelled::new("fraud.check", &["validate transaction"]).key("orderId").data(&[
        ORDER,
        CUSTOMER,
        Text("customerId"),
        AMOUNT,
    ]),
    Spelled::new("notification.send", &["sendEmail"]).key("customerId").data(&[
        CUSTOMER,
        Text("customerId"),
        ORDER,
        Missing("channel", "\"email\""),
    ]),
];

/// Services.
pub const SERVICES: &[(&str, &str)] = &[
    ("CartService", "cart-service"),
    ("OrderService", "order-service"),
    ("PaymentService", "payment-service"),
    ("InventoryService", "inventory-service"),
    ("ShippingService", "shipping-service"),
    ("fulfillment-service", "shipping-service"),
    ("NotificationService", "notification-service"),
    ("AnalyticsService", "analytics-service"),
    ("product-service", "catalog-service"),
    ("user-service", "customer-service"),
];

/// The whole table.
///
/// # Errors
/// [`NameError`] if two lines contradict each other; the tests see that none do.
pub fn spellings() -> Result<Spellings, NameError> {
    // The shop's prices are in pounds, and amounts that say nothing else too.
    let table = Spellings::new().currency(Currency::GBP).events(EVENTS)?.commands(COMMANDS)?;
    SERVICES.iter().try_fold(table, |table, (theirs, ours)| table.service(theirs, ours))
}
