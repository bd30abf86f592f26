//! Imports that were begun and not finished: what is under way of them is brought to rest on the file's own time, so that
//! the shop can meet the present.

use std::{collections::BTreeMap, path::Path};

use anyhow::bail;
use factum::{App, Archive, prelude::*};

use super::{
    AWAY,
    history::History,
    journal::{ImportEvent, SuspendImport},
    loader::{self, Returns, Settings, entry, until},
    manner::Manner,
};
use crate::{
    data::Data,
    services::{archive, archive_if_any},
};

/// An import that was begun.
#[derive(Clone, Debug)]
pub struct BegunImport {
    /// A digest of the file's rows.
    pub digest: String,
    /// The file's name.
    pub file: String,
    /// In which manner.
    pub manner: Manner,
    /// Invoices that are in.
    pub invoices: u64,
    at: Timestamp,
    /// It is neither finished nor set aside.
    pub(super) runs: bool,
}

/// The imports of a log that run, or were cut off while they did.
///
/// # Errors
/// [`HandlerError`] if the log cannot be read.
pub fn unfinished(archive: &Archive) -> Result<Vec<BegunImport>, HandlerError> {
    Ok(begun(archive)?.into_values().filter(|import| import.runs).collect())
}

/// All imports of a log, by their files' digests.
pub(super) fn begun(archive: &Archive) -> Result<BTreeMap<String, BegunImport>, HandlerError> {
    // Told by the journals alone: this is asked at every start of the shop.
    archive.fold(BTreeMap::new(), hear)
}

fn hear(imports: &mut BTreeMap<String, BegunImport>, event: &Recorded<ImportEvent>) {
    let mut of =
        |digest: &String, change: &dyn Fn(&mut BegunImport)| imports.get_mut(digest).into_iter().for_each(change);
    match &event.data {
        ImportEvent::Started(e) => {
            let (digest, file) = (e.digest.clone(), e.file.clone());
            let manner = Manner { declines: e.declines, process: e.process };
            let import = BegunImport { digest, file, manner, invoices: 0, at: event.at(), runs: true };
            imports.insert(e.digest.clone(), import);
        }
        ImportEvent::Imported(e) => of(&e.digest, &|import| {
            import.invoices += 1;
            import.at = import.at.max(event.at());
        }),
        ImportEvent::Resumed(e) => of(&e.digest, &|import| import.runs = true),
        ImportEvent::Suspended(e) => of(&e.digest, &|import| import.runs = false),
        ImportEvent::Finished(e) => of(&e.digest, &|import| import.runs = false),
        ImportEvent::Noted(_) => {}
    }
}

/// Brings what is under way in a shop to rest on data time, and sets its unfinished imports aside; answers which.
///
/// # Errors
/// If the data cannot be used.
pub async fn set_aside(data: impl Into<Data>, reason: &str, hold_unknown: bool) -> anyhow::Result<Vec<BegunImport>> {
    let data = data.into();
    let Some(archive) = archive_if_any(&data)? else { return Ok(Vec::new()) };
    let unfinished = unfinished(&archive)?;
    set_these_aside(&data, &unfinished, reason, hold_unknown).await?;
    Ok(unfinished)
}

/// Sets the import of a file aside, which may be gone: then it is found by its name.
///
/// # Errors
/// If the data cannot be used, or no import of the file is unfinished there.
pub async fn abandon(path: &Path, data: impl Into<Data>) -> anyhow::Result<BegunImport> {
    let data = data.into();
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let digest = super::read(path).ok().map(|file| file.digest);
    let is_it = |import: &BegunImport| match &digest {
        Some(digest) => import.digest == *digest,
        None => import.file == name,
    };
    let found = unfinished(&archive(&data)?)?.into_iter().find(is_it);
    let Some(found) = found else {
        bail!("no import of {name} is unfinished in {}: there is nothing to abandon", data)
    };
    set_these_aside(&data, std::slice::from_ref(&found), "abandoned", false).await?;
    Ok(found)
}

async fn set_these_aside(
    data: &Data,
    unfinished: &[BegunImport],
    reason: &str,
    hold_unknown: bool,
) -> anyhow::Result<()> {
    let Some(last) = unfinished.iter().max_by_key(|import| import.at) else { return Ok(()) };
    let Manner { declines, process } = last.manner;
    let builder = loader::shop(data, &Settings { declines, process: Some(process), ..Settings::default() })?;
    let app = if hold_unknown { builder.hold_unknown() } else { builder }.start().await?;
    let rested = rest(&app, unfinished, reason).await;
    app.stop().await;
    rested
}

/// The same, in an app on data time that has the shop's services and the journal.
///
/// # Errors
/// As [`set_aside`].
pub async fn rest(app: &App, unfinished: &[BegunImport], reason: &str) -> anyhow::Result<()> {
    let history = History::of(&Archive::of(app.reader()))?;
    let mut returns: Returns = history.pending().map(|(note, owed)| entry(note, owed)).collect();
    until(app, Timestamp::MAX, &mut returns).await?;
    for import in unfinished {
        let suspend = SuspendImport { digest: import.digest.clone(), reason: reason.to_owned() };
        app.execute(suspend).at(import.at).patient(AWAY).await?;
    }
    app.rest().await?;
    Ok(())
}
