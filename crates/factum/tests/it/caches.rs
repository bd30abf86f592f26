//! Caches of a running app: fed by its log also after a second start, asked by calls and routes, and shown.

use std::time::{Duration, Instant};

use factum::{
    cache::{Cache, CacheShown, Values},
    call::Breaker,
    memory::Memory,
    prelude::*,
    saga::Shown,
    stream::{StreamId, StreamVersion},
};
use serde::{Deserialize, Serialize};

use super::{Basket, BasketRow, Filled, baskets, fill};

const NOW: Timestamp = Timestamp::constant(1_767_323_045, 0);
const WRAP: CallTo<String, String> = CallTo::new("wrap");

type Articles = Cache<String, String>;

/// The article that was last put into each basket, for an hour.
fn articles() -> Articles {
    Cache::new("articles", 1.hours(), 100)
}

fn last(articles: &mut Values<String, String>, event: &Recorded<Filled>) {
    assert_ne!(event.article, "poison", "as asked");
    articles.put(&event.basket, event.article.clone());
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Facts {
    basket: String,
    wrapped: Option<String>,
}

/// Wraps each basket by a partner that is away; meanwhile the cache answers.
fn wrapping(articles: &Articles) -> Service {
    let away = |_: Call<String>| async { Answer::<String>::Again("away".to_owned(), None) };
    let kept = articles.clone();
    let call = CallSpec::of_steps(WRAP, away)
        .breaker(Breaker { in_a_row: 1, open_for: 365.days(), ..Breaker::default() })
        .fallback(move |basket| kept.get(&basket));
    let saga = Saga::new("wrapping", 1)
        .key("basket")
        .start::<Filled>(|e| Facts { basket: e.basket.clone(), wrapped: None })
        .step("wrap", |step| {
            step.call(WRAP, |f: &Facts| f.basket.clone())
                .done(|f, article: &String| f.wrapped = Some(article.clone()))
                .nothing_to_undo()
                .within(300.days())
        });
    Service::new("basket").decider::<Basket>().view(1, baskets).saga(saga).call(call).cache(articles.follow(last))
}

async fn app(log: &Memory, articles: &Articles) -> App {
    let app = App::over(log.clone()).on_data_time().with(wrapping(articles)).start().await.unwrap();
    app.advance(NOW);
    app
}

fn shown(app: &App) -> CacheShown {
    app.health().caches[0].clone()
}

/// Waits until the cache has taken in all that is in the log.
async fn fed(app: &App) -> CacheShown {
    let begun = Instant::now();
    while !shown(app).live || shown(app).position < app.position() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", shown(app));
        tokio::time::sleep(1.ms()).await;
    }
    shown(app)
}

fn wrapped(app: &App, basket: &str) -> (&'static str, Option<String>) {
    let stream = StreamId::new("wrapping", basket).unwrap();
    let shown = Shown::of(&app.reader().stream(&stream, StreamVersion(0)).unwrap()).unwrap().unwrap();
    let facts: Facts = shown.facts.and_then(|facts| serde_json::from_value(facts).ok()).unwrap_or_default();
    (shown.status, facts.wrapped)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_breaker_is_open_calls_are_answered_from_the_cache_as_long_as_it_is_young_enough() {
    let articles = articles();
    let app = app(&Memory::new(), &articles).await;
    // The first one finds the partner away, which opens the breaker.
    app.execute(fill("a", "tea", 1)).at(NOW).await.unwrap();
    fed(&app).await;
    app.rest_at(NOW + 30.minutes()).await.unwrap();
    app.execute(fill("b", "cup", 1)).at(NOW + 30.minutes()).await.unwrap();
    fed(&app).await;
    app.rest_at(NOW + 31.minutes()).await.unwrap();
    assert_eq!(wrapped(&app, "b"), ("completed", Some("cup".to_owned())));
    assert!(articles.get(&"b".to_owned()).is_some());
    app.rest_at(NOW + 3.hours()).await.unwrap();
    assert_eq!(articles.get(&"b".to_owned()), None, "it is older than an hour");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_feeds_it_from_the_log_and_what_fails_empties_it_and_is_counted() {
    let log = Memory::new();
    let first = app(&log, &articles()).await;
    first.execute(fill("a", "tea", 1)).at(NOW).await.unwrap();
    first.execute(fill("a", "cup", 1)).at(NOW).await.unwrap();
    first.stop().await;

    let articles = articles();
    assert_eq!(articles.get(&"a".to_owned()), None, "it is of no app yet");
    let app = app(&log, &articles).await;
    let before = fed(&app).await;
    assert_eq!(articles.get(&"a".to_owned()).as_deref(), Some("cup"));
    assert_eq!((before.ttl_secs, before.most, before.misses, before.failures), (3_600, 100, 1, 0));

    app.execute(fill("b", "poison", 1)).at(NOW).await.unwrap();
    assert_eq!(fed(&app).await.failures, 1);
    assert_eq!(articles.get(&"a".to_owned()), None, "nobody knows what the event would have changed");
    app.execute(fill("c", "pot", 1)).at(NOW).await.unwrap();
    fed(&app).await;
    assert_eq!(articles.get(&"c".to_owned()).as_deref(), Some("pot"), "it goes on");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_read_from_the_rows_and_kept_unless_an_event_came_between() {
    let articles = articles();
    let service = Service::new("basket").decider::<Basket>().view(1, baskets).cache(articles.follow(last));
    let app = App::in_memory().on_data_time().with(service).start().await.unwrap();
    app.advance(NOW);
    let of = |basket: &'static str| {
        let app = app.clone();
        move |after| async move {
            let row = app.rows::<BasketRow>().after(after).get(basket).await?;
            Ok::<_, factum::ReadError>(row.and_then(|row| row.articles.last().cloned()))
        }
    };
    app.execute(fill("a", "tea", 1)).at(NOW).await.unwrap();
    fed(&app).await;
    app.advance(NOW + 2.hours());
    // Older than its hour in the cache; the rows still have it.
    assert_eq!(articles.get_or(&"a".to_owned(), of("a")).await.unwrap().as_deref(), Some("tea"));
    assert_eq!(articles.get(&"a".to_owned()).as_deref(), Some("tea"), "and now the cache has it again");
    assert_eq!(articles.get_or(&"b".to_owned(), of("b")).await.unwrap(), None);
    let counted = shown(&app);
    assert_eq!((counted.hits, counted.misses, counted.expired), (1, 2, 1));
    app.stop().await;
}
