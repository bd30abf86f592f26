//! Measures how long a shop takes from its start to its first accepted command, with snapshots and without, in turns.
//!
//! ```text
//! cargo run --release -p shop -- import FILE --data DIR
//! cargo run --release -p shop --example start -- DIR [TURNS]
//! ```
//!
//! The command asks the warehouse, whose stream is the longest; it changes nothing. The directory's snapshots are set aside
//! for the starts without, and put back.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use factum::{App, AppBuilder};
use shop::{
    contracts::{ids::Sku, inventory::AdjustStock},
    services::{Options, services},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().context("name the directory of a shop's data, and how often to start")?;
    let turns: usize = arguments.next().map_or(Ok(5), |turns| turns.parse())?;
    let dir = Path::new(&dir);
    let (kept, aside) = (dir.join("snapshots"), dir.join("snapshots.aside"));
    // The first start also lets everything settle that was left to do, and writes what snapshots are worth it.
    start(dir).await?;
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..turns {
        figures[0].push(start(dir).await?);
        fs::rename(&kept, &aside)?;
        figures[1].push(start(dir).await?);
        fs::remove_dir_all(&kept)?;
        fs::rename(&aside, &kept)?;
    }
    let bytes: u64 = fs::read_dir(&kept)?.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum();
    println!("{bytes} bytes of snapshots");
    for (name, mut starts) in ["with snapshots", "without"].into_iter().zip(figures) {
        starts.sort_by_key(|start| start.iter().sum::<Duration>());
        let [open, begin, accept] = starts[starts.len() / 2];
        println!(
            "{name:>15}: {:6.1} ms to the first accepted command = open {:.1} + start {:.1} + command {:.1}; median of {turns}",
            ms(open + begin + accept),
            ms(open),
            ms(begin),
            ms(accept),
        );
    }
    Ok(())
}

/// Opening the directory, starting the services, the first command.
async fn start(dir: &Path) -> anyhow::Result<[Duration; 3]> {
    let clock = Instant::now();
    let builder = App::open(dir)?;
    let open = clock.elapsed();
    let app = services(&Options::default()).into_iter().fold(builder, AppBuilder::with).start().await?;
    let begin = clock.elapsed() - open;
    let nothing = AdjustStock { sku: Sku::from("TEA"), quantity: 0, reason: "asked".to_owned(), warehouse_id: None };
    app.execute(nothing).await?;
    let accept = clock.elapsed() - begin - open;
    app.rest().await?;
    app.stop().await;
    Ok([open, begin, accept])
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
