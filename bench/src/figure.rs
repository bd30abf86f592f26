//! A figure: one measured value with the circumstances without which it says nothing, as a JSON line.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{machine, ours, table};

/// What the disk does with the same bytes in the same run: one write and one `fdatasync`, over and over.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BareDisk {
    /// Half of the writes took no longer.
    pub p50_us: f64,
    /// Ninety-nine of a hundred took no longer.
    pub p99_us: f64,
    /// Bytes of one write.
    pub bytes: usize,
}

/// One value.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Of whom: Factum, or a rival on the same work.
    pub subject: &'static str,
    /// Which one exactly, if a rival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How much of it; `null` if nothing was measured.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// Why nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What an acknowledged event survives: `sync` or nothing to do with writing.
    pub durability: Option<&'static str>,
    /// Bytes of one event's data, on average.
    pub event_bytes: Option<f64>,
    /// Events in one synced write, on average.
    pub batch: Option<f64>,
    /// How many wait for an answer before they ask again.
    pub callers: Option<usize>,
    /// The disk alone.
    pub bare_disk: Option<BareDisk>,
    /// What one core copies in memory.
    pub memcpy_gb_per_second: Option<f64>,
    /// Flush requests of the whole device in the time of the measurement, for each event.
    pub flushes_per_event: Option<f64>,
    /// Everything else worth knowing.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

static PRINTED: Mutex<Vec<Figure>> = Mutex::new(Vec::new());
static FILE: Mutex<Option<File>> = Mutex::new(None);

/// Adds the lines to this file from now on, and no longer prints them.
///
/// # Errors
/// If it cannot be opened.
pub fn write_to(path: &Path) -> anyhow::Result<()> {
    let open = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        OpenOptions::new().create(true).append(true).open(path)
    };
    let file = open().with_context(|| format!("{} cannot be written", path.display()))?;
    *FILE.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    Ok(())
}

impl Figure {
    /// A figure without circumstances.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            subject: ours::NAME,
            version: None,
            value: rounded(value),
            unit,
            missing: None,
            durability: None,
            event_bytes: None,
            batch: None,
            callers: None,
            bare_disk: None,
            memcpy_gb_per_second: None,
            flushes_per_event: None,
            more: Map::new(),
        }
    }

    /// None, and why.
    pub fn missing(name: impl Into<String>, subject: &'static str, why: String) -> Self {
        Self { subject, missing: Some(why), ..Self::new(name, f64::NAN, "") }
    }

    /// Of events that were written, each commit synced.
    #[must_use]
    pub fn synced(mut self, event_bytes: f64, batch: Option<f64>, bare: BareDisk, flushes: Option<f64>) -> Self {
        self.durability = Some("sync");
        self.event_bytes = Some(rounded(event_bytes));
        self.batch = batch.map(rounded);
        self.bare_disk = Some(bare);
        self.flushes_per_event = flushes.map(|flushes| (flushes * 1e5).round() / 1e5);
        self
    }

    /// Of this one, not of Factum.
    #[must_use]
    pub fn of(mut self, subject: &'static str, version: Option<&str>) -> Self {
        (self.subject, self.version) = (subject, version.map(str::to_owned));
        self
    }

    /// One more number.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.more.insert(name.to_owned(), rounded(value).into());
        self
    }

    /// A number that was given with it.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.more.get(name)?.as_f64()
    }

    /// Prints it as one line of JSON, and keeps it for the table.
    ///
    /// # Errors
    /// If it has no JSON form, or the file does not take it.
    pub fn print(mut self) -> anyhow::Result<()> {
        self.memcpy_gb_per_second = Some(rounded(machine::memcpy_of_this_run()));
        let line = serde_json::to_string(&self)?;
        match &mut *FILE.lock().unwrap_or_else(PoisonError::into_inner) {
            // A run takes minutes; who waits sees where it is.
            Some(file) => {
                writeln!(file, "{line}")?;
                eprintln!("{}", table::sentence(&self));
            }
            None => println!("{line}"),
        }
        PRINTED.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        Ok(())
    }
}

/// Prints all figures so far for people, on the error output.
pub fn table() {
    let figures = PRINTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !figures.is_empty() {
        eprintln!("\n{}", table::table(&figures));
    }
}

/// Three places behind the point are more than any of these figures is good for.
pub fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
