//! Prints Factum's figures as JSON lines, each beside what the bare machine does in the same run; see
//! `docs/benchmarks.md`.

mod client;
mod commands;
mod figure;
mod latency;
mod machine;
mod orders;
mod replay;
mod supply;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use mimalloc::MiMalloc;

/// As in the shop: what is measured is the program as it runs.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures Factum; one JSON line for each figure, a table on the error output at the end.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    /// Where to write; on the disk that is to be measured. A fresh directory below it, which is removed at the end.
    #[arg(long, global = true, default_value = ".")]
    dir: PathBuf,
}

#[derive(Subcommand)]
enum What {
    /// Everything, for a short while each; the default.
    All,
    /// Real orders through all services, as fast as they go.
    Orders(Orders),
    /// Real orders over HTTP at a steady rate.
    Latency {
        /// Orders a second.
        #[arg(long, default_value_t = 100)]
        rate: usize,
        /// For how long.
        #[arg(long, default_value_t = 20)]
        seconds: usize,
    },
    /// Commands on small aggregates, by 1, 64 and 1,024 callers.
    Commands {
        /// For how long each.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Orders, then their log read again.
    Replay(Orders),
}

#[derive(Args, Clone, Copy)]
struct Orders {
    /// Orders.
    #[arg(long, default_value_t = 10_000)]
    orders: usize,
    /// Orders handed in and not yet durable.
    #[arg(long, default_value_t = 512)]
    in_flight: usize,
}

impl Orders {
    fn settings(self) -> orders::Settings {
        orders::Settings { orders: self.orders, in_flight: self.in_flight }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => {
            figure::table();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = tempfile::Builder::new().prefix("bench-").tempdir_in(&cli.dir)?;
    let dir = place.path();
    runtime.block_on(async {
        match cli.what.unwrap_or(What::All) {
            What::All => {
                let (orders, in_flight) = (10_000, 512);
                replay(dir, orders::Settings { orders, in_flight }).await?;
                commands::run(dir, Duration::from_secs(3)).await?;
                latency::run(&dir.join("latency"), latency::Settings { rate: 100, seconds: 20 }).await
            }
            What::Orders(orders) => orders::run(&dir.join("orders"), orders.settings()).await,
            What::Replay(orders) => replay(dir, orders.settings()).await,
            What::Latency { rate, seconds } => {
                latency::run(&dir.join("latency"), latency::Settings { rate, seconds }).await
            }
            What::Commands { seconds } => commands::run(dir, Duration::from_secs(seconds)).await,
        }
    })
}

async fn replay(dir: &Path, settings: orders::Settings) -> anyhow::Result<()> {
    let dir = dir.join("orders");
    orders::run(&dir, settings).await?;
    replay::run(&dir)
}
