//! Orders at a steady rate over a real socket, on a live clock: how long from the moment an order was due to be posted
//! until it was accepted, and until it was durably shipped.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use factum::{App, Archive, id::MessageId, ports::Scan, prelude::*, stream::Position};
use shop::services::{Options, services};
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use crate::{
    client::Client,
    figure::Figure,
    home::Home,
    machine::{Flushes, Times, bare_disk},
    supply::Supply,
};

/// Orders before the measurement, one after the other: connections are open, code and pages are warm.
const WARM: usize = 200;
/// Between two looks at the log's head.
const LOOK: Duration = Duration::from_micros(100);
/// Bytes of messages to read at once.
const SCAN_BYTES: usize = 1 << 20;
/// Orders that are not shipped this long after the last one was due are lost.
const LOST: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Orders a second.
    pub rate: usize,
    /// For how long.
    pub seconds: usize,
}

/// Runs a shop in a place `latency`, which must be fresh, and posts orders to it.
///
/// # Errors
/// If an order is refused or does not come through.
pub async fn run(home: Home<'_>, settings: Settings) -> anyhow::Result<()> {
    let supply = Arc::new(Supply::read()?);
    let options = Options { day: Duration::from_millis(1), ..Options::default() };
    let builder = services(&options).into_iter().fold(App::open(home.place("latency"))?, factum::AppBuilder::with);
    let app = builder.start().await?;
    supply.stock(&app, Timestamp::now()).await?;
    let listener = factum::http::listen(([127, 0, 0, 1], 0).into()).await?;
    let client = Arc::new(Client::new(listener.local_addr()?));
    let (stop, stopped) = oneshot::channel::<()>();
    let router = app.router();
    let server = tokio::spawn(factum::http::serve(listener, router, async move {
        // The sender's end is a stop as well.
        let _ = stopped.await;
    }));
    let outcome = measure(&app, home, supply, client, settings).await;
    drop(stop);
    server.await??;
    app.stop().await;
    outcome
}

/// One order on its way.
struct Posted {
    due: Instant,
    accepted: JoinHandle<anyhow::Result<Instant>>,
}

async fn measure(
    app: &App,
    home: Home<'_>,
    supply: Arc<Supply>,
    client: Arc<Client>,
    settings: Settings,
) -> anyhow::Result<()> {
    let numbers = || (0..).filter(|number| supply.has_goods(*number));
    for number in numbers().take(WARM) {
        client.post("/orders", &format!("warm-{number}"), &supply.basket(number).to_string()).await?;
    }
    app.rest().await?;
    let baskets: Vec<String> =
        numbers().take(settings.rate * settings.seconds).map(|number| supply.basket(number).to_string()).collect();
    let bytes: usize = baskets.iter().map(String::len).sum();
    let orders = baskets.len();
    let (before, flushes) = (app.position(), Flushes::since_now(home.dir));
    let ended = Arc::new(AtomicBool::new(false));
    let follower = std::thread::spawn({
        let (app, ended) = (app.clone(), ended.clone());
        move || follow(&app, before, orders, &ended)
    });
    let handle = Handle::current();
    let pace = move || pace(&handle, &client, baskets, settings.rate);
    let posted = tokio::task::spawn_blocking(pace).await?;
    let mut dues = Vec::with_capacity(orders);
    let mut accepted = Vec::with_capacity(orders);
    for posted in posted {
        dues.push(posted.due);
        accepted.push(posted.accepted.await??.duration_since(posted.due));
    }
    ended.store(true, Ordering::Release);
    let seen = tokio::task::spawn_blocking(move || follower.join()).await?;
    let seen = seen.map_err(|_| anyhow!("the thread that follows the log panicked"))??;
    let flushed = flushes.count();
    let shipped: Vec<Duration> = dues
        .iter()
        .enumerate()
        .filter_map(|(index, due)| Some(seen.get(&order_id(index))?.duration_since(*due)))
        .collect();
    ensure!(shipped.len() == orders, "{} of {orders} orders were shipped", shipped.len());

    let messages = (app.position().0 - before.0) as f64;
    let per_event = flushed.map(|flushed| flushed as f64 / messages);
    let data = data_bytes(app, before)? as f64 / messages;
    let batch = flushed.map(|flushed| messages / flushed.max(1) as f64);
    let bare = bare_disk(home.dir, ((data + 256.0) * batch.unwrap_or(1.0)) as usize)?;
    for (name, times) in [("order: due until accepted", accepted), ("order: due until shipped", shipped)] {
        let times = Times::of(times);
        Figure::new(home.named(&format!("{name}, {}/s", settings.rate)), times.ms(0.95), "ms p95")
            .synced(data, batch, bare, per_event)
            .with("p50_ms", times.ms(0.5))
            .with("p99_ms", times.ms(0.99))
            .with("worst_ms", times.ms(1.0))
            .with("orders", orders as f64)
            .with("bodyBytes", bytes as f64 / orders as f64)
            .print()?;
    }
    Ok(())
}

/// Starts every post at its moment, whatever became of the ones before.
fn pace(handle: &Handle, client: &Arc<Client>, baskets: Vec<String>, rate: usize) -> Vec<Posted> {
    let start = Instant::now();
    let post = |(index, basket): (usize, String)| {
        let due = start + Duration::from_secs_f64(index as f64 / rate as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let client = client.clone();
        let accepted = handle.spawn(async move {
            client.post("/orders", &key(index), &basket).await.with_context(|| format!("order {index}"))?;
            Ok(Instant::now())
        });
        Posted { due, accepted }
    };
    baskets.into_iter().enumerate().map(post).collect()
}

fn key(index: usize) -> String {
    format!("measured-{index}")
}

/// The shop derives an order's id from the key of its request.
fn order_id(index: usize) -> String {
    MessageId::derived(&["order", &key(index)]).to_string()
}

/// Notes when each order's shipping became durable, until all have.
fn follow(app: &App, before: Position, orders: usize, ended: &AtomicBool) -> anyhow::Result<HashMap<String, Instant>> {
    let (reader, mut after, mut seen) = (app.reader(), before, HashMap::with_capacity(orders));
    let wanted = |name: &str| name == "order.shipped";
    let mut lost = None;
    while seen.len() < orders && lost.is_none_or(|lost| Instant::now() < lost) {
        if lost.is_none() && ended.load(Ordering::Acquire) {
            lost = Some(Instant::now() + LOST);
        }
        let until = app.position();
        if until == after {
            std::thread::sleep(LOOK);
            continue;
        }
        let now = Instant::now();
        let scanned = reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: Some(&wanted) })?;
        seen.extend(scanned.messages.iter().map(|stored| (stored.stream.key().to_owned(), now)));
        after = scanned.through;
    }
    Ok(seen)
}

fn data_bytes(app: &App, after: Position) -> anyhow::Result<usize> {
    let mut bytes = 0;
    Archive::of(app.reader()).each::<factum::error::StoreError>(None, |stored| {
        bytes += if stored.position > after { stored.message.data.len() } else { 0 };
        Ok(())
    })?;
    Ok(bytes)
}
