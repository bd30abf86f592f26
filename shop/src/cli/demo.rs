//! The demo: 2,000 real invoices through the shop, with some payments declined, and what became of them.

use std::{
    fs,
    io::{IsTerminal, stdin},
    path::Path,
};

use anyhow::{Context, bail};
use shop::{
    check,
    import::loader::{self, Settings},
    report,
    services::archive,
};

use super::{
    out::{say, tell},
    progress::Bar,
    story, summary,
};

/// Chen, D. (2015). Online Retail [Dataset]. UCI Machine Learning Repository. https://doi.org/10.24432/C5BW33. CC BY 4.0.
const INVOICES: &[u8] = include_bytes!("../../data/online_retail_first_2000_invoices.csv.zst");
const FILE: &str = "online_retail_first_2000_invoices.csv.zst";
const MARK: &str = "DEMO";
const MARK_TEXT: &str = "`shop demo` made this directory, and replaces it if it is told so when it runs again.\n";

/// Runs the demo, in a directory that is prepared.
pub async fn demo(data: &Path, declines: f64) -> anyhow::Result<()> {
    let percent = declines * 100.0;
    say(&format!(
        "Running 2,000 real invoices of a gift shop (December 2010) through eleven services on one embedded log.\n\
         Every event is synced to disk before anybody hears of it; {percent:.0} % of the payments are declined and undone.\n\n"
    ))?;
    let bar = Bar::new("invoices");
    let settings = Settings { declines, mail: true, ..Settings::default() };
    let outcome = loader::import(&data.join(FILE), data, &settings, &|done, of| bar.set(done, of)).await?;
    bar.done();
    let archive = archive(data)?;
    let report = report::report(&archive)?;
    say(&summary::outcome(&outcome, &data.into()))?;
    say(&summary::report(&report))?;
    say(&summary::findings(&check::check(&archive)?))?;
    say(&summary::services(&archive)?)?;
    say(&story::two(&archive)?)?;
    say(&summary::next(&data.into()))?;
    Ok(())
}

/// Makes room for the demo.
pub fn prepare(data: &Path, again: bool) -> anyhow::Result<()> {
    let is_empty = !data.exists() || fs::read_dir(data)?.next().is_none();
    if !is_empty && !data.join(MARK).exists() {
        bail!("{} was not made by the demo, so it is left alone: give another place with --data", data.display());
    }
    if factum::operate::is_open(data)? {
        bail!("a shop runs on {}: stop it first, or give another place with --data", data.display());
    }
    if !is_empty {
        if !again && !agreed(data)? {
            bail!(
                "{} holds an earlier demo, and whatever was ordered in it since: add --again to replace it (`make demo \
                 AGAIN=1`), or give another place with --data",
                data.display()
            );
        }
        fs::remove_dir_all(data)
            .with_context(|| format!("the earlier demo in {} cannot be removed", data.display()))?;
    }
    fs::create_dir_all(data).with_context(|| format!("{} cannot be made", data.display()))?;
    fs::write(data.join(MARK), MARK_TEXT)?;
    fs::write(data.join(FILE), INVOICES)?;
    Ok(())
}

/// Whether the person at the terminal lets the earlier demo go; no if there is nobody to ask.
fn agreed(data: &Path) -> anyhow::Result<bool> {
    if !stdin().is_terminal() {
        return Ok(false);
    }
    tell(&format!("{} holds an earlier demo, and whatever was ordered in it since. Replace it? [y/N]", data.display()));
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
