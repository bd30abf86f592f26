//! Real orders through all eleven services, as fast as they go: until every one is shipped, and until every one is
//! delivered.

use std::time::Instant;

use anyhow::ensure;
use factum::{App, Archive, prelude::*};
use futures_util::{StreamExt, stream};
use shop::services::{Options, services};

use crate::{
    figure::Figure,
    home::Home,
    machine::{Flushes, bare_disk, cpu_seconds},
    supply::{Supply, views_reach},
};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Orders.
    pub orders: usize,
    /// Orders handed in and not yet durable.
    pub in_flight: usize,
    /// Without the services that no order waits for.
    pub seven: bool,
}

/// Services that no order waits for.
const BESIDE: [&str; 4] = ["cart", "notification", "loyalty", "analytics"];

/// What a log holds of orders.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    shipped: usize,
    delivered: usize,
    messages: usize,
    bytes: usize,
}

/// Runs orders in a place `orders`, which must be fresh, and leaves the log there.
///
/// # Errors
/// If the shop refuses an order, or not every order comes through.
pub async fn run(home: Home<'_>, settings: Settings) -> anyhow::Result<()> {
    let supply = Supply::read()?;
    let options = Options::default();
    let services = services(&options).into_iter();
    let wanted = services.filter(|service| !(settings.seven && BESIDE.contains(&service.name.as_str())));
    let builder = wanted.fold(App::open(home.place("orders"))?, factum::AppBuilder::with);
    let app = builder.on_data_time().start().await?;
    app.advance(supply.first());
    supply.stock(&app, supply.first()).await?;
    let outcome = measure(&app, home, &supply, settings).await;
    app.stop().await;
    outcome
}

async fn measure(app: &App, home: Home<'_>, supply: &Supply, settings: Settings) -> anyhow::Result<()> {
    let Settings { orders, in_flight, .. } = settings;
    let prepared: Vec<_> = (0..orders).map(|number| supply.order(number)).collect();
    let lines: usize = prepared.iter().map(|(_, order)| order.items.len()).sum();
    let (before, flushes) = (app.position(), Flushes::since_now(home.dir));
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut accepted = stream::iter(prepared)
        .map(|(at, order)| async move { app.execute(order).at(at).await })
        .buffer_unordered(in_flight);
    while let Some(receipt) = accepted.next().await {
        receipt?;
    }
    // The mark stands still, so no parcel arrives and no limit passes: at rest, everything is shipped.
    app.rest().await?;
    let shipped = start.elapsed().as_secs_f64();
    let flushed = flushes.count();
    views_reach(app).await;
    let viewed = start.elapsed().as_secs_f64();
    let used = cpu_seconds() - cpu;
    let counted = count(app, before)?;
    ensure!(counted.shipped == orders, "{} of {orders} orders were shipped", counted.shipped);

    let later = Instant::now();
    while let Some(due) = app.rest().await?.next {
        app.advance(due + 1.days());
    }
    let delivered = shipped + later.elapsed().as_secs_f64();
    let all = count(app, before)?;
    ensure!(all.delivered == orders, "{} of {orders} orders were delivered", all.delivered);

    let (messages, orders) = (counted.messages as f64, orders as f64);
    let event_bytes = counted.bytes as f64 / messages;
    let batch = flushed.map(|flushed| messages / flushed.max(1) as f64);
    let bare = bare_disk(home.dir, (event_bytes * batch.unwrap_or(1.0)) as usize)?;
    let figure = |name: &str, seconds: f64| {
        Figure::new(home.named(name), orders / seconds, "orders/s")
            .synced(event_bytes, batch, bare, flushed.map(|flushed| flushed as f64 / messages))
            .with("seconds", seconds)
            .with("orders", orders)
            .with("inFlight", in_flight as f64)
    };
    figure("orders until shipped", shipped)
        .with("messagesPerOrder", messages / orders)
        .with("messagesPerSecond", messages / shipped)
        .with("linesPerOrder", lines as f64 / orders)
        .print()?;
    figure("orders until shipped and seen in all views", viewed).with("cpuMsPerOrder", used * 1e3 / orders).print()?;
    figure("orders until delivered", delivered).with("messagesPerOrder", all.messages as f64 / orders).print()
}

fn count(app: &App, after: factum::stream::Position) -> anyhow::Result<Counted> {
    let mut counted = Counted::default();
    Archive::of(app.reader()).each::<factum::error::StoreError>(None, |stored| {
        if stored.position > after {
            counted.messages += 1;
            counted.bytes += stored.message.data.len();
            counted.shipped += usize::from(stored.type_name() == "order.shipped");
            counted.delivered += usize::from(stored.type_name() == "order.delivered");
        }
        Ok(())
    })?;
    Ok(counted)
}
