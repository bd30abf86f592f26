//! A shop whose disk is full: it opens, can be read, and takes orders as soon as there is room.

use std::sync::Arc;

use factum::chaos::{Client, Place, Tally, free_address};
use serde_json::json;
use shop::serve::{Serve, serve_until};
use tokio::sync::oneshot;

use crate::unfinished::opened;

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_opens_on_a_full_disk_and_takes_orders_when_there_is_room() {
    let place = Place::new(96, &Tally::default()).unwrap();
    let listen = free_address().unwrap();
    let serve = Serve { listen, ..opened(&place.data()) };
    serve_until(serve.clone(), async {}).await.unwrap();
    let Some(ballast) = place.fill().unwrap() else {
        println!("skipped: a full disk needs root and a loop device");
        return;
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve_until(serve, async { _ = stopped.await }));
    let patience = opened(&place.data()).patience;
    let client = Arc::new(Client::new(&format!("http://{listen}"), patience, patience));
    let product = json!({ "name": "Tea", "price": "2.55" }).to_string();
    let customer = client.clone();
    let taken = tokio::spawn(async move { customer.put("/products/TEA", &product).await });
    while client.seen(507) == 0 {
        assert!(!served.is_finished(), "the shop does not open: {:?}", served.await);
        tokio::task::yield_now().await;
    }
    ballast.free().unwrap();
    assert!(taken.await.unwrap().unwrap().status < 300);
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}
