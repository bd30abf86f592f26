//! Whether an attempt may be begun: where another process may take over, only while this one surely leads until its end.

use std::{sync::Arc, time::Duration};

use factum_core::{call::CallPolicy, ports::Lease};

/// A process that may not lead long enough for an attempt looks again after this long.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// By what this process leads; nothing where no other one could.
#[derive(Default)]
pub(super) struct Lead(pub(super) Option<Arc<dyn Lease>>);

impl Lead {
    /// Whether an attempt could still be under way when another process leads, and do something outside there.
    pub(super) fn is_too_short_for(&self, policy: &CallPolicy) -> bool {
        !policy.only_reads && self.0.as_ref().is_some_and(|lease| !lease.lasts(policy.timeout))
    }
}
