//! The engine's thread: steps as long as there is work, waits, and goes on by itself whatever the store says.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use factum_core::{
    error::{StoreError, panic_text},
    ports::Clock,
};

use super::{CURSOR_TICK, DRAIN, lock};
use crate::{
    committer::Committer,
    engine::{Engine, EngineHealth, Flight, Step},
    signal::{Signal, backoff},
};

/// The log is told that nothing is to be written after this long.
const IDLE: Duration = Duration::from_millis(5);
/// Panics of the engine itself in a row after which it is given up. User code's are never among them.
const PANICS: u32 = 20;

pub(super) struct EngineLoop {
    pub(super) engine: Engine,
    pub(super) committer: Arc<Committer>,
    /// What the committer's thread carries out.
    pub(super) flight: Arc<Flight>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signal: Arc<Signal>,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) health: Arc<Mutex<EngineHealth>>,
    /// What the store said the last time, if it has not worked since.
    pub(super) waiting: Option<String>,
}

/// Why a step came to nothing.
enum Trouble {
    Store(StoreError),
    Panic(String),
}

impl EngineLoop {
    pub(super) fn run(mut self) {
        self.engine.watch_standstill();
        let mut stop_by: Option<Instant> = None;
        let (mut failures, mut panics) = (0, 0);
        loop {
            if self.stopping.load(Ordering::Acquire) {
                let by = *stop_by.get_or_insert_with(|| Instant::now() + DRAIN);
                if Instant::now() >= by {
                    break;
                }
            }
            match self.step() {
                Ok(step) => {
                    (failures, panics) = (0, 0);
                    match step {
                        Step::Worked => {
                            self.waits_for(None);
                            let refusals = self.engine.refusals();
                            if refusals > 0 {
                                self.signal.wait(backoff(refusals));
                            }
                        }
                        Step::InFlight => self.wait_for_landing(),
                        Step::Rest if stop_by.is_some() => break,
                        Step::Rest => {
                            if let Err(error) = self.wait() {
                                return self.give_up(&error.to_string());
                            }
                        }
                    }
                }
                Err(Trouble::Store(error)) => {
                    failures += 1;
                    self.waits_for(Some(error.to_string()));
                    if !Engine::may_recover(&error) {
                        return self.give_up(&error.to_string());
                    }
                    if stop_by.is_some() && failures > 1 {
                        break;
                    }
                    self.signal.wait(backoff(failures));
                }
                Err(Trouble::Panic(panic)) => {
                    (failures, panics) = (failures + 1, panics + 1);
                    self.waits_for(Some(format!("the engine panicked: {panic}")));
                    if panics >= PANICS {
                        return self.give_up(&format!("it panicked {panics} times in a row: {panic}"));
                    }
                    self.signal.wait(backoff(failures));
                }
            }
        }
        match self.engine.save_at_stop() {
            Ok(()) => self.engine.take_snapshots(),
            Err(error) => {
                tracing::error!(%error, "the engine's cursor could not be written; the last messages are read again");
            }
        }
        self.engine.end();
        self.engine.shut("it was told to stop");
    }

    fn step(&mut self) -> Result<Step, Trouble> {
        // Behind a panic, as behind an error, the engine reads everything anew.
        match catch_unwind(AssertUnwindSafe(|| self.engine.step())) {
            Ok(done) => done.map_err(Trouble::Store),
            Err(panic) => Err(Trouble::Panic(panic_text(&*panic))),
        }
    }

    fn give_up(&mut self, reason: &str) {
        tracing::error!(reason, "the engine ends: the program must be started again");
        lock(&self.health).failed = Some(reason.to_owned());
        self.engine.shut(reason);
    }

    /// Notes what stands in the way, or that nothing does any more; says so once, however often it is tried.
    fn waits_for(&mut self, error: Option<String>) {
        if self.waiting == error {
            return;
        }
        match &error {
            Some(error) => tracing::error!(error, "the store failed; trying again"),
            // Who saw the error sees that it is over, at the same level of attention.
            None => tracing::warn!("the store can be used again"),
        }
        let mut health = lock(&self.health);
        health.waiting_since = error.as_ref().map(|_| health.waiting_since.unwrap_or_else(|| self.clock.mark()));
        health.waiting.clone_from(&error);
        drop(health);
        self.waiting = error;
    }

    fn wait_for_landing(&self) {
        // Whoever comes first: a commit that the committer's thread has not begun yet need not wait for its turn.
        if !self.flight.carry_out() {
            // Soon enough for what becomes due meanwhile, too.
            self.signal.wait(CURSOR_TICK);
        }
    }

    /// Waits for something to do.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if another process leads since.
    fn wait(&mut self) -> Result<(), StoreError> {
        if self.signal.wait(IDLE) {
            return Ok(());
        }
        if let Err(error) = self.committer.idle() {
            tracing::error!(%error, "the store cannot be written");
        }
        let timer = self.engine.next_timer().and_then(|due| self.clock.until(due));
        if self.signal.wait(timer.unwrap_or(CURSOR_TICK).min(CURSOR_TICK)) {
            return Ok(());
        }
        // Nobody may send anything to one that says it cannot store it: it has to find out by itself.
        let saved = match self.committer.look() {
            Ok(()) if self.waiting.is_some() => self.engine.write_cursor(),
            Ok(()) => self.engine.save_cursor(),
            gone => gone,
        };
        if let Err(fenced @ StoreError::Fenced(_)) = saved {
            return Err(fenced);
        }
        self.waits_for(saved.as_ref().err().map(ToString::to_string));
        Ok(())
    }
}
