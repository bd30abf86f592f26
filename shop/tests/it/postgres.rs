//! The shop on a database: by another word on the command line all that it does on a directory.

use std::{
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use factum::chaos::{Client, free_address};
use factum_testing::engines::{
    line::{Cut, Line},
    postgres::Server,
};
use shop::serve::{Serve, serve_until};
use tempfile::NamedTempFile;
use tokio::sync::oneshot;

use crate::{
    imports::{calm_once, committed, count, killed_import, shop, text},
    standby::{LEASE, signal},
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

/// An import in a process of its own. What it says goes to a file: a pipe that nobody reads would hold it up.
struct Import {
    child: Child,
    said: NamedTempFile,
}

impl Import {
    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended: whether all is well, and what it said.
    fn ended(mut self) -> (bool, String) {
        let ended = self.child.wait().unwrap();
        (ended.success(), std::fs::read_to_string(self.said.path()).unwrap())
    }

    /// Waits a random part of what an undisturbed import takes, at most this one.
    fn a_while(&mut self, part: f64) {
        let until = Instant::now() + calm_once().0.mul_f64(part * fastrand::f64());
        while Instant::now() < until && self.runs() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An import that runs, and has written something.
fn under_way(server: &Server, store: &str) -> Import {
    let import = import();
    let arguments: Vec<&str> = import.iter().map(String::as_str).collect();
    let said = NamedTempFile::new().unwrap();
    let mut command = shop(&arguments, Path::new(store));
    command.env("FACTUM_LEASE", LEASE).stdout(Stdio::null()).stderr(said.reopen().unwrap());
    let mut import = Import { child: command.spawn().unwrap(), said };
    // A start that finds no server ends with a sentence; what runs goes on.
    while number(server, "position").is_none_or(|position| position < 100) && import.runs() {
        std::thread::sleep(Duration::from_millis(1));
    }
    import
}

fn number(server: &Server, column: &str) -> Option<u64> {
    server.sql(&format!("SELECT {column} FROM shop.unit")).ok()?.trim().parse().ok()
}

/// The import came to its end by itself, whatever was done to it: so many of what was planned hit it.
fn came_through(import: Import, store: &str, hit: usize, planned: usize) {
    let (done, errors) = import.ended();
    assert!(done, "{errors}");
    println!("{hit} of {planned} hit a running import");
    assert!(hit > 0, "none hit a running import, so nothing was tested");
    same_report(store);
}

#[test]
fn an_import_goes_on_by_itself_when_the_server_has_crashed() {
    let Some(mut server) = server() else { return };
    let store = unit(&server);
    let (mut import, crashes) = (under_way(&server, &store), count("FACTUM_KILLS", 5));
    let mut hit = 0;
    for _ in 0..crashes {
        import.a_while(2.0 / crashes as f64);
        hit += usize::from(import.runs());
        server.kill();
        server.go_on().unwrap();
    }
    came_through(import, &store, hit, crashes);
}

#[test]
fn an_import_goes_on_by_itself_when_its_line_is_cut_on_either_side_of_a_commit() {
    let Some(server) = server() else { return };
    let line = Line::to(server.port()).unwrap();
    let store = format!("postgres://factum@127.0.0.1:{}/postgres?schema=shop", line.port());
    let (mut import, cuts) = (under_way(&server, &store), count("FACTUM_KILLS", 5));
    let mut hit = 0;
    for round in 0..cuts {
        import.a_while(1.0 / cuts as f64);
        line.cut([Cut::Before, Cut::Behind][round % 2]);
        while !line.was_cut() && import.runs() {
            std::thread::sleep(Duration::from_millis(1));
        }
        hit += usize::from(line.was_cut());
    }
    came_through(import, &unit(&server), hit, cuts);
}

/// The leader stands still for longer than its lease, another process takes the import over, and the first one moves again.
#[test]
fn an_import_that_stood_still_is_taken_over_and_writes_nothing_any_more() {
    let Some(server) = server() else { return };
    let store = unit(&server);
    let (mut leads, overs) = (under_way(&server, &store), count("FACTUM_OVERS", 5));
    let mut hit = 0;
    for _ in 0..overs {
        leads.a_while(1.0 / overs as f64);
        if !leads.runs() {
            break;
        }
        signal(&leads.child, "-STOP");
        let term = number(&server, "term");
        let next = loop {
            let mut next = under_way(&server, &store);
            while number(&server, "term") == term && next.runs() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if number(&server, "term") > term {
                break next;
            }
            // Whoever does not lead is told so.
            let (done, why) = next.ended();
            // On a busy machine the session that is ended may take its time.
            let is_told = why.contains("another process") || why.contains("gives no sign of life");
            assert!(!done && is_told, "{why}");
        };
        signal(&leads.child, "-CONT");
        let (done, why) = std::mem::replace(&mut leads, next).ended();
        assert!(!done && why.contains("another process"), "I14: {why}");
        hit += 1;
    }
    came_through(leads, &store, hit, overs);
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
