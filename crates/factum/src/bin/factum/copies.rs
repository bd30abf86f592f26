//! `factum backup` and `factum restore`.

use std::{path::Path, process::ExitCode};

use factum::{
    Location,
    operate::{self, Copied},
};
use serde::Serialize;

use crate::{
    Problem,
    log::{Verdict, code, judged},
    screen::{self, Unit, counted, size},
};

#[derive(Serialize)]
struct Backup<'a> {
    #[serde(flatten)]
    copied: &'a Copied,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Verdict<'a>>,
}

/// Copies a log, and reads the copy.
pub fn backup(data: &Location, to: &Path, links: bool, verify: bool, json: bool) -> Result<ExitCode, Problem> {
    let copied = screen::watched("copying", Unit::Segments, |progress| operate::backup(data, to, links, progress))?;
    let found = verify
        .then(|| screen::watched("verifying", Unit::Bytes, |progress| operate::verify(to, progress)))
        .transpose()?;
    if json {
        screen::json(&Backup { copied: &copied, verified: found.as_ref().map(Verdict::from) })?;
    } else {
        let fresh = copied.segments - copied.kept - copied.linked;
        let mut text = format!(
            "{} backed up to {}: {} copied ({}), {} linked, {} there from before.\n",
            counted(copied.head.0, "message", "messages"),
            to.display(),
            counted(fresh, "segment", "segments"),
            size(copied.copied_bytes),
            copied.linked,
            copied.kept,
        );
        text += "The key of digests (`digest.key`) is not in it: back it up apart.\n";
        text += &found.as_ref().map(judged).unwrap_or_default();
        screen::print(&text)?;
    }
    Ok(found.as_ref().map_or(ExitCode::SUCCESS, code))
}

/// Makes a data directory of a backup.
pub fn restore(from: &Path, data: &Location, json: bool) -> Result<ExitCode, Problem> {
    let copied = screen::watched("copying", Unit::Segments, |progress| operate::restore(from, data, progress))?;
    if json {
        screen::json(&copied)?;
    } else {
        screen::print(&format!(
            "{} restored to {} ({}).\n\
             Its epoch was {} and is {} now: positions kept from the original are not positions of this log.\n\
             Views are rebuilt when the app starts on it; rows brought along from the original are thrown away then.\n",
            counted(copied.head.0, "message", "messages"),
            data,
            size(copied.copied_bytes),
            copied.original.epoch,
            copied.lineage.epoch,
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
