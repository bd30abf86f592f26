//! One warehouse: as fast behind millions of orders as behind a few thousand. What is over leaves its state a month later,
//! and its snapshots are written beside it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use factum::{App, prelude::*};
use futures_util::{StreamExt, stream};
use shop::{
    contracts::process::Process,
    contracts::{
        ids::{OrderId, Sku, WarehouseId},
        inventory::{ReceiveStock, ReserveStock, ShipStock},
        shapes::Quantity,
    },
    inventory::{self, decider::DEFAULT_WAREHOUSE},
};

use crate::{
    figure::Figure,
    machine::{Times, cpu_seconds, peak_rss_mib},
};

/// Orders behind which it is measured first.
const FEW: usize = 3_000;
/// Orders of one measurement.
const MEASURED: usize = 200_000;
/// Orders under way.
const CALLERS: usize = 64;
/// Articles, of which each order has two.
const ARTICLES: usize = 1_000;
/// In so long all orders come: so many are a busy year.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How it went.
struct Went {
    rate: f64,
    cpu_us: f64,
    times: Times,
}

/// Reserves and ships orders in `dir`: some behind few, and as many behind `orders`.
///
/// # Errors
/// If the warehouse refuses an order.
pub async fn run(dir: &Path, orders: usize) -> anyhow::Result<()> {
    let app = App::open(dir.join("warehouse"))?
        .with(inventory::service(Process::Orchestrated))
        .on_data_time()
        .start()
        .await?;
    let outcome = measure(&app, orders.max(FEW + MEASURED)).await;
    app.stop().await;
    outcome
}

async fn measure(app: &App, orders: usize) -> anyhow::Result<()> {
    let start: Timestamp = "2010-12-01T08:00:00Z".parse()?;
    let between = YEAR / u32::try_from(orders)?;
    let at = |number: usize| start + between * u32::try_from(number).unwrap_or(u32::MAX);
    for article in 0..ARTICLES {
        let (quantity, warehouse_id) = (1_000_000_000, WarehouseId::from(DEFAULT_WAREHOUSE));
        app.execute(ReceiveStock { sku: sku(article), quantity, warehouse_id }).at(start).await?;
    }
    go(app, 0..FEW, at).await?;
    let few = go(app, FEW..FEW + MEASURED, at).await?;
    go(app, FEW + MEASURED..orders, at).await?;
    let many = go(app, orders..orders + MEASURED, at).await?;
    let figure = |behind: usize, went: &Went| {
        Figure::new(format!("warehouse, behind {behind} orders"), went.rate, "orders/s")
            .with("inFlight", CALLERS as f64)
            .with("p50us", went.times.us(0.5))
            .with("p999us", went.times.us(0.999))
            .with("longestMs", went.times.ms(1.0))
            .with("cpuUsPerOrder", went.cpu_us)
            .with("peakRssMib", peak_rss_mib().unwrap_or(f64::NAN))
    };
    figure(FEW, &few).print()?;
    figure(orders, &many).print()?;
    Figure::new(format!("warehouse, behind {orders} beside {FEW} orders"), many.rate / few.rate, "×").print()
}

async fn go(app: &App, orders: std::ops::Range<usize>, at: impl Fn(usize) -> Timestamp + Copy) -> anyhow::Result<Went> {
    let (count, start, cpu) = (orders.len(), Instant::now(), cpu_seconds());
    let mut under_way = stream::iter(orders.map(|number| order(app, number, at(number)))).buffer_unordered(CALLERS);
    let mut took = Vec::with_capacity(2 * count);
    while let Some(both) = under_way.next().await {
        took.extend(both?);
    }
    let (seconds, used) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    Ok(Went { rate: count as f64 / seconds, cpu_us: used * 1e6 / count as f64, times: Times::of(took) })
}

/// How long the answers took.
async fn order(app: &App, number: usize, at: Timestamp) -> anyhow::Result<[Duration; 2]> {
    let order_id = OrderId::from(format!("o-{number}"));
    let of = |article: usize| Quantity { sku: sku(article % ARTICLES), quantity: 1 };
    let items = vec![of(number), of(number.wrapping_mul(7))];
    let start = Instant::now();
    app.execute(ReserveStock { order_id: order_id.clone(), items, warehouse_id: None }).at(at).await?;
    let reserved = start.elapsed();
    app.execute(ShipStock { order_id, warehouse_id: None }).at(at).await?;
    Ok([reserved, start.elapsed() - reserved])
}

fn sku(article: usize) -> Sku {
    Sku::from(format!("A-{article}"))
}
