//! The views' thread: rounds as long as there is something new, and again by itself when the rows cannot be written.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use factum_core::error::panic_text;

use super::{CURSOR_TICK, LETTER_TICK, lock};
use crate::{
    signal::{Signal, backoff},
    views::Views,
};

pub(super) struct ViewsLoop {
    pub(super) views: Views,
    /// What stands in the way.
    pub(super) waiting: Arc<Mutex<Option<String>>>,
    pub(super) signal: Arc<Signal>,
    pub(super) stopping: Arc<AtomicBool>,
}

impl ViewsLoop {
    pub(super) fn run(mut self) {
        let mut failures = 0;
        loop {
            let round = catch_unwind(AssertUnwindSafe(|| self.views.step()));
            let round = round.unwrap_or_else(|panic| {
                Err(crate::views::ViewError::Code(format!("the views panicked: {}", panic_text(&*panic))))
            });
            match round {
                Ok(more) => {
                    if failures > 0 {
                        tracing::warn!("the rows can be written again");
                        *lock(&self.waiting) = None;
                    }
                    failures = 0;
                    match more {
                        true => {}
                        false if self.stopping.load(Ordering::Acquire) => break,
                        false => _ = self.signal.wait(if self.views.waits() { LETTER_TICK } else { CURSOR_TICK }),
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    failures += 1;
                    if lock(&self.waiting).as_ref() != Some(&error) {
                        tracing::error!(error, "the rows could not be written; trying again");
                        *lock(&self.waiting) = Some(error);
                    }
                    if self.stopping.load(Ordering::Acquire) {
                        return;
                    }
                    self.signal.wait(backoff(failures));
                }
            }
        }
        match self.views.save_cursors() {
            Ok(()) => self.views.end(),
            Err(error) => {
                tracing::error!(%error, "the views' cursors could not be written; the last events are read again");
            }
        }
    }
}
