//! Prints Factum's figures as JSON lines, each beside what the bare machine does in the same run, and beside its
//! rivals on the same work; see `docs/benchmarks.md`.

mod between;
mod client;
mod commands;
mod figure;
#[cfg(feature = "rivals")]
mod folded;
mod holds;
mod home;
mod latency;
mod log;
mod machine;
mod open;
mod orders;
mod ours;
mod partners;
mod replay;
#[cfg(feature = "rivals")]
mod rivals;
mod rolls;
mod store;
mod subject;
mod supply;
mod table;
mod warehouse;
mod work;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use home::Home;
use mimalloc::MiMalloc;
use subject::Choice;
use tokio::runtime::Runtime;

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
    /// Adds the JSON lines to this file instead of printing them.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    /// Only these of `factum` and its rivals, where there are rivals.
    #[arg(long, global = true, value_delimiter = ',')]
    only: Vec<String>,
}

#[derive(Subcommand)]
enum What {
    /// Everything but `scale`, for a short while each; the default.
    All,
    /// The log alone: groups of 1, 64 and 1,024 events of 256, 400 and 4,096 B, in turns with the bare disk.
    Log {
        /// For how long each.
        #[arg(long, default_value_t = 2)]
        seconds: u64,
    },
    /// The store and its rivals: batches appended, all events read, streams of 10 read at random.
    #[command(visible_alias = "streams")]
    Store(StoreArgs),
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
    /// Commands on small aggregates, by 1, 64 and 1,024 callers; of rivals by 64 and 1,024.
    Commands {
        /// For how long each.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// How many callers, one number after the other.
        #[arg(long, value_delimiter = ',', default_values_t = commands::CALLERS)]
        callers: Vec<usize>,
    },
    /// The same app on a private PostgreSQL, beside one written by hand: commands by 64 and 256 callers, orders through all
    /// services, orders over HTTP at a steady rate.
    #[cfg(feature = "rivals")]
    Postgres {
        /// For how long each.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Orders.
        #[arg(long, default_value_t = 4_000)]
        orders: usize,
        /// Orders a second over HTTP.
        #[arg(long, default_value_t = 50)]
        rate: usize,
    },
    /// Orders, then their log read again.
    Replay(Orders),
    /// Two units and a broker between them: what is published and taken in, and how long one event takes.
    Between {
        /// The broker, such as kafka://127.0.0.1:9092; one in the memory of this process if there is none.
        #[arg(long)]
        broker: Option<String>,
        /// For how long the first log is filled.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Single events.
        #[arg(long, default_value_t = 500)]
        single: usize,
    },
    /// Held keys: what a hundred cost the others, and the release of a hundred thousand messages behind one.
    Holds {
        /// For how long each.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// Two partners at once: what one that fails three times in ten costs the other.
    Partners {
        /// For how long each of six rounds.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// One warehouse: orders reserved and shipped behind a few thousand of them, and behind millions of a year.
    Warehouse {
        /// Behind how many.
        #[arg(long, default_value_t = 3_000_000)]
        orders: usize,
    },
    /// Acknowledgements at a steady rate, across the rolls of segments.
    Rolls {
        /// Events a second.
        #[arg(long, default_value_t = 50_000)]
        rate: usize,
        /// How many segments begin.
        #[arg(long, default_value_t = 10)]
        rolls: usize,
        /// Length of a segment.
        #[arg(long, default_value_t = 64)]
        segment_mib: u64,
    },
    /// A log of 10 M events in 1 M streams, opened after a kill, after an end without a word, after an orderly one.
    Open(open::Size),
    /// The same with 100 M events in 10 M streams.
    Scale(open::Size),
    /// What a process of its own does in `open` and `scale`.
    #[command(hide = true)]
    Part {
        #[command(subcommand)]
        part: open::Part,
    },
}

#[derive(Args, Clone, Copy)]
struct StoreArgs {
    /// Events to append; rounded up to whole cohorts of 40,960.
    #[arg(long, default_value_t = 819_200)]
    events: usize,
    /// A store that needs longer stops after this time.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How long to read streams.
    #[arg(long, default_value_t = 3)]
    reading: u64,
}

impl StoreArgs {
    fn settings(self) -> store::Settings {
        let (longest, reading) = (Duration::from_secs(self.seconds), Duration::from_secs(self.reading));
        store::Settings { events: self.events, longest, reading }
    }
}

#[derive(Args, Clone, Copy)]
struct Orders {
    /// Orders.
    #[arg(long, default_value_t = 10_000)]
    orders: usize,
    /// Orders handed in and not yet durable.
    #[arg(long, default_value_t = 512)]
    in_flight: usize,
    /// Without the four services that no order waits for: cart, notification, loyalty, analytics.
    #[arg(long)]
    seven: bool,
}

impl Orders {
    fn settings(self) -> orders::Settings {
        orders::Settings { orders: self.orders, in_flight: self.in_flight, seven: self.seven }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => {
            figure::table();
            ExitCode::SUCCESS
        }
        Err(error) => {
            // What was measured before is measured all the same.
            figure::table();
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if let Some(What::Part { part }) = &cli.what {
        return open::act(part);
    }
    if let Some(file) = &cli.json {
        figure::write_to(file)?;
    }
    let choice = Choice::of(&cli.only)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = tempfile::Builder::new().prefix("bench-").tempdir_in(&cli.dir)?;
    // The rivals need a name that holds wherever they are run from.
    let dir = &place.path().canonicalize()?;
    match cli.what.unwrap_or(What::All) {
        What::All => all(dir, &runtime, &choice),
        What::Part { .. } => Ok(()),
        What::Log { seconds } => log::run(dir, Duration::from_secs(seconds)),
        What::Store(store) => store::run(dir, store.settings(), &choice),
        What::Orders(orders) => runtime.block_on(orders::run(Home::below(dir), orders.settings())),
        What::Replay(orders) => runtime.block_on(replay(dir, orders.settings())),
        What::Latency { rate, seconds } => {
            runtime.block_on(latency::run(Home::below(dir), latency::Settings { rate, seconds }))
        }
        What::Commands { seconds, callers } => {
            commands::run(dir, &runtime, &callers, Duration::from_secs(seconds), &choice)
        }
        #[cfg(feature = "rivals")]
        What::Postgres { seconds, orders, rate } => postgres(dir, &runtime, &choice, seconds, orders, rate),
        What::Between { broker, seconds, single } => {
            let settings = between::Settings { broker, filling: Duration::from_secs(seconds), single };
            runtime.block_on(between::run(dir, settings))
        }
        What::Holds { seconds } => runtime.block_on(holds::run(dir, Duration::from_secs(seconds))),
        What::Partners { seconds } => runtime.block_on(partners::run(dir, Duration::from_secs(seconds))),
        What::Warehouse { orders } => runtime.block_on(warehouse::run(dir, orders)),
        What::Rolls { rate, rolls, segment_mib } => rolls::run(dir, rolls::Settings { rate, rolls, segment_mib }),
        What::Open(size) => opened(dir, "open", size, 10_000_000),
        What::Scale(size) => opened(dir, "scale", size, 100_000_000),
    }
}

fn all(dir: &Path, runtime: &Runtime, choice: &Choice) -> anyhow::Result<()> {
    let (events, longest, reading) = (819_200, Duration::from_secs(10), Duration::from_secs(2));
    log::run(dir, Duration::from_secs(1))?;
    store::run(dir, store::Settings { events, longest, reading }, choice)?;
    commands::run(dir, runtime, &commands::CALLERS, Duration::from_secs(3), choice)?;
    runtime.block_on(replay(dir, orders::Settings { orders: 10_000, in_flight: 512, seven: false }))?;
    runtime.block_on(latency::run(Home::below(dir), latency::Settings { rate: 100, seconds: 20 }))?;
    runtime.block_on(holds::run(dir, Duration::from_secs(2)))?;
    runtime.block_on(partners::run(dir, Duration::from_secs(3)))?;
    runtime.block_on(warehouse::run(dir, 500_000))?;
    rolls::run(dir, rolls::Settings { rate: 50_000, rolls: 10, segment_mib: 64 })?;
    open::run(dir, "open", 10_000_000, 1_000_000, 100)
}

/// What an app does on PostgreSQL; beside it, on clusters of its own, what is written by hand.
#[cfg(feature = "rivals")]
fn postgres(
    dir: &Path,
    runtime: &Runtime,
    choice: &Choice,
    seconds: u64,
    orders: usize,
    rate: usize,
) -> anyhow::Result<()> {
    const CALLERS: [usize; 2] = [64, 256];
    let each = Duration::from_secs(seconds);
    if choice.has(ours::NAME) {
        let place = dir.join("unit");
        std::fs::create_dir(&place)?;
        let (_cluster, url) = rivals::postgres::served(&place)?;
        let home = Home::in_database(&place, &url);
        runtime.block_on(async {
            commands::engine(home, &CALLERS, each).await?;
            orders::run(home, orders::Settings { orders, in_flight: 512, seven: false }).await?;
            latency::run(home, latency::Settings { rate, seconds: 20 }).await
        })?;
    }
    commands::rivals(dir, &CALLERS, each, choice)
}

fn opened(dir: &Path, name: &str, size: open::Size, events: usize) -> anyhow::Result<()> {
    let events = size.events.unwrap_or(events);
    open::run(dir, name, events, size.streams.unwrap_or(events / 10), size.bytes)
}

async fn replay(dir: &Path, settings: orders::Settings) -> anyhow::Result<()> {
    orders::run(Home::below(dir), settings).await?;
    replay::run(&dir.join("orders"))
}
