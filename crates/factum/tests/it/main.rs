//! An app from outside: one directory, stopped and started again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod aborts;
mod caches;
mod carried;
mod data_time;
mod digests;
#[cfg(feature = "http")]
mod edge;
#[cfg(feature = "http")]
mod going_over;
#[cfg(all(feature = "http", feature = "yaml"))]
mod group_kills;
#[cfg(all(feature = "http", feature = "yaml"))]
mod groups;
#[cfg(feature = "http")]
mod moving;
#[cfg(feature = "http")]
mod platform;
mod reconciliations;
mod routes;
mod rows;
#[cfg(feature = "http")]
mod sagas;
#[cfg(feature = "http")]
mod schedules;
mod snapshots;
mod taken_away;

use factum::{Archive, ExecuteError, memory::Memory, prelude::*};
use serde_json::{Value, json};

#[derive(Event)]
#[event("basket.filled", version = "2.0.0")]
struct Filled {
    basket: String,
    article: String,
    pieces: u32,
}

#[derive(Command)]
#[command("basket.fill")]
struct Fill {
    basket: String,
    article: String,
    pieces: u32,
}

#[derive(Debug, Rejection)]
enum Full {
    #[rejection("basket_full", "the basket holds {pieces} pieces; 10 are allowed")]
    Full { pieces: u32 },
}

#[derive(Default)]
struct Basket {
    pieces: u32,
}

impl Decider for Basket {
    const CATEGORY: &'static str = "basket";
    type Id = String;
    type Command = Fill;
    type Event = Filled;
    type Rejection = Full;

    fn address(command: &Fill, _: &Envelope) -> String {
        command.basket.clone()
    }

    fn decide(&self, _: &String, fill: Fill, _: &Context) -> Result<Vec<Filled>, Full> {
        if self.pieces + fill.pieces > 10 {
            return Err(Full::Full { pieces: self.pieces });
        }
        Ok(vec![Filled { basket: fill.basket, article: fill.article, pieces: fill.pieces }])
    }

    fn evolve(&mut self, event: &Filled) {
        self.pieces += event.pieces;
    }
}

#[derive(Clone, Debug, PartialEq, Row)]
#[row("baskets")]
struct BasketRow {
    #[key]
    basket: String,
    #[index]
    pieces: u32,
    articles: Vec<String>,
}

fn baskets(rows: &mut Rows<BasketRow>, event: &Recorded<Filled>) {
    let new = || BasketRow { basket: event.basket.clone(), pieces: 0, articles: Vec::new() };
    rows.upsert(&event.basket, new, |row| {
        row.pieces += event.pieces;
        row.articles.push(event.article.clone());
    });
}

fn service() -> Service {
    Service::new("basket").decider::<Basket>().view(1, baskets)
}

fn fill(basket: &str, article: &str, pieces: u32) -> Fill {
    Fill { basket: basket.to_owned(), article: article.to_owned(), pieces }
}

async fn all(app: &App) -> Vec<BasketRow> {
    app.rows::<BasketRow>().after(app.position()).page().await.unwrap().rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_finds_everything_and_rows_can_be_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let app = App::open(dir.path()).unwrap().with(service()).start().await.unwrap();
    for basket in ["a", "b", "c"] {
        for article in ["tea", "cup"] {
            app.execute(fill(basket, article, 2)).id(&format!("{basket}-{article}")).await.unwrap();
        }
    }
    let before = all(&app).await;
    assert_eq!(before.len(), 3);
    app.stop().await;
    drop(app);

    let app = App::open(dir.path()).unwrap().with(service()).start().await.unwrap();
    let again = app.execute(fill("a", "tea", 2)).id("a-tea").await.unwrap();
    assert!(again.repeated, "a command is decided once, also over a restart");
    let other = app.execute(fill("a", "tea", 3)).id("a-tea").await.unwrap_err();
    assert!(matches!(other, ExecuteError::IdReused(_)), "{other}");
    let full = app.execute(fill("a", "pot", 7)).await.unwrap_err();
    assert!(full.to_string().contains("holds 4 pieces"), "{full}");
    assert_eq!(all(&app).await, before);
    app.stop().await;
    drop(app);

    for file in std::fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("rows.sqlite") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let app = App::open(dir.path()).unwrap().with(service()).start().await.unwrap();
    assert_eq!(all(&app).await, before, "rows built anew from the log are the same");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_writes_a_directory_and_others_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let app = App::open(dir.path()).unwrap().with(service()).start().await.unwrap();
    app.execute(fill("a", "tea", 1)).await.unwrap();
    let Err(second) = App::open(dir.path()) else { panic!("two apps on one directory") };
    assert!(second.to_string().contains("in another process"), "{second}");
    let archive = Archive::open(dir.path(), &[service()]).unwrap();
    let pieces = archive.fold::<Filled, u32>(0, |sum, event| *sum += event.pieces).unwrap();
    assert_eq!(pieces, 1);
    app.stop().await;
}

/// A kill may come when the log's directory is there, and no log in it.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_an_archive_once_a_log_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let any = || Archive::open_if_any(dir.path(), &[service()]);
    assert!(any().unwrap().is_none());
    let log = dir.path().join("log");
    std::fs::create_dir(&log).unwrap();
    std::fs::write(log.join("lock"), "").unwrap();
    assert!(any().unwrap().is_none());
    App::open(dir.path()).unwrap().with(service()).start().await.unwrap().stop().await;
    assert!(any().unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_together_are_carried_out_both_or_not_at_all() {
    let app = App::in_memory().with(service()).start().await.unwrap();
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let both = app.together().add(&fill("a", "tea", 6), at).add(&fill("a", "cup", 6), at).execute().await;
    assert!(matches!(both, Err(ExecuteError::Rejected(_))));
    assert_eq!(all(&app).await, []);
    app.together().add(&fill("a", "tea", 6), at).add(&fill("b", "cup", 6), at).execute().await.unwrap();
    assert_eq!(all(&app).await.len(), 2);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_together_under_a_key_are_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut first = Vec::new();
    for start in 0..2 {
        let app = App::open(dir.path()).unwrap().with(service()).start().await.unwrap();
        let both = |cups| app.together().add(&fill("a", "tea", 6), at).add(&fill("b", "cup", cups), at).id("k1");
        let receipts = both(6).execute().await.unwrap();
        assert!(receipts.iter().all(|receipt| receipt.repeated == (start == 1)));
        let receipts: Vec<_> = receipts.into_iter().map(|receipt| (receipt.version, receipt.position)).collect();
        first = if start == 0 { receipts.clone() } else { first };
        assert_eq!(receipts, first);
        let other = both(5).execute().await;
        assert!(matches!(other, Err(ExecuteError::IdReused(key)) if key.to_string() == "k1"));
        assert_eq!(all(&app).await.len(), 2);
        app.stop().await;
    }
}

#[derive(Event)]
#[event("basket.filled", version = "1.0.0")]
struct OldFilled {
    basket: String,
    article: String,
}

#[derive(Default)]
struct OldBasket;

impl Decider for OldBasket {
    const CATEGORY: &'static str = "basket";
    type Id = String;
    type Command = Fill;
    type Event = OldFilled;
    type Rejection = Never;

    fn address(command: &Fill, _: &Envelope) -> String {
        command.basket.clone()
    }

    fn decide(&self, _: &String, fill: Fill, _: &Context) -> Result<Vec<OldFilled>, Never> {
        Ok(vec![OldFilled { basket: fill.basket, article: fill.article }])
    }

    fn evolve(&mut self, _: &OldFilled) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_are_read_in_todays_shape_by_states_and_views() {
    let log = Memory::new();
    let old = App::over(log.clone()).with(Service::new("basket").decider::<OldBasket>()).start().await.unwrap();
    old.execute(fill("a", "tea", 9)).await.unwrap();
    old.stop().await;

    let upcast = |mut data: Value| {
        data["pieces"] = json!(4);
        data
    };
    let today = service().upcast("basket.filled", "1.0.0", "2.0.0", upcast);
    let app = App::over(log).with(today).start().await.unwrap();
    assert_eq!(all(&app).await, [BasketRow { basket: "a".into(), pieces: 4, articles: vec!["tea".into()] }]);
    let full = app.execute(fill("a", "cup", 7)).await.unwrap_err();
    assert!(full.to_string().contains("holds 4 pieces"), "{full}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_read_refuses_the_start_or_is_held_and_seen_in_the_health() {
    let log = Memory::new();
    let old = App::over(log.clone()).with(Service::new("basket").decider::<OldBasket>()).start().await.unwrap();
    old.execute(fill("a", "tea", 9)).await.unwrap();
    old.stop().await;

    let refused = App::over(log.clone()).with(service()).start().await.err().unwrap().to_string();
    assert!(refused.contains("`basket.filled` 1.0.0 (first at position 1)"), "{refused}");
    assert!(refused.contains(".upcast(\"basket.filled\", \"1.0.0\", \"2.0.0\", …)"), "{refused}");

    let app = App::over(log).with(service()).hold_unknown().start().await.unwrap();
    let health = app.health();
    assert!(health.is_ready() && !health.is_well());
    assert!(health.reasons[0].starts_with("1 stream holds events that this program cannot read (basket.filled 1.0.0)"));
    let held = app.execute(fill("a", "cup", 1)).await.unwrap_err().to_string();
    assert!(held.contains("basket-a cannot be folded: ") && held.contains("this program knows 2.0.0"), "{held}");
    app.execute(fill("b", "cup", 1)).await.unwrap();
    app.stop().await;
}
