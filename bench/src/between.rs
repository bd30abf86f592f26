//! Between two units: what the relay of one publishes and the other takes in, each as fast as it goes, and how long a single event
//! takes from one log into the other.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use factum::{App, Broker, prelude::*};

use crate::{
    commands::{self, Counter, CounterAdded},
    figure::Figure,
    machine::Times,
};

/// Callers that fill the first log.
const CALLERS: usize = 1_024;
/// How often it is looked whether what was waited for has come.
const LOOK: Duration = Duration::from_micros(100);
/// Nothing here takes longer.
const LONG: Duration = Duration::from_secs(120);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The broker's address; one in memory if there is none.
    pub broker: Option<String>,
    /// For how long the first log is filled.
    pub filling: Duration,
    /// Single events whose way is measured.
    pub single: usize,
}

fn counting() -> Service {
    Service::new("counting").decider::<Counter>()
}

fn seeing() -> Service {
    Service::new("seeing").react("see", |_: &Recorded<'_, CounterAdded>, _: &mut Effects| {})
}

/// Runs both units in this process, each with a log of its own below `dir`.
///
/// # Errors
/// If one of them fails, or the broker cannot be used.
pub async fn run(dir: &Path, settings: Settings) -> anyhow::Result<()> {
    let Settings { broker, filling, single } = settings;
    let (broker, how) = match &broker {
        None => (Broker::in_memory(), "a broker in memory"),
        Some(address) => (Broker::open(address)?, "the broker at an address"),
    };
    let alone = App::open(dir.join("counting"))?.with(counting()).start().await?;
    commands::calls(&alone, "counter", CALLERS, filling).await?;
    let events = alone.position().0;
    alone.stop().await;
    drop(alone);

    let begun = Instant::now();
    let from = App::open(dir.join("counting"))?.with(counting()).unit("counting", &broker, vec![seeing()]);
    let from = from.start().await?;
    until(|| from.health().between.is_some_and(|between| between.relay.position >= events)).await?;
    let figure = |name: &str, count: f64, took: Duration| {
        Figure::new(format!("{name}, through {how}"), count / took.as_secs_f64(), "messages/s").with("messages", count)
    };
    figure("relay", events as f64, begun.elapsed()).print()?;

    let begun = Instant::now();
    let to = App::open(dir.join("seeing"))?.with(seeing()).unit("seeing", &broker, vec![counting()]).start().await?;
    until(|| to.position().0 >= events).await?;
    figure("arrivals", events as f64, begun.elapsed()).print()?;

    let mut times = Vec::with_capacity(single);
    for number in 0..single {
        let begun = Instant::now();
        commands::call(&from, "single", 0, number).await?;
        until(|| to.position().0 > events + number as u64).await?;
        times.push(begun.elapsed());
    }
    let times = Times::of(times);
    Figure::new(
        format!("a command in one unit until its event stands in the other, through {how}"),
        times.us(0.5),
        "us p50",
    )
    .with("p99_us", times.us(0.99))
    .print()?;
    let twice = to.position().0 - events - single as u64;
    ensure!(twice == 0, "{twice} messages were taken in twice");
    from.stop().await;
    to.stop().await;
    Ok(())
}

async fn until(is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is_so() {
        ensure!(begun.elapsed() < LONG, "what was waited for has not come within {LONG:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
