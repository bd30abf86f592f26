//! What `shop chaos` understands, and what it tells in the end.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use factum::{LogSizes, chaos::Rates};
use shop::{
    chaos::{Outcome, Settings, any_seed, poison, run},
    serve::{Serve, serve_beside},
};

use super::{out::say, progress::Bar, serving::Serving, serving::duration};

/// What is to go wrong, and how often.
#[derive(Debug, Args)]
pub struct Chaos {
    /// How many orders are placed.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    orders: u64,
    /// What everything is drawn by; drawn itself and printed if it is not given.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// The share of payments that the provider declines.
    #[arg(long, default_value = "10%", value_name = "SHARE", value_parser = share)]
    declines: f64,
    /// The share of requests that nobody answers in time.
    #[arg(long, default_value = "5%", value_name = "SHARE", value_parser = share)]
    timeouts: f64,
    /// The share of requests whose answer is lost.
    #[arg(long, default_value = "3%", value_name = "SHARE", value_parser = share)]
    lost: f64,
    /// The share of requests that arrive twice.
    #[arg(long, default_value = "2%", value_name = "SHARE", value_parser = share)]
    duplicates: f64,
    /// The share of requests that are answered late, but in time.
    #[arg(long, default_value = "5%", value_name = "SHARE", value_parser = share)]
    delays: f64,
    /// The share of orders that a handler panics on.
    #[arg(long, default_value = "1%", value_name = "SHARE", value_parser = share)]
    poison: f64,
    /// How often the shop is killed; one kill for 200 orders, and 6 at least, if it is not given.
    #[arg(long, value_name = "N")]
    kills: Option<u64>,
    /// The longest wait, for an answer and for everything to come to its end.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = duration)]
    limit: Duration,
    /// Copy the data, and what the shop said, to this directory in the end; if something is found they are always kept.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl Chaos {
    fn settings(self) -> Settings {
        let Self { orders, seed, declines, timeouts, lost, duplicates, delays, poison, kills, limit, keep } = self;
        let seed = seed.unwrap_or_else(any_seed);
        let usual = Rates::usual();
        let rates = Rates { silent: timeouts, answer_lost: lost, twice: duplicates, late: delays, ..usual };
        let kills = kills.unwrap_or_else(|| (orders / 200).max(6));
        Settings { orders, seed, declines, rates, poison, kills, limit, keep, program: None }
    }
}

/// Runs it, and tells what came of it; whether all is well.
pub async fn chaos(chaos: Chaos) -> anyhow::Result<bool> {
    let settings = chaos.settings();
    say(&format!("chaos over {} orders, seed {}\n", settings.orders, settings.seed))?;
    let bar = Bar::new("orders");
    let outcome = run(&settings, &|done| bar.set(done, settings.orders)).await?;
    bar.done();
    say(&text(&outcome, &settings))?;
    Ok(outcome.problems.is_empty())
}

fn text(outcome: &Outcome, settings: &Settings) -> String {
    let Outcome { tally, findings, ends, out_of_time, letters, effects, problems, kept } = outcome;
    let ends: Vec<String> = ends.iter().map(|(status, orders)| format!("{orders} {status}")).collect();
    let (done, again) = effects;
    let kept = kept.as_ref().map(|dir| format!("the data is in {}\n", dir.display())).unwrap_or_default();
    let found = match problems.as_slice() {
        [] => "every order has come to its end, all books agree, and each effect happened once\n".to_owned(),
        problems => format!(
            "{} problems; run it again with --orders {} --seed {}:\n  {}\n",
            problems.len(),
            settings.orders,
            settings.seed,
            problems.join("\n  ")
        ),
    };
    format!(
        "{tally}\n{} orders: {}; {out_of_time} ran out of time\n{} sagas; {letters} letters, each of a poison, ended when the program was mended\n\
         provider and carrier did {done} things, each once, and were asked again {again} times\n{found}{kept}",
        findings.orders,
        ends.join(", "),
        findings.sagas,
    )
}

/// Its log is divided as small as that of years would be large: many segments, many checkpoints, and a disk that is full is
/// noticed soon, for no more than a segment was taken ahead.
const LOG: LogSizes = LogSizes { segment_bytes: 1 << 20, checkpoint_bytes: 4 << 20 };

/// The shop of `shop chaos`: one with a handler that some orders are poison to.
#[derive(Debug, Args)]
pub struct ChaosShop {
    #[command(flatten)]
    serving: Serving,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    poison: f64,
    #[arg(long)]
    mended: bool,
}

impl ChaosShop {
    /// Serves it.
    pub async fn serve(self) -> anyhow::Result<()> {
        let Self { seed, poison, mended, .. } = self;
        let service = Box::new(move || poison::service(seed, poison, mended));
        let options = self.serving.options()?;
        let options = Serve { data: options.data.clone().log_sizes(LOG), ..options };
        serve_beside(options, Some(service)).await.context("the shop of this chaos")
    }
}

/// A share as `10%` or `0.1`.
fn share(text: &str) -> Result<f64, String> {
    let (number, of) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>().map(|number| number / of) {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("use a share such as 10% or 0.1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_said_in_two_ways() {
        assert_eq!((share("10%"), share("0.1"), share("0"), share("100%")), (Ok(0.1), Ok(0.1), Ok(0.0), Ok(1.0)));
        for wrong in ["101%", "-1", "ten", "%", "NaN"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
