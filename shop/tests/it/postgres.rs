//! The shop on a database: by another word on the command line all that it does on a directory.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use factum::chaos::{Client, free_address};
use factum_testing::engines::postgres::Server;
use shop::serve::{Serve, serve_until};
use tokio::sync::oneshot;

use crate::{
    imports::{calm_once, committed, count, killed_import, shop, text},
    unfinished::opened,
};

const DECLINES: [&str; 2] = ["--declines", "0.1"];
const LIMIT: Duration = Duration::from_secs(60);

/// A server of its own; `None`, and a line that says why, if there is none to be had.
fn server() -> Option<Server> {
    Server::start().map_err(|why| eprintln!("left out: {why}")).ok()
}

fn unit(server: &Server) -> String {
    format!("{}?schema=shop", server.url())
}

fn import() -> Vec<String> {
    [&["import".to_owned(), committed().to_str().unwrap().to_owned()][..], &DECLINES.map(str::to_owned)].concat()
}

fn same_report(store: &str) {
    let (_, found, errors) = text(&mut shop(&["report", "--json"], Path::new(store)));
    assert_eq!(found, calm_once().1, "{errors}");
    let (well, findings, errors) = text(&mut shop(&["check"], Path::new(store)));
    assert!(well, "{findings}{errors}");
}

#[test]
fn an_import_that_is_killed_again_and_again_gives_the_report_of_a_directory() {
    let Some(server) = server() else { return };
    let (store, import) = (unit(&server), import());
    let arguments: Vec<&str> = import.iter().map(String::as_str).collect();
    killed_import(&arguments, Path::new(&store), calm_once().0, &mut fastrand::Rng::new());
    same_report(&store);
}

#[test]
fn an_import_goes_on_by_itself_when_the_server_has_crashed() {
    let Some(mut server) = server() else { return };
    let (store, import) = (unit(&server), import());
    let arguments: Vec<&str> = import.iter().map(String::as_str).collect();
    let mut child = shop(&arguments, Path::new(&store)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // A start that finds no server ends with a sentence; what runs goes on.
    let position =
        || server.sql("SELECT position FROM shop.unit").ok().and_then(|told| told.trim().parse::<u64>().ok());
    while position().is_none_or(|position| position < 100) && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let mut hit = 0;
    for _ in 0..count("FACTUM_KILLS", 3) {
        let until = Instant::now() + calm_once().0.mul_f64(0.2 + fastrand::f64() * 0.4);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        hit += usize::from(child.try_wait().unwrap().is_none());
        server.kill();
        server.go_on().unwrap();
    }
    let ended = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{errors}");
    assert!(hit > 0, "no crash hit a running import, so nothing was tested");
    same_report(&store);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shipped_and_read_also_after_a_restart() {
    let Some(server) = server() else { return };
    let store = unit(&server);
    for restart in 0..2 {
        let listen = free_address().unwrap();
        let client = Client::new(&format!("http://{listen}"), LIMIT, LIMIT);
        let (stop, stopped) = oneshot::channel();
        let served =
            tokio::spawn(serve_until(Serve { listen, ..opened(Path::new(&store)) }, async { _ = stopped.await }));
        if restart == 0 {
            assert!(client.put("/products/TEA", r#"{"name":"Tea","price":"2.55"}"#).await.unwrap().status < 300);
            assert!(client.post("/stock/TEA/receive", "s", &[], r#"{"quantity":9}"#).await.unwrap().status < 300);
            let order = r#"{"items":[{"sku":"TEA","quantity":2}]}"#;
            assert_eq!(client.post("/orders", "first", &[], order).await.unwrap().status, 202);
        }
        let until = Instant::now() + LIMIT;
        loop {
            let orders = client.get("/orders").await.unwrap();
            let body = orders.body.to_string();
            if body.contains(r#""status":"shipped""#) || body.contains(r#""status":"delivered""#) {
                break;
            }
            assert!(Instant::now() < until && !served.is_finished(), "the order is not shipped: {body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let health = client.get("/health").await.unwrap().body;
        assert!(health.to_string().contains(r#""durability":"sync""#), "{health}");
        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
    }
}

#[test]
fn a_place_that_is_no_place_is_a_sentence_without_the_password() {
    for (store, sentence) in [
        ("mysql://shop:sesame@127.0.0.1/shop", "data is not kept at mysql://"),
        ("postgres://shop:sesame@127.0.0.1:1/shop", "the database cannot be reached"),
        ("postgres://shop:sesame@127.0.0.1:1/shop?schema=No", "is no name of a schema"),
    ] {
        let started = Instant::now();
        let (done, out, errors) = text(&mut shop(&["report"], Path::new(store)));
        assert!(!done && errors.contains(sentence), "{store}: {errors}");
        assert!(!out.contains("sesame") && !errors.contains("sesame"), "{store}: {out}{errors}");
        assert!(started.elapsed() < Duration::from_secs(10), "{store}");
    }
}
