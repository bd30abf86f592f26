//! The `shop` command.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let file = std::path::PathBuf::from(args.next().unwrap_or_default());
    let data = std::path::PathBuf::from(args.next().unwrap_or_default());
    let settings = shop::import::loader::Settings {
        declines: args.next().and_then(|x| x.parse().ok()).unwrap_or(0.0),
        shuffle: args.next().and_then(|x| x.parse().ok()),
    };
    let t = std::time::Instant::now();
    let outcome = shop::import::loader::import(&file, &data, &settings, &|_, _| {}).await?;
    eprintln!("{outcome:?} {:?}", t.elapsed());
    let archive = factum::Archive::open(&data)?;
    println!("{}", serde_json::to_string_pretty(&shop::report::report(&archive)?)?);
    Ok(())
}
