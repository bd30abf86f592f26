//! A figure: one measured value with the circumstances without which it says nothing, as a JSON line.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value};

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
    /// How much of it.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What an acknowledged event survives: `sync` or nothing to do with writing.
    pub durability: Option<&'static str>,
    /// Bytes of one event's data, on average.
    pub event_bytes: Option<f64>,
    /// Events in one synced write, on average.
    pub batch: Option<f64>,
    /// The disk alone.
    pub bare_disk: Option<BareDisk>,
    /// Flush requests of the whole device in the time of the measurement, for each event.
    pub flushes_per_event: Option<f64>,
    /// Everything else worth knowing.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

static PRINTED: Mutex<Vec<Figure>> = Mutex::new(Vec::new());

impl Figure {
    /// A figure without circumstances.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let name = name.into();
        Self {
            name,
            value: rounded(value),
            unit,
            durability: None,
            event_bytes: None,
            batch: None,
            bare_disk: None,
            flushes_per_event: None,
            more: Map::new(),
        }
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

    /// One more number.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.more.insert(name.to_owned(), rounded(value).into());
        self
    }

    /// Prints it as one line of JSON, and keeps it for the table.
    ///
    /// # Errors
    /// If it has no JSON form.
    pub fn print(self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(&self)?);
        PRINTED.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        Ok(())
    }
}

/// Prints all figures so far for people, on the error output.
pub fn table() {
    let figures = PRINTED.lock().unwrap_or_else(PoisonError::into_inner);
    let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or_default();
    eprintln!();
    for figure in figures.iter() {
        let mut notes: Vec<String> = figure.more.iter().map(|(name, value)| format!("{name} {value}")).collect();
        if let Some(bare) = figure.bare_disk {
            notes.push(format!("bare disk {}/{} µs for {} B", bare.p50_us, bare.p99_us, bare.bytes));
        }
        if let Some(flushes) = figure.flushes_per_event {
            notes.push(format!("{flushes} flushes an event"));
        }
        eprintln!("{:width$}  {:>14} {:10}  {}", figure.name, figure.value, figure.unit, notes.join(", "));
    }
}

/// Three places behind the point are more than any of these figures is good for.
pub fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
