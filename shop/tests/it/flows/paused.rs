//! Each service's consumers stand still in turn while orders come in: orders are accepted, what needs none of them goes on, and
//! when they go on everything comes to the end to which it comes without.

use factum::{envelope::Kind, memory::Memory, prelude::Service, stream::Position};
use serde_json::{Value, json};
use shop::{
    contracts::process::Process,
    services::{Options, services},
};

use super::{ann, available, ends, is_well, log, pause::Pause, told_of};
use crate::shop::{Shop, simulated};

/// A service, and how far orders come without it: where a saga asks, and where each room answers the one before.
const WITHOUT: [(&str, &str, &str); 11] = [
    // A saga cannot be paused apart from the room that accepts the orders; where there is none, what runs them can.
    ("order", "", "pending_validation"),
    ("catalog", "pending_validation", "pending_validation"),
    ("fraud", "pending_validation", "pending_validation"),
    ("inventory", "validated", "paid"),
    ("payment", "reserved", "validated"),
    ("shipping", "reserved", "ready_for_shipping"),
    ("customer", "shipped", "shipped"),
    ("loyalty", "shipped", "shipped"),
    ("analytics", "shipped", "shipped"),
    ("notification", "shipped", "shipped"),
    ("cart", "shipped", "shipped"),
];

/// A shop in which a service can be paused.
async fn open(process: Process, paused: &str, pause: &Pause) -> Shop {
    let services = services(&Options { process, ..simulated() }).into_iter();
    let obey = |service: Service| if service.name == paused { pause.of(service) } else { service };
    let shop = Shop::of(Memory::new(), services.map(obey).collect()).await.stock().await;
    ann(&shop).await;
    shop.app.rest().await.unwrap();
    shop
}

/// Orders come in: the same in each shop, so that they have the same ids and thus the same carrier's days.
async fn orders(shop: &Shop) -> Vec<String> {
    let mut orders = Vec::new();
    for key in ["1", "2", "3"] {
        let items = json!([{ "sku": "TEA", "quantity": 100 }]);
        let order = json!({ "customerId": "ann", "items": items, "shippingAddress": { "country": "GB" } });
        let placed = shop.post_as(key, "/orders", &order).await;
        assert_eq!(placed.body["status"], "pending_validation", "{placed:?}");
        orders.push(placed.order());
    }
    shop.app.rest().await.unwrap();
    orders
}

/// All that has become of them.
async fn outcome(shop: &Shop, orders: &[String]) -> Value {
    let mut of_each = Vec::new();
    for order in orders {
        of_each.push(json!([ends(shop, order).await, told_of(shop, order).await]));
    }
    let funnel = shop.get("/analytics/funnel").await.body;
    let customer = shop.get("/analytics/customers/ann").await.body;
    json!({ "orders": of_each, "tea": available(shop, "TEA").await, "funnel": funnel,
        "points": shop.get("/loyalty/ann").await.body["balance"], "bought": customer["total"] })
}

async fn each_in_turn(process: Process, reaches: impl Fn(&(&'static str, &'static str, &'static str)) -> &'static str) {
    let calm = open(process, "", &Pause::default()).await;
    let placed = orders(&calm).await;
    calm.days(7).await;
    let wanted = outcome(&calm, &placed).await;
    assert_eq!((&wanted["funnel"]["delivered"], &wanted["points"]), (&json!(3), &json!(765)));

    for row in WITHOUT.iter().filter(|row| !reaches(row).is_empty()) {
        let (paused, reached, pause) = (row.0, reaches(row), Pause::default());
        let shop = open(process, paused, &pause).await;
        pause.begin();
        let placed = orders(&shop).await;
        for order in &placed {
            assert_eq!(ends(&shop, order).await.0, reached, "without {paused}");
        }
        if reached == "shipped" {
            shop.days(7).await;
            for order in &placed {
                assert_eq!(ends(&shop, order).await.0, "delivered", "without {paused}");
            }
        }
        // Nothing is sent to these two by others, so nothing waits for them: whoever asks them is refused meanwhile.
        let own = match paused {
            "customer" => Some(shop.put("/customers/bob", &json!({ "name": "Bob" })).await),
            "cart" => Some(shop.post("/carts", &json!({})).await),
            _ => None,
        };
        assert!(own.as_ref().is_none_or(|answer| answer.status >= 400), "without {paused}: {own:?}");
        let letters = pause.end(&shop).await;
        assert!(letters > 0 || own.is_some(), "without {paused} nothing failed");
        shop.days(7).await;
        assert_eq!(outcome(&shop, &placed).await, wanted, "without {paused}");
        assert!(shop.app.health().is_well(), "without {paused}: {:?}", shop.app.health());
        is_well(&shop);
    }
}

/// R4, R7, R8, R16, R148, R149, R153, R257: where a saga asks.
#[tokio::test]
async fn whichever_service_stands_still_orders_are_accepted_and_come_to_their_ends() {
    each_in_turn(Process::Orchestrated, |(_, orchestrated, _)| orchestrated).await;
}

/// R4, R7, R8, R16, R149, R153, R164, R257: where each room answers the one before.
#[tokio::test]
async fn also_where_each_room_answers_the_one_before() {
    each_in_turn(Process::Choreographed, |(_, _, choreographed)| choreographed).await;
}

/// R4, R7, R9, R196, R266: a service that is not there at all, and comes later, gets what happened without it.
#[tokio::test]
async fn services_that_come_later_get_all_that_happened() {
    let calm = open(Process::Orchestrated, "", &Pause::default()).await;
    let placed = orders(&calm).await;
    calm.days(7).await;
    let wanted = outcome(&calm, &placed).await;
    for late in ["loyalty", "analytics"] {
        let log_of = Memory::new();
        let shop = Shop::lacking(log_of.clone(), &[late]).await.stock().await;
        ann(&shop).await;
        let placed = orders(&shop).await;
        shop.days(7).await;
        let types = log(&shop, Position::START, &[Kind::Event]);
        assert!(!types.iter().any(|name| name.starts_with(late)), "{late}");
        shop.app.stop().await;
        drop(shop);
        let shop = Shop::over(log_of).await;
        shop.days(7).await;
        assert_eq!(outcome(&shop, &placed).await, wanted, "{late}");
        is_well(&shop);
    }
}
