//! A message that ends the process, not the handler: found by what the process was about at its last ends.
#![allow(clippy::print_stderr, reason = "a child says what it does")]

use std::{
    path::Path,
    process::{Command as Process, ExitStatus},
};

use factum::{
    AppBuilder, By,
    letters::Query,
    prelude::*,
    stream::{StreamId, StreamVersion},
};

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

/// Something was told.
#[derive(Event)]
#[event("late.told")]
struct Told {
    basket: String,
    article: String,
    pieces: u64,
}

/// A service that comes later and reads what is old, each in a way of its own.
fn late(place: &str) -> Option<Service> {
    let tell = |event: &Recorded<Filled>, pieces: u64, fx: &mut Effects| {
        let (basket, article) = (event.basket.clone(), event.article.clone());
        fx.emit("told", &event.basket, Told { basket, article, pieces });
    };
    let read = move |event: &Recorded<Filled>, fx: &mut Effects| {
        aborts("behind", event);
        tell(event, 0, fx);
    };
    let hold = move |event: &Recorded<Filled>, fx: &mut Effects| {
        aborts("release", event);
        if event.article == "tea" && std::env::var(CHILD).is_ok() {
            return Err(HandlerError::failed("as asked"));
        }
        tell(event, 0, fx);
        Ok(())
    };
    let sum = Folding::<u64>::new("read", 1)
        .fold(|pieces: &mut u64, event: &Recorded<Filled>| {
            aborts("fold", event);
            *pieces += u64::from(event.pieces);
        })
        .react(move |pieces: &u64, event: &Recorded<Filled>, fx: &mut Effects| tell(event, *pieces, fx))
        .emits::<Told>("told");
    let late = Service::new("late").owns("told");
    match place {
        "behind" => Some(late.reaction(Reaction::new("read", read).emits::<Told>("told").from_start())),
        "release" => Some(late.reaction(Reaction::new("read", hold).emits::<Told>("told").from_start())),
        "fold" => Some(late.folding(sum)),
        _ => None,
    }
}

/// What the late service has told of the basket.
fn told(app: &App) -> Vec<(String, u64)> {
    let stream = StreamId::parse("told-b").unwrap();
    let told = app.reader().stream(&stream, StreamVersion(0)).unwrap();
    told.iter().map(|stored| stored.decode::<Told>().unwrap()).map(|told| (told.article, told.pieces)).collect()
}

/// What the child does; in a usual run of the tests, nothing.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_process_of_its_own() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (place, dir) = told.split_once('=').unwrap();
    let first = !Path::new(dir).join("log").exists();
    let app = late(place).into_iter().fold(App::open(dir).unwrap().with(service()), AppBuilder::with);
    let app = app.start().await.unwrap();
    if first {
        // Together, so that all of them are there before the process ends.
        let at = Timestamp::UNIX_EPOCH;
        let all = ["tea", "deadly", "cup"].map(|article| fill(&format!("b-{article}"), article, 1));
        all.iter().fold(app.together(), |together, one| together.add(one, at)).execute().await.unwrap();
    }
    app.rest().await.unwrap();
    for letter in app.letters().list(Query::default()).await.unwrap().letters {
        if letter.failure_reason.contains("as asked") {
            app.letters().discard(&letter.id, &By::new("mara", "as asked")).await.unwrap();
        }
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

/// Three articles in one basket stand in the log; then a service is added that the second one ends the process in.
async fn added(place: &str) -> (tempfile::TempDir, usize) {
    let dir = tempfile::tempdir().unwrap();
    let app = App::open(dir.path()).unwrap().with(service()).start().await.unwrap();
    for article in ["tea", "deadly", "cup"] {
        app.execute(fill("b", article, 3)).await.unwrap();
    }
    app.rest().await.unwrap();
    app.stop().await;
    drop(app);
    let deaths = deaths(place, dir.path());
    (dir, deaths)
}

async fn mended(place: &str, dir: &Path) -> App {
    let builder = App::open(dir).unwrap().with(service()).with(late(place).unwrap());
    let app = builder.start().await.unwrap();
    app.rest().await.unwrap();
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_message_that_aborts_a_consumer_behind_becomes_a_letter() {
    let (dir, deaths) = added("behind").await;
    assert!((3..=4).contains(&deaths), "it ended {deaths} times");
    let app = mended("behind", dir.path()).await;
    let letters = app.letters().list(Query::default()).await.unwrap().letters;
    assert_eq!((letters.len(), told(&app)), (1, vec![("tea".to_owned(), 0)]), "the rest of its key waits");
    app.letters().redrive(&letters[0].id, &By::new("mara", "mended")).await.unwrap();
    app.rest().await.unwrap();
    assert_eq!(told(&app).len(), 3);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_aborts_the_process_when_its_key_is_released_becomes_the_next_letter() {
    let (dir, deaths) = added("release").await;
    assert!((3..=4).contains(&deaths), "it ended {deaths} times");
    let app = mended("release", dir.path()).await;
    let letters = app.letters().list(Query::default()).await.unwrap().letters;
    assert_eq!((letters.len(), told(&app).len()), (1, 0), "the first was discarded, the third waits");
    assert!(letters[0].failure_reason.contains("the process ended 3 times"), "{letters:?}");
    app.letters().redrive(&letters[0].id, &By::new("mara", "mended")).await.unwrap();
    app.rest().await.unwrap();
    assert_eq!(told(&app), [("deadly".to_owned(), 0), ("cup".to_owned(), 0)]);
    app.stop().await;
}

/// Also while a state is made of what is old, before anything runs.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_aborts_the_process_in_a_fold_is_left_out_of_the_state_until_it_is_mended() {
    let (dir, deaths) = added("fold").await;
    assert!((4..=5).contains(&deaths), "it ended {deaths} times");
    assert!(child("fold", dir.path()).success(), "and the next start does not meet it again");
    let app = mended("fold", dir.path()).await;
    let letters = app.letters().list(Query::default()).await.unwrap().letters;
    assert_eq!(letters.len(), 1);
    app.execute(fill("b", "pot", 1)).await.unwrap();
    app.rest().await.unwrap();
    assert_eq!(told(&app).last(), Some(&("pot".to_owned(), 7)), "two of three, and the new one");
    app.letters().redrive(&letters[0].id, &By::new("mara", "mended")).await.unwrap();
    app.rest().await.unwrap();
    app.execute(fill("b", "pan", 0)).await.unwrap();
    app.rest().await.unwrap();
    let told: Vec<(String, u64)> = told(&app).into_iter().rev().take(2).collect();
    assert_eq!(told, [("pan".to_owned(), 13), ("deadly".to_owned(), 13)], "all of them, and the copy of the pot");
    app.stop().await;
}
