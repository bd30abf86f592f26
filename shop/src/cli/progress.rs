//! A progress bar; plain lines where nobody watches.

use std::{
    io::{IsTerminal, stderr},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::out::tell;

/// A bar over invoices, or orders.
pub struct Bar {
    of: &'static str,
    bar: Option<ProgressBar>,
    told: AtomicU64,
}

impl Bar {
    /// An empty bar over such things.
    pub fn new(of: &'static str) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let template = format!("{{bar:40}} {{pos}}/{{len}} {of}  {{per_sec}}  {{elapsed}} (left: {{eta}})");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { of, bar, told: AtomicU64::new(0) }
    }

    /// How far it is.
    pub fn set(&self, done: u64, of: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(of);
            bar.set_position(done);
            return;
        }
        let tenth = (done * 10).checked_div(of).unwrap_or(10);
        if tenth > self.told.fetch_max(tenth, Ordering::Relaxed) {
            tell(&format!("{done} of {of} {}", self.of));
        }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
