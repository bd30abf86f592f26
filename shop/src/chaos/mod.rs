//! `shop chaos`: the shop as a process of its own, between customers, a provider and a carrier, while everything around it goes
//! wrong by a seed. In the end all books are compared, and what happened is told.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    time::Duration,
};

use factum::chaos::{Rates, Tally};
use tokio::time::sleep;

use crate::check::Findings;

pub mod books;
pub mod carrier;
mod customers;
mod history;
mod onlooker;
pub mod poison;
pub mod provider;
mod stage;
mod verdict;

use stage::Stage;

/// Of the kills so many strike when all is ordered, while it comes to its end.
const LATE_KILLS: u64 = 5;
/// Full disks, of each so many orders one.
const ORDERS_A_FULL_DISK: u64 = 250;
/// How often it is looked how many have ordered.
const LOOK: Duration = Duration::from_millis(10);

/// What is ordered.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many orders are placed.
    pub orders: u64,
    /// What everything is drawn by.
    pub seed: u64,
    /// The share of payments that are declined, 0 to 1.
    pub declines: f64,
    /// What happens to requests between the shop and all others.
    pub rates: Rates,
    /// The share of orders that a handler panics on, 0 to 1.
    pub poison: f64,
    /// How often the shop is killed while it runs.
    pub kills: u64,
    /// The longest wait: for an answer, and for everything to come to its end.
    pub limit: Duration,
    /// Where the data is copied to in the end; if something is found always.
    pub keep: Option<PathBuf>,
    /// The program that is the shop; this one if none is given.
    pub program: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which faults happened.
    pub tally: Tally,
    /// What the check of the log says.
    pub findings: Findings,
    /// How the orders ended.
    pub ends: BTreeMap<String, u64>,
    /// Of those that were cancelled, how many although neither customer nor provider had said no: something took too long.
    pub out_of_time: u64,
    /// Letters, each of an order that was poison; ended by a redrive once the program was mended.
    pub letters: u64,
    /// What the provider and the carrier have done, each once, and how often they were asked again.
    pub effects: (u64, u64),
    /// Sentences; empty if all is well.
    pub problems: Vec<String>,
    /// Where the data is, if it was kept.
    pub kept: Option<PathBuf>,
}

/// Runs it; `tell` hears how many of the orders are placed. What it starts and makes is gone when it ends or is dropped.
///
/// # Errors
/// A sentence: something could not be had, the shop ended by itself, or did not come to its end.
pub async fn run(settings: &Settings, tell: &(dyn Fn(u64) + Sync)) -> anyhow::Result<Outcome> {
    let mut stage = Stage::set(settings).await?;
    let ran = act(&mut stage, settings, tell).await;
    let is_well = ran.as_ref().is_ok_and(|outcome| outcome.problems.is_empty());
    let kept = match &settings.keep {
        Some(dir) => Some(dir.clone()),
        None => (!is_well).then(|| std::env::temp_dir().join(format!("shop-chaos-{}", settings.seed))),
    };
    if let Some(dir) = &kept {
        stage.place.copy_to(dir)?;
    }
    match ran {
        Ok(outcome) => Ok(Outcome { kept, ..outcome }),
        Err(error) => {
            let kept = kept.map(|dir| format!("the data is in {}", dir.display())).unwrap_or_default();
            Err(error.context(format!("seed {}; what happened so far:\n{}{kept}", settings.seed, stage.tally)))
        }
    }
}

/// A seed that nobody has chosen.
pub fn any_seed() -> u64 {
    // The hasher's keys are random in each process.
    RandomState::new().hash_one("seed") % 1_000_000
}

async fn act(stage: &mut Stage, settings: &Settings, tell: &(dyn Fn(u64) + Sync)) -> anyhow::Result<Outcome> {
    let customers = stage.customers.clone();
    customers.stock(settings.orders * 20).await.map_err(anyhow::Error::msg)?;
    let late = LATE_KILLS.min(settings.kills / 2);
    let ordering = async {
        customers.order(settings.orders, tell).await;
        Ok(())
    };
    tokio::try_join!(ordering, strike(stage, settings, settings.kills - late))?;
    stage.settle(late.div_ceil(2), settings.limit).await?;
    let delivered = verdict::delivered(stage).await?;
    let sending_back = async {
        customers.send_back(delivered).await;
        Ok(())
    };
    tokio::try_join!(sending_back, async { if late > 1 { stage.kill().await } else { Ok(()) } })?;
    stage.settle(late / 2, settings.limit).await?;
    verdict::reach(stage, settings).await
}

/// Kills, and full disks, spread over the orders.
async fn strike(stage: &mut Stage, settings: &Settings, kills: u64) -> anyhow::Result<()> {
    let disks = if kills > 0 { (settings.orders / ORDERS_A_FULL_DISK).max(1) } else { 0 };
    let spread = |of: u64| move |nth: u64| settings.orders * (nth + 1) / (of + 1);
    let mut strikes: Vec<(u64, bool)> = (0..kills).map(spread(kills)).map(|at| (at, false)).collect();
    strikes.extend((0..disks).map(spread(disks)).map(|at| (at, true)));
    strikes.sort_unstable();
    for (at, full) in strikes {
        while stage.customers.done() < at {
            sleep(LOOK).await;
        }
        if full { stage.fill_disk().await? } else { stage.kill().await? }
    }
    Ok(())
}
