//! A shop whose disk is full: it opens, can be read, and takes what it is told as soon as there is room.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use factum::chaos::{Client, Place, Tally, free_address};
use shop::serve::{Serve, serve_until};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use crate::unfinished::opened;

const LIMIT: Duration = Duration::from_secs(60);
/// Requests at once, and rounds of them until the disk must be full.
const AT_ONCE: usize = 32;
const ROUNDS: usize = 2_000;

struct Served {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Served {
    fn start(data: &Path, listen: SocketAddr) -> Self {
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(serve_until(Serve { listen, ..opened(data) }, async { _ = stopped.await }));
        Self { stop, ended }
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

/// Receives stock until that is refused, because the disk is full.
async fn fill(client: &Arc<Client>) {
    for _ in 0..ROUNDS {
        if client.seen(507) > 0 {
            return;
        }
        let mut asking = JoinSet::new();
        for _ in 0..AT_ONCE {
            let client = client.clone();
            asking.spawn(async move { client.once("/stock/TEA/receive", b"{\"quantity\":1}".to_vec()).await });
        }
        asking.join_all().await;
    }
    assert!(client.seen(507) > 0, "the disk does not get full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_opens_on_a_full_disk_and_goes_on_when_there_is_room() {
    let place = Place::new(64, &Tally::default()).unwrap();
    let listen = free_address().unwrap();
    let client = Arc::new(Client::new(&format!("http://{listen}"), LIMIT, LIMIT));
    let served = Served::start(&place.data(), listen);
    assert!(client.put("/products/TEA", r#"{"name":"Tea","price":"2.55"}"#).await.unwrap().status < 300);
    let Some(ballast) = place.fill().unwrap() else {
        println!("skipped: a full disk needs root and a loop device");
        return served.end().await;
    };
    fill(&client).await;
    served.end().await;
    ballast.take_more().unwrap();

    let served = Served::start(&place.data(), listen);
    let read = tokio::select! {
        read = client.get("/products/TEA") => read.unwrap(),
        () = async { while !served.ended.is_finished() { tokio::time::sleep(Duration::from_millis(1)).await } } => {
            panic!("the shop does not open: {:?}", served.ended.await)
        }
    };
    assert_eq!(read.status, 200);
    ballast.free().unwrap();
    let taken = client.post("/stock/TEA/receive", "k", &[], "{\"quantity\":1}").await.unwrap();
    assert!(taken.status < 300, "{taken:?}");
    served.end().await;
}
