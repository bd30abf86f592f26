//! Each partner is away in turn while orders come in: a broken e-mail never stops a sale, and a provider or a carrier only
//! what needs it.

use std::{collections::BTreeSet, time::Duration};

use axum::{Json, Router};
use factum::{http::client::Remote, memory::Memory};
use serde_json::json;
use shop::{
    notification::gateway::Channels,
    services::{Options, services},
};
use tokio::net::TcpListener;

use super::{ann, ends, is_well, line::Line, placed, told_of};
use crate::{
    gateways::{Outside, news_of, shipment, told},
    notifications::{Relays, Smtp, by_mail, words},
    shop::{Shop, secret, simulated},
};

/// All that an order is told of on its way.
const TOLD: [&str; 6] = [
    "email order_created",
    "email order_paid",
    "email order_shipped",
    "sms order_shipped",
    "email order_delivered",
    "push order_delivered",
];

/// Whoever sends texts and pushes.
async fn sender() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(|| async { Json(json!({ "id": "m-1" })) });
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    url
}

async fn open(options: &Options) -> Shop {
    let shop = Shop::of(Memory::new(), services(options)).await.stock().await;
    ann(&shop).await;
    shop.app.rest().await.unwrap();
    shop
}

fn remote(line: &Line) -> Remote {
    format!("http://{}", line.address).parse().unwrap()
}

async fn three(shop: &Shop) -> Vec<String> {
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(placed(shop, "TEA", 100).await);
    }
    orders
}

/// The messages of a channel wait, all others are out; or all are out.
async fn has_told(shop: &Shop, order: &str, away: Option<&str>) {
    let stands = |message: &str| match away {
        Some(channel) if message.starts_with(channel) => format!("{message} open"),
        _ => format!("{message} sent"),
    };
    let wanted: BTreeSet<String> = TOLD.iter().map(|message| stands(message)).collect();
    assert_eq!(told_of(shop, order).await, wanted, "away: {away:?}");
}

/// R4, R7, R16, R194, R257: mail, texts and pushes are away for an hour, and no sale is held up; then all are sent.
#[tokio::test]
async fn a_broken_channel_never_stops_a_sale() {
    for away in ["email", "sms", "push"] {
        let (smtp, relay) = Smtp::open(Relays::Takes).await;
        let far = if away == "email" { relay.to_string() } else { sender().await };
        let line = Line::cut_to(&far).await;
        let channels = match away {
            "email" => by_mail(format!("smtp://{}", line.address).parse().unwrap()),
            "sms" => Channels { sms: Some(remote(&line)), ..Channels::default() },
            _ => Channels { push: Some(remote(&line)), ..Channels::default() },
        };
        // The parcels come within the hour, so that the channels are away for all of an order's life.
        let day = Duration::from_secs(60);
        let shop = open(&Options { channels, day, ..simulated() }).await;
        let orders = three(&shop).await;
        shop.hours(1).await;
        for order in &orders {
            assert_eq!(ends(&shop, order).await.0, "delivered", "without {away}");
            has_told(&shop, order, Some(away)).await;
        }
        assert_eq!(shop.get("/loyalty/ann").await.body["balance"], 765);
        line.mend();
        shop.hours(3).await;
        for order in &orders {
            has_told(&shop, order, None).await;
        }
        assert_eq!(smtp.mails().len(), if away == "email" { 12 } else { 0 });
        is_well(&shop);
    }
}

/// R4, R7, R16, R257: orders are accepted and reserved while the provider is away, and paid when it is back.
#[tokio::test]
async fn orders_wait_for_a_provider_that_is_away() {
    let (outside, far) = Outside::open().await;
    let line = Line::cut_to(&far.to_string()).await;
    let shop = open(&Options { provider: Some(remote(&line)), ..simulated() }).await;
    let orders = three(&shop).await;
    shop.app.rest().await.unwrap();
    for order in &orders {
        assert_eq!(ends(&shop, order).await.0, "reserved");
        assert_eq!(told_of(&shop, order).await, words(&["email order_created sent"]));
    }
    assert_eq!(outside.asked(), Vec::<String>::new());
    line.mend();
    shop.days(7).await;
    for order in &orders {
        assert_eq!(ends(&shop, order).await.0, "delivered");
        has_told(&shop, order, None).await;
    }
    assert_eq!((outside.done("authorize"), outside.done("capture"), outside.done("void")), (3, 3, 0));
    is_well(&shop);
}

/// R4, R7, R16, R257: the same with the carrier; what is reserved and held meanwhile is taken once.
#[tokio::test]
async fn orders_wait_for_a_carrier_that_is_away() {
    let (outside, far) = Outside::open().await;
    let line = Line::cut_to(&far.to_string()).await;
    let shop = open(&Options { carrier: Some(remote(&line)), carrier_secret: Some(secret()), ..simulated() }).await;
    let orders = three(&shop).await;
    shop.app.rest().await.unwrap();
    for order in &orders {
        assert_eq!(ends(&shop, order).await.0, "reserved");
    }
    line.mend();
    shop.a_minute().await;
    for order in &orders {
        assert_eq!(ends(&shop, order).await.0, "shipped");
        let parcel = shipment(&shop, order).await;
        assert_eq!(told(&shop, &news_of(&parcel, "delivered", "2025-01-01T00:01:00Z")).await.status, 202);
    }
    shop.app.rest().await.unwrap();
    for order in &orders {
        assert_eq!(ends(&shop, order).await.0, "delivered");
        has_told(&shop, order, None).await;
    }
    assert_eq!((outside.done("shipments"), outside.done("cancel")), (3, 0));
    is_well(&shop);
}
