//! In which manner an import runs: as it was begun, and as what is under way of others was.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use factum::rejection::Rejection as _;

use super::{File, journal::ImportRejection, loader::Settings, settle};
use crate::{contracts::process::Process, data::Data, plain::plain, services::archive_if_any};

/// What of an import's settings cannot change once it was begun: what is under way of it was begun so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manner {
    /// The share of declined payments.
    pub declines: f64,
    /// How its orders are run.
    pub process: Process,
}

impl Manner {
    /// Refuses to go on in another manner.
    ///
    /// # Errors
    /// [`ImportRejection`], which says what to do.
    pub fn admits(self, wanted: Self) -> Result<(), ImportRejection> {
        if self.declines != wanted.declines {
            return Err(ImportRejection::OtherDeclines { started: self.declines, wanted: wanted.declines });
        }
        if self.process != wanted.process {
            return Err(ImportRejection::OtherProcess { started: self.process, wanted: wanted.process });
        }
        Ok(())
    }
}

/// In which manner a file comes into a directory: asked before the shop starts there, because a shop carries on at once with
/// what is under way.
///
/// # Errors
/// A sentence, if the file's import was begun in another manner, or another one that is not finished was; or the log cannot
/// be read.
pub(super) fn of(file: &File, data: &Data, settings: &Settings) -> anyhow::Result<Manner> {
    let Settings { declines, process, .. } = *settings;
    let imports = match archive_if_any(data)? {
        Some(archive) => settle::begun(&archive)?,
        None => BTreeMap::new(),
    };
    let begun = imports.get(&file.digest).map(|import| import.manner);
    let process = process.or(begun.map(|begun| begun.process)).unwrap_or_default();
    let wanted = Manner { declines, process };
    if let Some(begun) = begun {
        begun.admits(wanted).map_err(|refused| anyhow!(refused.message()))?;
    }
    if let Some(other) = imports.values().find(|import| import.runs && import.manner != wanted) {
        let Manner { declines, process } = other.manner;
        bail!(
            "the import of {} is not finished in {}, and its orders under way are run with --process {process} --declines \
             {declines}. Nothing of {} was stored: finish that import or set it aside with --abandon first, or give the same \
             flags",
            plain(&other.file),
            data,
            plain(&file.name)
        );
    }
    Ok(wanted)
}
