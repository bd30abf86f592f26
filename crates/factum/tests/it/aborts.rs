//! A message that ends the process, not the handler: found by what the process was about at its last ends.
#![allow(clippy::print_stderr, reason = "a child says what it does")]

use std::{
    path::Path,
    process::{Command as Process, ExitStatus},
};

use factum::{By, letters::Query, prelude::*};

use super::{BasketRow, Filled, all, baskets, fill};

/// Says to a child in which directory it works, and where it aborts.
const CHILD: &str = "FACTUM_TEST_ABORTS";

fn aborts(place: &str, event: &Filled) {
    if event.article == "deadly" && std::env::var(CHILD).is_ok_and(|told| told.starts_with(place)) {
        std::process::abort();
    }
}

fn service() -> Service {
    let again = |event: &Recorded<Filled>, fx: &mut Effects| {
        aborts("reaction", event);
        if event.pieces < 3 {
            fx.send(fill(&format!("{}-copy", event.basket), &event.article, 3));
        }
    };
    let view = |rows: &mut Rows<BasketRow>, event: &Recorded<Filled>| {
        aborts("view", event);
        baskets(rows, event);
    };
    Service::new("basket").decider::<super::Basket>().react("copy", again).view(1, view)
}

/// What the child does; in a usual run of the tests, nothing.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_process_of_its_own() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (_, dir) = told.split_once('=').unwrap();
    let first = !Path::new(dir).join("log").exists();
    let app = App::open(dir).unwrap().with(service()).start().await.unwrap();
    if first {
        // Together, so that all of them are there before the process ends.
        let at = Timestamp::UNIX_EPOCH;
        let all = ["tea", "deadly", "cup"].map(|article| fill(&format!("b-{article}"), article, 1));
        all.iter().fold(app.together(), |together, one| together.add(one, at)).execute().await.unwrap();
    }
    app.rest().await.unwrap();
    let _ = all(&app).await;
    app.stop().await;
}

fn child(place: &str, dir: &Path) -> ExitStatus {
    let mut child = Process::new(std::env::current_exe().unwrap());
    child.args(["--exact", "aborts::in_a_process_of_its_own", "--nocapture"]);
    child.env(CHILD, format!("{place}={}", dir.display())).output().unwrap().status
}

/// Starts children until one ends in order; answers how many did not.
fn deaths(place: &str, dir: &Path) -> usize {
    (0..10).find(|_| child(place, dir).success()).unwrap_or(10)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_aborts_the_process_becomes_a_letter_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let deaths = deaths("reaction", dir.path());
    assert!((3..=4).contains(&deaths), "it ended {deaths} times");
    let app = App::open(dir.path()).unwrap().with(service()).start().await.unwrap();
    let letters = app.letters().list(Query::default()).await.unwrap().letters;
    assert_eq!(letters.len(), 1);
    assert!(letters[0].failure_reason.contains("the process ended 3 times in a row"), "{letters:?}");
    let copies = |rows: Vec<BasketRow>| rows.into_iter().filter(|row| row.basket.ends_with("-copy")).count();
    assert_eq!(copies(all(&app).await), 2, "the other two were handled");
    // Mended, it is redriven like any other.
    app.letters().redrive(&letters[0].id, &By::new("mara", "mended")).await.unwrap();
    app.rest().await.unwrap();
    assert_eq!(copies(all(&app).await), 3);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_aborts_the_process_in_a_view_stops_that_view_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    // A child whose view has stopped cannot read its own writes, and says so: it dies no more, which is what counts.
    let codes: Vec<Option<i32>> = (0..7).map(|_| child("view", dir.path()).code()).collect();
    let deaths = codes.iter().take_while(|code| code.is_none()).count();
    assert!((3..=4).contains(&deaths), "it ended {deaths} times: {codes:?}");
    let app = App::open(dir.path()).unwrap().with(service()).start().await.unwrap();
    assert_eq!(all(&app).await.len(), 6, "mended, it goes on by itself at the next start");
    app.stop().await;
}
