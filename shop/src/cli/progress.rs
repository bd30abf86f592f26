//! A progress bar; plain lines where nobody watches.

use std::{
    cell::Cell,
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::out::tell;

/// A bar over invoices.
pub struct Bar {
    bar: Option<ProgressBar>,
    told: Cell<u64>,
}

impl Bar {
    /// An empty bar.
    pub fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let template = "{bar:40} {pos}/{len} invoices  {per_sec}  {elapsed} (left: {eta})";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, told: Cell::new(0) }
    }

    /// How far it is.
    pub fn set(&self, done: u64, of: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(of);
            bar.set_position(done);
            return;
        }
        let tenth = (done * 10).checked_div(of).unwrap_or(10);
        if tenth > self.told.get() {
            self.told.set(tenth);
            tell(&format!("{done} of {of} invoices"));
        }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
