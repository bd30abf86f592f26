//! `factum move`: of stopped and of running apps, killed and gone on with.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use factum::{App, Archive, Stores, http};
use factum_testing::engines::postgres::Server;
use tempfile::tempdir;
use tokio::sync::oneshot;

use crate::{
    Answer, Note, NoteRow, factum, filled, flip, next_segment, notes, run, segments, spawn, start, stop, text,
};

fn moved(from: &str, to: &str, more: &[&str]) -> Answer {
    run(&[&["move", "--from", from, "--to", to][..], more].concat())
}

fn server() -> Option<(Server, String)> {
    let server = Server::start().map_err(|why| eprintln!("left out: {why}")).ok()?;
    // The server asks nobody for a password; what is said is a secret all the same.
    let url = server.url().replace("factum@", "factum:sesame@") + "?schema=notes";
    Some((server, url))
}

async fn texts(place: &str) -> u64 {
    let app = App::open(place).unwrap().with(factum::prelude::Service::new("note").decider::<Note>().view(1, notes));
    let app = app.start().await.unwrap();
    let rows = app.rows::<NoteRow>().after(app.position()).page().await.unwrap().rows;
    stop(app).await;
    rows.iter().map(|row| row.times).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_app_moves_to_a_database_and_back() {
    let Some((_server, url)) = server() else { return };
    let parent = tempdir().unwrap();
    let dir = parent.path().join("data");
    filled(&dir, 30).await;
    let data = text(&dir);
    let there = moved(data, &url, &[]);
    assert_eq!((there.code, there.errors.as_str()), (0, ""), "{}", there.out);
    let shown = url.replace(":sesame", "");
    let (first, rest) = there.out.split_once('\n').unwrap();
    assert!(
        first.starts_with("30 messages and ")
            && first.contains(" cells of ")
            && first.contains("and are equal (digest "),
        "{first}"
    );
    assert!(rest.contains(&format!("store = \"{shown}\" in factum.toml")), "{rest}");
    assert!(!there.out.contains("sesame"), "{}", there.out);
    assert_eq!(texts(&url).await, 30);
    // Whoever goes on here is told.
    let refused = App::open(&dir).map(drop).unwrap_err().to_string();
    assert!(refused.contains(&format!("has moved to {shown} and takes nothing more")), "{refused}");
    let again = moved(data, &url, &[]);
    assert_eq!((again.code, again.out.contains("has moved to")), (0, true), "{}", again.errors);
    moved(data, &url, &["--give-up"]).refuses("is whole and may have been written to since");
    assert_eq!(run(&["log", "verify", data]).code, 0, "what only reads still reads");
    let back = moved(&url, data, &["--json"]).json();
    assert_eq!((&back["messages"], back["digest"].is_string()), (&30.into(), true), "{back}");
    assert_eq!(texts(data).await, 30);
    moved(&url, text(&parent.path().join("third")), &[]).refuses("has moved to");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_move_is_refused_with_a_sentence() {
    let parent = tempdir().unwrap();
    let [dir, other] = ["data", "other"].map(|name| parent.path().join(name));
    filled(&dir, 30).await;
    filled(&other, 3).await;
    let (data, other) = (text(&dir), text(&other));
    let new = parent.path().join("new");
    moved(data, data, &[]).refuses("is where the data is already");
    moved(data, other, &[]).refuses("holds another log");
    moved(text(&parent.path().join("nowhere")), text(&new), &[]).refuses("does not exist");
    moved(data, "mysql://root:sesame@db/x", &[]).refuses("data is not kept at mysql://");
    moved(data, "postgres://shop:sesame@127.0.0.1:1/shop", &[]).refuses("the database cannot be reached");
    moved("http://127.0.0.1:1", text(&new), &[]).refuses("nothing answers at");
    let nothing = moved(data, text(&new), &["--give-up"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (0, "Nothing had arrived; the source was free all the time.\n"));
    let app = start(&dir).await;
    moved(data, text(&new), &[]).refuses("an app runs on");
    stop(app).await;
    flip(&segments(&dir)[0], 1_500);
    let damaged = moved(data, text(&new), &[]);
    assert_eq!((damaged.code, damaged.errors.contains("damaged")), (1, true), "{}", damaged.errors);
}

/// Kills a command after a while, unless it has ended before; answers whether it was hit.
fn killed(arguments: &[&str], after: Duration) -> bool {
    let mut child = spawn(factum(arguments).stdout(Stdio::null()).stderr(Stdio::null()));
    let until = Instant::now() + after;
    while Instant::now() < until && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let hit = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    hit
}

async fn killed_again_and_again(to: &str) {
    let parent = tempdir().unwrap();
    let dir = parent.path().join("data");
    let app = start(&dir).await;
    next_segment(&app).await;
    stop(app).await;
    let data = text(&dir);
    let (arguments, mut hit) = (["move", "--from", data, "--to", to], 0);
    for round in 0..8_u32 {
        let after = Duration::from_millis(40) * (1 << round.min(5)) + Duration::from_millis(fastrand::u64(0..50));
        hit += u32::from(killed(&arguments, after));
        if round == 3 {
            // Once it is given up in between.
            let given = moved(data, to, &["--give-up"]);
            if given.code == 0 {
                start(&dir).await.stop().await;
            }
        }
    }
    println!("{hit} of 8 kills hit a running move");
    assert!(hit > 0, "no kill hit a move, so nothing was tested");
    let done = moved(data, to, &[]);
    assert_eq!(done.code, 0, "{}", done.errors);
    let (here, there) = (Archive::open(data, &[]).unwrap(), Archive::open(to, &[]).unwrap());
    assert_eq!(here.head(), there.head());
    assert_eq!(texts(to).await, here.head().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_again_and_again_comes_to_its_end() {
    let parent = tempdir().unwrap();
    killed_again_and_again(text(&parent.path().join("other"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_a_database_that_is_killed_again_and_again_comes_to_its_end() {
    let Some((_server, url)) = server() else { return };
    killed_again_and_again(&url).await;
}

/// A program that goes over when it is told to.
async fn serves(dir: &Path, stop: oneshot::Receiver<()>) -> String {
    let listener = http::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut stores = Stores::at(dir).led_by(&address);
    let (opened, is_open) = oneshot::channel();
    tokio::spawn(async move {
        let service = || factum::prelude::Service::new("note").decider::<Note>().view(1, notes);
        let (mut stop, mut opened) = (stop, Some(opened));
        let mut app = App::on(stores.clone()).unwrap().with(service()).start().await.unwrap();
        let exchange = http::Exchange::new(http::guarded(app.router()));
        let served = exchange.clone();
        tokio::spawn(async move { http::serve_exchanged(listener, &served, std::future::pending()).await });
        loop {
            if let Some(opened) = opened.take() {
                opened.send(()).unwrap();
            }
            tokio::select! {
                switch = app.due_to_move() => {
                    exchange.hold(Duration::from_millis(300)).await;
                    stores = switch.carry_out().await;
                    app = App::on(stores.clone()).unwrap().with(service()).start().await.unwrap();
                    exchange.set(http::guarded(app.router()));
                }
                _ = &mut stop => return app.stop().await,
            }
        }
    });
    is_open.await.unwrap();
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_app_is_found_by_its_directory_or_its_database_and_goes_over() {
    let Some((_server, url)) = server() else { return };
    let parent = tempdir().unwrap();
    let dir = parent.path().join("data");
    filled(&dir, 40).await;
    let (data, (end, stop)) = (text(&dir), oneshot::channel());
    let address = serves(&dir, stop).await;
    moved(data, data, &[]).refuses("is where the data is already");
    moved(data, "postgres://shop:sesame@127.0.0.1:1/shop", &[])
        .refuses("goes on where it was: the store cannot take this now");
    let there = moved(data, &url, &[]);
    assert_eq!((there.code, there.errors.as_str()), (0, ""), "{}", there.out);
    assert!(
        there.out.starts_with("40 messages of ") && there.out.contains("The app stood still for "),
        "{}",
        there.out
    );
    assert!(there.out.contains("its rows and snapshots are still read where they were"), "{}", there.out);
    assert!(!there.out.contains("sesame"), "{}", there.out);
    // By the database, whose leader it is; and by its address.
    moved(&url, &url, &[]).refuses("is where the data is already");
    let back = moved(&url, data, &["--json"]).json();
    assert_eq!((&back["phase"], &back["of"]), (&"moved".into(), &40.into()), "{back}");
    moved(&address, &url, &["--give-up"]).refuses("has gone: move back to undo it");
    let third = parent.path().join("third");
    let third = moved(&address, text(&third), &[]);
    assert_eq!(third.code, 0, "{}", third.errors);
    end.send(()).unwrap();
}
