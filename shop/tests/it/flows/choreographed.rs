//! The same ends without a saga: what happens to an order in one way of running it, happens in the other.

use factum::envelope::Kind;
use serde_json::{Value, json};

use super::{ann, available, ends, in_order, is_well, log, payment, placed};
use crate::{
    gateways::{Outside, Trouble, news_of, shipment, told},
    shop::Shop,
};

/// R164, R175, R212, R213, R218, R265: each room answers the one before; no saga is asked.
#[tokio::test]
async fn each_room_answers_the_one_before() {
    let shop = Shop::choreographed(None).await;
    ann(&shop).await;
    let before = shop.app.position();
    let order = placed(&shop, "TEA", 100).await;
    shop.days(6).await;
    assert_eq!(ends(&shop, &order).await.0, "delivered");
    let log = log(&shop, before, &[Kind::Event]);
    let rows: [(&str, &[&str]); 11] = [
        ("order", &["order.created"]),
        ("catalog, fraud", &["product.validation_completed", "fraud.transaction_checked"]),
        ("order", &["order.validated"]),
        ("payment", &["payment.authorized"]),
        ("payment", &["payment.captured"]),
        ("order", &["order.paid"]),
        ("inventory", &["inventory.reserved"]),
        ("order", &["order.confirmed", "order.released_for_shipping"]),
        ("shipping", &["shipping.created"]),
        ("order, inventory", &["order.shipped", "inventory.stock_shipped"]),
        ("order, loyalty", &["order.delivered", "loyalty.points_awarded"]),
    ];
    in_order(&log, &rows);
    assert!(!log.iter().any(|name| name.starts_with("fulfilment.")), "{log:#?}");
    is_well(&shop);
}

/// Which act has which trouble.
type Troubled = (&'static str, fn() -> Trouble);

/// What may happen to an order.
struct Case {
    name: &'static str,
    of: (&'static str, u32),
    trouble: Option<Troubled>,
    ends: (&'static str, &'static str),
}

const CASES: [Case; 6] = [
    Case { name: "forward", of: ("TEA", 100), trouble: None, ends: ("delivered", "") },
    Case { name: "invalid", of: ("NOWHERE", 1), trouble: None, ends: ("rejected", "invalid_products") },
    Case { name: "short", of: ("CUP", 200_000), trouble: None, ends: ("cancelled", "out_of_stock") },
    Case {
        name: "declined",
        of: ("TEA", 2),
        trouble: Some(("authorize", || Trouble::Refused)),
        ends: ("cancelled", "payment_failed"),
    },
    Case {
        name: "not given",
        of: ("TEA", 2),
        trouble: Some(("capture", || Trouble::Refused)),
        ends: ("cancelled", "payment_failed"),
    },
    Case {
        name: "not taken",
        of: ("TEA", 2),
        trouble: Some(("shipments", || Trouble::Refused)),
        ends: ("cancelled", "undeliverable"),
    },
];

/// Everything that counts when it is over.
async fn outcome(shop: &Shop, order: &str) -> Value {
    let paid = payment(shop, order).await;
    let kept = match paid["status"].as_str() {
        Some("captured") => {
            paid["amount"]["amount"].as_i64().unwrap() - paid["refunded"]["amount"].as_i64().unwrap_or(0)
        }
        _ => 0,
    };
    let (status, reason) = ends(shop, order).await;
    json!({ "status": status, "reason": reason, "kept": kept, "tea": available(shop, "TEA").await,
        "cups": available(shop, "CUP").await, "points": shop.get("/loyalty/ann").await.body["balance"] })
}

/// R164, R216, R219, R223, R258, R259, R318: the same participants come to the same ends in both ways.
#[tokio::test]
async fn both_ways_come_to_the_same_ends() {
    for case in &CASES {
        let mut outcomes = Vec::new();
        for choreographed in [false, true] {
            let (outside, url) = Outside::open().await;
            if let Some((what, trouble)) = &case.trouble {
                outside.trouble(what, [trouble()]);
            }
            let shop = if choreographed { Shop::choreographed(Some(&url)).await } else { Shop::calling(&url).await };
            ann(&shop).await;
            let order = placed(&shop, case.of.0, case.of.1).await;
            shop.hours(2).await;
            if ends(&shop, &order).await.0 == "shipped" {
                let parcel = shipment(&shop, &order).await;
                assert_eq!(told(&shop, &news_of(&parcel, "delivered", "2025-01-01T01:00:00Z")).await.status, 202);
                shop.app.rest().await.unwrap();
            }
            is_well(&shop);
            let outcome = outcome(&shop, &order).await;
            assert_eq!(
                (&outcome["status"], &outcome["reason"]),
                (&json!(case.ends.0), &json!(case.ends.1)),
                "{}",
                case.name
            );
            outcomes.push(outcome);
        }
        assert_eq!(outcomes[0], outcomes[1], "{}", case.name);
    }
}
