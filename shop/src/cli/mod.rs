//! What the `shop` command understands.

#[cfg(unix)]
mod chaos;
mod definitions;
mod demo;
mod out;
mod payments;
mod place;
mod progress;
mod serving;
mod story;
mod summary;
#[cfg(unix)]
mod up;
mod way;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Parser, Subcommand};
use factum::prelude::*;
use jiff::{civil, tz::TimeZone};
pub use out::failed;
use out::{Unheard, say, say_json, tell};
use place::{Stand, Where};
use serving::Serving;
use shop::{
    check,
    data::Data,
    import::{
        loader::{self, Settings},
        settle,
    },
    plain::plain,
    report,
    serve::serve,
    services::archive,
};
use way::Way;

const LEARN: &str = "\
Start here:
  shop demo                                  import 2,000 real invoices and see what became of them
  shop serve --data demo-data                then take orders over HTTP on the same data
  shop history 536365 --data demo-data       the whole story of one order, across all services

While `serve` runs:
  curl http://127.0.0.1:8080/health                  whether all is well, and if not, why
  curl http://127.0.0.1:8080/factum/v1/letters       what has failed and waits for a person
  factum letters list http://127.0.0.1:8080          the same, and how to end it: docs/operations.md

A data directory holds a log (the truth), rows and snapshots (rebuilt from it at will); so does a schema of a PostgreSQL
database, which --store postgres://… names (docs/postgres.md). One process writes it at a time; report, check, payments,
history and at only read, also beside a running `serve`.";

/// A shop on Factum: orders run from the first click to the last return.
#[derive(Debug, Parser)]
#[command(name = "shop", version, about, after_help = LEARN, arg_required_else_help = true)]
pub struct Cli {
    /// What to log: error, warn, info, debug, or a filter such as `factum_runtime=debug`.
    #[arg(long, global = true, default_value = "warn", value_name = "FILTER")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import 2,000 real invoices into `demo-data/` and tell what became of them.
    Demo {
        /// Where to; if it is an earlier demo's it is replaced after asking, refused if it is anything else.
        #[arg(long, default_value = "demo-data", value_name = "DIR")]
        data: PathBuf,
        /// The share of payments that the simulated provider declines, so that undoing can be seen.
        #[arg(long, default_value = "0.1", value_name = "SHARE", value_parser = share)]
        declines: f64,
        /// Replace an earlier demo, with whatever was ordered in it since, without asking.
        #[arg(long)]
        again: bool,
    },
    /// Run a file of real invoices through the whole shop, on the data's own time.
    ///
    /// It can be killed at any moment and started again: it goes on where it was. A later edition of a file, with more
    /// invoices in it, goes on behind the earlier one. Rows that cannot be read, and invoices that the shop would refuse,
    /// are reported with their line and reason; the rest goes on.
    Import {
        /// Invoice rows as CSV, or zstd of it: InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        stand: Stand,
        /// The share of payments that the simulated provider declines, from 0 to 1.
        #[arg(long, default_value = "0", value_name = "SHARE", value_parser = share)]
        declines: f64,
        /// Interleave deliveries at random by this seed, keeping only the order that is promised. The result is the same.
        #[arg(long, value_name = "SEED")]
        shuffle: Option<u64>,
        #[command(flatten)]
        way: Way,
        /// Go on with an import that was begun, also if it was set aside: by --abandon, or because `serve` was started; in the
        /// way in which it was begun.
        #[arg(long, conflicts_with = "abandon")]
        resume: bool,
        /// Import no more of the file: what is under way of it is brought to rest, and what is in stays.
        #[arg(long)]
        abandon: bool,
    },
    /// Take orders over HTTP.
    Serve(Box<Serving>),
    /// Run all units of factum.toml, each as a process of its own; one that ends is started again.
    #[cfg(unix)]
    Up(up::Up),
    /// Let everything go wrong around a shop, and check that nothing is lost or doubled: the provider declines, answers are lost
    /// or come late, requests twice; it is killed, its disk gets full, and some orders are poison. Exit code 1 if anything is.
    #[cfg(unix)]
    Chaos(Box<chaos::Chaos>),
    /// The shop of `shop chaos`.
    #[cfg(unix)]
    #[command(hide = true)]
    ChaosShop(Box<chaos::ChaosShop>),
    /// Count what a shop did: orders, money, stock.
    Report {
        #[command(flatten)]
        place: Where,
        /// As JSON, money in pence.
        #[arg(long)]
        json: bool,
    },
    /// Check that nothing is lost, doubled or half done: orders, sagas, money, stock. Exit code 1 if anything is.
    Check {
        #[command(flatten)]
        place: Where,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// List payments; with --open what is decided with the provider and not done yet, the longest open first.
    Payments {
        #[command(flatten)]
        place: Where,
        /// Only what is open: an authorisation, a capture, a void or a refund that the provider was not asked for yet, has not
        /// answered, or has refused.
        #[arg(long)]
        open: bool,
        /// Only of this order.
        #[arg(long, value_name = "ORDER")]
        order: Option<String>,
        /// As JSON, one payment a line, money in pence.
        #[arg(long)]
        json: bool,
    },
    /// Show an order's stream, and everything that followed from it in all services, as a tree.
    History {
        /// The order's id.
        #[arg(value_name = "ORDER")]
        order: String,
        #[command(flatten)]
        place: Where,
        /// As JSON, one message a line.
        #[arg(long)]
        json: bool,
    },
    /// Definitions in YAML: pipelines, sagas, consumer groups, services. Those in DIR/definitions run with the data in DIR.
    #[command(subcommand)]
    Definitions(definitions::Definitions),
    /// Show an order as it was at a time.
    At {
        /// The order's id.
        #[arg(value_name = "ORDER")]
        order: String,
        /// Such as 2010-12-03, 2010-12-03T10:30 or 2010-12-03T10:30:00Z; UTC if it does not say.
        #[arg(value_name = "TIME", value_parser = time)]
        time: Timestamp,
        #[command(flatten)]
        place: Where,
    },
}

/// What is said of a command that can be cut off anywhere.
const GOES_ON: &str = "start the same command again to go on where it was";

/// Carries a command out.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_new(&cli.log)
        .with_context(|| format!("`{}` is no log filter: use error, warn, info or debug", cli.log))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match cli.command {
        Command::Demo { data, declines, again } => {
            demo::prepare(&data, again)?;
            interruptible(through(demo::demo(&data, declines)), "add --again to begin anew")
        }
        Command::Import { file, stand, abandon: true, .. } => {
            interruptible(through(abandon(file, stand.data()?)), GOES_ON)
        }
        Command::Import { file, stand, declines, shuffle, way, resume, .. } => {
            let settings = Settings { declines, shuffle, process: way.process, ..Settings::default() };
            interruptible(through(import(file, stand.data()?, settings, resume)), GOES_ON)
        }
        Command::Serve(serving) => {
            runtime()?.block_on(serve(serving.options()?))?;
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(unix)]
        Command::Up(wanted) => {
            runtime()?.block_on(up::up(wanted))?;
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(unix)]
        Command::Chaos(wanted) => interruptible(
            async { Ok(if chaos::chaos(*wanted).await? { ExitCode::SUCCESS } else { ExitCode::FAILURE }) },
            "nothing of it is left",
        ),
        #[cfg(unix)]
        Command::ChaosShop(shop) => {
            runtime()?.block_on(shop.serve())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Report { place, json } => {
            let report = report::report(&archive(place.data()?)?)?;
            if json {
                say_json(&serde_json::to_string_pretty(&report)?)?;
            } else {
                say(&summary::report(&report))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { place, json } => {
            let findings = check::check(&archive(place.data()?)?)?;
            if json {
                say_json(&serde_json::to_string_pretty(&findings)?)?;
            } else {
                say(&summary::findings(&findings))?;
            }
            Ok(if findings.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Payments { place, open, order, json } => {
            let wanted = payments::Wanted { open, order: order.map(Into::into) };
            let rows = payments::payments(&archive(place.data()?)?, &wanted)?;
            if json {
                let lines = rows.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
                lines.iter().try_for_each(|line| say_json(line))?;
            } else {
                say(&payments::text(&rows, &wanted))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::History { order, place, json } => {
            let history = story::history(&archive(place.data()?)?, &order, json)?;
            if json {
                say_json(history.trim_end())?
            } else {
                say(&history)?
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Definitions(what) => Ok(if definitions::run(&what)? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Command::At { order, time, place } => {
            say(&story::at(&archive(place.data()?)?, &order, time)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn import(file: PathBuf, data: Data, settings: Settings, resume: bool) -> anyhow::Result<()> {
    let bar = progress::Bar::new("invoices");
    let tell = |done, of| bar.set(done, of);
    let outcome = if resume {
        loader::resume(&file, &data, &settings, &tell).await?
    } else {
        loader::import(&file, &data, &settings, &tell).await?
    };
    bar.done();
    say(&summary::outcome(&outcome, &data))?;
    Ok(())
}

/// What was asked for is help, or makes no sense.
///
/// # Errors
/// If the help was not heard.
pub fn explain(usage: &clap::Error) -> anyhow::Result<ExitCode> {
    let told = usage.print().and_then(|()| io::stdout().flush());
    if !usage.use_stderr() {
        told.map_err(Unheard::from)?;
    }
    Ok(ExitCode::from(if usage.exit_code() == 0 { 0 } else { 2 }))
}

async fn abandon(file: PathBuf, data: Data) -> anyhow::Result<()> {
    let abandoned = settle::abandon(&file, &data).await?;
    let text = format!(
        "The import of {} is set aside: its first {} invoices stay, each order to its end, and nothing more of it comes in. \
         To take the rest after all: shop import <FILE> --data {} --declines {} --resume\n",
        plain(&abandoned.file),
        abandoned.invoices,
        data,
        abandoned.manner.declines
    );
    Ok(say(&text)?)
}

/// Runs a command until it is through or Ctrl-C; what was committed stands, and `next` says how it goes on.
fn interruptible(work: impl Future<Output = anyhow::Result<ExitCode>>, next: &str) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => {
                tell(&format!("\nstopped; {next}"));
                Ok(ExitCode::from(130))
            }
        }
    })
}

/// Work that is well when it is through.
async fn through(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    work.await.map(|()| ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("the async runtime could not be started")
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("use a number from 0 (none) to 1 (all), such as 0.1".to_owned()),
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let problem = || "use a time such as 2010-12-03, 2010-12-03T10:30 or 2010-12-03T10:30:00Z".to_owned();
    let time: civil::DateTime = text.parse().map_err(|_| problem())?;
    Ok(time.to_zoned(TimeZone::UTC).map_err(|_| problem())?.timestamp())
}
