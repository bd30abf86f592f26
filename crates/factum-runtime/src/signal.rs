//! A doorbell for threads: whoever rings it wakes the one that waits, and a ring before the wait is not lost.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long to wait before the next try after so many failures in a row: 50 ms, doubled each time, at most a second, so that
/// what has failed goes on within a second when it can.
pub fn backoff(failures: u32) -> Duration {
    Duration::from_millis(50 << failures.saturating_sub(1).min(5)).min(Duration::from_secs(1))
}

/// See the module.
#[derive(Debug, Default)]
pub struct Signal {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Wakes the waiter, or lets its next wait return at once.
    pub fn ring(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    /// Waits for a ring, but not longer than the limit; answers whether it rang.
    pub fn wait(&self, limit: Duration) -> bool {
        let guard = self.lock();
        let waited = self.changed.wait_timeout_while(guard, limit, |rung| !*rung);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut rung)
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // A flag cannot be left half changed by a panic.
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
