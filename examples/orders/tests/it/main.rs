//! The service with its own tables beside a running unit: what it tells arrives, and what comes twice is one order.
#![allow(clippy::unwrap_used, reason = "what the tests share may fail as they may")]

use std::time::{Duration, Instant};

use factum::{
    postgres::{
        outbox::{Outbox, OutboxError},
        tokio_postgres::{self, Client, NoTls},
    },
    prelude::*,
    stream::Position,
};
use factum_testing::engines::postgres::Server;
use orders::{
    OrderError, OrderPlaced, Orders,
    dispatch::{self, OrderRow, ParcelRow},
};

/// What others write is seen in this time.
const SOON: Duration = Duration::from_secs(1);

/// A unit that runs, and the service beside it.
struct Shop {
    server: Server,
    app: App,
    orders: Orders,
}

impl Shop {
    /// `None`, and a line that says why, if there is no PostgreSQL.
    async fn open() -> Option<Self> {
        let server = Server::start().map_err(|why| eprintln!("left out: {why}")).ok()?;
        let unit = format!("{}?schema=dispatch", server.url());
        let app = App::open(&unit).unwrap().with(dispatch::service()).start().await.unwrap();
        let orders = Orders::open(&session(&server).await, &unit).await.unwrap();
        Some(Self { server, app, orders })
    }

    async fn session(&self) -> Client {
        session(&self.server).await
    }

    /// Waits until the unit's log goes so far, and its rows of orders and parcels do.
    async fn reach(&self, position: u64) -> (u64, u64) {
        let after = Position(position);
        let orders = self.app.rows::<OrderRow>().after(after).page().await.unwrap().total;
        (orders, self.app.rows::<ParcelRow>().after(after).page().await.unwrap().total)
    }
}

async fn session(server: &Server) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_tells_reaches_a_view_and_a_reaction_within_a_second() {
    let Some(shop) = Shop::open().await else { return };
    let mut client = shop.session().await;
    let before = shop.app.position().0;
    let order = shop.orders.create(&mut client, "req-1", "lamp", 2).await.unwrap();
    let told = Instant::now();
    // The event, the command that follows from it, and the event of that.
    assert_eq!(shop.reach(before + 3).await, (1, 1));
    assert!(told.elapsed() < SOON, "{:?}", told.elapsed());
    let row = shop.app.rows::<OrderRow>().get(&order.id.to_string()).await.unwrap().unwrap();
    assert_eq!((row.sku.as_str(), row.quantity), ("lamp", 2));
    shop.app.stop().await;
}

/// A notification may be lost with its session: here none was ever sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_rang_for_is_seen_within_a_second_too() {
    let Some(shop) = Shop::open().await else { return };
    let mut client = shop.session().await;
    let before = shop.app.position().0;
    shop.orders.create(&mut client, "req-1", "lamp", 2).await.unwrap();
    assert_eq!(shop.reach(before + 3).await, (1, 1));
    let again = format!(
        "BEGIN; SET search_path = dispatch; \
         INSERT INTO message SELECT unit.position + 1, 'order-x', 1, type, source, size, head, \
             convert_to(replace(convert_from(data, 'UTF8'), '\"orderId\":\"1\"', '\"orderId\":\"x\"'), 'UTF8') \
             FROM message, unit WHERE message.position = {}; \
         INSERT INTO stream VALUES ('order-x', 1); UPDATE unit SET position = position + 1; COMMIT",
        before + 1
    );
    shop.server.sql(&again).unwrap();
    let told = Instant::now();
    assert_eq!(shop.reach(before + 6).await, (2, 2), "I13: what others wrote is seen without a bell");
    assert!(told.elapsed() < SOON, "I13: {:?}", told.elapsed());
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_again_makes_one_order_and_tells_of_it_once() {
    let Some(shop) = Shop::open().await else { return };
    let before = shop.app.position().0;
    let (mut one, mut other) = (shop.session().await, shop.session().await);
    let (first, second) = tokio::join!(
        shop.orders.create(&mut one, "req-1", "lamp", 2),
        shop.orders.create(&mut other, "req-1", "lamp", 2)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first, second);
    assert_eq!(shop.orders.create(&mut one, "req-1", "lamp", 2).await.unwrap(), first);
    let last = shop.orders.create(&mut one, "req-2", "chair", 1).await.unwrap();
    assert_eq!(shop.reach(before + 6).await, (2, 2));
    for id in [first.id, last.id] {
        let parcel = shop.app.rows::<ParcelRow>().get(&id.to_string()).await.unwrap().unwrap();
        assert_eq!(parcel.packed, 1);
    }
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_nothing_leaves_nothing_and_may_be_sent_again() {
    let Some(shop) = Shop::open().await else { return };
    let mut client = shop.session().await;
    let refused = shop.orders.create(&mut client, "req-1", "lamp", 0).await.unwrap_err();
    assert!(matches!(refused, OrderError::Nothing));
    shop.orders.create(&mut client, "req-1", "lamp", 1).await.unwrap();
    assert_eq!(shop.server.sql("SELECT count(*), min(quantity) FROM orders").unwrap(), "1|1");
    shop.app.stop().await;
}

/// What the unit folds it alone writes: else its states would be other than its log.
#[tokio::test(flavor = "multi_thread")]
async fn the_units_own_streams_are_not_written_by_others() {
    let Some(shop) = Shop::open().await else { return };
    let mut client = shop.session().await;
    let unit = format!("{}?schema=dispatch", shop.server.url());
    let outbox = Outbox::open(&unit, "parcels").await.unwrap();
    let event = OrderPlaced { order_id: "1".into(), sku: "lamp".into(), quantity: 1 };
    for stream in ["parcel-1", "dispatch.pack-1", "letter-1"] {
        let outgoing = outbox.event(factum::stream::StreamId::parse(stream).unwrap(), &event).unwrap();
        let refused = outbox.commit_with(client.transaction().await.unwrap(), outgoing).await.unwrap_err();
        assert!(matches!(&refused, OutboxError::Refused(_)), "{refused}");
        assert!(refused.to_string().contains("send"), "{refused}");
    }
    shop.app.stop().await;
}

/// What the page shows of this example stands in it.
#[test]
fn the_page_shows_what_the_example_does() {
    let (page, source) = (include_str!("../../../../docs/postgres.md"), include_str!("../../src/lib.rs"));
    let shown: Vec<&str> = page.split("```rust examples/orders/src/lib.rs\n").skip(1).collect();
    assert_eq!(shown.len(), 2);
    for block in shown {
        let block = block.split("\n```").next().unwrap();
        assert!(source.contains(block), "the example has no such lines:\n{block}");
    }
}
