//! Starting and stopping, with real sockets and a real directory.

use std::path::Path;

use factum::App;
use serde_json::json;
use shop::serve::{Serve, serve_until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

use crate::shop::{DAY, Shop};

#[tokio::test]
async fn a_stop_finishes_what_was_begun_and_takes_nothing_more() {
    let shop = Shop::open().await;
    let listener = factum::http::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = shop.app.router();
    let server = tokio::spawn(factum::http::serve(listener, router, async {
        stopped.await.unwrap();
    }));

    let order = json!({ "items": [{ "sku": "TEA", "quantity": 1 }] }).to_string();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /orders HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        order.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: the request is under way.
    let mut asked = [0; 25];
    socket.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");

    stop.send(()).unwrap();
    socket.write_all(order.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 Accepted\r\n"), "{answer}");
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    shop.app.stop().await;
    assert_eq!(shop.get("/orders").await.body["total"], 1);
}

fn serving(dir: &Path) -> Serve {
    Serve {
        data: dir.into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        day: DAY,
        provider: None,
        provider_lists: false,
        carrier: None,
        carrier_secret: None,
        process: shop::contracts::process::Process::Orchestrated,
        patience: shop::contracts::process::PATIENCE,
        answer_within: shop::contracts::process::ANSWER_WITHIN,
        channels: Default::default(),
        abandon_carts: std::time::Duration::from_secs(86_400),
        moved: false,
        hold_unknown: false,
        points: Default::default(),
        part: None,
    }
}

#[tokio::test]
async fn a_second_process_on_a_directory_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let serve = serving(dir.path());
    let held = App::open(dir.path()).unwrap();
    let refused = serve_until(serve.clone(), async {}).await.unwrap_err();
    assert!(refused.to_string().contains("is open in another process"), "{refused}");
    drop(held);
    serve_until(serve.clone(), async {}).await.unwrap();
    let open = Serve { listen: "0.0.0.0:0".parse().unwrap(), ..serve };
    assert!(serve_until(open, async {}).await.unwrap_err().to_string().contains("use 127.0.0.1"));
}
